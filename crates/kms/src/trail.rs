//! What the trail is told: who changed what, in the transaction of the change; each use of a key for
//! another service; and what this service does by itself.
//!
//! Names and shapes are those of the KMS Developer Guide, "Examples of AWS KMS log entries". Texts of
//! callers are recorded as they were sent; plaintexts, ciphertexts, tokens and material never are.
//! Calls that come by HTTP and change nothing are recorded at the edge.

use strongroom_audit::{Event, EventBuilder, EventId, Params};
use strongroom_ports::{KeyError, UseRecord};
use strongroom_types::kms::{
    AliasArn, ExpirationModel, KeyAgreementAlgorithm, KeyArn, KeyMaterialId, KeyState, KeyUsage,
};
use strongroom_types::{AccountId, RequestContext};

use crate::operation::Operation;
use crate::{KeyMetadata, KeyService, KmsError, Tag};

const SOURCE: &str = "kms.amazonaws.com";
const KEY: &str = "AWS::KMS::Key";
const ALIAS: &str = "AWS::KMS::Alias";

/// A call that changes something, as its record tells it.
#[derive(Clone, Debug)]
pub(crate) struct Asked<'a> {
    caller: &'a RequestContext,
    name: &'static str,
    params: Params,
    response: Params,
    additional: Params,
    key: KeyArn,
    alias: Option<AliasArn>,
}

impl<'a> Asked<'a> {
    /// A change of a key. What is answered is nothing, of which the record says the key, so that it
    /// is found by it.
    pub(crate) fn of(
        caller: &'a RequestContext,
        operation: Operation,
        key: &KeyArn,
        params: Params,
    ) -> Self {
        Self::named(caller, operation.called(), key, params)
    }

    /// As [`Asked::of`], of an operation that has no key before.
    pub(crate) fn named(
        caller: &'a RequestContext,
        name: &'static str,
        key: &KeyArn,
        params: Params,
    ) -> Self {
        Self {
            caller,
            name,
            params,
            response: Params::new().shown("keyId", key),
            additional: Params::new(),
            key: key.clone(),
            alias: None,
        }
    }

    /// What is answered, without its secrets.
    #[must_use]
    pub(crate) fn answering(mut self, response: Params) -> Self {
        self.response = response;
        self
    }

    /// What else is known of the call.
    #[must_use]
    pub(crate) fn knowing(mut self, additional: Params) -> Self {
        self.additional = additional;
        self
    }

    /// The change is one of an alias.
    #[must_use]
    pub(crate) fn alias(mut self, alias: &AliasArn) -> Self {
        self.alias = Some(alias.clone());
        self.response = Params::new();
        self
    }
}

/// A use of a key for another service, as its record tells it.
pub(crate) struct Use<'a> {
    pub caller: &'a RequestContext,
    pub operation: Operation,
    pub params: Params,
    /// The key, as far as it is known and may be told to the caller.
    pub key: Option<KeyArn>,
    pub material: Option<KeyMaterialId>,
}

impl KeyService {
    /// The records of a change: one, and one more for the owner of a key of another account.
    pub(crate) fn told(&self, asked: &Asked<'_>) -> Vec<Event> {
        let Asked {
            caller,
            name,
            params,
            response,
            additional,
            key,
            alias,
        } = asked;
        let mut event = EventBuilder::of(caller, SOURCE, name)
            .params(params)
            .response(response)
            .additional(additional.clone())
            .read_only(false)
            .resource(KEY, &key.to_string(), Some(key.account));
        if let Some(alias) = alias {
            event = event.resource(ALIAS, &alias.to_string(), Some(alias.account));
        }
        self.in_both_accounts(caller, &event, key.account)
    }

    /// Records a call that was to change something, and found it changed already.
    ///
    /// # Errors
    ///
    /// [`KmsError::Unavailable`]: the call must not be answered.
    pub(crate) fn note(&self, asked: &Asked<'_>) -> Result<(), KmsError> {
        self.ports.audit.append(&self.told(asked)).wait()?;
        Ok(())
    }

    /// The record of something that the service does by itself to a key.
    pub(crate) fn by_itself(&self, name: &'static str, key: &KeyArn) -> Event {
        let event = EventBuilder::by_service(key.account, SOURCE, name)
            .service_details(&Params::new().shown("keyId", &key.id))
            .resource(KEY, &key.to_string(), Some(key.account));
        self.ports.audit.finish(event)
    }

    /// The record of a use that succeeded, for who asked for it to make durable.
    pub(crate) fn use_record(&self, used: &Use<'_>) -> UseRecord {
        self.ports.audit.use_record(&self.events_of_use(used, None))
    }

