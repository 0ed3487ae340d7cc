//! Why requests were denied, kept until their answers are written: services tell their callers only
//! AWS's text, and the whole decision goes out sealed (STS API Reference, DecodeAuthorizationMessage).

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use strongroom_types::{AccountId, Principal, RequestId};

use crate::decision::{Decision, Layer, Outcome};
use crate::document::Effect;
use crate::evaluate::{Question, explain};

/// Denials that are kept at most, each in the one place that its request's id has. Who floods the
/// server makes others lose explanations, nothing else.
const SLOTS: usize = 1024;
/// Longest explanation, in bytes: sealed and encoded it must fit into a header.
const MESSAGE_MAX_BYTES: usize = 2048;
/// Statements that are named at most.
const STATEMENTS_MAX: usize = 16;

/// A decision against a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// The caller's account, whose people may read it.
    pub account: AccountId,
    /// JSON, as DecodeAuthorizationMessage gives it; at most 2 KiB. It holds nothing secret.
    pub message: String,
}

/// A denial under the first eight bytes of its request's id.
type Slot = Mutex<Option<(u64, Denial)>>;

/// The last denials, by request.
pub struct Denials {
    slots: Box<[Slot]>,
}

impl std::fmt::Debug for Denials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Denials")
    }
}

impl Default for Denials {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Denials {
    /// Takes the last denial of a request out, by the first eight bytes of its id: those are what all
    /// services print.
    pub fn take(&self, request: u64) -> Option<Denial> {
        let mut slot = self.slot(request)?;
        match slot.take() {
            Some((id, denial)) if id == request => Some(denial),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// Keeps a decision against `question`, if its caller may ever learn of it: nobody may whom the
    /// decision would tell that something exists in another account. Between accounts, that it was
    /// denied is explained by what the request said itself: not even by which of the caller's
    /// own statements apply may it learn what the resource is like.
    pub(crate) fn keep(&self, question: &Question<'_>, decision: &Decision) {
        let principal = &question.context.principal;
        let Some(account) = principal.account() else {
            return;
        };
        let is_own = account == question.resource.owner;
        if !is_own && !question.resource.arn.starts_with("arn:aws:s3:") {
            return;
        }
        let as_sent = question.conditions.as_sent();
        let question = &Question {
            conditions: if is_own {
                question.conditions
            } else {
                &as_sent
            },
            ..*question
        };
        // What was too much work is not tried again.
        let whole = match decision.outcome {
            Outcome::Unreadable(_) => decision.clone(),
            Outcome::Allowed(_) | Outcome::ExplicitlyDenied(_) | Outcome::ImplicitlyDenied(_) => {
                explain(question)
            }
        };
        let denial = Denial {
            account,
            message: message(question, &whole, is_own),
        };
        let request = prefix(question.context.request_id);
        if let Some(mut slot) = self.slot(request) {
            *slot = Some((request, denial));
        }
    }

    fn slot(&self, request: u64) -> Option<std::sync::MutexGuard<'_, Option<(u64, Denial)>>> {
        let index = usize::try_from(request % (SLOTS as u64)).ok()?;
        let slot = self.slots.get(index)?;
        Some(slot.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn prefix(id: RequestId) -> u64 {
    let first = id.as_bytes().first_chunk::<8>();
    first.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// What DecodeAuthorizationMessage shows of a decision. To who owns the resource it names statements
/// of every layer, to others those of their own side only.
fn message(question: &Question<'_>, decision: &Decision, is_own: bool) -> String {
    let may_see = |layer: Layer| match layer {
        Layer::Identity | Layer::Boundary | Layer::Session => true,
        Layer::Resource | Layer::Grant | Layer::Acl => is_own,
    };
    let statements: Vec<Value> = decision
        .matched
        .iter()
        .filter(|it| may_see(it.layer))
        .take(STATEMENTS_MAX)
        .map(|it| {
            json!({
                "statementId": it.sid.as_deref().unwrap_or_default(),
                "effect": match it.effect {
                    Effect::Allow => "Allow",
                    Effect::Deny => "Deny",
                },
                "index": it.index,
                "sourcePolicyId": &*it.policy,
                "sourcePolicyType": it.layer.policy_type(),
            })
        })
        .collect();
    let mut seen = decision.matched.iter().filter(|it| may_see(it.layer));
    let explicit = seen.any(|it| it.effect == Effect::Deny);
    let missing = match decision.outcome {
        Outcome::ImplicitlyDenied(layer) if may_see(layer) => Some(layer.policy_type()),
        Outcome::ImplicitlyDenied(_)
        | Outcome::Allowed(_)
        | Outcome::ExplicitlyDenied(_)
        | Outcome::Unreadable(_) => None,
    };
    let written = |statements: &[Value], conditions: Vec<Value>| {
        json!({
            "allowed": false,
            "explicitDeny": explicit,
            "missingAllowOf": missing,
            "matchedStatements": { "items": statements },
            "failures": { "items": [] },
            "context": {
                "principal": principal(&question.context.principal),
                "action": question.action,
                "resource": question.resource.arn,
                "conditions": { "items": conditions },
            },
        })
        .to_string()
    };
    // The longest first: what does not fit is left out whole, so that JSON stays JSON.
    let whole = written(&statements, conditions(question));
    if whole.len() <= MESSAGE_MAX_BYTES {
        return whole;
    }
    let shorter = written(&statements, Vec::new());
    if shorter.len() <= MESSAGE_MAX_BYTES {
        return shorter;
    }
    json!({
        "allowed": false,
        "explicitDeny": explicit,
        "missingAllowOf": missing,
        "context": { "action": question.action },
    })
    .to_string()
}

fn principal(principal: &Principal) -> Value {
    let (id, name) = match principal {
        Principal::Root { account } => (account.to_string(), "root".to_owned()),
        Principal::User {
            user_id,
            path_and_name,
            ..
        } => {
            let name = path_and_name.rsplit('/').next().unwrap_or_default();
            (user_id.to_string(), name.to_owned())
        }
        Principal::RoleSession {
            role_id,
            role_name,
            session_name,
            ..
        } => (format!("{role_id}:{session_name}"), role_name.to_string()),
        Principal::Federated { account, name } => (format!("{account}:{name}"), name.to_string()),
        Principal::Service { name, .. } => (name.to_string(), name.to_string()),
        Principal::Anonymous => ("anonymous".to_owned(), "anonymous".to_owned()),
    };
    json!({ "id": id, "name": name, "arn": principal.arn() })
}

fn conditions(question: &Question<'_>) -> Vec<Value> {
    let context = question.context;
    let own = |key: &str, value: String| (key.to_owned(), vec![value]);
    let global = [
        own("aws:SourceIp", context.source_ip.to_canonical().to_string()),
        own("aws:RequestedRegion", context.region.as_str().to_owned()),
    ];
    let brought = question
        .conditions
        .all()
        .into_iter()
        .map(|(key, values)| (key.to_owned(), values.to_vec()));
    global
        .into_iter()
        .chain(brought)
        .map(|(key, values)| {
            let values: Vec<Value> = values.iter().map(|it| json!({ "value": it })).collect();
            json!({ "key": key, "values": { "items": values } })
        })
        .collect()
}
