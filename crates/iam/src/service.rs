//! The writing half: how an operation is admitted, and how a change is made durable.

use std::sync::Arc;

use strongroom_audit::{AuditLog, Event, EventBuilder};
use strongroom_policy::{AccessRequest, Authorizer, Conditions, Resource};
use strongroom_ports::{Clock, CommitError, Entropy, RowVersion, Transaction};
use strongroom_rows::SealedRows;
use strongroom_types::{AccountId, RequestContext, SessionKind, Timestamp};

use crate::directory::{self, Account};
use crate::elements::{self, Elements};
use crate::records::{AccountRow, Entity as _};
use crate::{IamError, Identities, IssuerKeys, NoIssuerKeys};
use strongroom_rows::until_undisturbed;

/// What the service stands on.
#[derive(Clone)]
pub struct IamServicePorts {
    /// Metadata.
    pub rows: SealedRows,
    /// Decisions.
    pub authorizer: Arc<dyn Authorizer>,
    /// The trail.
    pub audit: AuditLog,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// IAM and STS. All methods take `&self` and block: call them from a worker.
pub struct IamService {
    pub(crate) ports: IamServicePorts,
    pub(crate) identities: Arc<Identities>,
    pub(crate) issuer_keys: Arc<dyn IssuerKeys>,
}

/// Who asked for what, for the decision and for the trail.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub caller: &'a RequestContext,
    /// The IAM action, such as `iam:CreateUser`.
    pub action: &'static str,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(caller: &'a RequestContext, action: &'static str) -> Self {
        Self { caller, action }
    }

    /// The record of the call, so far.
    pub(crate) fn event(self) -> EventBuilder<'a> {
        let (service, name) = self.action.split_once(':').unwrap_or(("iam", self.action));
        let source = match service {
            "sts" => "sts.amazonaws.com",
            _ => "iam.amazonaws.com",
        };
        EventBuilder::of(self.caller, source, name)
    }
}

impl IamService {
    /// A service on its ports.
    pub fn new(ports: IamServicePorts, identities: Arc<Identities>) -> Self {
        Self {
            ports,
            identities,
            issuer_keys: Arc::new(NoIssuerKeys),
        }
    }

    /// Takes tokens of issuers whose keys are found there; without it, of none.
    #[must_use]
    pub fn with_issuer_keys(mut self, issuer_keys: Arc<dyn IssuerKeys>) -> Self {
        self.issuer_keys = issuer_keys;
        self
    }

