//! Asks the services as each principal.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use strongroom_iam::Identities;
use strongroom_kms::{KeyService, KmsError};
use strongroom_policy::actions::{self, GetObject, GetObjectVersion};
use strongroom_policy::{
    AccessRequest, Action, Authorizer as _, Conditions, Denied, ForAction, PolicyAuthorizer,
    Resource, Witness,
};
use strongroom_ports::{Clock, Entropy};
use strongroom_s3::{KeptEncryption, KeptObject, S3, S3Error};
use strongroom_types::kms::EncryptionContext;
use strongroom_types::{
    AccessKeyId, BucketName, ObjectKey, Region, RequestContext, RequestId, SseAlgorithm,
    TlsVersion, Transport, VersionId,
};

use crate::ask::{PrincipalAsk, ResourceAsk};
use crate::candidates::{Candidate, Names, Population, UNKNOWN_OF_ASSUMING};
use crate::halves::{Run, run};
use crate::report::{
    Answer, AssumersPage, Explained, Finding, Half, Kind, ObjectReport, ReadersPage,
};
use crate::words::Words;

/// Most principals of one page.
const PAGE_MAX: usize = 200;
/// The address of requests whose address is not known: one of those that nobody has (RFC 5737).
const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// What the explainer asks.
#[derive(Clone)]
pub struct ExplainerPorts {
    /// Who there is.
    pub identities: Arc<Identities>,
    /// What decides on the server.
    pub authorizer: Arc<PolicyAuthorizer>,
    /// Buckets.
    pub s3: Arc<S3>,
    /// Keys.
    pub kms: Arc<KeyService>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for the ids of requests.
    pub entropy: Arc<dyn Entropy>,
    /// This server's region.
    pub region: Region,
}

/// A question of `strongroom explain`.
#[derive(Clone, Debug)]
pub struct ExplainAsk {
    /// The action, such as `s3:GetObject`, in any case.
    pub action: String,
    /// Who asks.
    pub principal: PrincipalAsk,
    /// What it is done to.
    pub resource: ResourceAsk,
    /// Values of condition keys.
    pub context: Vec<(String, String)>,
    /// The service that asks for the principal, such as `s3`.
    pub via: Option<String>,
}

/// The object of `strongroom who-can-decrypt`.
#[derive(Clone, Debug)]
pub struct ObjectAsk {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The version; the current one if none.
    pub version: Option<VersionId>,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// What was asked about is not there.
    #[error("{0}")]
    NotFound(String),
    /// The question makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The store cannot be read.
    #[error("{0}")]
    Unavailable(String),
}

