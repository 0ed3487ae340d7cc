//! Wrapping key material and shred keys anew after a rotation of the root key, and proving that none
//! is left.
//!
//! The shred file first, then the material's row: each opens under the old version of the root key
//! and under the new one, so whatever a crash leaves is whole.

use std::collections::BTreeSet;

use bytes::Bytes;
use strongroom_crypto::{
    MaterialIdentity, ShredId, shred_file_root_version, wrapped_material_root_version,
};
use strongroom_ports::{Row, Table, Transaction};
use strongroom_rows::{RewrapPage, RewrapTask, Rewrapped, until_undisturbed};
use strongroom_types::kms::{KeyArn, KeyId, KeyMaterialId};
use strongroom_types::{AccountId, Region};

use crate::rows::MaterialRow;
use crate::{KeyService, KmsError, keys};

/// Rows read at once.
const PAGE_ROWS: usize = 200;

impl KeyService {
    /// The shred files that key material of any account needs, in ascending order. What is not among
    /// them is on its way out, or of a key that is being made.
    ///
    /// Blocks on the stores: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`KmsError::Unavailable`], [`KmsError::Damaged`].
    pub fn shreds_in_use(&self) -> Result<BTreeSet<[u8; 16]>, KmsError> {
        let mut found = BTreeSet::new();
        let (mut start, end) = keys::materials_of_all();
        loop {
            let (page, more) = self.scan_each::<MaterialRow>(
                Table::KMS_MATERIALS,
                (start, Some(end.clone())),
                PAGE_ROWS,
            )?;
            let last = page.last().map(|(row, _)| keys::behind(&row.key));
            for (_, row) in page {
                found.insert(row?.shred);
            }
            match last {
                Some(next) if more => start = next,
                _ => return Ok(found),
            }
        }
    }

    /// Works through up to `limit` key materials of all accounts, from `after` on.
    ///
    /// Blocks on the stores: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`KmsError::Unavailable`]: nothing is known of the page; do it again.
    pub fn rewrap_page(
        &self,
        task: RewrapTask,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<RewrapPage, KmsError> {
        let (start, end) = keys::materials_of_all();
        let meta = &*self.ports.rows.meta;
        let range = (start, Some(end));
        RewrapPage::work_through(meta, Table::KMS_MATERIALS, range, after, limit, |row| {
            self.rewrap_material_row(task, row)
        })
    }

    fn rewrap_material_row(&self, task: RewrapTask, found: &Row) -> Result<Rewrapped, KmsError> {
        until_undisturbed(|| {
            let table = Table::KMS_MATERIALS;
            let Some((mut row, version)) = self.read::<MaterialRow>(table, &found.key)? else {
                return Ok(Rewrapped::Nothing);
            };
            let shred = ShredId::from_bytes(row.shred);
            let Ok(wrapped_under) = wrapped_material_root_version(&row.wrapped) else {
                tracing::error!(%shred, "a wrapped key material cannot be read");
                return Ok(Rewrapped::Failed);
            };
            let copies = self.ports.shreds.get_copies(row.shred)?;
            let sealed_under = copies.iter().map(|copy| shred_file_root_version(copy));
            match task {
                RewrapTask::Count(limit) => {
                    let is_old = |version: u32| version <= limit;
                    // A copy that cannot be read may be anything.
                    let needs = is_old(wrapped_under)
                        || sealed_under.into_iter().any(|it| it.map_or(true, is_old));
                    Ok(if needs {
                        Rewrapped::Matched
                    } else {
                        Rewrapped::Nothing
                    })
                }
                RewrapTask::Rewrap => {
                    let ring = self.ports.rows.custody.ring();
                    let active = ring.active_version();
                    let is_new = |version: u32| version == active;
                    let shreds_are_new = sealed_under.into_iter().all(|it| it.is_ok_and(is_new));
                    if is_new(wrapped_under) && shreds_are_new {
                        return Ok(Rewrapped::Nothing);
                    }
                    let (Some(shred_key), _) = self.verify_shred(shred)? else {
                        tracing::error!(%shred, "the shred key of a key material does not open");
                        return Ok(Rewrapped::Failed);
                    };
                    if !shreds_are_new {
                        let entropy = &*self.ports.entropy;
                        let content = ring.seal_shred_key(shred, &shred_key, entropy);
                        ring.open_shred_key(shred, &content)
                            .map_err(|_| KmsError::Unavailable)?;
                        self.ports.shreds.repair(row.shred, &content)?;
                    }
                    if is_new(wrapped_under) {
                        return Ok(Rewrapped::Matched);
                    }
                    let Some(identity) = self.identity_of(&found.key, &row)? else {
                        return Ok(Rewrapped::Failed);
                    };
                    let Ok(material) = ring.unwrap_material(&shred_key, &identity, &row.wrapped)
                    else {
                        tracing::error!(%shred, "a key material does not open");
                        return Ok(Rewrapped::Failed);
                    };
                    let entropy = &*self.ports.entropy;
                    row.wrapped = ring.wrap_material(&shred_key, &identity, &material, entropy);
                    let proof = ring.unwrap_material(&shred_key, &identity, &row.wrapped);
                    if proof.ok().as_deref() != Some(&*material) {
                        return Err(KmsError::Unavailable);
                    }
                    let transaction =
                        Transaction::new().expect(table, found.key.clone(), Some(version));
                    let transaction = self.put(transaction, table, found.key.clone(), &row)?;
                    self.ports.rows.meta.commit(transaction).wait()?;
                    Ok(Rewrapped::Matched)
                }
            }
        })
    }

    /// What the material is bound to; nothing if its key is not there any more.
    fn identity_of(
        &self,
        row_key: &[u8],
        row: &MaterialRow,
    ) -> Result<Option<MaterialIdentity>, KmsError> {
        let place = || {
            let (key, material) = row_key.get(1..)?.split_first_chunk::<16>()?;
            let arn = KeyArn {
                region: Region::parse(&row.region).ok()?,
                account: AccountId::parse(&row.account).ok()?,
                id: KeyId::from_bytes(*key),
            };
            Some((arn, KeyMaterialId::from_bytes(material.try_into().ok()?)))
        };
        let Some((arn, material)) = place() else {
            return Ok(None);
        };
        let opened = self.opened_key(&arn)?;
        Ok(opened.map(|opened| MaterialIdentity {
            spec: opened.key.spec,
            material,
            arn,
        }))
    }
}
