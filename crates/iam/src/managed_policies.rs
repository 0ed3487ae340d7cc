//! Managed policies and their versions.

use std::sync::Arc;

use strongroom_policy::Conditions;
use strongroom_types::{RequestContext, Timestamp};

use crate::attachments::{Holder, holders_of};
use crate::directory::Account;
use crate::limits::{MANAGED_POLICY_MAX, POLICIES_MAX, POLICY_NAME_MAX, POLICY_VERSIONS_MAX};
use crate::names::{self, check_description, check_name, check_path, folded};
use crate::records::{Policy, PolicyVersion};
use crate::service::Asked;
use crate::tags::{self, with_request_tags, with_resource_tags};
use crate::users::check_prefix;
use crate::{Document, DocumentKind, IamError, IamService, Page, PageInput, Tag, aws_managed, ids};

/// Input of CreatePolicy.
#[derive(Clone, Debug, Default)]
pub struct CreatePolicyInput {
    /// `PolicyName`.
    pub name: String,
    /// `Path`.
    pub path: Option<String>,
    /// `PolicyDocument`.
    pub document: String,
    /// `Description`.
    pub description: Option<String>,
    /// `Tags`.
    pub tags: Vec<Tag>,
}

/// A managed policy, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyView {
    /// `ANPA...`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its ARN.
    pub arn: String,
    /// The version in force.
    pub default_version: u32,
    /// To how many identities it is attached.
    pub attachments: usize,
    /// How many identities it bounds.
    pub boundary_uses: usize,
    /// Its description.
    pub description: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When its versions were last changed.
    pub updated: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A version of a managed policy, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersionView {
    /// Its number; printed with a `v` in front.
    pub number: u32,
    /// Whether it is the one in force.
    pub is_default: bool,
    /// When it was made.
    pub created: Timestamp,
    /// What it says.
    pub document: Document,
}

/// Whose policies are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyScope {
    /// All.
    #[default]
    All,
    /// Those that AWS manages.
    Aws,
    /// The account's own.
    Local,
}

/// What a policy is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyUsage {
    /// It is attached.
    PermissionsPolicy,
    /// It bounds.
    PermissionsBoundary,
}

/// Input of ListPolicies.
#[derive(Clone, Debug, Default)]
pub struct ListPoliciesInput {
    /// `Scope`.
    pub scope: PolicyScope,
    /// `OnlyAttached`.
    pub only_attached: bool,
    /// `PathPrefix`.
    pub path_prefix: Option<String>,
    /// `PolicyUsageFilter`.
    pub usage: Option<PolicyUsage>,
    /// Which page.
    pub page: PageInput,
}

/// Who has a policy: holders by name, with their unique ids.
pub type PolicyEntities = Page<(Holder, String)>;

impl IamService {
    /// CreatePolicy.
    ///
    /// # Errors
    ///
    /// [`IamError`], as the IAM API Reference has it.
    pub fn create_policy(
        &self,
        caller: &RequestContext,
        input: &CreatePolicyInput,
    ) -> Result<PolicyView, IamError> {
        let CreatePolicyInput {
            name,
            path,
            document,
            description,
            tags: new_tags,
        } = input;
        check_name(name, "policyName", POLICY_NAME_MAX)?;
        let path = check_path(path.as_deref())?;
        check_description(description.as_deref())?;
        tags::check(new_tags)?;
        let asked = Asked::new(caller, "iam:CreatePolicy");
        self.change(asked, |account| {
            let arn = names::arn(account.id, "policy", &path, name);
            let conditions = with_request_tags(Conditions::default(), new_tags);
            self.authorize(asked, account.id, arn.clone(), &conditions)?;
            if !new_tags.is_empty() {
                let asked = Asked::new(caller, "iam:TagPolicy");
                self.authorize(asked, account.id, arn, &conditions)?;
            }
            let document = managed_document(document)?;
            if account.policies.contains_key(&folded(name)) {
                return Err(IamError::EntityAlreadyExists(format!(
                    "A policy called {name} already exists. Duplicate names are not allowed."
                )));
            }
            if account.policies.len() >= POLICIES_MAX {
                return Err(IamError::LimitExceeded(format!(
                    "Cannot exceed quota for PoliciesPerAccount: {POLICIES_MAX}"
                )));
            }
            let now = self.now_millis();
            let policy = Policy {
                id: ids::unique_id(ids::POLICY, &*self.ports.entropy),
                name: name.clone(),
                path: path.clone(),
                created_millis: now,
                updated_millis: now,
                description: description.clone(),
                default_version: 1,
                last_version: 1,
                tags: new_tags.clone(),
            };
            put_version(account, &policy, 1, now, document);
            let shown = view(account, &policy);
            account.put_policy(policy);
            Ok(shown)
        })
    }