impl From<S3Error> for ExplainError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what else there is has the same meaning here"
    )]
    fn from(error: S3Error) -> Self {
        match error {
            S3Error::NoSuchBucket(bucket) => Self::NotFound(format!("there is no bucket {bucket}")),
            S3Error::NoSuchKey { key, .. } => Self::NotFound(format!("there is no object {key}")),
            S3Error::NoSuchVersion { key, .. } => {
                Self::NotFound(format!("there is no such version of {key}"))
            }
            S3Error::IsDeleteMarker { .. } => {
                Self::NotFound("that version is a delete marker: there is nothing to read".into())
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<KmsError> for ExplainError {
    fn from(error: KmsError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Answers the operator's questions. Every call blocks on the store.
pub struct Explainer {
    ports: ExplainerPorts,
}

impl std::fmt::Debug for Explainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Explainer")
    }
}

/// The services, with a witness.
struct Asking {
    witness: Arc<Witness>,
    s3: S3,
    kms: Arc<KeyService>,
    unknown: Vec<String>,
    given: Vec<String>,
}

impl Asking {
    fn words(&self) -> Words<'_> {
        Words {
            unknown: &self.unknown,
            given: &self.given,
        }
    }
}

/// What is known of a request beforehand.
#[derive(Clone, Default)]
struct Given {
    conditions: Conditions,
    keys: Vec<String>,
    source_ip: Option<IpAddr>,
    plain: bool,
    user_agent: Option<String>,
    encryption_context: EncryptionContext,
}

impl Given {
    /// # Errors
    ///
    /// [`ExplainError::Invalid`] for an address that is none.
    fn new(pairs: &[(String, String)]) -> Result<Self, ExplainError> {
        let mut given = Self::default();
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in pairs {
            let lower = key.to_ascii_lowercase();
            given.keys.push(lower.clone());
            // What the connection tells goes where the connection tells it, so that it has the same
            // consequences.
            match lower.as_str() {
                "aws:sourceip" => {
                    let address = value.parse().map_err(|_| {
                        ExplainError::Invalid(format!("{value:?} is no IP address"))
                    })?;
                    given.source_ip = Some(address);
                }
                "aws:securetransport" => given.plain = !value.eq_ignore_ascii_case("true"),
                "aws:useragent" => given.user_agent = Some(value.clone()),
                _ => {
                    const CONTEXT: &str = "kms:encryptioncontext:";
                    if lower.starts_with(CONTEXT)
                        && let Some((_, name)) = key.split_at_checked(CONTEXT.len())
                    {
                        given.encryption_context =
                            given.encryption_context.with(name, value).map_err(|_| {
                                ExplainError::Invalid("the encryption context is too long".into())
                            })?;
                    } else {
                        values.entry(lower).or_default().push(value.clone());
                    }
                }
            }
        }
        for (key, values) in values {
            given.conditions = given.conditions.with_all(&key, values);
        }
        Ok(given)
    }

    fn with(mut self, key: &str, value: &str) -> Self {
        let key = key.to_ascii_lowercase();
        if self.conditions.get(&key).is_none() {
            self.conditions = self.conditions.with(&key, value);
            self.keys.push(key);
        }
        self
    }

    fn of_object(mut self, kept: &KeptObject) -> Self {
        for (key, value) in &kept.tags {
            self = self.with(&format!("s3:ExistingObjectTag/{key}"), value);
        }
        self
    }
}

/// How S3 refuses.
struct Refusal(S3Error);

impl std::fmt::Display for Refusal {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others say what they mean"
    )]
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            // Shown only where no policy was asked.
            S3Error::AccessDenied(_) => f.write_str(
                "the bucket policy is public, and the bucket's public access block \
                 (RestrictPublicBuckets) keeps out who is not of the owner's account",
            ),
            other => other.fmt(f),
        }
    }
}

/// An S3 action on its place, as a request enters.
struct Enter<'a> {
    s3: &'a S3,
    context: Arc<RequestContext>,
    on: &'a ResourceAsk,
}

impl ForAction for Enter<'_> {
    type Output = Result<(), S3Error>;

    fn run<A: Action>(self) -> Self::Output {
        let Self { s3, context, on } = self;
        match on {
            ResourceAsk::Bucket(bucket) if makes_bucket(A::NAME) => {
                s3.enter_new_bucket::<A>(context, bucket).map(drop)
            }
            ResourceAsk::Bucket(bucket) => s3.enter_bucket::<A>(context, bucket, None).map(drop),
            ResourceAsk::Object(bucket, key) => {
                s3.enter_object::<A>(context, bucket, key, None).map(drop)
            }
            ResourceAsk::Everything
            | ResourceAsk::Key(_)
            | ResourceAsk::Alias(_)
            | ResourceAsk::Identity(..) => s3.enter_account::<A>(context).map(drop),
        }
    }
}

impl Explainer {
    /// Asks these.
    pub fn new(ports: ExplainerPorts) -> Self {
        Self { ports }
    }

    /// Why a principal may or may not do something.
    ///
    /// # Errors
    ///
    /// [`ExplainError`].
    pub fn explain(&self, ask: &ExplainAsk) -> Result<Explained, ExplainError> {
        let population = self.population()?;
        let who = find(&population, &ask.principal)?;
        let given = Given::new(&ask.context)?;
        let service = ask.action.split_once(':').map(|(service, _)| service);
        match service.map(str::to_ascii_lowercase).as_deref() {
            Some("s3") => self.explain_s3(ask, &who, given),
            Some("kms") => self.explain_kms(ask, &who, &given),
            Some("iam" | "sts") => self.explain_identity(ask, &who, given, &population),
            _ => Err(ExplainError::Invalid(format!(
                "{:?} is no action; expected is s3:..., kms:..., iam:... or sts:...",
                ask.action
            ))),
        }
    }

