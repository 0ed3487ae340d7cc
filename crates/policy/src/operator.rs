//! The operators of conditions (IAM User Guide, "IAM JSON policy elements: Condition operators").

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

macro_rules! comparisons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// How a condition compares the request's values with its own.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Comparison {
            $(
                $(#[$doc])*
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*
        }

        impl Comparison {
            /// All comparisons.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The operator's name without prefix and `IfExists`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

comparisons! {
    StringEquals = "StringEquals",
    StringNotEquals = "StringNotEquals",
    StringEqualsIgnoreCase = "StringEqualsIgnoreCase",
    StringNotEqualsIgnoreCase = "StringNotEqualsIgnoreCase",
    StringLike = "StringLike",
    StringNotLike = "StringNotLike",
    NumericEquals = "NumericEquals",
    NumericNotEquals = "NumericNotEquals",
    NumericLessThan = "NumericLessThan",
    NumericLessThanEquals = "NumericLessThanEquals",
    NumericGreaterThan = "NumericGreaterThan",
    NumericGreaterThanEquals = "NumericGreaterThanEquals",
    DateEquals = "DateEquals",
    DateNotEquals = "DateNotEquals",
    DateLessThan = "DateLessThan",
    DateLessThanEquals = "DateLessThanEquals",
    DateGreaterThan = "DateGreaterThan",
    DateGreaterThanEquals = "DateGreaterThanEquals",
    Bool = "Bool",
    BinaryEquals = "BinaryEquals",
    IpAddress = "IpAddress",
    NotIpAddress = "NotIpAddress",
    ArnEquals = "ArnEquals",
    ArnNotEquals = "ArnNotEquals",
    ArnLike = "ArnLike",
    ArnNotLike = "ArnNotLike",
    /// Whether the key is absent.
    Null = "Null",
}

/// How an operator treats keys of many values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum SetOperator {
    /// `ForAllValues:`: true of no values at all.
    ForAllValues,
    /// `ForAnyValue:`: false of no values.
    ForAnyValue,
}

/// A whole operator: `[ForAllValues:|ForAnyValue:]Comparison[IfExists]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConditionOperator {
    /// The prefix.
    pub set: Option<SetOperator>,
    /// The comparison.
    pub comparison: Comparison,
    /// Whether the condition holds where the request has no such key.
    pub if_exists: bool,
}

impl ConditionOperator {
    /// Parses an operator. Names are compared exactly; `Null` has no `IfExists`.
    pub fn parse(text: &str) -> Option<Self> {
        let (set, rest) = if let Some(rest) = text.strip_prefix("ForAllValues:") {
            (Some(SetOperator::ForAllValues), rest)
        } else if let Some(rest) = text.strip_prefix("ForAnyValue:") {
            (Some(SetOperator::ForAnyValue), rest)
        } else {
            (None, text)
        };
        let (name, if_exists) = match rest.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (rest, false),
        };
        let comparison = *Comparison::ALL
            .iter()
            .find(|comparison| comparison.name() == name)?;
        if comparison == Comparison::Null && (if_exists || set.is_some()) {
            return None;
        }
        Some(Self {
            set,
            comparison,
            if_exists,
        })
    }
}

impl fmt::Display for ConditionOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = match self.set {
            Some(SetOperator::ForAllValues) => "ForAllValues:",
            Some(SetOperator::ForAnyValue) => "ForAnyValue:",
            None => "",
        };
        let if_exists = if self.if_exists { "IfExists" } else { "" };
        write!(f, "{set}{}{if_exists}", self.comparison.name())
    }
}

impl Comparison {
    /// Whether it is one of those that hold where the request has no such key.
    pub const fn is_negated(self) -> bool {
        match self {
            Self::StringNotEquals
            | Self::StringNotEqualsIgnoreCase
            | Self::StringNotLike
            | Self::NumericNotEquals
            | Self::DateNotEquals
            | Self::NotIpAddress
            | Self::ArnNotEquals
            | Self::ArnNotLike => true,
            Self::StringEquals
            | Self::StringEqualsIgnoreCase
            | Self::StringLike
            | Self::NumericEquals
            | Self::NumericLessThan
            | Self::NumericLessThanEquals
            | Self::NumericGreaterThan
            | Self::NumericGreaterThanEquals
            | Self::DateEquals
            | Self::DateLessThan
            | Self::DateLessThanEquals
            | Self::DateGreaterThan
            | Self::DateGreaterThanEquals
            | Self::Bool
            | Self::BinaryEquals
            | Self::IpAddress
            | Self::ArnEquals
            | Self::ArnLike
            | Self::Null => false,
        }
    }

