//! A trail's configuration, and the rules of CreateTrail and UpdateTrail.

use std::fmt;
use std::net::IpAddr;

use minicbor::{Decode, Encode};
use strongroom_types::{AccountId, Region, Tag, TagError, TagSet, Timestamp};

use crate::limits::{PREFIX_MAX_BYTES, TAGS_MAX};
use crate::trails::Selectors;

/// Why a request about a trail is refused. The texts are for clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrailProblem {
    /// `InvalidTrailNameException`.
    #[error("{0}")]
    Name(&'static str),
    /// `InvalidS3BucketNameException`.
    #[error("Incorrect S3 bucket name: {0}")]
    BucketName(String),
    /// `InvalidS3PrefixException`.
    #[error("Incorrect S3 key prefix.")]
    Prefix,
    /// `InvalidEventSelectorsException`.
    #[error("{0}")]
    EventSelectors(String),
    /// `InvalidParameterCombinationException`.
    #[error("{0}")]
    ParameterCombination(&'static str),
    /// `TagsLimitExceededException`.
    #[error("A trail has at most {TAGS_MAX} tags.")]
    TooManyTags,
    /// `InvalidTagParameterException`.
    #[error(
        "A tag's key has 1 to 128 and its value 0 to 256 letters, digits, spaces and + - = . _ : / @; \
         no two have the same key, and aws: is reserved."
    )]
    Tag,
    /// `TrailAlreadyExistsException`.
    #[error("Trail {0} already exists.")]
    Exists(String),
    /// `TrailNotFoundException`.
    #[error("Unknown trail: {0}")]
    Unknown(String),
    /// `MaximumNumberOfTrailsExceededException`.
    #[error("The account has reached its limit of trails.")]
    TooMany,
}

/// A trail's name: 1 to 128 letters (AWS takes 3 at least), digits, `.`, `_`, `-`; begins and ends with a letter or digit, no
/// two of the others side by side, no IPv4 address (CreateTrail API).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrailName(String);

impl TrailName {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// [`TrailProblem::Name`].
    pub fn parse(text: &str) -> Result<Self, TrailProblem> {
        let bytes = text.as_bytes();
        if !(1..=128).contains(&bytes.len()) {
            return Err(TrailProblem::Name(
                "Trail name must have a length from 1 to 128 characters.",
            ));
        }
        let mark = |byte: &u8| matches!(byte, b'.' | b'_' | b'-');
        if !bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || mark(byte))
        {
            return Err(TrailProblem::Name(
                "Trail name can only contain letters, numbers, periods, underscores and dashes.",
            ));
        }
        if bytes.first().is_some_and(mark) || bytes.last().is_some_and(mark) {
            return Err(TrailProblem::Name(
                "Trail name must start and end with a letter or number.",
            ));
        }
        if bytes.windows(2).any(|pair| pair.iter().all(mark)) {
            return Err(TrailProblem::Name(
                "Trail name must not have adjacent periods, underscores or dashes.",
            ));
        }
        if text.parse::<IpAddr>().is_ok() {
            return Err(TrailProblem::Name("Trail name must not be an IP address."));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name in `name_or_arn`: a trail's name, or its ARN in this account and region.
    ///
    /// # Errors
    ///
    /// [`TrailProblem::Name`]; [`TrailProblem::Unknown`] of another account's or region's ARN.
    pub fn of(
        name_or_arn: &str,
        account: AccountId,
        region: &Region,
    ) -> Result<Self, TrailProblem> {
        if !name_or_arn.starts_with("arn:") {
            return Self::parse(name_or_arn);
        }
        let name = name_or_arn.strip_prefix(&arn_prefix(account.as_str(), region.as_str()));
        let unknown = || TrailProblem::Unknown(name_or_arn.to_owned());
        Self::parse(name.ok_or_else(unknown)?)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrailName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A trail, as DescribeTrails shows it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the API's members, each with a name of its own"
)]
pub struct Trail {
    /// `Name`.
    #[n(0)]
    pub name: String,
    /// The account that owns it.
    #[n(1)]
    pub account: String,
    /// `HomeRegion`.
    #[n(2)]
    pub region: String,
    /// `S3BucketName`.
    #[n(3)]
    pub bucket: String,
    /// `S3KeyPrefix`, without a slash at its end.
    #[n(4)]
    pub prefix: Option<String>,
    /// `KmsKeyId`: the ARN of a key.
    #[n(5)]
    pub kms_key_arn: Option<String>,
    /// `LogFileValidationEnabled`.
    #[n(6)]
    pub validation: bool,
    /// `IncludeGlobalServiceEvents`.
    #[n(7)]
    pub global_events: bool,
    /// `IsMultiRegionTrail`.
    #[n(8)]
    pub multi_region: bool,
    /// What it delivers.
    #[n(9)]
    pub selectors: Selectors,
    /// Tags: keys and values.
    #[n(10)]
    pub tags: Vec<(String, String)>,
    /// `IsLogging`.
    #[n(11)]
    pub logging: bool,
    /// Whether digests are encrypted as the log files are; else with SSE-S3, so that the proof stays
    /// readable when the key is not.
    #[n(12)]
    pub digests_under_key: bool,
    /// When it was made, in milliseconds.
    #[n(13)]
    pub created_millis: u64,
}

/// What UpdateTrail changes; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateTrail {
    /// `S3BucketName`.
    pub bucket: Option<String>,
    /// `S3KeyPrefix`; an empty one removes it.
    pub prefix: Option<String>,
    /// `KmsKeyId`, resolved to an ARN; an empty one turns SSE-KMS off.
    pub kms_key_arn: Option<String>,
    /// `EnableLogFileValidation`.
    pub validation: Option<bool>,
    /// `IncludeGlobalServiceEvents`.
    pub global_events: Option<bool>,
    /// `IsMultiRegionTrail`.
    pub multi_region: Option<bool>,
}

