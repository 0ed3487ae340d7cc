//! Wrapped keys, encryption contexts and key versions exchanged between objects in the store, by
//! somebody who can seal rows: no read gives bytes then, neither the object's nor the other's.

use std::ops::Range;

use bytes::Bytes;
use minicbor::Decoder;
use strongroom_crypto::WrappedKey;
use strongroom_model::keys::Target;
use strongroom_model::vault::{Lock, Step, Wish};
use strongroom_ports::{Scan, Table, Transaction};

use crate::subject::{Failed, Subject};
use crate::world::INLINE_MAX_BYTES;

/// What is exchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Piece {
    /// A field of the version's row, by the numbers of the fields that lead to it.
    Field(&'static str, &'static [u64]),
    /// A stretch of the key service's ciphertext within the wrapped key.
    Ciphertext(&'static str, usize, usize),
}

/// `VersionRow` 4 is the object, 2 of it the key, with 0 the wrapped key and 2 the KMS row. A
/// ciphertext is version(1), suite(1), key id(16), material id(32), and what follows.
const PIECES: [Piece; 12] = [
    Piece::Field("row", &[]),
    Piece::Field("object", &[4]),
    Piece::Field("key row", &[4, 2]),
    Piece::Field("wrapped key", &[4, 2, 0]),
    Piece::Field("KMS row", &[4, 2, 2]),
    Piece::Field("algorithm", &[4, 2, 2, 0]),
    Piece::Field("key ARN", &[4, 2, 2, 1]),
    Piece::Field("client's context", &[4, 2, 2, 2]),
    Piece::Field("ARN in the context", &[4, 2, 2, 3]),
    Piece::Ciphertext("ciphertext", 0, usize::MAX),
    Piece::Ciphertext("key id", 2, 18),
    Piece::Ciphertext("material id", 18, 50),
];

impl Piece {
    /// Where it is in a row's plaintext.
    fn find(self, row: &[u8]) -> Option<Range<usize>> {
        match self {
            Self::Field(_, path) => field(row, path),
            Self::Ciphertext(_, from, to) => {
                let wrapped = field(row, &[4, 2, 0])?;
                let bytes = Decoder::new(&row[wrapped.clone()]).bytes().ok()?;
                let wrapped_key = WrappedKey::parse(bytes).ok()?;
                let blob = wrapped_key.kms_blob()?;
                let at = wrapped.end - bytes.len() + position(bytes, blob)?;
                Some(at + from..at + to.min(blob.len()))
            }
        }
    }
}

/// The bytes of a field behind a record's kind and version.
fn field(row: &[u8], path: &[u64]) -> Option<Range<usize>> {
    let body = &row[2..];
    let mut decoder = Decoder::new(body);
    'path: for wanted in path {
        for _ in 0..decoder.map().ok()?? {
            if decoder.u64().ok()? == *wanted {
                continue 'path;
            }
            decoder.skip().ok()?;
        }
        return None;
    }
    let start = decoder.position();
    decoder.skip().ok()?;
    // Nothing is there.
    if body[start..decoder.position()] == [0xF6] {
        return None;
    }
    Some(2 + start..2 + decoder.position())
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|it| it == needle)
}

/// An object, and its version's row.
struct Stored {
    name: String,
    bytes: Vec<u8>,
    lock: Lock,
    row_key: Bytes,
    row: Vec<u8>,
}

impl Stored {
    fn read(&self, subject: &Subject) -> Result<Vec<u8>, Failed> {
        subject.read(&self.name, &self.lock)
    }

    fn is_kms(&self) -> bool {
        matches!(self.lock, Lock::Kms { .. } | Lock::Dsse { .. })
    }

    /// Its row with the other's `piece`, if both have one and they differ.
    fn with(&self, other: &Self, piece: Piece) -> Option<Vec<u8>> {
        let (own, others) = (piece.find(&self.row)?, piece.find(&other.row)?);
        let others = &other.row[others];
        (self.row[own.clone()] != *others).then(|| {
            let (head, tail) = (&self.row[..own.start], &self.row[own.end..]);
            [head, others, tail].concat()
        })
    }

    fn store(&self, subject: &Subject, plaintext: &[u8]) {
        let world = &subject.world;
        let rows = world.custody.rows();
        let table = Table::VERSIONS;
        let sealed = rows.seal(table.0, &self.row_key, plaintext, &*world.entropy);
        let transaction = Transaction::new().put(table, self.row_key.clone(), sealed);
        world.services().meta.commit(transaction).wait().unwrap();
    }
}

