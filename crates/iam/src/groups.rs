//! Groups, and who is in them.

use std::sync::Arc;

use strongroom_policy::Conditions;
use strongroom_types::{RequestContext, Timestamp};

use crate::directory::Account;
use crate::limits::{GROUP_NAME_MAX, GROUPS_MAX, GROUPS_PER_USER};
use crate::names::{self, check_name, check_path, folded};
use crate::records::{Group, Policies, User};
use crate::service::Asked;
use crate::users::{self, check_prefix};
use crate::{IamError, IamService, Page, PageInput, UserView, ids};

/// A group, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// `AGPA...`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its ARN.
    pub arn: String,
    /// When it was made.
    pub created: Timestamp,
}

impl IamService {
    /// CreateGroup.
    ///
    /// # Errors
    ///
    /// [`IamError`], as the IAM API Reference has it.
    pub fn create_group(
        &self,
        caller: &RequestContext,
        name: &str,
        path: Option<&str>,
    ) -> Result<GroupView, IamError> {
        check_name(name, "groupName", GROUP_NAME_MAX)?;
        let path = check_path(path)?;
        let asked = Asked::new(caller, "iam:CreateGroup");
        self.change(asked, |account| {
            let arn = names::arn(account.id, "group", &path, name);
            self.authorize(asked, account.id, arn, &Conditions::default())?;
            if account.group(name).is_some() {
                return Err(IamError::EntityAlreadyExists(format!(
                    "Group with name {name} already exists."
                )));
            }
            if account.groups.len() >= GROUPS_MAX {
                return Err(IamError::LimitExceeded(format!(
                    "Cannot exceed quota for GroupsPerAccount: {GROUPS_MAX}"
                )));
            }
            let group = Group {
                id: ids::unique_id(ids::GROUP, &*self.ports.entropy),
                name: name.to_owned(),
                path: path.clone(),
                created_millis: self.now_millis(),
                policies: Policies::default(),
            };
            let shown = view(account, &group);
            account.put_group(group);
            Ok(shown)
        })
    }