impl Trail {
    /// A new trail, which does not log yet.
    pub fn new(
        name: &TrailName,
        account: AccountId,
        region: &Region,
        bucket: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            name: name.as_str().to_owned(),
            account: account.to_string(),
            region: region.as_str().to_owned(),
            bucket: bucket.to_owned(),
            prefix: None,
            kms_key_arn: None,
            validation: false,
            global_events: true,
            multi_region: false,
            selectors: Selectors::default(),
            tags: Vec::new(),
            logging: false,
            digests_under_key: false,
            created_millis: now.as_millis(),
        }
    }

    /// `arn:aws:cloudtrail:REGION:ACCOUNT:trail/NAME`.
    pub fn arn(&self) -> String {
        trail_arn(&self.account, &self.region, &self.name)
    }

    /// Makes the changes of an UpdateTrail, or of a CreateTrail on what [`Trail::new`] gave.
    #[must_use]
    pub fn updated(mut self, update: UpdateTrail) -> Self {
        let UpdateTrail {
            bucket,
            prefix,
            kms_key_arn,
            validation,
            global_events,
            multi_region,
        } = update;
        let set = |text: String| (!text.is_empty()).then_some(text);
        if let Some(bucket) = bucket {
            self.bucket = bucket;
        }
        if let Some(prefix) = prefix {
            self.prefix = set(prefix.trim_end_matches('/').to_owned());
        }
        if let Some(arn) = kms_key_arn {
            self.kms_key_arn = set(arn);
        }
        self.validation = validation.unwrap_or(self.validation);
        self.global_events = global_events.unwrap_or(self.global_events);
        self.multi_region = multi_region.unwrap_or(self.multi_region);
        self
    }

    /// Checks what does not depend on buckets and keys.
    ///
    /// # Errors
    ///
    /// [`TrailProblem`].
    pub fn check(&self) -> Result<(), TrailProblem> {
        TrailName::parse(&self.name)?;
        if strongroom_types::BucketName::parse(&self.bucket).is_err() {
            return Err(TrailProblem::BucketName(self.bucket.clone()));
        }
        // What a key, an ARN in a policy and a header hold alike (CreateTrail: up to 200 characters).
        let fine = |prefix: &String| {
            prefix.len() <= PREFIX_MAX_BYTES
                && !prefix.starts_with('/')
                && prefix
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b'*')
        };
        if !self.prefix.as_ref().is_none_or(fine) {
            return Err(TrailProblem::Prefix);
        }
        if self.multi_region && !self.global_events {
            return Err(TrailProblem::ParameterCombination(
                "Multi-Region trail must include global service events.",
            ));
        }
        let tag = |(key, value): &(String, String)| Tag {
            key: key.clone(),
            value: value.clone(),
        };
        match TagSet::parse(self.tags.iter().map(tag).collect(), TAGS_MAX) {
            Ok(_) => self.selectors.check(),
            Err(TagError::TooMany { .. }) => Err(TrailProblem::TooManyTags),
            Err(
                TagError::InvalidKey
                | TagError::InvalidValue
                | TagError::SystemKey
                | TagError::Duplicate,
            ) => Err(TrailProblem::Tag),
        }
    }

    /// `prefix/AWSLogs/ACCOUNT/` or without prefix: under which all is delivered.
    pub fn root(&self) -> String {
        let account = &self.account;
        match &self.prefix {
            Some(prefix) => format!("{prefix}/AWSLogs/{account}/"),
            None => format!("AWSLogs/{account}/"),
        }
    }
}

