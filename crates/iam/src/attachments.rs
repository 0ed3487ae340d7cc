//! The policies of users, groups and roles: attached, inline, and boundaries.

use std::sync::Arc;

use strongroom_policy::Conditions;
use strongroom_types::RequestContext;

use crate::directory::Account;
use crate::limits::{
    ATTACHMENTS_MAX, GROUP_INLINE_MAX, POLICY_NAME_MAX, ROLE_INLINE_MAX, USER_INLINE_MAX,
};
use crate::names::{check_name, folded};
use crate::records::{Group, InlinePolicy, Policies, Role, User};
use crate::service::Asked;
use crate::users::check_prefix;
use crate::{Document, DocumentKind, IamError, IamService, Page, PageInput, aws_managed};

/// Who holds policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The user of that name.
    User(String),
    /// The group of that name.
    Group(String),
    /// The role of that name.
    Role(String),
}

/// A managed policy that is attached to an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedPolicy {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
}

macro_rules! action {
    ($holder:expr, $before:literal, $after:literal) => {
        match $holder {
            Holder::User(_) => concat!("iam:", $before, "User", $after),
            Holder::Group(_) => concat!("iam:", $before, "Group", $after),
            Holder::Role(_) => concat!("iam:", $before, "Role", $after),
        }
    };
}

/// An identity with policies, taken out of the account to be changed.
enum Held {
    User(User),
    Group(Group),
    Role(Role),
}

impl Held {
    fn policies(&mut self) -> &mut Policies {
        match self {
            Self::User(it) => &mut it.policies,
            Self::Group(it) => &mut it.policies,
            Self::Role(it) => &mut it.policies,
        }
    }

    fn put(self, account: &mut Account) {
        match self {
            Self::User(it) => account.put_user(it),
            Self::Group(it) => account.put_group(it),
            Self::Role(it) => account.put_role(it),
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::User(it) => &it.id,
            Self::Group(it) => &it.id,
            Self::Role(it) => &it.id,
        }
    }
}

impl Holder {
    const fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Group(_) => "group",
            Self::Role(_) => "role",
        }
    }

    fn name(&self) -> &str {
        let (Self::User(name) | Self::Group(name) | Self::Role(name)) = self;
        name
    }

    const fn inline_max(&self) -> usize {
        match self {
            Self::User(_) => USER_INLINE_MAX,
            Self::Group(_) => GROUP_INLINE_MAX,
            Self::Role(_) => ROLE_INLINE_MAX,
        }
    }
}

