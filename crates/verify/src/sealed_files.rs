//! Journal and snapshots, frame by frame.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use strongroom_crypto::{Keyring, ServicePurpose, Unsealed};
use strongroom_recover::frames::{Frame, SealedFile, read_at};
use strongroom_recover::rows;

use crate::pace::Pace;
use crate::report::{FileCounts, Finding, Kind};
use crate::text::to_u64;

const FRAME_HEADER_LEN_BYTES: usize = 16;
const FRAME_ALIGN_BYTES: usize = 16;
const TAG_LEN_BYTES: usize = 16;
const FILLED_UP_WRONG: &str = "what fills a frame up is not zeros";

/// What a look at all of them came to.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) counts: FileCounts,
    pub(crate) findings: Vec<Finding>,
    /// The last commit in the journal; known with keys only.
    pub(crate) last_commit: Option<u64>,
    /// A frame at the very end that a crash, or a server at work, has not written whole.
    pub(crate) torn: Option<Finding>,
}

/// A file, by its number, and its path.
type Numbered = (u64, PathBuf);

/// Looks at the journal and the snapshots in `meta`; with the ring, at their tags and the sequence of
/// commits, too. `acknowledged` is a commit that the journal must reach, if one is known.
///
/// # Errors
///
/// The operating system's, of directories.
pub(crate) fn check(
    meta: &Path,
    ring: Option<&Keyring<Unsealed>>,
    pace: &Pace<'_>,
    on_line: bool,
    acknowledged: Option<u64>,
) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    // In this order: beside a server the journal is cut only behind a newer snapshot.
    let journals = rows::journals(meta)?;
    let snapshots = rows::snapshots(meta)?;
    let mut look = Look {
        ring,
        pace,
        on_line,
        outcome: &mut outcome,
    };
    let mut covered = None;
    for (index, snapshot) in snapshots.iter().enumerate() {
        let is_newest = index + 1 == snapshots.len();
        if look.snapshot(snapshot)? && is_newest {
            covered = Some(snapshot.0);
        }
        if !is_newest {
            let why = "an older snapshot: the next start removes it";
            let finding = Finding::damage("snapshot", why).of_kind(Kind::Leftover);
            look.add(finding.in_file(shown("snapshot", &snapshot.1)));
        }
    }
    let mut expected: Option<u64> = None;
    for (index, journal) in journals.iter().enumerate() {
        let is_last = index + 1 == journals.len();
        let first = index == 0;
        let limit = covered.map_or(1, |covered| covered + 1);
        expected = look.journal(journal, (first, is_last), limit, expected)?;
    }
    if journals.is_empty() && !on_line {
        let why = "there is no journal: the last file of it stays always";
        look.add(Finding::damage("missing", why).in_file("meta/journal"));
    }
    let end = expected.map(|next| next.saturating_sub(1));
    // Without keys nobody can say how many commits a frame is of.
    let end = end.filter(|_| ring.is_some());
    if let (Some(end), Some(covered)) = (end, covered)
        && end < covered
    {
        let why = format!("the journal ends at commit {end}, before the snapshot of {covered}");
        look.add(Finding::damage("missing", why).in_file("meta/journal"));
    }
    let reached = end.max(covered).unwrap_or_default();
    if let Some(acknowledged) = acknowledged.filter(|it| *it > reached && ring.is_some()) {
        let why = format!(
            "the journal ends at commit {reached}: acknowledged commits are missing, up to {acknowledged}"
        );
        look.add(Finding::damage("missing", why).in_file("meta/journal"));
    }
    outcome.last_commit = end;
    Ok(outcome)
}

struct Look<'a> {
    ring: Option<&'a Keyring<Unsealed>>,
    pace: &'a Pace<'a>,
    on_line: bool,
    outcome: &'a mut Outcome,
}

