//! The authorizer of a server with policies.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::authorize::{AccessRequest, Authorizer, Denied};
use crate::decision::{Decision, Outcome};
use crate::evaluate::{Question, QuestionedResource, evaluate, explain};
use crate::identity::IdentityPolicies;
use crate::{Denials, Policy, Unreadable};

/// Decides by the policies of the principal, the resource's own, and grants.
pub struct PolicyAuthorizer {
    identities: Arc<dyn IdentityPolicies>,
    compiled: CompiledPolicies,
    denials: Option<Arc<Denials>>,
}

impl fmt::Debug for PolicyAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PolicyAuthorizer")
    }
}

impl PolicyAuthorizer {
    /// Decides by what `identities` finds.
    pub fn new(identities: Arc<dyn IdentityPolicies>) -> Self {
        Self {
            identities,
            compiled: CompiledPolicies::default(),
            denials: None,
        }
    }

    /// Keeps what it decides against requests in `denials`, for their answers.
    #[must_use]
    pub fn telling(mut self, denials: Arc<Denials>) -> Self {
        self.denials = Some(denials);
        self
    }

    /// The decision, with all that had a part in it.
    pub fn explain(&self, request: &AccessRequest<'_>) -> Decision {
        self.with_question(request, explain)
    }

    pub(crate) fn with_question<T>(
        &self,
        request: &AccessRequest<'_>,
        answer: impl FnOnce(&Question<'_>) -> T,
    ) -> T {
        let AccessRequest {
            context,
            action,
            resource,
            conditions,
            resource_policy,
            grants,
            acls,
        } = *request;
        let policies = self.identities.policies_of(context);
        let resource_policy = resource_policy.map(|text| self.compiled.compile(text));
        let arn = resource.arn();
        answer(&Question {
            context,
            action,
            resource: QuestionedResource {
                arn: &arn,
                owner: resource.owner(),
                kind: resource.kind(),
            },
            conditions,
            principal: policies.as_ref().map_err(|error| *error),
            resource_policy: match &resource_policy {
                None => Ok(None),
                Some(Ok(policy)) => Ok(Some(policy)),
                Some(Err(error)) => Err(*error),
            },
            grants,
            acls,
            overrides: None,
        })
    }
}

impl Authorizer for PolicyAuthorizer {
    fn decide(&self, request: &AccessRequest<'_>) -> Result<(), Denied> {
        self.with_question(request, |question| {
            let decision = evaluate(question);
            match decision.outcome {
                Outcome::Allowed(_) => Ok(()),
                Outcome::ExplicitlyDenied(_)
                | Outcome::ImplicitlyDenied(_)
                | Outcome::Unreadable(_) => {
                    if let Some(denials) = &self.denials {
                        denials.keep(question, &decision);
                    }
                    Err(Denied {
                        message: decision.message(question),
                        is_implicit: matches!(decision.outcome, Outcome::ImplicitlyDenied(_)),
                    })
                }
            }
        })
    }
}

/// Resource policies that were compiled lately. What is remembered is a pure function of the text,
/// never a decision.
struct CompiledPolicies {
    slots: Box<[Mutex<Option<Remembered>>]>,
}

struct Remembered {
    text: Box<str>,
    compiled: Result<Arc<Policy>, Unreadable>,
}

/// Policies that are remembered at most; each text has one place.
const SLOTS: usize = 256;

impl Default for CompiledPolicies {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl CompiledPolicies {
    fn compile(&self, text: &str) -> Result<Arc<Policy>, Unreadable> {
        let slot = self.slots.get(hash(text) % SLOTS);
        let remembered = slot.and_then(|slot| {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let found = slot.as_ref().filter(|it| *it.text == *text);
            found.map(|it| it.compiled.clone())
        });
        if let Some(compiled) = remembered {
            return compiled;
        }
        let compiled = Policy::parse(text).map(Arc::new).map_err(|_| Unreadable);
        if let Some(slot) = slot {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Remembered {
                text: text.into(),
                compiled: compiled.clone(),
            });
        }
        compiled
    }
}

/// Finds the place of a text. Texts are compared whole, so it need not be good, only fast: who makes
/// two texts share a place makes them slower.
fn hash(text: &str) -> usize {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mix =
        |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let hash = words
        .iter()
        .fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = rest
        .iter()
        .fold(hash, |hash, byte| mix(hash, u64::from(*byte)));
    usize::try_from(hash >> 40).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use strongroom_types::kms::{KeyArn, KeyId, KeyManager};
    use strongroom_types::{
        AccountId, BucketName, Entropy, ObjectKey, Principal, Region, RequestContext, RequestId,
        Timestamp, Transport,
    };

    use super::*;
    use crate::{Conditions, Layer, NamedPolicy, PrincipalPolicies, Resource};

    struct Zeroes;

    impl Entropy for Zeroes {
        fn fill(&self, out: &mut [u8]) {
            out.fill(0);
        }
    }

    /// Everybody has this policy; without one, nobody's can be read.
    struct Everybodys(Option<&'static str>);

    impl IdentityPolicies for Everybodys {
        fn policies_of(&self, context: &RequestContext) -> Result<PrincipalPolicies, Unreadable> {
            if matches!(context.principal, Principal::Root { .. }) {
                return Ok(PrincipalPolicies::default());
            }
            let text = self.0.ok_or(Unreadable)?;
            Ok(PrincipalPolicies {
                identity: vec![NamedPolicy {
                    name: "p".into(),
                    policy: Arc::new(Policy::parse(text).map_err(|_| Unreadable)?),
                }],
                ..PrincipalPolicies::default()
            })
        }
    }

    const READ: &str =
        r#"{"Statement":{"Effect":"Allow","Action":["s3:Get*","kms:*"],"Resource":"*"}}"#;
    const DENY_ALL: &str =
        r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#;

    fn account() -> AccountId {
        AccountId::parse("111122223333").unwrap()
    }

    fn alice() -> Principal {
        Principal::User {
            account: account(),
            user_id: "AIDAALICE".into(),
            path_and_name: "alice".into(),
        }
    }

    fn object() -> Resource {
        Resource::Object {
            bucket: BucketName::parse("abc").unwrap(),
            owner: account(),
            key: ObjectKey::parse("k").unwrap(),
        }
    }

    fn key() -> Resource {
        Resource::Key {
            arn: KeyArn {
                region: Region::parse("us-east-1").unwrap(),
                account: account(),
                id: KeyId::from_bytes([7; 16]),
            },
            manager: KeyManager::Customer,
        }
    }

    fn context(principal: Principal) -> RequestContext {
        RequestContext {
            request_id: RequestId::random(&Zeroes),
            received: Timestamp::from_millis(0),
            principal,
            canonical_id: None,
            access_key_id: None,
            session: None,
            via_service: None,
            region: Region::parse("us-east-1").unwrap(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            transport: Transport::Plain,
            user_agent: None,
            sent: None,
        }
    }

    fn stranger() -> Principal {
        Principal::User {
            account: AccountId::parse("444455556666").unwrap(),
            user_id: "AIDABOB".into(),
            path_and_name: "bob".into(),
        }
    }

    fn outcome(
        by: &PolicyAuthorizer,
        principal: Principal,
        action: &'static str,
        resource: &Resource,
        resource_policy: Option<&str>,
    ) -> Outcome {
        let context = context(principal);
        let request = AccessRequest {
            context: &context,
            action,
            resource,
            conditions: &Conditions::default(),
            resource_policy,
            grants: None,
            acls: None,
        };
        let explained = by.explain(&request);
        assert_eq!(by.decide(&request).is_ok(), explained.is_allowed());
        explained.outcome
    }

    #[test]
    fn the_policies_of_the_principal_and_of_the_resource_decide() {
        let by = PolicyAuthorizer::new(Arc::new(Everybodys(Some(READ))));
        let ask =
            |action, resource: &Resource, policy| outcome(&by, alice(), action, resource, policy);
        assert!(matches!(
            ask("s3:GetObject", &object(), None),
            Outcome::Allowed(_)
        ));
        assert_eq!(
            ask("s3:PutObject", &object(), None),
            Outcome::ImplicitlyDenied(Layer::Identity)
        );
        assert_eq!(
            ask("s3:GetObject", &object(), Some(DENY_ALL)),
            Outcome::ExplicitlyDenied(Layer::Resource)
        );
        // A key is not the account's to use unless its policy says so.
        assert_eq!(
            ask("kms:Decrypt", &key(), None),
            Outcome::ImplicitlyDenied(Layer::Resource)
        );
        let role = Resource::RoleTrust {
            account: account(),
            arn: "arn:aws:iam::111122223333:role/r".into(),
        };
        assert_eq!(
            ask("s3:GetObject", &role, None),
            Outcome::ImplicitlyDenied(Layer::Resource)
        );
    }

    #[test]
    fn a_denial_is_kept_for_its_answer_once_and_names_what_its_reader_may_know() {
        let denials = Arc::new(Denials::default());
        let by = PolicyAuthorizer::new(Arc::new(Everybodys(Some(READ)))).telling(denials.clone());
        let _ = outcome(&by, alice(), "s3:GetObject", &object(), Some(DENY_ALL));
        // The first eight bytes of the id that the context has.
        assert_eq!(denials.take(1), None);
        let denial = denials.take(0).unwrap();
        assert_eq!(denials.take(0), None);
        assert_eq!(denial.account, account());
        let told: serde_json::Value = serde_json::from_str(&denial.message).unwrap();
        assert_eq!(told["explicitDeny"], true);
        assert_eq!(told["context"]["action"], "s3:GetObject");
        assert_eq!(told["context"]["principal"]["id"], "AIDAALICE");
        let items = told["matchedStatements"]["items"].as_array().unwrap();
        assert_eq!(items[0]["sourcePolicyType"], "resource-based policy");

        let stranger = stranger();
        let _ = outcome(
            &by,
            stranger.clone(),
            "s3:GetObject",
            &object(),
            Some(DENY_ALL),
        );
        let told = denials.take(0).unwrap().message;
        assert!(!told.contains("resource-based"), "{told}");
        // Whether another account's key is there is nobody's business, nor who nobody is.
        let _ = outcome(&by, stranger, "kms:Decrypt", &key(), None);
        assert_eq!(denials.take(0), None);
        let _ = outcome(&by, Principal::Anonymous, "s3:GetObject", &object(), None);
        assert_eq!(denials.take(0), None);
        let _ = outcome(&by, alice(), "s3:GetObject", &object(), None);
        assert_eq!(denials.take(0), None, "what is allowed is not kept");
    }

    const TAG: &str = "s3:ExistingObjectTag/class";
    /// With which somebody could ask for tags, value by value.
    const ASKS_FOR_TAG: &str = r#"{"Statement":[
        {"Effect":"Allow","Action":"s3:*","Resource":"*"},
        {"Sid":"Secret","Effect":"Deny","Action":"s3:*","Resource":"*",
            "Condition":{"StringEquals":{"s3:ExistingObjectTag/class":"secret"}}}]}"#;

    #[test]
    fn no_denial_tells_what_was_found_of_the_object() {
        let denials = Arc::new(Denials::default());
        let by = PolicyAuthorizer::new(Arc::new(Everybodys(Some(ASKS_FOR_TAG))))
            .telling(denials.clone());
        let told = |principal: &Principal, value: Option<&str>, policy: Option<&str>| {
            let mut conditions = Conditions::default().with("s3:prefix", "sent");
            if let Some(value) = value {
                conditions = conditions.with_found(TAG, value);
            }
            let context = context(principal.clone());
            let request = AccessRequest {
                context: &context,
                action: "s3:GetObject",
                resource: &object(),
                conditions: &conditions,
                resource_policy: policy,
                grants: None,
                acls: None,
            };
            assert!(by.decide(&request).is_err());
            denials.take(0).unwrap().message
        };
        let own = told(&alice(), Some("secret"), None);
        assert!(own.contains("sent") && own.contains("Secret"), "{own}");
        assert!(!own.contains("s3:existingobjecttag"), "{own}");
        // To strangers all objects look alike, whatever their own policies ask.
        let stranger = stranger();
        let without = told(&stranger, None, None);
        for value in ["secret", "open"] {
            assert_eq!(told(&stranger, Some(value), None), without);
        }
        // And so do all policies.
        assert!(without.contains(r#""explicitDeny":false"#), "{without}");
        assert_eq!(told(&stranger, None, Some(DENY_ALL)), without);
    }

    #[test]
    fn a_decision_that_is_too_much_work_denies() {
        let expected = Outcome::Unreadable(Layer::Resource);
        let policy = |values: &[String]| {
            let values = serde_json::to_string(values).unwrap();
            format!(
                r#"{{"Version":"2012-10-17","Statement":[
                {{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}},
                {{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*",
                "Condition":{{"StringLike":{{"aws:UserAgent":{values}}}}}}}]}}"#
            )
        };
        let by = PolicyAuthorizer::new(Arc::new(Everybodys(Some(READ))));
        let ask = |policy: &str, agent: &str| {
            let mut context = context(alice());
            context.user_agent = Some(agent.into());
            by.explain(&AccessRequest {
                context: &context,
                action: "s3:GetObject",
                resource: &object(),
                conditions: &Conditions::default().with("aws:Referer", "a".repeat(2000)),
                resource_policy: Some(policy),
                grants: None,
                acls: None,
            })
            .outcome
        };
        let heavy = policy(&vec!["*${aws:Referer}b*".to_owned(); 500]);
        assert_eq!(ask(&heavy, &"a".repeat(4000)), expected);
        assert!(matches!(ask(&heavy, "curl"), Outcome::Allowed(_)));
        // What one pattern says of a long text is no such work.
        let usual = policy(&vec!["*bot*".to_owned(); 100]);
        assert!(matches!(
            ask(&usual, &"a".repeat(4000)),
            Outcome::Allowed(_)
        ));
        // Whose variable is too long evades no Deny.
        let agent = policy(&["${aws:UserAgent}".to_owned()]);
        for len in [10, 2048, 2049, 8000] {
            assert!(!matches!(
                ask(&agent, &"a".repeat(len)),
                Outcome::Allowed(_)
            ));
        }
    }

