//! Tags of users, roles and managed policies.

use std::collections::BTreeSet;

use strongroom_policy::Conditions;
use strongroom_types::RequestContext;

use crate::directory::Account;
use crate::limits::{TAG_KEY_MAX, TAG_VALUE_MAX, TAGS_MAX};
use crate::names::folded;
use crate::records::{Policy, Role, User};
use crate::service::Asked;
use crate::{IamError, IamService, Page, PageInput, Tag};

/// What can have tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taggable {
    /// The user of that name.
    User(String),
    /// The role of that name.
    Role(String),
    /// The managed policy of that ARN.
    Policy(String),
}

macro_rules! action {
    ($target:expr, $before:literal, $after:literal) => {
        match $target {
            Taggable::User(_) => concat!("iam:", $before, "User", $after),
            Taggable::Role(_) => concat!("iam:", $before, "Role", $after),
            Taggable::Policy(_) => concat!("iam:", $before, "Policy", $after),
        }
    };
}

impl IamService {
    /// TagUser, TagRole, TagPolicy: sets tags; those of the same key get the new value.
    ///
    /// # Errors
    ///
    /// [`IamError`], as the IAM API Reference has it.
    pub fn tag(
        &self,
        caller: &RequestContext,
        target: &Taggable,
        new: &[Tag],
    ) -> Result<(), IamError> {
        check(new)?;
        let asked = Asked::new(caller, action!(target, "Tag", ""));
        let conditions = with_request_tags(Conditions::default(), new);
        self.change_tags(asked, target, &conditions, |tags| {
            for tag in new {
                match tags.iter_mut().find(|it| same_key(&it.key, &tag.key)) {
                    Some(present) => *present = tag.clone(),
                    None => tags.push(tag.clone()),
                }
            }
        })
    }

    /// UntagUser, UntagRole, UntagPolicy; tags that are not there are no error.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn untag(
        &self,
        caller: &RequestContext,
        target: &Taggable,
        keys: &[String],
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, action!(target, "Untag", ""));
        let conditions = Conditions::default().with_all("aws:TagKeys", keys.iter().cloned());
        self.change_tags(asked, target, &conditions, |tags| {
            tags.retain(|tag| !keys.iter().any(|key| same_key(key, &tag.key)));
        })
    }

    /// ListUserTags, ListRoleTags, ListPolicyTags, by key.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_tags(
        &self,
        caller: &RequestContext,
        target: &Taggable,
        page: &PageInput,
    ) -> Result<Page<Tag>, IamError> {
        let asked = Asked::new(caller, action!(target, "List", "Tags"));
        let account = self.account(asked)?;
        let (id, mut tags) =
            match self.find_tagged(asked, &account, target, &Conditions::default())? {
                Tagged::User(it) => (it.id, it.tags),
                Tagged::Role(it) => (it.id, it.tags),
                Tagged::Policy(it) => (it.id, it.tags),
            };
        tags.sort();
        let tags = tags.into_iter().map(|tag| (tag.key.clone(), tag));
        self.page(&["ListTags", account.id.as_str(), &id], page, tags)
    }

    fn change_tags(
        &self,
        asked: Asked<'_>,
        target: &Taggable,
        conditions: &Conditions,
        change: impl Fn(&mut Vec<Tag>),
    ) -> Result<(), IamError> {
        self.change(asked, |account| {
            let mut tagged = self.find_tagged(asked, account, target, conditions)?;
            let tags = match &mut tagged {
                Tagged::User(it) => &mut it.tags,
                Tagged::Role(it) => &mut it.tags,
                Tagged::Policy(it) => &mut it.tags,
            };
            change(tags);
            if tags.len() > TAGS_MAX {
                return Err(too_many());
            }
            match tagged {
                Tagged::User(it) => account.put_user(it),
                Tagged::Role(it) => account.put_role(it),
                Tagged::Policy(it) => account.put_policy(it),
            }
            Ok(())
        })
    }

    fn find_tagged(
        &self,
        asked: Asked<'_>,
        account: &Account,
        target: &Taggable,
        conditions: &Conditions,
    ) -> Result<Tagged, IamError> {
        Ok(match target {
            Taggable::User(name) => Tagged::User(User::clone(&*self.find_user_with(
                asked,
                account,
                name,
                conditions.clone(),
            )?)),
            Taggable::Role(name) => Tagged::Role(Role::clone(&*self.find_role_with(
                asked,
                account,
                name,
                conditions.clone(),
            )?)),
            Taggable::Policy(arn) => Tagged::Policy(Policy::clone(&*self.find_policy_with(
                asked,
                account,
                arn,
                conditions.clone(),
            )?)),
        })
    }
}

enum Tagged {
    User(User),
    Role(Role),
    Policy(Policy),
}

/// Tag keys of IAM have no case.
pub(crate) fn same_key(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Whether these tags can be set together.
///
/// # Errors
///
/// [`IamError::InvalidInput`], [`IamError::LimitExceeded`], [`IamError::Validation`].
pub(crate) fn check(tags: &[Tag]) -> Result<(), IamError> {
    let is_tag_char = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
    let mut seen = BTreeSet::new();
    for Tag { key, value } in tags {
        let (key_len, value_len) = (key.chars().count(), value.chars().count());
        if !(1..=TAG_KEY_MAX).contains(&key_len) || !key.chars().all(is_tag_char) {
            return Err(IamError::constraint(
                key,
                "tags.1.member.key",
                "satisfy regular expression pattern: [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+",
            ));
        }
        if value_len > TAG_VALUE_MAX || !value.chars().all(is_tag_char) {
            return Err(IamError::constraint(
                value,
                "tags.1.member.value",
                "satisfy regular expression pattern: [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*",
            ));
        }
        if key
            .get(..4)
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
        {
            return Err(IamError::InvalidInput(
                "Tag keys beginning with \"aws:\" are reserved for AWS use.".to_owned(),
            ));
        }
        if !seen.insert(folded(key)) {
            return Err(IamError::InvalidInput(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive."
                    .to_owned(),
            ));
        }
    }
    if tags.len() > TAGS_MAX {
        return Err(too_many());
    }
    Ok(())
}

/// Adds the condition keys of tags that a request sets.
pub(crate) fn with_request_tags(conditions: Conditions, tags: &[Tag]) -> Conditions {
    if tags.is_empty() {
        return conditions;
    }
    let keys = tags.iter().map(|tag| tag.key.clone());
    tags.iter().fold(
        conditions.with_all("aws:TagKeys", keys),
        |conditions, tag| conditions.with(&format!("aws:RequestTag/{}", tag.key), &tag.value),
    )
}

/// Adds the condition keys of tags that the target has.
pub(crate) fn with_resource_tags(conditions: Conditions, tags: &[Tag]) -> Conditions {
    tags.iter().fold(conditions, |conditions, tag| {
        conditions
            .with(&format!("aws:ResourceTag/{}", tag.key), &tag.value)
            .with(&format!("iam:ResourceTag/{}", tag.key), &tag.value)
    })
}

pub(crate) fn too_many() -> IamError {
    IamError::LimitExceeded(format!(
        "The number of tags has reached the maximum limit. Cannot exceed quota for TagsPerResource: {TAGS_MAX}"
    ))
}
