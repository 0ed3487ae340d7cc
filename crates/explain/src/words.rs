//! Decisions in words.

use strongroom_policy::{
    AllowedBy, Effect, Explanation, Layer, LayerFinding, MatchedStatement, Outcome, ResourceKind,
    SeenCondition, Speaks,
};

use crate::report::{ConditionLine, LayerLine, NearMissLine, StatementLine};

/// Most values of a condition in a report. A policy may have thousands.
const VALUES_SHOWN: usize = 32;
/// Most statements of one layer, or near misses, in a report.
const STATEMENTS_SHOWN: usize = 32;

/// Turns explanations into lines, knowing which condition keys have no known value.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    pub unknown: &'a [String],
    /// In lower case.
    pub given: &'a [String],
}

/// The name of a layer in reports.
pub(crate) const fn layer_name(layer: Layer) -> &'static str {
    match layer {
        Layer::Identity => "identity",
        Layer::Boundary => "boundary",
        Layer::Session => "session",
        Layer::Resource => "resource",
        Layer::Grant => "grant",
        Layer::Acl => "acl",
    }
}

/// What the resource's own policy is called.
pub(crate) fn resource_policy(explanation: &Explanation) -> &'static str {
    match explanation.kind {
        ResourceKind::Key => "key policy",
        ResourceKind::RoleTrust => "trust policy",
        ResourceKind::Ordinary if explanation.resource.starts_with("arn:aws:s3:::") => {
            "bucket policy"
        }
        ResourceKind::Ordinary => "resource policy",
    }
}

fn policy_in_words(explanation: &Explanation, statement: &MatchedStatement) -> String {
    let name = &statement.policy;
    match statement.layer {
        Layer::Identity => format!("policy {name}"),
        Layer::Boundary => format!("permissions boundary {name}"),
        Layer::Session => format!("session policy {name}"),
        Layer::Resource => resource_policy(explanation).to_owned(),
        // By the unique id, which says little.
        Layer::Grant if name.starts_with("AIDA") || name.starts_with("AROA") => {
            format!("grant to {}", explanation.principal)
        }
        Layer::Grant => format!("grant to {name}"),
        Layer::Acl => "access control list".to_owned(),
    }
}

/// `policy alice/read, statement 2 "Office"`.
pub(crate) fn statement_in_words(line: &StatementLine) -> String {
    if line.layer == "grant" {
        return line.policy.clone();
    }
    let sid = line
        .sid
        .as_ref()
        .map_or_else(String::new, |sid| format!(" \"{sid}\""));
    format!("{}, statement {}{sid}", line.policy, line.statement)
}

/// `aws:SourceIp IpAddress 10.0.0.0/8`.
pub(crate) fn condition_in_words(line: &ConditionLine) -> String {
    format!(
        "{} {} {}",
        line.key,
        line.operator,
        line.expected.join(" or ")
    )
}

