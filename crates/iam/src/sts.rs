//! The Security Token Service.

use std::collections::BTreeSet;

use strongroom_audit::{Event, EventId, Params};
use strongroom_policy::Conditions;
use strongroom_types::{
    AccessKeyId, AccountId, Principal, RequestContext, Session, SessionKind, Timestamp,
};
use zeroize::Zeroizing;

use crate::access_keys::SecretKey;
use crate::attachments::check_managed;
use crate::directory::Account;
use crate::elements;
use crate::limits::{
    CHAINED_SECONDS_MAX, PACKED_MAX_BYTES, ROLE_SESSION_SECONDS, SESSION_POLICY_ARNS_MAX,
    SESSION_POLICY_MAX, SESSION_SECONDS_MIN, TAGS_MAX, TOKEN_SECONDS_DEFAULT, TOKEN_SECONDS_MAX,
};
use crate::names::{folded, is_name_char, role_of};
use crate::roles::trust_for_decision;
use crate::service::Asked;
use crate::tags::{same_key, with_request_tags, with_resource_tags};
use crate::token::Token;
use crate::{Document, DocumentKind, IamError, IamService, Tag, ids};

/// Answer of GetCallerIdentity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// `AIDA...`, `AROA...:session`, `account:name`, or a root user's account.
    pub user_id: String,
    /// The account.
    pub account: AccountId,
    /// The ARN.
    pub arn: String,
}

/// A temporary credential.
#[derive(Debug)]
pub struct TemporaryCredentials {
    /// `ASIA...`.
    pub access_key_id: String,
    /// The secret.
    pub secret: SecretKey,
    /// The token that must accompany every request.
    pub session_token: SecretKey,
    /// From when on it is refused.
    pub expires: Timestamp,
}

/// What limits and describes a session.
#[derive(Clone, Debug, Default)]
pub struct SessionInput {
    /// `DurationSeconds`.
    pub duration_seconds: Option<u32>,
    /// `Policy`.
    pub policy: Option<String>,
    /// `PolicyArns`.
    pub policy_arns: Vec<String>,
    /// `Tags`.
    pub tags: Vec<Tag>,
}

/// Input of AssumeRole.
#[derive(Clone, Debug, Default)]
pub struct AssumeRoleInput {
    /// `RoleArn`.
    pub role_arn: String,
    /// `RoleSessionName`.
    pub session_name: String,
    /// What limits and describes the session.
    pub session: SessionInput,
    /// `TransitiveTagKeys`.
    pub transitive_tag_keys: Vec<String>,
    /// `ExternalId`.
    pub external_id: Option<String>,
    /// `SourceIdentity`.
    pub source_identity: Option<String>,
}

/// Answer of AssumeRole.
#[derive(Debug)]
pub struct AssumedRole {
    /// The credential.
    pub credentials: TemporaryCredentials,
    /// `AROA...:session`.
    pub assumed_role_id: String,
    /// The session's ARN, without the role's path.
    pub arn: String,
    /// How much of the room for policies and tags they take, in per cent.
    pub packed_percent: usize,
    /// `SourceIdentity`, also if inherited.
    pub source_identity: Option<String>,
}

/// Input of GetFederationToken.
#[derive(Clone, Debug, Default)]
pub struct GetFederationTokenInput {
    /// `Name`.
    pub name: String,
    /// What limits and describes the session.
    pub session: SessionInput,
}

/// Answer of GetFederationToken.
#[derive(Debug)]
pub struct FederatedUser {
    /// The credential.
    pub credentials: TemporaryCredentials,
    /// `account:name`.
    pub federated_user_id: String,
    /// The session's ARN.
    pub arn: String,
    /// How much of the room for policies and tags they take, in per cent.
    pub packed_percent: usize,
}

impl IamService {
    /// GetCallerIdentity. Nobody who can sign is denied.
    ///
    /// # Errors
    ///
    /// [`IamError::AccessDenied`] for callers without an account.
    pub fn get_caller_identity(&self, caller: &RequestContext) -> Result<CallerIdentity, IamError> {
        let (user_id, account) = match &caller.principal {
            Principal::Root { account } => (account.to_string(), *account),
            Principal::User {
                account, user_id, ..
            } => (user_id.to_string(), *account),
            Principal::RoleSession {
                account,
                role_id,
                session_name,
                ..
            } => (format!("{role_id}:{session_name}"), *account),
            Principal::Federated { account, name } => (format!("{account}:{name}"), *account),
            Principal::Service { .. } | Principal::Anonymous => {
                return Err(IamError::AccessDenied("Access Denied".to_owned()));
            }
        };
        Ok(CallerIdentity {
            user_id,
            account,
            arn: caller.principal.arn(),
        })
    }

