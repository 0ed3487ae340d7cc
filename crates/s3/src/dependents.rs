//! What is encrypted under keys of the key service, and so becomes unreadable with them: counted
//! bucket by bucket and page by page, for the operator. It asks for no authorization, opens no body
//! and no data key.
//!
//! ```text
//!   BUCKETS    default encryption that names a key
//!   VERSIONS   of that bucket: objects, versions, bytes, under which material of the key
//!   UPLOADS    of that bucket: uploads in progress
//! ```
//!
//! The caller keeps the place, so a walk needs the memory of one page, may rest between pages, and
//! sees what changes behind it only the next time.

use std::collections::BTreeMap;

use bytes::Bytes;
use strongroom_crypto::{CiphertextBlob, WrappedKey};
use strongroom_ports::{Row, Scan, Table};
use strongroom_rows::{RowError, SealedRows};
use strongroom_types::kms::{AliasName, KeyArn, KeyMaterialId};
use strongroom_types::{AccountId, BucketName, BucketUid, SseAlgorithm};

use crate::keys;
use crate::rows::{BucketRow, KeyRow, KmsRow, UploadRow, VersionRow};
use crate::stream_in::len_u64;

/// Most rows of a page.
const PAGE_ROWS_MAX: usize = 2000;
/// Most buckets of a page: empty ones cost time, too.
const PAGE_BUCKETS_MAX: usize = 100;
/// Tables in which something can depend on a key, with a row for each.
const COUNTED: [Table; 2] = [Table::VERSIONS, Table::UPLOADS];

/// A key, and the other names by which a bucket's default encryption may mean it.
#[derive(Clone, Debug)]
pub struct KeyNames {
    /// The key.
    pub arn: KeyArn,
    /// Its aliases.
    pub aliases: Vec<AliasName>,
}

/// What depends on a key in one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketDependents {
    /// The bucket.
    pub bucket: BucketName,
    /// The account that owns it.
    pub owner: AccountId,
    /// The bucket's default encryption names the key: nothing can be written by default without it.
    pub default_encryption: bool,
    /// What depends on the key.
    pub counts: DependentCounts,
}

/// How much depends on a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DependentCounts {
    /// Objects whose current version does.
    pub objects: u64,
    /// Versions that do, current ones included. Delete markers have no key.
    pub versions: u64,
    /// Their content, in bytes.
    pub bytes: u64,
    /// Those of them that are under an S3 Bucket Key.
    pub bucket_key_versions: u64,
    /// Those of them that have two layers (DSSE-KMS).
    pub dsse_versions: u64,
    /// Multipart uploads in progress.
    pub uploads: u64,
}

impl DependentCounts {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        let Self {
            objects,
            versions,
            bytes,
            bucket_key_versions,
            dsse_versions,
            uploads,
        } = other;
        self.objects = self.objects.saturating_add(*objects);
        self.versions = self.versions.saturating_add(*versions);
        self.bytes = self.bytes.saturating_add(*bytes);
        self.bucket_key_versions = self
            .bucket_key_versions
            .saturating_add(*bucket_key_versions);
        self.dsse_versions = self.dsse_versions.saturating_add(*dsse_versions);
        self.uploads = self.uploads.saturating_add(*uploads);
    }

    /// Nothing depends on the key.
    pub const fn is_nothing(&self) -> bool {
        self.versions == 0 && self.uploads == 0
    }
}

/// One page of a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DependentsPage {
    /// Versions, delete markers and uploads looked at.
    pub looked_at: u64,
    /// What was found, by the index of the key; a bucket may come again in the next page.
    pub found: Vec<(usize, BucketDependents)>,
    /// Wrapped keys under each material of a key, by the index of the key.
    pub materials: BTreeMap<(usize, KeyMaterialId), u64>,
    /// Rows that do not verify: what they need is not known. The log names each.
    pub damaged: u64,
    /// From where the next page goes on; nothing at the end.
    pub next: Option<DependentsPlace>,
}

/// How far a walk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependentsPlace {
    bucket: Bytes,
    stage: Stage,
    /// The row of that bucket that was looked at last.
    after: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Versions,
    Uploads,
    /// The bucket is done.
    Done,
}

