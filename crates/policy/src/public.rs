//! Which bucket policies are public (Amazon S3 User Guide, "Blocking public access to your Amazon S3
//! storage", "The meaning of 'public'").

use crate::document::{
    Condition, Effect, PolicyDocument, PrincipalElement, PrincipalName, Statement,
};
use crate::operator::Comparison;

/// Whether a policy gives something to everybody: one of its statements allows `*` (or everybody but
/// some), and no condition of the statement holds it to fixed values of what strangers cannot choose.
pub fn is_public(document: &PolicyDocument) -> bool {
    document.statements.iter().any(is_public_statement)
}

fn is_public_statement(statement: &Statement) -> bool {
    let everybody = match &statement.principal {
        Some(PrincipalElement::Is(names)) => names.contains(&PrincipalName::Everyone),
        Some(PrincipalElement::IsNot(_)) => true,
        None => false,
    };
    statement.effect == Effect::Allow && everybody && !statement.conditions.iter().any(is_narrow)
}

/// Keys whose values say who or where somebody is, in lower case.
const NARROW: [&str; 14] = [
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "s3:dataaccesspointaccount",
];

/// Whether a condition holds for a fixed set of callers only.
fn is_narrow(condition: &Condition) -> bool {
    let operator = &condition.operator;
    let key = condition.key.to_ascii_lowercase();
    // Where the key is absent these hold for everybody.
    if operator.if_exists || operator.set.is_some() || !NARROW.contains(&&*key) {
        return false;
    }
    if operator.comparison == Comparison::IpAddress {
        return key == "aws:sourceip" && condition.values.iter().all(|it| is_narrow_range(it));
    }
    let is_fixed = |value: &String| !value.contains(['*', '?']) && !value.contains("${");
    matches!(
        operator.comparison,
        Comparison::StringEquals
            | Comparison::StringEqualsIgnoreCase
            | Comparison::StringLike
            | Comparison::ArnEquals
            | Comparison::ArnLike
    ) && condition.values.iter().all(is_fixed)
}

/// A range of addresses that is not most of the Internet.
fn is_narrow_range(range: &str) -> bool {
    let (address, bits) = match range.split_once('/') {
        Some((address, bits)) => (address, bits.parse::<u8>().unwrap_or(0)),
        None => (range, u8::MAX),
    };
    match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => bits >= 8,
        Ok(std::net::IpAddr::V6(_)) => bits >= 32,
        Err(_) => false,
    }
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
            (
                r#"{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#,
                true,
            ),
        ] {
            assert_eq!(public(r#""*""#, condition), expected, "{condition}");
        }
    }

    #[test]
    fn a_denial_makes_nothing_public() {
        let text = r#"{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*"}]}"#;
        assert!(!is_public(&PolicyDocument::parse(text).unwrap()));
    }
}
