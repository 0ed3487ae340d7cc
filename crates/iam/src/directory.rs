//! All identities, in memory: what a change starts from and what authentication looks things up in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use strongroom_ports::{RowVersion, Table, Transaction, VALUE_MAX_BYTES};
use strongroom_rows::{Record, SealedRows};
use strongroom_types::{AccessKeyId, AccountId, CanonicalId, Principal};
use zeroize::Zeroizing;

use crate::names::{self, folded};
use crate::records::{
    AccessKey, AccountRow, Entity, Group, KeyUse, OidcProvider, Policy, PolicyVersion, Role, User,
};
use crate::{Document, IamError, Signer, aws_managed};

/// Rows of one table read at a time.
const SCAN_ROWS: usize = 1000;

/// An account and everything in it. Names are keys in lower case: they are unique without regard to
/// case. A value is replaced, never changed, so that what changed is what is another `Arc`.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub id: AccountId,
    pub canonical_id: CanonicalId,
    pub row: AccountRow,
    pub version: Option<RowVersion>,
    pub users: BTreeMap<String, Arc<User>>,
    pub groups: BTreeMap<String, Arc<Group>>,
    pub roles: BTreeMap<String, Arc<Role>>,
    /// By name alone: two policies of one name may not differ in their path only.
    pub policies: BTreeMap<String, Arc<Policy>>,
    pub policy_versions: BTreeMap<(String, u32), Arc<PolicyVersion>>,
    pub access_keys: BTreeMap<String, Arc<AccessKey>>,
    /// By URL without `https://`.
    pub oidc_providers: BTreeMap<String, Arc<OidcProvider>>,
}

/// All accounts, and who signs with which key.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub accounts: BTreeMap<AccountId, Arc<Account>>,
    pub signers: HashMap<AccessKeyId, Arc<Signer>>,
}

impl Account {
    /// An account without anything in it.
    pub(crate) fn new(id: AccountId, canonical_id: CanonicalId, row: AccountRow) -> Self {
        Self {
            id,
            canonical_id,
            row,
            version: None,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            roles: BTreeMap::new(),
            policies: BTreeMap::new(),
            policy_versions: BTreeMap::new(),
            access_keys: BTreeMap::new(),
            oidc_providers: BTreeMap::new(),
        }
    }