impl DependentsPlace {
    /// The place as bytes, for who keeps it elsewhere: `stage(1) || length(1) || bucket || row key`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let stage = match (self.stage, &self.after) {
            (Stage::Versions, _) => 1,
            (Stage::Uploads, _) => 2,
            (Stage::Done, _) => 3,
        };
        // The name of a bucket has at most 63 bytes.
        let len = u8::try_from(self.bucket.len()).unwrap_or(u8::MAX);
        let after = self.after.as_deref().unwrap_or_default();
        [&[stage, len][..], &self.bucket, after].concat()
    }

    /// The place behind `bytes`; `None` if they are none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let ([stage, len], rest) = bytes.split_first_chunk::<2>()?;
        let stage = match stage {
            1 => Stage::Versions,
            2 => Stage::Uploads,
            3 => Stage::Done,
            _ => return None,
        };
        let (bucket, after) = rest.split_at_checked(usize::from(*len))?;
        Some(Self {
            bucket: Bytes::copy_from_slice(bucket),
            stage,
            after: (!after.is_empty()).then(|| Bytes::copy_from_slice(after)),
        })
    }
}

/// A walk through everything that may depend on some keys.
pub struct Dependents<'a> {
    rows: &'a SealedRows,
    keys: &'a [KeyNames],
    /// Indexes of the keys by their ARNs, as rows have them.
    by_arn: BTreeMap<String, usize>,
}

/// The bucket that a page is in.
struct Here {
    name: BucketName,
    key: Bytes,
    uid: BucketUid,
    owner: AccountId,
    /// By the index of the key.
    found: BTreeMap<usize, BucketDependents>,
}

impl<'a> Dependents<'a> {
    /// A walk for these keys.
    pub fn new(rows: &'a SealedRows, keys: &'a [KeyNames]) -> Self {
        let by_arn = keys.iter().enumerate();
        Self {
            rows,
            keys,
            by_arn: by_arn.map(|(at, key)| (key.arn.to_string(), at)).collect(),
        }
    }

    /// Looks at up to `limit` rows, from a place on.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`RowError::Meta`]: nothing is known of the page; do it again.
    pub fn page(
        &self,
        from: Option<DependentsPlace>,
        limit: usize,
    ) -> Result<DependentsPage, RowError> {
        let mut page = DependentsPage::default();
        let mut left = limit.clamp(1, PAGE_ROWS_MAX);
        let mut place = from;
        for _ in 0..PAGE_BUCKETS_MAX {
            let Some((row, resumed)) = self.next_bucket(place.as_ref())? else {
                return Ok(page);
            };
            let done = DependentsPlace {
                bucket: row.key.clone(),
                stage: Stage::Done,
                after: None,
            };
            let Some(mut here) = self.enter(&row, &mut page) else {
                place = Some(done);
                continue;
            };
            let mut stage = resumed.unwrap_or((Stage::Versions, None));
            let behind = loop {
                let (table, next_stage) = match stage.0 {
                    Stage::Versions => (Table::VERSIONS, Stage::Uploads),
                    Stage::Uploads => (Table::UPLOADS, Stage::Done),
                    Stage::Done => break done,
                };
                let last = self.look(table, &mut here, stage.1.take(), &mut left, &mut page)?;
                stage = match last {
                    Some(last) => (stage.0, Some(last)),
                    None => (next_stage, None),
                };
                if left == 0 && stage.0 != Stage::Done {
                    break DependentsPlace {
                        bucket: here.key.clone(),
                        stage: stage.0,
                        after: stage.1,
                    };
                }
            };
            page.found.extend(here.found);
            place = Some(behind);
            if left == 0 {
                break;
            }
        }
        page.next = place;
        Ok(page)
    }

