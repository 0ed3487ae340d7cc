//! The decision: who may do what, by AWS's rules (IAM User Guide, "Policy evaluation logic"; KMS
//! Developer Guide, "Determining access to AWS KMS keys").
//!
//! ```text
//! unreadable policy state, or too much work   -> deny
//! a Deny that applies, anywhere               -> deny
//! resource policy, identity policies,         -> allow, as far as the account, the way in which the
//! boundary, session policies, grants,            resource policy names the caller, and the kind of
//! access control lists                           resource demand
//! nothing                                     -> deny
//! ```

use std::sync::Arc;

use strongroom_types::{AccountId, CanonicalId, Principal, RequestContext};

use crate::acl::{self, Acls, Speaking};
use crate::compile::{Applies, CompiledStatement, Policy};
use crate::decision::{AllowedBy, Decision, Layer, MatchedStatement, Outcome};
use crate::document::Effect;
use crate::explanation::{Doubt, Doubtful};
use crate::facts::Facts;
use crate::grants;
use crate::pattern::Arn;
use crate::principals::Namings;
use crate::{Conditions, GrantSource, NamedPolicy, PrincipalPolicies, Unreadable};

/// Everything that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks, from where.
    pub context: &'a RequestContext,
    /// The IAM action, such as `kms:Decrypt`, in any case.
    pub action: &'a str,
    /// What it is done to.
    pub resource: QuestionedResource<'a>,
    /// The request's values of the service's own condition keys.
    pub conditions: &'a Conditions,
    /// The principal's policies.
    pub principal: Result<&'a PrincipalPolicies, Unreadable>,
    /// The resource's policy, if it has one.
    pub resource_policy: Result<Option<&'a Policy>, Unreadable>,
    /// The resource's grants, if its kind has them.
    pub grants: Option<&'a dyn GrantSource>,
    /// The access control lists, where they count.
    pub acls: Option<Acls<'a>>,
    /// Values that stand for those of the request, global keys included: for simulations only.
    pub overrides: Option<&'a Conditions>,
}

/// A resource, as a decision sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuestionedResource<'a> {
    /// Its ARN.
    pub arn: &'a str,
    /// The account that owns it.
    pub owner: AccountId,
    /// What its policy is worth.
    pub kind: ResourceKind,
}

/// Whether the resource's own policy must consent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ResourceKind {
    /// In its own account, identity policies are enough.
    Ordinary,
    /// A KMS key: nobody has any right on it but by its policy or a grant.
    Key,
    /// A role as what is assumed: nobody assumes it but by its trust policy.
    RoleTrust,
}

/// How much of the trace is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trace {
    /// Enough for the decision.
    Needed,
    /// Every statement that applies.
    Whole,
}

/// How a question is answered.
#[derive(Clone, Copy, Debug)]
struct Mode<'a> {
    trace: Trace,
    /// Which condition keys have values that nobody knows yet; for explanations only.
    doubt: Option<&'a Doubt<'a>>,
}

/// Decides.
pub fn evaluate(question: &Question<'_>) -> Decision {
    let mode = Mode {
        trace: Trace::Needed,
        doubt: None,
    };
    decide(question, mode).0
}

/// Decides alike, and names every statement that applies.
pub fn explain(question: &Question<'_>) -> Decision {
    explain_in_doubt(question, None).0
}

/// As [`explain()`], of a request that is not wholly known, with the statements that could apply to
/// it.
pub(crate) fn explain_in_doubt(
    question: &Question<'_>,
    doubt: Option<&Doubt<'_>>,
) -> (Decision, Vec<Doubtful>) {
    let mode = Mode {
        trace: Trace::Whole,
        doubt,
    };
    decide(question, mode)
}

