//! Why a decision is what it is: every layer with the statements that spoke, those that nearly did,
//! and what is missing. Also decisions about requests that are not wholly known yet.
//!
//! The decision in an [`Explanation`] is the evaluator's own. The rest is found by going through the
//! same statements once more, which no request waits for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_types::Principal;

use crate::authorize::{AccessRequest, Authorizer, Denied};
use crate::compile::{CompiledStatement, Policy};
use crate::decision::{Decision, Layer, MatchedStatement, Outcome};
use crate::document::Effect;
use crate::evaluate::{
    Question, QuestionedResource, ResourceKind, covers, explain_in_doubt, matched,
    policy_that_counts,
};
use crate::facts::Facts;
use crate::pattern::Arn;
use crate::policy_authorizer::PolicyAuthorizer;
use crate::principals::Namings;
use crate::{Conditions, PrincipalPolicies};

/// What is not known of a request, and what is made of it.
#[derive(Clone, Copy, Debug)]
pub struct Doubt<'a> {
    /// Condition keys in lower case whose values are not known; `aws:requesttag/*` is all keys that
    /// begin so.
    pub unknown: &'a [String],
    /// What is made of statements whose conditions ask for them.
    pub hope: Hope,
}

/// What is made of statements that apply only if what is not known suits them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hope {
    /// All that allow apply, none that denies: who is denied even so is denied always.
    Best,
    /// All that deny apply, none that allows: who is allowed even so is allowed always.
    Worst,
    /// None applies.
    Neither,
}

impl Doubt<'_> {
    pub(crate) fn is_unknown(&self, key: &str) -> bool {
        self.unknown
            .iter()
            .any(|unknown| match unknown.strip_suffix('*') {
                Some(prefix) => key.starts_with(prefix),
                None => key == unknown,
            })
    }

    pub(crate) fn counts(&self, effect: Effect) -> bool {
        match self.hope {
            Hope::Best => effect == Effect::Allow,
            Hope::Worst => effect == Effect::Deny,
            Hope::Neither => false,
        }
    }
}

/// A condition of a statement, and what it finds in the request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenCondition {
    /// The operator, such as `StringEqualsIfExists`.
    pub operator: String,
    /// The key as it was written.
    pub key: String,
    /// With what it is compared.
    pub expected: Vec<String>,
    /// The request's values; `None` if it has no such key.
    pub found: Option<Vec<String>>,
    /// Whether the condition holds.
    pub holds: bool,
}

/// A statement that applies if what is not known suits its conditions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Doubtful {
    /// The statement.
    pub statement: MatchedStatement,
    /// Those of its conditions that ask for what is not known.
    pub conditions: Vec<SeenCondition>,
}

/// A statement about the action on the resource that does not apply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NearMiss {
    /// The statement.
    pub statement: MatchedStatement,
    /// Whether it is about other principals.
    pub is_for_others: bool,
    /// Its conditions that do not hold.
    pub failed: Vec<SeenCondition>,
}

/// What a layer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaks {
    /// It denies.
    Denies,
    /// It allows.
    Allows,
    /// The resource's policy leaves it to the identity policies of the caller's account.
    Delegates,
    /// It has nothing to say about this.
    Silent,
    /// There is no such policy.
    Absent,
    /// It cannot be read, which denies.
    Unreadable,
}

/// One layer of a decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LayerFinding {
    /// The layer.
    pub layer: Layer,
    /// What it says.
    pub speaks: Speaks,
    /// How many policies it is made of.
    pub policies: usize,
    /// The statements that say so.
    pub statements: Vec<Spoken>,
}

/// A statement that has a part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spoken {
    /// The statement.
    pub statement: MatchedStatement,
    /// Its conditions, which hold.
    pub conditions: Vec<SeenCondition>,
    /// It allows by naming the caller's account, and so leaves it to that account's policies.
    pub delegates: bool,
}