    pub(crate) fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(&folded(name))
    }

    pub(crate) fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(&folded(name))
    }

    pub(crate) fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.get(&folded(name))
    }

    pub(crate) fn user_by_id(&self, id: &str) -> Option<&Arc<User>> {
        self.users.values().find(|user| user.id == id)
    }

    pub(crate) fn role_by_id(&self, id: &str) -> Option<&Arc<Role>> {
        self.roles.values().find(|role| role.id == id)
    }

    /// Whether the operator lets nobody of it sign in.
    pub(crate) fn is_disabled(&self) -> bool {
        self.row.disabled_millis.is_some()
    }

    /// The user's groups.
    pub(crate) fn groups_of(&self, user: &User) -> impl Iterator<Item = &Arc<Group>> {
        self.groups
            .values()
            .filter(|group| user.groups.contains(&group.id))
    }

    pub(crate) fn user_arn(&self, user: &User) -> String {
        names::arn(self.id, "user", &user.path, &user.name)
    }

    pub(crate) fn group_arn(&self, group: &Group) -> String {
        names::arn(self.id, "group", &group.path, &group.name)
    }

    pub(crate) fn role_arn(&self, role: &Role) -> String {
        names::arn(self.id, "role", &role.path, &role.name)
    }

    pub(crate) fn policy_arn(&self, policy: &Policy) -> String {
        names::arn(self.id, "policy", &policy.path, &policy.name)
    }

    pub(crate) fn oidc_provider_arn(&self, url: &str) -> String {
        names::arn(self.id, "oidc-provider", "/", url)
    }

    /// The managed policy of this account that has the ARN.
    pub(crate) fn policy(&self, arn: &str) -> Option<&Arc<Policy>> {
        let name = arn.rsplit('/').next()?;
        self.policies
            .get(&folded(name))
            .filter(|policy| self.policy_arn(policy) == arn)
    }

    pub(crate) fn policy_version(
        &self,
        policy: &Policy,
        number: u32,
    ) -> Option<&Arc<PolicyVersion>> {
        self.policy_versions.get(&(policy.id.clone(), number))
    }

    pub(crate) fn versions_of(&self, policy: &Policy) -> impl Iterator<Item = &Arc<PolicyVersion>> {
        let id = policy.id.clone();
        self.policy_versions
            .range((id.clone(), 0)..=(id, u32::MAX))
            .map(|(_, version)| version)
    }

    /// What the managed policy of that ARN says: one of the account's, or one of AWS's.
    pub(crate) fn managed_document(&self, arn: &str) -> Option<Document> {
        if let Some(policy) = aws_managed::find(arn) {
            return Some(policy.document.clone());
        }
        let policy = self.policy(arn)?;
        let version = self.policy_version(policy, policy.default_version)?;
        Some(version.document.clone())
    }

    /// How many identities the policy of that ARN is attached to, and how many it bounds.
    pub(crate) fn uses_of(&self, arn: &str) -> (usize, usize) {
        let held = |policies: &[String]| policies.iter().any(|it| it == arn);
        let users = self.users.values();
        let roles = self.roles.values();
        let attached = users
            .clone()
            .filter(|it| held(&it.policies.attached))
            .count()
            + roles
                .clone()
                .filter(|it| held(&it.policies.attached))
                .count()
            + self
                .groups
                .values()
                .filter(|it| held(&it.policies.attached))
                .count();
        let bounds = users
            .filter(|it| it.boundary.as_deref() == Some(arn))
            .count()
            + roles
                .filter(|it| it.boundary.as_deref() == Some(arn))
                .count();
        (attached, bounds)
    }

    /// Replaces a user.
    pub(crate) fn put_user(&mut self, user: User) {
        self.users.insert(folded(&user.name), Arc::new(user));
    }

    /// Replaces a group.
    pub(crate) fn put_group(&mut self, group: Group) {
        self.groups.insert(folded(&group.name), Arc::new(group));
    }

    /// Replaces a role.
    pub(crate) fn put_role(&mut self, role: Role) {
        self.roles.insert(folded(&role.name), Arc::new(role));
    }

    /// Replaces a provider.
    pub(crate) fn put_oidc_provider(&mut self, provider: OidcProvider) {
        self.oidc_providers
            .insert(provider.url.clone(), Arc::new(provider));
    }

    /// Replaces a managed policy.
    pub(crate) fn put_policy(&mut self, policy: Policy) {
        self.policies.insert(folded(&policy.name), Arc::new(policy));
    }

    fn signers(&self) -> impl Iterator<Item = Signer> {
        let users: HashMap<&str, &Arc<User>> = self
            .users
            .values()
            .map(|user| (user.id.as_str(), user))
            .collect();
        self.access_keys
            .values()
            .filter(|key| key.active && !self.is_disabled())
            .filter_map(move |key| {
                let principal = if key.user_id.is_empty() {
                    Principal::Root { account: self.id }
                } else {
                    self.user_principal(users.get(key.user_id.as_str())?)
                };
                Some(Signer {
                    access_key_id: AccessKeyId::parse(&key.id).ok()?,
                    secret: key.secret.clone(),
                    principal,
                    canonical_id: self.canonical_id.clone(),
                })
            })
    }

    /// The user as the one who asks.
    pub(crate) fn user_principal(&self, user: &User) -> Principal {
        let path = user.path.trim_start_matches('/');
        Principal::User {
            account: self.id,
            user_id: user.id.as_str().into(),
            path_and_name: format!("{path}{}", user.name).into(),
        }
    }
}