    /// AssumeRole.
    ///
    /// # Errors
    ///
    /// [`IamError::AccessDenied`] unless the role's trust policy allows it, alike for roles that do not
    /// exist.
    pub fn assume_role(
        &self,
        caller: &RequestContext,
        input: &AssumeRoleInput,
    ) -> Result<AssumedRole, IamError> {
        let asked = Asked::new(caller, "sts:AssumeRole");
        let AssumeRoleInput {
            role_arn,
            session_name,
            session,
            transitive_tag_keys,
            external_id,
            source_identity,
        } = input;
        let (owner, role_name) = role_of(role_arn)
            .ok_or_else(|| IamError::Validation(format!("{role_arn} is invalid")))?;
        check_session_name(session_name, "roleSessionName", 64)?;
        if let Some(identity) = source_identity {
            check_session_name(identity, "sourceIdentity", 64)?;
        }
        check_seconds(
            session.duration_seconds,
            SESSION_SECONDS_MIN,
            ROLE_SESSION_SECONDS.1,
        )?;
        check_session_tags(&session.tags)?;
        for key in transitive_tag_keys {
            if !session.tags.iter().any(|tag| same_key(&tag.key, key)) {
                return Err(IamError::InvalidParameterValue(
                    "The specified transitive tag key must be included in the requested tags."
                        .to_owned(),
                ));
            }
        }
        if matches!(caller.principal, Principal::Root { .. }) {
            return Err(IamError::AccessDenied(
                "Roles may not be assumed by root accounts.".to_owned(),
            ));
        }

        // What the session will have is what is asked for: whoever trusts another account has not
        // thereby consented to the tags that its sessions bring along.
        let before = caller.session.as_deref();
        let (tags, transitive_tag_keys) = inherit_tags(before, &session.tags, transitive_tag_keys)?;
        let session = &SessionInput {
            tags,
            ..session.clone()
        };
        check_session_tags(&session.tags)?;
        let inherited = before.and_then(|it| it.source_identity.clone());
        let result_identity = source_identity.as_ref().or(inherited.as_ref());

        let directory = self.identities.current()?;
        let found = directory.accounts.get(&owner).and_then(|account| {
            let role = account.role(role_name)?;
            (account.role_arn(role) == *role_arn).then_some((account, role))
        });
        let Some((account, role)) = found else {
            return Err(self.refuse_missing_role(asked, owner, role_arn));
        };
        let mut conditions = Conditions::default().with("sts:RoleSessionName", session_name);
        if let Some(id) = external_id {
            conditions = conditions.with("sts:ExternalId", id);
        }
        if let Some(identity) = result_identity {
            conditions = conditions.with("sts:SourceIdentity", identity);
        }
        if !transitive_tag_keys.is_empty() {
            let keys = transitive_tag_keys.iter().cloned();
            conditions = conditions.with_all("sts:TransitiveTagKeys", keys);
        }
        let conditions = with_request_tags(conditions, &session.tags);
        let conditions = with_resource_tags(conditions, &role.tags);
        let trust = trust_for_decision(&directory, role);
        let decide = |action| {
            let asked = Asked::new(caller, action);
            self.authorize_trust(asked, owner, role_arn, &conditions, &trust)
        };
        decide("sts:AssumeRole")?;
        if !session.tags.is_empty() {
            decide("sts:TagSession")?;
        }
        if result_identity.is_some() {
            decide("sts:SetSourceIdentity")?;
        }
        if inherited.is_some() && source_identity.is_some() && inherited != *source_identity {
            return Err(IamError::AccessDenied(
                "A source identity cannot be changed once it is set.".to_owned(),
            ));
        }

        let is_chained = before
            .is_some_and(|it| matches!(it.kind, SessionKind::Role | SessionKind::WebIdentity));
        let seconds = session.duration_seconds.unwrap_or(3600);
        if is_chained && seconds > CHAINED_SECONDS_MAX {
            return Err(IamError::Validation(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining".to_owned(),
            ));
        }
        if seconds > role.max_session_seconds {
            return Err(IamError::Validation(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
                    .to_owned(),
            ));
        }
        let source_identity = source_identity.clone().or(inherited);
        let packed_percent = check_policies(account, session)?;
        let assumed_role_id = format!("{}:{session_name}", role.id);
        let arn = format!(
            "arn:aws:sts::{owner}:assumed-role/{}/{session_name}",
            role.name
        );
        let elements = |made: &TemporaryCredentials| {
            let user = elements::assumed_role_user(&assumed_role_id, &arn);
            let elements = elements::credentials(made)
                .object("assumedRoleUser", &user)
                .optional("sourceIdentity", source_identity.as_deref());
            elements::packed(elements, packed_percent)
        };
        let credentials = self.issue(
            asked,
            Token {
                account: owner.to_string(),
                kind: 2,
                subject_id: role.id.clone(),
                name: session_name.clone(),
                secret: ids::secret(&*self.ports.entropy),
                issued_millis: 0,
                expires_millis: 0,
                policies: session.policy.iter().cloned().collect(),
                policy_arns: session.policy_arns.clone(),
                tags: session.tags.clone(),
                transitive_tag_keys,
                source_identity: source_identity.clone(),
                federated_provider: None,
                issuing_key: None,
            },
            seconds,
            &Made {
                elements: &elements,
                role: Some((role_arn, owner)),
            },
        )?;
        Ok(AssumedRole {
            credentials,
            assumed_role_id,
            arn,
            packed_percent,
            source_identity,
        })
    }

