//! Reports as people read them.

use std::fmt::Write as _;

use crate::report::{
    Answer, ConditionLine, Explained, Finding, Half, Kind, NearMissLine, Reader, StatementLine,
    WhoCanDecrypt,
};
use crate::words::{condition_in_words, statement_in_words};

/// Most near misses shown: a person looks for one.
const NEAR_MISSES_SHOWN: usize = 8;

/// The answer of `explain`, with a line end.
pub fn explained_text(explained: &Explained) -> String {
    let mut text = String::new();
    one(&mut text, explained);
    if let Some(then) = &explained.then {
        text.push_str("\nThe object's key has to be opened as well:\n\n");
        one(&mut text, then);
        text.push_str(match explained.whole_answer() {
            Answer::Yes => "\nTogether: ALLOWED\n",
            Answer::If => "\nTogether: ALLOWED IF\n",
            Answer::No => "\nTogether: DENIED\n",
        });
    }
    if !explained.assumed.is_empty() {
        push(
            &mut text,
            format_args!("\nAssumed: {}\n", explained.assumed.join(", ")),
        );
    }
    text
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(line);
}

fn one(text: &mut String, explained: &Explained) {
    let Explained {
        answer,
        principal,
        action,
        resource,
        via,
        reason,
        deciding,
        layers,
        near_misses,
        depends_on,
        to_allow,
        assumed: _,
        then: _,
    } = explained;
    let (verdict, verb) = match answer {
        Answer::Yes => ("ALLOWED", "may"),
        Answer::If => ("ALLOWED IF", "may"),
        Answer::No => ("DENIED", "may not"),
    };
    let via = via
        .as_ref()
        .map_or_else(String::new, |via| format!(" via {via}"));
    push(
        text,
        format_args!("{verdict}: {principal} {verb} {action} on {resource}{via}\n"),
    );
    match answer {
        Answer::No => push(text, format_args!("  because {reason}\n")),
        Answer::Yes | Answer::If => push(text, format_args!("  by {reason}\n")),
    }
    for statement in deciding {
        for condition in &statement.conditions {
            push(
                text,
                format_args!(
                    "    where {}{}\n",
                    condition_in_words(condition),
                    found(condition)
                ),
            );
        }
    }
    if !depends_on.is_empty() {
        text.push_str("\nIt depends on\n");
        for statement in depends_on {
            let not = if statement.effect == "Deny" {
                "not "
            } else {
                ""
            };
            let conditions: Vec<_> = statement
                .conditions
                .iter()
                .map(condition_in_words)
                .collect();
            push(
                text,
                format_args!(
                    "  {not}{}  ({}, {})\n",
                    conditions.join(" and "),
                    statement.effect,
                    statement_in_words(statement)
                ),
            );
        }
    }
    if !layers.is_empty() {
        text.push('\n');
    }
    for layer in layers {
        let statements: Vec<_> = layer.statements.iter().map(short).collect();
        push(
            text,
            format_args!(
                "  {:<22}{:<11}{}\n",
                layer.name,
                layer.says,
                statements.join("; ")
            ),
        );
    }
    if *answer == Answer::No && !near_misses.is_empty() {
        text.push_str("\nNearly\n");
        for miss in near_misses.iter().take(NEAR_MISSES_SHOWN) {
            near_miss(text, miss);
        }
        let rest = near_misses.len().saturating_sub(NEAR_MISSES_SHOWN);
        if rest > 0 {
            push(
                text,
                format_args!("  and {rest} more (--json shows them)\n"),
            );
        }
    }
    if !to_allow.is_empty() {
        text.push_str("\nTo allow it\n");
        for line in to_allow {
            push(text, format_args!("  {line}\n"));
        }
    }
}

fn short(statement: &StatementLine) -> String {
    format!("{} by {}", statement.effect, statement_in_words(statement))
}

fn near_miss(text: &mut String, miss: &NearMissLine) {
    let effect = &miss.statement.effect;
    let name = statement_in_words(&miss.statement);
    push(text, format_args!("  {effect} by {name}"));
    if miss.for_others {
        text.push_str(": is about other principals");
    }
    text.push('\n');
    for condition in &miss.statement.conditions {
        push(
            text,
            format_args!(
                "    but not {}{}\n",
                condition_in_words(condition),
                found(condition)
            ),
        );
    }
}