    /// GetPolicy.
    ///
    /// # Errors
    ///
    /// [`IamError::NoSuchEntity`].
    pub fn get_policy(&self, caller: &RequestContext, arn: &str) -> Result<PolicyView, IamError> {
        let asked = Asked::new(caller, "iam:GetPolicy");
        let account = self.account(asked)?;
        if let Some(managed) = aws_managed::find(arn) {
            self.authorize(asked, account.id, arn.to_owned(), &Conditions::default())?;
            return Ok(aws_view(&account, managed));
        }
        let policy = self.find_policy(asked, &account, arn)?;
        Ok(view(&account, &policy))
    }

    /// ListPolicies: the account's by name, then AWS's.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_policies(
        &self,
        caller: &RequestContext,
        input: &ListPoliciesInput,
    ) -> Result<Page<PolicyView>, IamError> {
        let asked = Asked::new(caller, "iam:ListPolicies");
        let account = self.account(asked)?;
        let prefix = check_prefix(input.path_prefix.as_deref())?;
        self.authorize_list(asked, account.id, "policy")?;
        let own = account
            .policies
            .iter()
            .filter(|_| input.scope != PolicyScope::Aws)
            .map(|(key, it)| (format!("1{key}"), view(&account, it)));
        let of_aws = aws_managed::all()
            .iter()
            .filter(|_| input.scope != PolicyScope::Local)
            .map(|it| (format!("2{}", folded(it.name)), aws_view(&account, it)));
        let chosen = own.chain(of_aws).filter(|(_, it)| {
            it.path.starts_with(prefix)
                && (!input.only_attached || it.attachments > 0)
                && match input.usage {
                    Some(PolicyUsage::PermissionsBoundary) => it.boundary_uses > 0,
                    Some(PolicyUsage::PermissionsPolicy) => it.attachments > 0,
                    None => true,
                }
        });
        let listing = format!(
            "{:?} {} {:?}",
            input.scope, input.only_attached, input.usage
        );
        self.page(
            &["ListPolicies", account.id.as_str(), prefix, &listing],
            &input.page,
            chosen,
        )
    }

    /// DeletePolicy.
    ///
    /// # Errors
    ///
    /// [`IamError::DeleteConflict`] while it is used, or has other versions than the default.
    pub fn delete_policy(&self, caller: &RequestContext, arn: &str) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:DeletePolicy");
        self.change(asked, |account| {
            let policy = self.find_policy(asked, account, arn)?;
            if account.uses_of(arn) != (0, 0) {
                return Err(IamError::DeleteConflict(
                    "Cannot delete a policy attached to entities.".to_owned(),
                ));
            }
            if account.versions_of(&policy).count() > 1 {
                return Err(IamError::DeleteConflict(
                    "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.".to_owned(),
                ));
            }
            account.policy_versions.retain(|(id, _), _| *id != policy.id);
            account.policies.remove(&folded(&policy.name));
            Ok(())
        })
    }

    /// CreatePolicyVersion.
    ///
    /// # Errors
    ///
    /// [`IamError::LimitExceeded`] beyond five versions.
    pub fn create_policy_version(
        &self,
        caller: &RequestContext,
        arn: &str,
        document: &str,
        set_as_default: bool,
    ) -> Result<PolicyVersionView, IamError> {
        let asked = Asked::new(caller, "iam:CreatePolicyVersion");
        self.change(asked, |account| {
            let mut policy = Policy::clone(&*self.find_policy(asked, account, arn)?);
            let document = managed_document(document)?;
            if account.versions_of(&policy).count() >= POLICY_VERSIONS_MAX {
                return Err(IamError::LimitExceeded(
                    "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.".to_owned(),
                ));
            }
            policy.last_version = policy.last_version.saturating_add(1);
            policy.updated_millis = self.now_millis();
            if set_as_default {
                policy.default_version = policy.last_version;
            }
            let (number, now) = (policy.last_version, policy.updated_millis);
            let version = put_version(account, &policy, number, now, document);
            let shown = version_view(&policy, &version);
            account.put_policy(policy);
            Ok(shown)
        })
    }

    /// GetPolicyVersion.
    ///
    /// # Errors
    ///
    /// [`IamError::NoSuchEntity`].
    pub fn get_policy_version(
        &self,
        caller: &RequestContext,
        arn: &str,
        version: &str,
    ) -> Result<PolicyVersionView, IamError> {
        let asked = Asked::new(caller, "iam:GetPolicyVersion");
        let number = parse_version(version)?;
        let account = self.account(asked)?;
        if let Some(managed) = aws_managed::find(arn) {
            self.authorize(asked, account.id, arn.to_owned(), &Conditions::default())?;
            return (number == 1)
                .then(|| aws_version(managed))
                .ok_or_else(|| no_such_version(arn, version));
        }
        let policy = self.find_policy(asked, &account, arn)?;
        let found = account.policy_version(&policy, number);
        found
            .map(|it| version_view(&policy, it))
            .ok_or_else(|| no_such_version(arn, version))
    }

    /// ListPolicyVersions, newest first.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_policy_versions(
        &self,
        caller: &RequestContext,
        arn: &str,
        page: &PageInput,
    ) -> Result<Page<PolicyVersionView>, IamError> {
        let asked = Asked::new(caller, "iam:ListPolicyVersions");
        let account = self.account(asked)?;
        let listing = ["ListPolicyVersions", account.id.as_str(), arn];
        if let Some(managed) = aws_managed::find(arn) {
            self.authorize(asked, account.id, arn.to_owned(), &Conditions::default())?;
            return self.page(&listing, page, [(String::from("1"), aws_version(managed))]);
        }
        let policy = self.find_policy(asked, &account, arn)?;
        let mut versions: Vec<_> = account
            .versions_of(&policy)
            .map(|it| {
                let key = format!("{:010}", u32::MAX.saturating_sub(it.number));
                (key, version_view(&policy, it))
            })
            .collect();
        versions.reverse();
        self.page(&listing, page, versions)
    }

    /// DeletePolicyVersion.
    ///
    /// # Errors
    ///
    /// [`IamError::DeleteConflict`] for the default version.
    pub fn delete_policy_version(
        &self,
        caller: &RequestContext,
        arn: &str,
        version: &str,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:DeletePolicyVersion");
        let number = parse_version(version)?;
        self.change(asked, |account| {
            let mut policy = Policy::clone(&*self.find_policy(asked, account, arn)?);
            if account.policy_version(&policy, number).is_none() {
                return Err(no_such_version(arn, version));
            }
            if policy.default_version == number {
                return Err(IamError::DeleteConflict(
                    "Cannot delete the default version of a policy.".to_owned(),
                ));
            }
            account.policy_versions.remove(&(policy.id.clone(), number));
            policy.updated_millis = self.now_millis();
            account.put_policy(policy);
            Ok(())
        })
    }

    /// SetDefaultPolicyVersion.
    ///
    /// # Errors
    ///
    /// [`IamError::NoSuchEntity`].
    pub fn set_default_policy_version(
        &self,
        caller: &RequestContext,
        arn: &str,
        version: &str,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:SetDefaultPolicyVersion");
        let number = parse_version(version)?;
        self.change(asked, |account| {
            let mut policy = Policy::clone(&*self.find_policy(asked, account, arn)?);
            if account.policy_version(&policy, number).is_none() {
                return Err(no_such_version(arn, version));
            }
            policy.default_version = number;
            policy.updated_millis = self.now_millis();
            account.put_policy(policy);
            Ok(())
        })
    }

    /// ListEntitiesForPolicy: groups, users, roles. `kind` is `User`, `Group` or `Role`, or `None` for all.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_entities_for_policy(
        &self,
        caller: &RequestContext,
        arn: &str,
        kind: Option<&str>,
        usage: Option<PolicyUsage>,
        page: &PageInput,
    ) -> Result<PolicyEntities, IamError> {
        let asked = Asked::new(caller, "iam:ListEntitiesForPolicy");
        let account = self.account(asked)?;
        if aws_managed::find(arn).is_some() {
            self.authorize(asked, account.id, arn.to_owned(), &Conditions::default())?;
        } else {
            self.find_policy(asked, &account, arn)?;
        }
        let as_boundary = usage == Some(PolicyUsage::PermissionsBoundary);
        let holders = holders_of(&account, arn, as_boundary)
            .filter(|(holder, _, _)| match (kind, holder) {
                (None, _) => true,
                (Some(kind), Holder::User(_)) => kind == "User",
                (Some(kind), Holder::Group(_)) => kind == "Group",
                (Some(kind), Holder::Role(_)) => kind == "Role",
            })
            .map(|(holder, id, key)| (key, (holder, id)));
        let listing = format!("{kind:?} {usage:?}");
        let listing = ["ListEntitiesForPolicy", account.id.as_str(), arn, &listing];
        self.page(&listing, page, holders)
    }

    fn find_policy(
        &self,
        asked: Asked<'_>,
        account: &Account,
        arn: &str,
    ) -> Result<Arc<Policy>, IamError> {
        self.find_policy_with(asked, account, arn, Conditions::default())
    }

    /// The account's policy of that ARN, if the caller may do this to it. AWS's cannot be changed, and
    /// nobody is allowed to.
    pub(crate) fn find_policy_with(
        &self,
        asked: Asked<'_>,
        account: &Account,
        arn: &str,
        conditions: Conditions,
    ) -> Result<Arc<Policy>, IamError> {
        let owner = match names::split_arn(arn) {
            Some((owner, resource)) if resource.starts_with("policy/") => owner,
            Some(_) | None => {
                return Err(IamError::Validation(format!("ARN {arn} is not valid.")));
            }
        };
        if owner != Some(account.id) {
            return Err(IamError::AccessDenied(format!(
                "User: {} is not authorized to perform: {} on resource: policy {arn}",
                asked.caller.principal.arn(),
                asked.action
            )));
        }
        let found = account.policy(arn);
        let conditions = match found {
            Some(policy) => with_resource_tags(conditions, &policy.tags),
            None => conditions,
        };
        self.authorize(asked, account.id, arn.to_owned(), &conditions)?;
        found
            .cloned()
            .ok_or_else(|| IamError::NoSuchEntity(format!("Policy {arn} was not found.")))
    }
}

