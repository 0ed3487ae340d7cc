//! Which policies are in force for a request.

use std::sync::Arc;

use strongroom_policy::PolicyDocument;
use strongroom_types::{Principal, RequestContext, Session, SessionKind};

use crate::directory::Account;
use crate::records::{Policies, Role, User};
use crate::{Document, DocumentKind, IamError, Identities, Tag};

/// A policy that is in force, and what it is called.
#[derive(Clone, Debug)]
pub struct HeldPolicy {
    /// The ARN of a managed policy; of an inline policy its holder's name and its own.
    pub name: String,
    /// What it says.
    pub document: Arc<PolicyDocument>,
}

/// All policies on the caller's side.
#[derive(Clone, Debug, Default)]
pub struct HeldPolicies {
    /// Of the user and its groups, or of the role.
    pub identity: Vec<HeldPolicy>,
    /// The permissions boundary.
    pub boundary: Option<HeldPolicy>,
    /// Session policies, if any were passed. Together they allow what one of them allows.
    pub session: Option<Vec<HeldPolicy>>,
    /// Tags of the user, or of the role overlaid by those of the session.
    pub tags: Vec<Tag>,
}

impl Identities {
    /// The policies in force for a request, as they are at this moment. Callers without policies of
    /// their own (root users, services, nobody) have none.
    ///
    /// # Errors
    ///
    /// [`IamError::AccessDenied`] if the caller is no more; [`IamError::Damaged`] and
    /// [`IamError::Unavailable`] if its policies are not known. Each means deny.
    pub fn held_policies(&self, context: &RequestContext) -> Result<HeldPolicies, IamError> {
        let Some(id) = context.principal.account() else {
            return Ok(HeldPolicies::default());
        };
        let gone = || IamError::AccessDenied("The caller does not exist any more.".to_owned());
        let account = self.account(id)?.ok_or_else(gone)?;
        let session = context.session.as_deref();
        let mut held = match &context.principal {
            Principal::User { user_id, .. } => {
                HeldPolicies::of_user(&account, account.user_by_id(user_id).ok_or_else(gone)?)?
            }
            Principal::RoleSession {
                role_id, role_name, ..
            } => {
                let role = account.role(role_name).filter(|it| *it.id == **role_id);
                HeldPolicies::of_role(&account, role.ok_or_else(gone)?)?
            }
            Principal::Federated { .. } => match session.map(|it| &it.kind) {
                Some(SessionKind::Federated { issuer_id }) if issuer_id.is_empty() => {
                    HeldPolicies::default()
                }
                Some(SessionKind::Federated { issuer_id }) => HeldPolicies::of_user(
                    &account,
                    account.user_by_id(issuer_id).ok_or_else(gone)?,
                )?,
                Some(SessionKind::Token | SessionKind::Role | SessionKind::WebIdentity) | None => {
                    return Err(gone());
                }
            },
            Principal::Root { .. } | Principal::Service { .. } | Principal::Anonymous => {
                HeldPolicies::default()
            }
        };
        if let Some(session) = session {
            held.overlay(&account, session)?;
        }
        Ok(held)
    }
}

impl HeldPolicies {
    /// Those of a user, its groups' with them.
    pub(crate) fn of_user(account: &Account, user: &User) -> Result<Self, IamError> {
        let mut held = Self {
            tags: user.tags.clone(),
            ..Self::default()
        };
        held.add(account, &user.policies, &user.name)?;
        for id in &user.groups {
            // A group that is not there would be one that is not read: its denials must not be lost.
            let group = account.groups.values().find(|it| it.id == *id);
            let group = group.ok_or(IamError::Damaged)?;
            held.add(account, &group.policies, &group.name)?;
        }
        held.boundary = boundary(account, user.boundary.as_deref())?;
        Ok(held)
    }

    /// Those of a role.
    pub(crate) fn of_role(account: &Account, role: &Role) -> Result<Self, IamError> {
        let mut held = Self {
            tags: role.tags.clone(),
            ..Self::default()
        };
        held.add(account, &role.policies, &role.name)?;
        held.boundary = boundary(account, role.boundary.as_deref())?;
        Ok(held)
    }

    /// Adds the policies of one identity.
    pub(crate) fn add(
        &mut self,
        account: &Account,
        policies: &Policies,
        holder: &str,
    ) -> Result<(), IamError> {
        for arn in &policies.attached {
            self.identity.push(managed(account, arn)?);
        }
        for inline in &policies.inline {
            self.identity.push(HeldPolicy {
                name: format!("{holder}/{}", inline.name),
                document: Arc::clone(inline.document.parsed()),
            });
        }
        Ok(())
    }

    fn overlay(&mut self, account: &Account, session: &Session) -> Result<(), IamError> {
        if session.has_policies() || matches!(session.kind, SessionKind::Federated { .. }) {
            let mut policies = Vec::new();
            for arn in &session.policy_arns {
                policies.push(managed(account, arn)?);
            }
            for (index, text) in session.policies.iter().enumerate() {
                // It was checked when the session was made; should that fail now, deny.
                let document =
                    Document::parse(text, DocumentKind::Identity).map_err(|_| IamError::Damaged)?;
                policies.push(HeldPolicy {
                    name: format!("session policy {}", index.saturating_add(1)),
                    document: Arc::clone(document.parsed()),
                });
            }
            self.session = Some(policies);
        }
        for (key, value) in &session.tags {
            self.tags.retain(|it| !crate::tags::same_key(&it.key, key));
            self.tags.push(Tag {
                key: key.clone(),
                value: value.clone(),
            });
        }
        Ok(())
    }
}

fn boundary(account: &Account, arn: Option<&str>) -> Result<Option<HeldPolicy>, IamError> {
    arn.map(|arn| managed(account, arn)).transpose()
}

/// A policy that is attached and not there is damage: what it denied must not become allowed.
fn managed(account: &Account, arn: &str) -> Result<HeldPolicy, IamError> {
    let document = account.managed_document(arn).ok_or_else(|| {
        tracing::error!("an attached policy is missing");
        IamError::Damaged
    })?;
    Ok(HeldPolicy {
        name: arn.to_owned(),
        document: Arc::clone(document.parsed()),
    })
}