fn decide(question: &Question<'_>, mode: Mode<'_>) -> (Decision, Vec<Doubtful>) {
    let unreadable = |layer| {
        let decision = Decision {
            outcome: Outcome::Unreadable(layer),
            matched: Vec::new(),
        };
        (decision, Vec::new())
    };
    let Ok(policies) = question.principal else {
        return unreadable(Layer::Identity);
    };
    let Ok(resource_policy) = policy_that_counts(question) else {
        return unreadable(Layer::Resource);
    };
    let facts = Facts::new(
        question.context,
        &policies.attributes,
        question.resource.owner,
        question.conditions,
        question.overrides,
    );
    let action = question.action.to_ascii_lowercase();
    let acl = question
        .acls
        .and_then(|acls| acls.speaking(&action, question.context.canonical_id.as_ref()));
    let foreign_owner = acl.as_ref().and_then(|acl| acl.foreign_owner);
    let mut review = Review {
        action: &action,
        resource: Arn::split(question.resource.arn),
        kind: question.resource.kind,
        is_foreign: foreign_owner.is_some(),
        facts: &facts,
        mode,
        matched: Vec::new(),
        doubtful: Vec::new(),
        denied: None,
    };
    let namings = resource_policy.map_or(Namings::NONE, |it| review.resource_policy(it));
    if facts.steps.were_exceeded() {
        return unreadable(Layer::Resource);
    }
    let acl_namings = acl.map_or(Namings::NONE, |it| review.acl(&it));
    let identity = review.layer(Layer::Identity, &policies.identity);
    let boundary = review.layer(Layer::Boundary, policies.boundary.as_slice());
    let session = review.layer(Layer::Session, &policies.session);
    if facts.steps.were_exceeded() {
        return unreadable(Layer::Identity);
    }
    if let Some(layer) = review.denied {
        let decision = Decision {
            outcome: Outcome::ExplicitlyDenied(layer),
            matched: review.matched,
        };
        return (decision, review.doubtful);
    }
    let principal = &question.context.principal;
    let caller = Caller::of(principal);
    let needs_session_policy = matches!(principal, Principal::Federated { .. });
    let consent = Consent {
        caller,
        account: CallersAccount::of(question, foreign_owner),
        identity: caller == Caller::Root || identity,
        boundary: policies.boundary.is_none() || boundary,
        session: session || (policies.session.is_empty() && !needs_session_policy),
    };
    let mut outcome = consent.decide(question, namings);
    if !matches!(outcome, Outcome::Allowed(_)) && acl_namings != Namings::NONE {
        outcome = consent.decide(question, namings.or(acl_namings));
        if matches!(outcome, Outcome::Allowed(_)) {
            outcome = Outcome::Allowed(AllowedBy::Acl);
        }
    }
    if !matches!(outcome, Outcome::Allowed(_))
        && let Some(source) = question.grants
    {
        let found = grants::matching(source, review.action, &facts);
        let grant = found
            .into_iter()
            .find(|grant| consent.suffices_with_grant(grant.namings));
        if facts.steps.were_exceeded() {
            return unreadable(Layer::Grant);
        }
        if let Some(grant) = grant {
            review.matched.push(MatchedStatement {
                layer: Layer::Grant,
                policy: grant.grantee.into(),
                index: grant.index,
                sid: None,
                effect: Effect::Allow,
            });
            outcome = Outcome::Allowed(AllowedBy::Grant);
        }
    }
    let decision = Decision {
        outcome,
        matched: review.matched,
    };
    (decision, review.doubtful)
}

/// The resource's policy, where it has a part in the decision.
pub(crate) fn policy_that_counts<'a>(
    question: &Question<'a>,
) -> Result<Option<&'a Policy>, Unreadable> {
    if is_lockout_repair(question) {
        Ok(None)
    } else {
        question.resource_policy
    }
}

/// The root user of a bucket's account can always see and mend the bucket's policy (S3 API
/// Reference, GetBucketPolicy), so that no policy shuts everybody out: it has no part in that.
fn is_lockout_repair(question: &Question<'_>) -> bool {
    let actions = [
        "s3:GetBucketPolicy",
        "s3:PutBucketPolicy",
        "s3:DeleteBucketPolicy",
    ];
    matches!(&question.context.principal,
        Principal::Root { account } if *account == question.resource.owner)
        && question.resource.kind == ResourceKind::Ordinary
        && actions
            .iter()
            .any(|action| question.action.eq_ignore_ascii_case(action))
}

/// How far policies limit a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Caller {
    /// No identity policies: it may.
    Root,
    /// A user.
    Itself,
    /// A session, which is limited by what it is a session of.
    Session,
    /// It has no account, and so no side of its own.
    Outsider,
}

impl Caller {
    const fn of(principal: &Principal) -> Self {
        match principal {
            Principal::Root { .. } => Self::Root,
            Principal::User { .. } => Self::Itself,
            Principal::RoleSession { .. } | Principal::Federated { .. } => Self::Session,
            Principal::Service { .. } | Principal::Anonymous => Self::Outsider,
        }
    }
}

/// Whose the resource is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum CallersAccount {
    /// The caller's account has it.
    Owner,
    /// Another one has it.
    Another,
}