impl Words<'_> {
    pub(crate) fn is_unknown(&self, key: &str) -> bool {
        let key = key.to_ascii_lowercase();
        let mut unknown = self.unknown.iter();
        !self.given.contains(&key)
            && unknown.any(|unknown| match unknown.strip_suffix('*') {
                Some(prefix) => key.starts_with(prefix),
                None => key == *unknown,
            })
    }

    pub(crate) fn condition(&self, seen: &SeenCondition) -> ConditionLine {
        let known = !self.is_unknown(&seen.key);
        ConditionLine {
            operator: seen.operator.clone(),
            key: seen.key.clone(),
            expected: seen.expected.iter().take(VALUES_SHOWN).cloned().collect(),
            found: seen.found.clone().filter(|_| known).map(|mut values| {
                values.truncate(VALUES_SHOWN);
                values
            }),
            known,
            holds: known.then_some(seen.holds),
        }
    }

    pub(crate) fn statement(
        &self,
        explanation: &Explanation,
        statement: &MatchedStatement,
        conditions: &[SeenCondition],
    ) -> StatementLine {
        StatementLine {
            layer: layer_name(statement.layer).to_owned(),
            policy: policy_in_words(explanation, statement),
            statement: statement.index.saturating_add(1),
            sid: statement.sid.as_deref().map(str::to_owned),
            effect: match statement.effect {
                Effect::Allow => "Allow".to_owned(),
                Effect::Deny => "Deny".to_owned(),
            },
            conditions: conditions.iter().map(|it| self.condition(it)).collect(),
        }
    }

    /// A statement of the evaluator's trace, with its conditions.
    fn traced(&self, explanation: &Explanation, statement: &MatchedStatement) -> StatementLine {
        let found = explanation
            .layers
            .iter()
            .flat_map(|layer| &layer.statements)
            .find(|spoken| spoken.statement == *statement);
        let mut doubtful = explanation
            .doubtful
            .iter()
            .filter(|it| it.statement == *statement)
            .map(|it| &it.conditions);
        let conditions = found
            .map(|spoken| &spoken.conditions)
            .or(doubtful.next_back());
        self.statement(
            explanation,
            statement,
            conditions.map_or(&[], Vec::as_slice),
        )
    }

    pub(crate) fn layers(&self, explanation: &Explanation) -> Vec<LayerLine> {
        let line = |found: &LayerFinding| LayerLine {
            layer: layer_name(found.layer).to_owned(),
            name: match found.layer {
                Layer::Identity => "identity policies".to_owned(),
                Layer::Boundary => "permissions boundary".to_owned(),
                Layer::Session => "session policies".to_owned(),
                Layer::Resource => resource_policy(explanation).to_owned(),
                Layer::Grant => "grants".to_owned(),
                Layer::Acl => "access control list".to_owned(),
            },
            says: match found.speaks {
                Speaks::Denies => "denies",
                Speaks::Allows => "allows",
                Speaks::Delegates => "delegates",
                Speaks::Silent => "silent",
                Speaks::Absent => "absent",
                Speaks::Unreadable => "unreadable",
            }
            .to_owned(),
            statements: found
                .statements
                .iter()
                .take(STATEMENTS_SHOWN)
                .map(|spoken| self.statement(explanation, &spoken.statement, &spoken.conditions))
                .collect(),
        };
        let has_grants = explanation.kind == ResourceKind::Key;
        explanation
            .layers
            .iter()
            .filter(|found| found.layer != Layer::Grant || has_grants)
            .map(line)
            .collect()
    }

    pub(crate) fn near_misses(&self, explanation: &Explanation) -> Vec<NearMissLine> {
        explanation
            .near_misses
            .iter()
            .take(STATEMENTS_SHOWN)
            .map(|miss| NearMissLine {
                statement: self.statement(explanation, &miss.statement, &miss.failed),
                for_others: miss.is_for_others,
            })
            .collect()
    }

    /// The doubtful statements on which it depends; of those that allow only where they must.
    pub(crate) fn doubtful(
        &self,
        explanation: &Explanation,
        only_denials: bool,
    ) -> Vec<StatementLine> {
        let doubtful = explanation.doubtful.iter();
        doubtful
            .filter(|it| !only_denials || it.statement.effect == Effect::Deny)
            .map(|it| self.statement(explanation, &it.statement, &it.conditions))
            .collect()
    }

    /// The statements that decided, in the order in which one leads to the next.
    pub(crate) fn deciding(&self, explanation: &Explanation) -> Vec<StatementLine> {
        let matched = &explanation.decision.matched;
        let of = |layer, effect| {
            let mut found = matched
                .iter()
                .filter(|it| it.layer == layer && it.effect == effect);
            found.next().map(|it| self.traced(explanation, it))
        };
        let allow = |layer| of(layer, Effect::Allow);
        let deciding = || {
            explanation
                .deciding()
                .map(|it| self.traced(explanation, it))
        };
        let found: [Option<StatementLine>; 2] = match explanation.decision.outcome {
            Outcome::ExplicitlyDenied(layer) => [of(layer, Effect::Deny), None],
            Outcome::ImplicitlyDenied(_) | Outcome::Unreadable(_) => [None, None],
            Outcome::Allowed(AllowedBy::Root) => [allow(Layer::Resource), None],
            Outcome::Allowed(AllowedBy::Resource) => [deciding(), None],
            Outcome::Allowed(AllowedBy::Identity) => {
                let delegates = explanation.kind != ResourceKind::Ordinary;
                let resource = allow(Layer::Resource).filter(|_| delegates);
                [resource, allow(Layer::Identity)]
            }
            Outcome::Allowed(AllowedBy::IdentityAndResource) => {
                [allow(Layer::Resource), allow(Layer::Identity)]
            }
            Outcome::Allowed(AllowedBy::Grant) => [allow(Layer::Grant), None],
            Outcome::Allowed(AllowedBy::Acl) => [allow(Layer::Acl), allow(Layer::Identity)],
        };
        found.into_iter().flatten().collect()
    }

    /// The chain that allows, in words.
    pub(crate) fn chain(&self, explanation: &Explanation) -> Vec<String> {
        let mut chain: Vec<String> = self
            .deciding(explanation)
            .iter()
            .map(statement_in_words)
            .collect();
        if explanation.principal.ends_with(":root") {
            chain.push("root user of the account".to_owned());
        }
        chain
    }

    /// Why it is denied, in words.
    pub(crate) fn why_denied(&self, explanation: &Explanation) -> String {
        match explanation.decision.outcome {
            Outcome::Allowed(_) => "it is refused before any policy is asked".to_owned(),
            Outcome::ExplicitlyDenied(_) => match self.deciding(explanation).first() {
                Some(statement) => format!("{} denies it", statement_in_words(statement)),
                None => "a statement denies it".to_owned(),
            },
            Outcome::ImplicitlyDenied(_) => {
                let names: Vec<_> = explanation
                    .missing
                    .iter()
                    .map(|layer| match layer {
                        Layer::Resource | Layer::Grant | Layer::Acl => resource_policy(explanation),
                        Layer::Identity => "identity policy",
                        Layer::Boundary => "permissions boundary",
                        Layer::Session => "session policy",
                    })
                    .collect();
                let or_grant = if explanation.kind == ResourceKind::Key
                    && explanation.missing.first() == Some(&Layer::Resource)
                {
                    " or grant"
                } else {
                    ""
                };
                format!("no {}{or_grant} allows it", names.join(" and no "))
            }
            Outcome::Unreadable(Layer::Identity) => {
                "its policies cannot be read, or its account is disabled".to_owned()
            }
            Outcome::Unreadable(layer) => {
                let name = layer_name(layer);
                format!("what is stored of the {name} policy cannot be read")
            }
        }
    }

    /// What would have to change.
    pub(crate) fn remedies(&self, explanation: &Explanation) -> Vec<String> {
        let Explanation {
            principal,
            action,
            resource,
            same_account,
            kind,
            ..
        } = explanation;
        let policy = resource_policy(explanation);
        match explanation.decision.outcome {
            Outcome::Allowed(_) => Vec::new(),
            Outcome::ExplicitlyDenied(_) => {
                let Some(statement) = self.deciding(explanation).into_iter().next() else {
                    return Vec::new();
                };
                let mut lines = vec![format!(
                    "a Deny outweighs every Allow: remove or narrow {}",
                    statement_in_words(&statement)
                )];
                if !statement.conditions.is_empty() {
                    let conditions: Vec<_> =
                        statement.conditions.iter().map(condition_in_words).collect();
                    lines.push(format!(
                        "or make a request for which one of these does not hold: {}",
                        conditions.join("; ")
                    ));
                }
                lines
            }
            Outcome::Unreadable(_) => vec!["look at the server's log: a row is damaged".to_owned()],
            Outcome::ImplicitlyDenied(_) => explanation
                .missing
                .iter()
                .map(|layer| match layer {
                    Layer::Identity if principal == "anonymous" => {
                        "sign the request: who does not sign has no part in this".to_owned()
                    }
                    Layer::Identity => format!(
                        "attach a policy to {principal} that allows {action} on {resource}"
                    ),
                    Layer::Resource | Layer::Grant | Layer::Acl => match kind {
                        ResourceKind::Key if *same_account => format!(
                            "let the {policy} allow {action} to {principal}, or to its account (then its identity policies decide), or make a grant"
                        ),
                        ResourceKind::Key => format!(
                            "let the {policy} allow {action} to {principal} or its account, or make a grant"
                        ),
                        ResourceKind::RoleTrust | ResourceKind::Ordinary => {
                            format!("let the {policy} of {resource} allow {action} to {principal}")
                        }
                    },
                    Layer::Boundary => format!(
                        "let the permissions boundary of {principal} allow {action} on {resource}"
                    ),
                    Layer::Session => format!(
                        "make the session with a session policy that allows {action} on {resource}, or with none"
                    ),
                })
                .collect(),
        }
    }
}
