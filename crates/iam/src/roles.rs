//! Roles and their trust policies.

use std::sync::Arc;

use strongroom_policy::{Conditions, PrincipalElement, PrincipalName};
use strongroom_types::{AccountId, RequestContext, Timestamp};

use crate::attachments::check_boundary;
use crate::directory::{Account, Directory};
use crate::limits::{ROLE_NAME_MAX, ROLE_SESSION_SECONDS, ROLES_MAX, TRUST_POLICY_MAX};
use crate::names::{self, check_description, check_name, check_path, folded};
use crate::records::{Policies, Role, Trusted};
use crate::service::Asked;
use crate::tags::{self, with_request_tags, with_resource_tags};
use crate::users::check_prefix;
use crate::{Document, DocumentKind, IamError, IamService, Page, PageInput, Tag, ids};

/// Input of CreateRole.
#[derive(Clone, Debug, Default)]
pub struct CreateRoleInput {
    /// `RoleName`.
    pub name: String,
    /// `Path`.
    pub path: Option<String>,
    /// `AssumeRolePolicyDocument`.
    pub trust: String,
    /// `Description`.
    pub description: Option<String>,
    /// `MaxSessionDuration`, in seconds.
    pub max_session_seconds: Option<u32>,
    /// `PermissionsBoundary`.
    pub boundary: Option<String>,
    /// `Tags`.
    pub tags: Vec<Tag>,
}

