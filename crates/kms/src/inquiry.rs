//! What the operator of the server may know of a key, and the same service on another authorizer, so
//! that decisions can be explained by making them again.

use std::sync::Arc;

use strongroom_policy::{Authorizer, Conditions};
use strongroom_ports::Table;
use strongroom_types::RequestContext;
use strongroom_types::kms::{EncryptionContext, KeyArn, KeyIdentifier, KeyState};

use crate::access::Ask;
use crate::operation::Operation;
use crate::rows::GrantRow;
use crate::{KeyService, KeyServicePorts, KmsError, keys};

/// Grants read at once.
const PAGE_ROWS: usize = 500;

/// A key, for who explains access to it. Nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its state.
    pub state: KeyState,
    /// Its policy as it was put.
    pub policy: String,
    /// Grantees of its grants.
    pub grantees: Vec<String>,
}

/// Actions that are done to no key.
const OF_THE_SERVICE: [&str; 5] = [
    "kms:CreateKey",
    "kms:GenerateRandom",
    "kms:ListAliases",
    "kms:ListKeys",
    "kms:ListRetirableGrants",
];

impl KeyService {
    /// The same keys under another authorizer. Only for asking: what one changes, the other may
    /// remember for longer, and refusals are not recorded.
    #[must_use]
    pub fn with_authorizer(&self, authorizer: Arc<dyn Authorizer>) -> Self {
        let ports = KeyServicePorts {
            authorizer,
            ..self.ports.clone()
        };
        Self::that_only_asks(ports, self.options.clone())
    }

    /// Everything that comes before an operation, and not the operation: existence, permission,
    /// usage and state. `key_id` is what requests have as `KeyId`, or `*` for actions that are done
    /// to no key. Blocks.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as the operation would have it.
    pub fn inquire(
        &self,
        caller: &RequestContext,
        key_id: &str,
        action: &str,
        context: &EncryptionContext,
    ) -> Result<(), KmsError> {
        let of_service = OF_THE_SERVICE
            .iter()
            .find(|it| it.eq_ignore_ascii_case(action));
        if let (Some(action), "*") = (of_service, key_id) {
            return self
                .authorize_service(caller, action, Conditions::default())
                .map(|_| ());
        }
        let unknown = || KmsError::Validation(format!("There is no action {action} on a key."));
        let operation = Operation::of_action(action).ok_or_else(unknown)?;
        if let Ok(KeyIdentifier::AliasArn(alias)) = KeyIdentifier::parse(key_id)
            && matches!(
                operation,
                Operation::CreateAlias | Operation::DeleteAlias | Operation::UpdateAlias
            )
        {
            return self.authorize_alias(caller, operation, &alias);
        }
        let ask = Ask {
            conditions: Conditions::default().with_encryption_context(context),
            ..Ask::plain(operation)
        };
        self.admit(caller, key_id, &ask).map(|_| ())
    }

    /// What is known of a key, for the operator: asks for no authorization. `None` if there is none.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// [`KmsError::Damaged`], [`KmsError::Unavailable`].
    pub fn facts_of(&self, arn: &KeyArn) -> Result<Option<KeyFacts>, KmsError> {
        let Some(opened) = self.opened_key(arn)? else {
            return Ok(None);
        };
        let Some(state) = opened.key.state(self.now()) else {
            return Ok(None);
        };
        let (mut start, end) = keys::grants_of(arn.id);
        let mut grantees = Vec::new();
        loop {
            let (page, more) = self.ports.rows.scan::<GrantRow>(
                Table::KMS_GRANTS,
                (start, end.clone()),
                PAGE_ROWS,
            )?;
            let last = page.last().map(|(row, _)| keys::behind(&row.key));
            grantees.extend(page.into_iter().map(|(_, row)| row.grantee));
            match last {
                Some(next) if more => start = next,
                _ => break,
            }
        }
        Ok(Some(KeyFacts {
            state,
            policy: opened.key.policy.text().to_owned(),
            grantees,
        }))
    }
}