impl IamService {
    /// AttachUserPolicy, AttachGroupPolicy, AttachRolePolicy; no error if it is attached.
    ///
    /// # Errors
    ///
    /// [`IamError`], as the IAM API Reference has it.
    pub fn attach_policy(
        &self,
        caller: &RequestContext,
        holder: &Holder,
        arn: &str,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, action!(holder, "Attach", "Policy"));
        let conditions = Conditions::default().with("iam:PolicyARN", arn);
        self.change(asked, |account| {
            let mut held = self.find_held(asked, account, holder, &conditions)?;
            check_managed(account, arn)?;
            let attached = &mut held.policies().attached;
            if attached.iter().any(|it| it == arn) {
                return Ok(());
            }
            if attached.len() >= ATTACHMENTS_MAX {
                let kind = match holder {
                    Holder::User(_) => "User",
                    Holder::Group(_) => "Group",
                    Holder::Role(_) => "Role",
                };
                return Err(IamError::LimitExceeded(format!(
                    "Cannot exceed quota for PoliciesPer{kind}: {ATTACHMENTS_MAX}"
                )));
            }
            attached.push(arn.to_owned());
            held.put(account);
            Ok(())
        })
    }

    /// DetachUserPolicy, DetachGroupPolicy, DetachRolePolicy.
    ///
    /// # Errors
    ///
    /// [`IamError::NoSuchEntity`] if it is not attached.
    pub fn detach_policy(
        &self,
        caller: &RequestContext,
        holder: &Holder,
        arn: &str,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, action!(holder, "Detach", "Policy"));
        let conditions = Conditions::default().with("iam:PolicyARN", arn);
        self.change(asked, |account| {
            let mut held = self.find_held(asked, account, holder, &conditions)?;
            let attached = &mut held.policies().attached;
            let before = attached.len();
            attached.retain(|it| it != arn);
            if attached.len() == before {
                return Err(IamError::NoSuchEntity(format!(
                    "Policy {arn} was not found."
                )));
            }
            held.put(account);
            Ok(())
        })
    }

    /// ListAttachedUserPolicies, ListAttachedGroupPolicies, ListAttachedRolePolicies, by ARN.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_attached(
        &self,
        caller: &RequestContext,
        holder: &Holder,
        path_prefix: Option<&str>,
        page: &PageInput,
    ) -> Result<Page<AttachedPolicy>, IamError> {
        let asked = Asked::new(caller, action!(holder, "ListAttached", "Policies"));
        let account = self.account(asked)?;
        let prefix = check_prefix(path_prefix)?;
        let mut held = self.find_held(asked, &account, holder, &Conditions::default())?;
        let id = held.id().to_owned();
        let mut arns = held.policies().attached.clone();
        arns.retain(|arn| path_of(arn).is_some_and(|path| path.starts_with(prefix)));
        arns.sort();
        let policies = arns.into_iter().map(|arn| (arn.clone(), attached(arn)));
        self.page(
            &["ListAttached", account.id.as_str(), &id, prefix],
            page,
            policies,
        )
    }

    /// PutUserPolicy, PutGroupPolicy, PutRolePolicy.
    ///
    /// # Errors
    ///
    /// [`IamError::MalformedPolicyDocument`], [`IamError::LimitExceeded`].
    pub fn put_inline_policy(
        &self,
        caller: &RequestContext,
        holder: &Holder,
        name: &str,
        document: &str,
    ) -> Result<(), IamError> {
        check_name(name, "policyName", POLICY_NAME_MAX)?;
        let asked = Asked::new(caller, action!(holder, "Put", "Policy"));
        self.change(asked, |account| {
            let mut held = self.find_held(asked, account, holder, &Conditions::default())?;
            let document = Document::parse(document, DocumentKind::Identity)?;
            let inline = &mut held.policies().inline;
            inline.retain(|it| it.name != name);
            inline.push(InlinePolicy {
                name: name.to_owned(),
                document,
            });
            inline.sort_by(|a, b| a.name.cmp(&b.name));
            let len: usize = inline.iter().map(|it| it.document.counted_len()).sum();
            let max = holder.inline_max();
            if len > max {
                return Err(IamError::LimitExceeded(format!(
                    "Maximum policy size of {max} bytes exceeded for {} {}",
                    holder.kind(),
                    holder.name()
                )));
            }
            held.put(account);
            Ok(())
        })
    }

    /// GetUserPolicy, GetGroupPolicy, GetRolePolicy: the document.
    ///
    /// # Errors
    ///
    /// [`IamError::NoSuchEntity`].
    pub fn get_inline_policy(
        &self,
        caller: &RequestContext,
        holder: &Holder,
        name: &str,
    ) -> Result<Document, IamError> {
        let asked = Asked::new(caller, action!(holder, "Get", "Policy"));
        let account = self.account(asked)?;
        let mut held = self.find_held(asked, &account, holder, &Conditions::default())?;
        let inline = &held.policies().inline;
        let found = inline.iter().find(|it| it.name == name);
        found
            .map(|it| it.document.clone())
            .ok_or_else(|| no_such_inline(holder, name))
    }

    /// DeleteUserPolicy, DeleteGroupPolicy, DeleteRolePolicy.
    ///
    /// # Errors
    ///
    /// [`IamError::NoSuchEntity`].
    pub fn delete_inline_policy(
        &self,
        caller: &RequestContext,
        holder: &Holder,
        name: &str,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, action!(holder, "Delete", "Policy"));
        self.change(asked, |account| {
            let mut held = self.find_held(asked, account, holder, &Conditions::default())?;
            let inline = &mut held.policies().inline;
            let before = inline.len();
            inline.retain(|it| it.name != name);
            if inline.len() == before {
                return Err(no_such_inline(holder, name));
            }
            held.put(account);
            Ok(())
        })
    }

    /// ListUserPolicies, ListGroupPolicies, ListRolePolicies: the names of inline policies.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_inline_policies(
        &self,
        caller: &RequestContext,
        holder: &Holder,
        page: &PageInput,
    ) -> Result<Page<String>, IamError> {
        let asked = Asked::new(caller, action!(holder, "List", "Policies"));
        let account = self.account(asked)?;
        let mut held = self.find_held(asked, &account, holder, &Conditions::default())?;
        let id = held.id().to_owned();
        let names: Vec<_> = held
            .policies()
            .inline
            .iter()
            .map(|it| (it.name.clone(), it.name.clone()))
            .collect();
        self.page(&["ListInline", account.id.as_str(), &id], page, names)
    }

    /// PutUserPermissionsBoundary, PutRolePermissionsBoundary; with `None` their opposites,
    /// DeleteUserPermissionsBoundary and DeleteRolePermissionsBoundary.
    ///
    /// # Errors
    ///
    /// [`IamError`]; groups have no boundary.
    pub fn set_boundary(
        &self,
        caller: &RequestContext,
        holder: &Holder,
        boundary: Option<&str>,
    ) -> Result<(), IamError> {
        let asked = Asked::new(
            caller,
            match boundary {
                Some(_) => action!(holder, "Put", "PermissionsBoundary"),
                None => action!(holder, "Delete", "PermissionsBoundary"),
            },
        );
        self.change(asked, |account| {
            let conditions = match boundary {
                Some(arn) => Conditions::default().with("iam:PermissionsBoundary", arn),
                None => Conditions::default(),
            };
            let mut held = self.find_held(asked, account, holder, &conditions)?;
            check_boundary(account, boundary)?;
            let slot = match &mut held {
                Held::User(it) => &mut it.boundary,
                Held::Role(it) => &mut it.boundary,
                Held::Group(_) => {
                    return Err(IamError::InvalidInput(
                        "Groups have no permissions boundary.".to_owned(),
                    ));
                }
            };
            if boundary.is_none() && slot.is_none() {
                return Err(IamError::NoSuchEntity(format!(
                    "The permissions boundary of {} {} cannot be found.",
                    holder.kind(),
                    holder.name()
                )));
            }
            *slot = boundary.map(str::to_owned);
            held.put(account);
            Ok(())
        })
    }

    /// The holder, if the caller may do this to it. Unless the request sets another, the condition key
    /// `iam:PermissionsBoundary` is the boundary that it has: so a delegate may be allowed to give
    /// policies only to whom the boundary holds.
    fn find_held(
        &self,
        asked: Asked<'_>,
        account: &Account,
        holder: &Holder,
        conditions: &Conditions,
    ) -> Result<Held, IamError> {
        let with_boundary = |boundary: Option<&String>| match boundary {
            Some(arn) if conditions.get("iam:PermissionsBoundary").is_none() => {
                conditions.clone().with("iam:PermissionsBoundary", arn)
            }
            Some(_) | None => conditions.clone(),
        };
        Ok(match holder {
            Holder::User(name) => {
                let present = account.user(name).and_then(|it| it.boundary.as_ref());
                let conditions = with_boundary(present);
                Held::User(User::clone(
                    &*self.find_user_with(asked, account, name, conditions)?,
                ))
            }
            Holder::Role(name) => {
                let present = account.role(name).and_then(|it| it.boundary.as_ref());
                let conditions = with_boundary(present);
                Held::Role(Role::clone(
                    &*self.find_role_with(asked, account, name, conditions)?,
                ))
            }
            Holder::Group(name) => Held::Group(Group::clone(
                &*self.find_group_with(asked, account, name, conditions)?,
            )),
        })
    }
}