fn managed_document(text: &str) -> Result<Document, IamError> {
    let document = Document::parse(text, DocumentKind::Identity)?;
    if document.counted_len() > MANAGED_POLICY_MAX {
        return Err(IamError::LimitExceeded(format!(
            "Cannot exceed quota for PolicySize: {MANAGED_POLICY_MAX}"
        )));
    }
    Ok(document)
}

fn put_version(
    account: &mut Account,
    policy: &Policy,
    number: u32,
    now: u64,
    document: Document,
) -> Arc<PolicyVersion> {
    let version = Arc::new(PolicyVersion {
        policy_id: policy.id.clone(),
        number,
        created_millis: now,
        document,
    });
    let key = (policy.id.clone(), number);
    account.policy_versions.insert(key, Arc::clone(&version));
    version
}

/// `v1`, as versions are named.
fn parse_version(text: &str) -> Result<u32, IamError> {
    text.strip_prefix('v')
        .filter(|digits| !digits.starts_with(['0', '+']))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            IamError::constraint(
                text,
                "versionId",
                "satisfy regular expression pattern: v[1-9][0-9]*(\\.[A-Za-z0-9-]*)?",
            )
        })
}

fn no_such_version(arn: &str, version: &str) -> IamError {
    IamError::NoSuchEntity(format!(
        "Policy {arn} version {version} does not exist or is not attachable."
    ))
}