/// A role, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleView {
    /// `AROA...`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its ARN.
    pub arn: String,
    /// When it was made.
    pub created: Timestamp,
    /// The trust policy, with the ids of trusted identities that are gone in place of their ARNs.
    pub trust: String,
    /// Its description.
    pub description: Option<String>,
    /// Longest session, in seconds.
    pub max_session_seconds: u32,
    /// ARN of its permissions boundary.
    pub boundary: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl IamService {
    /// CreateRole.
    ///
    /// # Errors
    ///
    /// [`IamError`], as the IAM API Reference has it.
    pub fn create_role(
        &self,
        caller: &RequestContext,
        input: &CreateRoleInput,
    ) -> Result<RoleView, IamError> {
        let CreateRoleInput {
            name,
            path,
            trust,
            description,
            max_session_seconds,
            boundary,
            tags: new_tags,
        } = input;
        check_name(name, "roleName", ROLE_NAME_MAX)?;
        let path = check_path(path.as_deref())?;
        check_description(description.as_deref())?;
        let max_session_seconds = check_duration(max_session_seconds.unwrap_or(3600))?;
        tags::check(new_tags)?;
        let asked = Asked::new(caller, "iam:CreateRole");
        self.change(asked, |account| {
            let arn = names::arn(account.id, "role", &path, name);
            let mut conditions = with_request_tags(Conditions::default(), new_tags);
            if let Some(boundary) = boundary {
                conditions = conditions.with("iam:PermissionsBoundary", boundary);
            }
            self.authorize(asked, account.id, arn.clone(), &conditions)?;
            if !new_tags.is_empty() {
                let asked = Asked::new(caller, "iam:TagRole");
                self.authorize(asked, account.id, arn, &conditions)?;
            }
            let (trust, trusted) = self.trust(account, trust, name)?;
            if account.role(name).is_some() {
                return Err(IamError::EntityAlreadyExists(format!(
                    "Role with name {name} already exists."
                )));
            }
            check_boundary(account, boundary.as_deref())?;
            if account.roles.len() >= ROLES_MAX {
                return Err(IamError::LimitExceeded(format!(
                    "Cannot exceed quota for RolesPerAccount: {ROLES_MAX}"
                )));
            }
            let role = Role {
                id: ids::unique_id(ids::ROLE, &*self.ports.entropy),
                name: name.clone(),
                path: path.clone(),
                created_millis: self.now_millis(),
                boundary: boundary.clone(),
                policies: Policies::default(),
                tags: new_tags.clone(),
                trust,
                trusted,
                description: description.clone(),
                max_session_seconds,
            };
            let shown = self.role_view(account, &role)?;
            account.put_role(role);
            Ok(shown)
        })
    }

    /// GetRole.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn get_role(&self, caller: &RequestContext, name: &str) -> Result<RoleView, IamError> {
        let asked = Asked::new(caller, "iam:GetRole");
        let account = self.account(asked)?;
        let role = self.find_role(asked, &account, name)?;
        self.role_view(&account, &role)
    }

    /// ListRoles, by name.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_roles(
        &self,
        caller: &RequestContext,
        path_prefix: Option<&str>,
        page: &PageInput,
    ) -> Result<Page<RoleView>, IamError> {
        let asked = Asked::new(caller, "iam:ListRoles");
        let account = self.account(asked)?;
        let prefix = check_prefix(path_prefix)?;
        self.authorize_list(asked, account.id, "role")?;
        let directory = self.identities.current()?;
        let roles = account
            .roles
            .iter()
            .filter(|(_, role)| role.path.starts_with(prefix))
            .map(|(key, role)| (key.clone(), view(&directory, &account, role)));
        self.page(&["ListRoles", account.id.as_str(), prefix], page, roles)
    }

    /// UpdateRole: what is given is replaced.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn update_role(
        &self,
        caller: &RequestContext,
        name: &str,
        description: Option<&str>,
        max_session_seconds: Option<u32>,
    ) -> Result<(), IamError> {
        check_description(description)?;
        if let Some(seconds) = max_session_seconds {
            check_duration(seconds)?;
        }
        let asked = Asked::new(caller, "iam:UpdateRole");
        self.change(asked, |account| {
            let mut role = Role::clone(&*self.find_role(asked, account, name)?);
            if let Some(description) = description {
                role.description = Some(description.to_owned());
            }
            if let Some(seconds) = max_session_seconds {
                role.max_session_seconds = seconds;
            }
            account.put_role(role);
            Ok(())
        })
    }

    /// UpdateAssumeRolePolicy.
    ///
    /// # Errors
    ///
    /// [`IamError::MalformedPolicyDocument`].
    pub fn update_assume_role_policy(
        &self,
        caller: &RequestContext,
        name: &str,
        document: &str,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:UpdateAssumeRolePolicy");
        self.change(asked, |account| {
            let mut role = Role::clone(&*self.find_role(asked, account, name)?);
            let (trust, trusted) = self.trust(account, document, name)?;
            role.trust = trust;
            role.trusted = trusted;
            account.put_role(role);
            Ok(())
        })
    }

    /// DeleteRole.
    ///
    /// # Errors
    ///
    /// [`IamError::DeleteConflict`] while it has policies.
    pub fn delete_role(&self, caller: &RequestContext, name: &str) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:DeleteRole");
        self.change(asked, |account| {
            let role = self.find_role(asked, account, name)?;
            role.policies.check_none()?;
            account.roles.remove(&folded(&role.name));
            Ok(())
        })
    }

    fn find_role(
        &self,
        asked: Asked<'_>,
        account: &Account,
        name: &str,
    ) -> Result<Arc<Role>, IamError> {
        self.find_role_with(asked, account, name, Conditions::default())
    }

    /// The role of that name, if the caller may do this to it.
    pub(crate) fn find_role_with(
        &self,
        asked: Asked<'_>,
        account: &Account,
        name: &str,
        conditions: Conditions,
    ) -> Result<Arc<Role>, IamError> {
        check_name(name, "roleName", ROLE_NAME_MAX)?;
        let found = account.role(name);
        let (arn, conditions) = match found {
            Some(role) => {
                let conditions = with_resource_tags(conditions, &role.tags);
                (account.role_arn(role), conditions)
            }
            None => (names::arn(account.id, "role", "/", name), conditions),
        };
        self.authorize(asked, account.id, arn, &conditions)?;
        found.cloned().ok_or_else(|| {
            IamError::NoSuchEntity(format!("The role with name {name} cannot be found."))
        })
    }

    /// A trust policy, and who the identities are that it names now.
    fn trust(
        &self,
        account: &Account,
        text: &str,
        role_name: &str,
    ) -> Result<(Document, Vec<Trusted>), IamError> {
        let document = Document::parse(text, DocumentKind::Trust)?;
        if document.counted_len() > TRUST_POLICY_MAX {
            return Err(IamError::LimitExceeded(format!(
                "Cannot exceed quota for ACLSizePerRole: {TRUST_POLICY_MAX}"
            )));
        }
        let directory = self.identities.current()?;
        let mut trusted: Vec<Trusted> = Vec::new();
        for name in trusted_names(&document) {
            let invalid = || {
                IamError::MalformedPolicyDocument(format!(
                    "Invalid principal in policy: \"AWS\":\"{name}\""
                ))
            };
            if AccountId::parse(name).is_ok() {
                continue;
            }
            // A role may trust itself, before it is made.
            let (owner, resource) = names::split_arn(name)
                .or_else(|| session_owner(name))
                .ok_or_else(invalid)?;
            let owner = owner.ok_or_else(invalid)?;
            if resource == "root" {
                continue;
            }
            let found = if owner == account.id {
                unique_id(account, resource)
            } else {
                let other = directory.accounts.get(&owner);
                other.and_then(|other| unique_id(other, resource))
            };
            let is_itself = owner == account.id
                && resource.starts_with("role/")
                && resource.rsplit('/').next() == Some(role_name);
            match found {
                Some(id) if !trusted.iter().any(|it| it.arn == name) => trusted.push(Trusted {
                    arn: name.to_owned(),
                    id,
                }),
                Some(_) => {}
                None if is_itself => {}
                None => return Err(invalid()),
            }
        }
        Ok((document, trusted))
    }

    fn role_view(&self, account: &Account, role: &Role) -> Result<RoleView, IamError> {
        Ok(view(&*self.identities.current()?, account, role))
    }
}