/// Whether the ARN is that of a managed policy that an identity of this account can have.
///
/// # Errors
///
/// [`IamError::NoSuchEntity`], [`IamError::Validation`].
pub(crate) fn check_managed(account: &Account, arn: &str) -> Result<(), IamError> {
    if crate::names::split_arn(arn).is_none_or(|(_, resource)| !resource.starts_with("policy/")) {
        return Err(IamError::Validation(format!("ARN {arn} is not valid.")));
    }
    if aws_managed::find(arn).is_some() || account.policy(arn).is_some() {
        return Ok(());
    }
    Err(IamError::NoSuchEntity(format!(
        "Policy {arn} does not exist or is not attachable."
    )))
}

/// Whether the ARN, if there is one, can be a permissions boundary.
///
/// # Errors
///
/// As [`check_managed`].
pub(crate) fn check_boundary(account: &Account, boundary: Option<&str>) -> Result<(), IamError> {
    boundary.map_or(Ok(()), |arn| check_managed(account, arn))
}

/// A managed policy, by its ARN.
pub(crate) fn attached(arn: String) -> AttachedPolicy {
    AttachedPolicy {
        name: arn.rsplit('/').next().unwrap_or_default().to_owned(),
        arn,
    }
}

/// The path in a policy's ARN.
pub(crate) fn path_of(arn: &str) -> Option<&str> {
    let (_, resource) = crate::names::split_arn(arn)?;
    let rest = resource.strip_prefix("policy")?;
    let end = rest.rfind('/')?;
    rest.get(..=end)
}

