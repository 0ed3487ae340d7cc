//! What the records of KMS calls have beside what all records have (KMS Developer Guide, "Logging AWS
//! KMS API calls with AWS CloudTrail").

use strongroom_audit::Params;
use strongroom_types::RequestContext;
use strongroom_types::kms::{EncryptionAlgorithm, KeyArn, KeyIdentifier};

use crate::json::Input;
use crate::recording::{Named, json_parameters, lower_camel};

/// Members that name a key, in the order of a record's resources.
const KEYS: [&str; 4] = ["SourceKeyId", "KeyId", "DestinationKeyId", "TargetKeyId"];

/// The keys that an input names.
pub(super) fn named(context: &RequestContext, input: &Input) -> Named {
    let mut named = Named::default();
    for member in KEYS {
        let Ok(Some(text)) = input.text(member) else {
            continue;
        };
        match (KeyIdentifier::parse(&text), context.principal.account()) {
            (Ok(KeyIdentifier::Arn(arn)), _) => named.key(arn),
            (Ok(KeyIdentifier::Id(id)), Some(account)) => named.key(KeyArn {
                region: context.region.clone(),
                account,
                id,
            }),
            (Ok(KeyIdentifier::Alias(_) | KeyIdentifier::AliasArn(_)), Some(_)) => {
                named.alias(text);
            }
            (Ok(_), None) | (Err(_), _) => {}
        }
    }
    named
}

/// What was sent. Algorithms are there also where the default was meant.
pub(super) fn parameters(operation: &'static str, input: &Input) -> Params {
    let defaults: &[&str] = match operation {
        "Encrypt" | "Decrypt" => &["EncryptionAlgorithm"],
        "ReEncrypt" => &[
            "SourceEncryptionAlgorithm",
            "DestinationEncryptionAlgorithm",
        ],
        _ => &[],
    };
    let absent = defaults.iter().filter(|member| !input.has(member));
    absent.fold(json_parameters(input), |params, member| {
        let default = EncryptionAlgorithm::SymmetricDefault.name();
        params.text(&lower_camel(member), default)
    })
}