impl Look<'_> {
    fn add(&mut self, finding: Finding) {
        self.outcome.findings.push(finding);
    }

    /// Opens a file; `None` if there is nothing more to say of it.
    fn open(
        &mut self,
        (number, path): &Numbered,
        kind: &str,
        purpose: ServicePurpose,
        may_be_new: bool,
    ) -> io::Result<Option<SealedFile>> {
        let file = match self.pace.open(path) {
            Ok(file) => file,
            // The server removed it meanwhile.
            Err(error) if self.on_line && error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let (magic, directory) = match kind {
            "journal" => (*b"SRJ1", "journal"),
            _ => (*b"SRS1", "snapshot"),
        };
        let damage = |why: &str| {
            Finding::damage(kind, why)
                .in_file(shown(directory, path))
                .at(0)
        };
        if may_be_new && SealedFile::is_blank(&file)? {
            // It was being made when the server stopped, or is just now.
            return Ok(None);
        }
        let key = self.ring.map(|ring| ring.service_key(purpose));
        let Some(sealed) = SealedFile::open(file, magic, key)? else {
            self.add(damage("its header is damaged"));
            return Ok(None);
        };
        let own = if kind == "journal" {
            sealed.number
        } else {
            sealed.sequence
        };
        if own != *number {
            self.add(damage("its header is that of another file"));
        }
        self.pace.take(sealed.read_bytes());
        Ok(Some(sealed))
    }

    /// Whether the snapshot's header is sound.
    fn snapshot(&mut self, file: &Numbered) -> io::Result<bool> {
        let Some(mut sealed) = self.open(file, "snapshot", ServicePurpose::Snapshot, false)? else {
            return Ok(false);
        };
        self.outcome.counts.snapshots += 1;
        let (mut rows, mut promised) = (0_u64, None);
        let at = shown("snapshot", &file.1);
        let damage = |why: &str| Finding::damage("snapshot", why).in_file(at.clone());
        let mut frames = 0;
        let mut is_whole = true;
        let own = File::open(&file.1)?;
        while let Some(frame) = self.next_frame(&mut sealed)? {
            match frame {
                Frame::Opened(index, payload) => {
                    if index != frames + 1 {
                        is_whole = false;
                        self.add(damage("frames are missing"));
                    }
                    frames = index;
                    self.outcome.counts.snapshot_frames += 1;
                    if let Some(at) = self.filled_up_wrong(&own, &sealed, payload.len())? {
                        self.add(damage(FILLED_UP_WRONG).at(at));
                    }
                    let count = payload.first_chunk::<4>().map(|it| u32::from_be_bytes(*it));
                    match count {
                        Some(0) => {
                            let all = payload.get(4..12).and_then(|it| it.try_into().ok());
                            promised = all.map(u64::from_be_bytes);
                        }
                        Some(count) => rows += u64::from(count),
                        None => {}
                    }
                }
                Frame::Damaged(offset) | Frame::Torn(offset) => {
                    is_whole = false;
                    self.add(damage("a frame is damaged").at(offset));
                }
            }
        }
        if self.ring.is_some() && is_whole && promised != Some(rows) {
            self.add(damage("it does not hold all of its rows"));
        }
        // Its end says so with keys only; without, the last frame is a short one.
        if self.ring.is_none() && frames == 0 && is_whole {
            self.add(damage("it holds nothing"));
        }
        Ok(true)
    }

    /// The commit that must come next; without keys, the first one that may.
    fn journal(
        &mut self,
        file: &Numbered,
        (is_first, is_last): (bool, bool),
        limit: u64,
        expected: Option<u64>,
    ) -> io::Result<Option<u64>> {
        let may_be_new = is_last && !is_first;
        let Some(mut sealed) = self.open(file, "journal", ServicePurpose::Journal, may_be_new)?
        else {
            return Ok(expected);
        };
        self.outcome.counts.journals += 1;
        let at = shown("journal", &file.1);
        let damage = |what: &str, why: String| Finding::damage(what, why).in_file(at.clone());
        let begins = sealed.sequence;
        if is_first && begins > limit {
            let why = format!("it begins with commit {begins}; commits before it are missing");
            self.add(damage("missing", why));
        }
        if let Some(expected) = expected {
            // Files that the snapshot replaces are deleted in no order that a crash would keep. Without
            // keys, what should come next is the least that can be.
            let is_gap = begins > expected && begins > limit && self.ring.is_some();
            if is_gap || begins < expected {
                let why =
                    format!("it begins with commit {begins}, and {expected} should come next");
                self.add(damage("missing", why));
            }
        }
        let mut next = begins;
        let mut frames = 0;
        let own = File::open(&file.1)?;
        while let Some(frame) = self.next_frame(&mut sealed)? {
            match frame {
                Frame::Opened(index, payload) => {
                    if index != frames + 1 {
                        self.add(damage(
                            "journal",
                            format!("frames before frame {index} are missing"),
                        ));
                    }
                    frames = index;
                    self.outcome.counts.journal_frames += 1;
                    if let Some(at) = self.filled_up_wrong(&own, &sealed, payload.len())? {
                        self.add(damage("journal", FILLED_UP_WRONG.to_owned()).at(at));
                    }
                    next = if self.ring.is_some() {
                        self.commits(&payload, next, &at)
                    } else {
                        // Each frame is of one commit at least.
                        next.saturating_add(1)
                    };
                }
                Frame::Torn(offset) if is_last && may_be_torn(&file.1, offset)? => {
                    let why = "the last frame was not written whole, and nobody was told of it";
                    let finding = damage("journal", why.to_owned()).of_kind(Kind::Leftover);
                    self.outcome.torn = Some(finding.at(offset));
                }
                Frame::Torn(offset) | Frame::Damaged(offset) => {
                    self.add(damage("journal", "a frame is damaged".to_owned()).at(offset));
                }
            }
        }
        let len = fs::metadata(&file.1).map_or(0, |it| it.len());
        self.pace.take(len.saturating_sub(sealed.read_bytes()));
        Ok(Some(next))
    }

    fn next_frame(&self, sealed: &mut SealedFile) -> io::Result<Option<Frame>> {
        let before = sealed.read_bytes();
        let frame = sealed.next()?;
        self.pace.take(sealed.read_bytes() - before);
        Ok(frame)
    }

    /// Looks at the bytes between the end of a frame's payload and where the next one begins. Where
    /// they are, if they are not zeros.
    fn filled_up_wrong(
        &self,
        file: &File,
        sealed: &SealedFile,
        payload_len: usize,
    ) -> io::Result<Option<u64>> {
        let tag = if self.ring.is_some() {
            TAG_LEN_BYTES
        } else {
            0
        };
        let len = payload_len + tag;
        let padding = len.next_multiple_of(FRAME_ALIGN_BYTES) - len;
        if padding == 0 {
            return Ok(None);
        }
        let end = sealed.read_bytes();
        let from = end.saturating_sub(to_u64(padding));
        let bytes = read_at(file, from, padding)?;
        let is_wrong = bytes.iter().any(|byte| *byte != 0);
        Ok(is_wrong.then(|| end - to_u64(FRAME_ALIGN_BYTES)))
    }

    /// Checks the sequence of one group commit; what must come next.
    fn commits(&mut self, payload: &[u8], next: u64, at: &str) -> u64 {
        let first = payload.first_chunk::<8>().map(|it| u64::from_be_bytes(*it));
        let count = payload.get(8..12).and_then(|it| it.try_into().ok());
        let count = count.map(u32::from_be_bytes);
        let (Some(first), Some(count)) = (first, count) else {
            self.add(Finding::damage("journal", "a commit cannot be read").in_file(at));
            return next;
        };
        if first != next {
            let why = format!("commit {first} stands where {next} should");
            self.add(Finding::damage("journal", why).in_file(at));
        }
        first.saturating_add(u64::from(count))
    }
}