    /// GetSessionToken. It needs no permission, and policies cannot take it away.
    ///
    /// # Errors
    ///
    /// [`IamError::AccessDenied`] for callers that are sessions themselves.
    pub fn get_session_token(
        &self,
        caller: &RequestContext,
        duration_seconds: Option<u32>,
        with_mfa: bool,
    ) -> Result<TemporaryCredentials, IamError> {
        let asked = Asked::new(caller, "sts:GetSessionToken");
        check_seconds(duration_seconds, SESSION_SECONDS_MIN, TOKEN_SECONDS_MAX)?;
        let (account, subject_id, seconds) = long_term(asked, duration_seconds)?;
        if with_mfa {
            // There are no devices, so that no code of one can be right.
            return Err(IamError::AccessDenied(
                "MultiFactorAuthentication failed with invalid MFA one time pass code.".to_owned(),
            ));
        }
        let token = Token {
            account: account.to_string(),
            kind: 1,
            subject_id,
            name: String::new(),
            secret: ids::secret(&*self.ports.entropy),
            issued_millis: 0,
            expires_millis: 0,
            policies: Vec::new(),
            policy_arns: Vec::new(),
            tags: Vec::new(),
            transitive_tag_keys: Vec::new(),
            source_identity: None,
            federated_provider: None,
            issuing_key: issuing_key(caller),
        };
        let made = Made {
            elements: &elements::credentials,
            role: None,
        };
        self.issue(asked, token, seconds, &made)
    }