impl Directory {
    /// This directory with `account` in place of what was there. Signers that did not change stay
    /// the same `Arc`, as signing keys are cached by it.
    pub(crate) fn with(&self, account: Account) -> Self {
        let mut accounts = self.accounts.clone();
        accounts.insert(account.id, Arc::new(account));
        Self::of(accounts, &self.signers)
    }

    fn of(
        accounts: BTreeMap<AccountId, Arc<Account>>,
        before: &HashMap<AccessKeyId, Arc<Signer>>,
    ) -> Self {
        let signers = accounts
            .values()
            .flat_map(|account| account.signers())
            .map(|signer| {
                let same = before
                    .get(&signer.access_key_id)
                    .filter(|it| ***it == signer)
                    .cloned();
                (
                    signer.access_key_id.clone(),
                    same.unwrap_or_else(|| Arc::new(signer)),
                )
            })
            .collect();
        Self { accounts, signers }
    }

    /// Reads everything. Blocks.
    ///
    /// # Errors
    ///
    /// [`IamError`]: a row that does not verify is no row that is missing.
    pub(crate) fn load(rows: &SealedRows, before: &Self) -> Result<Self, IamError> {
        let mut accounts = BTreeMap::new();
        scan(rows, |id, _, row: AccountRow, version| {
            let canonical_id =
                CanonicalId::parse(&row.canonical_id).map_err(|_| IamError::Damaged)?;
            let mut account = Account::new(id, canonical_id, row);
            account.version = Some(version);
            accounts.insert(id, account);
            Ok(())
        })?;
        macro_rules! fill {
            ($type:ident, |$account:ident, $row:ident| $insert:expr) => {
                scan(rows, |id, key, row: $type, _| {
                    if row.id() != key {
                        return Err(IamError::Damaged);
                    }
                    let $account = accounts.get_mut(&id).ok_or(IamError::Damaged)?;
                    let $row = row;
                    $insert;
                    Ok(())
                })?;
            };
        }
        fill!(User, |account, row| account.put_user(row));
        fill!(Group, |account, row| account.put_group(row));
        fill!(Role, |account, row| account.put_role(row));
        fill!(Policy, |account, row| account.put_policy(row));
        fill!(PolicyVersion, |account, row| account
            .policy_versions
            .insert((row.policy_id.clone(), row.number), Arc::new(row)));
        fill!(AccessKey, |account, row| account
            .access_keys
            .insert(row.id.clone(), Arc::new(row)));
        fill!(OidcProvider, |account, row| account.put_oidc_provider(row));
        let accounts = accounts
            .into_iter()
            .map(|(id, account)| (id, Arc::new(account)))
            .collect();
        Ok(Self::of(accounts, &before.signers))
    }
}

/// When keys were last used, as stored.
pub(crate) fn load_uses(
    rows: &SealedRows,
) -> Result<HashMap<String, (AccountId, KeyUse)>, IamError> {
    let mut uses = HashMap::new();
    scan(rows, |account, _, row: KeyUse, _| {
        uses.insert(row.key.clone(), (account, row));
        Ok(())
    })?;
    Ok(uses)
}

/// The writes that make `old` into `new`: what is another `Arc`, or is gone.
///
/// # Errors
///
/// [`IamError::LimitExceeded`] if a record is too long for a row.
pub(crate) fn changes(
    rows: &SealedRows,
    mut transaction: Transaction,
    old: &Account,
    new: &Account,
) -> Result<Transaction, IamError> {
    transaction = diff(rows, transaction, new.id, &old.users, &new.users)?;
    transaction = diff(rows, transaction, new.id, &old.groups, &new.groups)?;
    transaction = diff(rows, transaction, new.id, &old.roles, &new.roles)?;
    transaction = diff(rows, transaction, new.id, &old.policies, &new.policies)?;
    transaction = diff(
        rows,
        transaction,
        new.id,
        &old.policy_versions,
        &new.policy_versions,
    )?;
    transaction = diff(
        rows,
        transaction,
        new.id,
        &old.access_keys,
        &new.access_keys,
    )?;
    diff(
        rows,
        transaction,
        new.id,
        &old.oidc_providers,
        &new.oidc_providers,
    )
}