impl CallersAccount {
    /// `foreign_owner` has the object, if that is not the bucket's owner.
    fn of(question: &Question<'_>, foreign_owner: Option<&CanonicalId>) -> Self {
        let context = question.context;
        let account = context.principal.account();
        let is_owner = match foreign_owner {
            None => account == Some(question.resource.owner),
            Some(owner) => account.is_some() && context.canonical_id.as_ref() == Some(owner),
        };
        if is_owner { Self::Owner } else { Self::Another }
    }
}

/// What the principal's own side says.
#[derive(Clone, Copy, Debug)]
struct Consent {
    caller: Caller,
    account: CallersAccount,
    identity: bool,
    boundary: bool,
    session: bool,
}

impl Consent {
    /// The outcome of all policies. No Deny applies.
    fn decide(self, question: &Question<'_>, mut namings: Namings) -> Outcome {
        use Namings as N;
        let kind = question.resource.kind;
        let principal = &question.context.principal;
        let mut explicit = kind != ResourceKind::Ordinary;
        if kind == ResourceKind::Key {
            if matches!(principal, Principal::Anonymous) {
                return Outcome::ImplicitlyDenied(Layer::Identity);
            }
            // A key policy cannot let anybody retire grants, the key's account can.
            if question.action.eq_ignore_ascii_case("kms:RetireGrant") {
                namings = N::NONE;
                explicit = false;
            }
        }
        if self.caller == Caller::Outsider {
            return if namings.has(N::ITSELF.or(N::EVERYONE)) {
                Outcome::Allowed(AllowedBy::Resource)
            } else {
                Outcome::ImplicitlyDenied(Layer::Resource)
            };
        }
        if namings == N::NONE && (explicit || self.account == CallersAccount::Another) {
            return Outcome::ImplicitlyDenied(Layer::Resource);
        }
        if self.account == CallersAccount::Another {
            return self.own_side(AllowedBy::IdentityAndResource);
        }
        if self.resource_suffices(namings) {
            return Outcome::Allowed(AllowedBy::Resource);
        }
        if namings.has(N::ROLE.or(N::FEDERATOR).or(N::EVERYONE)) {
            // Named, but no further than boundary and session policies go.
            return self.limits(AllowedBy::Resource);
        }
        self.own_side(if self.caller == Caller::Root {
            AllowedBy::Root
        } else {
            AllowedBy::Identity
        })
    }

    /// Whether a resource policy or grant that names the principal so is enough by itself in the
    /// principal's own account.
    fn resource_suffices(self, namings: Namings) -> bool {
        use Namings as N;
        // A session is limited by what it is a session of, unless it is named itself.
        let within_limits = self.boundary && self.session;
        namings.has(N::ITSELF)
            || (namings.has(N::ROLE.or(N::FEDERATOR)) && within_limits)
            || (namings.has(N::EVERYONE) && (within_limits || self.caller != Caller::Session))
    }

    /// Whether a grant to who is named so is enough. Between accounts too: who gives a grant to a
    /// principal of another account means it.
    fn suffices_with_grant(self, namings: Namings) -> bool {
        let delegated = self.identity && self.boundary && self.session;
        self.resource_suffices(namings) || (namings.has(Namings::ACCOUNT) && delegated)
    }

    /// Identity policies within their limits.
    fn own_side(self, by: AllowedBy) -> Outcome {
        if self.identity {
            self.limits(by)
        } else {
            Outcome::ImplicitlyDenied(Layer::Identity)
        }
    }

    fn limits(self, by: AllowedBy) -> Outcome {
        if !self.boundary {
            Outcome::ImplicitlyDenied(Layer::Boundary)
        } else if !self.session {
            Outcome::ImplicitlyDenied(Layer::Session)
        } else {
            Outcome::Allowed(by)
        }
    }
}

/// Goes through the policies, once.
struct Review<'a> {
    /// In lower case.
    action: &'a str,
    resource: Arn<'a>,
    kind: ResourceKind,
    /// It is an object of another account than the bucket's, which cannot allow anything then.
    is_foreign: bool,
    facts: &'a Facts<'a>,
    mode: Mode<'a>,
    matched: Vec<MatchedStatement>,
    /// Statements whose conditions ask for what is not known.
    doubtful: Vec<Doubtful>,
    /// The layer of the first Deny that applies.
    denied: Option<Layer>,
}

