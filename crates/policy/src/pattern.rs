//! Patterns with `*`, `?` and variables, as actions, resources and conditions have them, compiled
//! once and matched often.

use crate::document::PolicyVersion;
use crate::facts::{ConditionKey, Facts, Steps};

/// Whether `text` as a whole matches `pattern`: `*` is any number of characters, `?` one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern = Pattern::compile(pattern, Dialect::ACTION);
    match &pattern.0 {
        Shape::Anything => true,
        Shape::Exact(exact) => **exact == *text,
        Shape::Prefix(prefix) => text.starts_with(&**prefix),
        // Both are parts of policies, which are short.
        Shape::Units(units) => units_match(units, text, &Steps::unlimited()) == Ok(true),
        Shape::Variables(..) => false,
    }
}

/// What is special in a pattern's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Dialect {
    /// `*` and `?`.
    pub wildcards: bool,
    /// `${...}`.
    pub variables: bool,
    /// Compared without regard to case. The text to be matched is [`folded`] by who asks.
    pub fold: bool,
}

impl Dialect {
    /// Of actions: without variables. Who asks lowers the case of both.
    pub(crate) const ACTION: Self = Self {
        wildcards: true,
        variables: false,
        fold: false,
    };

    /// Of ARNs, in resources and conditions.
    pub(crate) const fn arn(version: PolicyVersion) -> Self {
        Self {
            wildcards: true,
            variables: has_variables(version),
            fold: false,
        }
    }

    /// Of the values of string conditions.
    pub(crate) const fn text(version: PolicyVersion, wildcards: bool, fold: bool) -> Self {
        Self {
            wildcards,
            variables: has_variables(version),
            fold,
        }
    }
}

const fn has_variables(version: PolicyVersion) -> bool {
    match version {
        PolicyVersion::V2008 => false,
        PolicyVersion::V2012 => true,
    }
}

/// `text` in lower case, letter by letter.
pub(crate) fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// A compiled pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pattern(Shape);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Shape {
    /// `*`
    Anything,
    /// No wildcards.
    Exact(Box<str>),
    /// One `*`, at the end.
    Prefix(Box<str>),
    Units(Box<[Unit]>),
    /// To be filled in for each request.
    Variables(Box<[Piece]>, bool),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    Letter(char),
    /// `?`
    One,
    /// `*`
    Any,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Unit(Unit),
    Variable(Variable),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Variable {
    /// `None` is what looks like a variable and names no key: it never has a value.
    key: Option<ConditionKey>,
    default: Option<Box<str>>,
}

/// A variable of the pattern has no value in this request, or the decision has become too much work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unresolved;

impl Pattern {
    pub(crate) fn compile(text: &str, dialect: Dialect) -> Self {
        Self::from_pieces(pieces_of(text, dialect), dialect.fold)
    }

    fn from_pieces(pieces: Vec<Piece>, fold: bool) -> Self {
        let units: Option<Vec<Unit>> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Unit(unit) => Some(*unit),
                Piece::Variable(_) => None,
            })
            .collect();
        let Some(units) = units else {
            return Self(Shape::Variables(pieces.into(), fold));
        };
        let letters = |units: &[Unit]| -> Option<String> {
            units
                .iter()
                .map(|unit| match unit {
                    Unit::Letter(letter) => Some(*letter),
                    Unit::One | Unit::Any => None,
                })
                .collect()
        };
        if let Some(exact) = letters(&units) {
            return Self(Shape::Exact(exact.into()));
        }
        if let Some((Unit::Any, head)) = units.split_last()
            && let Some(prefix) = letters(head)
        {
            return Self(if prefix.is_empty() {
                Shape::Anything
            } else {
                Shape::Prefix(prefix.into())
            });
        }
        Self(Shape::Units(units.into()))
    }

    /// Whether `text` as a whole matches. Time is at most the product of the lengths, and no more than
    /// the decision has left.
    pub(crate) fn matches(&self, text: &str, facts: &Facts<'_>) -> Result<bool, Unresolved> {
        facts.steps.take(1)?;
        match &self.0 {
            Shape::Anything => Ok(true),
            Shape::Exact(exact) => Ok(**exact == *text),
            Shape::Prefix(prefix) => Ok(text.starts_with(&**prefix)),
            Shape::Units(units) => units_match(units, text, &facts.steps),
            Shape::Variables(pieces, fold) => {
                units_match(&filled_in(pieces, *fold, facts)?, text, &facts.steps)
            }
        }
    }

    /// The condition keys that its variables name.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ConditionKey> {
        let pieces: &[Piece] = match &self.0 {
            Shape::Variables(pieces, _) => pieces,
            Shape::Anything | Shape::Exact(_) | Shape::Prefix(_) | Shape::Units(_) => &[],
        };
        pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => variable.key.as_ref(),
            Piece::Unit(_) => None,
        })
    }
}