/// A decision, and how it came about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The ARN of who asks.
    pub principal: String,
    /// The action.
    pub action: String,
    /// The ARN of what it is done to.
    pub resource: String,
    /// Whether who asks is of the account that owns the resource.
    pub same_account: bool,
    /// What the resource's policy is worth.
    pub kind: ResourceKind,
    /// The evaluator's decision, with its whole trace.
    pub decision: Decision,
    /// Every layer, in the order resource, identity, boundary, session, grants.
    pub layers: Vec<LayerFinding>,
    /// Statements that nearly had a part.
    pub near_misses: Vec<NearMiss>,
    /// Statements that apply if what is not known suits them; empty unless there was a [`Doubt`].
    pub doubtful: Vec<Doubtful>,
    /// The layers that would have to allow it and do not; empty if it is allowed, or denied by a
    /// statement.
    pub missing: Vec<Layer>,
}

impl Explanation {
    /// The statement that decided, if one did.
    pub fn deciding(&self) -> Option<&MatchedStatement> {
        let matched = &self.decision.matched;
        match self.decision.outcome {
            Outcome::ExplicitlyDenied(_) => matched.iter().find(|it| it.effect == Effect::Deny),
            Outcome::Allowed(by) => {
                use crate::AllowedBy as By;
                let layer = match by {
                    By::Root => return None,
                    By::Identity | By::IdentityAndResource => Layer::Identity,
                    By::Resource => Layer::Resource,
                    By::Grant => Layer::Grant,
                    By::Acl => Layer::Acl,
                };
                let mut found = matched.iter().filter(|it| it.layer == layer);
                // Who is named himself is not allowed by what names his account.
                let delegates = |it: &MatchedStatement| {
                    let mut spoken = self.layers.iter().flat_map(|layer| &layer.statements);
                    spoken.any(|spoken| spoken.delegates && spoken.statement == *it)
                };
                let first = found.clone().next();
                // A root user has no identity policies that could have decided.
                let resource = || matched.iter().find(|it| it.layer == Layer::Resource);
                found.find(|it| !delegates(it)).or(first).or_else(resource)
            }
            Outcome::ImplicitlyDenied(_) | Outcome::Unreadable(_) => None,
        }
    }
}

/// Decides, as [`explain()`](crate::explain()) does where there is no doubt, and says how it came
/// about.
pub fn explain_wholly(question: &Question<'_>, doubt: Option<&Doubt<'_>>) -> Explanation {
    let (decision, doubtful) = explain_in_doubt(question, doubt);
    let nobody = PrincipalPolicies::default();
    let policies = question.principal.unwrap_or(&nobody);
    let facts = Facts::new(
        question.context,
        &policies.attributes,
        question.resource.owner,
        question.conditions,
        question.overrides,
    );
    let mut search = Search {
        action: &question.action.to_ascii_lowercase(),
        resource: Arn::split(question.resource.arn),
        kind: question.resource.kind,
        facts: &facts,
        near_misses: Vec::new(),
    };
    let resource_policy = policy_that_counts(question);
    let layers = vec![
        match resource_policy {
            Ok(policy) => search.resource(policy),
            Err(_) => unreadable(Layer::Resource),
        },
        match question.principal {
            Ok(it) => search.layer(Layer::Identity, it.identity.iter()),
            Err(_) => unreadable(Layer::Identity),
        },
        search.layer(Layer::Boundary, policies.boundary.iter()),
        search.layer(Layer::Session, policies.session.iter()),
        grants(&decision, question.grants.is_some()),
    ];
    let QuestionedResource { owner, kind, arn } = question.resource;
    let principal = &question.context.principal;
    let same_account = principal.account() == Some(owner);
    let missing = missing(&decision, &layers, principal, same_account);
    Explanation {
        principal: principal.arn(),
        action: question.action.to_owned(),
        resource: arn.to_owned(),
        same_account,
        kind,
        near_misses: search.near_misses,
        decision,
        layers,
        doubtful,
        missing,
    }
}

