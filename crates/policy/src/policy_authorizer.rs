//! The authorizer of a server with policies.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::authorize::{AccessRequest, Authorizer, Denied};
use crate::decision::{Decision, Outcome};
use crate::evaluate::{Question, QuestionedResource, evaluate, explain};
use crate::identity::IdentityPolicies;
use crate::{Policy, Unreadable};

/// Decides by the policies of the principal, the resource's own, and grants.
pub struct PolicyAuthorizer {
    identities: Arc<dyn IdentityPolicies>,
    compiled: CompiledPolicies,
}

impl fmt::Debug for PolicyAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PolicyAuthorizer")
    }
}

impl PolicyAuthorizer {
    /// Decides by what `identities` finds.
    pub fn new(identities: Arc<dyn IdentityPolicies>) -> Self {
        Self {
            identities,
            compiled: CompiledPolicies::default(),
        }
    }

    /// The decision, with all that had a part in it.
    pub fn explain(&self, request: &AccessRequest<'_>) -> Decision {
        self.with_question(request, explain)
    }

    fn with_question<T>(
        &self,
        request: &AccessRequest<'_>,
        answer: impl FnOnce(&Question<'_>) -> T,
    ) -> T {
        let AccessRequest {
            context,
            action,
            resource,
            conditions,
            resource_policy,
            grants,
        } = *request;
        let policies = self.identities.policies_of(context);
        let resource_policy = resource_policy.map(|text| self.compiled.compile(text));
        let arn = resource.arn();
        answer(&Question {
            context,
            action,
            resource: QuestionedResource {
                arn: &arn,
                owner: resource.owner(),
                kind: resource.kind(),
            },
            conditions,
            principal: policies.as_ref().map_err(|error| *error),
            resource_policy: match &resource_policy {
                None => Ok(None),
                Some(Ok(policy)) => Ok(Some(policy)),
                Some(Err(error)) => Err(*error),
            },
            grants,
            overrides: None,
        })
    }
}

impl Authorizer for PolicyAuthorizer {
    fn decide(&self, request: &AccessRequest<'_>) -> Result<(), Denied> {
        self.with_question(request, |question| {
            let decision = evaluate(question);
            match decision.outcome {
                Outcome::Allowed(_) => Ok(()),
                Outcome::ExplicitlyDenied(_)
                | Outcome::ImplicitlyDenied(_)
                | Outcome::Unreadable(_) => Err(Denied {
                    message: decision.message(question),
                }),
            }
        })
    }
}

/// Resource policies that were compiled lately. What is remembered is a pure function of the text,
/// never a decision.
struct CompiledPolicies {
    slots: Box<[Mutex<Option<Remembered>>]>,
}

struct Remembered {
    text: Box<str>,
    compiled: Result<Arc<Policy>, Unreadable>,
}

/// Policies that are remembered at most; each text has one place.
const SLOTS: usize = 256;

impl Default for CompiledPolicies {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl CompiledPolicies {
    fn compile(&self, text: &str) -> Result<Arc<Policy>, Unreadable> {
        let slot = self.slots.get(hash(text) % SLOTS);
        let remembered = slot.and_then(|slot| {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let found = slot.as_ref().filter(|it| *it.text == *text);
            found.map(|it| it.compiled.clone())
        });
        if let Some(compiled) = remembered {
            return compiled;
        }
        let compiled = Policy::parse(text).map(Arc::new).map_err(|_| Unreadable);
        if let Some(slot) = slot {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Remembered {
                text: text.into(),
                compiled: compiled.clone(),
            });
        }
        compiled
    }
}

/// Finds the place of a text. Texts are compared whole, so it need not be good, only fast: who makes
/// two texts share a place makes them slower.
fn hash(text: &str) -> usize {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mix =
        |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let hash = words
        .iter()
        .fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = rest
        .iter()
        .fold(hash, |hash, byte| mix(hash, u64::from(*byte)));
    usize::try_from(hash >> 40).unwrap_or_default()
}
