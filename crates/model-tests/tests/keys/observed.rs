//! Whether all that can be seen of the services is as the model has it.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_kms::{KeyMaterialState, ListAliasesInput, ListKeysInput};
use strongroom_model::keys::KeyState as ModelState;
use strongroom_model::vault::{Lock, Vault};
use strongroom_s3::{EncryptionAnswer, ListObjectsInput};
use strongroom_types::kms::{KeyArn, KeyManager, KeyState};
use strongroom_types::{SseAlgorithm, Timestamp};

use crate::subject::{Failed, Subject};
use crate::world::{bucket, context};

/// What is not as it should be.
pub(crate) type Verdict = Result<(), String>;

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, expected: &T) -> Verdict {
    if got == expected {
        Ok(())
    } else {
        Err(format!("{what}: {got:?} instead of {expected:?}"))
    }
}

/// Everything.
pub(crate) fn all(subject: &Subject, model: &Vault) -> Verdict {
    keys(subject, model)?;
    aliases(subject, model)?;
    let expected: Vec<&String> = model.objects.keys().collect();
    same(
        "objects",
        &object_names(subject).iter().collect(),
        &expected,
    )?;
    readable(subject, model)
}

/// What every object and ciphertext answers that is asked for its content.
pub(crate) fn readable(subject: &Subject, model: &Vault) -> Verdict {
    for (name, object) in &model.objects {
        let expected = model.open(&object.lock).map(|()| object.bytes.clone());
        let expected = expected.map_err(Failed::Refused);
        same(name, &subject.read(name, &object.lock), &expected)?;
        // Where memory is enough, it answers alike.
        if let Some(got) = subject.read_in_memory(name, &object.lock) {
            same(&format!("{name}, from memory"), &got, &expected)?;
        }
        // What it is encrypted with is told whether or not it can be read.
        let head = subject.head(name, &object.lock);
        let answer = head.map(|it| it.object.encryption);
        same(name, &answer, &Ok(shown(subject, object, &answer)))?;
    }
    for (at, ciphertext) in model.ciphertexts.iter().enumerate() {
        if at >= subject.ciphertexts.len() {
            return Err(format!("ciphertext {at} was lost on its way"));
        }
        let context = ciphertext.context;
        let expected = model.decrypt(*ciphertext, context).map_err(Failed::Refused);
        let got = subject.decrypt(at, context);
        same(&format!("ciphertext {at}"), &got, &expected)?;
    }
    Ok(())
}

/// How an object should be shown to be encrypted, where the model cannot say it in the words of `got`.
fn shown(
    subject: &Subject,
    object: &strongroom_model::vault::Object,
    got: &Result<EncryptionAnswer, Failed>,
) -> EncryptionAnswer {
    let kms = |algorithm, key: Option<usize>, bucket_key| match (key, got) {
        // The AWS managed key has no name in the model.
        (None, Ok(EncryptionAnswer::Kms { key, .. })) if !subject.arns.contains(key) => {
            EncryptionAnswer::Kms {
                algorithm,
                key: key.clone(),
                bucket_key,
                context: None,
            }
        }
        (None, _) => EncryptionAnswer::SseS3,
        (Some(at), _) => EncryptionAnswer::Kms {
            algorithm,
            key: subject.arns[at].clone(),
            bucket_key,
            context: None,
        },
    };
    match (&object.lock, got) {
        (Lock::SseS3, _) => EncryptionAnswer::SseS3,
        (Lock::Customer(_), Ok(answer @ EncryptionAnswer::SseC { .. })) => answer.clone(),
        (Lock::Customer(_), _) => EncryptionAnswer::SseC {
            key_md5: String::new(),
        },
        (Lock::Kms { key, bucket_key }, _) => kms(SseAlgorithm::AwsKms, *key, *bucket_key),
        (Lock::Dsse { key }, _) => kms(SseAlgorithm::AwsKmsDsse, *key, false),
    }
}

/// Keys of the customer that no step is known to have made.
pub(crate) fn unknown_keys(subject: &Subject) -> Vec<KeyArn> {
    let input = ListKeysInput {
        limit: Some(1000),
        marker: None,
    };
    let listed = subject.world.services().kms.list_keys(&context(), input);
    let listed = listed.unwrap().entries.into_iter();
    listed
        .filter(|arn| !subject.arns.contains(arn))
        .filter(|arn| {
            let described = subject.describe(arn);
            described.is_ok_and(|it| it.key_manager == KeyManager::Customer)
        })
        .collect()
}