/// The layers that would have to allow and do not. Beside the one that the evaluator names first,
/// those that would be named next.
fn missing(
    decision: &Decision,
    layers: &[LayerFinding],
    principal: &Principal,
    same_account: bool,
) -> Vec<Layer> {
    let Outcome::ImplicitlyDenied(first) = decision.outcome else {
        return Vec::new();
    };
    let is_silent = |layer| {
        let found = layers.iter().find(|it| it.layer == layer);
        found.is_some_and(|it| it.speaks == Speaks::Silent)
    };
    let is_without_identity = |layer| {
        let found = layers.iter().find(|it| it.layer == layer);
        found.is_some_and(|it| it.speaks == Speaks::Absent)
    };
    let mut missing = vec![first];
    let has_policies = matches!(
        principal,
        Principal::User { .. } | Principal::RoleSession { .. } | Principal::Federated { .. }
    );
    if first == Layer::Resource
        && !same_account
        && has_policies
        && (is_silent(Layer::Identity) || is_without_identity(Layer::Identity))
    {
        missing.push(Layer::Identity);
    }
    for limit in [Layer::Boundary, Layer::Session] {
        if first != limit && is_silent(limit) {
            missing.push(limit);
        }
    }
    missing
}

fn unreadable(layer: Layer) -> LayerFinding {
    LayerFinding {
        layer,
        speaks: Speaks::Unreadable,
        policies: 0,
        statements: Vec::new(),
    }
}

fn grants(decision: &Decision, has_grants: bool) -> LayerFinding {
    let granted = decision
        .matched
        .iter()
        .filter(|it| it.layer == Layer::Grant);
    let statements: Vec<_> = granted
        .map(|it| Spoken {
            statement: it.clone(),
            conditions: Vec::new(),
            delegates: false,
        })
        .collect();
    LayerFinding {
        layer: Layer::Grant,
        speaks: match (statements.is_empty(), has_grants) {
            (false, _) => Speaks::Allows,
            // Grants are asked only where nothing else decides.
            (true, true) => Speaks::Silent,
            (true, false) => Speaks::Absent,
        },
        policies: statements.len(),
        statements,
    }
}

/// Goes through the statements for what they nearly said.
struct Search<'a> {
    /// In lower case.
    action: &'a str,
    resource: Arn<'a>,
    kind: ResourceKind,
    facts: &'a Facts<'a>,
    near_misses: Vec<NearMiss>,
}

impl Search<'_> {
    fn resource(&mut self, policy: Option<&Policy>) -> LayerFinding {
        let mut finding = LayerFinding {
            layer: Layer::Resource,
            speaks: Speaks::Absent,
            policies: usize::from(policy.is_some()),
            statements: Vec::new(),
        };
        let Some(policy) = policy else {
            return finding;
        };
        finding.speaks = Speaks::Silent;
        let mut namings = Namings::NONE;
        for (index, statement) in policy.statements.iter().enumerate() {
            let named = match (statement.effect, &statement.principal) {
                (Effect::Allow, Some(principal)) => principal.allows(self.facts),
                (Effect::Deny, None) => Namings::ITSELF,
                (Effect::Deny, Some(principal)) if principal.denies(self.facts) => Namings::ITSELF,
                (Effect::Allow, None) | (Effect::Deny, Some(_)) => Namings::NONE,
            };
            let is_for_others = named == Namings::NONE;
            let Some(spoken) =
                self.applies(Layer::Resource, None, (index, statement), is_for_others)
            else {
                continue;
            };
            finding.statements.push(Spoken {
                delegates: statement.effect == Effect::Allow && named == Namings::ACCOUNT,
                ..spoken
            });
            if statement.effect == Effect::Deny {
                finding.speaks = Speaks::Denies;
            } else {
                namings = namings.or(named);
            }
        }
        if finding.speaks != Speaks::Denies && namings != Namings::NONE {
            finding.speaks = if namings == Namings::ACCOUNT {
                Speaks::Delegates
            } else {
                Speaks::Allows
            };
        }
        finding
    }

    fn layer<'p>(
        &mut self,
        layer: Layer,
        policies: impl Iterator<Item = &'p crate::NamedPolicy>,
    ) -> LayerFinding {
        let mut finding = LayerFinding {
            layer,
            speaks: Speaks::Absent,
            policies: 0,
            statements: Vec::new(),
        };
        for named in policies {
            finding.policies = finding.policies.saturating_add(1);
            if finding.speaks == Speaks::Absent {
                finding.speaks = Speaks::Silent;
            }
            for (index, statement) in named.policy.statements.iter().enumerate() {
                // As the evaluator has it: such a statement may only restrict.
                if statement.effect == Effect::Allow && statement.principal.is_some() {
                    continue;
                }
                let found = self.applies(layer, Some(&named.name), (index, statement), false);
                let Some(spoken) = found else {
                    continue;
                };
                finding.statements.push(spoken);
                finding.speaks = match (finding.speaks, statement.effect) {
                    (Speaks::Denies, _) | (_, Effect::Deny) => Speaks::Denies,
                    (_, Effect::Allow) => Speaks::Allows,
                };
            }
        }
        finding
    }

    /// The statement and its conditions if it applies; noted if it nearly does.
    fn applies(
        &mut self,
        layer: Layer,
        policy: Option<&Arc<str>>,
        (index, statement): (usize, &CompiledStatement),
        is_for_others: bool,
    ) -> Option<Spoken> {
        let Self {
            action,
            resource,
            kind,
            facts,
            ..
        } = self;
        if !covers(statement, layer, *kind, action, resource, facts) {
            return None;
        }
        let seen = statement.conditions_seen(facts);
        let named = matched(layer, policy, index, statement);
        let failed: Vec<_> = seen.iter().filter(|it| !it.holds).cloned().collect();
        if failed.is_empty() && !is_for_others {
            return Some(Spoken {
                statement: named,
                conditions: seen,
                delegates: false,
            });
        }
        self.near_misses.push(NearMiss {
            statement: named,
            is_for_others,
            failed,
        });
        None
    }
}

