//! SimulateCustomPolicy and SimulatePrincipalPolicy: what the evaluator would say.

use std::collections::BTreeSet;

use strongroom_policy::{
    Conditions, Outcome, Policy, PrincipalPolicies, Question, QuestionedResource, ResourceKind,
    explain,
};
use strongroom_types::{Principal, RequestContext};

use crate::policies_of::{add, named, of_role, of_user};
use crate::service::Asked;
use crate::{Document, DocumentKind, IamError, IamService, names};

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
    /// [`IamError`], as the IAM API Reference has it.
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
        let mut policies = PrincipalPolicies::default();
        // Somebody who has nothing but the policies of the request.
        let mut principal = Principal::User {
            account: account.id,
            user_id: "AIDASIMULATION".into(),
            path_and_name: "simulation".into(),
        };
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
                    policies = of_user(&account, user)?;
                    principal = account.user_principal(user);
                } else if let Some(role) =
                    account.role(name).filter(|it| account.role_arn(it) == *arn)
                {
                    policies = of_role(&account, role)?;
                    principal = Principal::RoleSession {
                        account: account.id,
                        role_id: role.id.as_str().into(),
                        role_name: role.name.as_str().into(),
                        role_arn: arn.as_str().into(),
                        session_name: "simulation".into(),
                    };
                } else if let Some(group) = account
                    .group(name)
                    .filter(|it| account.group_arn(it) == *arn)
                {
                    add(&mut policies, &account, &group.policies, &group.name)?;
                } else {
                    return Err(no_entity());
                }
            }
        }
        for (index, text) in input.policies.iter().enumerate() {
            let name = format!("PolicyInputList.{}", index.saturating_add(1));
            let document = Document::parse(text, DocumentKind::Identity)?;
            policies.identity.push(named(&name, &document));
        }
        if let Some(text) = &input.boundary {
            let name = "PermissionsBoundaryPolicyInputList.1";
            let document = Document::parse(text, DocumentKind::Identity)?;
            policies.boundary = Some(named(name, &document));
        }
        let resource_policy = match &input.resource_policy {
            Some(text) => Some(Policy::parse(text).map_err(|_| {
                IamError::MalformedPolicyDocument("Syntax errors in policy.".to_owned())
            })?),
            None => None,
        };
        let given = input
            .context
            .iter()
            .fold(Conditions::default(), |conditions, (name, values)| {
                conditions.with_all(name, values.iter().cloned())
            });
        let context = RequestContext {
            principal,
            session: None,
            access_key_id: None,
            ..caller.clone()
        };
        let all = [String::from("*")];
        let resources = if input.resources.is_empty() {
            &all[..]
        } else {
            &input.resources
        };
        let missing: BTreeSet<String> = policies
            .identity
            .iter()
            .chain(&policies.boundary)
            .flat_map(|it| it.policy.condition_keys())
            .filter(|key| given.get(key).is_none())
            .collect();
        let mut results = Vec::new();
        for action in &input.actions {
            for resource in resources {
                let decision = explain(&Question {
                    context: &context,
                    action,
                    resource: QuestionedResource {
                        arn: resource,
                        owner: account.id,
                        kind: ResourceKind::Ordinary,
                    },
                    conditions: &given,
                    principal: Ok(&policies),
                    resource_policy: Ok(resource_policy.as_ref()),
                    grants: None,
                    acls: None,
                    overrides: Some(&given),
                });
                results.push(SimulationResult {
                    action: action.clone(),
                    resource: resource.clone(),
                    decision: match decision.outcome {
                        Outcome::Allowed(_) => SimulationDecision::Allowed,
                        Outcome::ExplicitlyDenied(_) => SimulationDecision::ExplicitDeny,
                        Outcome::ImplicitlyDenied(_) | Outcome::Unreadable(_) => {
                            SimulationDecision::ImplicitDeny
                        }
                    },
                    matched: decision
                        .matched
                        .iter()
                        .map(|it| it.policy.to_string())
                        .collect(),
                    missing_context: missing.iter().cloned().collect(),
                });
            }
        }
        Ok(results)
    }
}
