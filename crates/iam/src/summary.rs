//! GetAccountSummary and GetAccountAuthorizationDetails.

use strongroom_policy::Conditions;
use strongroom_types::RequestContext;

use crate::attachments::names_of;
use crate::service::Asked;
use crate::{
    AttachedPolicy, Document, GroupView, IamError, IamService, Page, PageInput, PolicyVersionView,
    PolicyView, RoleView, UserView, aws_managed, groups, limits, managed_policies, roles, users,
};

/// Everything about one identity or policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizationDetail {
    /// A user.
    User(Box<UserDetail>),
    /// A group.
    Group(Box<GroupDetail>),
    /// A role.
    Role(Box<RoleDetail>),
    /// A managed policy and its versions.
    Policy(Box<(PolicyView, Vec<PolicyVersionView>)>),
}

/// Which kinds of details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailFilter {
    /// Users.
    User,
    /// Groups.
    Group,
    /// Roles.
    Role,
    /// The account's own policies.
    LocalManagedPolicy,
    /// Policies of AWS.
    AwsManagedPolicy,
}

/// A user with its policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDetail {
    /// The user.
    pub user: UserView,
    /// Names of its groups.
    pub groups: Vec<String>,
    /// Attached policies.
    pub attached: Vec<AttachedPolicy>,
    /// Inline policies by name.
    pub inline: Vec<(String, Document)>,
}

/// A group with its policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDetail {
    /// The group.
    pub group: GroupView,
    /// Attached policies.
    pub attached: Vec<AttachedPolicy>,
    /// Inline policies by name.
    pub inline: Vec<(String, Document)>,
}

/// A role with its policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleDetail {
    /// The role.
    pub role: RoleView,
    /// Attached policies.
    pub attached: Vec<AttachedPolicy>,
    /// Inline policies by name.
    pub inline: Vec<(String, Document)>,
}

impl IamService {
    /// GetAccountSummary: counts and quotas by AWS's names.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn get_account_summary(
        &self,
        caller: &RequestContext,
    ) -> Result<Vec<(&'static str, usize)>, IamError> {
        let asked = Asked::new(caller, "iam:GetAccountSummary");
        let account = self.account(asked)?;
        self.authorize(asked, account.id, "*".to_owned(), &Conditions::default())?;
        let root_keys = account.access_keys.values().any(|it| it.user_id.is_empty());
        Ok(vec![
            ("AccessKeysPerUserQuota", limits::ACCESS_KEYS_PER_USER),
            ("AccountAccessKeysPresent", usize::from(root_keys)),
            ("AccountMFAEnabled", 0),
            ("AssumeRolePolicySizeQuota", limits::TRUST_POLICY_MAX),
            ("AttachedPoliciesPerGroupQuota", limits::ATTACHMENTS_MAX),
            ("AttachedPoliciesPerRoleQuota", limits::ATTACHMENTS_MAX),
            ("AttachedPoliciesPerUserQuota", limits::ATTACHMENTS_MAX),
            ("GroupPolicySizeQuota", limits::GROUP_INLINE_MAX),
            ("Groups", account.groups.len()),
            ("GroupsPerUserQuota", limits::GROUPS_PER_USER),
            ("GroupsQuota", limits::GROUPS_MAX),
            ("MFADevices", 0),
            ("Policies", account.policies.len()),
            ("PoliciesQuota", limits::POLICIES_MAX),
            ("PolicySizeQuota", limits::MANAGED_POLICY_MAX),
            ("PolicyVersionsInUse", account.policy_versions.len()),
            ("RolePolicySizeQuota", limits::ROLE_INLINE_MAX),
            ("Roles", account.roles.len()),
            ("RolesQuota", limits::ROLES_MAX),
            ("UserPolicySizeQuota", limits::USER_INLINE_MAX),
            ("Users", account.users.len()),
            ("UsersQuota", limits::USERS_MAX),
            ("VersionsPerPolicyQuota", limits::POLICY_VERSIONS_MAX),
        ])
    }

    /// GetAccountAuthorizationDetails; without filters everything.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn get_account_authorization_details(
        &self,
        caller: &RequestContext,
        filters: &[DetailFilter],
        page: &PageInput,
    ) -> Result<Page<AuthorizationDetail>, IamError> {
        let asked = Asked::new(caller, "iam:GetAccountAuthorizationDetails");
        let account = self.account(asked)?;
        self.authorize(asked, account.id, "*".to_owned(), &Conditions::default())?;
        let directory = self.identities.current()?;
        let wanted = |kind| filters.is_empty() || filters.contains(&kind);
        let mut details = Vec::new();
        if wanted(DetailFilter::User) {
            details.extend(account.users.iter().map(|(key, it)| {
                let (attached, inline) = names_of(&it.policies);
                let detail = UserDetail {
                    user: users::view(&account, it),
                    groups: account.groups_of(it).map(|it| it.name.clone()).collect(),
                    attached,
                    inline,
                };
                (format!("1{key}"), AuthorizationDetail::User(detail.into()))
            }));
        }
        if wanted(DetailFilter::Group) {
            details.extend(account.groups.iter().map(|(key, it)| {
                let (attached, inline) = names_of(&it.policies);
                let group = groups::view(&account, it);
                let detail = GroupDetail {
                    group,
                    attached,
                    inline,
                };
                (format!("2{key}"), AuthorizationDetail::Group(detail.into()))
            }));
        }
        if wanted(DetailFilter::Role) {
            details.extend(account.roles.iter().map(|(key, it)| {
                let (attached, inline) = names_of(&it.policies);
                let role = roles::view(&directory, &account, it);
                let detail = RoleDetail {
                    role,
                    attached,
                    inline,
                };
                (format!("3{key}"), AuthorizationDetail::Role(detail.into()))
            }));
        }
        if wanted(DetailFilter::LocalManagedPolicy) {
            details.extend(account.policies.iter().map(|(key, it)| {
                let versions = account
                    .versions_of(it)
                    .map(|version| managed_policies::version_view(it, version))
                    .collect();
                let detail = (managed_policies::view(&account, it), versions);
                (
                    format!("4{key}"),
                    AuthorizationDetail::Policy(detail.into()),
                )
            }));
        }
        if wanted(DetailFilter::AwsManagedPolicy) {
            details.extend(
                aws_managed::all()
                    .iter()
                    // Of AWS's policies only those that are attached are the account's.
                    .filter(|it| account.uses_of(&it.arn()) != (0, 0))
                    .map(|it| {
                        let versions = vec![managed_policies::aws_version(it)];
                        let detail = (managed_policies::aws_view(&account, it), versions);
                        let key = format!("5{}", it.name);
                        (key, AuthorizationDetail::Policy(detail.into()))
                    }),
            );
        }
        let listing = format!("{filters:?}");
        let listing = [
            "GetAccountAuthorizationDetails",
            account.id.as_str(),
            &listing,
        ];
        self.page(&listing, page, details)
    }
}
