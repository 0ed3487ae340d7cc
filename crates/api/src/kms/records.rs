//! What the records of KMS calls have beside what all records have (KMS Developer Guide, "Logging AWS
//! KMS API calls with AWS CloudTrail").

use strongroom_audit::Params;
use strongroom_types::RequestContext;
use strongroom_types::kms::{EncryptionAlgorithm, KeyArn, KeyIdentifier};

use crate::json::Input;
use crate::recording::{Facts, json_parameters, lower_camel};

/// Members that name a key, in the order of a record's resources.
const KEYS: [&str; 4] = ["SourceKeyId", "KeyId", "DestinationKeyId", "TargetKeyId"];

/// The keys that an input names by ARN or id. What an alias stands for is known where keys are, and
/// told by those calls that succeed.
pub(super) fn named(context: &RequestContext, input: &Input) -> Facts {
    let mut facts = Facts::default();
    for member in KEYS {
        let Ok(Some(text)) = input.text(member) else {
            continue;
        };
        let arn = match (KeyIdentifier::parse(&text), context.principal.account()) {
            (Ok(KeyIdentifier::Arn(arn)), _) => arn,
            (Ok(KeyIdentifier::Id(id)), Some(account)) => KeyArn {
                region: context.region.clone(),
                account,
                id,
            },
            (
                Ok(KeyIdentifier::Id(_) | KeyIdentifier::Alias(_) | KeyIdentifier::AliasArn(_))
                | Err(_),
                _,
            ) => continue,
        };
        facts.key(&arn);
    }
    facts
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