/// Under two keys and the AWS managed one, two versions of one of them, in every mode, inline and as
/// blobs, of one PUT and of parts.
fn objects(subject: &mut Subject) -> Vec<Stored> {
    for _ in 0..2 {
        let made = subject.apply(&Step::CreateKey { external: false }, None);
        made.unwrap();
    }
    let mut wishes = Vec::new();
    for key in [Some(0), Some(1), None] {
        let target = || key.map(Target::Key);
        for bucket_key in [false, true] {
            let target = target();
            let wish = Wish::Kms { target, bucket_key };
            wishes.push((wish, Lock::Kms { key, bucket_key }));
        }
        let target = target();
        wishes.push((Wish::Dsse { target }, Lock::Dsse { key }));
    }
    let mut stored = Vec::new();
    for version in 0..2 {
        for (at, (wish, lock)) in wishes.iter().enumerate() {
            let len = if at % 2 == version {
                100
            } else {
                2 * INLINE_MAX_BYTES
            };
            let number = u8::try_from(stored.len()).unwrap();
            let (name, bytes) = (format!("object-{number:02}"), vec![number; len]);
            put(subject, &name, &bytes, wish, at % 3 == 0, lock);
            stored.push((name, bytes, lock.clone()));
        }
        subject.apply(&Step::Rotate { key: 0 }, None).unwrap();
        // Bucket keys of the version before are forgotten.
        subject.world.restart();
    }
    for (wish, lock) in [
        (Wish::SseS3, Lock::SseS3),
        (Wish::Customer(1), Lock::Customer(1)),
    ] {
        for _ in 0..2 {
            let number = u8::try_from(stored.len()).unwrap();
            let (name, bytes) = (format!("object-{number:02}"), vec![number; 100]);
            put(subject, &name, &bytes, &wish, false, &lock);
            stored.push((name, bytes, lock.clone()));
        }
    }
    let scan = Scan {
        table: Table::VERSIONS,
        start: Bytes::new(),
        end: None,
        limit: 1000,
        reverse: false,
    };
    let rows = subject.world.services().meta.scan(&scan).unwrap().rows;
    let opened = stored.into_iter().map(|(name, bytes, lock)| {
        let of_it = |key: &[u8]| position(key, name.as_bytes()).is_some();
        let row = rows.iter().find(|row| of_it(&row.key)).unwrap();
        let rows = subject.world.custody.rows();
        let plaintext = rows.open(Table::VERSIONS.0, &row.key, &row.value);
        Stored {
            row_key: row.key.clone(),
            row: plaintext.unwrap(),
            name,
            bytes,
            lock,
        }
    });
    opened.collect()
}

fn put(subject: &mut Subject, name: &str, bytes: &[u8], wish: &Wish, in_parts: bool, lock: &Lock) {
    let (name, wish, bytes) = (name.to_owned(), wish.clone(), bytes.to_vec());
    let about = Some((name.as_str(), lock));
    let steps = if in_parts {
        let upload = subject.uploads_made();
        let name = name.clone();
        vec![
            Step::CreateUpload { name, wish },
            Step::UploadPart { upload, bytes },
            Step::Complete { upload },
        ]
    } else {
        let name = name.clone();
        vec![Step::Put { name, bytes, wish }]
    };
    for step in steps {
        subject.apply(&step, about).unwrap();
    }
}

#[test]
fn what_is_exchanged_between_objects_opens_neither() {
    let mut subject = Subject::new(1);
    let stored = objects(&mut subject);
    let mut exchanged = 0;
    for (at, one) in stored.iter().enumerate() {
        assert_eq!(one.read(&subject), Ok(one.bytes.clone()));
        for other in &stored[..at] {
            for piece in PIECES {
                let what = format!("{piece:?} of {:?} and {:?}", one.lock, other.lock);
                let (Some(row), Some(others_row)) =
                    (one.with(other, piece), other.with(one, piece))
                else {
                    continue;
                };
                one.store(&subject, &row);
                other.store(&subject, &others_row);
                for victim in [one, other] {
                    refused(&mut subject, victim, one.is_kms() && other.is_kms(), &what);
                }
                one.store(&subject, &one.row);
                other.store(&subject, &other.row);
                exchanged += 1;
            }
        }
    }
    for one in &stored {
        assert_eq!(one.read(&subject), Ok(one.bytes.clone()));
    }
    assert!(exchanged > 1000, "{exchanged}");
}

/// What is shown is not part of what is authenticated by the key service; the row is.
#[test]
fn the_mark_of_a_bucket_key_exchanged_gives_nobody_anothers_bytes() {
    let mut subject = Subject::new(2);
    let stored = objects(&mut subject);
    let mark = Piece::Field("bucket key", &[4, 2, 2, 4]);
    let mut exchanged = 0;
    for (at, one) in stored.iter().enumerate() {
        for other in &stored[..at] {
            let (Some(row), Some(others_row)) = (one.with(other, mark), other.with(one, mark))
            else {
                continue;
            };
            one.store(&subject, &row);
            other.store(&subject, &others_row);
            for victim in [one, other] {
                let got = victim.read(&subject);
                let harmless = got == Ok(victim.bytes.clone())
                    || got == Err(Failed::Broken("Damaged".to_owned()));
                assert!(harmless, "{:?}: {got:?}", victim.lock);
            }
            one.store(&subject, &one.row);
            other.store(&subject, &other.row);
            exchanged += 1;
        }
    }
    assert!(exchanged > 30, "{exchanged}");
}

/// No way to the bytes is open. Where both are of the key service, it is told to be damage.
fn refused(subject: &mut Subject, victim: &Stored, damage: bool, what: &str) {
    let name = victim.name.clone();
    let (to, wish) = ("copy".to_owned(), Wish::SseS3);
    let ways = [
        Step::Get { name: name.clone() },
        Step::Copy {
            from: name.clone(),
            to,
            wish,
        },
        Step::Update {
            name: name.clone(),
            key: 1,
            bucket_key: false,
        },
    ];
    for way in ways {
        let got = subject.apply(&way, Some((&name, &victim.lock)));
        let is_dsse = matches!(way, Step::Update { .. }) && what.contains("Dsse");
        let told = match &got {
            Ok(_) => false,
            Err(Failed::Broken(error)) => !damage || error == "Damaged",
            // DSSE-KMS is not updated, damaged or not.
            Err(Failed::Refused(_)) => !damage || is_dsse,
        };
        assert!(told, "{what}: {way:?}: {got:?}");
    }
}