    /// GetFederationToken.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn get_federation_token(
        &self,
        caller: &RequestContext,
        input: &GetFederationTokenInput,
    ) -> Result<FederatedUser, IamError> {
        let asked = Asked::new(caller, "sts:GetFederationToken");
        let GetFederationTokenInput { name, session } = input;
        check_session_name(name, "name", 32)?;
        check_seconds(
            session.duration_seconds,
            SESSION_SECONDS_MIN,
            TOKEN_SECONDS_MAX,
        )?;
        check_session_tags(&session.tags)?;
        let (account_id, subject_id, seconds) = long_term(asked, session.duration_seconds)?;
        let account = self.account(asked)?;
        let arn = format!("arn:aws:sts::{account_id}:federated-user/{name}");
        let conditions = with_request_tags(Conditions::default(), &session.tags);
        self.authorize(asked, account_id, arn.clone(), &conditions)?;
        if !session.tags.is_empty() {
            let asked = Asked::new(caller, "sts:TagSession");
            self.authorize(asked, account_id, arn.clone(), &conditions)?;
        }
        let packed_percent = check_policies(&account, session)?;
        let federated_user_id = format!("{account_id}:{name}");
        let elements = |made: &TemporaryCredentials| {
            let user = Params::new()
                .text("federatedUserId", &federated_user_id)
                .text("arn", &arn);
            let elements = elements::credentials(made).object("federatedUser", &user);
            elements::packed(elements, packed_percent)
        };
        let credentials = self.issue(
            asked,
            Token {
                account: account_id.to_string(),
                kind: 4,
                subject_id,
                name: name.clone(),
                secret: ids::secret(&*self.ports.entropy),
                issued_millis: 0,
                expires_millis: 0,
                policies: session.policy.iter().cloned().collect(),
                policy_arns: session.policy_arns.clone(),
                tags: session.tags.clone(),
                transitive_tag_keys: Vec::new(),
                source_identity: None,
                federated_provider: None,
                issuing_key: issuing_key(caller),
            },
            seconds,
            &Made {
                elements: &elements,
                role: None,
            },
        )?;
        Ok(FederatedUser {
            credentials,
            federated_user_id,
            arn,
            packed_percent,
        })
    }

    /// GetAccessKeyInfo: the account that a key belongs to, whether it is active or not.
    ///
    /// # Errors
    ///
    /// [`IamError::Validation`] for keys that nobody here has.
    pub fn get_access_key_info(
        &self,
        caller: &RequestContext,
        key_id: &str,
    ) -> Result<AccountId, IamError> {
        let asked = Asked::new(caller, "sts:GetAccessKeyInfo");
        let own = self.account(asked)?.id;
        self.authorize(asked, own, "*".to_owned(), &Conditions::default())?;
        let unknown =
            || IamError::Validation("The specified access key ID is not valid.".to_owned());
        let id = AccessKeyId::parse(key_id).map_err(|_| unknown())?;
        if caller.access_key_id.as_ref() == Some(&id) {
            return Ok(own);
        }
        self.identities.account_of_key(&id).ok_or_else(unknown)
    }

    /// DecodeAuthorizationMessage: a message of the caller's account.
    ///
    /// # Errors
    ///
    /// [`IamError::InvalidAuthorizationMessage`].
    pub fn decode_authorization_message(
        &self,
        caller: &RequestContext,
        message: &str,
    ) -> Result<String, IamError> {
        let asked = Asked::new(caller, "sts:DecodeAuthorizationMessage");
        let account = self.account(asked)?.id;
        self.authorize(asked, account, "*".to_owned(), &Conditions::default())?;
        self.identities
            .open_authorization_message(account, message)
            .ok_or(IamError::InvalidAuthorizationMessage)
    }

    /// Makes the credential of a token that lasts so long, as soon as the trail has it.
    pub(crate) fn issue(
        &self,
        asked: Asked<'_>,
        mut token: Token,
        seconds: u32,
        made: &Made<'_>,
    ) -> Result<TemporaryCredentials, IamError> {
        let now = self.now().as_millis();
        token.issued_millis = now;
        token.expires_millis = now.saturating_add(u64::from(seconds).saturating_mul(1000));
        let entropy = &*self.ports.entropy;
        let id = ids::access_key_id(ids::TEMPORARY_KEY, entropy);
        let text = self.identities.seal_token(&id, &token, entropy);
        let credentials = TemporaryCredentials {
            access_key_id: id,
            secret: Zeroizing::new(token.secret.expose().to_owned()).into(),
            session_token: Zeroizing::new(text).into(),
            expires: Timestamp::from_millis(token.expires_millis),
        };
        let events = self.events_of(asked, &credentials, made);
        self.ports.audit.append(&events).wait()?;
        Ok(credentials)
    }

    /// The records of a credential: in the caller's account, and in that of the role, if that is
    /// another.
    fn events_of(
        &self,
        asked: Asked<'_>,
        credentials: &TemporaryCredentials,
        made: &Made<'_>,
    ) -> Vec<Event> {
        let log = &self.ports.audit;
        let event = asked.event().response(&(made.elements)(credentials));
        let Some((arn, owner)) = made.role else {
            return vec![log.finish(event)];
        };
        let event = event.resource("AWS::IAM::Role", arn, Some(owner));
        match asked.caller.principal.account() {
            Some(own) if own != owner => {
                let shared = EventId::new(self.now(), &*self.ports.entropy);
                let each = |account| log.finish(event.clone().recipient(account, Some(shared)));
                [own, owner].into_iter().map(each).collect()
            }
            Some(_) => vec![log.finish(event)],
            None => vec![log.finish(event.recipient(owner, None))],
        }
    }
}

/// What the record of a credential tells.
pub(crate) struct Made<'a> {
    /// `responseElements`.
    pub(crate) elements: &'a dyn Fn(&TemporaryCredentials) -> Params,
    /// The role, and whose it is.
    pub(crate) role: Option<(&'a str, AccountId)>,
}

/// Account and unique id of a caller with a long-term key, and how long its sessions last.
fn long_term(
    asked: Asked<'_>,
    duration_seconds: Option<u32>,
) -> Result<(AccountId, String, u32), IamError> {
    let name = asked.action.split_once(':').map_or("", |(_, name)| name);
    let refused = || IamError::AccessDenied(format!("Cannot call {name} with session credentials"));
    if asked.caller.session.is_some() {
        return Err(refused());
    }
    let seconds = duration_seconds.unwrap_or(TOKEN_SECONDS_DEFAULT);
    match &asked.caller.principal {
        Principal::Root { account } => {
            Ok((*account, String::new(), seconds.min(CHAINED_SECONDS_MAX)))
        }
        Principal::User {
            account, user_id, ..
        } => Ok((*account, user_id.to_string(), seconds)),
        Principal::RoleSession { .. }
        | Principal::Federated { .. }
        | Principal::Service { .. }
        | Principal::Anonymous => Err(refused()),
    }
}

