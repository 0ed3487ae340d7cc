//! A CloudTrail record on one line, for people.
//!
//! ```text
//! 2026-01-02T10:00:00Z  111122223333:user/alice  kms:Decrypt  key/1234abcd-... for s3://photos/a  ok  192.0.2.7 via s3
//! ```

use serde_json::Value;
use strongroom_audit::{Outcome, operator_name, service_name};

/// Names of what an operation is about, in the order in which they are looked for.
const SUBJECTS: [&str; 9] = [
    "userName",
    "roleName",
    "groupName",
    "policyArn",
    "policyName",
    "roleArn",
    "aliasName",
    "keyId",
    "name",
];
/// Where a record says which user of the host had a command done.
const OPERATOR: &str = "/serviceEventDetails/operatorUid";
/// Longest part of a line that is about one thing, in characters.
const PART_MAX_CHARS: usize = 200;

/// The line of a record.
pub(super) fn line(record: &str) -> String {
    let Ok(record) = serde_json::from_str::<Value>(record) else {
        return "a record that is no JSON".to_owned();
    };
    let record = Record(&record);
    let parts = [
        record.text("/eventTime").to_owned(),
        who(record),
        format!(
            "{}:{}",
            service_name(record.text("/eventSource")),
            record.text("/eventName")
        ),
        subject(record),
        outcome(record),
        origin(record),
    ];
    let parts: Vec<String> = parts.iter().map(|part| printable(part)).collect();
    parts.join("  ")
}

/// A record that was parsed.
#[derive(Clone, Copy)]
struct Record<'a>(&'a Value);

impl<'a> Record<'a> {
    /// The text at a JSON pointer; empty if there is none.
    fn text(self, pointer: &str) -> &'a str {
        self.optional(pointer).unwrap_or_default()
    }

    fn optional(self, pointer: &str) -> Option<&'a str> {
        self.0.pointer(pointer).and_then(Value::as_str)
    }
}

fn who(record: Record<'_>) -> String {
    let kind = record.text("/userIdentity/type");
    if let Some(arn) = record.optional("/userIdentity/arn") {
        // arn:aws:iam::111122223333:user/alice
        let mut fields = arn.splitn(6, ':').skip(4);
        return match (fields.next(), fields.next()) {
            (Some(account), Some(name)) => format!("{account}:{name}"),
            _ => arn.to_owned(),
        };
    }
    if record.text("/userIdentity/accountId") == "ANONYMOUS_PRINCIPAL" {
        return "anonymous".to_owned();
    }
    if let Some(uid) = record.0.pointer(OPERATOR).filter(|it| it.is_u64()) {
        return operator_name(&uid.to_string());
    }
    match record.optional("/userIdentity/invokedBy") {
        // A service by itself, in an account.
        Some("AWS Internal") => "(by itself)".to_owned(),
        Some(service) => service.to_owned(),
        None if kind.is_empty() => "-".to_owned(),
        None => kind.to_owned(),
    }
}

fn subject(record: Record<'_>) -> String {
    let resources = record.0.pointer("/resources").and_then(Value::as_array);
    let arns = resources.into_iter().flatten();
    let arns: Vec<&str> = arns
        .filter_map(|it| it.get("ARN").and_then(Value::as_str))
        .collect();
    // Of an object and its bucket the object is enough.
    let has_object = arns.iter().any(|arn| object(arn).is_some());
    let shown = arns.iter().filter_map(|arn| match s3_place(arn) {
        Some(_) if has_object && object(arn).is_none() => None,
        Some(place) => Some(place),
        None => Some(arn.splitn(6, ':').nth(5).unwrap_or(arn).to_owned()),
    });
    let mut shown: Vec<String> = shown.collect();
    if shown.is_empty() {
        shown.extend(from_parameters(record).or_else(|| from_details(record)));
    }
    let mut text = shown.join(", ");
    if text.is_empty() {
        "-".clone_into(&mut text);
    }
    // What S3 uses a key for.
    let context = "/requestParameters/encryptionContext/aws:s3:arn";
    if let Some(place) = record.optional(context).and_then(s3_place) {
        text.push_str(" for ");
        text.push_str(&place);
    }
    text
}

fn from_parameters(record: Record<'_>) -> Option<String> {
    let of = |name: &str| record.optional(&format!("/requestParameters/{name}"));
    if let Some(bucket) = of("bucketName") {
        return Some(match of("key") {
            Some(key) => format!("s3://{bucket}/{key}"),
            None => format!("s3://{bucket}"),
        });
    }
    let named = SUBJECTS.iter().find_map(|name| of(name));
    named.map(str::to_owned)
}

/// What an event of a service by itself tells: `name=value`, but for who it was.
fn from_details(record: Record<'_>) -> Option<String> {
    let details = record.0.pointer("/serviceEventDetails")?.as_object()?;
    let told = details.iter().filter(|(name, _)| *name != "operatorUid");
    let told = told.map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name}={text}"),
        None => format!("{name}={value}"),
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join(", "))
}

fn s3_place(arn: &str) -> Option<String> {
    arn.strip_prefix("arn:aws:s3:::")
        .map(|it| format!("s3://{it}"))
}

fn object(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:aws:s3:::")
        .filter(|it| it.contains('/'))
}