fn diff<K: Ord, T: Entity>(
    rows: &SealedRows,
    mut transaction: Transaction,
    account: AccountId,
    old: &BTreeMap<K, Arc<T>>,
    new: &BTreeMap<K, Arc<T>>,
) -> Result<Transaction, IamError> {
    // By id, not by key: a renamed user is the same row.
    let ids = |map: &BTreeMap<K, Arc<T>>| -> BTreeMap<Vec<u8>, Arc<T>> {
        map.values().map(|it| (it.id(), Arc::clone(it))).collect()
    };
    let (old, new) = (ids(old), ids(new));
    for id in old.keys().filter(|id| !new.contains_key(*id)) {
        transaction = transaction.delete(T::TABLE, row_key(account, id));
    }
    for (id, value) in &new {
        if !old.get(id).is_some_and(|it| Arc::ptr_eq(it, value)) {
            transaction = put(rows, transaction, account, &**value)?;
        }
    }
    Ok(transaction)
}

/// Adds the write of a record.
///
/// # Errors
///
/// [`IamError::LimitExceeded`] if it is too long for a row.
pub(crate) fn put<T: Entity>(
    rows: &SealedRows,
    transaction: Transaction,
    account: AccountId,
    record: &T,
) -> Result<Transaction, IamError> {
    let key = row_key(account, &record.id());
    // Records may hold secrets: wiped, with room for most so that growing leaves no copies.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(4096));
    plaintext.extend_from_slice(&[T::KIND, 1]);
    // Writing to a vector cannot fail.
    let _ = minicbor::encode(record, &mut *plaintext);
    let sealer = rows.custody.rows();
    let value = sealer.seal(T::TABLE.0, &key, &plaintext, &*rows.entropy);
    if value.len() > VALUE_MAX_BYTES {
        return Err(IamError::LimitExceeded(
            "Documents, tags and description are too long together.".to_owned(),
        ));
    }
    Ok(transaction.put(T::TABLE, key, value))
}

/// `account id(12 digits) || id`.
pub(crate) fn row_key(account: AccountId, id: &[u8]) -> Bytes {
    [account.as_str().as_bytes(), id].concat().into()
}

fn scan<T: Entity>(
    rows: &SealedRows,
    mut each: impl FnMut(AccountId, Vec<u8>, T, RowVersion) -> Result<(), IamError>,
) -> Result<(), IamError> {
    let mut start = Bytes::new();
    loop {
        let page = rows.meta.scan(&strongroom_ports::Scan {
            table: T::TABLE,
            start: start.clone(),
            end: None,
            limit: SCAN_ROWS,
            reverse: false,
        })?;
        for row in page.rows {
            let opened = rows.custody.rows().open(T::TABLE.0, &row.key, &row.value);
            let record = opened
                .ok()
                .map(Zeroizing::new)
                .and_then(|plaintext| <T as Record>::decode(&plaintext))
                .ok_or_else(|| damaged(T::TABLE))?;
            let (account, id) = row
                .key
                .split_at_checked(12)
                .ok_or_else(|| damaged(T::TABLE))?;
            let account = std::str::from_utf8(account)
                .ok()
                .and_then(|text| AccountId::parse(text).ok())
                .ok_or_else(|| damaged(T::TABLE))?;
            each(account, id.to_vec(), record, row.version)?;
            start = [&row.key[..], &[0]].concat().into();
        }
        if !page.more {
            return Ok(());
        }
    }
}

fn damaged(table: Table) -> IamError {
    tracing::error!(table = table.0, "an identity's row does not verify");
    metrics::counter!("strongroom_integrity_events_total", "what" => "row").increment(1);
    IamError::Damaged
}
