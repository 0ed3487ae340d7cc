//! Key policies: PutKeyPolicy, GetKeyPolicy, ListKeyPolicies.
//!
//! The text is kept and given back as it came, and with it whom it meant: by that is decided. Whether
//! a text can be a key's policy is decided by [`key_policy::check`], for CreateKey as well.

use strongroom_policy::{
    AccessRequest, Conditions, KeyPolicyError, Pins, Resource, Unreadable, key_policy, pinning,
};
use strongroom_types::RequestContext;

use crate::access::Ask;
use crate::conditions::KeyConditions;
use crate::key::Key;
use crate::operation::Operation;
use crate::rows::PairRow;
use crate::trail;
use crate::{
    GetKeyPolicyInput, GetKeyPolicyOutput, KeyService, KmsError, ListKeyPoliciesInput, Page,
    PutKeyPolicyInput,
};

/// The only policy that a key has.
const POLICY_NAME: &str = "default";

/// A key's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPolicy {
    text: String,
    pins: Pins,
    /// The text with everybody's unique id in the place of his name, if it names anybody.
    pinned: Option<String>,
}

impl KeyPolicy {
    fn new(text: String, pins: Pins) -> Self {
        Self {
            pinned: pinning::pinned(&text, &pins),
            text,
            pins,
        }
    }

    /// One that names accounts and services only.
    pub(crate) fn of_accounts(text: String) -> Self {
        Self::new(text, Pins::new())
    }

    pub(crate) fn from_row(text: String, pins: Vec<PairRow>) -> Self {
        let pins = pins.into_iter().map(|pair| (pair.key, pair.value));
        Self::new(text, pins.collect())
    }

    /// What the row keeps beside the text.
    pub(crate) fn pins_row(&self) -> Option<Vec<PairRow>> {
        let row = |(key, value): (&String, &String)| PairRow {
            key: key.clone(),
            value: value.clone(),
        };
        (!self.pins.is_empty()).then(|| self.pins.iter().map(row).collect())
    }

    /// The JSON text as it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text by which is decided.
    pub(crate) fn deciding(&self) -> &str {
        self.pinned.as_deref().unwrap_or(&self.text)
    }

    /// What it takes of the key's row.
    pub(crate) fn len_bytes(&self) -> usize {
        let pins = self.pins.iter().map(|(name, pin)| name.len() + pin.len());
        self.text.len() + pins.sum::<usize>()
    }
}

impl KeyService {
    /// Replaces a key's policy.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `PutKeyPolicy` of the KMS API Reference.
    pub fn put_key_policy(
        &self,
        caller: &RequestContext,
        input: PutKeyPolicyInput,
    ) -> Result<(), KmsError> {
        let bypass = input.bypass_policy_lockout_safety_check;
        // Policies can tell a request that does not say so from one that says no.
        let conditions = if bypass {
            Conditions::default().with("kms:BypassPolicyLockoutSafetyCheck", "true")
        } else {
            Conditions::default()
        };
        let ask = Ask {
            conditions,
            ..Ask::plain(Operation::PutKeyPolicy)
        };
        let params = trail::key_id(&input.key_id)
            .text("policyName", POLICY_NAME)
            .text("policy", &input.policy)
            .flag("bypassPolicyLockoutSafetyCheck", bypass);
        self.change_admitted(caller, &input.key_id, &ask, &params, |key| {
            check_name(input.policy_name.as_deref())?;
            key.policy = self.key_policy(input.policy.clone())?;
            if bypass {
                Ok(())
            } else {
                self.check_lockout(caller, key)
            }
        })?;
        Ok(())
    }

    /// `text` as the policy of a key.
    ///
    /// # Errors
    ///
    /// [`KeyPolicyError`].
    pub(crate) fn key_policy(&self, text: String) -> Result<KeyPolicy, KmsError> {
        let pins = key_policy::check(&text, &*self.ports.principals)?;
        Ok(KeyPolicy::new(text, pins))
    }

