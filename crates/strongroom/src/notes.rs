//! Notes of what commands do by themselves, for the audit trail.
//!
//! A command that opens the key ring without asking the server (`recover`, `seal add`, `verify` of a
//! store that no server uses, ...) cannot write into the trail. It leaves a note, durable before it does
//! anything, and the server takes that into the trail exactly once: before it answers anybody at its
//! next start, or within a second if it runs.
//!
//! ```text
//!   DIR/deeds/EVENT-ID  =  entry "begun"  [ entry "ended" ]
//!   entry               =  BE32(length) || sealed row, bound to the event's id and the entry's place
//! ```
//!
//! The writer locks the file until it is done. A file that nobody locks is all that there will be of its
//! note: without the second entry, the command was killed.
//!
//! What a note proves: it was made with the key ring. What not: that none was removed. Who may write
//! into the data directory can remove a note before the server sees it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use minicbor::{Decode, Encode};
use serde_json::{Map, Value};
use strongroom_audit::{
    Attribute, AuditLog, Event, EventBuilder, EventId, Ledger, Lookup, LookupError, OWN_SOURCE,
    Params,
};
use strongroom_crypto::{Keyring, RowSealer, ServicePurpose, Unsealed};
use strongroom_ports::{Clock as _, CommitError, Table};
use strongroom_rows::Record;
use strongroom_types::Timestamp;

use crate::adapters::{SystemClock, SystemEntropy};
use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::ring_files::RingFiles;
use crate::{files, output};

/// First part of the key that entries are bound to; no row of the table has such a key.
const KEY: &[u8] = b"deed";
/// Of a note that is not whole yet.
const UNFINISHED: &str = ".new";

/// One entry of a note.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Entry {
    /// `eventName`.
    #[n(0)]
    name: String,
    /// Of the "ended" entry: when.
    #[n(1)]
    ended_millis: Option<u64>,
    /// `serviceEventDetails`: a JSON object.
    #[n(2)]
    details: String,
    /// Why the command failed, if it did.
    #[n(3)]
    failure: Option<String>,
}

impl Record for Entry {
    const KIND: u8 = 0x69;
}

/// The note of a command that is at work. Dropped without an end, it says that the command was broken
/// off.
pub(crate) struct Note(Option<Writing>);

struct Writing {
    /// Locked.
    file: File,
    words: Words,
}

/// What a note says, and how it is sealed.
struct Words {
    sealer: RowSealer,
    id: EventId,
    name: &'static str,
    details: Params,
}

impl Note {
    /// Notes that a command begins, in the data directory of the ring. Where that cannot be done, says
    /// so and why: the command may be what saves the data.
    pub(crate) fn begin(
        data: &DataDir,
        ring: &Keyring<Unsealed>,
        name: &'static str,
        details: Params,
    ) -> Self {
        match Writing::begin(data, ring, name, details) {
            Ok(writing) => Self(Some(writing)),
            Err(why) => {
                unrecorded(&why);
                Self(None)
            }
        }
    }

    /// Notes how it ended, with more details.
    pub(crate) fn end(self, more: Params, failure: Option<&Failure>) {
        let Some(mut writing) = self.0 else { return };
        let entry = writing.words.entry(Some((more, failure)));
        let file = &mut writing.file;
        if let Err(error) = file.write_all(&entry).and_then(|()| file.sync_all()) {
            output::complain(&format!(
                "strongroom: warning: the record of this command will not say how it ended: {error}"
            ));
        }
    }
}

/// Says that a command leaves no record.
pub(crate) fn unrecorded(why: &str) {
    output::complain(&format!(
        "strongroom: warning: this command leaves no record in the audit trail: {why}"
    ));
}

impl Writing {
    fn begin(
        data: &DataDir,
        ring: &Keyring<Unsealed>,
        name: &'static str,
        details: Params,
    ) -> Result<Self, String> {
        let copies = RingFiles::new(data.ring()).inspect();
        let mut rings = copies.iter().filter_map(|copy| copy.ring.as_ref().ok());
        if !rings.any(|of_store| of_store.ring_id() == ring.ring_id()) {
            let root = data.root().display();
            return Err(format!("{root} has no store with this key ring"));
        }
        let uid = rustix::process::geteuid().as_raw();
        let words = Words {
            sealer: RowSealer::new(ring.service_key(ServicePurpose::Rows)),
            id: EventId::new(SystemClock::new().now(), &SystemEntropy),
            name,
            details: details.number("operatorUid", uid.into()),
        };
        let directory = data.deeds();
        let file = create(data.root(), &directory, &words)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        Ok(Self { file, words })
    }
}

