//! The table of operations.

use strongroom_kms::{KeyService, KmsError};
use strongroom_types::RequestContext;
use strongroom_types::kms::KeyArn;

use super::{
    handle_aliases, handle_asymmetric, handle_crypto, handle_grants, handle_import, handle_keys,
    handle_policies, handle_rotation, shapes,
};
use crate::json::{ErrorAnswer, Input, JsonService, Operation, Outcome, Run, unsupported};
use crate::recording::{Named, Recorded};
use crate::sigv4::Service;
use strongroom_audit::Params;

impl JsonService for KeyService {
    const SERVICE: Service = Service::Kms;
    const TARGET_PREFIXES: &'static [&'static str] = &["TrentService."];

    fn operation(name: &str) -> Option<&'static Operation<Self>> {
        all().find(|operation| operation.name == name)
    }

    fn resident(&self) -> Option<&Self> {
        Some(Self::resident(self))
    }

    fn broken() -> ErrorAnswer {
        super::error::answer(&KmsError::Unavailable)
    }

    fn throttled() -> ErrorAnswer {
        super::error::answer(&KmsError::Contention)
    }

    fn unrecorded() -> ErrorAnswer {
        super::error::answer(&KmsError::Damaged)
    }

    fn named(context: &RequestContext, input: &Input) -> Named {
        super::records::named(context, input)
    }

    fn key_of_alias(
        &self,
        context: &RequestContext,
        operation: &'static str,
        alias: &str,
    ) -> Option<KeyArn> {
        self.key_of_own_alias(context, operation, alias)
    }

    fn parameters(operation: &'static str, input: &Input) -> Params {
        super::records::parameters(operation, input)
    }
}

/// Every operation that AWS has.
pub(super) fn all() -> impl Iterator<Item = &'static Operation<KeyService>> {
    SUPPORTED.iter().chain(UNSUPPORTED)
}

/// Rows: the name, the IAM action where it has another name, `worker`, `slow` or `memory` first, members, handler,
/// and `in transaction` where the service records its successes.
macro_rules! operations {
    ($($name:ident $(($action:literal))? $place:ident $members:ident $module:ident::$handler:ident $(, in $transaction:ident)?;)+) => {
        /// All operations that are supported.
        const SUPPORTED: &[Operation<KeyService>] = &[$(
            Operation {
                name: stringify!($name),
                action: operations!(@action $name $($action)?),
                members: shapes::$members,
                recorded: operations!(@recorded $($transaction)?),
                run: operations!(@$place $module::$handler),
            },
        )+];
    };
    (@recorded) => { Recorded::AtEdge };
    (@recorded transaction) => { Recorded::InTransaction };
    (@action $name:ident) => { concat!("kms:", stringify!($name)) };
    (@action $name:ident $action:literal) => { concat!("kms:", $action) };
    (@worker $handler:path) => { Run::Worker($handler) };
    (@memory $handler:path) => { Run::MemoryFirst($handler) };
    (@slow $handler:path) => { Run::Slow($handler, makes_rsa_key) };
}