    /// Whether `value` can be compared this way. What cannot would never match, and a negated
    /// comparison with it always: a mistake that must not pass for a condition.
    pub(crate) fn accepts(self, value: &str) -> bool {
        match self {
            Self::StringEquals
            | Self::StringNotEquals
            | Self::StringEqualsIgnoreCase
            | Self::StringNotEqualsIgnoreCase
            | Self::StringLike
            | Self::StringNotLike
            | Self::ArnEquals
            | Self::ArnNotEquals
            | Self::ArnLike
            | Self::ArnNotLike => true,
            Self::NumericEquals
            | Self::NumericNotEquals
            | Self::NumericLessThan
            | Self::NumericLessThanEquals
            | Self::NumericGreaterThan
            | Self::NumericGreaterThanEquals => value.parse().is_ok_and(f64::is_finite),
            Self::DateEquals
            | Self::DateNotEquals
            | Self::DateLessThan
            | Self::DateLessThanEquals
            | Self::DateGreaterThan
            | Self::DateGreaterThanEquals => parse_date_millis(value).is_some(),
            Self::Bool | Self::Null => {
                value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
            }
            Self::BinaryEquals => is_base64(value),
            Self::IpAddress | Self::NotIpAddress => AddressRange::parse(value).is_some(),
        }
    }
}

/// Milliseconds since 1970 of a date: seconds since 1970, or the ISO 8601 forms of the W3C note that
/// AWS names, which are a date, with or without a time and its zone.
pub(crate) fn parse_date_millis(value: &str) -> Option<i64> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(value) {
        // Beyond any time that there will be, later is as good as much later.
        return Some(
            value
                .parse::<i64>()
                .unwrap_or(i64::MAX)
                .saturating_mul(1000),
        );
    }
    let (date, time) = match value.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (value, None),
    };
    let field = |text: Option<&str>, len: usize, range: RangeInclusive<i64>| {
        let text = text.filter(|text| text.len() == len && digits(text))?;
        text.parse().ok().filter(|number| range.contains(number))
    };
    let mut fields = date.split('-');
    let year = field(fields.next(), 4, 0..=9999)?;
    let month = field(fields.next(), 2, 1..=12)?;
    let day = field(fields.next(), 2, 1..=days_of_month(year, month))?;
    if fields.next().is_some() {
        return None;
    }
    let midnight = days_before(year, month, day) * MILLIS_PER_DAY;
    let Some(time) = time else {
        return Some(midnight);
    };
    let (time, zone) = time.split_at_checked(time.find(['Z', '+', '-'])?)?;
    let offset_minutes = match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (Some(offset), _) | (None, Some(offset)) => {
            let (hours, minutes) = offset.split_once(':')?;
            let minutes = field(Some(hours), 2, 0..=23)? * 60 + field(Some(minutes), 2, 0..=59)?;
            if zone.starts_with('-') {
                -minutes
            } else {
                minutes
            }
        }
        (None, None) => (zone == "Z").then_some(0)?,
    };
    let mut fields = time.splitn(3, ':');
    let minutes = field(fields.next(), 2, 0..=23)? * 60 + field(fields.next(), 2, 0..=59)?;
    let millis = match fields.next() {
        None => 0,
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
            if !digits(fraction) {
                return None;
            }
            let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
            // A leap second is the first of the next minute.
            field(Some(whole), 2, 0..=60)? * 1000 + millis.parse::<i64>().ok()?
        }
    };
    Some(midnight + (minutes - offset_minutes) * 60_000 + millis)
}

const MILLIS_PER_DAY: i64 = 86_400_000;

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the years 0 to 9999.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    /// From 0000-01-01 to 1970-01-01.
    const EPOCH: i64 = 719_528;
    let leap_days = (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
    let months: i64 = (1..month).map(|month| days_of_month(year, month)).sum();
    year * 365 + leap_days + months + day - 1 - EPOCH
}

fn is_base64(value: &str) -> bool {
    let body = value.trim_end_matches('=');
    value.len().is_multiple_of(4)
        && value.len() - body.len() <= 2
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

/// An address, or a range in CIDR notation, of either version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AddressRange {
    /// The network and its mask.
    V4(u32, u32),
    V6(u128, u128),
}

