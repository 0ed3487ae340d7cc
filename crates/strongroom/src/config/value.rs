//! Values that settings have, parsed once.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen, if at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listen {
    /// On this address; port 0 takes a free one.
    At(SocketAddr),
    /// Not at all.
    Off,
}

impl Listen {
    /// `127.0.0.1` with `port`.
    pub(crate) const fn loopback(port: u16) -> Self {
        Self::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        // A name would have to be looked up, and may mean several addresses; localhost means one.
        let numeric = text
            .strip_prefix("localhost:")
            .map(|port| format!("127.0.0.1:{port}"));
        numeric
            .as_deref()
            .unwrap_or(text)
            .parse()
            .map(Self::At)
            .map_err(|_| {
                "an address and port such as 127.0.0.1:9000 or [::1]:9000, or off, is expected"
                    .to_owned()
            })
    }
}

/// An amount of bytes, written `512MiB`, `1GiB`, `10G` or `1000`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ByteSize(pub(crate) u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "a size such as 512MiB or 1GiB is expected".to_owned();
        let split = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(split).ok_or_else(expected)?;
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "K" | "KiB" => 1 << 10,
            "M" | "MiB" => 1 << 20,
            "G" | "GiB" => 1 << 30,
            "T" | "TiB" => 1 << 40,
            _ => return Err(expected()),
        };
        let count: u64 = digits.parse().map_err(|_| expected())?;
        count.checked_mul(factor).map(Self).ok_or_else(expected)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 >> shift > 0) {
            Some((shift, unit)) => {
                let tenths = (self.0 >> (shift - 10)).saturating_mul(10) >> 10;
                write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
            }
            None => write!(f, "{} B", self.0),
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum $type { $($(#[$variant_doc])* $variant),* }

        impl $type {
            /// The word in flags and files.
            pub(crate) const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                [$(Self::$variant),*].into_iter().find(|known| known.word() == text)
                    .ok_or_else(|| format!("one of {} is expected", [$($word),*].join(", ")))
            }
        }
    };
}

words! {
    /// How much is logged.
    LogLevel {
        /// What needs a person.
        Error = "error",
        /// What may need one soon.
        Warn = "warn",
        /// What an operator follows.
        Info = "info",
        /// What a developer follows.
        Debug = "debug",
        /// Everything but secrets.
        Trace = "trace",
    }
}

words! {
    /// How the log is written.
    LogFormat {
        /// Lines for people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// Which data events are recorded, whatever trails want.
    DataEventLevel {
        /// Denials alone.
        Denied = "denied",
        /// Changes as well.
        Write = "write",
        /// All.
        All = "all",
    }
}

words! {
    /// What encrypts the digest files of a trail with a key.
    DigestEncryption {
        /// SSE-S3: the proof stays readable when the key is not.
        SseS3 = "sse-s3",
        /// The trail's key.
        TrailKey = "trail-key",
    }
}

/// The keys of an OpenID Connect issuer in a file: `https://issuer.example=/etc/keys.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerKeysFile {
    /// Its URL, as tokens have it in `iss`.
    pub(crate) issuer: String,
    pub(crate) file: PathBuf,
}

impl FromStr for IssuerKeysFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((issuer, file)) if issuer.starts_with("https://") && !file.is_empty() => {
                Ok(Self {
                    issuer: issuer.to_owned(),
                    file: file.into(),
                })
            }
            Some(_) | None => Err("https://ISSUER=FILE is expected".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_never_wrap() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("1KiB", 1024),
            ("2M", 2 << 20),
            ("1GiB", 1 << 30),
            ("3 TiB", 3 << 40),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in ["", "GiB", "-1", "1GB!", "1.5GiB", "99999999999999TiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
        assert_eq!(ByteSize(1536 << 20).to_string(), "1.5 GiB");
        assert_eq!(ByteSize(12).to_string(), "12 B");
    }

    #[test]
    fn addresses_are_numeric_or_localhost() {
        assert_eq!("localhost:9000".parse(), Ok(Listen::loopback(9000)));
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert!("[::1]:0".parse::<Listen>().is_ok());
        for bad in ["", "9000", "example.com:80", "127.0.0.1"] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }

    #[test]
    fn words_are_exact() {
        assert_eq!("trace".parse(), Ok(LogLevel::Trace));
        assert!("Trace".parse::<LogLevel>().is_err());
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