/// An authorizer that decides as another would and keeps how each decision came about: services that
/// stand on it do what they always do, and can be asked why.
pub struct Witness {
    by: Arc<PolicyAuthorizer>,
    /// Values of condition keys that stand for those of the requests.
    given: Conditions,
    /// Condition keys whose values are not known.
    unknown: Vec<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hope: Option<Hope>,
    seen: Vec<Explanation>,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

impl Witness {
    /// Decides as `by` does, about requests that have the values of `given` and of which the keys of
    /// `unknown` are not known (see [`Doubt::unknown`]).
    pub fn new(by: Arc<PolicyAuthorizer>, given: Conditions, unknown: Vec<String>) -> Self {
        Self {
            by,
            given,
            unknown,
            state: Mutex::default(),
        }
    }

    /// Does `work` and gives its answer with the decisions that it asked for, in their order. With a
    /// hope, what is not known is taken that way; without, it is as absent as it is in the request.
    ///
    /// One at a time: who shares a witness between threads mixes what they see.
    pub fn watch<T>(&self, hope: Option<Hope>, work: impl FnOnce() -> T) -> (T, Vec<Explanation>) {
        *self.state() = State {
            hope,
            seen: Vec::new(),
        };
        let answer = work();
        let seen = std::mem::take(&mut self.state().seen);
        (answer, seen)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authorizer for Witness {
    fn decide(&self, request: &AccessRequest<'_>) -> Result<(), Denied> {
        let hope = self.state().hope;
        let unknown: Vec<String> = self
            .unknown
            .iter()
            // A call that a service makes has no address, and that is known.
            .filter(|key| request.context.via_service.is_none() || *key != "aws:sourceip")
            .cloned()
            .collect();
        let doubt = hope.map(|hope| Doubt {
            unknown: &unknown,
            hope,
        });
        self.by.with_question(request, |question| {
            let question = Question {
                overrides: Some(&self.given),
                ..*question
            };
            let explanation = explain_wholly(&question, doubt.as_ref());
            let answer = if explanation.decision.is_allowed() {
                Ok(())
            } else {
                Err(Denied {
                    message: explanation.decision.message(&question),
                    is_implicit: matches!(
                        explanation.decision.outcome,
                        Outcome::ImplicitlyDenied(_)
                    ),
                })
            };
            self.state().seen.push(explanation);
            answer
        })
    }
}