    /// The outcome of a use for another service. The record of a failure is durable then; where only
    /// memory may be asked, it is not made, and the failure not told.
    pub(crate) fn recorded<'a, T>(
        &self,
        used: impl FnOnce() -> Use<'a>,
        outcome: Result<T, KmsError>,
    ) -> Result<T, KeyError> {
        let error = match outcome {
            Ok(done) => return Ok(done),
            Err(_) if self.is_resident() => return Err(KeyError::NotInMemory),
            Err(error) => error,
        };
        if !self.only_asks() {
            let events = self.events_of_use(&used(), Some(&error));
            // Without a record nobody is told anything.
            self.ports.audit.append(&events).wait().map_err(|cause| {
                tracing::error!(%cause, "the refusal of a key cannot be recorded");
                KeyError::Unavailable
            })?;
        }
        Err(error.into())
    }

    fn events_of_use(&self, used: &Use<'_>, failed: Option<&KmsError>) -> Vec<Event> {
        let Use {
            caller,
            operation,
            params,
            key,
            material,
        } = used;
        let mut event = EventBuilder::of(caller, SOURCE, operation.called()).params(params);
        if let Some(material) = material {
            event = event.additional(Params::new().shown("keyMaterialId", material));
        }
        if let Some(key) = key {
            event = event.resource(KEY, &key.to_string(), Some(key.account));
        }
        match (failed, key) {
            // Who was refused is his own account's business alone.
            (Some(error), _) => {
                let event = event.failed(error.code(), &error.to_string());
                vec![self.ports.audit.finish(event)]
            }
            (None, Some(key)) => self.in_both_accounts(caller, &event, key.account),
            (None, None) => vec![self.ports.audit.finish(event)],
        }
    }

    /// The event in the caller's trail, and in that of the key's owner if he is another.
    fn in_both_accounts(
        &self,
        caller: &RequestContext,
        event: &EventBuilder<'_>,
        owner: AccountId,
    ) -> Vec<Event> {
        let audit = &self.ports.audit;
        let finish = |event| audit.finish(event);
        match caller.principal.account() {
            Some(account) if account != owner => {
                let shared = Some(EventId::new(audit.now(), &*self.ports.entropy));
                [account, owner]
                    .map(|recipient| finish(event.clone().recipient(recipient, shared)))
                    .into()
            }
            Some(_) => vec![finish(event.clone())],
            // A service by itself, or nobody: whose key it is, is who hears of it.
            None => vec![finish(event.clone().recipient(owner, None))],
        }
    }
}

/// The one parameter of many operations.
pub(crate) fn key_id(key_id: &str) -> Params {
    Params::new().text("keyId", key_id)
}

/// Tags, in records.
pub(crate) fn tags(params: Params, tags: &[Tag]) -> Params {
    let tags: Vec<Params> = tags
        .iter()
        .map(|tag| {
            Params::new()
                .text("tagKey", &tag.key)
                .text("tagValue", &tag.value)
        })
        .collect();
    params.objects("tags", &tags)
}

/// A key's metadata, in records.
pub(crate) fn key_metadata(key: &KeyMetadata) -> Params {
    let KeyMetadata {
        arn,
        creation_date,
        description,
        key_usage,
        key_state,
        deletion_date,
        origin,
        key_manager,
        key_spec,
        expiration_model,
        valid_to,
        current_key_material_id,
    } = key;
    let mut shown = Params::new()
        .shown("aWSAccountId", &arn.account)
        .shown("keyId", &arn.id)
        .shown("arn", arn)
        .time("creationDate", *creation_date)
        .flag("enabled", *key_state == KeyState::Enabled)
        .text("description", description)
        .text("keyUsage", key_usage.name())
        .text("keyState", key_state.name());
    if let Some(date) = deletion_date {
        shown = shown.time("deletionDate", *date);
    }
    if let Some(date) = valid_to {
        shown = shown.time("validTo", *date);
    }
    shown = shown
        .text("origin", origin.name())
        .optional(
            "expirationModel",
            expiration_model.map(ExpirationModel::name),
        )
        .text("keyManager", key_manager.name())
        .text("customerMasterKeySpec", key_spec.name())
        .text("keySpec", key_spec.name());
    shown = match key_usage {
        KeyUsage::EncryptDecrypt => shown.list(
            "encryptionAlgorithms",
            key_spec.encryption_algorithms().iter().map(|it| it.name()),
        ),
        KeyUsage::SignVerify => shown.list(
            "signingAlgorithms",
            key_spec.signing_algorithms().iter().map(|it| it.name()),
        ),
        KeyUsage::GenerateVerifyMac => shown.list(
            "macAlgorithms",
            key_spec.mac_algorithm().iter().map(|it| it.name()),
        ),
        KeyUsage::KeyAgreement => shown.list(
            "keyAgreementAlgorithms",
            KeyAgreementAlgorithm::ALL.iter().map(|it| it.name()),
        ),
    };
    shown = shown.flag("multiRegion", false);
    let material = current_key_material_id.as_ref().map(ToString::to_string);
    let shown = shown.optional("currentKeyMaterialId", material.as_deref());
    Params::new().object("keyMetadata", &shown)
}
