//! SimulateCustomPolicy and SimulatePrincipalPolicy: what the evaluator would say.

use strongroom_policy::Conditions;
use strongroom_types::{Principal, RequestContext};

use crate::names;
use crate::policies_of::HeldPolicies;
use crate::service::Asked;
use crate::{Document, DocumentKind, HeldPolicy, IamError, IamService};

/// Answers what would be decided. The evaluator's crate implements it.
pub trait Simulator: Send + Sync {
    /// The decision for each action and resource, in their order.
    ///
    /// # Errors
    ///
    /// [`IamError`]; policies that cannot be read are no empty policies.
    fn simulate(&self, simulation: &Simulation) -> Result<Vec<SimulationResult>, IamError>;
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// On whose behalf.
    pub principal: Principal,
    /// The policies that are in force.
    pub policies: HeldPolicies,
    /// The resource's own policy, if the request brings one: JSON.
    pub resource_policy: Option<String>,
    /// The actions.
    pub actions: Vec<String>,
    /// The resources' ARNs; `*` if the request names none.
    pub resources: Vec<String>,
    /// The values of condition keys.
    pub conditions: Conditions,
}

/// A decision that was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulationResult {
    /// The action.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// The decision.
    pub decision: SimulationDecision,
    /// The policies that have a statement that matched, by name.
    pub matched: Vec<String>,
    /// Condition keys that policies ask for and the request does not have.
    pub missing_context: Vec<String>,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimulationDecision {
    /// `allowed`.
    Allowed,
    /// `explicitDeny`.
    ExplicitDeny,
    /// `implicitDeny`.
    ImplicitDeny,
}

/// Input of SimulatePrincipalPolicy and SimulateCustomPolicy.
#[derive(Clone, Debug, Default)]
pub struct SimulatePolicyInput {
    /// `PolicySourceArn`; none for SimulateCustomPolicy.
    pub source_arn: Option<String>,
    /// `PolicyInputList`.
    pub policies: Vec<String>,
    /// `PermissionsBoundaryPolicyInputList`, of which IAM takes one.
    pub boundary: Option<String>,
    /// `ActionNames`.
    pub actions: Vec<String>,
    /// `ResourceArns`.
    pub resources: Vec<String>,
    /// `ResourcePolicy`.
    pub resource_policy: Option<String>,
    /// `ContextEntries`: names and values.
    pub context: Vec<(String, Vec<String>)>,
}

impl IamService {
    /// SimulatePrincipalPolicy, and without a source SimulateCustomPolicy.
    ///
    /// # Errors
    ///
    /// [`IamError::InvalidAction`] on a server without an evaluator.
    pub fn simulate_policy(
        &self,
        caller: &RequestContext,
        input: &SimulatePolicyInput,
    ) -> Result<Vec<SimulationResult>, IamError> {
        let asked = Asked::new(
            caller,
            match input.source_arn {
                Some(_) => "iam:SimulatePrincipalPolicy",
                None => "iam:SimulateCustomPolicy",
            },
        );
        let account = self.account(asked)?;
        let mut policies = HeldPolicies::default();
        let mut principal = caller.principal.clone();
        match &input.source_arn {
            None => self.authorize(asked, account.id, "*".to_owned(), &Conditions::default())?,
            Some(arn) => {
                self.authorize(asked, account.id, arn.clone(), &Conditions::default())?;
                let no_entity = || IamError::NoSuchEntity(format!("{arn} cannot be found."));
                let (owner, resource) = names::split_arn(arn)
                    .ok_or_else(|| IamError::InvalidInput(format!("Invalid Entity Arn: {arn}")))?;
                if owner != Some(account.id) {
                    return Err(no_entity());
                }
                let name = resource.rsplit('/').next().unwrap_or_default();
                if let Some(user) = account.user(name).filter(|it| account.user_arn(it) == *arn) {
                    policies = HeldPolicies::of_user(&account, user)?;
                    principal = account.user_principal(user);
                } else if let Some(role) =
                    account.role(name).filter(|it| account.role_arn(it) == *arn)
                {
                    policies = HeldPolicies::of_role(&account, role)?;
                    principal = Principal::RoleSession {
                        account: account.id,
                        role_id: role.id.as_str().into(),
                        role_name: role.name.as_str().into(),
                        session_name: "simulation".into(),
                    };
                } else if let Some(group) = account
                    .group(name)
                    .filter(|it| account.group_arn(it) == *arn)
                {
                    policies.add(&account, &group.policies, &group.name)?;
                } else {
                    return Err(no_entity());
                }
            }
        }
        for (index, text) in input.policies.iter().enumerate() {
            policies.identity.push(HeldPolicy {
                name: format!("PolicyInputList.{}", index.saturating_add(1)),
                document: Document::parse(text, DocumentKind::Identity)?
                    .parsed()
                    .clone(),
            });
        }
        if let Some(text) = &input.boundary {
            policies.boundary = Some(HeldPolicy {
                name: "PermissionsBoundaryPolicyInputList.1".to_owned(),
                document: Document::parse(text, DocumentKind::Identity)?
                    .parsed()
                    .clone(),
            });
        }
        let Some(simulator) = &self.ports.simulator else {
            return Err(IamError::InvalidAction(
                "Simulation is not available on this server.".to_owned(),
            ));
        };
        let conditions = input
            .context
            .iter()
            .fold(Conditions::default(), |conditions, (name, values)| {
                conditions.with_all(name, values.iter().cloned())
            });
        let mut resources = input.resources.clone();
        if resources.is_empty() {
            resources.push("*".to_owned());
        }
        simulator.simulate(&Simulation {
            principal,
            policies,
            resource_policy: input.resource_policy.clone(),
            actions: input.actions.clone(),
            resources,
            conditions,
        })
    }
}
