use strongroom_types::kms::{DataKeySpec, EncryptionAlgorithm, KeySpec, KeyUsage};

use super::*;
use crate::fixture::{World, caller};
use crate::{
    GenerateDataKeyInput, GenerateDataKeyWithoutPlaintextInput, GenerateRandomInput, ReEncryptInput,
};

#[test]
fn what_was_encrypted_decrypts_with_the_same_context_only() {
    let world = World::new();
    let service = world.service();
    let arn = created(&service);
    let ciphertext = encrypt(&service, &arn.to_string(), b"secret").unwrap();
    let restarted = world.service();
    let output = decrypt_as(&restarted, &root(), &ciphertext).unwrap();
    assert_eq!(&**output.plaintext, b"secret");
    assert_eq!(output.key_id, arn);
    let described = described(&service, &arn.to_string()).unwrap();
    assert_eq!(output.key_material_id, described.current_key_material_id);
    for wrong in [
        context(&[]),
        context(&[("a", "2")]),
        context(&[("a", "1"), ("b", "2")]),
    ] {
        assert_eq!(
            service
                .decrypt(&root(), decrypt_input(&ciphertext, &wrong))
                .err(),
            Some(KmsError::InvalidCiphertext)
        );
    }
}

#[test]
fn every_changed_byte_of_a_ciphertext_is_refused_without_a_reason() {
    let service = World::new().service();
    let arn = created(&service);
    let ciphertext = encrypt(&service, &arn.to_string(), b"secret").unwrap();
    for index in 0..ciphertext.len() {
        let mut changed = ciphertext.clone();
        changed[index] ^= 1;
        let outcome = decrypt(&service, &changed);
        // Bytes 2 to 17 are the key's id: another key, which is not there.
        let expected = if (2..18).contains(&index) {
            matches!(outcome, Err(KmsError::AccessDenied(_)))
        } else {
            outcome == Err(KmsError::InvalidCiphertext)
        };
        assert!(expected, "{index}: {outcome:?}");
    }
    for len in 0..ciphertext.len() {
        let cut = &ciphertext[..len];
        assert_eq!(decrypt(&service, cut), Err(KmsError::InvalidCiphertext));
    }
}

#[test]
fn a_key_id_that_is_not_the_ciphertexts_is_incorrect() {
    let service = World::new().service();
    let (arn, other) = (created(&service), created(&service));
    let signing = CreateKeyInput {
        key_spec: Some(KeySpec::EccNistP256),
        key_usage: Some(KeyUsage::SignVerify),
        ..defaults()
    };
    let signing = service
        .create_key(&root(), signing)
        .unwrap()
        .key_metadata
        .arn;
    let ciphertext = encrypt(&service, &arn.to_string(), b"secret").unwrap();
    let with = |key_id: String| {
        let input = DecryptInput {
            key_id: Some(key_id),
            ..decrypt_input(&ciphertext, &context(&[("a", "1")]))
        };
        service.decrypt(&root(), input).map(|it| it.key_id)
    };
    assert_eq!(with(arn.id.to_string()), Ok(arn.clone()));
    assert_eq!(with(other.to_string()), Err(KmsError::IncorrectKey));
    assert_eq!(with(signing.to_string()), Err(KmsError::IncorrectKey));
    assert!(matches!(
        with("1234abcd-12ab-34cd-56ef-1234567890ab".to_owned()),
        Err(KmsError::NotFound(_))
    ));
    // Encrypting with it is another error.
    assert_eq!(
        text(encrypt(&service, &signing.to_string(), b"x")),
        format!("{signing} key usage is SIGN_VERIFY which is not valid for Encrypt.")
    );
}

#[test]
fn permission_comes_before_state_and_state_before_a_dry_run() {
    let service = World::new().service();
    let arn = created(&service);
    let ciphertext = encrypt(&service, &arn.to_string(), b"secret").unwrap();
    let dry = |caller: &RequestContext| {
        let input = DecryptInput {
            dry_run: true,
            ..decrypt_input(&ciphertext, &context(&[("a", "1")]))
        };
        service.decrypt(caller, input).err().unwrap()
    };
    assert_eq!(dry(&root()), KmsError::DryRun);
    disable(&service, &arn).unwrap();
    assert!(matches!(dry(&root()), KmsError::Disabled(_)));
    assert!(matches!(
        dry(&caller("999988887777")),
        KmsError::AccessDenied(_)
    ));
    // Without a ciphertext, if it may be ignored.
    enable(&service, &arn).unwrap();
    let without = |modifiers: &[&str], key_id: Option<String>| DecryptInput {
        ciphertext_blob: None,
        key_id,
        dry_run: true,
        dry_run_modifiers: modifiers.iter().map(|it| (*it).to_owned()).collect(),
        ..decrypt_input(&[], &context(&[]))
    };
    let ask = |input| service.decrypt(&root(), input).err().unwrap();
    let key_id = || Some(arn.to_string());
    assert_eq!(
        ask(without(&["IGNORE_CIPHERTEXT"], key_id())),
        KmsError::DryRun
    );
    assert!(matches!(
        ask(without(&[], key_id())),
        KmsError::Validation(_)
    ));
    assert!(matches!(
        ask(without(&["IGNORE_CIPHERTEXT"], None)),
        KmsError::Validation(_)
    ));
}