pub(crate) fn view(account: &Account, policy: &Policy) -> PolicyView {
    let arn = account.policy_arn(policy);
    let (attachments, boundary_uses) = account.uses_of(&arn);
    PolicyView {
        id: policy.id.clone(),
        name: policy.name.clone(),
        path: policy.path.clone(),
        arn,
        default_version: policy.default_version,
        attachments,
        boundary_uses,
        description: policy.description.clone(),
        created: Timestamp::from_millis(policy.created_millis),
        updated: Timestamp::from_millis(policy.updated_millis),
        tags: policy.tags.clone(),
    }
}

pub(crate) fn version_view(policy: &Policy, version: &PolicyVersion) -> PolicyVersionView {
    PolicyVersionView {
        number: version.number,
        is_default: policy.default_version == version.number,
        created: Timestamp::from_millis(version.created_millis),
        document: version.document.clone(),
    }
}

pub(crate) fn aws_view(account: &Account, managed: &aws_managed::AwsManaged) -> PolicyView {
    let arn = managed.arn();
    let (attachments, boundary_uses) = account.uses_of(&arn);
    PolicyView {
        id: managed.id.to_owned(),
        name: managed.name.to_owned(),
        path: "/".to_owned(),
        arn,
        default_version: 1,
        attachments,
        boundary_uses,
        description: Some(managed.description.to_owned()),
        created: aws_managed::CREATED,
        updated: aws_managed::CREATED,
        tags: Vec::new(),
    }
}

pub(crate) fn aws_version(managed: &aws_managed::AwsManaged) -> PolicyVersionView {
    PolicyVersionView {
        number: 1,
        is_default: true,
        created: aws_managed::CREATED,
        document: managed.document.clone(),
    }
}
