//! Which policies are in force for a request.

use std::sync::Arc;

use strongroom_policy::{
    IdentityPolicies, NamedPolicy, Policy, PrincipalAttributes, PrincipalPolicies, Unreadable,
};
use strongroom_types::{Principal, RequestContext, Session, SessionKind};

use crate::directory::Account;
use crate::records::{Policies, Role, User};
use crate::{Document, DocumentKind, IamError, Identities, Tag};

/// Session policies kept compiled.
const SESSION_POLICIES_MAX: usize = 1024;

impl IdentityPolicies for Identities {
    fn policies_of(&self, context: &RequestContext) -> Result<PrincipalPolicies, Unreadable> {
        self.held(context).map_err(|error| {
            tracing::warn!(%error, "the policies of a caller are not known; it is denied");
            Unreadable
        })
    }
}

impl Identities {
    /// The policies in force for a request, as they are at this moment. Callers without policies of
    /// their own (root users, services, nobody) have none.
    ///
    /// # Errors
    ///
    /// [`IamError::AccessDenied`] if the caller is no more; [`IamError::Damaged`] and
    /// [`IamError::Unavailable`] if its policies are not known. Each means deny.
    fn held(&self, context: &RequestContext) -> Result<PrincipalPolicies, IamError> {
        let Some(id) = context.principal.account() else {
            let mut held = PrincipalPolicies::default();
            // Nobody yet, but vouched for: who asks for a role with a web identity.
            let session = context.session.as_deref();
            held.attributes.federated_provider = session
                .filter(|it| matches!(it.kind, SessionKind::WebIdentity))
                .and_then(|it| it.federated_provider.as_deref())
                .map(Into::into);
            return Ok(held);
        };
        let gone = || IamError::AccessDenied("The caller does not exist any more.".to_owned());
        let account = self
            .account(id)?
            .filter(|it| !it.is_disabled())
            .ok_or_else(gone)?;
        let session = context.session.as_deref();
        let user = |id: &str| account.user_by_id(id).ok_or_else(gone);
        let mut held = match &context.principal {
            Principal::User {
                user_id,
                path_and_name,
                ..
            } => {
                let name = path_and_name.rsplit('/').next().unwrap_or_default();
                // By name first: the search by id is only for who was renamed a moment ago.
                match account.user(name).filter(|it| *it.id == **user_id) {
                    Some(user) => of_user(&account, user)?,
                    None => of_user(&account, user(user_id)?)?,
                }
            }
            Principal::RoleSession {
                role_id, role_name, ..
            } => {
                let role = account.role(role_name).filter(|it| *it.id == **role_id);
                of_role(&account, role.ok_or_else(gone)?)?
            }
            Principal::Federated { .. } => match session.map(|it| &it.kind) {
                Some(SessionKind::Federated { issuer_id }) if issuer_id.is_empty() => {
                    // Of a root user: all that the account may, within the session's policies.
                    let mut held = PrincipalPolicies::default();
                    let all =
                        crate::aws_managed::find("arn:aws:iam::aws:policy/AdministratorAccess");
                    let all = all.ok_or(IamError::Damaged)?;
                    held.identity.push(named("root", &all.document));
                    held.attributes.federator_arn = Some(format!("arn:aws:iam::{id}:root").into());
                    held
                }
                Some(SessionKind::Federated { issuer_id }) => {
                    let issuer = user(issuer_id)?;
                    let mut held = of_user(&account, issuer)?;
                    held.attributes.tags.clear();
                    held.attributes.federator_arn = Some(account.user_arn(issuer).into());
                    held.attributes.federator_id = Some(issuer.id.as_str().into());
                    held
                }
                Some(SessionKind::Token | SessionKind::Role | SessionKind::WebIdentity) | None => {
                    return Err(gone());
                }
            },
            Principal::Root { .. } | Principal::Service { .. } | Principal::Anonymous => {
                PrincipalPolicies::default()
            }
        };
        if let Some(session) = session {
            self.overlay(&account, session, &mut held)?;
        }
        Ok(held)
    }

