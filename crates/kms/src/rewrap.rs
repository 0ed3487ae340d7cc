//! Wrapping key material and shred keys anew after a rotation of the root key, and proving that none
//! is left.
//!
//! The shred file first, then the material's row: each opens under the old version of the root key
//! and under the new one, so whatever a crash leaves is whole.

use bytes::Bytes;
use strongroom_crypto::{
    MaterialIdentity, ShredId, shred_file_root_version, wrapped_material_root_version,
};
use strongroom_ports::{CommitError, Row, Scan, Table, Transaction};
use strongroom_rows::until_undisturbed;
use strongroom_types::kms::{KeyArn, KeyId, KeyMaterialId};
use strongroom_types::{AccountId, Region};

use crate::rows::MaterialRow;
use crate::{KeyService, KmsError, keys};

/// What is done with what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewrapTask {
    /// Wrap it anew under the active version of the root key.
    Rewrap,
    /// Change nothing, and count what needs this version of the root key or an older one.
    Count(u32),
}

/// What one page came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RewrapPage {
    /// Materials looked at.
    pub looked_at: u64,
    /// Wrapped anew, or counted: a material with its shred key is one.
    pub matched: u64,
    /// Not wrapped anew, because it is damaged or its shred file is not there; the log names each.
    pub failed: u64,
    /// From where the next page goes on; nothing at the end.
    pub next: Option<Bytes>,
}

enum Outcome {
    Nothing,
    Matched,
    Failed,
}

impl KeyService {
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
        let first = keys::materials_of_all();
        let start = after.map_or_else(
            || first.0.clone(),
            |after| [after, [0].as_slice()].concat().into(),
        );
        let page = self.ports.rows.meta.scan(&Scan {
            table: Table::KMS_MATERIALS,
            start,
            end: Some(first.1),
            limit: limit.clamp(1, 1000),
            reverse: false,
        })?;
        let mut done = RewrapPage {
            next: page
                .rows
                .last()
                .map(|row| row.key.clone())
                .filter(|_| page.more),
            ..RewrapPage::default()
        };
        for row in &page.rows {
            done.looked_at += 1;
            match self.rewrap_material_row(task, row)? {
                Outcome::Nothing => {}
                Outcome::Matched => done.matched += 1,
                Outcome::Failed => done.failed += 1,
            }
        }
        Ok(done)
    }

    fn rewrap_material_row(&self, task: RewrapTask, found: &Row) -> Result<Outcome, KmsError> {
        until_undisturbed(|| {
            let table = Table::KMS_MATERIALS;
            let Some((mut row, version)) = self.read::<MaterialRow>(table, &found.key)? else {
                return Ok(Outcome::Nothing);
            };
            let shred = ShredId::from_bytes(row.shred);
            let Ok(wrapped_under) = wrapped_material_root_version(&row.wrapped) else {
                tracing::error!(%shred, "a wrapped key material cannot be read");
                return Ok(Outcome::Failed);
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
                        Outcome::Matched
                    } else {
                        Outcome::Nothing
                    })
                }
                RewrapTask::Rewrap => {
                    let ring = self.ports.rows.custody.ring();
                    let active = ring.active_version();
                    let is_new = |version: u32| version == active;
                    let shreds_are_new = sealed_under.into_iter().all(|it| it.is_ok_and(is_new));
                    if is_new(wrapped_under) && shreds_are_new {
                        return Ok(Outcome::Nothing);
                    }
                    let (Some(shred_key), _) = self.verify_shred(shred)? else {
                        tracing::error!(%shred, "the shred key of a key material does not open");
                        return Ok(Outcome::Failed);
                    };
                    if !shreds_are_new {
                        let entropy = &*self.ports.entropy;
                        let content = ring.seal_shred_key(shred, &shred_key, entropy);
                        ring.open_shred_key(shred, &content)
                            .map_err(|_| KmsError::Unavailable)?;
                        self.ports.shreds.repair(row.shred, &content)?;
                    }
                    if is_new(wrapped_under) {
                        return Ok(Outcome::Matched);
                    }
                    let Some(identity) = self.identity_of(&found.key, &row)? else {
                        return Ok(Outcome::Failed);
                    };
                    let Ok(material) = ring.unwrap_material(&shred_key, &identity, &row.wrapped)
                    else {
                        tracing::error!(%shred, "a key material does not open");
                        return Ok(Outcome::Failed);
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
                    match self.ports.rows.meta.commit(transaction).wait() {
                        Ok(_) => Ok(Outcome::Matched),
                        Err(CommitError::Conflict) => Err(KmsError::Contention),
                        Err(error) => Err(error.into()),
                    }
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