    fn explain_s3(
        &self,
        ask: &ExplainAsk,
        who: &Candidate,
        mut given: Given,
    ) -> Result<Explained, ExplainError> {
        let mut names = actions::NAMES.iter();
        let Some(action) = names.find(|name| name.eq_ignore_ascii_case(&ask.action)) else {
            return Err(ExplainError::Invalid(format!(
                "this server has no action {}{}",
                ask.action,
                similar(&ask.action)
            )));
        };
        check_place(action, &ask.resource)?;
        let kept = match &ask.resource {
            ResourceAsk::Object(bucket, key) => match self.ports.s3.kept(bucket, key, None) {
                Ok(kept) => Some(kept),
                Err(S3Error::NoSuchKey { .. }) => None,
                Err(error) => return Err(error.into()),
            },
            ResourceAsk::Bucket(bucket) if !makes_bucket(action) => {
                self.ports.s3.bucket_for_operator(bucket)?;
                None
            }
            ResourceAsk::Bucket(_)
            | ResourceAsk::Everything
            | ResourceAsk::Key(_)
            | ResourceAsk::Alias(_)
            | ResourceAsk::Identity(..) => None,
        };
        if let Some(kept) = &kept
            && sees_tags(action)
        {
            given = given.of_object(kept);
        }
        let asking = self.asking(&given, who.unknown());
        let context = self.context(who, &given, ask.via.as_deref());
        let enter = || {
            let enter = Enter {
                s3: &asking.s3,
                context: Arc::clone(&context),
                on: &ask.resource,
            };
            // It is one of the names, so that there is an outcome.
            let entered = actions::for_name(action, enter);
            entered
                .unwrap_or(Err(S3Error::Unavailable))
                .map_err(Refusal)
        };
        let outcome = run(&asking.witness, who, enter);
        let mut explained = explained(&asking, who, action, ask, &outcome);
        explained.assumed = assumptions(&given, who);
        if let Some(kept) = kept
            && reads(action)
        {
            explained.then = self.explain_key(who, &given, &context, &kept).map(Box::new);
        }
        Ok(explained)
    }

    /// The key of an object that is read.
    fn explain_key(
        &self,
        who: &Candidate,
        given: &Given,
        context: &RequestContext,
        kept: &KeptObject,
    ) -> Option<Explained> {
        let KeptEncryption::Kms { key, .. } = &kept.encryption else {
            return None;
        };
        let asking = self.asking(given, who.unknown());
        let work = || asking.s3.may_use_key_of(context, &kept.encryption);
        let outcome = run(&asking.witness, who, work);
        let ask = ExplainAsk {
            action: "kms:Decrypt".to_owned(),
            principal: PrincipalAsk::Anonymous,
            resource: ResourceAsk::Key(key.clone()),
            context: Vec::new(),
            via: Some("s3".to_owned()),
        };
        Some(explained(&asking, who, "kms:Decrypt", &ask, &outcome))
    }

    fn explain_kms(
        &self,
        ask: &ExplainAsk,
        who: &Candidate,
        given: &Given,
    ) -> Result<Explained, ExplainError> {
        let key_id = match &ask.resource {
            ResourceAsk::Key(arn) => arn.to_string(),
            ResourceAsk::Alias(arn) => arn.to_string(),
            ResourceAsk::Everything => "*".to_owned(),
            ResourceAsk::Bucket(_) | ResourceAsk::Object(..) | ResourceAsk::Identity(..) => {
                return Err(ExplainError::Invalid(format!(
                    "{} is done to a key: name it by its ARN, or an alias by its own",
                    ask.action
                )));
            }
        };
        let asking = self.asking(given, who.unknown());
        let context = self.context(who, given, ask.via.as_deref());
        let kms = &asking.kms;
        let inquire = || kms.inquire(&context, &key_id, &ask.action, &given.encryption_context);
        let outcome = run(&asking.witness, who, inquire);
        match (&outcome.explanation, &outcome.error) {
            (None, Some(KmsError::Validation(text))) => {
                return Err(ExplainError::Invalid(text.clone()));
            }
            (None, Some(KmsError::NotFound(text))) => {
                return Err(ExplainError::NotFound(text.clone()));
            }
            (None, Some(error @ (KmsError::Damaged | KmsError::Unavailable))) => {
                return Err(ExplainError::Unavailable(error.to_string()));
            }
            (Some(_) | None, _) => {}
        }
        let mut explained = explained(&asking, who, &ask.action, ask, &outcome);
        explained.assumed = assumptions(given, who);
        Ok(explained)
    }

