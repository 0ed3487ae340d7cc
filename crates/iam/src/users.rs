//! Users.

use strongroom_policy::Conditions;
use strongroom_types::{AccountId, RequestContext, Timestamp};

use crate::attachments::check_boundary;
use crate::directory::Account;
use crate::limits::{USER_NAME_MAX, USERS_MAX};
use crate::names::{self, check_name, check_path, folded};
use crate::records::{Policies, User};
use crate::service::Asked;
use crate::tags::{self, with_request_tags, with_resource_tags};
use crate::{IamError, IamService, Page, PageInput, Tag, ids};

/// A user, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserView {
    /// `AIDA...`; of a root user the account's id.
    pub id: String,
    /// Its name; of a root user the account's.
    pub name: String,
    /// Its path; of a root user none.
    pub path: Option<String>,
    /// Its ARN.
    pub arn: String,
    /// When it was made.
    pub created: Timestamp,
    /// ARN of its permissions boundary.
    pub boundary: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl IamService {
    /// CreateUser.
    ///
    /// # Errors
    ///
    /// [`IamError`], as the IAM API Reference has it.
    pub fn create_user(
        &self,
        caller: &RequestContext,
        name: &str,
        path: Option<&str>,
        boundary: Option<&str>,
        new_tags: &[Tag],
    ) -> Result<UserView, IamError> {
        check_name(name, "userName", USER_NAME_MAX)?;
        let path = check_path(path)?;
        tags::check(new_tags)?;
        let asked = Asked::new(caller, "iam:CreateUser");
        self.change(asked, |account| {
            let arn = names::arn(account.id, "user", &path, name);
            let mut conditions = with_request_tags(Conditions::default(), new_tags);
            if let Some(boundary) = boundary {
                conditions = conditions.with("iam:PermissionsBoundary", boundary);
            }
            self.authorize(asked, account.id, arn.clone(), &conditions)?;
            if !new_tags.is_empty() {
                let asked = Asked::new(caller, "iam:TagUser");
                self.authorize(asked, account.id, arn, &conditions)?;
            }
            if account.user(name).is_some() {
                return Err(IamError::EntityAlreadyExists(format!(
                    "User with name {name} already exists."
                )));
            }
            check_boundary(account, boundary)?;
            if account.users.len() >= USERS_MAX {
                return Err(IamError::LimitExceeded(format!(
                    "Cannot exceed quota for UsersPerAccount: {USERS_MAX}"
                )));
            }
            let user = User {
                id: ids::unique_id(ids::USER, &*self.ports.entropy),
                name: name.to_owned(),
                path: path.clone(),
                created_millis: self.now_millis(),
                boundary: boundary.map(str::to_owned),
                policies: Policies::default(),
                groups: Vec::new(),
                tags: new_tags.to_vec(),
            };
            let shown = view(account, &user);
            account.put_user(user);
            Ok(shown)
        })
    }

    /// GetUser; without a name the caller, if that is a user or a root user.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn get_user(
        &self,
        caller: &RequestContext,
        name: Option<&str>,
    ) -> Result<UserView, IamError> {
        let asked = Asked::new(caller, "iam:GetUser");
        let account = self.account(asked)?;
        let own;
        let name = match (name, own_name(caller)) {
            (Some(name), _) => name,
            (None, Some(name)) => {
                own = name;
                own.as_str()
            }
            (None, None) if is_root(caller) => {
                let arn = caller.principal.arn();
                self.authorize(asked, account.id, arn, &Conditions::default())?;
                return Ok(root_view(&account));
            }
            (None, None) => return Err(no_name()),
        };
        let user = self.find_user(asked, &account, name)?;
        Ok(view(&account, &user))
    }

    /// ListUsers, by name.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_users(
        &self,
        caller: &RequestContext,
        path_prefix: Option<&str>,
        page: &PageInput,
    ) -> Result<Page<UserView>, IamError> {
        let asked = Asked::new(caller, "iam:ListUsers");
        let account = self.account(asked)?;
        let prefix = check_prefix(path_prefix)?;
        self.authorize_list(asked, account.id, "user")?;
        let users = account
            .users
            .iter()
            .filter(|(_, user)| user.path.starts_with(prefix))
            .map(|(key, user)| (key.clone(), view(&account, user)));
        self.page(&["ListUsers", account.id.as_str(), prefix], page, users)
    }

    /// UpdateUser: a new name, a new path.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn update_user(
        &self,
        caller: &RequestContext,
        name: &str,
        new_name: Option<&str>,
        new_path: Option<&str>,
    ) -> Result<(), IamError> {
        if let Some(new_name) = new_name {
            check_name(new_name, "newUserName", USER_NAME_MAX)?;
        }
        let new_path = new_path.map(|path| check_path(Some(path))).transpose()?;
        let asked = Asked::new(caller, "iam:UpdateUser");
        self.change(asked, |account| {
            let user = self.find_user(asked, account, name)?;
            let mut changed = User::clone(&user);
            if let Some(new_name) = new_name {
                new_name.clone_into(&mut changed.name);
            }
            if let Some(path) = &new_path {
                changed.path.clone_from(path);
            }
            // The caller must be allowed both: what it is, and what it shall be.
            let arn = account.user_arn(&changed);
            self.authorize(asked, account.id, arn, &Conditions::default())?;
            let taken = account.user(&changed.name);
            if taken.is_some_and(|it| it.id != changed.id) {
                return Err(IamError::EntityAlreadyExists(format!(
                    "User with name {} already exists.",
                    changed.name
                )));
            }
            account.users.remove(&folded(&user.name));
            account.put_user(changed);
            Ok(())
        })
    }

    /// DeleteUser.
    ///
    /// # Errors
    ///
    /// [`IamError::DeleteConflict`] while it has anything.
    pub fn delete_user(&self, caller: &RequestContext, name: &str) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:DeleteUser");
        self.change(asked, |account| {
            let user = self.find_user(asked, account, name)?;
            let conflict = |text: &str| Err(IamError::DeleteConflict(text.to_owned()));
            if !user.groups.is_empty() {
                return conflict("Cannot delete entity, must remove users from group first.");
            }
            user.policies.check_none()?;
            if account.access_keys.values().any(|it| it.user_id == user.id) {
                return conflict("Cannot delete entity, must delete access keys first.");
            }
            account.users.remove(&folded(&user.name));
            Ok(())
        })
    }

    /// The user of that name, if the caller may do this to it.
    ///
    /// # Errors
    ///
    /// [`IamError::AccessDenied`] before [`IamError::NoSuchEntity`]: who may not ask learns nothing.
    pub(crate) fn find_user(
        &self,
        asked: Asked<'_>,
        account: &Account,
        name: &str,
    ) -> Result<std::sync::Arc<User>, IamError> {
        self.find_user_with(asked, account, name, Conditions::default())
    }

    /// As [`IamService::find_user`], with condition keys of the request.
    pub(crate) fn find_user_with(
        &self,
        asked: Asked<'_>,
        account: &Account,
        name: &str,
        conditions: Conditions,
    ) -> Result<std::sync::Arc<User>, IamError> {
        check_name(name, "userName", crate::limits::GROUP_NAME_MAX)?;
        let found = account.user(name);
        let (arn, conditions) = match found {
            Some(user) => {
                let conditions = with_resource_tags(conditions, &user.tags);
                (account.user_arn(user), conditions)
            }
            None => (names::arn(account.id, "user", "/", name), conditions),
        };
        self.authorize(asked, account.id, arn, &conditions)?;
        found.cloned().ok_or_else(|| {
            IamError::NoSuchEntity(format!("The user with name {name} cannot be found."))
        })
    }

    /// Asks for a listing: its resource is the kind.
    pub(crate) fn authorize_list(
        &self,
        asked: Asked<'_>,
        account: AccountId,
        kind: &str,
    ) -> Result<(), IamError> {
        let arn = names::arn(account, kind, "/", "");
        self.authorize(asked, account, arn, &Conditions::default())
    }
}