#[test]
fn who_holds_a_ciphertext_of_another_account_does_not_learn_whose_it_is() {
    let service = World::new().service();
    let arn = created(&service);
    let ciphertext = encrypt(&service, &arn.to_string(), b"secret").unwrap();
    let refused = decrypt_as(&service, &caller("999988887777"), &ciphertext);
    assert_eq!(
        refused.err(),
        Some(KmsError::AccessDenied(
            "The ciphertext refers to a customer master key that does not exist, does not exist \
             in this region, or you are not allowed to access."
                .to_owned()
        ))
    );
}

#[test]
fn data_keys_come_in_both_forms_and_any_length() {
    let service = World::new().service();
    let arn = created(&service);
    let generate = |key_spec, number_of_bytes| {
        let input = GenerateDataKeyInput {
            key_id: arn.to_string(),
            encryption_context: context(&[("a", "1")]),
            number_of_bytes,
            key_spec,
            grant_tokens: Vec::new(),
            dry_run: false,
        };
        service.generate_data_key(&root(), input)
    };
    for (spec, bytes, len) in [
        (Some(DataKeySpec::Aes256), None, 32),
        (Some(DataKeySpec::Aes128), None, 16),
        (None, Some(1), 1),
        (None, Some(1024), 1024),
    ] {
        let output = generate(spec, bytes).unwrap();
        assert_eq!(output.plaintext.len(), len);
        assert_eq!(
            decrypt(&service, &output.ciphertext_blob).unwrap(),
            **output.plaintext
        );
        assert!(output.key_material_id.is_some());
    }
    for (spec, bytes) in [(None, None), (Some(DataKeySpec::Aes256), Some(32))] {
        assert_eq!(
            text(generate(spec, bytes)),
            "Please specify either number of bytes or key spec."
        );
    }
    assert_eq!(
        text(generate(None, Some(0))),
        "1 validation error detected: Value '0' at 'numberOfBytes' failed to satisfy constraint: \
         Member must have value greater than or equal to 1"
    );
    let input = GenerateDataKeyWithoutPlaintextInput {
        key_id: arn.to_string(),
        encryption_context: context(&[("a", "1")]),
        key_spec: Some(DataKeySpec::Aes256),
        number_of_bytes: None,
        grant_tokens: Vec::new(),
        dry_run: false,
    };
    let output = service
        .generate_data_key_without_plaintext(&root(), input)
        .unwrap();
    assert_eq!(
        decrypt(&service, &output.ciphertext_blob).unwrap().len(),
        32
    );
    let random =
        |number_of_bytes| service.generate_random(&root(), GenerateRandomInput { number_of_bytes });
    assert_eq!(random(Some(1024)).unwrap().plaintext.len(), 1024);
    assert_eq!(text(random(None)), "NumberOfBytes is required.");
    assert!(matches!(random(Some(1025)), Err(KmsError::Validation(_))));
}

fn re_encrypt_input(ciphertext: &[u8], to: &KeyArn) -> ReEncryptInput {
    ReEncryptInput {
        ciphertext_blob: Some(ciphertext.to_vec()),
        source_encryption_context: context(&[("a", "1")]),
        source_key_id: None,
        destination_key_id: to.to_string(),
        destination_encryption_context: context(&[("b", "2")]),
        source_encryption_algorithm: None,
        destination_encryption_algorithm: None,
        grant_tokens: Vec::new(),
        dry_run: false,
        dry_run_modifiers: Vec::new(),
    }
}

#[test]
fn re_encryption_moves_a_ciphertext_to_another_key_and_context() {
    let service = World::new().service();
    let (from, to) = (created(&service), created(&service));
    let ciphertext = encrypt(&service, &from.to_string(), b"secret").unwrap();
    let output = service
        .re_encrypt(&root(), re_encrypt_input(&ciphertext, &to))
        .unwrap();
    assert_eq!((&output.source_key_id, &output.key_id), (&from, &to));
    let moved = decrypt_input(&output.ciphertext_blob, &context(&[("b", "2")]));
    assert_eq!(
        &**service.decrypt(&root(), moved).unwrap().plaintext,
        b"secret"
    );
    // A dry run checks both halves.
    let dry = || ReEncryptInput {
        dry_run: true,
        ..re_encrypt_input(&ciphertext, &to)
    };
    assert_eq!(
        service.re_encrypt(&root(), dry()).err(),
        Some(KmsError::DryRun)
    );
    disable(&service, &to).unwrap();
    assert_eq!(
        text(service.re_encrypt(&root(), dry())),
        format!("{to} is disabled.")
    );
    disable(&service, &from).unwrap();
    assert_eq!(
        text(service.re_encrypt(&root(), dry())),
        format!("{from} is disabled.")
    );
}

#[test]
fn an_algorithm_that_is_not_the_keys_is_refused() {
    let service = World::new().service();
    let arn = created(&service);
    let input = EncryptInput {
        encryption_algorithm: Some(EncryptionAlgorithm::RsaesOaepSha256),
        ..encrypt_input(&arn.to_string(), b"x", &context(&[]))
    };
    assert_eq!(
        text(service.encrypt(&root(), input)),
        "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT."
    );
}