fn keys(subject: &Subject, model: &Vault) -> Verdict {
    let keys = &model.keys;
    same("unknown keys", &unknown_keys(subject), &Vec::new())?;
    same("keys", &subject.arns.len(), &keys.count())?;
    for (at, arn) in subject.arns.iter().enumerate() {
        let what = format!("key {at}");
        let described = subject.describe(arn);
        let Some(state) = keys.state(at) else {
            let gone = Err(Failed::Refused(strongroom_model::keys::Refusal::NotFound));
            same(&what, &described.map(|it| it.key_state), &gone)?;
            continue;
        };
        let described = described.map_err(|error| format!("{what}: {error:?}"))?;
        let state = match state {
            ModelState::Enabled => KeyState::Enabled,
            ModelState::Disabled => KeyState::Disabled,
            ModelState::PendingDeletion => KeyState::PendingDeletion,
            ModelState::PendingImport => KeyState::PendingImport,
        };
        same(&what, &described.key_state, &state)?;
        let date = described.deletion_date.map(Timestamp::as_millis);
        same(&what, &date, &keys.deletion_date(at))?;
        materials(subject, model, at)?;
        if !keys.is_external(at) {
            let input = strongroom_kms::GetKeyRotationStatusInput {
                key_id: arn.to_string(),
            };
            let kms = &subject.world.services().kms;
            let status = kms.get_key_rotation_status(&context(), input);
            let status = status.map_err(|error| format!("{what}: {error:?}"))?;
            let next = status.next_rotation_date.map(Timestamp::as_millis);
            same(&what, &next, &keys.next_rotation(at))?;
        }
    }
    Ok(())
}

/// Of each material: whether it encrypts, whether it is there, and when it expires.
fn materials(subject: &Subject, model: &Vault, key: usize) -> Verdict {
    let got = subject.materials(&subject.arns[key]);
    let got = got.map_err(|error| format!("materials of key {key}: {error:?}"))?;
    let got: Vec<_> = got
        .iter()
        .map(|it| {
            (
                it.key_material_state == KeyMaterialState::Current,
                it.is_imported.unwrap_or(true),
                it.valid_to.map(Timestamp::as_millis),
            )
        })
        .collect();
    let (materials, current) = model.keys.materials(key);
    let now = model.keys.now();
    let expected = materials.iter().enumerate().map(|(at, it)| {
        let there = it.is_available(now);
        (Some(at) == current, there, it.valid_to.filter(|_| there))
    });
    same(
        &format!("materials of key {key}"),
        &got,
        &expected.collect(),
    )
}

fn aliases(subject: &Subject, model: &Vault) -> Verdict {
    let input = ListAliasesInput {
        key_id: None,
        limit: Some(100),
        marker: None,
    };
    let kms = &subject.world.services().kms;
    let listed = kms.list_aliases(&context(), input);
    let listed = listed.map_err(|error| format!("aliases: {error:?}"))?;
    let listed: BTreeMap<String, Option<usize>> = listed
        .entries
        .into_iter()
        .filter(|it| !it.name.as_str().starts_with("alias/aws/"))
        .map(|it| {
            let key = subject
                .arns
                .iter()
                .position(|arn| Some(arn.id) == it.target_key_id);
            (it.name.as_str().to_owned(), key)
        })
        .collect();
    let expected = model.keys.aliases().iter();
    let expected = expected.map(|(name, key)| (name.clone(), Some(*key)));
    same("aliases", &listed, &expected.collect())
}

fn object_names(subject: &Subject) -> Vec<String> {
    let s3 = &subject.world.services().s3;
    let entry = s3.enter_bucket(context(), &bucket(), None).unwrap();
    let input = ListObjectsInput {
        max_keys: 1000,
        ..ListObjectsInput::default()
    };
    let page = s3.list_objects(entry, input).unwrap();
    page.objects.into_iter().map(|it| it.key).collect()
}

/// After the background has run, no shred key of a destroyed key is left.
pub(crate) fn shredded(subject: &Subject, model: &Vault) -> Verdict {
    let left: BTreeSet<_> = subject
        .world
        .services()
        .shreds
        .list()
        .unwrap()
        .into_iter()
        .collect();
    for (key, shreds) in &subject.shreds {
        if model.keys.is_destroyed(*key) && shreds.iter().any(|id| left.contains(id)) {
            return Err(format!("a shred key of the destroyed key {key} is left"));
        }
    }
    Ok(())
}
