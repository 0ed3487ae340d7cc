//! The newest key ring that this store has seen, noted in the account's row: an older one put in its
//! place is refused, and every change is recorded.

use strongroom_audit::{AuditLog, EventBuilder, Home, OWN_SOURCE, Params};
use strongroom_crypto::Keyring;
use strongroom_ports::{RowVersion, SealKind, Table, Transaction};
use strongroom_types::{AccountId, Region};

use super::{ACCOUNT_KEY, ACCOUNT_RECORD, AccountRow, Accounts, damaged, parsed};
use crate::failure::{Exit, Failure};
use crate::ring_files::RingFiles;
use crate::seals::slots;

/// What is recorded of a ring that changed.
struct RingChange<'a> {
    /// The generation that the store saw before.
    seen: Option<u64>,
    /// Number and kind of each.
    seals: &'a [String],
    /// A command told the running server; of it is known that it is the user's whose server it is.
    told: bool,
}

impl Accounts {
    /// Refuses a ring that is older than what this store has seen.
    ///
    /// # Errors
    ///
    /// [`Exit::Ring`].
    pub(super) fn check_ring(&self, row: &AccountRow) -> Result<(), Failure> {
        let ring = self.custody.ring();
        if row.ring_id != ring.ring_id() || row.ring_version > ring.active_version() {
            return Err(Failure::new(
                Exit::Ring,
                "the key ring is older than the data, or another store's",
                "restore the newest copy of the ring directory; do not write with this one",
            ));
        }
        let seen = row.ring_generation.unwrap_or(0);
        if ring.generation() < seen {
            if !self.danger_accept_older_ring {
                return Err(Failure::new(
                    Exit::Ring,
                    format!(
                        "the key ring is of generation {}, and this store has seen {seen}: an older copy was put in its place",
                        ring.generation()
                    ),
                    "restore the newest copy of the ring directory; if there is none, start once with --danger-accept-older-ring, \
                     then look at strongroom seal list: seals that were removed are back",
                ));
            }
            tracing::warn!(
                generation = ring.generation(),
                seen,
                "an older key ring is accepted: seals that were removed are back"
            );
        }
        Ok(())
    }

    /// Notes the ring that the store was opened with.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`].
    pub(super) fn note_ring_at_start(&self) -> Result<(), Failure> {
        let ring = self.custody.ring();
        self.note_generation(ring.generation(), &seals_of(&ring), false)?;
        // Behind a rotation that was interrupted it is not noted yet.
        self.note_ring_version()
    }

    /// Notes the active version of the root key, so that an older ring is refused over this data.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`].
    pub(crate) fn note_ring_version(&self) -> Result<(), Failure> {
        let (mut row, version) = self
            .read_account_row()?
            .ok_or_else(|| damaged("the account's row is gone"))?;
        let ring = self.custody.ring();
        if row.ring_version >= ring.active_version()
            && row.ring_generation >= Some(ring.generation())
        {
            return Ok(());
        }
        let seen = row.ring_generation;
        row.ring_version = row.ring_version.max(ring.active_version());
        row.ring_generation = row.ring_generation.max(Some(ring.generation()));
        let changed = RingChange {
            seen,
            seals: &seals_of(&ring),
            told: false,
        };
        self.change_ring_row(&row, version, &changed)
    }

    /// Remembers that the ring's files are of this generation now, so that older ones are refused
    /// at the next start.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`].
    pub(crate) fn note_ring(&self, files: &RingFiles) -> Result<(), Failure> {
        let ring_id = self.custody.ring().ring_id();
        let copies = files.inspect();
        let rings = copies.iter().filter_map(|copy| copy.ring.as_ref().ok());
        let own = rings.filter(|ring| ring.ring_id() == ring_id);
        // Of both copies, the older: the newer may be all that a crash left of a change.
        match own.min_by_key(|ring| ring.generation()) {
            // Once more where a rotation of the root key wrote the row in between.
            Some(ring) => {
                let (generation, seals) = (ring.generation(), seals_of(ring));
                let note = || self.note_generation(generation, &seals, true);
                note().or_else(|_| note())
            }
            None => Ok(()),
        }
    }

    fn note_generation(
        &self,
        generation: u64,
        seals: &[String],
        told: bool,
    ) -> Result<(), Failure> {
        let Some((mut row, version)) = self.read_account_row()? else {
            return Ok(());
        };
        let seen = row.ring_generation;
        // What was accepted counts from now on.
        let may_fall = self.danger_accept_older_ring && seen != Some(generation);
        if seen.is_some_and(|seen| seen >= generation) && !may_fall {
            return Ok(());
        }
        row.ring_generation = Some(generation);
        self.change_ring_row(&row, version, &RingChange { seen, seals, told })
    }

    /// Notes the ring in the account's row, and records that it is not as this store saw it last: a
    /// seal was added or removed, or the root key changed, perhaps while no server ran.
    fn change_ring_row(
        &self,
        row: &AccountRow,
        version: RowVersion,
        change: &RingChange<'_>,
    ) -> Result<(), Failure> {
        let value = self.seal(Table::SETTINGS, ACCOUNT_KEY, ACCOUNT_RECORD, row);
        let transaction = Transaction::new()
            .expect(Table::SETTINGS, ACCOUNT_KEY, Some(version))
            .put(Table::SETTINGS, ACCOUNT_KEY, value);
        // Stores of before the generation was noted have not seen any.
        let Some(seen) = change.seen else {
            return self.commit(transaction);
        };
        let home = Home {
            account: parsed(AccountId::parse(&row.id))?,
            region: parsed(Region::parse(&row.region))?,
        };
        let log = AuditLog::new(self.sealed_rows(), self.clock.clone(), home);
        let mut details = Params::new()
            .number("generation", row.ring_generation.unwrap_or_default())
            .number("generationBefore", seen)
            .number("rootKeyVersion", row.ring_version.into())
            .list("seals", change.seals);
        if change.told {
            let uid = rustix::process::geteuid().as_raw();
            details = details.number("operatorUid", uid.into());
        }
        let event = EventBuilder::by_service(log.home().account, OWN_SOURCE, "KeyRingChanged")
            .service_details(&details);
        self.commit(log.add(transaction, &log.finish(event)))
    }
}

/// The seals of a ring, for the trail: number and kind.
fn seals_of<State>(ring: &Keyring<State>) -> Vec<String> {
    let shown = |slot: slots::Slot<'_>| {
        let kind = slot.kind.map_or("unknown", SealKind::name);
        format!("{} {kind}", slot.index)
    };
    slots::of(ring).into_iter().map(shown).collect()
}