    /// Counts rows for a progress bar, up to `limit` of them behind `after`: how many, and from
    /// where to go on.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`RowError::Meta`].
    pub fn count(
        rows: &SealedRows,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(u64, Option<Vec<u8>>), RowError> {
        let (at, after) = match after.and_then(<[u8]>::split_first) {
            Some((at, after)) => (usize::from(*at), after),
            None => (0, &[][..]),
        };
        let Some(table) = COUNTED.get(at) else {
            return Ok((0, None));
        };
        let page = rows.meta.scan(&Scan {
            table: *table,
            start: behind(after),
            end: None,
            limit: limit.clamp(1, PAGE_ROWS_MAX),
            reverse: false,
        })?;
        let place =
            |at: usize, key: &[u8]| [&[u8::try_from(at).unwrap_or(u8::MAX)][..], key].concat();
        let next = match page.rows.last().filter(|_| page.more) {
            Some(last) => Some(place(at, &last.key)),
            None if at + 1 < COUNTED.len() => Some(place(at + 1, &[])),
            None => None,
        };
        Ok((len_u64(page.rows.len()), next))
    }

    /// The bucket that comes next, and where in it a walk was interrupted.
    #[expect(clippy::type_complexity, reason = "two things, each used once")]
    fn next_bucket(
        &self,
        place: Option<&DependentsPlace>,
    ) -> Result<Option<(Row, Option<(Stage, Option<Bytes>)>)>, RowError> {
        let start = match place {
            None => Bytes::new(),
            Some(place) if place.stage == Stage::Done => behind(&place.bucket),
            Some(place) => place.bucket.clone(),
        };
        let page = self.rows.meta.scan(&Scan {
            table: Table::BUCKETS,
            start,
            end: None,
            limit: 1,
            reverse: false,
        })?;
        let Some(row) = page.rows.into_iter().next() else {
            return Ok(None);
        };
        let resumed = place
            .filter(|place| place.stage != Stage::Done && place.bucket == row.key)
            .map(|place| (place.stage, place.after.clone()));
        Ok(Some((row, resumed)))
    }

    /// What is to be known of the bucket in `row`; nothing if the row is damaged.
    fn enter(&self, row: &Row, page: &mut DependentsPage) -> Option<Here> {
        let opened = self
            .rows
            .open::<BucketRow>(Table::BUCKETS, &row.key, &row.value);
        let understood = opened.ok().and_then(|bucket| {
            let name = BucketName::parse(std::str::from_utf8(&row.key).ok()?).ok()?;
            let owner = AccountId::parse(&bucket.owner).ok()?;
            Some((name, owner, bucket))
        });
        let Some((name, owner, bucket)) = understood else {
            page.damaged += 1;
            return None;
        };
        let mut here = Here {
            name,
            key: row.key.clone(),
            uid: BucketUid::from_bytes(bucket.uid),
            owner,
            found: BTreeMap::new(),
        };
        for (at, key) in self.keys.iter().enumerate() {
            if is_default_of(&bucket, owner, key) {
                here.of(at).default_encryption = true;
            }
        }
        Some(here)
    }

    /// Looks at up to `left` rows of a bucket. The key of the last one, if there are more.
    fn look(
        &self,
        table: Table,
        here: &mut Here,
        after: Option<Bytes>,
        left: &mut usize,
        page: &mut DependentsPage,
    ) -> Result<Option<Bytes>, RowError> {
        let (start, end) = keys::whole_bucket(here.uid);
        // A bucket of the same name that was made anew meanwhile is another one.
        let after = after.filter(|after| after.starts_with(here.uid.as_bytes()));
        let scanned = self.rows.meta.scan(&Scan {
            table,
            start: after.as_deref().map_or(start, behind),
            end: Some(end),
            limit: (*left).max(1),
            reverse: false,
        })?;
        let mut object = after.as_deref().and_then(object_of).map(<[u8]>::to_vec);
        for row in &scanned.rows {
            page.looked_at += 1;
            let is_known = if table == Table::VERSIONS {
                // Newest first: the first row of an object is its current version.
                let is_current = object.as_deref() != object_of(&row.key);
                if is_current {
                    object = object_of(&row.key).map(<[u8]>::to_vec);
                }
                self.look_at_version(row, is_current, here, page)
            } else {
                self.look_at_upload(row, here, page)
            };
            if is_known.is_none() {
                page.damaged += 1;
            }
        }
        *left = left.saturating_sub(scanned.rows.len());
        let last = scanned.rows.last().map(|row| row.key.clone());
        Ok(last.filter(|_| scanned.more))
    }

    /// `None` if the row does not say what it needs.
    fn look_at_version(
        &self,
        row: &Row,
        is_current: bool,
        here: &mut Here,
        page: &mut DependentsPage,
    ) -> Option<()> {
        let opened = self
            .rows
            .open::<VersionRow>(Table::VERSIONS, &row.key, &row.value);
        let Some(object) = opened.ok()?.object else {
            return Some(());
        };
        let Some((at, kms)) = self.needed(&object.key, page) else {
            return Some(());
        };
        let is_dsse = kms.algorithm == SseAlgorithm::AwsKmsDsse.name();
        here.of(at).counts.add(&DependentCounts {
            objects: u64::from(is_current),
            versions: 1,
            bytes: object.size_bytes,
            bucket_key_versions: u64::from(kms.bucket_key),
            dsse_versions: u64::from(is_dsse),
            uploads: 0,
        });
        Some(())
    }

    fn look_at_upload(&self, row: &Row, here: &mut Here, page: &mut DependentsPage) -> Option<()> {
        let opened = self
            .rows
            .open::<UploadRow>(Table::UPLOADS, &row.key, &row.value);
        if let Some((at, _)) = self.needed(&opened.ok()?.key, page) {
            here.of(at).counts.uploads += 1;
        }
        Some(())
    }

    /// Which of the keys a data key is under, if any; counts it for the material that its ciphertext
    /// names.
    fn needed<'k>(
        &self,
        key: &'k KeyRow,
        page: &mut DependentsPage,
    ) -> Option<(usize, &'k KmsRow)> {
        let kms = key.kms.as_ref()?;
        let at = self.by_arn.get(&kms.key_arn).copied()?;
        let wrapped = WrappedKey::parse(&key.wrapped).ok();
        let blob = wrapped.as_ref().and_then(WrappedKey::kms_blob);
        // A key service of another make has ciphertexts of its own.
        if let Some(Ok(blob)) = blob.map(CiphertextBlob::parse) {
            let counted = page.materials.entry((at, blob.material_id())).or_default();
            *counted = counted.saturating_add(1);
        }
        Some((at, kms))
    }
}