impl AddressRange {
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (address, prefix) = match value.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (value, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(text) if text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().filter(|len| *len <= bits)?
            }
            Some(_) => return None,
        };
        let address = match address {
            IpAddr::V4(address) => return Some(Self::v4(address, prefix)),
            IpAddr::V6(address) => address,
        };
        // Requests are compared in their shorter form, so ranges are too.
        if let Some(mapped) = address.to_ipv4_mapped()
            && let Some(prefix) = prefix.checked_sub(96)
        {
            return Some(Self::v4(mapped, prefix));
        }
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        Some(Self::V6(u128::from(address) & mask, mask))
    }

    fn v4(address: Ipv4Addr, prefix: u32) -> Self {
        let mask = u32::MAX
            .checked_shl(32_u32.saturating_sub(prefix))
            .unwrap_or(0);
        Self::V4(u32::from(address) & mask, mask)
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (Self::V4(network, mask), IpAddr::V4(address)) => u32::from(address) & mask == network,
            (Self::V6(network, mask), IpAddr::V6(address)) => u128::from(address) & mask == network,
            (Self::V4(..), IpAddr::V6(_)) | (Self::V6(..), IpAddr::V4(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_parses_in_all_its_forms() {
        for comparison in Comparison::ALL {
            let name = comparison.name();
            let plain = ConditionOperator::parse(name).unwrap();
            assert_eq!((plain.comparison, plain.set), (*comparison, None));
            for (prefix, set) in [
                ("ForAllValues:", SetOperator::ForAllValues),
                ("ForAnyValue:", SetOperator::ForAnyValue),
            ] {
                let parsed = ConditionOperator::parse(&format!("{prefix}{name}IfExists"));
                let expected = (*comparison != Comparison::Null).then_some(ConditionOperator {
                    set: Some(set),
                    comparison: *comparison,
                    if_exists: true,
                });
                assert_eq!(parsed, expected, "{prefix}{name}");
            }
        }
        for bad in [
            "stringEquals",
            "StringEqual",
            "ForAll:Bool",
            "",
            "IfExists",
            "StringEqualsIfExistsIfExists",
        ] {
            assert_eq!(ConditionOperator::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_that_cannot_be_compared_are_told_apart() {
        for (operator, good, bad) in [
            (Comparison::NumericEquals, "-1.5", "one"),
            (Comparison::NumericLessThan, "10", "inf"),
            (
                Comparison::DateLessThan,
                "2026-01-02T03:04:05Z",
                "yesterday",
            ),
            (
                Comparison::DateLessThan,
                "2026-01-02T03:04:05.5+01:00",
                "2026-13-01",
            ),
            (Comparison::DateEquals, "1700000000", "2026-01-02T03:04:05"),
            (Comparison::Bool, "True", "yes"),
            (Comparison::Null, "false", ""),
            (Comparison::BinaryEquals, "QmluYXJ5", "a"),
            (Comparison::IpAddress, "203.0.113.0/24", "203.0.113.0/33"),
            (Comparison::NotIpAddress, "2001:db8::/32", "2001:db8::/+3"),
        ] {
            assert!(operator.accepts(good), "{good}");
            assert!(!operator.accepts(bad), "{bad}");
        }
    }

    #[test]
    fn dates_of_all_forms_are_the_same_instant() {
        let instant = Some(1_767_323_045_000);
        for text in [
            "1767323045",
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.000Z",
            "2026-01-02T04:34:05+01:30",
            "2026-01-01T22:04:05-05:00",
        ] {
            assert_eq!(parse_date_millis(text), instant, "{text}");
        }
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31T23:59Z", Some(-60_000)),
            ("2000-02-29", Some(951_782_400_000)),
            ("0000-01-01", Some(-62_167_219_200_000)),
            ("9999-12-31", Some(253_402_214_400_000)),
            ("1970-01-01T00:00:00.5Z", Some(500)),
            ("2026-02-29", None),
            ("1900-02-29", None),
            ("2026-00-01", None),
            ("2026-01-02T24:00Z", None),
            ("2026-01-02T03:04:05.Z", None),
            ("99999999999999999999999", Some(i64::MAX)),
        ] {
            assert_eq!(parse_date_millis(text), expected, "{text}");
        }
    }

    #[test]
    fn ranges_hold_their_addresses_and_no_others() {
        for (range, address, expected) in [
            ("203.0.113.0/24", "203.0.113.255", true),
            ("203.0.113.77/24", "203.0.113.1", true),
            ("203.0.113.0/24", "203.0.114.0", false),
            ("203.0.113.7", "203.0.113.7", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("203.0.113.0/24", "::ffff:203.0.113.1", true),
            ("::ffff:203.0.113.0/120", "203.0.113.1", true),
        ] {
            let range = AddressRange::parse(range).unwrap();
            assert_eq!(
                range.contains(address.parse().unwrap()),
                expected,
                "{range:?} {address}"
            );
        }
    }
}