/// Longest value of a variable, in bytes: object keys and ARNs are shorter. Who sends a longer one gets
/// no decision, or a Deny that has the variable could be evaded by its length.
const VARIABLE_MAX_BYTES: usize = 2048;

/// The values of variables are literal text: a `*` in a tag's value is no wildcard.
fn filled_in(pieces: &[Piece], fold: bool, facts: &Facts<'_>) -> Result<Vec<Unit>, Unresolved> {
    facts.steps.take(pieces.len())?;
    let mut units = Vec::with_capacity(pieces.len() + 16);
    for piece in pieces {
        let variable = match piece {
            Piece::Unit(unit) => {
                units.push(*unit);
                continue;
            }
            Piece::Variable(variable) => variable,
        };
        let value = variable.key.as_ref().and_then(|key| facts.single(key));
        let value = match (&value, &variable.default) {
            (Some(value), _) => &**value,
            (None, Some(default)) => &**default,
            (None, None) => return Err(Unresolved),
        };
        if value.len() > VARIABLE_MAX_BYTES {
            return Err(facts.steps.give_up());
        }
        facts.steps.take(value.len())?;
        if fold {
            units.extend(value.chars().flat_map(char::to_lowercase).map(Unit::Letter));
        } else {
            units.extend(value.chars().map(Unit::Letter));
        }
    }
    Ok(units)
}

/// Only the last `*` is ever tried again, so time is at most the product of the lengths; and it is
/// about that of the text where what follows a `*` begins with a letter that is rare in it.
fn units_match(units: &[Unit], text: &str, steps: &Steps) -> Result<bool, Unresolved> {
    let mut left = units;
    let mut unread = text.chars();
    // Behind the last star, and the text at which what follows it was last tried.
    let mut retry: Option<(&[Unit], std::str::Chars<'_>)> = None;
    loop {
        steps.take(1)?;
        if let Some((Unit::Any, rest)) = left.split_first() {
            left = rest;
            retry = Some((rest, unread.clone()));
            continue;
        }
        let mut next = unread.clone();
        let Some(letter) = next.next() else {
            return Ok(left.iter().all(|unit| *unit == Unit::Any));
        };
        if let Some((unit, rest)) = left.split_first()
            && (*unit == Unit::One || *unit == Unit::Letter(letter))
        {
            left = rest;
            unread = next;
            continue;
        }
        let Some((behind_star, from)) = &mut retry else {
            return Ok(false);
        };
        // A star at the end takes the rest.
        if behind_star.is_empty() {
            return Ok(true);
        }
        from.next();
        left = behind_star;
        unread = from.clone();
    }
}

/// A compiled pattern of ARNs. Partition, service, region, account and resource are matched each on
/// its own, so that a `*` in one does not run into the next, nor a variable's colon; a bare `*` is
/// everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ArnPattern {
    Anything,
    /// As most are: `arn:aws:s3:::` as it stands, then the resource.
    Headed {
        /// With its five colons.
        head: Box<str>,
        resource: Pattern,
    },
    /// Whether one of them has variables, and the fields.
    Fields(bool, Box<[Pattern]>),
}

/// Most fields of an ARN; the last keeps its colons.
const ARN_FIELDS: usize = 6;