impl Words {
    /// The first entry, or that of the end.
    fn entry(&self, end: Option<(Params, Option<&Failure>)>) -> Vec<u8> {
        let place = u8::from(end.is_some());
        let ended = end.as_ref().map(|_| SystemClock::new().now().as_millis());
        let (more, failure) = end.unwrap_or_default();
        let entry = Entry {
            name: self.name.to_owned(),
            ended_millis: ended,
            details: self.details.clone().and(&more).as_json(),
            failure: failure.map(|it| it.what.clone()),
        };
        let key = entry_key(self.id, place);
        let sealed = self.sealer.seal(
            Table::AUDIT.0,
            &key,
            &Record::encode(&entry),
            &SystemEntropy,
        );
        let len = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        [len.to_be_bytes().as_slice(), &sealed].concat()
    }
}

fn entry_key(id: EventId, place: u8) -> Vec<u8> {
    [KEY, id.as_bytes(), &[place]].concat()
}

/// Makes the file, locked and with its first entry, before it has its name.
fn create(root: &Path, directory: &Path, words: &Words) -> io::Result<File> {
    files::make_private_dir(directory)?;
    files::give_to_owner_of(root, directory)?;
    let path = directory.join(words.id.to_string());
    let unfinished = directory.join(format!("{}{UNFINISHED}", words.id));
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&unfinished)?;
    let made = (|| {
        file.try_lock()?;
        files::give_to_owner_of(root, &unfinished)?;
        file.write_all(&words.entry(None))?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        File::open(directory)?.sync_all()
    })();
    if made.is_err() {
        // The first error matters.
        let _ = fs::remove_file(&unfinished);
    }
    made.map(|()| file)
}

/// Why notes are not taken into the trail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoteError {
    #[error("{0}: {1}")]
    Files(PathBuf, io::Error),
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// What was taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Notes that became records now.
    pub(crate) recorded: u64,
    /// Files that cannot be read, and why. They stay.
    pub(crate) unreadable: Vec<String>,
}

/// Takes the notes of commands that have ended into the trail, and removes them: each becomes one
/// record, also if it is broken off in the middle and done again, and if two do it at once.
///
/// # Errors
///
/// [`NoteError`]; what was not taken stays.
pub(crate) fn take_in(data: &DataDir, audit: &AuditLog) -> Result<Taken, NoteError> {
    let directory = data.deeds();
    let failed = |error: io::Error| NoteError::Files(directory.clone(), error);
    let mut taken = Taken::default();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(taken),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        found.push(entry.map_err(failed)?.path());
    }
    // In order of time.
    found.sort();
    let mut removed = false;
    for path in found {
        let name = path.file_name().and_then(|it| it.to_str());
        let Some(id) = name.and_then(EventId::parse) else {
            continue;
        };
        let Some((_held, bytes)) = (match held(&path) {
            Ok(held) => held,
            Err(error) => {
                taken
                    .unreadable
                    .push(format!("{}: {error}", path.display()));
                continue;
            }
        }) else {
            continue;
        };
        if !is_recorded(audit, id)? {
            record(audit, id, &bytes)?;
            taken.recorded += 1;
        }
        fs::remove_file(&path).map_err(failed)?;
        removed = true;
    }
    if removed {
        File::open(&directory)
            .and_then(|it| it.sync_all())
            .map_err(failed)?;
    }
    Ok(taken)
}

/// The bytes of a note that nobody writes any more, which is locked while it is taken; nothing if
/// somebody writes or takes it, or has just taken it.
fn held(path: &Path) -> io::Result<Option<(File, Vec<u8>)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    if file.metadata()?.nlink() == 0 {
        return Ok(None);
    }
    let bytes = files::read_open(&file)?;
    Ok(Some((file, bytes)))
}

/// Whether a note became a record before, and only its file is left.
fn is_recorded(audit: &AuditLog, id: EventId) -> Result<bool, NoteError> {
    let ledger = Ledger::new(audit.rows().clone(), audit.home().clone());
    let query = Lookup {
        account: audit.home().account,
        by: Some((Attribute::EventId, id.to_string())),
        start: None,
        end: None,
        max_results: 1,
        next_token: None,
    };
    // As of then: an old record is a record.
    Ok(!ledger.lookup(&query, id.time())?.events.is_empty())
}

fn record(audit: &AuditLog, id: EventId, bytes: &[u8]) -> Result<(), NoteError> {
    let event = match last_entry(audit, id, bytes) {
        Some(entry) => event_of(audit, id, &entry),
        None => event_of_damaged(audit, id, bytes.len()),
    };
    audit.append(&[event]).wait()?;
    Ok(())
}

