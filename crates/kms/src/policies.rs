//! Key policies: PutKeyPolicy, GetKeyPolicy, ListKeyPolicies.
//!
//! The text is kept and given back as it came. Whether it can be a key's policy is decided by
//! [`key_policy::check`], for CreateKey as well.

use strongroom_policy::{Conditions, KeyPolicyError, key_policy};
use strongroom_types::RequestContext;

use crate::access::Ask;
use crate::operation::Operation;
use crate::{
    GetKeyPolicyInput, GetKeyPolicyOutput, KeyService, KmsError, ListKeyPoliciesInput, Page,
    PutKeyPolicyInput,
};

/// The only policy that a key has.
const POLICY_NAME: &str = "default";

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
        self.change_admitted(caller, &input.key_id, &ask, |key| {
            check_name(input.policy_name.as_deref())?;
            key_policy::check(&input.policy, &key.arn, &caller.principal, bypass)?;
            key.policy.clone_from(&input.policy);
            Ok(())
        })?;
        Ok(())
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
        Ok(GetKeyPolicyOutput {
            policy: opened.key.policy.clone(),
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

impl From<KeyPolicyError> for KmsError {
    fn from(error: KeyPolicyError) -> Self {
        match error {
            KeyPolicyError::TooLong => Self::LimitExceeded(error.to_string()),
            KeyPolicyError::Malformed(_) | _ => Self::MalformedPolicy(error.to_string()),
        }
    }
}
