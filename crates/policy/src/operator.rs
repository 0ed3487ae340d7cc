//! The operators of conditions (IAM User Guide, "IAM JSON policy elements: Condition operators").

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
            | Self::DateGreaterThanEquals => is_date(value),
            Self::Bool | Self::Null => {
                value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
            }
            Self::BinaryEquals => is_base64(value),
            Self::IpAddress | Self::NotIpAddress => is_address_range(value),
        }
    }
}

/// Seconds since 1970, or the ISO 8601 forms of the W3C note that AWS names: a date, with or
/// without a time and its zone.
fn is_date(value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(value) {
        return true;
    }
    let (date, time) = match value.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (value, None),
    };
    let mut fields = date.split('-');
    let field = |text: Option<&str>, len: usize, max: u16| {
        text.is_some_and(|text| {
            text.len() == len && digits(text) && text.parse().is_ok_and(|n: u16| n <= max)
        })
    };
    let date_holds = field(fields.next(), 4, 9999)
        && field(fields.next(), 2, 12)
        && field(fields.next(), 2, 31)
        && fields.next().is_none();
    let Some(time) = time else {
        return date_holds;
    };
    let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(zone_at);
    let zone_holds = match zone.strip_prefix(['+', '-']) {
        Some(offset) => offset.split_once(':').is_some_and(|(hours, minutes)| {
            field(Some(hours), 2, 23) && field(Some(minutes), 2, 59)
        }),
        None => zone == "Z",
    };
    let mut fields = time.splitn(3, ':');
    let minutes_hold = field(fields.next(), 2, 24) && field(fields.next(), 2, 59);
    let seconds_hold = fields.next().is_none_or(|seconds| {
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
        field(Some(whole), 2, 60) && digits(fraction)
    });
    date_holds && zone_holds && minutes_hold && seconds_hold
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
fn is_address_range(value: &str) -> bool {
    let (address, prefix) = match value.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (value, None),
    };
    let Ok(address) = address.parse::<std::net::IpAddr>() else {
        return false;
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    prefix.is_none_or(|prefix| {
        prefix.len() <= 3
            && prefix.bytes().all(|byte| byte.is_ascii_digit())
            && prefix.parse().is_ok_and(|len: u16| len <= bits)
    })
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
}
