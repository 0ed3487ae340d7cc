//! AssumeRoleWithWebIdentity: a role for who proves itself to another party.

use std::sync::Arc;

use strongroom_policy::Conditions;
use strongroom_types::{RequestContext, Session, SessionKind, WebIdentity};

use super::token::{Claims, Unverified};
use crate::elements;
use crate::limits::{ROLE_SESSION_SECONDS, SESSION_SECONDS_MIN};
use crate::names::role_of;
use crate::roles::trust_for_decision;
use crate::service::Asked;
use crate::sts::{Made, check_policies, check_seconds, check_session_name, check_session_tags};
use crate::tags::{same_key, with_request_tags, with_resource_tags};
use crate::token::Token;
use crate::{AssumedRole, IamError, IamService, SessionInput, TemporaryCredentials, ids};

/// Input of AssumeRoleWithWebIdentity.
#[derive(Clone, Default)]
pub struct AssumeRoleWithWebIdentityInput {
    /// `RoleArn`.
    pub role_arn: String,
    /// `RoleSessionName`.
    pub session_name: String,
    /// `WebIdentityToken`: who has it may be whom it names, so it is as good as a secret.
    pub token: zeroize::Zeroizing<String>,
    /// What limits the session; tags are the token's.
    pub session: SessionInput,
}

impl std::fmt::Debug for AssumeRoleWithWebIdentityInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AssumeRoleWithWebIdentityInput({})", self.role_arn)
    }
}

/// Answer of AssumeRoleWithWebIdentity.
#[derive(Debug)]
pub struct WebIdentitySession {
    /// The role and its credential.
    pub assumed: AssumedRole,
    /// `SubjectFromWebIdentityToken`.
    pub subject: String,
    /// `Provider`: the issuer.
    pub provider: String,
    /// `Audience`.
    pub audience: String,
}

const ACTION: &str = "sts:AssumeRoleWithWebIdentity";

impl IamService {
    /// AssumeRoleWithWebIdentity. Who signed the request, if anybody, has no part in it. As soon as the
    /// token is found good, `proven` tells whose it is, also if the role is refused then: for the record.
    ///
    /// # Errors
    ///
    /// [`IamError::InvalidIdentityToken`] and its like for the token; [`IamError::AccessDenied`] unless
    /// the role's trust policy allows it, alike for roles that do not exist.
    pub fn assume_role_with_web_identity(
        &self,
        caller: &RequestContext,
        input: &AssumeRoleWithWebIdentityInput,
        proven: &mut Option<Arc<Session>>,
    ) -> Result<WebIdentitySession, IamError> {
        let AssumeRoleWithWebIdentityInput {
            role_arn,
            session_name,
            token,
            session,
        } = input;
        let (owner, role_name) = role_of(role_arn)
            .ok_or_else(|| IamError::Validation(format!("{role_arn} is invalid")))?;
        check_session_name(session_name, "roleSessionName", 64)?;
        let seconds = session.duration_seconds.unwrap_or(3600);
        check_seconds(Some(seconds), SESSION_SECONDS_MIN, ROLE_SESSION_SECONDS.1)?;
        let token = Unverified::parse(token)?;

        let directory = self.identities.current()?;
        let account = directory.accounts.get(&owner);
        let account = account.filter(|account| !account.is_disabled());
        // The issuer's name is the token's, unproven; only whom the account trusts is asked at all.
        let provider = account.and_then(|account| {
            let url = token.issuer.strip_prefix("https://")?;
            account
                .oidc_providers
                .get(url.strip_suffix('/').unwrap_or(url))
        });
        let (Some(account), Some(provider)) = (account, provider) else {
            return Err(IamError::InvalidIdentityToken(format!(
                "No OpenIDConnect provider found in your account for {}",
                shown_issuer(&token.issuer)
            )));
        };
        let now = self.now();
        let find = |known: Option<&Arc<super::KeySet>>| {
            self.issuer_keys
                .keys(owner, &token.issuer, &provider.thumbprints, known)
        };
        let claims = token.verify(&find, &provider.client_ids, now)?;
        let provider_arn = account.oidc_provider_arn(&provider.url);
        let vouched = self.web_identity(&provider_arn, &claims);
        *proven = Some(Arc::clone(&vouched));
        check_session_tags(&claims.tags)?;
        if let Some(identity) = &claims.source_identity {
            check_session_name(identity, "sourceIdentity", 64)?;
        }
        if !claims
            .transitive_tag_keys
            .iter()
            .all(|key| claims.tags.iter().any(|tag| same_key(&tag.key, key)))
        {
            return Err(IamError::InvalidParameterValue(
                "The specified transitive tag key must be included in the requested tags."
                    .to_owned(),
            ));
        }

        let context = caller.of_web_identity(vouched);
        let asked = Asked::new(&context, ACTION);
        let refused = || IamError::AccessDenied(format!("Not authorized to perform {ACTION}"));
        let role = account
            .role(role_name)
            .filter(|role| account.role_arn(role) == *role_arn);
        let Some(role) = role else {
            // For its record: the text is the same for all.
            self.refuse_missing_role(asked, owner, role_arn);
            return Err(refused());
        };
        let conditions = conditions(&provider.url, session_name, &claims);
        let conditions = with_resource_tags(conditions, &role.tags);
        let trust = trust_for_decision(&directory, role);
        let decide = |action| {
            let asked = Asked::new(&context, action);
            self.authorize_trust(asked, owner, role_arn, &conditions, &trust)
                .map_err(|error| {
                    if matches!(error, IamError::AccessDenied(_)) {
                        refused()
                    } else {
                        error
                    }
                })
        };
        decide(ACTION)?;
        if !claims.tags.is_empty() {
            decide("sts:TagSession")?;
        }
        if claims.source_identity.is_some() {
            decide("sts:SetSourceIdentity")?;
        }
        if seconds > role.max_session_seconds {
            return Err(IamError::Validation(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
                    .to_owned(),
            ));
        }
        let limits = SessionInput {
            tags: claims.tags.clone(),
            ..session.clone()
        };
        let packed_percent = check_policies(account, &limits)?;
        let assumed_role_id = format!("{}:{session_name}", role.id);
        let arn = format!(
            "arn:aws:sts::{owner}:assumed-role/{}/{session_name}",
            role.name
        );
        let audience = claims.audiences.first().cloned().unwrap_or_default();
        let elements = |made: &TemporaryCredentials| {
            let user = elements::assumed_role_user(&assumed_role_id, &arn);
            let elements = elements::credentials(made)
                .text("subjectFromWebIdentityToken", &claims.subject)
                .object("assumedRoleUser", &user)
                .text("provider", &token.issuer)
                .text("audience", &audience)
                .optional("sourceIdentity", claims.source_identity.as_deref());
            elements::packed(elements, packed_percent)
        };
        let credentials = self.issue(
            asked,
            Token {
                account: owner.to_string(),
                kind: 3,
                subject_id: role.id.clone(),
                name: session_name.clone(),
                secret: ids::secret(&*self.ports.entropy),
                issued_millis: 0,
                expires_millis: 0,
                policies: session.policy.iter().cloned().collect(),
                policy_arns: session.policy_arns.clone(),
                tags: claims.tags.clone(),
                transitive_tag_keys: claims.transitive_tag_keys.clone(),
                source_identity: claims.source_identity.clone(),
                federated_provider: Some(provider_arn),
                issuing_key: None,
            },
            seconds,
            &Made {
                elements: &elements,
                role: Some((role_arn, owner)),
            },
        )?;
        Ok(WebIdentitySession {
            assumed: AssumedRole {
                credentials,
                assumed_role_id,
                arn,
                packed_percent,
                source_identity: claims.source_identity,
            },
            subject: claims.subject,
            provider: token.issuer,
            audience,
        })
    }