fn event_of(audit: &AuditLog, id: EventId, entry: &Entry) -> Event {
    // By the builder once more, which keeps secrets out.
    let members: Map<String, Value> = serde_json::from_str(&entry.details).unwrap_or_default();
    let mut details = Params::new().members(&members);
    if let Some(ended) = entry.ended_millis {
        details = details.text("ended", &Timestamp::from_millis(ended).to_iso8601());
    }
    let event = EventBuilder::by_service(audit.home().account, OWN_SOURCE, &entry.name);
    let event = match (&entry.failure, entry.ended_millis) {
        (Some(why), _) => event.failed("Failed", why),
        (None, Some(_)) => event,
        (None, None) => event.failed("BrokenOff", "the command did not come to its end"),
    };
    event
        .service_details(&details)
        .finish_as(id.time(), id, audit.home())
}

/// At the time of now: that of its name is nobody's word.
fn event_of_damaged(audit: &AuditLog, id: EventId, len_bytes: usize) -> Event {
    tracing::error!(note = %id, "a note for the audit trail is damaged or of another key ring");
    let details = Params::new()
        .text("note", &id.to_string())
        .number("bytes", u64::try_from(len_bytes).unwrap_or(u64::MAX));
    let event = EventBuilder::by_service(audit.home().account, OWN_SOURCE, "NoteDamaged");
    audit.finish(event.service_details(&details))
}