impl Here {
    /// What depends on the key of that index here.
    fn of(&mut self, at: usize) -> &mut BucketDependents {
        self.found.entry(at).or_insert_with(|| BucketDependents {
            bucket: self.name.clone(),
            owner: self.owner,
            default_encryption: false,
            counts: DependentCounts::default(),
        })
    }
}

/// Whether the default encryption of a bucket means the key. A bare id means one key only; an alias
/// is resolved in the account of who writes, which is taken to be the bucket's.
fn is_default_of(bucket: &BucketRow, owner: AccountId, key: &KeyNames) -> bool {
    let algorithm = SseAlgorithm::parse(&bucket.encryption.algorithm);
    if !matches!(
        algorithm,
        Some(SseAlgorithm::AwsKms | SseAlgorithm::AwsKmsDsse)
    ) {
        return false;
    }
    let KeyArn {
        region,
        account,
        id,
    } = &key.arn;
    let of_alias = |text: &str| key.aliases.iter().any(|alias| alias.as_str() == text);
    // Without a name it is the AWS managed key.
    let named = bucket.encryption.kms_key_id.as_deref();
    let named = named.unwrap_or("alias/aws/s3");
    if named == key.arn.to_string() || named == id.to_string() {
        return true;
    }
    let prefix = format!("arn:aws:kms:{region}:{account}:");
    match named.strip_prefix(&prefix) {
        Some(alias) => of_alias(alias),
        None => owner == *account && of_alias(named),
    }
}

/// What version rows of one object have in common.
fn object_of(row_key: &[u8]) -> Option<&[u8]> {
    row_key.split_last_chunk::<8>().map(|(object, _)| object)
}

/// The first key behind `row_key`; of nothing, the first of all.
fn behind(row_key: &[u8]) -> Bytes {
    if row_key.is_empty() {
        Bytes::new()
    } else {
        keys::behind(row_key)
    }
}