impl Review<'_> {
    /// By which names the resource's policy allows.
    fn resource_policy(&mut self, policy: &Policy) -> Namings {
        let mut namings = Namings::NONE;
        for (index, statement) in policy.statements.iter().enumerate() {
            if self.is_settled(statement, namings.has(Namings::ITSELF)) {
                continue;
            }
            let (allows, denies) = match (statement.effect, &statement.principal) {
                (Effect::Allow, None) => continue,
                (Effect::Allow, Some(_)) if self.is_foreign => continue,
                (Effect::Allow, Some(principal)) => (principal.allows(self.facts), false),
                // Checked when it was stored. A Deny that lost its principal denies everybody.
                (Effect::Deny, None) => (Namings::NONE, true),
                (Effect::Deny, Some(principal)) => (Namings::NONE, principal.denies(self.facts)),
            };
            let speaks_of_caller = denies || allows != Namings::NONE;
            if speaks_of_caller && self.applies(Layer::Resource, None, index, statement) {
                namings = namings.or(allows);
                self.note(Layer::Resource, None, index, statement);
            }
        }
        namings
    }

    /// By which names the access control list allows.
    fn acl(&mut self, acl: &Speaking<'_>) -> Namings {
        let mut namings = Namings::NONE;
        for grant in acl.matching(self.facts) {
            namings = namings.or(grant.namings);
            self.matched.push(MatchedStatement {
                layer: Layer::Acl,
                policy: acl::shown(grant.grantee).into(),
                index: grant.index,
                sid: Some(grant.permission.name().into()),
                effect: Effect::Allow,
            });
        }
        namings
    }

    /// Whether one of the policies allows.
    fn layer(&mut self, layer: Layer, policies: &[NamedPolicy]) -> bool {
        let mut allowed = false;
        for named in policies {
            for (index, statement) in named.policy.statements.iter().enumerate() {
                if self.is_settled(statement, allowed) {
                    continue;
                }
                // These policies have no principals. Should one slip in, it may only restrict.
                let void = statement.effect == Effect::Allow && statement.principal.is_some();
                if !void && self.applies(layer, Some(&named.name), index, statement) {
                    allowed |= statement.effect == Effect::Allow;
                    self.note(layer, Some(&named.name), index, statement);
                }
            }
        }
        allowed
    }

    /// Whether the statement can make no difference any more.
    fn is_settled(&self, statement: &CompiledStatement, allowed: bool) -> bool {
        self.mode.trace == Trace::Needed
            && (self.denied.is_some() || (allowed && statement.effect == Effect::Allow))
    }

    fn applies(
        &mut self,
        layer: Layer,
        policy: Option<&Arc<str>>,
        index: usize,
        statement: &CompiledStatement,
    ) -> bool {
        if !covers(
            statement,
            layer,
            self.kind,
            self.action,
            &self.resource,
            self.facts,
        ) {
            return false;
        }
        let Some(doubt) = self.mode.doubt else {
            return statement.conditions_hold(self.facts);
        };
        match statement.conditions_in_doubt(self.facts, doubt) {
            Applies::Yes => true,
            Applies::No => false,
            Applies::Perhaps(conditions) => {
                let statement = matched(layer, policy, index, statement);
                let counts = doubt.counts(statement.effect);
                self.doubtful.push(Doubtful {
                    statement,
                    conditions,
                });
                counts
            }
        }
    }

    fn note(
        &mut self,
        layer: Layer,
        policy: Option<&Arc<str>>,
        index: usize,
        statement: &CompiledStatement,
    ) {
        if statement.effect == Effect::Deny && self.denied.is_none() {
            self.denied = Some(layer);
        }
        self.matched.push(matched(layer, policy, index, statement));
    }
}

/// Whether the statement speaks of the action on the resource.
pub(crate) fn covers(
    statement: &CompiledStatement,
    layer: Layer,
    kind: ResourceKind,
    action: &str,
    resource: &Arn<'_>,
    facts: &Facts<'_>,
) -> bool {
    match kind {
        ResourceKind::RoleTrust if layer == Layer::Resource => {
            statement.covers_its_own(action, resource, facts)
        }
        ResourceKind::Ordinary | ResourceKind::Key | ResourceKind::RoleTrust => {
            statement.covers(action, resource, facts)
        }
    }
}

/// The statement, for a trace.
pub(crate) fn matched(
    layer: Layer,
    policy: Option<&Arc<str>>,
    index: usize,
    statement: &CompiledStatement,
) -> MatchedStatement {
    MatchedStatement {
        layer,
        policy: policy.cloned().unwrap_or_default(),
        index,
        sid: statement.sid.clone(),
        effect: statement.effect,
    }
}