/// The last entry that is whole. One that a crash cut off counts as not written.
fn last_entry(audit: &AuditLog, id: EventId, bytes: &[u8]) -> Option<Entry> {
    let mut rest = bytes;
    let mut last = None;
    for place in 0..=1 {
        let Some((len, behind)) = rest.split_first_chunk::<4>() else {
            break;
        };
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let Some((sealed, behind)) = behind.split_at_checked(len) else {
            break;
        };
        let key = entry_key(id, place);
        let opened = audit
            .rows()
            .custody
            .rows()
            .open(Table::AUDIT.0, &key, sealed);
        last = Some(<Entry as Record>::decode(&opened.ok()?)?);
        rest = behind;
    }
    last
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use strongroom_audit::Home;
    use strongroom_ports::MetaStore;
    use strongroom_rows::{Custody, SealedRows};
    use strongroom_store::MemoryMeta;
    use strongroom_types::{AccountId, Region};

    use super::*;
    use crate::failure::Exit;

    struct World {
        _temp: tempfile::TempDir,
        data: DataDir,
        ring: Keyring<Unsealed>,
        audit: AuditLog,
    }

    impl World {
        fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            let data = DataDir::new(temp.path().join("data"));
            data.prepare().unwrap();
            files::make_private_dir(&data.ring()).unwrap();
            let clock = Arc::new(SystemClock::new());
            let (mut ring, unseal_key) = Keyring::create(clock.now(), &SystemEntropy);
            ring.add_slot(1, "a slot", vec![0; 32]);
            let rings = RingFiles::new(data.ring());
            rings.write(&ring, &unseal_key, &SystemEntropy).unwrap();
            let meta: Arc<dyn MetaStore> = Arc::new(MemoryMeta::new());
            let rows = SealedRows {
                meta,
                custody: Arc::new(Custody::new(Arc::new(ring.duplicate().unwrap()))),
                entropy: Arc::new(SystemEntropy),
            };
            let home = Home {
                account: AccountId::parse("111122223333").unwrap(),
                region: Region::parse("us-east-1").unwrap(),
            };
            let audit = AuditLog::new(rows, clock, home);
            Self {
                _temp: temp,
                data,
                ring,
                audit,
            }
        }

        fn begin(&self) -> Note {
            let details = Params::new().text("output", "/tmp/x").flag("whole", true);
            Note::begin(&self.data, &self.ring, "RecoverStore", details)
        }

        fn take(&self) -> u64 {
            let taken = take_in(&self.data, &self.audit).unwrap();
            assert_eq!(taken.unreadable, Vec::<String>::new());
            taken.recorded
        }

        fn notes(&self) -> Vec<PathBuf> {
            let entries = fs::read_dir(self.data.deeds()).unwrap();
            entries.map(|it| it.unwrap().path()).collect()
        }

        fn records(&self) -> Vec<Value> {
            let rows = (self.audit.rows().clone(), self.audit.home().clone());
            let query = Lookup {
                account: self.audit.home().account,
                by: None,
                start: None,
                end: None,
                max_results: 50,
                next_token: None,
            };
            let page = Ledger::new(rows.0, rows.1).lookup(&query, self.audit.now());
            let mut events = page.unwrap().events;
            events.reverse();
            let parsed = events.iter().map(|it| serde_json::from_str(it.document()));
            parsed.map(Result::unwrap).collect()
        }
    }

    fn failed() -> Failure {
        Failure::new(Exit::Store, "3 things are lost", "")
    }

    #[test]
    fn a_note_becomes_one_record_with_all_that_it_says() {
        let world = World::new();
        world.begin().end(Params::new().number("versions", 7), None);
        assert_eq!((world.take(), world.take()), (1, 0));
        assert_eq!(world.notes(), Vec::<PathBuf>::new());
        let [record] = world.records().try_into().unwrap();
        assert_eq!(record["eventName"], "RecoverStore");
        assert_eq!(record["eventSource"], OWN_SOURCE);
        let details = record["serviceEventDetails"].as_object().unwrap();
        assert_eq!(details["output"], "/tmp/x");
        assert_eq!(details["whole"], true);
        assert_eq!(details["versions"], 7);
        assert!(details.contains_key("operatorUid") && details.contains_key("ended"));
        assert!(record.get("errorCode").is_none());
    }

    #[test]
    fn a_note_that_is_left_or_put_back_after_its_record_is_not_recorded_again() {
        let world = World::new();
        world.begin().end(Params::new(), None);
        let [path] = world.notes().try_into().unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(world.take(), 1);
        // A crash before the file was removed; then the same once more behind the chain.
        for chained in [false, true] {
            fs::write(&path, &bytes).unwrap();
            if chained {
                let ledger = Ledger::new(world.audit.rows().clone(), world.audit.home().clone());
                let lane = strongroom_audit::Lane::Management;
                assert_eq!(ledger.step(lane, world.audit.now(), true).unwrap().count, 1);
            }
            assert_eq!(world.take(), 0);
            assert_eq!(world.notes(), Vec::<PathBuf>::new());
            assert_eq!(world.records().len(), 1);
        }
    }

    #[test]
    fn a_note_waits_for_its_command_and_tells_how_that_ended() {
        let world = World::new();
        let at_work = world.begin();
        assert_eq!(world.take(), 0);
        at_work.end(Params::new(), Some(&failed()));
        assert_eq!(world.take(), 1);
        drop(world.begin());
        assert_eq!(world.take(), 1);
        let records = world.records();
        let told: Vec<_> = records.iter().map(|it| &it["errorCode"]).collect();
        assert_eq!(told, ["Failed", "BrokenOff"]);
        assert_eq!(records[0]["errorMessage"], "3 things are lost");
    }

    #[test]
    fn an_end_that_a_crash_cut_off_is_none() {
        let world = World::new();
        world.begin().end(Params::new(), None);
        let [path] = world.notes().try_into().unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(world.take(), 1);
        assert_eq!(world.records()[0]["errorCode"], "BrokenOff");
    }

    #[test]
    fn what_is_no_note_of_this_ring_is_told_and_holds_up_nothing() {
        let world = World::new();
        let other = World::new();
        world.begin().end(Params::new(), None);
        let [good] = world.notes().try_into().unwrap();
        other.begin().end(Params::new(), None);
        let [foreign] = other.notes().try_into().unwrap();
        fs::copy(
            &foreign,
            world.data.deeds().join(foreign.file_name().unwrap()),
        )
        .unwrap();
        // Another note's bytes, and one with a changed byte.
        let mut bytes = fs::read(&good).unwrap();
        let id = |byte| EventId::from_bytes([byte; 16]).to_string();
        fs::write(world.data.deeds().join(id(1)), &bytes).unwrap();
        bytes[20] ^= 1;
        fs::write(world.data.deeds().join(id(2)), &bytes).unwrap();
        fs::write(world.data.deeds().join(id(3)), b"").unwrap();
        assert_eq!(world.take(), 5);
        assert_eq!(world.notes(), Vec::<PathBuf>::new());
        let records = world.records();
        let named = |name| records.iter().filter(|it| it["eventName"] == name).count();
        assert_eq!((named("RecoverStore"), named("NoteDamaged")), (1, 4));
    }

    #[test]
    fn a_ring_leaves_notes_in_its_own_store_only() {
        let (world, other) = (World::new(), World::new());
        Note::begin(&world.data, &other.ring, "DrillBackup", Params::new())
            .end(Params::new(), None);
        assert!(!world.data.deeds().exists());
        // Nor where there is no room for the directory.
        fs::write(world.data.deeds(), "").unwrap();
        world.begin().end(Params::new(), None);
        assert!(world.data.deeds().is_file());
    }
}