    /// The identities that it changes.
    pub fn identities(&self) -> &Arc<Identities> {
        &self.identities
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    pub(crate) fn now_millis(&self) -> u64 {
        self.now().as_millis()
    }

    /// The caller's account, as it is.
    ///
    /// # Errors
    ///
    /// [`IamError::AccessDenied`] for callers without one.
    pub(crate) fn account(&self, asked: Asked<'_>) -> Result<Arc<Account>, IamError> {
        let found = match asked.caller.principal.account() {
            Some(id) => self.identities.account(id)?,
            None => None,
        };
        found.ok_or_else(|| IamError::AccessDenied("Access Denied".to_owned()))
    }

    /// Asks whether the caller may, with the request's own condition keys.
    ///
    /// # Errors
    ///
    /// [`IamError::AccessDenied`], which whoever answers the call records.
    pub(crate) fn authorize(
        &self,
        asked: Asked<'_>,
        account: AccountId,
        arn: String,
        conditions: &Conditions,
    ) -> Result<(), IamError> {
        let arn = arn.into();
        self.decide(
            asked,
            &Resource::Identity { account, arn },
            conditions,
            None,
        )
    }

    /// As [`IamService::authorize`], for the role that is to be assumed: its trust policy must consent.
    pub(crate) fn authorize_trust(
        &self,
        asked: Asked<'_>,
        account: AccountId,
        arn: &str,
        conditions: &Conditions,
        trust: &str,
    ) -> Result<(), IamError> {
        let arn = arn.into();
        let role = Resource::RoleTrust { account, arn };
        self.decide(asked, &role, conditions, Some(trust))
    }

    /// What is said of a role that does not exist: what would be said if it trusted nobody, by its text,
    /// its record and all else that a decision leaves behind.
    pub(crate) fn refuse_missing_role(
        &self,
        asked: Asked<'_>,
        account: AccountId,
        arn: &str,
    ) -> IamError {
        let arn = arn.into();
        let role = Resource::RoleTrust { account, arn };
        match self.decide(asked, &role, &Conditions::default(), None) {
            Err(error) => error,
            Ok(()) => IamError::AccessDenied("Access Denied".to_owned()),
        }
    }

    fn decide(
        &self,
        asked: Asked<'_>,
        resource: &Resource,
        conditions: &Conditions,
        resource_policy: Option<&str>,
    ) -> Result<(), IamError> {
        check_session(asked)?;
        self.ports
            .authorizer
            .decide(&AccessRequest {
                context: asked.caller,
                action: asked.action,
                resource,
                conditions,
                resource_policy,
                grants: None,
                acls: None,
            })
            .map_err(IamError::from)
    }

    /// Changes the caller's account: `change` is given it as it is, decides, and leaves it as it shall
    /// be; again and again until nobody else was faster. It must ask [`IamService::authorize`] itself.
    /// The record of the call is durable with the change.
    ///
    /// # Errors
    ///
    /// What `change` says; then nothing has changed, and nothing is recorded.
    pub(crate) fn change<T: Elements>(
        &self,
        asked: Asked<'_>,
        change: impl Fn(&mut Account) -> Result<T, IamError>,
    ) -> Result<T, IamError> {
        let find = || self.account(asked);
        let event = |outcome: &T| {
            let mut event = asked.event().response(&outcome.elements());
            let owner = asked.caller.principal.account();
            if let Some((kind, arn)) = outcome.made() {
                event = event.resource(kind, arn, owner);
            } else if let Ok(account) = self.account(asked) {
                // As it was before: what is deleted has its ARN there.
                for (kind, arn) in elements::named(&account, asked.caller) {
                    event = event.resource(kind, &arn, owner);
                }
            }
            self.ports.audit.finish(event)
        };
        self.change_of(find, event, change)
    }

    /// Changes the account that `find` finds, as [`IamService::change`] does, with that record of it.
    ///
    /// # Errors
    ///
    /// What `find` and `change` say; then nothing has changed.
    pub(crate) fn change_of<T>(
        &self,
        find: impl Fn() -> Result<Arc<Account>, IamError>,
        event: impl Fn(&T) -> Event,
        change: impl Fn(&mut Account) -> Result<T, IamError>,
    ) -> Result<T, IamError> {
        let _alone = self.identities.writer.lock();
        until_undisturbed(|| {
            if self.identities.current().is_err() {
                // After a failure that could not even be looked into: perhaps now.
                self.identities.reload()?;
            }
            let directory = self.identities.current()?;
            let old = find()?;
            let mut new = Account::clone(&old);
            let outcome = change(&mut new)?;
            let sequence = self.commit(&old, &mut new, &event(&outcome))?;
            new.version = Some(sequence);
            self.identities.replace(directory.with(new));
            Ok(outcome)
        })
    }

    /// Commits what differs between `old` and `new`. The account's own row is written each time, and
    /// must be the one that was read: so changes of one account are one after the other.
    pub(crate) fn commit(
        &self,
        old: &Account,
        new: &mut Account,
        event: &Event,
    ) -> Result<RowVersion, IamError> {
        new.row.generation = new.row.generation.saturating_add(1);
        let rows = &self.ports.rows;
        let key = directory::row_key(new.id, &new.row.id());
        let transaction = Transaction::new().expect(AccountRow::TABLE, key, old.version);
        let transaction = directory::put(rows, transaction, new.id, &new.row)?;
        let transaction = directory::changes(rows, transaction, old, new)?;
        let transaction = self.ports.audit.add(transaction, event);
        match rows.meta.commit(transaction).wait() {
            Ok(committed) => Ok(RowVersion(committed.sequence.0)),
            Err(error) => {
                if matches!(error, CommitError::TooLarge) {
                    return Err(IamError::LimitExceeded(
                        "The change is too large.".to_owned(),
                    ));
                }
                // Somebody else was faster, or the outcome is unknown: only the store knows.
                self.identities.reload()?;
                Err(error.into())
            }
        }
    }
}

/// What sessions may not do, whatever policies say (STS API Reference, "Compare AWS STS credentials"):
/// those of GetSessionToken without MFA and of GetFederationToken cannot call IAM, and of STS only
/// AssumeRole (the first) and GetCallerIdentity (both).
fn check_session(asked: Asked<'_>) -> Result<(), IamError> {
    let Asked { caller, action } = asked;
    let Some(session) = &caller.session else {
        return Ok(());
    };
    let is_iam = action.starts_with("iam:");
    match session.kind {
        SessionKind::Token | SessionKind::Federated { .. } if is_iam => {
            Err(IamError::InvalidClientTokenId)
        }
        SessionKind::Token if action == "sts:AssumeRole" => Ok(()),
        SessionKind::Token | SessionKind::Federated { .. } => Err(IamError::AccessDenied(format!(
            "Cannot call {} with session credentials",
            action.split_once(':').map_or(action, |(_, name)| name)
        ))),
        SessionKind::Role | SessionKind::WebIdentity => Ok(()),
    }
}