/// The caller's own name, if it is a user.
pub(crate) fn own_name(caller: &RequestContext) -> Option<String> {
    match &caller.principal {
        strongroom_types::Principal::User { path_and_name, .. } => {
            path_and_name.rsplit('/').next().map(str::to_owned)
        }
        strongroom_types::Principal::Root { .. }
        | strongroom_types::Principal::RoleSession { .. }
        | strongroom_types::Principal::Federated { .. }
        | strongroom_types::Principal::Service { .. }
        | strongroom_types::Principal::Anonymous => None,
    }
}

pub(crate) fn is_root(caller: &RequestContext) -> bool {
    matches!(caller.principal, strongroom_types::Principal::Root { .. })
}

pub(crate) fn no_name() -> IamError {
    IamError::Validation("Must specify userName when calling with non-User credentials".to_owned())
}

/// A path prefix; none is all.
pub(crate) fn check_prefix(prefix: Option<&str>) -> Result<&str, IamError> {
    let prefix = prefix.unwrap_or("/");
    if prefix.starts_with('/') && prefix.len() <= crate::limits::PATH_MAX {
        return Ok(prefix);
    }
    Err(IamError::Validation(
        "The specified value for pathPrefix is invalid. It must begin with /.".to_owned(),
    ))
}

pub(crate) fn view(account: &Account, user: &User) -> UserView {
    UserView {
        id: user.id.clone(),
        name: user.name.clone(),
        path: Some(user.path.clone()),
        arn: account.user_arn(user),
        created: Timestamp::from_millis(user.created_millis),
        boundary: user.boundary.clone(),
        tags: user.tags.clone(),
    }
}

fn root_view(account: &Account) -> UserView {
    UserView {
        id: account.id.to_string(),
        name: account.id.to_string(),
        path: None,
        arn: format!("arn:aws:iam::{}:root", account.id),
        created: Timestamp::from_millis(account.row.created_millis),
        boundary: None,
        tags: Vec::new(),
    }
}
