//! The digests of a stream of plaintext: MD5, SHA-256 and S3's additional checksums, computed in
//! one pass, and how the checksums of parts combine.

use std::fmt;

use aws_lc_rs::digest::{Context as Sha, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use crc_fast::{CrcAlgorithm, Digest as Crc, checksum_combine};
use md5::{Digest as _, Md5};
use strongroom_types::{Checksum, ChecksumAlgorithm, ChecksumType};

use crate::{ChecksumValue, ExpectedDigests, S3Error};

/// What to compute of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct DigestPlan {
    /// The MD5 is wanted as the ETag.
    pub md5: bool,
    /// The checksum that will be kept.
    pub checksum: Option<ChecksumAlgorithm>,
}

/// A stream's digests in the making.
pub(crate) struct StreamDigest {
    md5: Option<Md5>,
    sha256: Option<Sha>,
    /// At most two: the one to keep and the one that the client sent.
    checksums: Vec<(ChecksumAlgorithm, State)>,
}

enum State {
    Crc(Box<Crc>),
    Sha(Sha),
}

impl StreamDigest {
    /// Starts what `plan` wants and `expected` needs.
    pub(crate) fn new(plan: DigestPlan, expected: &ExpectedDigests) -> Self {
        let mut checksums: Vec<(ChecksumAlgorithm, State)> = Vec::new();
        let sent = expected
            .checksum
            .as_ref()
            .map(|checksum| checksum.algorithm);
        for algorithm in [plan.checksum, sent].into_iter().flatten() {
            if !checksums.iter().any(|(present, _)| *present == algorithm) {
                checksums.push((algorithm, start(algorithm)));
            }
        }
        Self {
            md5: (plan.md5 || expected.content_md5.is_some()).then(Md5::new),
            sha256: expected.content_sha256.map(|_| Sha::new(&SHA256)),
            checksums,
        }
    }

    /// Takes the next piece.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(piece);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(piece);
        }
        for (_, state) in &mut self.checksums {
            match state {
                State::Crc(crc) => crc.update(piece),
                State::Sha(sha) => sha.update(piece),
            }
        }
    }

    /// The digests of all that was taken.
    pub(crate) fn finish(self) -> Digests {
        let finish = |(algorithm, state)| {
            let value = match state {
                State::Crc(crc) => crc_bytes(algorithm, crc.finalize()),
                State::Sha(sha) => sha.finish().as_ref().to_vec(),
            };
            (algorithm, value)
        };
        Digests {
            md5: self.md5.map(|md5| md5.finalize().into()),
            sha256: self
                .sha256
                .and_then(|sha| sha.finish().as_ref().try_into().ok()),
            checksums: self.checksums.into_iter().map(finish).collect(),
        }
    }
}

/// The digests of a whole stream.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Digests {
    /// Where wanted or needed.
    pub md5: Option<[u8; 16]>,
    sha256: Option<[u8; 32]>,
    checksums: Vec<(ChecksumAlgorithm, Vec<u8>)>,
}

impl fmt::Debug for Digests {
    /// A digest confirms a guess of the content: logs learn that there are some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digests({} checksums)", self.checksums.len())
    }
}

impl Digests {
    /// The value of a checksum that was planned or sent.
    pub(crate) fn value(&self, algorithm: ChecksumAlgorithm) -> Option<&[u8]> {
        let (_, value) = self
            .checksums
            .iter()
            .find(|(computed, _)| *computed == algorithm)?;
        Some(value)
    }

    /// The same as a checksum of the whole object.
    pub(crate) fn full_object(&self, algorithm: ChecksumAlgorithm) -> Option<Checksum> {
        let value = self.value(algorithm)?.to_vec();
        Some(Checksum {
            algorithm,
            kind: ChecksumType::FullObject,
            value,
            part_count: 0,
        })
    }