/// The ARN of a trail of that name.
pub(crate) fn trail_arn(account: &str, region: &str, name: &str) -> String {
    format!("{}{name}", arn_prefix(account, region))
}

/// Whether it is the ARN of a trail, of whatever account and region.
pub(crate) fn is_trail_arn(arn: &str) -> bool {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, region) = (parts.next(), parts.next());
    let (account, resource) = (parts.next(), parts.next());
    service == Some("cloudtrail")
        && region.is_some_and(|it| !it.is_empty())
        && account.is_some_and(|it| AccountId::parse(it).is_ok())
        && resource.is_some_and(|it| {
            it.strip_prefix("trail/")
                .is_some_and(|name| !name.is_empty())
        })
}

fn arn_prefix(account: &str, region: &str) -> String {
    format!("arn:aws:cloudtrail:{region}:{account}:trail/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{START, World};

    #[test]
    fn names_are_cloudtrails() {
        let long = "a".repeat(128);
        for good in ["t", "abc", "my-trail_1.x", long.as_str(), "1.2.3"] {
            assert!(TrailName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(129);
        for bad in [
            "",
            long.as_str(),
            "a b c",
            "-abc",
            "abc.",
            "a--b",
            "a._b",
            "10.0.0.1",
            "\u{e9}bc",
        ] {
            assert!(TrailName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_trail_is_named_by_its_own_arn_only() {
        let world = World::new();
        let home = world.home();
        let of = |text: &str| TrailName::of(text, home.account, &home.region);
        assert!(of("arn:aws:cloudtrail:us-east-1:111122223333:trail/abc").is_ok());
        for other in [
            "arn:aws:cloudtrail:eu-west-1:111122223333:trail/abc",
            "arn:aws:cloudtrail:us-east-1:111122223334:trail/abc",
        ] {
            assert_eq!(of(other), Err(TrailProblem::Unknown(other.to_owned())));
        }
    }

    #[test]
    fn trails_are_checked() {
        let world = World::new();
        let name = TrailName::parse("abc").unwrap();
        let trail = Trail::new(&name, world.account(), &world.home().region, "logs", START);
        let update = |update| trail.clone().updated(update).check();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(trail.check(), Ok(()));
        assert_eq!(
            trail.arn(),
            "arn:aws:cloudtrail:us-east-1:111122223333:trail/abc"
        );
        assert!(
            update(UpdateTrail {
                prefix: text("a/b"),
                ..UpdateTrail::default()
            })
            .is_ok()
        );
        let long = "x".repeat(201);
        for prefix in ["/a", "a b", long.as_str()] {
            let refused = update(UpdateTrail {
                prefix: text(prefix),
                ..UpdateTrail::default()
            });
            assert_eq!(refused, Err(TrailProblem::Prefix), "{prefix}");
        }
        let tags = |tags: &[(&str, &str)]| {
            let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            let tags = tags.iter().map(own).collect();
            Trail {
                tags,
                ..trail.clone()
            }
            .check()
        };
        assert_eq!(tags(&[("team", "red"), ("b/c", "")]), Ok(()));
        for wrong in [
            [("a", "1"), ("a", "2")],
            [("aws:a", ""), ("b", "")],
            [("a", "<"), ("b", "")],
        ] {
            assert_eq!(tags(&wrong), Err(TrailProblem::Tag), "{wrong:?}");
        }
        let refused = update(UpdateTrail {
            bucket: text("No"),
            ..UpdateTrail::default()
        });
        assert_eq!(refused, Err(TrailProblem::BucketName("No".to_owned())));
        let both = UpdateTrail {
            multi_region: Some(true),
            global_events: Some(false),
            ..UpdateTrail::default()
        };
        assert!(matches!(
            update(both),
            Err(TrailProblem::ParameterCombination(_))
        ));
        let with_key = trail.clone().updated(UpdateTrail {
            kms_key_arn: text("arn"),
            prefix: text("p/"),
            ..UpdateTrail::default()
        });
        assert_eq!(with_key.root(), "p/AWSLogs/111122223333/");
        let without = with_key.updated(UpdateTrail {
            kms_key_arn: text(""),
            prefix: text(""),
            ..UpdateTrail::default()
        });
        assert_eq!((without.kms_key_arn, without.prefix), (None, None));
    }
}