/// The long-term key that the caller signed with.
fn issuing_key(caller: &RequestContext) -> Option<String> {
    let key = caller.access_key_id.as_ref();
    key.map(|id| id.as_str().to_owned())
}

/// The tags of a session that is made by another: transitive ones go on, and cannot be set anew.
fn inherit_tags(
    before: Option<&Session>,
    requested: &[Tag],
    transitive: &[String],
) -> Result<(Vec<Tag>, Vec<String>), IamError> {
    let mut tags = requested.to_vec();
    let mut transitive = transitive.to_vec();
    for key in before.map_or(&[][..], |it| &it.transitive_tag_keys) {
        if tags.iter().any(|tag| same_key(&tag.key, key)) {
            return Err(IamError::InvalidParameterValue(
                "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.".to_owned(),
            ));
        }
        let value = before
            .and_then(|it| it.tags.iter().find(|(name, _)| same_key(name, key)))
            .map(|(_, value)| value.clone());
        if let Some(value) = value {
            tags.push(Tag {
                key: key.clone(),
                value,
            });
            transitive.push(key.clone());
        }
    }
    Ok((tags, transitive))
}

pub(crate) fn check_session_name(name: &str, member: &str, max: usize) -> Result<(), IamError> {
    if !name.chars().all(is_name_char) {
        return Err(IamError::constraint(
            name,
            member,
            "satisfy regular expression pattern: [\\w+=,.@-]*",
        ));
    }
    if name.len() < 2 {
        return Err(IamError::constraint(
            name,
            member,
            "have length greater than or equal to 2",
        ));
    }
    if name.len() > max {
        return Err(IamError::constraint(
            name,
            member,
            &format!("have length less than or equal to {max}"),
        ));
    }
    Ok(())
}

pub(crate) fn check_seconds(seconds: Option<u32>, min: u32, max: u32) -> Result<(), IamError> {
    match seconds {
        Some(seconds) if seconds < min => Err(IamError::constraint(
            &seconds.to_string(),
            "durationSeconds",
            &format!("have value greater than or equal to {min}"),
        )),
        Some(seconds) if seconds > max => Err(IamError::constraint(
            &seconds.to_string(),
            "durationSeconds",
            &format!("have value less than or equal to {max}"),
        )),
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn check_session_tags(tags: &[Tag]) -> Result<(), IamError> {
    let mut seen = BTreeSet::new();
    if !tags.iter().all(|tag| seen.insert(folded(&tag.key))) {
        return Err(IamError::InvalidParameterValue(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.".to_owned(),
        ));
    }
    if tags.len() > TAGS_MAX {
        return Err(IamError::constraint(
            "***",
            "tags",
            "have length less than or equal to 50",
        ));
    }
    crate::tags::check(tags)
}

/// Checks the policies of a session; how much of their room they and the tags take, in per cent.
pub(crate) fn check_policies(account: &Account, session: &SessionInput) -> Result<usize, IamError> {
    let mut bytes: usize = 0;
    if let Some(text) = &session.policy {
        if text.is_empty() || text.chars().count() > SESSION_POLICY_MAX {
            return Err(IamError::constraint(
                "***",
                "policy",
                "have length between 1 and 2048",
            ));
        }
        Document::parse(text, DocumentKind::Identity)?;
        bytes = bytes.saturating_add(text.len());
    }
    if session.policy_arns.len() > SESSION_POLICY_ARNS_MAX {
        return Err(IamError::constraint(
            "***",
            "policyArns",
            "have length less than or equal to 10",
        ));
    }
    for arn in &session.policy_arns {
        check_managed(account, arn)?;
        bytes = bytes.saturating_add(arn.len());
    }
    for tag in &session.tags {
        bytes = bytes.saturating_add(tag.key.len().saturating_add(tag.value.len()));
    }
    let percent = bytes.saturating_mul(100).div_ceil(PACKED_MAX_BYTES);
    if percent > 100 {
        return Err(IamError::PackedPolicyTooLarge(format!(
            "Packed size of session policies and tags consumes {percent}% of allotted space."
        )));
    }
    Ok(percent)
}