    /// Compares with what the client announced; `trailing` is the value of the trailer, if one came.
    ///
    /// # Errors
    ///
    /// [`S3Error::BadDigest`], [`S3Error::ContentSha256Mismatch`], [`S3Error::TrailerMissing`],
    /// [`S3Error::ChecksumMismatch`].
    pub(crate) fn verify(
        &self,
        expected: &ExpectedDigests,
        trailing: Option<&[u8]>,
    ) -> Result<(), S3Error> {
        let ExpectedDigests {
            content_md5,
            content_sha256,
            checksum,
        } = expected;
        if let (Some(expected), Some(computed)) = (content_md5, &self.md5)
            && expected != computed
        {
            return Err(S3Error::BadDigest {
                expected: *expected,
                computed: *computed,
            });
        }
        if let (Some(expected), Some(computed)) = (content_sha256, &self.sha256)
            && expected != computed
        {
            return Err(S3Error::ContentSha256Mismatch {
                expected: *expected,
                computed: *computed,
            });
        }
        let Some(checksum) = checksum else {
            return Ok(());
        };
        let announced = match &checksum.value {
            ChecksumValue::Header(value) => value.as_slice(),
            ChecksumValue::Trailer => trailing.ok_or(S3Error::TrailerMissing)?,
            ChecksumValue::Computed => return Ok(()),
        };
        if self.value(checksum.algorithm) == Some(announced) {
            Ok(())
        } else {
            Err(S3Error::ChecksumMismatch(checksum.algorithm))
        }
    }
}

/// The checksum of two pieces of one stream, from the checksums of each and the second's length.
/// `None` for an algorithm that does not combine, or a value of the wrong length.
pub(crate) fn combine(
    algorithm: ChecksumAlgorithm,
    first: &[u8],
    second: &[u8],
    second_len_bytes: u64,
) -> Option<Vec<u8>> {
    let crc = crc_algorithm(algorithm)?;
    let combined = checksum_combine(
        crc,
        crc_number(algorithm, first)?,
        crc_number(algorithm, second)?,
        second_len_bytes,
    );
    Some(crc_bytes(algorithm, combined))
}

/// The value of a checksum over one piece: of an empty object, or of the parts' values.
pub(crate) fn checksum_of(algorithm: ChecksumAlgorithm, data: &[u8]) -> Vec<u8> {
    match start(algorithm) {
        State::Crc(mut crc) => {
            crc.update(data);
            crc_bytes(algorithm, crc.finalize())
        }
        State::Sha(mut sha) => {
            sha.update(data);
            sha.finish().as_ref().to_vec()
        }
    }
}

/// MD5 of one piece.
pub(crate) fn md5_of(data: &[u8]) -> [u8; 16] {
    Md5::digest(data).into()
}

fn start(algorithm: ChecksumAlgorithm) -> State {
    match algorithm {
        ChecksumAlgorithm::Sha1 => State::Sha(Sha::new(&SHA1_FOR_LEGACY_USE_ONLY)),
        ChecksumAlgorithm::Sha256 => State::Sha(Sha::new(&SHA256)),
        ChecksumAlgorithm::Crc32 => State::Crc(Box::new(Crc::new(CrcAlgorithm::Crc32IsoHdlc))),
        ChecksumAlgorithm::Crc32c => State::Crc(Box::new(Crc::new(CrcAlgorithm::Crc32Iscsi))),
        ChecksumAlgorithm::Crc64Nvme => State::Crc(Box::new(Crc::new(CrcAlgorithm::Crc64Nvme))),
    }
}

fn crc_algorithm(algorithm: ChecksumAlgorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        ChecksumAlgorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumAlgorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        ChecksumAlgorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256 => None,
    }
}

/// Big-endian, in the algorithm's own length.
fn crc_bytes(algorithm: ChecksumAlgorithm, value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    bytes
        .iter()
        .skip(bytes.len().saturating_sub(algorithm.len_bytes()))
        .copied()
        .collect()
}

