//! The identities of a store, opened: by the server, and by commands while no server runs.

use std::sync::Arc;

use strongroom_audit::AuditLog;
use strongroom_iam::{IamService, IamServicePorts, Identities, PrimaryAccount};
use strongroom_policy::Authorizer;

use crate::account::{Account, Accounts, RootKey};
use crate::failure::{Exit, Failure};

/// Reads all identities.
///
/// # Errors
///
/// [`Exit::Store`]: nothing may be decided without knowing them.
pub(crate) fn open(accounts: &Accounts, account: &Account) -> Result<Arc<Identities>, Failure> {
    let primary = PrimaryAccount {
        id: account.id,
        canonical_id: account.canonical_id.clone(),
    };
    let opened = Identities::open(accounts.sealed_rows(), &primary, accounts.clock.now());
    let identities = opened.map(Arc::new).map_err(|error| {
        Failure::new(
            Exit::Store,
            format!("the identities of the store cannot be read: {error}"),
            "look at the disk; then start again",
        )
    })?;
    show_root_keys(&identities, &accounts.root_keys()?);
    Ok(identities)
}

/// Shows the root user its keys when it lists them.
pub(crate) fn show_root_keys(identities: &Identities, keys: &[RootKey]) {
    identities.show_root_keys(keys.iter().map(|key| (key.id.clone(), key.created)));
}

/// The service that changes them.
pub(crate) fn service(
    accounts: &Accounts,
    audit: AuditLog,
    identities: Arc<Identities>,
    authorizer: Arc<dyn Authorizer>,
) -> IamService {
    let ports = IamServicePorts {
        rows: accounts.sealed_rows(),
        authorizer,
        audit,
        clock: accounts.clock.clone(),
        entropy: accounts.entropy.clone(),
    };
    IamService::new(ports, identities)
}