    /// Whether `caller` could replace the policy that `key` is to have, by the policies and under the
    /// circumstances of this request.
    ///
    /// # Errors
    ///
    /// [`KmsError::MalformedPolicy`].
    pub(crate) fn check_lockout(&self, caller: &RequestContext, key: &Key) -> Result<(), KmsError> {
        let conditions = KeyConditions {
            aliases: Some(self.alias_names(key.arn.id)?),
            ..KeyConditions::imagined(key)
        };
        let conditions = conditions.into_conditions();
        let decision = self.ports.authorizer.decide(&AccessRequest {
            context: caller,
            action: Operation::PutKeyPolicy.action(),
            resource: &Resource::Key {
                arn: key.arn.clone(),
                manager: key.manager,
            },
            conditions: &conditions,
            resource_policy: Some(key.policy.deciding()),
            grants: None,
            acls: None,
        });
        decision.map_err(|_| key_policy::locked_out().into())
    }

    /// A key's policy, as it was stored.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `GetKeyPolicy` of the KMS API Reference.
    pub fn get_key_policy(
        &self,
        caller: &RequestContext,
        input: GetKeyPolicyInput,
    ) -> Result<GetKeyPolicyOutput, KmsError> {
        let opened = self.admit(caller, &input.key_id, &Ask::plain(Operation::GetKeyPolicy))?;
        check_name(input.policy_name.as_deref())?;
        let KeyPolicy { text, pinned, .. } = &opened.key.policy;
        Ok(GetKeyPolicyOutput {
            policy: pinning::shown(text, pinned.as_deref(), &*self.ports.principals)?,
            policy_name: POLICY_NAME.to_owned(),
        })
    }

    /// The names of a key's policies: always `default`, and no other.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `ListKeyPolicies` of the KMS API Reference.
    pub fn list_key_policies(
        &self,
        caller: &RequestContext,
        input: ListKeyPoliciesInput,
    ) -> Result<Page<String>, KmsError> {
        self.admit(
            caller,
            &input.key_id,
            &Ask::plain(Operation::ListKeyPolicies),
        )?;
        // There is never a second page, so that no marker is one of ours.
        self.shared
            .markers
            .open(b"ListKeyPolicies", input.marker.as_deref())?;
        Ok(Page {
            entries: vec![POLICY_NAME.to_owned()],
            next_marker: None,
        })
    }
}

fn check_name(name: Option<&str>) -> Result<(), KmsError> {
    match name {
        None | Some(POLICY_NAME) => Ok(()),
        Some(_) => Err(KmsError::NotFound("No such policy exists".to_owned())),
    }
}

impl From<Unreadable> for KmsError {
    fn from(_: Unreadable) -> Self {
        Self::Unavailable
    }
}