    fn explain_identity(
        &self,
        ask: &ExplainAsk,
        who: &Candidate,
        mut given: Given,
        population: &Population,
    ) -> Result<Explained, ExplainError> {
        let mut unknown = who.unknown();
        let mut trust = None;
        let resource = match &ask.resource {
            ResourceAsk::Identity(account, arn) => {
                let tagged = population.account(*account).and_then(|it| {
                    let users = it.users.iter();
                    let mut users = users.filter(|user| user.principal.arn() == *arn);
                    let roles = it.roles.iter();
                    let mut roles = roles.filter(|role| role.arn == *arn);
                    let mut others = it.others.iter().filter(|(other, _)| other == arn);
                    users
                        .next()
                        .map(|user| &user.conditions)
                        .or_else(|| roles.next().map(|role| &role.conditions))
                        .or_else(|| others.next().map(|(_, conditions)| conditions))
                });
                if let Some(tagged) = tagged {
                    given = with_tags(given, tagged);
                }
                let arn: Arc<str> = arn.as_str().into();
                let account = *account;
                if assumes(&ask.action) {
                    let Some((_, role)) = population.role(&arn) else {
                        return Err(ExplainError::NotFound(format!("there is no role {arn}")));
                    };
                    trust = Some(role.trust.clone());
                    let chosen = UNKNOWN_OF_ASSUMING.iter();
                    unknown.extend(chosen.map(|key| (*key).to_owned()));
                    Resource::RoleTrust { account, arn }
                } else {
                    Resource::Identity { account, arn }
                }
            }
            ResourceAsk::Everything => {
                let Some(account) = who.principal.account() else {
                    return Err(ExplainError::Invalid(
                        "who has no account asks for nothing of IAM".to_owned(),
                    ));
                };
                Resource::Identity {
                    account,
                    arn: "*".into(),
                }
            }
            ResourceAsk::Bucket(_)
            | ResourceAsk::Object(..)
            | ResourceAsk::Key(_)
            | ResourceAsk::Alias(_) => {
                return Err(ExplainError::Invalid(format!(
                    "{} is done to something of IAM: name it by its ARN",
                    ask.action
                )));
            }
        };
        let asking = self.asking(&given, unknown);
        let context = self.context(who, &given, ask.via.as_deref());
        let decide = || {
            if trust.is_some() && who.kind == Kind::Root {
                return Err(Denied {
                    message: "root users cannot assume roles".to_owned(),
                    is_implicit: false,
                });
            }
            asking.witness.decide(&AccessRequest {
                context: &context,
                action: &ask.action,
                resource: &resource,
                conditions: &Conditions::default(),
                resource_policy: trust.as_deref(),
                grants: None,
                acls: None,
            })
        };
        let outcome = run(&asking.witness, who, decide);
        let mut explained = explained(&asking, who, &ask.action, ask, &outcome);
        explained.assumed = assumptions(&given, who);
        Ok(explained)
    }

    /// The next principals, and what each can do by itself.
    ///
    /// # Errors
    ///
    /// [`ExplainError`].
    pub fn readers(
        &self,
        ask: &ObjectAsk,
        from: Option<&str>,
        limit: usize,
    ) -> Result<ReadersPage, ExplainError> {
        let kept = self.ports.s3.kept(&ask.bucket, &ask.key, ask.version)?;
        let population = self.population()?;
        let (mut object, names) = self.object(ask, &kept)?;
        let (everybody, strangers) = population.everybody(&names);
        object.strangers = strangers.into_iter().collect();
        let total = everybody.len();
        let (page, next) = page(everybody, from, limit);
        let given = Given::default().of_object(&kept);
        let given = match (&ask.version, &object.version) {
            (Some(_), Some(version)) => given.with("s3:VersionId", version),
            (Some(_) | None, _) => given,
        };
        // What is not known depends on the kind of principal only.
        let mut by_kind: BTreeMap<Kind, Asking> = BTreeMap::new();
        let findings = page.iter().map(|who| {
            let asking = by_kind.entry(who.kind);
            let asking = asking.or_insert_with(|| self.asking(&given, who.unknown()));
            self.finding(ask, &kept, (&given, asking), who)
        });
        Ok(ReadersPage {
            object,
            total,
            findings: findings.collect(),
            next,
        })
    }