fn outcome(record: Record<'_>) -> String {
    let code = record.optional("/errorCode");
    match (Outcome::of(code), code) {
        (Outcome::Denied, Some(code)) => format!("DENIED {code}"),
        (Outcome::Failed, Some(code)) => format!("FAILED {code}"),
        (Outcome::Ok | Outcome::Denied | Outcome::Failed, _) => "ok".to_owned(),
    }
}

fn origin(record: Record<'_>) -> String {
    let source = record.text("/sourceIPAddress");
    let client = record.optional("/additionalEventData/clientIpAddress");
    match client {
        Some(client) => {
            let service = source.strip_suffix(".amazonaws.com").unwrap_or(source);
            let service = service.strip_prefix("fas.").unwrap_or(service);
            format!("{client} via {service}")
        }
        None if source == "AWS Internal" => "this server".to_owned(),
        None => source.to_owned(),
    }
}

/// A name may hold what a terminal takes for a command, or what looks like the next column.
fn printable(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for letter in part.chars().take(PART_MAX_CHARS) {
        if letter.is_control() || is_invisible(letter) {
            text.extend(letter.escape_unicode());
        } else {
            text.push(letter);
        }
    }
    if part.chars().nth(PART_MAX_CHARS).is_some() {
        text.push_str("...");
    }
    text.replace("  ", "\\u{20} ")
}

/// Letters that turn the direction of writing, or are not seen.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_use_by_s3_names_caller_object_and_client() {
        let record = r#"{"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/alice",
            "invokedBy":"fas.s3.amazonaws.com"},"eventTime":"2026-01-02T10:00:00Z",
            "eventSource":"kms.amazonaws.com","eventName":"Decrypt","sourceIPAddress":"fas.s3.amazonaws.com",
            "requestParameters":{"encryptionContext":{"aws:s3:arn":"arn:aws:s3:::photos/a b"}},
            "additionalEventData":{"clientIpAddress":"192.0.2.7"},
            "resources":[{"type":"AWS::KMS::Key","ARN":"arn:aws:kms:us-east-1:111122223333:key/k"}]}"#;
        assert_eq!(
            line(record),
            "2026-01-02T10:00:00Z  111122223333:user/alice  kms:Decrypt  key/k for s3://photos/a b  ok  192.0.2.7 via s3"
        );
    }

    #[test]
    fn denials_anonymous_callers_and_the_server_itself_are_told_apart() {
        let record = r#"{"userIdentity":{"type":"AWSAccount","principalId":"","accountId":"ANONYMOUS_PRINCIPAL"},
            "eventTime":"2026-01-02T10:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject",
            "sourceIPAddress":"192.0.2.7","errorCode":"AccessDenied",
            "resources":[{"ARN":"arn:aws:s3:::b/k"},{"ARN":"arn:aws:s3:::b"}]}"#;
        assert!(
            line(record)
                .ends_with("anonymous  s3:GetObject  s3://b/k  DENIED AccessDenied  192.0.2.7")
        );
        let record = r#"{"userIdentity":{"accountId":"1","invokedBy":"AWS Internal"},"eventTime":"t",
            "eventSource":"kms.amazonaws.com","eventName":"RotateKey","sourceIPAddress":"AWS Internal",
            "requestParameters":null}"#;
        assert_eq!(
            line(record),
            "t  (by itself)  kms:RotateKey  -  ok  this server"
        );
        let record = r#"{"userIdentity":{"type":"Root","arn":"arn:aws:iam::1:root"},"eventTime":"t",
            "eventSource":"iam.amazonaws.com","eventName":"CreateUser","sourceIPAddress":"::1",
            "errorCode":"EntityAlreadyExists","requestParameters":{"userName":"bob"}}"#;
        assert_eq!(
            line(record),
            "t  1:root  iam:CreateUser  bob  FAILED EntityAlreadyExists  ::1"
        );
    }

    #[test]
    fn what_the_operator_does_names_him_and_what_he_does_it_to() {
        let record = r#"{"userIdentity":{"accountId":"1","invokedBy":"AWS Internal"},"eventTime":"t",
            "eventSource":"strongroom.local","eventName":"RetireRootKey","sourceIPAddress":"AWS Internal",
            "requestParameters":null,"serviceEventDetails":{"version":1,"operatorUid":1000}}"#;
        assert_eq!(
            line(record),
            "t  operator:1000  strongroom:RetireRootKey  version=1  ok  this server"
        );
        let record = r#"{"userIdentity":{"accountId":"1","invokedBy":"AWS Internal"},"eventTime":"t",
            "eventSource":"strongroom.local","eventName":"ShowRootAccessKey","sourceIPAddress":"AWS Internal",
            "requestParameters":null,"serviceEventDetails":{"operatorUid":0}}"#;
        assert_eq!(
            line(record),
            "t  operator:0  strongroom:ShowRootAccessKey  -  ok  this server"
        );
    }

    #[test]
    fn names_cannot_forge_a_line() {
        let record = r#"{"userIdentity":{},"eventTime":"t","eventSource":"s3.amazonaws.com","eventName":"GetObject",
            "requestParameters":{"bucketName":"b","key":"a\n\u001b[2J  ok\u202e"}}"#;
        let line = line(record);
        assert!(!line.contains(['\n', '\u{1b}', '\u{202e}']), "{line}");
        assert_eq!(line.split("  ").count(), 6, "{line}");
    }
}
