//! The service as a whole, on stores in memory.

mod aliases;
mod authority;
mod cipher;
mod conditions;
mod destruction;
mod keys;
mod managed;
mod model;
mod principals;
mod races;
mod trail;

use std::collections::BTreeMap;

use strongroom_types::RequestContext;
use strongroom_types::kms::{EncryptionContext, KeyArn, KeyState};

use crate::fixture::root;
use crate::{
    CancelKeyDeletionInput, CreateAliasInput, CreateKeyInput, DecryptInput, DecryptOutput,
    DescribeKeyInput, DisableKeyInput, EnableKeyInput, EncryptInput, KeyMetadata, KeyService,
    KmsError, ScheduleKeyDeletionInput,
};

/// CreateKey with nothing chosen.
pub(crate) fn defaults() -> CreateKeyInput {
    CreateKeyInput::default()
}

fn created(service: &KeyService) -> KeyArn {
    let output = service.create_key(&root(), defaults()).unwrap();
    output.key_metadata.arn
}

fn described(service: &KeyService, key_id: &str) -> Result<KeyMetadata, KmsError> {
    let input = DescribeKeyInput {
        key_id: key_id.to_owned(),
        grant_tokens: Vec::new(),
    };
    Ok(service.describe_key(&root(), input)?.key_metadata)
}

fn state(service: &KeyService, arn: &KeyArn) -> KeyState {
    described(service, &arn.to_string()).unwrap().key_state
}

fn disable(service: &KeyService, arn: &KeyArn) -> Result<(), KmsError> {
    let key_id = arn.to_string();
    service.disable_key(&root(), DisableKeyInput { key_id })
}

fn enable(service: &KeyService, arn: &KeyArn) -> Result<(), KmsError> {
    let key_id = arn.to_string();
    service.enable_key(&root(), EnableKeyInput { key_id })
}

fn schedule(service: &KeyService, arn: &KeyArn, days: u32) -> Result<(), KmsError> {
    let input = ScheduleKeyDeletionInput {
        key_id: arn.to_string(),
        pending_window_in_days: Some(days),
    };
    service.schedule_key_deletion(&root(), input).map(drop)
}

fn cancel(service: &KeyService, arn: &KeyArn) -> Result<(), KmsError> {
    let key_id = arn.to_string();
    let input = CancelKeyDeletionInput { key_id };
    service.cancel_key_deletion(&root(), input).map(drop)
}

fn alias(service: &KeyService, name: &str, arn: &KeyArn) -> Result<(), KmsError> {
    let input = CreateAliasInput {
        alias_name: name.to_owned(),
        target_key_id: arn.id.to_string(),
    };
    service.create_alias(&root(), input)
}

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let pairs: BTreeMap<_, _> = pairs.iter().map(owned).collect();
    EncryptionContext::new(pairs).unwrap()
}

fn encrypt_input(key_id: &str, plaintext: &[u8], context: &EncryptionContext) -> EncryptInput {
    EncryptInput {
        key_id: key_id.to_owned(),
        plaintext: plaintext.to_vec().into(),
        encryption_context: context.clone(),
        grant_tokens: Vec::new(),
        encryption_algorithm: None,
        dry_run: false,
    }
}

fn encrypt(service: &KeyService, key_id: &str, plaintext: &[u8]) -> Result<Vec<u8>, KmsError> {
    let input = encrypt_input(key_id, plaintext, &context(&[("a", "1")]));
    Ok(service.encrypt(&root(), input)?.ciphertext_blob)
}

fn decrypt_input(ciphertext: &[u8], context: &EncryptionContext) -> DecryptInput {
    DecryptInput {
        ciphertext_blob: Some(ciphertext.to_vec()),
        encryption_context: context.clone(),
        grant_tokens: Vec::new(),
        key_id: None,
        encryption_algorithm: None,
        dry_run: false,
        dry_run_modifiers: Vec::new(),
    }
}

fn decrypt(service: &KeyService, ciphertext: &[u8]) -> Result<Vec<u8>, KmsError> {
    decrypt_as(service, &root(), ciphertext).map(|it| it.plaintext.to_vec())
}

fn decrypt_as(
    service: &KeyService,
    caller: &RequestContext,
    ciphertext: &[u8],
) -> Result<DecryptOutput, KmsError> {
    service.decrypt(caller, decrypt_input(ciphertext, &context(&[("a", "1")])))
}

fn text<T>(outcome: Result<T, KmsError>) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}