    #[test]
    fn a_long_denial_is_cut_to_what_a_header_holds_and_stays_json() {
        let denials = Arc::new(Denials::default());
        let by = PolicyAuthorizer::new(Arc::new(Everybodys(Some(READ)))).telling(denials.clone());
        let key = "\u{1}".repeat(1024);
        let object = Resource::Object {
            bucket: BucketName::parse("abc").unwrap(),
            owner: account(),
            key: ObjectKey::parse(&key).unwrap(),
        };
        let _ = outcome(&by, alice(), "s3:PutObject", &object, None);
        let message = denials.take(0).unwrap().message;
        assert!(message.len() <= 2048, "{}", message.len());
        let told: serde_json::Value = serde_json::from_str(&message).unwrap();
        assert_eq!(told["context"]["action"], "s3:PutObject");
    }

    #[test]
    fn what_cannot_be_read_denies_also_the_second_time() {
        let readable = PolicyAuthorizer::new(Arc::new(Everybodys(Some(READ))));
        for _ in 0..2 {
            assert_eq!(
                outcome(&readable, alice(), "s3:GetObject", &object(), Some("{")),
                Outcome::Unreadable(Layer::Resource)
            );
        }
        let root = Principal::Root { account: account() };
        assert_eq!(
            outcome(&readable, root, "kms:Decrypt", &key(), Some("")),
            Outcome::Unreadable(Layer::Resource)
        );
        for damaged in [None, Some("{}")] {
            let by = PolicyAuthorizer::new(Arc::new(Everybodys(damaged)));
            assert_eq!(
                outcome(&by, alice(), "s3:GetObject", &object(), None),
                Outcome::Unreadable(Layer::Identity)
            );
        }
    }

    #[test]
    fn a_remembered_policy_is_not_taken_for_another() {
        let policies = CompiledPolicies::default();
        let deny = |sid: usize| {
            format!(r#"{{"Statement":{{"Sid":"{sid}","Effect":"Deny","Principal":"*"}}}}"#)
        };
        // Many more than there are places.
        for _ in 0..2 {
            for sid in 0..SLOTS * 4 {
                let compiled = policies.compile(&deny(sid)).unwrap();
                assert_eq!(*compiled, Policy::parse(&deny(sid)).unwrap());
            }
        }
        let same = [(), ()].map(|()| policies.compile(&deny(0)).unwrap());
        assert!(Arc::ptr_eq(&same[0], &same[1]));
    }
}