/// A header lies within one sector, and a sector is written whole: so a frame that was cut short
/// has a header of zeros, or a sound one.
fn may_be_torn(path: &Path, offset: u64) -> io::Result<bool> {
    let header = read_at(&File::open(path)?, offset, FRAME_HEADER_LEN_BYTES)?;
    if header.iter().all(|byte| *byte == 0) {
        return Ok(true);
    }
    let (Some(fields), Some(checksum)) = (header.get(..12), header.get(12..16)) else {
        return Ok(true);
    };
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, fields);
    Ok(u32::try_from(sum).unwrap_or(u32::MAX).to_be_bytes() == checksum)
}

fn shown(directory: &str, path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("meta/{directory}/{name}")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use strongroom_crypto::FrameCipher;
    use strongroom_types::{Entropy, Timestamp};

    use super::*;

    struct Ones;

    impl Entropy for Ones {
        fn fill(&self, out: &mut [u8]) {
            out.fill(1);
        }
    }

    fn ring() -> Keyring<Unsealed> {
        Keyring::create(Timestamp::from_seconds(1), &Ones).0
    }

    fn crc(bytes: &[u8]) -> [u8; 4] {
        let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
        u32::try_from(sum).unwrap().to_be_bytes()
    }

    /// A journal file of commits, each in a frame of its own, with room behind them.
    fn journal(ring: &Keyring<Unsealed>, number: u64, first: u64, commits: u64) -> Vec<u8> {
        let cipher = FrameCipher::new(ring.service_key(ServicePurpose::Journal), &[5; 32]);
        let mut file = [&b"SRJ1"[..], &[0, 1, 0, 0]].concat();
        file.extend(number.to_be_bytes());
        file.extend(first.to_be_bytes());
        file.extend([5; 32]);
        file.extend(crc(&file));
        file.extend([0; 4]);
        let mut tag = Vec::new();
        cipher.seal(0, &file, &mut tag, 0);
        file.extend(tag);
        let aad = [&b"SRJ1"[..], &number.to_be_bytes(), &first.to_be_bytes()].concat();
        for index in 1..=commits {
            let mut payload = (first + index - 1).to_be_bytes().to_vec();
            payload.extend([0, 0, 0, 1]);
            payload.extend([0; 90]);
            cipher.seal(index, &aad, &mut payload, 0);
            let mut head = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
            head.extend(crc(&payload));
            head.extend(u32::try_from(index).unwrap().to_be_bytes());
            head.extend(crc(&head));
            file.extend(head);
            file.extend(payload);
            file.resize(file.len().next_multiple_of(16), 0);
        }
        file
    }

    fn look(files: &[(&str, &[u8])], ring: Option<&Keyring<Unsealed>>) -> Outcome {
        look_knowing(files, ring, None)
    }

    /// The same when it is known how far the journal must reach.
    fn look_knowing(
        files: &[(&str, &[u8])],
        ring: Option<&Keyring<Unsealed>>,
        acknowledged: Option<u64>,
    ) -> Outcome {
        let meta = tempfile::tempdir().unwrap();
        for directory in ["journal", "snapshot"] {
            fs::create_dir(meta.path().join(directory)).unwrap();
        }
        for (name, bytes) in files {
            fs::write(meta.path().join(name), bytes).unwrap();
        }
        let never = AtomicBool::new(false);
        let pace = Pace::new(None, &never, false);
        check(meta.path(), ring, &pace, false, acknowledged).unwrap()
    }

    fn damage(outcome: &Outcome) -> usize {
        let all = outcome.findings.iter();
        all.filter(|it| it.kind == Kind::Damage).count()
    }

    const FIRST: &str = "journal/00000001.srj";
    const SECOND: &str = "journal/00000002.srj";

    #[test]
    fn every_byte_of_a_journal_is_looked_at() {
        let ring = ring();
        let (first, second) = (journal(&ring, 1, 1, 3), journal(&ring, 2, 4, 2));
        let whole = look(&[(FIRST, &first), (SECOND, &second)], Some(&ring));
        assert_eq!((damage(&whole), whole.last_commit), (0, Some(5)));
        assert!(whole.torn.is_none());
        for at in 0..first.len() {
            let mut bad = first.clone();
            bad[at] ^= 4;
            let found = look(&[(FIRST, &bad), (SECOND, &second)], Some(&ring));
            assert!(damage(&found) > 0, "byte {at}");
            let keyless = look(&[(FIRST, &bad), (SECOND, &second)], None);
            // A tag needs its key.
            assert!(damage(&keyless) > 0 || (64..80).contains(&at), "byte {at}");
        }
    }

    #[test]
    fn frames_and_files_that_are_missing_are_found() {
        let ring = ring();
        let (first, second) = (journal(&ring, 1, 1, 3), journal(&ring, 2, 4, 2));
        // Cut off behind its second frame: the next file does not continue it.
        let cut = journal(&ring, 1, 1, 2);
        assert_eq!(
            damage(&look(&[(FIRST, &cut), (SECOND, &second)], Some(&ring))),
            1
        );
        assert_eq!(damage(&look(&[(SECOND, &second)], Some(&ring))), 1);
        assert_eq!(damage(&look(&[(SECOND, &first)], Some(&ring))), 1);
        assert_eq!(damage(&look(&[], None)), 1);
    }

    /// A snapshot of no rows.
    fn snapshot(ring: &Keyring<Unsealed>, sequence: u64) -> Vec<u8> {
        let cipher = FrameCipher::new(ring.service_key(ServicePurpose::Snapshot), &[6; 32]);
        let mut file = [&b"SRS1"[..], &[0, 1, 0, 0], &[0; 8]].concat();
        file.extend(sequence.to_be_bytes());
        file.extend([6; 32]);
        file.extend(crc(&file));
        file.extend([0; 4]);
        let mut tag = Vec::new();
        cipher.seal(0, &file, &mut tag, 0);
        file.extend(tag);
        let mut payload = vec![0; 12];
        let aad = [&b"SRS1"[..], &[0; 8], &sequence.to_be_bytes()].concat();
        cipher.seal(1, &aad, &mut payload, 0);
        let mut head = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        head.extend(crc(&payload));
        head.extend(1_u32.to_be_bytes());
        head.extend(crc(&head));
        file.extend(head);
        file.extend(payload);
        file.resize(file.len().next_multiple_of(16), 0);
        file
    }

    const SNAPSHOT: &str = "snapshot/00000000000000000003.srs";

    #[test]
    fn a_snapshot_of_commits_within_the_last_journal_file_is_no_damage() {
        let ring = ring();
        let (first, taken) = (journal(&ring, 1, 1, 5), snapshot(&ring, 3));
        for keys in [Some(&ring), None] {
            let found = look(&[(FIRST, &first), (SNAPSHOT, &taken)], keys);
            assert_eq!(found.findings, []);
        }
        let short = journal(&ring, 1, 1, 2);
        let found = look(&[(FIRST, &short), (SNAPSHOT, &taken)], Some(&ring));
        assert_eq!(damage(&found), 1);
    }

    #[test]
    fn a_journal_file_that_a_crash_brought_back_from_before_the_snapshot_is_no_damage() {
        let ring = ring();
        // The file between the two is gone, and the snapshot holds what was in it.
        let (old, last) = (journal(&ring, 1, 1, 1), journal(&ring, 3, 4, 2));
        let (old, last) = ((FIRST, &old[..]), ("journal/00000003.srj", &last[..]));
        let taken = snapshot(&ring, 3);
        for keys in [Some(&ring), None] {
            assert_eq!(look(&[old, last, (SNAPSHOT, &taken)], keys).findings, []);
        }
        let found = look(&[old, last], Some(&ring));
        assert_eq!(damage(&found), 1);
    }

    #[test]
    fn a_journal_that_ends_before_an_acknowledged_commit_is_found() {
        let ring = ring();
        let (older, taken) = (journal(&ring, 1, 1, 2), snapshot(&ring, 3));
        for (files, reached) in [
            (vec![(FIRST, &older[..])], 2),
            (
                vec![(FIRST, &journal(&ring, 1, 1, 3)[..]), (SNAPSHOT, &taken)],
                3,
            ),
        ] {
            let all = look_knowing(&files, Some(&ring), Some(reached));
            assert_eq!(all.findings, []);
            let lost = look_knowing(&files, Some(&ring), Some(reached + 1));
            assert_eq!(damage(&lost), 1);
            // Without keys nobody knows how many commits there are.
            assert_eq!(look_knowing(&files, None, Some(reached + 1)).findings, []);
        }
    }

    #[test]
    fn journal_files_that_were_exchanged_are_found_without_keys() {
        let ring = ring();
        let (first, second) = (journal(&ring, 1, 1, 3), journal(&ring, 2, 4, 2));
        let found = look(&[(FIRST, &second), (SECOND, &first)], None);
        assert!(damage(&found) >= 2, "{:?}", found.findings);
        // Another store's, of the same number: it begins before the one before it can have ended.
        let other = journal(&ring, 2, 3, 4);
        let found = look(&[(FIRST, &first), (SECOND, &other)], None);
        assert_eq!(damage(&found), 1);
    }

    #[test]
    fn a_frame_that_a_crash_cut_short_is_no_damage_and_a_damaged_header_is() {
        let ring = ring();
        let whole = journal(&ring, 1, 1, 3);
        let last = whole.len() - (whole.len() - 80) / 3;
        let mut torn = whole.clone();
        // Padding, and what comes before it.
        torn[whole.len() - 24..].fill(0);
        torn.resize(whole.len() + 4096, 0);
        let found = look(&[(FIRST, &torn)], Some(&ring));
        assert_eq!(damage(&found), 0);
        assert!(found.torn.is_some());
        let mut bad = whole.clone();
        bad[last + 2] ^= 1;
        bad.resize(whole.len() + 4096, 0);
        let found = look(&[(FIRST, &bad)], Some(&ring));
        assert_eq!((damage(&found), found.torn.is_none()), (1, true));
    }
}