fn crc_number(algorithm: ChecksumAlgorithm, value: &[u8]) -> Option<u64> {
    (value.len() == algorithm.len_bytes()).then(|| {
        value
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExpectedChecksum;

    const CHECK: &[u8] = b"123456789";

    #[test]
    fn checksums_are_the_published_ones() {
        // The "check" values of the CRC catalogue (reveng), and FIPS 180 for SHA.
        let hex = |algorithm| hex::encode(checksum_of(algorithm, CHECK));
        assert_eq!(hex(ChecksumAlgorithm::Crc32), "cbf43926");
        assert_eq!(hex(ChecksumAlgorithm::Crc32c), "e3069283");
        assert_eq!(hex(ChecksumAlgorithm::Crc64Nvme), "ae8b14860a799888");
        assert_eq!(
            hex(ChecksumAlgorithm::Sha1),
            "f7c3bc1d808e04732adf679965ccc34ca7ae3441"
        );
        assert_eq!(
            hex(ChecksumAlgorithm::Sha256),
            "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
        );
        assert_eq!(
            hex::encode(md5_of(CHECK)),
            "25f9e794323b453885f5181f1b624d0b"
        );
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let expected = ExpectedDigests {
            content_sha256: Some([0; 32]),
            checksum: Some(ExpectedChecksum {
                algorithm: ChecksumAlgorithm::Sha1,
                value: ChecksumValue::Computed,
            }),
            content_md5: None,
        };
        let plan = DigestPlan {
            md5: true,
            checksum: Some(ChecksumAlgorithm::Crc32),
        };
        let mut digest = StreamDigest::new(plan, &expected);
        for piece in CHECK.chunks(2) {
            digest.update(piece);
        }
        let digests = digest.finish();
        assert_eq!(digests.md5, Some(md5_of(CHECK)));
        assert_eq!(
            digests.sha256.unwrap().to_vec(),
            checksum_of(ChecksumAlgorithm::Sha256, CHECK)
        );
        for algorithm in [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Sha1] {
            assert_eq!(
                digests.value(algorithm).unwrap(),
                checksum_of(algorithm, CHECK)
            );
        }
        assert!(digests.value(ChecksumAlgorithm::Crc32c).is_none());
    }

    #[test]
    fn crcs_combine_and_hashes_do_not() {
        for algorithm in ChecksumAlgorithm::ALL {
            let (first, second) = CHECK.split_at(4);
            let combined = combine(
                algorithm,
                &checksum_of(algorithm, first),
                &checksum_of(algorithm, second),
                5,
            );
            let whole = algorithm
                .allows(ChecksumType::FullObject)
                .then(|| checksum_of(algorithm, CHECK));
            assert_eq!(combined, whole, "{algorithm}");
        }
        assert_eq!(combine(ChecksumAlgorithm::Crc32, &[0; 8], &[0; 4], 1), None);
    }

    #[test]
    fn announced_digests_are_compared() {
        let verify = |expected: &ExpectedDigests, trailing: Option<&[u8]>| {
            let mut digest = StreamDigest::new(DigestPlan::default(), expected);
            digest.update(CHECK);
            digest.finish().verify(expected, trailing)
        };
        let none = ExpectedDigests::default();
        assert_eq!(verify(&none, None), Ok(()));
        let md5 = |content_md5| ExpectedDigests {
            content_md5: Some(content_md5),
            ..none.clone()
        };
        assert_eq!(verify(&md5(md5_of(CHECK)), None), Ok(()));
        assert!(matches!(
            verify(&md5([0; 16]), None),
            Err(S3Error::BadDigest { .. })
        ));
        let sha = ExpectedDigests {
            content_sha256: Some([0; 32]),
            ..none.clone()
        };
        assert!(matches!(
            verify(&sha, None),
            Err(S3Error::ContentSha256Mismatch { .. })
        ));
        let algorithm = ChecksumAlgorithm::Crc32c;
        let checksum = |value| ExpectedDigests {
            checksum: Some(ExpectedChecksum { algorithm, value }),
            ..none.clone()
        };
        let right = checksum_of(algorithm, CHECK);
        assert_eq!(
            verify(&checksum(ChecksumValue::Header(right.clone())), None),
            Ok(())
        );
        assert_eq!(
            verify(&checksum(ChecksumValue::Trailer), Some(&right)),
            Ok(())
        );
        assert_eq!(
            verify(&checksum(ChecksumValue::Trailer), None),
            Err(S3Error::TrailerMissing)
        );
        let wrong = checksum(ChecksumValue::Header(vec![0; 4]));
        assert_eq!(
            verify(&wrong, None),
            Err(S3Error::ChecksumMismatch(algorithm))
        );
    }
}