/// The ARNs and accounts that a trust policy names.
fn trusted_names(document: &Document) -> impl Iterator<Item = &str> {
    document
        .parsed()
        .statements
        .iter()
        .filter_map(|statement| statement.principal.as_ref())
        .flat_map(|principal| {
            let (PrincipalElement::Is(names) | PrincipalElement::IsNot(names)) = principal;
            names
        })
        .filter_map(|name| match name {
            PrincipalName::Aws(name) => Some(name.as_str()),
            PrincipalName::Everyone
            | PrincipalName::Service(_)
            | PrincipalName::Federated(_)
            | PrincipalName::CanonicalUser(_) => None,
        })
}

/// Account and resource in the ARN of a session.
pub(crate) fn session_owner(arn: &str) -> Option<(Option<AccountId>, &str)> {
    let (account, resource) = arn.strip_prefix("arn:aws:sts::")?.split_once(':')?;
    Some((Some(AccountId::parse(account).ok()?), resource))
}

/// The unique id of what an ARN names, by what follows the account in it. Sessions are those of their
/// role; a federated user's of nobody that could be deleted.
pub(crate) fn unique_id(account: &Account, resource: &str) -> Option<String> {
    let (kind, rest) = resource.split_once('/')?;
    let last = rest.rsplit('/').next()?;
    match kind {
        "user" => account
            .user(last)
            .filter(|it| format!("user{}{}", it.path, it.name) == resource)
            .map(|it| it.id.clone()),
        "role" => account
            .role(last)
            .filter(|it| format!("role{}{}", it.path, it.name) == resource)
            .map(|it| it.id.clone()),
        "assumed-role" => {
            let (role, _) = rest.split_once('/')?;
            account.role(role).map(|it| it.id.clone())
        }
        "federated-user" => Some(last.to_owned()),
        _ => None,
    }
}

/// The trust policy's text as it holds today: where an ARN now belongs to somebody else than was
/// meant, or to nobody, the unique id stands in its place, which no caller has. So an identity that is
/// deleted and made again does not get its trust back.
pub(crate) fn trust_text(directory: &Directory, role: &Role) -> String {
    let gone: Vec<&Trusted> = role
        .trusted
        .iter()
        .filter(|it| {
            let split = names::split_arn(&it.arn).or_else(|| session_owner(&it.arn));
            let present = split.and_then(|(owner, resource)| {
                unique_id(directory.accounts.get(&owner?)?, resource)
            });
            present.as_deref() != Some(&it.id)
        })
        .collect();
    if gone.is_empty() {
        return role.trust.text().to_owned();
    }
    with_statements(role.trust.text(), |statement| {
        replace_principals(statement, &gone);
    })
}

/// The same for the evaluator: a statement of a trust policy speaks of its role and no other resource,
/// and may not say so.
pub(crate) fn trust_for_decision(directory: &Directory, role: &Role) -> String {
    with_statements(&trust_text(directory, role), |statement| {
        if let serde_json::Value::Object(members) = statement {
            members.insert("Resource".to_owned(), "*".into());
        }
    })
}

/// A document with every statement changed.
fn with_statements(text: &str, change: impl Fn(&mut serde_json::Value)) -> String {
    let Ok(mut document) = serde_json::from_str::<serde_json::Value>(text) else {
        // It was parsed when it was read; should the parsers disagree, nobody is trusted.
        return String::new();
    };
    match document.get_mut("Statement") {
        Some(serde_json::Value::Array(statements)) => statements.iter_mut().for_each(change),
        Some(statement) => change(statement),
        None => {}
    }
    document.to_string()
}

fn replace_principals(statement: &mut serde_json::Value, gone: &[&Trusted]) {
    let replace = |value: &mut serde_json::Value| {
        if let serde_json::Value::String(text) = value
            && let Some(trusted) = gone.iter().find(|it| it.arn == *text)
        {
            text.clone_from(&trusted.id);
        }
    };
    for member in ["Principal", "NotPrincipal"] {
        match statement.get_mut(member).and_then(|it| it.get_mut("AWS")) {
            Some(serde_json::Value::Array(values)) => values.iter_mut().for_each(replace),
            Some(value) => replace(value),
            None => {}
        }
    }
}

fn check_duration(seconds: u32) -> Result<u32, IamError> {
    let (min, max) = ROLE_SESSION_SECONDS;
    if (min..=max).contains(&seconds) {
        return Ok(seconds);
    }
    Err(IamError::constraint(
        &seconds.to_string(),
        "maxSessionDuration",
        &format!("have value between {min} and {max}"),
    ))
}

pub(crate) fn view(directory: &Directory, account: &Account, role: &Role) -> RoleView {
    RoleView {
        id: role.id.clone(),
        name: role.name.clone(),
        path: role.path.clone(),
        arn: account.role_arn(role),
        created: Timestamp::from_millis(role.created_millis),
        trust: trust_text(directory, role),
        description: role.description.clone(),
        max_session_seconds: role.max_session_seconds,
        boundary: role.boundary.clone(),
        tags: role.tags.clone(),
    }
}