impl ArnPattern {
    pub(crate) fn compile(text: &str, version: PolicyVersion) -> Self {
        if text == "*" {
            return Self::Anything;
        }
        let mut fields = vec![Vec::new()];
        for piece in pieces_of(text, Dialect::arn(version)) {
            if piece == Piece::Unit(Unit::Letter(':')) && fields.len() < ARN_FIELDS {
                fields.push(Vec::new());
            } else if let Some(field) = fields.last_mut() {
                field.push(piece);
            }
        }
        let compile = |pieces| Pattern::from_pieces(pieces, false);
        let fields: Vec<Pattern> = fields.into_iter().map(compile).collect();
        if let Some((resource, head)) = fields.split_last()
            && fields.len() == ARN_FIELDS
            && let Some(head) = head_of(head)
        {
            return Self::Headed {
                head: head.into(),
                resource: resource.clone(),
            };
        }
        let has_variables = |field: &Pattern| matches!(field.0, Shape::Variables(..));
        Self::Fields(fields.iter().any(has_variables), fields.into())
    }

    /// Whether `arn` matches. What cannot be filled in is told whether or not the rest matches.
    pub(crate) fn matches(&self, arn: &Arn<'_>, facts: &Facts<'_>) -> Result<bool, Unresolved> {
        let (has_variables, patterns) = match self {
            Self::Anything => return Ok(true),
            Self::Headed { head, resource } => {
                let [.., own] = arn.fields;
                return Ok(resource.matches(own, facts)? && **head == *arn.head);
            }
            Self::Fields(has_variables, patterns) => (*has_variables, patterns),
        };
        let mut all = patterns.len() == arn.len;
        if !all && !has_variables {
            return Ok(false);
        }
        for (pattern, field) in patterns.iter().zip(&arn.fields) {
            all &= pattern.matches(field, facts)?;
            if !all && !has_variables {
                return Ok(false);
            }
        }
        Ok(all)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &ConditionKey> {
        let fields: &[Pattern] = match self {
            Self::Anything => &[],
            Self::Headed { resource, .. } => std::slice::from_ref(resource),
            Self::Fields(_, fields) => fields,
        };
        fields.iter().flat_map(Pattern::keys)
    }
}

/// The fields before the resource, if they are plain text.
fn head_of(fields: &[Pattern]) -> Option<String> {
    let mut head = String::new();
    for field in fields {
        let Shape::Exact(text) = &field.0 else {
            return None;
        };
        head.push_str(text);
        head.push(':');
    }
    Some(head)
}

/// An ARN, or any text, in its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arn<'a> {
    /// What is before the resource; empty if the text has too few fields.
    head: &'a str,
    /// Those that the text lacks are empty.
    fields: [&'a str; ARN_FIELDS],
    len: usize,
}

impl<'a> Arn<'a> {
    pub(crate) fn split(text: &'a str) -> Self {
        let mut fields = [""; ARN_FIELDS];
        let mut len = 0;
        for (field, text) in fields.iter_mut().zip(text.splitn(ARN_FIELDS, ':')) {
            *field = text;
            len += 1;
        }
        let [.., resource] = fields;
        let head = if len == ARN_FIELDS {
            text.strip_suffix(resource).unwrap_or_default()
        } else {
            ""
        };
        Self { head, fields, len }
    }
}

fn pieces_of(text: &str, dialect: Dialect) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if dialect.variables
            && let Some((piece, behind)) = variable(rest)
        {
            pieces.push(piece);
            rest = behind;
            continue;
        }
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        match letter {
            '*' if dialect.wildcards => pieces.push(Piece::Unit(Unit::Any)),
            '?' if dialect.wildcards => pieces.push(Piece::Unit(Unit::One)),
            _ if dialect.fold => pieces.extend(
                letter
                    .to_lowercase()
                    .map(|letter| Piece::Unit(Unit::Letter(letter))),
            ),
            _ => pieces.push(Piece::Unit(Unit::Letter(letter))),
        }
    }
    pieces
}

/// The variable or escape at the start of `text`, and what is behind it:
/// `${KEY}`, `${KEY, 'DEFAULT'}`, `${*}`, `${?}`, `${$}`.
fn variable(text: &str) -> Option<(Piece, &str)> {
    let inside = text.strip_prefix("${")?;
    for (escape, letter) in [("*}", '*'), ("?}", '?'), ("$}", '$')] {
        if let Some(behind) = inside.strip_prefix(escape) {
            return Some((Piece::Unit(Unit::Letter(letter)), behind));
        }
    }
    let (variable, behind) = well_formed_variable(inside).or_else(|| {
        let (_, behind) = inside.split_once('}')?;
        let nothing = Variable {
            key: None,
            default: None,
        };
        Some((nothing, behind))
    })?;
    Some((Piece::Variable(variable), behind))
}