impl From<KeyPolicyError> for KmsError {
    fn from(error: KeyPolicyError) -> Self {
        match error {
            KeyPolicyError::TooLong => Self::LimitExceeded(error.to_string()),
            KeyPolicyError::Unreadable => Self::Unavailable,
            KeyPolicyError::Malformed(_) | _ => Self::MalformedPolicy(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{ACCOUNT, POLICY, World, root};
    use crate::key::Lifecycle;
    use strongroom_types::Timestamp;
    use strongroom_types::kms::{KeyArn, KeyManager};

    const OTHER: &str = "444455556666";

    fn put(world: &World, key: &KeyArn, policy: &str, bypass: bool) -> Result<(), KmsError> {
        let input = PutKeyPolicyInput {
            key_id: key.to_string(),
            policy_name: None,
            policy: policy.to_owned(),
            bypass_policy_lockout_safety_check: bypass,
        };
        world.service().put_key_policy(&root(), input)
    }

    fn get(world: &World, key: &KeyArn, name: Option<&str>) -> Result<String, KmsError> {
        let input = GetKeyPolicyInput {
            key_id: key.to_string(),
            policy_name: name.map(str::to_owned),
        };
        let output = world.service().get_key_policy(&root(), input)?;
        assert_eq!(output.policy_name, "default");
        Ok(output.policy)
    }

    #[test]
    fn a_policy_is_given_back_as_it_came_in_every_state() {
        let world = World::new();
        let key = world.symmetric();
        let spaced = format!("\n{POLICY}\t ");
        for lifecycle in [
            Lifecycle::Enabled,
            Lifecycle::Disabled,
            Lifecycle::PendingDeletion {
                until: Timestamp::from_seconds(2_000_000_000),
            },
        ] {
            world.change(&key, |key| {
                key.lifecycle = lifecycle;
                key.policy = KeyPolicy::of_accounts(POLICY.to_owned());
            });
            assert_eq!(put(&world, &key, &spaced, false), Ok(()));
            assert_eq!(get(&world, &key, Some("default")), Ok(spaced.clone()));
        }
        assert_eq!(
            get(&world, &key, Some("other")),
            Err(KmsError::NotFound("No such policy exists".to_owned()))
        );
    }

    #[test]
    fn a_policy_that_cannot_be_changes_nothing() {
        let world = World::new();
        let key = world.symmetric();
        let locked_out = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*"}}"#;
        assert_eq!(
            put(&world, &key, locked_out, false),
            Err(KmsError::MalformedPolicy(
                "The new key policy will not allow you to update the key policy in the future."
                    .to_owned()
            ))
        );
        assert!(matches!(
            put(&world, &key, "{", true),
            Err(KmsError::MalformedPolicy(_))
        ));
        let long = format!("{POLICY}{}", " ".repeat(32_768));
        assert!(matches!(
            put(&world, &key, &long, true),
            Err(KmsError::LimitExceeded(_))
        ));
        assert_eq!(get(&world, &key, None), Ok(POLICY.to_owned()));
        assert_eq!(put(&world, &key, locked_out, true), Ok(()));
        assert_eq!(world.key_row(&key).policy.text(), locked_out);
        assert!(matches!(
            get(&world, &key, None),
            Err(KmsError::AccessDenied(_))
        ));
    }

    #[test]
    fn there_is_one_policy_and_services_keep_theirs() {
        let world = World::new();
        let key = world.symmetric();
        let list = |marker: Option<&str>| {
            let input = ListKeyPoliciesInput {
                key_id: key.to_string(),
                limit: None,
                marker: marker.map(str::to_owned),
            };
            world.service().list_key_policies(&root(), input)
        };
        let page = list(None).unwrap();
        assert_eq!(
            (page.entries, page.next_marker),
            (vec!["default".to_owned()], None)
        );
        assert!(matches!(list(Some("x")), Err(KmsError::InvalidMarker(_))));
        let fixed = crate::fixed_policies::aws_managed_policy(
            "auto-s3-2",
            "S3",
            "s3",
            key.account,
            &key.region,
        );
        world.change(&key, |key| {
            key.manager = KeyManager::Aws;
            key.policy = KeyPolicy::of_accounts(fixed.clone());
        });
        assert!(matches!(
            put(&world, &key, POLICY, false),
            Err(KmsError::AccessDenied(_))
        ));
        assert_eq!(get(&world, &key, None), Ok(fixed));
    }

    const EVERYTHING: &str = r#"{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}"#;

    /// The account's statement and one that lets `principal` describe.
    fn naming(principal: &str) -> String {
        POLICY.replace(
            "}]}",
            &format!(
                r#"}},{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"kms:DescribeKey","Resource":"*"}}]}}"#
            ),
        )
    }

    fn describe(world: &World, caller: &RequestContext, key: &KeyArn) -> Result<(), KmsError> {
        let input = crate::DescribeKeyInput {
            key_id: key.to_string(),
            grant_tokens: Vec::new(),
        };
        world.service().describe_key(caller, input).map(drop)
    }

    #[test]
    fn a_policy_means_who_has_the_name_now_and_nobody_who_gets_it_later() {
        let world = World::new();
        let key = world.symmetric();
        let alice = world.people.user(ACCOUNT, "alice", None);
        let session = world.people.role(OTHER, "r", Some(EVERYTHING));
        let arn = alice.principal.arn();
        assert!(describe(&world, &alice, &key).is_err());
        let policy = naming(&arn);
        assert_eq!(put(&world, &key, &policy, false), Ok(()));
        assert_eq!(describe(&world, &alice, &key), Ok(()));
        assert_eq!(get(&world, &key, None), Ok(policy));
        world.people.delete(&arn);
        let again = world.people.user(ACCOUNT, "alice", None);
        assert!(matches!(
            describe(&world, &again, &key),
            Err(KmsError::AccessDenied(_))
        ));
        let shown = get(&world, &key, None).unwrap();
        assert!(
            !shown.contains("alice") && shown.contains("AIDA"),
            "{shown}"
        );
        // What is shown for somebody who is gone names nobody.
        assert!(matches!(
            put(&world, &key, &shown, false),
            Err(KmsError::MalformedPolicy(_))
        ));
        let role = format!("arn:aws:iam::{OTHER}:role/r");
        assert!(describe(&world, &session, &key).is_err());
        assert_eq!(put(&world, &key, &naming(&role), false), Ok(()));
        assert_eq!(describe(&world, &session, &key), Ok(()));
        assert!(describe(&world, &again, &key).is_err());
    }

    #[test]
    fn a_policy_names_nobody_who_is_not_there() {
        let world = World::new();
        let key = world.symmetric();
        let refused = Err(KmsError::MalformedPolicy(
            "Policy contains a statement with one or more invalid principals.".to_owned(),
        ));
        for nobody in [
            "arn:aws:iam::111122223333:user/nobody",
            "arn:aws:iam::999988887777:role/elsewhere",
        ] {
            assert_eq!(put(&world, &key, &naming(nobody), false), refused);
            let input = crate::CreateKeyInput {
                policy: Some(naming(nobody)),
                ..crate::tests::defaults()
            };
            let made = world.service().create_key(&root(), input).map(drop);
            assert_eq!(made, refused);
        }
        assert_eq!(get(&world, &key, None), Ok(POLICY.to_owned()));
    }

    #[test]
    fn the_lockout_check_decides_as_the_next_request_would() {
        let world = World::new();
        let key = world.symmetric();
        let put_as = |caller: &RequestContext, policy: &str| {
            let input = PutKeyPolicyInput {
                key_id: key.to_string(),
                policy_name: None,
                policy: policy.to_owned(),
                bypass_policy_lockout_safety_check: false,
            };
            world.service().put_key_policy(caller, input)
        };
        let locked_out = || Err(key_policy::locked_out().into());
        let admin = world.people.user(ACCOUNT, "admin", Some(EVERYTHING));
        assert_eq!(put_as(&admin, POLICY), Ok(()));
        let of = |principal: &str, rest: &str| {
            format!(
                r#"{{"Statement":{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"kms:*","Resource":"*"{rest}}}}}"#
            )
        };
        // Of the present connection, which is not encrypted.
        let secure = |value| {
            of(
                ACCOUNT,
                &format!(r#","Condition":{{"Bool":{{"aws:SecureTransport":"{value}"}}}}"#),
            )
        };
        assert_eq!(put_as(&admin, &secure(true)), locked_out());
        assert_eq!(put_as(&admin, &of(OTHER, "")), locked_out());
        assert_eq!(put_as(&admin, &secure(false)), Ok(()));
        // Named himself, he needs no account; the account alone would not do without his own policy.
        let alone = of(&admin.principal.arn(), "");
        assert_eq!(put_as(&admin, &alone), Ok(()));
        let plain = world.people.user(ACCOUNT, "plain", None);
        let both = alone.replace(
            &format!("\"{}\"", admin.principal.arn()),
            &format!(
                "[\"{}\",\"{}\"]",
                admin.principal.arn(),
                plain.principal.arn()
            ),
        );
        assert_eq!(put_as(&admin, &both), Ok(()));
        assert_eq!(put_as(&plain, POLICY), locked_out());
        assert_eq!(put_as(&plain, &of(&plain.principal.arn(), "")), Ok(()));
        // And so the others are locked out.
        assert!(matches!(
            put_as(&root(), POLICY),
            Err(KmsError::AccessDenied(_))
        ));
    }
}