    fn object(
        &self,
        ask: &ObjectAsk,
        kept: &KeptObject,
    ) -> Result<(ObjectReport, Names), ExplainError> {
        let policy = self.ports.s3.policy_of(&kept.bucket)?;
        let mut names = policy.map_or_else(Names::default, |policy| Names::in_policy(&policy.text));
        let mut report = ObjectReport {
            arn: format!("arn:aws:s3:::{}/{}", ask.bucket, ask.key),
            version: kept.version.map(|version| version.to_string()),
            owner: kept.bucket.owner.to_string(),
            encryption: SseAlgorithm::Aes256.name().to_owned(),
            key: None,
            key_state: None,
            bucket_key: false,
            strangers: Vec::new(),
        };
        match &kept.encryption {
            KeptEncryption::SseS3 => {}
            KeptEncryption::SseC => "SSE-C".clone_into(&mut report.encryption),
            KeptEncryption::Kms {
                algorithm,
                key,
                bucket_key,
                ..
            } => {
                algorithm.name().clone_into(&mut report.encryption);
                report.key = Some(key.to_string());
                report.bucket_key = *bucket_key;
                let facts = self.ports.kms.facts_of(key)?;
                report.key_state = Some(match &facts {
                    Some(facts) => facts.state.name().to_owned(),
                    None => "Gone".to_owned(),
                });
                if let Some(facts) = facts {
                    let of_key = Names::in_policy(&facts.policy).with_grantees(&facts.grantees);
                    names = names.and(of_key);
                }
            }
        }
        Ok((report, names))
    }

    fn finding(
        &self,
        ask: &ObjectAsk,
        kept: &KeptObject,
        (given, asking): (&Given, &Asking),
        who: &Candidate,
    ) -> Finding {
        let context = self.context(who, given, None);
        let (action, s3) = if ask.version.is_some() {
            (
                GetObjectVersion::NAME,
                run(&asking.witness, who, || {
                    let enter = asking.s3.enter_object::<GetObjectVersion>(
                        Arc::clone(&context),
                        &ask.bucket,
                        &ask.key,
                        None,
                    );
                    enter.map(drop).map_err(Refusal)
                }),
            )
        } else {
            (
                GetObject::NAME,
                run(&asking.witness, who, || {
                    let enter = asking.s3.enter_object::<GetObject>(
                        Arc::clone(&context),
                        &ask.bucket,
                        &ask.key,
                        None,
                    );
                    enter.map(drop).map_err(Refusal)
                }),
            )
        };
        let key = matches!(kept.encryption, KeptEncryption::Kms { .. }).then(|| {
            let work = || asking.s3.may_use_key_of(&context, &kept.encryption);
            run(&asking.witness, who, work).half("kms:Decrypt", asking.words())
        });
        Finding {
            principal: who.arn.clone(),
            kind: who.kind,
            account: who.principal.account().map(|it| it.to_string()),
            role: who.role.clone(),
            s3: s3.half(action, asking.words()),
            key,
        }
    }