fn well_formed_variable(inside: &str) -> Option<(Variable, &str)> {
    let end = inside.find([',', '}'])?;
    let (name, rest) = inside.split_at_checked(end)?;
    let key = Some(ConditionKey::parse(name.trim_matches(' ')));
    if let Some(behind) = rest.strip_prefix('}') {
        return Some((Variable { key, default: None }, behind));
    }
    let rest = rest.strip_prefix(',')?.trim_start_matches(' ');
    let (default, rest) = rest.strip_prefix('\'')?.split_once('\'')?;
    let behind = rest.trim_start_matches(' ').strip_prefix('}')?;
    let default = Some(default.into());
    Some((Variable { key, default }, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_span_anything_and_question_marks_one_letter() {
        for (pattern, text, expected) in [
            ("kms:*", "kms:putkeypolicy", true),
            ("kms:put*policy", "kms:putkeypolicy", true),
            ("kms:p?tkeypolicy", "kms:putkeypolicy", true),
            ("kms:p?tkeypolicy", "kms:ptkeypolicy", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("**a**", "bab", true),
            ("**", "", true),
            ("?", "\u{e9}", true),
            ("?", "", false),
            ("*?", "", false),
            ("*?", "a", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        assert!(!matches(
            &format!("{}b", "a*".repeat(200)),
            &"a".repeat(4000)
        ));
    }

    #[test]
    fn matching_takes_as_many_steps_as_the_text_is_long_and_never_more_than_there_are() {
        let units = |pattern: &str| match Pattern::compile(pattern, Dialect::ACTION).0 {
            Shape::Units(units) => units,
            other @ (Shape::Anything
            | Shape::Exact(_)
            | Shape::Prefix(_)
            | Shape::Variables(..)) => panic!("{other:?}"),
        };
        let usual = units("a*/b*/c?d*");
        let text = format!(
            "a{}/b{}/cxd{}",
            "e".repeat(300),
            "f".repeat(300),
            "g".repeat(300)
        );
        let steps = Steps::of(1000);
        assert_eq!(units_match(&usual, &text, &steps), Ok(true));
        assert!(steps.taken_of(1000) < 700, "{}", steps.taken_of(1000));
        // All of the product would be some millions.
        let worst = units(&format!("*{}b*", "a".repeat(2000)));
        let text = "a".repeat(4000);
        assert_eq!(
            units_match(&worst, &text, &Steps::of(10_000)),
            Err(Unresolved)
        );
        let steps = Steps::unlimited();
        assert_eq!(units_match(&worst, &text, &steps), Ok(false));
        assert!(steps.taken_of(usize::MAX) > 1_000_000);
    }

    #[test]
    fn variables_are_told_from_text() {
        let pieces = |text| pieces_of(text, Dialect::arn(PolicyVersion::V2012));
        let letter = |letter| Piece::Unit(Unit::Letter(letter));
        assert_eq!(pieces("${*}${?}${$}"), ['*', '?', '$'].map(letter));
        assert_eq!(pieces("${a"), ['$', '{', 'a'].map(letter));
        let variable = |key: &str, default: Option<&str>| {
            Piece::Variable(Variable {
                key: Some(ConditionKey::parse(key)),
                default: default.map(Into::into),
            })
        };
        assert_eq!(pieces("${aws:UserName}"), [variable("aws:username", None)]);
        assert_eq!(
            pieces("${ aws:username , 'a}b' }"),
            [variable("aws:username", Some("a}b"))]
        );
        let nothing = Piece::Variable(Variable {
            key: None,
            default: None,
        });
        assert_eq!(pieces("${aws:username, x}c"), [nothing, letter('c')]);
        let old = pieces_of("${*}", Dialect::arn(PolicyVersion::V2008));
        assert_eq!(old.len(), 4);
        assert_eq!(old[2], Piece::Unit(Unit::Any));
    }
}
