//! All identities of the server, for its operator: who could ask for something.

use strongroom_policy::Conditions;
use strongroom_types::{AccountId, CanonicalId, Principal};

use crate::roles::trust_for_decision;
use crate::tags::with_resource_tags;
use crate::{IamError, Identities};

/// An account and who is in it.
#[derive(Clone, Debug)]
pub struct SurveyedAccount {
    /// Its id.
    pub id: AccountId,
    /// By what S3 names it.
    pub canonical_id: CanonicalId,
    /// Its users, by name.
    pub users: Vec<SurveyedUser>,
    /// Its roles, by name.
    pub roles: Vec<SurveyedRole>,
    /// Its groups and managed policies: ARN and tags as condition keys.
    pub others: Vec<(String, Conditions)>,
}

/// A user.
#[derive(Clone, Debug)]
pub struct SurveyedUser {
    /// As the one who asks.
    pub principal: Principal,
    /// `AIDA...`.
    pub id: String,
    /// Its tags as condition keys of what is done to it.
    pub conditions: Conditions,
}

/// A role.
#[derive(Clone, Debug)]
pub struct SurveyedRole {
    /// Its ARN.
    pub arn: String,
    /// `AROA...`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The trust policy, as decisions see it.
    pub trust: String,
    /// Its tags as condition keys of what is done to it.
    pub conditions: Conditions,
}

impl SurveyedRole {
    /// A session of the role as the one who asks.
    pub fn session(&self, account: AccountId, session_name: &str) -> Principal {
        Principal::RoleSession {
            account,
            role_id: self.id.as_str().into(),
            role_name: self.name.as_str().into(),
            role_arn: self.arn.as_str().into(),
            session_name: session_name.into(),
        }
    }
}

impl Identities {
    /// All accounts with all users and roles, as they are at this moment, by account.
    ///
    /// # Errors
    ///
    /// [`IamError::Unavailable`] while identities are not known.
    pub fn survey(&self) -> Result<Vec<SurveyedAccount>, IamError> {
        let directory = self.current()?;
        let none = Conditions::default;
        let surveyed = directory.accounts.values().map(|account| {
            let users = account.users.values().map(|user| SurveyedUser {
                principal: account.user_principal(user),
                id: user.id.clone(),
                conditions: with_resource_tags(none(), &user.tags),
            });
            let roles = account.roles.values().map(|role| SurveyedRole {
                arn: account.role_arn(role),
                id: role.id.clone(),
                name: role.name.clone(),
                trust: trust_for_decision(&directory, role),
                conditions: with_resource_tags(none(), &role.tags),
            });
            let groups = account.groups.values();
            let groups = groups.map(|group| (account.group_arn(group), none()));
            let policies = account.policies.values().map(|policy| {
                let conditions = with_resource_tags(none(), &policy.tags);
                (account.policy_arn(policy), conditions)
            });
            SurveyedAccount {
                id: account.id,
                canonical_id: account.canonical_id.clone(),
                users: users.collect(),
                roles: roles.collect(),
                others: groups.chain(policies).collect(),
            }
        });
        Ok(surveyed.collect())
    }
}
