//! The store that a backup is taken of: a running server's, or one that nobody uses.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_audit::Params;
use strongroom_backup::{Begun, Extent, Origin, OriginError, Taken};
use strongroom_ports::Entropy;

use crate::adapters::SystemEntropy;
use crate::admin::{Answer, BackupBegun, BackupRequest, Request, ask};
use crate::commands::unexpected;
use crate::config::Settings;
use crate::data_dir::DataLock;
use crate::failure::{Exit, Failure};
use crate::notes::Note;
use crate::ring_files::{Copy, RingFiles};
use crate::serve::{Backups, backups_off_line};
use crate::unseal::{self, Environment};

/// How often a running server hears that it is still needed.
const GO_ON_EVERY: Duration = Duration::from_secs(10);

/// A store, and the hold on it.
pub(super) struct Source {
    store: Store,
    ring: PathBuf,
    hold: u64,
    told: Instant,
    /// Of a backup that no server takes part in.
    note: Option<Note>,
}

enum Store {
    /// Behind this socket.
    Server(PathBuf),
    OffLine(Arc<Backups>, #[expect(dead_code, reason = "held")] DataLock),
}

impl Source {
    /// The running server, or the store with its lock and seal.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`] without a data directory; off line whatever keeps the store from opening.
    pub(super) fn find(settings: &Settings, environment: Environment<'_>) -> Result<Self, Failure> {
        let data = &settings.data;
        if !data.ring().exists() {
            return Err(Failure::new(
                Exit::Usage,
                format!("there is no store in {}", data.root().display()),
                "name its directory with --data DIR",
            ));
        }
        let locked = data.lock().map_err(|error| {
            Failure::new(
                Exit::Environment,
                error.to_string(),
                "check the data directory's permissions",
            )
        })?;
        let mut note = None;
        let store = match locked {
            None => Store::Server(data.admin_socket()),
            Some(lock) => {
                let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
                let opened = unseal::unseal_as_it_is(settings, &entropy, environment)?;
                let details = Params::new();
                note = Some(Note::begin(data, &opened.ring, "BackupStore", details));
                Store::OffLine(backups_off_line(settings, opened)?, lock)
            }
        };
        Ok(Self {
            store,
            ring: data.ring(),
            hold: 0,
            told: Instant::now(),
            note,
        })
    }

    /// Notes how the backup ended, where no server recorded it.
    pub(super) fn note_end(&mut self, taken: &Result<Taken, Failure>, place: &str) {
        let Some(note) = self.note.take() else { return };
        let told = taken.as_ref().map_or_else(
            |_| Params::new(),
            |taken| {
                Params::new()
                    .text("to", place)
                    .number("backup", taken.summary.number)
                    .text("marked", &taken.summary.marked)
            },
        );
        note.end(told, taken.as_ref().err());
    }

    fn asked(&self, request: BackupRequest) -> Result<Answer, Failure> {
        let Store::Server(socket) = &self.store else {
            return Err(unexpected());
        };
        let answer = ask(socket, &Request::Backup { ask: request })?;
        answer.ok_or_else(|| {
            Failure::new(
                Exit::General,
                "the server that uses this data directory does not answer",
                "wait until it is up; if it was stopped, take the backup again",
            )
        })
    }
}

impl Origin for Source {
    fn begin(&mut self) -> Result<Begun, OriginError> {
        self.told = Instant::now();
        if let Store::OffLine(backups, _) = &self.store {
            let (hold, begun) = backups.begin(std::process::id())?;
            self.hold = hold;
            return Ok(begun);
        }
        let begin = BackupRequest::Begin {
            holder: std::process::id(),
        };
        let Answer::BackupBegun(BackupBegun {
            hold,
            mark,
            marked,
            ring_id,
            extents,
        }) = self.asked(begin)?
        else {
            return Err(unexpected().into());
        };
        self.hold = hold;
        let extents = extents.into_iter();
        Ok(Begun {
            mark,
            marked,
            ring_id,
            extents: extents
                .map(|(path, len_bytes)| Extent { path, len_bytes })
                .collect(),
        })
    }

    fn go_on(&mut self) -> Result<(), OriginError> {
        if self.told.elapsed() < GO_ON_EVERY {
            return Ok(());
        }
        self.told = Instant::now();
        let hold = self.hold;
        match &self.store {
            Store::OffLine(backups, _) => backups.go_on(hold)?,
            Store::Server(_) => {
                self.asked(BackupRequest::GoOn { hold })?;
            }
        }
        Ok(())
    }

    fn shreds(&mut self) -> Result<BTreeSet<[u8; 16]>, OriginError> {
        let hold = self.hold;
        let mut found = BTreeSet::new();
        let mut after = None;
        loop {
            let (page, more) = match &self.store {
                Store::OffLine(backups, _) => backups.shreds(hold, after)?,
                Store::Server(_) => {
                    let answer = self.asked(BackupRequest::Shreds { hold, after })?;
                    let Answer::BackupShreds { ids, more } = answer else {
                        return Err(unexpected().into());
                    };
                    (ids, more)
                }
            };
            after = page.last().copied();
            found.extend(page);
            if !more {
                return Ok(found);
            }
        }
    }

    fn ring(&mut self) -> Result<Vec<u8>, OriginError> {
        let copies = RingFiles::new(self.ring.clone()).inspect().into_iter();
        let newest = copies
            .filter(|copy| copy.ring.is_ok())
            .max_by_key(Copy::generation);
        let bytes = newest.and_then(|copy| copy.bytes);
        bytes.ok_or_else(|| {
            let failure = Failure::new(
                Exit::Ring,
                "no copy of the key ring can be read",
                "restore DIR/ring/ring.a or ring.b from a backup",
            );
            failure.into()
        })
    }

    fn sign(&mut self, digest: &[u8; 32]) -> Result<[u8; 32], OriginError> {
        let (hold, digest) = (self.hold, *digest);
        match &self.store {
            Store::OffLine(backups, _) => Ok(backups.sign(hold, &digest)?),
            Store::Server(_) => {
                let answer = self.asked(BackupRequest::Sign { hold, digest })?;
                let Answer::BackupSigned { mac } = answer else {
                    return Err(unexpected().into());
                };
                Ok(mac)
            }
        }
    }

    fn end(&mut self) {
        let hold = self.hold;
        match &self.store {
            Store::OffLine(backups, _) => backups.end(hold),
            // If it does not hear this, the hold ends by itself.
            Store::Server(_) => drop(self.asked(BackupRequest::End { hold })),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Store::OffLine(backups, _) = &self.store {
            backups.close();
        }
    }
}