    /// Who of the next principals can assume a role; with the first page, the identity providers
    /// that its trust policy names.
    ///
    /// # Errors
    ///
    /// [`ExplainError`].
    pub fn assumers(
        &self,
        role_arn: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<AssumersPage, ExplainError> {
        let population = self.population()?;
        let no_role = || ExplainError::NotFound(format!("there is no role {role_arn}"));
        let (account, role) = population.role(role_arn).ok_or_else(no_role)?;
        let mut assumers = Vec::new();
        if from.is_none() {
            for provider in Names::in_policy(&role.trust).providers {
                let half = Half {
                    action: "sts:AssumeRoleWithWebIdentity".to_owned(),
                    answer: Answer::If,
                    by: vec!["trust policy".to_owned()],
                    conditions: vec![format!(
                        "the token of {provider} meets the conditions of the trust policy"
                    )],
                    lacks: None,
                };
                assumers.push((provider, Kind::WebIdentity, half));
            }
        }
        let (page, next) = page(population.assumers(role), from, limit);
        let given = with_tags(Given::default(), &role.conditions);
        let resource = Resource::RoleTrust {
            account: account.id,
            arn: role_arn.into(),
        };
        let mut by_kind: BTreeMap<Kind, Asking> = BTreeMap::new();
        for who in page {
            let asking = by_kind.entry(who.kind).or_insert_with(|| {
                let mut unknown = who.unknown();
                unknown.extend(UNKNOWN_OF_ASSUMING.iter().map(|key| (*key).to_owned()));
                self.asking(&given, unknown)
            });
            let context = self.context(&who, &given, None);
            let outcome: Run<Denied> = run(&asking.witness, &who, || {
                asking.witness.decide(&AccessRequest {
                    context: &context,
                    action: "sts:AssumeRole",
                    resource: &resource,
                    conditions: &Conditions::default(),
                    resource_policy: Some(&role.trust),
                    grants: None,
                    acls: None,
                })
            });
            if outcome.answer != Answer::No {
                let half = outcome.half("sts:AssumeRole", asking.words());
                assumers.push((who.arn, who.kind, half));
            }
        }
        Ok(AssumersPage { assumers, next })
    }

    fn population(&self) -> Result<Population, ExplainError> {
        let survey = self.ports.identities.survey();
        let accounts = survey.map_err(|error| ExplainError::Unavailable(error.to_string()))?;
        Ok(Population::new(accounts, self.ports.clock.now()))
    }

    fn asking(&self, given: &Given, unknown: Vec<String>) -> Asking {
        let unknown: Vec<String> = unknown
            .into_iter()
            .filter(|key| !given.keys.contains(key))
            .collect();
        let witness = Arc::new(Witness::new(
            Arc::clone(&self.ports.authorizer),
            given.conditions.clone(),
            unknown.clone(),
        ));
        let kms = Arc::new(self.ports.kms.with_authorizer(witness.clone()));
        let s3 = self.ports.s3.with_authorizer(witness.clone(), kms.clone());
        Asking {
            witness,
            s3,
            kms,
            unknown,
            given: given.keys.clone(),
        }
    }

    fn context(&self, who: &Candidate, given: &Given, via: Option<&str>) -> Arc<RequestContext> {
        let is_signed = who.kind != Kind::Anonymous;
        let access_key_id = AccessKeyId::parse("AKIAEXPLANATION00000").ok();
        let region = &self.ports.region;
        Arc::new(RequestContext {
            request_id: RequestId::random(&*self.ports.entropy),
            received: self.ports.clock.now(),
            principal: who.principal.clone(),
            canonical_id: who.canonical_id.clone(),
            access_key_id: access_key_id.filter(|_| is_signed),
            session: who.session.clone(),
            via_service: via.map(|via| {
                let via = via.strip_suffix(".amazonaws.com").unwrap_or(via);
                if via.contains('.') {
                    format!("{via}.amazonaws.com").into()
                } else {
                    format!("{via}.{region}.amazonaws.com").into()
                }
            }),
            region: region.clone(),
            source_ip: given.source_ip.unwrap_or(NO_ADDRESS),
            transport: if given.plain {
                Transport::Plain
            } else {
                Transport::Tls(TlsVersion::V1_3)
            },
            user_agent: given.user_agent.as_deref().map(Into::into),
            sent: None,
        })
    }
}

fn find(population: &Population, ask: &PrincipalAsk) -> Result<Candidate, ExplainError> {
    population.find(ask).ok_or_else(|| {
        ExplainError::NotFound("this server has no such principal (--as)".to_owned())
    })
}

fn with_tags(given: Given, tags: &Conditions) -> Given {
    Given {
        conditions: given.conditions.and(tags),
        ..given
    }
}

fn page(
    all: BTreeMap<String, Candidate>,
    from: Option<&str>,
    limit: usize,
) -> (Vec<Candidate>, Option<String>) {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut rest = all
        .into_values()
        .filter(|it| from.is_none_or(|from| it.arn.as_str() > from));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest
        .next()
        .and_then(|_| page.last().map(|it| it.arn.clone()));
    (page, next)
}

fn explained<E: std::fmt::Display>(
    asking: &Asking,
    who: &Candidate,
    action: &str,
    ask: &ExplainAsk,
    outcome: &Run<E>,
) -> Explained {
    let words = asking.words();
    let explanation = outcome.explanation.as_ref();
    let reason = match outcome.answer {
        Answer::No => outcome.why(words),
        Answer::Yes | Answer::If => outcome.chain(words).join(", then "),
    };
    Explained {
        answer: outcome.answer,
        principal: who.arn.clone(),
        action: action.to_owned(),
        resource: ask.resource.to_string(),
        via: ask.via.clone(),
        reason,
        deciding: explanation.map_or_else(Vec::new, |it| words.deciding(it)),
        layers: explanation.map_or_else(Vec::new, |it| words.layers(it)),
        near_misses: explanation.map_or_else(Vec::new, |it| words.near_misses(it)),
        depends_on: outcome.depends_on(words),
        to_allow: match (outcome.answer, explanation) {
            (Answer::No, Some(explanation)) => words.remedies(explanation),
            (Answer::No | Answer::If | Answer::Yes, _) => Vec::new(),
        },
        assumed: Vec::new(),
        then: None,
    }
}

/// What was assumed of the request, for people.
fn assumptions(given: &Given, who: &Candidate) -> Vec<String> {
    let mut assumed = Vec::new();
    if !given.keys.iter().any(|key| key == "aws:securetransport") {
        assumed.push("over TLS".to_owned());
    }
    if !given.keys.iter().any(|key| key == "aws:currenttime") {
        assumed.push("now".to_owned());
    }
    if given.source_ip.is_none() && who.kind != Kind::Service {
        assumed.push("from an address that is not known".to_owned());
    }
    if who.kind == Kind::Role {
        assumed.push("by a session without session policy".to_owned());
    }
    assumed
}

fn makes_bucket(action: &str) -> bool {
    action == actions::CreateBucket::NAME
}

fn assumes(action: &str) -> bool {
    action.eq_ignore_ascii_case("sts:AssumeRole")
}

/// Whether the action opens the object's key.
fn reads(action: &str) -> bool {
    [GetObject::NAME, GetObjectVersion::NAME].contains(&action)
}

/// Whether the action is decided with the tags that the object has.
fn sees_tags(action: &str) -> bool {
    let name = action.strip_prefix("s3:").unwrap_or(action);
    name.starts_with("GetObject") || name.ends_with("Tagging") || name.ends_with("Acl")
}

/// Whether the action is done to such a thing.
fn check_place(action: &str, on: &ResourceAsk) -> Result<(), ExplainError> {
    let name = action.strip_prefix("s3:").unwrap_or(action);
    let of_account = name == "ListAllMyBuckets";
    let of_object = name == "AbortMultipartUpload"
        || name == "ListMultipartUploadParts"
        || ["GetObject", "PutObject", "DeleteObject", "UpdateObject"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
    let (fits, what) = if of_account {
        (matches!(on, ResourceAsk::Everything), "*")
    } else if of_object {
        let fits = matches!(on, ResourceAsk::Object(..));
        (fits, "the ARN of an object (arn:aws:s3:::BUCKET/KEY)")
    } else {
        let fits = matches!(on, ResourceAsk::Bucket(_));
        (fits, "the ARN of a bucket (arn:aws:s3:::BUCKET)")
    };
    if fits {
        return Ok(());
    }
    Err(ExplainError::Invalid(format!(
        "{action} is not done to {on}: --on must be {what}"
    )))
}

/// Names that a person may have meant.
fn similar(action: &str) -> String {
    let wanted = action.to_ascii_lowercase();
    let common = |name: &str| {
        let name = name.to_ascii_lowercase();
        let mut pairs = name.bytes().zip(wanted.bytes());
        pairs
            .by_ref()
            .take_while(|(one, other)| one == other)
            .count()
    };
    let best = actions::NAMES.iter().max_by_key(|name| common(name));
    match best {
        Some(best) if common(best) > "s3:".len() => format!("; did you mean {best}?"),
        Some(_) | None => String::new(),
    }
}