fn found(condition: &ConditionLine) -> String {
    match &condition.found {
        _ if !condition.known => {
            format!("; the value is not known: --context {}=...", condition.key)
        }
        Some(values) => format!("; the request has {}", values.join(", ")),
        None => "; the request has no such key".to_owned(),
    }
}

/// The answer of `who-can-decrypt`, with a line end.
pub fn readers_text(report: &WhoCanDecrypt) -> String {
    let mut text = String::new();
    let object = &report.object;
    let version = object
        .version
        .as_ref()
        .map_or_else(String::new, |version| format!(" version {version}"));
    push(
        &mut text,
        format_args!(
            "{}{version}\n  encrypted with {}",
            object.arn, object.encryption
        ),
    );
    if let Some(key) = &object.key {
        let state = object.key_state.as_deref().unwrap_or_default();
        push(&mut text, format_args!(" under {key} ({state})"));
        if object.bucket_key {
            text.push_str(", by a bucket key");
        }
    }
    text.push('\n');
    let readers = &report.readers;
    push(
        &mut text,
        format_args!("\nCAN READ IT TODAY: {}\n", count(readers.len())),
    );
    for it in readers {
        reader(&mut text, it);
    }
    if object.key.is_some() {
        push(
            &mut text,
            format_args!("\nHAVE ONE HALF ONLY: {}\n", count(report.halves.len())),
        );
        for it in &report.halves {
            one_half(&mut text, it);
        }
    }
    match &report.others {
        Some(others) => {
            push(
                &mut text,
                format_args!("\nCANNOT: {}\n", count(others.len())),
            );
            for it in others {
                one_half(&mut text, it);
            }
        }
        None if report.others_count > 0 => push(
            &mut text,
            format_args!(
                "\nEverybody else ({}) has no part in it (--all shows why).\n",
                count(report.others_count)
            ),
        ),
        None => {}
    }
    text.push('\n');
    for note in &report.notes {
        push(&mut text, format_args!("{note}\n"));
    }
    text
}

fn count(number: usize) -> String {
    match number {
        0 => "nobody".to_owned(),
        1 => "1 principal".to_owned(),
        number => format!("{number} principals"),
    }
}

fn kind_in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Root => "root user",
        Kind::User => "user",
        Kind::Role => "role",
        Kind::Session => "session",
        Kind::Federated => "federated user",
        Kind::Service => "service",
        Kind::WebIdentity => "web identity",
        Kind::Anonymous => "who does not sign",
    }
}

fn reader(text: &mut String, reader: &Reader) {
    let kind = kind_in_words(reader.kind);
    let reach = if reader.out_of_reach {
        "; nobody can assume it"
    } else {
        ""
    };
    push(
        text,
        format_args!("  {}  ({kind}{reach})\n", reader.principal),
    );
    for (role, half) in reader.through.iter().zip(&reader.assumed_by) {
        push(
            text,
            format_args!("    assumes {role}\n{:20}{}\n", "", half.by.join(", then ")),
        );
        conditions(text, half);
    }
    for half in std::iter::once(&reader.s3).chain(&reader.key) {
        right(text, half);
    }
}

fn right(text: &mut String, half: &Half) {
    push(
        text,
        format_args!("    {:<16}{}\n", half.action, half.by.join(", then ")),
    );
    conditions(text, half);
}

fn conditions(text: &mut String, half: &Half) {
    for condition in &half.conditions {
        push(text, format_args!("{:20}if {condition}\n", ""));
    }
}

fn one_half(text: &mut String, finding: &Finding) {
    let kind = kind_in_words(finding.kind);
    push(text, format_args!("  {}  ({kind})\n", finding.principal));
    for half in std::iter::once(&finding.s3).chain(&finding.key) {
        match &half.lacks {
            Some(why) => push(text, format_args!("    {:<16}LACKS: {why}\n", half.action)),
            None => right(text, half),
        }
    }
}
