//! Which bucket policies are public (Amazon S3 User Guide, "Blocking public access to your Amazon S3
//! storage", "The meaning of 'public'").

use crate::document::{
    Condition, Effect, PolicyDocument, PrincipalElement, PrincipalName, Statement,
};
use crate::facts::ANONYMOUS_USER_ID;
use crate::operator::{AddressRange, Comparison};
use crate::pattern::folded;

/// Whether a policy gives something to everybody: one of its statements allows `*` (or everybody but
/// some), and no condition of the statement holds it to fixed values of what strangers cannot choose.
/// Statements that are each held to some addresses are judged together, or many of them could be
/// the whole Internet.
pub fn is_public(document: &PolicyDocument) -> bool {
    let mut ranges = Vec::new();
    for statement in document.statements.iter().filter(|it| is_for_everybody(it)) {
        if statement.conditions.iter().any(is_narrow) {
            continue;
        }
        match statement.conditions.iter().find_map(narrow_ranges) {
            Some(narrow) => ranges.extend(narrow),
            None => return true,
        }
    }
    !are_narrow_together(&ranges)
}

fn is_for_everybody(statement: &Statement) -> bool {
    let everybody = match &statement.principal {
        Some(PrincipalElement::Is(names)) => names.contains(&PrincipalName::Everyone),
        Some(PrincipalElement::IsNot(_)) => true,
        None => false,
    };
    statement.effect == Effect::Allow && everybody
}

/// Keys whose values say who or where somebody is, in lower case.
const NARROW: [&str; 13] = [
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "s3:dataaccesspointaccount",
];

/// Whether the condition asks for a value, so that who has none is kept out.
fn asks_for_value(condition: &Condition) -> bool {
    !condition.operator.if_exists && condition.operator.set.is_none()
}

/// Whether a condition holds for a fixed set of callers only, whatever their addresses.
fn is_narrow(condition: &Condition) -> bool {
    let key = condition.key.to_ascii_lowercase();
    if !asks_for_value(condition) || !NARROW.contains(&&*key) {
        return false;
    }
    let is_fixed = |value: &String| {
        // So everybody is called who has no name.
        let is_nobody = key == "aws:userid" && folded(value) == ANONYMOUS_USER_ID;
        !value.contains(['*', '?']) && !value.contains("${") && !is_nobody
    };
    matches!(
        condition.operator.comparison,
        Comparison::StringEquals
            | Comparison::StringEqualsIgnoreCase
            | Comparison::StringLike
            | Comparison::ArnEquals
            | Comparison::ArnLike
    ) && condition.values.iter().all(is_fixed)
}

/// The ranges of addresses that a condition holds for, if each of them is narrow.
fn narrow_ranges(condition: &Condition) -> Option<Vec<AddressRange>> {
    if !asks_for_value(condition)
        || condition.operator.comparison != Comparison::IpAddress
        || !condition.key.eq_ignore_ascii_case("aws:sourceip")
    {
        return None;
    }
    let ranges = condition.values.iter().map(|it| AddressRange::parse(it));
    ranges.map(|range| range.filter(is_narrow_range)).collect()
}

/// A range of addresses that is not most of the Internet.
fn is_narrow_range(range: &AddressRange) -> bool {
    match *range {
        AddressRange::V4(_, mask) => mask.leading_ones() >= 8,
        AddressRange::V6(_, mask) => mask.leading_ones() >= 32,
    }
}

/// Whether ranges are no more together than sixteen of the widest that are narrow.
fn are_narrow_together(ranges: &[AddressRange]) -> bool {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for range in ranges {
        match *range {
            AddressRange::V4(network, mask) => {
                v4.push((u128::from(network), u128::from(network | !mask)));
            }
            AddressRange::V6(network, mask) => v6.push((network, network | !mask)),
        }
    }
    size_of(v4) <= 16 << 24 && size_of(v6) <= 16 << 96
}