    /// What is proven of who asks: nobody of any account, vouched for by a provider.
    fn web_identity(&self, provider_arn: &str, claims: &Claims) -> Arc<Session> {
        let now = self.now();
        Arc::new(Session {
            kind: SessionKind::WebIdentity,
            issued: now,
            expires: now,
            policies: Vec::new(),
            policy_arns: Vec::new(),
            tags: Vec::new(),
            transitive_tag_keys: Vec::new(),
            source_identity: None,
            federated_provider: Some(provider_arn.to_owned()),
            web_identity: Some(WebIdentity {
                audience: claims.audiences.first().cloned().unwrap_or_default(),
                subject: claims.subject.clone(),
            }),
        })
    }
}

/// The condition keys of a token (IAM User Guide, "Available keys for AWS OIDC federation").
fn conditions(url: &str, session_name: &str, claims: &Claims) -> Conditions {
    let Claims {
        subject,
        audiences,
        other_audiences,
        authorized_party,
        methods,
        tags,
        transitive_tag_keys,
        source_identity,
    } = claims;
    let mut conditions = Conditions::default()
        .with("sts:RoleSessionName", session_name)
        .with(&format!("{url}:sub"), subject)
        .with_all(&format!("{url}:aud"), audiences.iter().cloned());
    if !other_audiences.is_empty() {
        conditions = conditions.with_all(&format!("{url}:oaud"), other_audiences.iter().cloned());
    }
    if let Some(party) = authorized_party {
        conditions = conditions.with(&format!("{url}:azp"), party);
    }
    if !methods.is_empty() {
        conditions = conditions.with_all(&format!("{url}:amr"), methods.iter().cloned());
    }
    if let Some(identity) = source_identity {
        conditions = conditions.with("sts:SourceIdentity", identity);
    }
    if !transitive_tag_keys.is_empty() {
        let keys = transitive_tag_keys.iter().cloned();
        conditions = conditions.with_all("sts:TransitiveTagKeys", keys);
    }
    with_request_tags(conditions, tags)
}

/// What a stranger sent, as far as it is fit for an error message.
fn shown_issuer(issuer: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_graphic() && !"<>&\"'".contains(*c);
    issuer.chars().filter(is_plain).take(255).collect()
}
