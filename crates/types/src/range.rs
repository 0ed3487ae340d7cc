//! Byte ranges of plaintext (RFC 9110, 14).

/// What the `Range` header asks for, before the object's length is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeSpec {
    /// `bytes=first-last`, both inclusive.
    FromTo(u64, u64),
    /// `bytes=first-`.
    From(u64),
    /// `bytes=-length`.
    Last(u64),
}

impl RangeSpec {
    /// Parses a `Range` header. S3 serves a single range of bytes; any other header is ignored and
    /// the whole object is sent, as RFC 9110 allows.
    pub fn parse(header: &str) -> Option<Self> {
        let spec = header.trim().strip_prefix("bytes=")?.trim();
        let (first, last) = spec.split_once('-')?;
        match (first.is_empty(), last.is_empty()) {
            (false, false) => {
                let (first, last) = (digits(first)?, digits(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
            (false, true) => digits(first).map(Self::From),
            (true, false) => digits(last).map(Self::Last),
            (true, true) => None,
        }
    }

    /// The bytes meant, for an object of `len_bytes`. `None` is 416 `InvalidRange`.
    pub fn resolve(self, len_bytes: u64) -> Option<ByteRange> {
        let (start, end) = match self {
            Self::FromTo(first, last) => (first, last.saturating_add(1).min(len_bytes)),
            Self::From(first) => (first, len_bytes),
            Self::Last(length) => (len_bytes.saturating_sub(length), len_bytes),
        };
        (start < end).then_some(ByteRange { start, end })
    }
}

/// A range of bytes: `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte; never below `start`.
    pub end: u64,
}

impl ByteRange {
    /// The whole of an object of `len_bytes`.
    pub const fn whole(len_bytes: u64) -> Self {
        Self {
            start: 0,
            end: len_bytes,
        }
    }

    /// Number of bytes.
    pub const fn len_bytes(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

fn digits(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than a u64 holds mean "to the end", as a huge number does.
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_resolve_against_the_length() {
        type Case = (&'static str, u64, Option<(u64, u64)>);
        let cases: &[Case] = &[
            ("bytes=0-0", 10, Some((0, 1))),
            ("bytes=0-9", 10, Some((0, 10))),
            ("bytes=5-", 10, Some((5, 10))),
            ("bytes=-3", 10, Some((7, 10))),
            ("bytes=-30", 10, Some((0, 10))),
            ("bytes=9-100", 10, Some((9, 10))),
            ("bytes=0-99999999999999999999999", 10, Some((0, 10))),
            ("bytes=10-", 10, None),
            ("bytes=-0", 10, None),
            ("bytes=0-0", 0, None),
            ("bytes=-1", 0, None),
        ];
        for (header, len, expected) in cases {
            let got = RangeSpec::parse(header).unwrap().resolve(*len);
            assert_eq!(
                got.map(|r| (r.start, r.end)),
                *expected,
                "{header} of {len}"
            );
        }
    }

    #[test]
    fn headers_that_are_no_single_range_are_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "items=0-1",
        ] {
            assert_eq!(RangeSpec::parse(header), None, "{header}");
        }
    }
}