    fn overlay(
        &self,
        account: &Account,
        session: &Session,
        held: &mut PrincipalPolicies,
    ) -> Result<(), IamError> {
        for arn in &session.policy_arns {
            held.session.push(managed(account, arn)?);
        }
        for text in &session.policies {
            held.session.push(NamedPolicy {
                name: "session policy".into(),
                policy: self.session_policy(text)?,
            });
        }
        let attributes = &mut held.attributes;
        for (key, value) in &session.tags {
            attributes
                .tags
                .retain(|(known, _)| !crate::tags::same_key(known, key));
            attributes
                .tags
                .push((key.as_str().into(), value.as_str().into()));
        }
        attributes.token_issued = Some(session.issued);
        attributes.multi_factor_auth = Some(false);
        attributes.federated_provider = session.federated_provider.as_deref().map(Into::into);
        attributes.source_identity = session.source_identity.as_deref().map(Into::into);
        Ok(())
    }

    fn session_policy(&self, text: &str) -> Result<Arc<Policy>, IamError> {
        if let Some(policy) = self.session_policies.read().get(text) {
            return Ok(Arc::clone(policy));
        }
        // It was checked when the session was made; should that fail now, deny.
        let document =
            Document::parse(text, DocumentKind::Identity).map_err(|_| IamError::Damaged)?;
        let mut kept = self.session_policies.write();
        if kept.len() >= SESSION_POLICIES_MAX {
            kept.clear();
        }
        let policy = Arc::clone(document.compiled());
        kept.insert(text.into(), Arc::clone(&policy));
        Ok(policy)
    }
}

/// The policies of a user, its groups' with them.
pub(crate) fn of_user(account: &Account, user: &User) -> Result<PrincipalPolicies, IamError> {
    let mut held = PrincipalPolicies {
        attributes: with_tags(&user.tags),
        ..PrincipalPolicies::default()
    };
    add(&mut held, account, &user.policies, &user.name)?;
    for id in &user.groups {
        // A group that is not there would be one that is not read: its denials must not be lost.
        let group = account.groups.values().find(|it| it.id == *id);
        let group = group.ok_or(IamError::Damaged)?;
        add(&mut held, account, &group.policies, &group.name)?;
    }
    held.boundary = boundary(account, user.boundary.as_deref())?;
    Ok(held)
}

/// The policies of a role.
pub(crate) fn of_role(account: &Account, role: &Role) -> Result<PrincipalPolicies, IamError> {
    let mut held = PrincipalPolicies {
        attributes: with_tags(&role.tags),
        ..PrincipalPolicies::default()
    };
    held.attributes.role_arn = Some(account.role_arn(role).into());
    add(&mut held, account, &role.policies, &role.name)?;
    held.boundary = boundary(account, role.boundary.as_deref())?;
    Ok(held)
}

/// Adds the policies of one identity.
pub(crate) fn add(
    held: &mut PrincipalPolicies,
    account: &Account,
    policies: &Policies,
    holder: &str,
) -> Result<(), IamError> {
    for arn in &policies.attached {
        held.identity.push(managed(account, arn)?);
    }
    for inline in &policies.inline {
        let name = format!("{holder}/{}", inline.name);
        held.identity.push(named(&name, &inline.document));
    }
    Ok(())
}

fn with_tags(tags: &[Tag]) -> PrincipalAttributes {
    PrincipalAttributes {
        tags: tags
            .iter()
            .map(|tag| (tag.key.as_str().into(), tag.value.as_str().into()))
            .collect(),
        ..PrincipalAttributes::default()
    }
}

fn boundary(account: &Account, arn: Option<&str>) -> Result<Option<NamedPolicy>, IamError> {
    arn.map(|arn| managed(account, arn)).transpose()
}

/// A policy that is attached and not there is damage: what it denied must not become allowed.
fn managed(account: &Account, arn: &str) -> Result<NamedPolicy, IamError> {
    let document = account.managed_document(arn).ok_or_else(|| {
        tracing::error!("an attached policy is missing");
        IamError::Damaged
    })?;
    Ok(named(arn, &document))
}

/// A document under its name.
pub(crate) fn named(name: &str, document: &Document) -> NamedPolicy {
    NamedPolicy {
        name: name.into(),
        policy: Arc::clone(document.compiled()),
    }
}