fn no_such_inline(holder: &Holder, name: &str) -> IamError {
    IamError::NoSuchEntity(format!(
        "The {} policy with name {name} cannot be found.",
        holder.kind()
    ))
}

/// What all policies of one identity are called, for those who show them.
pub(crate) fn names_of(policies: &Policies) -> (Vec<AttachedPolicy>, Vec<(String, Document)>) {
    (
        policies.attached.iter().cloned().map(attached).collect(),
        policies
            .inline
            .iter()
            .map(|it| (it.name.clone(), it.document.clone()))
            .collect(),
    )
}

/// Who holds a policy: by kind, name and id.
pub(crate) fn holders_of<'a>(
    account: &'a Account,
    arn: &'a str,
    as_boundary: bool,
) -> impl Iterator<Item = (Holder, String, String)> + 'a {
    let holds = move |policies: &Policies, boundary: Option<&String>| {
        if as_boundary {
            boundary.is_some_and(|it| it == arn)
        } else {
            policies.attached.iter().any(|it| it == arn)
        }
    };
    let groups = account
        .groups
        .values()
        .filter(move |it: &&Arc<Group>| holds(&it.policies, None))
        .map(|it| {
            let key = format!("1{}", folded(&it.name));
            (key, Holder::Group(it.name.clone()), it.id.clone())
        });
    let users = account
        .users
        .values()
        .filter(move |it: &&Arc<User>| holds(&it.policies, it.boundary.as_ref()))
        .map(|it| {
            let key = format!("2{}", folded(&it.name));
            (key, Holder::User(it.name.clone()), it.id.clone())
        });
    let roles = account
        .roles
        .values()
        .filter(move |it: &&Arc<Role>| holds(&it.policies, it.boundary.as_ref()))
        .map(|it| {
            let key = format!("3{}", folded(&it.name));
            (key, Holder::Role(it.name.clone()), it.id.clone())
        });
    groups
        .chain(users)
        .chain(roles)
        .map(|(key, holder, id)| (holder, id, key))
}