/// How many addresses there are in ranges, given by their first and last addresses.
fn size_of(mut ranges: Vec<(u128, u128)>) -> u128 {
    ranges.sort_unstable();
    let mut size = 0_u128;
    let mut covered_to = None;
    for (first, last) in ranges {
        let first = match covered_to {
            Some(covered) if last <= covered => continue,
            Some(covered) if first <= covered => covered + 1,
            Some(_) | None => first,
        };
        size = size.saturating_add(last - first + 1);
        covered_to = Some(last);
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(principal: &str, condition: &str) -> bool {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},
            "Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{condition}}}}}"#
        );
        is_public(&PolicyDocument::parse(&text).unwrap())
    }

    #[test]
    fn who_everybody_is_and_what_holds_him_back() {
        assert!(public(r#""*""#, "{}"));
        assert!(public(r#"{"AWS":["111122223333","*"]}"#, "{}"));
        assert!(!public(r#"{"AWS":"111122223333"}"#, "{}"));
        assert!(!public(r#"{"Service":"logging.s3.amazonaws.com"}"#, "{}"));
        for (condition, expected) in [
            (r#"{"StringEquals":{"aws:SourceVpc":"vpc-1"}}"#, false),
            (r#"{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#, true),
            (r#"{"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}"#, true),
            (
                r#"{"StringEqualsIfExists":{"aws:SourceVpc":"vpc-1"}}"#,
                true,
            ),
            (
                r#"{"ForAllValues:StringEquals":{"aws:SourceVpc":"vpc-1"}}"#,
                true,
            ),
            (r#"{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}"#, false),
            (
                r#"{"StringEquals":{"aws:userid":"${aws:PrincipalTag/x}"}}"#,
                true,
            ),
            (r#"{"StringEquals":{"aws:Referer":"https://x"}}"#, true),
            (r#"{"StringEquals":{"s3:prefix":"a"}}"#, true),
            (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, true),
            (r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#, false),
            (r#"{"IpAddress":{"aws:SourceIp":"203.0.113.7"}}"#, false),
            (r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}"#, true),
            (r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/7"]}}"#, true),
            (r#"{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}"#, false),
            (r#"{"IpAddress":{"aws:SourceIp":"2000::/16"}}"#, true),
            (r#"{"StringEquals":{"aws:userid":"AIDAX"}}"#, false),
            (r#"{"StringEquals":{"aws:userid":"anonymous"}}"#, true),
            (
                r#"{"StringEqualsIgnoreCase":{"aws:UserId":["AIDAX","ANONymous"]}}"#,
                true,
            ),
            (r#"{"StringLike":{"aws:userid":"anon*"}}"#, true),
            (r#"{"ArnLike":{"aws:userid":"anonymou?"}}"#, true),
            (
                r#"{"IpAddress":{"aws:SourceIp":"::ffff:0.0.0.0/96"}}"#,
                true,
            ),
            (
                r#"{"IpAddress":{"aws:SourceIp":"::ffff:10.0.0.0/104"}}"#,
                false,
            ),
            (r#"{"StringLike":{"aws:SourceIp":"203.0.113.7"}}"#, true),
            (
                r#"{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#,
                true,
            ),
        ] {
            assert_eq!(public(r#""*""#, condition), expected, "{condition}");
        }
    }

    #[test]
    fn many_narrow_ranges_are_the_internet_also_in_statements_of_their_own() {
        let eights = |count: u32| (0..count).map(|n| format!(r#""{n}.0.0.0/8""#));
        let together = |count| {
            let ranges: Vec<_> = eights(count).collect();
            let ranges = ranges.join(",");
            public(
                r#""*""#,
                &format!(r#"{{"IpAddress":{{"aws:SourceIp":[{ranges}]}}}}"#),
            )
        };
        let apart = |ranges: &mut dyn Iterator<Item = String>| {
            let statement = |range| {
                format!(
                    r#"{{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*",
                    "Condition":{{"IpAddress":{{"aws:SourceIp":{range}}}}}}}"#
                )
            };
            let statements: Vec<_> = ranges.map(statement).collect();
            let statements = statements.join(",");
            let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
            is_public(&PolicyDocument::parse(&text).unwrap())
        };
        for (count, expected) in [(1, false), (16, false), (17, true), (256, true)] {
            assert_eq!(together(count), expected, "{count}");
            assert_eq!(apart(&mut eights(count)), expected, "{count}");
        }
        // The same one many times is one.
        assert!(!apart(&mut eights(1).cycle().take(256)));
    }

    #[test]
    fn a_denial_makes_nothing_public() {
        let text = r#"{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*"}]}"#;
        assert!(!is_public(&PolicyDocument::parse(text).unwrap()));
    }
}
