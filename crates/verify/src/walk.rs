//! Every row, and everything that rows lead to.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use strongroom_crypto::{CUSTOMER_KEY_VERIFIER_LEN_BYTES, WrapMode, WrappedKey};
use strongroom_ports::{MetaStore, Row, Table};
use strongroom_recover::records::{
    self, Account, Blob, Bucket, Current, KmsKey, KmsMaterial, NullVersion, RootKeyWork, Version,
};
use strongroom_types::kms::KeyMaterialId;
use strongroom_types::{BucketUid, VersionId, VersionUid};

use crate::blobs::{self, Ids};
use crate::findings::{Findings, Subject, Whereabouts};
use crate::keys::{Keys, NoKey, parse_material_row};
use crate::pace::Pace;
use crate::pool::{Job, Pool};
use crate::report::{Finding, UnavailableKey};
use crate::rows::{self, Opened, RowFault, Sealer, split_object_row, version_row_key};
use crate::tally::{Tally, add};
use crate::text::hex;

/// Places of wrapped keys that a rotation works through; beyond the last, it is done.
const REWRAP_PLACES: u8 = 4;

/// The kinds of rows in the garbage table.
pub(crate) const GARBAGE_BLOB: u8 = 1;
pub(crate) const GARBAGE_PARTS: u8 = 2;
pub(crate) const GARBAGE_FOOTERS: u8 = 4;

/// Counters of what is not of an object.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) materials: AtomicU64,
    pub(crate) part_lists: AtomicU64,
    /// Of before there were checksums of them.
    pub(crate) unchecked_headers: AtomicU64,
    pub(crate) unchecked_part_lists: AtomicU64,
    /// Of before their names were in their footers and checksums.
    pub(crate) nameless_blobs: AtomicU64,
    /// Blob files by the version of the root key in their footers; counted without keys only.
    pub(crate) root_versions: Mutex<BTreeMap<u32, u64>>,
    pub(crate) orphan_rows: AtomicU64,
    pub(crate) garbage_rows: AtomicU64,
}

/// What rows lead to.
#[derive(Default)]
pub(crate) struct Claims {
    /// Blobs of versions and of uploads in progress.
    pub(crate) blobs: Ids,
    /// Blobs that the collector will remove.
    pub(crate) garbage: Ids,
    /// Shred files of key materials.
    pub(crate) shreds: Ids,
}