operations! {
    CreateKey slow CREATE_KEY handle_keys::create_key, in transaction;
    DescribeKey worker DESCRIBE_KEY handle_keys::describe_key;
    ListKeys worker LIST_KEYS handle_keys::list_keys;
    EnableKey worker ENABLE_KEY handle_keys::enable_key, in transaction;
    DisableKey worker DISABLE_KEY handle_keys::disable_key, in transaction;
    UpdateKeyDescription worker UPDATE_KEY_DESCRIPTION handle_keys::update_key_description, in transaction;
    ScheduleKeyDeletion worker SCHEDULE_KEY_DELETION handle_keys::schedule_key_deletion, in transaction;
    CancelKeyDeletion worker CANCEL_KEY_DELETION handle_keys::cancel_key_deletion, in transaction;
    GetKeyLastUsage worker GET_KEY_LAST_USAGE handle_keys::get_key_last_usage;
    CreateAlias worker CREATE_ALIAS handle_aliases::create_alias, in transaction;
    UpdateAlias worker UPDATE_ALIAS handle_aliases::update_alias, in transaction;
    DeleteAlias worker DELETE_ALIAS handle_aliases::delete_alias, in transaction;
    ListAliases worker LIST_ALIASES handle_aliases::list_aliases;
    PutKeyPolicy worker PUT_KEY_POLICY handle_policies::put_key_policy, in transaction;
    GetKeyPolicy worker GET_KEY_POLICY handle_policies::get_key_policy;
    ListKeyPolicies worker LIST_KEY_POLICIES handle_policies::list_key_policies;
    TagResource worker TAG_RESOURCE handle_policies::tag_resource, in transaction;
    UntagResource worker UNTAG_RESOURCE handle_policies::untag_resource, in transaction;
    ListResourceTags worker LIST_RESOURCE_TAGS handle_policies::list_resource_tags;
    Encrypt memory ENCRYPT handle_crypto::encrypt;
    Decrypt memory DECRYPT handle_crypto::decrypt;
    ReEncrypt ("ReEncryptFrom") memory RE_ENCRYPT handle_crypto::re_encrypt;
    GenerateDataKey memory GENERATE_DATA_KEY handle_crypto::generate_data_key;
    GenerateDataKeyWithoutPlaintext memory GENERATE_DATA_KEY_WITHOUT_PLAINTEXT handle_crypto::generate_data_key_without_plaintext;
    GenerateDataKeyPair slow GENERATE_DATA_KEY_PAIR handle_crypto::generate_data_key_pair;
    GenerateDataKeyPairWithoutPlaintext slow GENERATE_DATA_KEY_PAIR_WITHOUT_PLAINTEXT handle_crypto::generate_data_key_pair_without_plaintext;
    GenerateRandom memory GENERATE_RANDOM handle_crypto::generate_random;
    Sign worker SIGN handle_asymmetric::sign;
    Verify worker VERIFY handle_asymmetric::verify;
    GetPublicKey worker GET_PUBLIC_KEY handle_asymmetric::get_public_key;
    GenerateMac worker GENERATE_MAC handle_asymmetric::generate_mac;
    VerifyMac worker VERIFY_MAC handle_asymmetric::verify_mac;
    DeriveSharedSecret worker DERIVE_SHARED_SECRET handle_asymmetric::derive_shared_secret;
    EnableKeyRotation worker ENABLE_KEY_ROTATION handle_rotation::enable_key_rotation, in transaction;
    DisableKeyRotation worker DISABLE_KEY_ROTATION handle_rotation::disable_key_rotation, in transaction;
    GetKeyRotationStatus worker GET_KEY_ROTATION_STATUS handle_rotation::get_key_rotation_status;
    RotateKeyOnDemand worker ROTATE_KEY_ON_DEMAND handle_rotation::rotate_key_on_demand, in transaction;
    ListKeyRotations worker LIST_KEY_ROTATIONS handle_rotation::list_key_rotations;
    GetParametersForImport slow GET_PARAMETERS_FOR_IMPORT handle_import::get_parameters_for_import;
    ImportKeyMaterial worker IMPORT_KEY_MATERIAL handle_import::import_key_material, in transaction;
    DeleteImportedKeyMaterial worker DELETE_IMPORTED_KEY_MATERIAL handle_import::delete_imported_key_material, in transaction;
    CreateGrant worker CREATE_GRANT handle_grants::create_grant, in transaction;
    ListGrants worker LIST_GRANTS handle_grants::list_grants;
    ListRetirableGrants worker LIST_RETIRABLE_GRANTS handle_grants::list_retirable_grants;
    RetireGrant worker RETIRE_GRANT handle_grants::retire_grant, in transaction;
    RevokeGrant worker REVOKE_GRANT handle_grants::revoke_grant, in transaction;
}

/// Whether an input asks for an RSA key pair: of a key, as data or to wrap with.
fn makes_rsa_key(input: &Input) -> bool {
    [
        "KeySpec",
        "CustomerMasterKeySpec",
        "KeyPairSpec",
        "WrappingKeySpec",
    ]
    .iter()
    .any(|member| {
        let spec = input.text(member);
        matches!(spec, Ok(Some(spec)) if spec.starts_with("RSA"))
    })
}

/// Operations that AWS has and this server has not: keys in other Regions and custom key stores.
const UNSUPPORTED: &[Operation<KeyService>] = unsupported!["kms:", refuse;
    ReplicateKey
    UpdatePrimaryRegion
    CreateCustomKeyStore
    DescribeCustomKeyStores
    UpdateCustomKeyStore
    DeleteCustomKeyStore
    ConnectCustomKeyStore
    DisconnectCustomKeyStore
];

fn refuse(_: &KeyService, _: &RequestContext, _: &Input) -> Outcome {
    Err(super::error::unsupported(
        "This server has no keys in other Regions and no custom key stores.",
    )
    .into())
}