    /// GetGroup: the group, and a page of its users.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn get_group(
        &self,
        caller: &RequestContext,
        name: &str,
        page: &PageInput,
    ) -> Result<(GroupView, Page<UserView>), IamError> {
        let asked = Asked::new(caller, "iam:GetGroup");
        let account = self.account(asked)?;
        let group = self.find_group(asked, &account, name)?;
        let members = account
            .users
            .iter()
            .filter(|(_, user)| user.groups.contains(&group.id))
            .map(|(key, user)| (key.clone(), users::view(&account, user)));
        let listing = ["GetGroup", account.id.as_str(), &group.id];
        let members = self.page(&listing, page, members)?;
        Ok((view(&account, &group), members))
    }

    /// ListGroups, by name.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_groups(
        &self,
        caller: &RequestContext,
        path_prefix: Option<&str>,
        page: &PageInput,
    ) -> Result<Page<GroupView>, IamError> {
        let asked = Asked::new(caller, "iam:ListGroups");
        let account = self.account(asked)?;
        let prefix = check_prefix(path_prefix)?;
        self.authorize_list(asked, account.id, "group")?;
        let groups = account
            .groups
            .iter()
            .filter(|(_, group)| group.path.starts_with(prefix))
            .map(|(key, group)| (key.clone(), view(&account, group)));
        self.page(&["ListGroups", account.id.as_str(), prefix], page, groups)
    }

    /// UpdateGroup: a new name, a new path.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn update_group(
        &self,
        caller: &RequestContext,
        name: &str,
        new_name: Option<&str>,
        new_path: Option<&str>,
    ) -> Result<(), IamError> {
        if let Some(new_name) = new_name {
            check_name(new_name, "newGroupName", GROUP_NAME_MAX)?;
        }
        let new_path = new_path.map(|path| check_path(Some(path))).transpose()?;
        let asked = Asked::new(caller, "iam:UpdateGroup");
        self.change(asked, |account| {
            let group = self.find_group(asked, account, name)?;
            let mut changed = Group::clone(&group);
            if let Some(new_name) = new_name {
                new_name.clone_into(&mut changed.name);
            }
            if let Some(path) = &new_path {
                changed.path.clone_from(path);
            }
            let arn = account.group_arn(&changed);
            self.authorize(asked, account.id, arn, &Conditions::default())?;
            if account
                .group(&changed.name)
                .is_some_and(|it| it.id != changed.id)
            {
                return Err(IamError::EntityAlreadyExists(format!(
                    "Group with name {} already exists.",
                    changed.name
                )));
            }
            account.groups.remove(&folded(&group.name));
            account.put_group(changed);
            Ok(())
        })
    }

    /// DeleteGroup.
    ///
    /// # Errors
    ///
    /// [`IamError::DeleteConflict`] while it has users or policies.
    pub fn delete_group(&self, caller: &RequestContext, name: &str) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:DeleteGroup");
        self.change(asked, |account| {
            let group = self.find_group(asked, account, name)?;
            if account
                .users
                .values()
                .any(|it| it.groups.contains(&group.id))
            {
                return Err(IamError::DeleteConflict(
                    "Cannot delete entity, must remove users from group first.".to_owned(),
                ));
            }
            group.policies.check_none()?;
            account.groups.remove(&folded(&group.name));
            Ok(())
        })
    }

    /// AddUserToGroup; no error if it is in there.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn add_user_to_group(
        &self,
        caller: &RequestContext,
        group: &str,
        user: &str,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:AddUserToGroup");
        self.change(asked, |account| {
            let group = self.find_group(asked, account, group)?;
            let mut user = member(account, user)?;
            if user.groups.contains(&group.id) {
                return Ok(());
            }
            if user.groups.len() >= GROUPS_PER_USER {
                return Err(IamError::LimitExceeded(format!(
                    "Cannot exceed quota for GroupsPerUser: {GROUPS_PER_USER}"
                )));
            }
            user.groups.push(group.id.clone());
            account.put_user(user);
            Ok(())
        })
    }

    /// RemoveUserFromGroup; no error if it is not in there.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn remove_user_from_group(
        &self,
        caller: &RequestContext,
        group: &str,
        user: &str,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:RemoveUserFromGroup");
        self.change(asked, |account| {
            let group = self.find_group(asked, account, group)?;
            let mut user = member(account, user)?;
            user.groups.retain(|id| *id != group.id);
            account.put_user(user);
            Ok(())
        })
    }

    /// ListGroupsForUser.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_groups_for_user(
        &self,
        caller: &RequestContext,
        user: &str,
        page: &PageInput,
    ) -> Result<Page<GroupView>, IamError> {
        let asked = Asked::new(caller, "iam:ListGroupsForUser");
        let account = self.account(asked)?;
        let user = self.find_user(asked, &account, user)?;
        let groups = account
            .groups_of(&user)
            .map(|group| (folded(&group.name), view(&account, group)));
        let listing = ["ListGroupsForUser", account.id.as_str(), &user.id];
        self.page(&listing, page, groups)
    }

    /// The group of that name, if the caller may do this to it.
    pub(crate) fn find_group(
        &self,
        asked: Asked<'_>,
        account: &Account,
        name: &str,
    ) -> Result<Arc<Group>, IamError> {
        self.find_group_with(asked, account, name, &Conditions::default())
    }

    /// As [`IamService::find_group`], with condition keys of the request.
    pub(crate) fn find_group_with(
        &self,
        asked: Asked<'_>,
        account: &Account,
        name: &str,
        conditions: &Conditions,
    ) -> Result<Arc<Group>, IamError> {
        check_name(name, "groupName", GROUP_NAME_MAX)?;
        let found = account.group(name);
        let arn = match found {
            Some(group) => account.group_arn(group),
            None => names::arn(account.id, "group", "/", name),
        };
        self.authorize(asked, account.id, arn, conditions)?;
        found.cloned().ok_or_else(|| {
            IamError::NoSuchEntity(format!("The group with name {name} cannot be found."))
        })
    }
}

fn member(account: &Account, name: &str) -> Result<User, IamError> {
    check_name(name, "userName", GROUP_NAME_MAX)?;
    account.user(name).map(|it| User::clone(it)).ok_or_else(|| {
        IamError::NoSuchEntity(format!("The user with name {name} cannot be found."))
    })
}

pub(crate) fn view(account: &Account, group: &Group) -> GroupView {
    GroupView {
        id: group.id.clone(),
        name: group.name.clone(),
        path: group.path.clone(),
        arn: account.group_arn(group),
        created: Timestamp::from_millis(group.created_millis),
    }
}