/// A pass through the rows; the second one, beside a server, looks at what failed in the first.
pub(crate) struct Walk<'a> {
    pub(crate) meta: &'a dyn MetaStore,
    pub(crate) keys: &'a Keys<'a>,
    pub(crate) sealer: &'a Sealer,
    pub(crate) pace: &'a Pace<'a>,
    /// The directory of `00` to `ff`.
    pub(crate) blobs: &'a Path,
    /// The same as a finding names it.
    pub(crate) blobs_shown: &'a str,
    /// Who helps with long streams; nobody in the second pass.
    pub(crate) pool: Option<(&'a Pool, usize)>,
    pub(crate) findings: Arc<Findings>,
    pub(crate) tally: Tally,
    pub(crate) counters: Counters,
    pub(crate) claims: Claims,
    pub(crate) rows: Mutex<BTreeMap<u8, u64>>,
    pub(crate) unavailable: Mutex<BTreeMap<String, UnavailableKey>>,
    buckets: Mutex<HashMap<[u8; 16], String>>,
    is_rewrapping: AtomicBool,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        keys: &'a Keys<'a>,
        pace: &'a Pace<'a>,
        (blobs, blobs_shown): (&'a Path, &'a str),
        pool: Option<(&'a Pool, usize)>,
        findings: Arc<Findings>,
    ) -> Self {
        let walk = Self {
            meta: keys.meta,
            keys,
            sealer: keys.sealer,
            pace,
            blobs,
            blobs_shown,
            pool,
            findings,
            tally: Tally::default(),
            counters: Counters::default(),
            claims: Claims::default(),
            rows: Mutex::default(),
            unavailable: Mutex::default(),
            buckets: Mutex::default(),
            is_rewrapping: AtomicBool::new(false),
        };
        walk.note_rewrapping();
        walk
    }

    /// Whether wrapped keys of two versions of the root key may stand side by side.
    fn note_rewrapping(&self) {
        let ring = self.keys.ring();
        let work = self
            .sealer
            .read::<RootKeyWork>(self.meta, Table::SETTINGS, b"root-key-work");
        let is_done = match work.map(Opened::record) {
            Ok(Some(work)) => work.place >= REWRAP_PLACES && work.target == ring.active_version(),
            Ok(None) => ring.root_versions().len() == 1,
            Err(_) => true,
        };
        self.is_rewrapping.store(!is_done, Ordering::Relaxed);
    }

    pub(crate) fn is_rewrapping(&self) -> bool {
        self.is_rewrapping.load(Ordering::Relaxed)
    }

    /// All rows of a table, to the workers.
    pub(crate) fn feed(&self, table: Table, pool: &Pool) -> Result<(), RowFault> {
        let mut count = 0;
        let everything = (Bytes::new(), None);
        let fed = rows::each_row(self.meta, table, everything, &mut |row| {
            count += 1;
            pool.add(Job::Row(table.0, row));
            !self.pace.is_cancelled()
        });
        if count > 0 {
            let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            *rows.entry(table.0).or_default() += count;
        }
        if fed == Err(RowFault::Damaged) {
            let why = format!("rows of table {} cannot be read", table.0);
            self.findings
                .add(Subject::Settled, Finding::damage("row", why));
            return Ok(());
        }
        fed
    }

    /// Looks at one row and at everything that it leads to.
    pub(crate) fn row(&self, table: u8, row: &Row) {
        let (key, value) = (&row.key, &row.value);
        match Table(table) {
            Table::VERSIONS => self.version(key, value),
            Table::UPLOADS => self.upload(key, value),
            // A sealed stream, opened with the row that leads to it.
            Table::INLINE => {}
            Table::CURRENT => {
                let sequence = |row: Current| row.sequence;
                self.pointer::<Current>(Table::CURRENT, key, value, &sequence);
            }
            Table::NULL_VERSIONS => {
                let sequence = |row: NullVersion| row.sequence;
                self.pointer::<NullVersion>(Table::NULL_VERSIONS, key, value, &sequence);
            }
            Table::BLOBS => self.blob_row(key, value),
            Table::GARBAGE => self.garbage(key, value),
            Table::KMS_KEYS => self.kms_key(key, value),
            Table::KMS_MATERIALS => self.material(key, value),
            table => {
                self.open_any(table, key, value);
            }
        }
    }

    /// Opens a row of whatever kind. What it holds is not looked into.
    fn open_any(&self, table: Table, key: &Bytes, value: &[u8]) -> bool {
        let opened = self.sealer.open(table.0, key, value);
        let is_record = opened.as_ref().is_some_and(|record| {
            record.split_first_chunk::<2>().is_some_and(|(head, body)| {
                let mut body = minicbor::Decoder::new(body);
                head[1] == 1 && body.skip().is_ok() && body.position() == body.input().len()
            })
        });
        if !is_record {
            let why = format!("a row of table {} does not open", table.0);
            self.tell(table, key, Whereabouts::default().finding("row", why));
        }
        is_record
    }

    pub(crate) fn tell(&self, table: Table, key: &Bytes, finding: Finding) {
        let subject = Subject::Row(table.0, key.clone());
        self.findings.add(subject, finding);
    }

    /// The name of a bucket, which rows of objects do not say.
    pub(crate) fn bucket_name(&self, uid: BucketUid) -> String {
        let lock = || self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(uid.as_bytes()) {
            return known.clone();
        }
        let mut found = HashMap::new();
        let everything = (Bytes::new(), None);
        // A bucket whose row does not open is told of by its own row.
        let _ = rows::each_row(self.meta, Table::BUCKETS, everything, &mut |row| {
            let bucket = self
                .sealer
                .decode::<Bucket>(Table::BUCKETS, &row.key, &row.value);
            if let Some(bucket) = bucket {
                let name = String::from_utf8_lossy(&row.key).into_owned();
                found.insert(bucket.uid, name);
            }
            true
        });
        let name = found
            .get(uid.as_bytes())
            .cloned()
            .unwrap_or_else(|| format!("deleted-{}", hex(uid.as_bytes())));
        let mut known = lock();
        known.extend(found);
        // Not looked for again with each of its rows.
        known.insert(*uid.as_bytes(), name.clone());
        name
    }

    fn version(&self, key: &Bytes, value: &[u8]) {
        let unreadable = |why: &str, at: Whereabouts| {
            self.tell(Table::VERSIONS, key, at.finding("row", why));
        };
        let Some((bucket, object_key, tail)) = split_object_row::<8>(key) else {
            return unreadable(
                "the key of a version's row cannot be read",
                Whereabouts::default(),
            );
        };
        let sequence = !u64::from_be_bytes(tail);
        let mut at = Whereabouts {
            bucket: Some(self.bucket_name(bucket)),
            key: Some(object_key.as_str().to_owned()),
            ..Whereabouts::default()
        };
        let row = self.sealer.decode::<Version>(Table::VERSIONS, key, value);
        let Some(row) = row else {
            return unreadable("the row of a version does not open", at);
        };
        let uid = VersionUid::from_bytes(row.uid);
        let version_id = if row.is_null {
            VersionId::Null
        } else {
            VersionId::Id { uid, sequence }
        };
        at.version_id = Some(version_id.to_string());
        let tally = self.tally.bucket(at.bucket.as_deref().unwrap_or_default());
        let Some(object) = &row.object else {
            add(&tally.delete_markers, 1);
            return;
        };
        let identity = strongroom_crypto::ObjectIdentity {
            bucket,
            key: object_key,
            version: uid,
        };
        let Ok(wrapped) = WrappedKey::parse(&object.key.wrapped) else {
            return unreadable("its wrapped key cannot be read", at);
        };
        let tally = tally.mode(mode_of(&wrapped));
        add(&tally.versions, 1);
        add(&tally.bytes, object.size_bytes);
        let body = self.body(
            key,
            Table::VERSIONS,
            &identity,
            (&object.key, &wrapped),
            (at, tally),
        );
        body.object(object);
    }

    /// What is common to all streams under one data key.
    pub(crate) fn body<'b>(
        &'b self,
        row_key: &'b Bytes,
        table: Table,
        object: &'b strongroom_crypto::ObjectIdentity,
        (key, wrapped): (&'b records::Key, &'b WrappedKey),
        (at, tally): (Whereabouts, Arc<crate::tally::ModeTally>),
    ) -> crate::body::Body<'b, 'a> {
        let keys = self.keys.body_keys(wrapped, key.kms.as_ref(), object);
        let keys = match keys {
            Ok(keys) => {
                let layers = 1 + u64::from(keys.outer().is_some());
                add(&tally.keys_opened, layers);
                Some(keys)
            }
            Err(NoKey::Customer) => {
                add(&tally.without_customer_key, 1);
                None
            }
            Err(NoKey::Unavailable(arn, state)) => {
                add(&tally.under_unavailable_keys, 1);
                let mut all = self
                    .unavailable
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let known = all.entry(arn).or_default();
                state.clone_into(&mut known.state);
                known.versions += 1;
                None
            }
            Err(NoKey::Damaged(why)) => {
                self.tell(table, row_key, at.finding("wrapped-key", why));
                None
            }
        };
        let is_customer = matches!(wrapped.mode(), WrapMode::CustomerKey);
        let verifier = key.customer_verifier.as_ref().map(Vec::len);
        if verifier != is_customer.then_some(CUSTOMER_KEY_VERIFIER_LEN_BYTES) {
            let why = "its row does not keep what recognises a customer's key as its mode asks";
            self.tell(table, row_key, at.finding("row", why));
        }
        let pending_key = [&[GARBAGE_FOOTERS], object.version.as_bytes().as_slice()].concat();
        let pending = self.meta.read(Table::GARBAGE, &pending_key);
        crate::body::Body {
            walk: self,
            table,
            row_key,
            object,
            wrapped,
            kms: key.kms.as_ref(),
            keys,
            is_pending: !matches!(pending, Ok(None)),
            at,
            tally,
        }
    }

    /// A row that points to a version.
    fn pointer<R: records::Record>(
        &self,
        table: Table,
        key: &Bytes,
        value: &[u8],
        sequence: &dyn Fn(R) -> u64,
    ) {
        let damaged = |why: &str| {
            let at = self.whereabouts_of_pointer(key);
            self.tell(table, key, at.finding("row", why));
        };
        let Some(row) = self.sealer.decode::<R>(table, key, value) else {
            return damaged("the row that names an object's current or null version does not open");
        };
        let Some((bucket, object_key)) = key.split_first_chunk::<16>() else {
            return damaged("the key of a row cannot be read");
        };
        let version = version_row_key(bucket, object_key, sequence(row));
        match self.meta.read(Table::VERSIONS, &version) {
            Ok(Some(_)) => {}
            Ok(None) => damaged("the row of the version that another row names is missing"),
            Err(error) => damaged(&error.to_string()),
        }
    }

    fn whereabouts_of_pointer(&self, key: &[u8]) -> Whereabouts {
        let Some((bucket, object_key)) = key.split_first_chunk::<16>() else {
            return Whereabouts::default();
        };
        Whereabouts {
            bucket: Some(self.bucket_name(BucketUid::from_bytes(*bucket))),
            key: Some(String::from_utf8_lossy(object_key).into_owned()),
            ..Whereabouts::default()
        }
    }

    fn blob_row(&self, key: &Bytes, value: &[u8]) {
        let row = self.sealer.decode::<Blob>(Table::BLOBS, key, value);
        let id = <[u8; 16]>::try_from(key.as_ref());
        let (Some(row), Ok(id)) = (row, id) else {
            let finding = Finding::damage("row", "the row of a blob does not open");
            return self.tell(Table::BLOBS, key, finding);
        };
        if self.claims.blobs.contains(&id) || self.blob_path(&id).exists() {
            return;
        }
        add(&self.counters.orphan_rows, 1);
        if self.is_garbage(&id, &row.version) {
            return;
        }
        let why = "the row of a blob that no version names, and that is not there";
        let finding = Finding::damage("blob-row", why)
            .of_kind(crate::Kind::Leftover)
            .in_file(self.shown(&id));
        self.tell(Table::BLOBS, key, finding);
    }

    /// Whether the collector will remove a blob.
    pub(crate) fn is_garbage(&self, id: &[u8; 16], version: &[u8; 16]) -> bool {
        [(GARBAGE_BLOB, id), (GARBAGE_PARTS, version)]
            .into_iter()
            .any(|(kind, id)| {
                let key = [&[kind], id.as_slice()].concat();
                !matches!(self.meta.read(Table::GARBAGE, &key), Ok(None))
            })
    }

    pub(crate) fn blob_path(&self, id: &[u8; 16]) -> PathBuf {
        self.blobs.join(blobs::path_of(id))
    }

    /// A blob's path as findings name it.
    pub(crate) fn shown(&self, id: &[u8; 16]) -> String {
        format!("{}/{}", self.blobs_shown, blobs::path_of(id).display())
    }

    fn garbage(&self, key: &Bytes, value: &[u8]) {
        if !self.open_any(Table::GARBAGE, key, value) {
            return;
        }
        add(&self.counters.garbage_rows, 1);
        let Some((kind, id)) = key.split_first() else {
            return;
        };
        let Ok(id) = <[u8; 16]>::try_from(id) else {
            return;
        };
        match *kind {
            GARBAGE_BLOB => self.claims.garbage.insert(id),
            GARBAGE_PARTS => {
                let _ = rows::each_row(self.meta, Table::PARTS, rows::below(&id), &mut |row| {
                    let part =
                        self.sealer
                            .decode::<records::Part>(Table::PARTS, &row.key, &row.value);
                    if let Some(records::Place::Blob(blob)) = part.map(|part| part.place) {
                        self.claims.garbage.insert(blob);
                    }
                    true
                });
            }
            _ => {}
        }
    }

    /// A key of the key service: every material that it should have must have a row.
    fn kms_key(&self, key: &Bytes, value: &[u8]) {
        let table = Table::KMS_KEYS;
        let Some(row) = self.sealer.decode::<KmsKey>(table, key, value) else {
            let finding = Finding::damage("row", "the row of a KMS key does not open");
            return self.tell(table, key, finding);
        };
        let Some(id) = key.last_chunk::<16>().filter(|_| row.lifecycle < 4) else {
            return;
        };
        for material in &row.materials {
            if material.import.as_ref().is_some_and(|it| !it.present) {
                continue;
            }
            let row_key = [&[1], id.as_slice(), &material.id].concat();
            if matches!(self.meta.read(Table::KMS_MATERIALS, &row_key), Ok(None)) {
                let why = format!(
                    "material {} of KMS key {} is missing",
                    hex(&material.id),
                    hex(id)
                );
                self.tell(table, key, Finding::damage("material", why));
            }
        }
    }

    fn material(&self, key: &Bytes, value: &[u8]) {
        let table = Table::KMS_MATERIALS;
        if key.first() != Some(&1) {
            self.open_any(table, key, value);
            if let Some(shred) = key.last_chunk::<16>() {
                // Doomed, and not gone yet.
                self.claims.shreds.insert(*shred);
            }
            return;
        }
        let row = self.sealer.decode::<KmsMaterial>(table, key, value);
        let parsed = row.and_then(|row| Some((parse_material_row(key, &row)?, row)));
        let Some(((arn, id), row)) = parsed else {
            let finding = Finding::damage("row", "the row of a key material does not open");
            return self.tell(table, key, finding);
        };
        self.claims.shreds.insert(row.shred);
        let spec = match self.keys.key(&arn) {
            Ok(Some(key)) => key.spec,
            Ok(None) => {
                let why = format!("{arn} has a key material and no row");
                return self.tell(table, key, Finding::damage("material", why));
            }
            // Told of by the key's own row.
            Err(_) => return,
        };
        match self.keys.unwrap_material(&arn, &spec, id, &row) {
            Ok(bytes) if strongroom_crypto::material_id(arn.id, &bytes) == id => {
                add(&self.counters.materials, 1);
            }
            Ok(_) => {
                let why = format!("a material of {arn} is another than its id says");
                self.tell(table, key, Finding::damage("material", why));
            }
            Err(fault) => {
                let why = format!("{arn}, material {}: {}", shown_material(id), fault.words());
                self.tell(table, key, Finding::damage("material", why));
            }
        }
    }

    /// The account's record, for the ring.
    pub(crate) fn account(&self) -> Option<Account> {
        let read = self
            .sealer
            .read::<Account>(self.meta, Table::SETTINGS, b"account");
        read.ok()?.record()
    }
}

fn shown_material(id: KeyMaterialId) -> String {
    hex(id.as_bytes())
}

/// How a version is encrypted, in S3's words.
pub(crate) fn mode_of(wrapped: &WrappedKey) -> &'static str {
    match wrapped.mode() {
        WrapMode::RootRing { .. } => "AES256",
        WrapMode::CustomerKey => "SSE-C",
        WrapMode::Kms => "aws:kms",
        WrapMode::TwoLayers { .. } => "aws:kms:dsse",
    }
}
