//! POST form uploads: the policy, its conditions and its signature.
//!
//! Source: S3 API Reference, "Browser-based uploads using POST (AWS Signature Version 4)".

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use strongroom_types::{BucketName, Timestamp};
use subtle::ConstantTimeEq;

use super::authorization::{CredentialClaim, parse_digest, parse_time};
use super::error::{Mismatch, ScopePlace};
use super::{AuthError, Credential, Scope, Service, Verifier};
use crate::form::FormFields;
use crate::limits::{CLOCK_SKEW_MAX, POST_POLICY_CONDITIONS_MAX, PRESIGNED_EXPIRES_MAX_SECONDS};

/// A form that its signer allows, or that nobody signed.
#[derive(Debug)]
pub struct VerifiedPost {
    /// Who signed the policy; `None` when the form has none.
    pub credential: Option<Arc<Credential>>,
    /// For what it was signed.
    pub scope: Option<Scope>,
    /// When it was signed.
    pub signed: Option<Timestamp>,
    /// The least and the most bytes that the file may have.
    pub content_length_range: Option<(u64, u64)>,
}

/// A policy document: until when, and what the form may hold.
pub struct PostPolicy {
    expiration: Timestamp,
    conditions: Vec<Condition>,
}

enum Condition {
    Eq { field: String, value: String },
    StartsWith { field: String, prefix: String },
    ContentLengthRange { min: u64, max: u64 },
}

impl Verifier {
    /// Verifies a POST form: the policy's signature, then its time, then each of its conditions.
    ///
    /// `fields` are those in front of the file, with `${filename}` already replaced. The file's
    /// length is the caller's to hold against [`VerifiedPost::content_length_range`].
    ///
    /// # Errors
    ///
    /// [`AuthError`] of the first check that fails.
    pub fn verify_post(
        &self,
        bucket: &BucketName,
        fields: &FormFields,
    ) -> Result<VerifiedPost, AuthError> {
        if fields.get("x-amz-signature").is_none() && fields.get("signature").is_some() {
            return Err(AuthError::UnsupportedMechanism);
        }
        let Some(policy) = fields.get("policy") else {
            // Without a policy nothing is signed, whatever other fields say: S3 takes such a form as
            // sent by nobody (API reference, POST Object).
            return Ok(VerifiedPost {
                credential: None,
                scope: None,
                signed: None,
                content_length_range: None,
            });
        };
        let field = |name| fields.get(name).ok_or(AuthError::PostFieldMissing(name));
        if field("x-amz-algorithm")? != "AWS4-HMAC-SHA256" {
            return Err(AuthError::UnsupportedMechanism);
        }
        let claim = Cow::Borrowed(field("x-amz-credential")?);
        let claim = CredentialClaim::parse(claim, ScopePlace::Form)?;
        let date = parse_time(field("x-amz-date")?);
        let (time, amz_date) = date.ok_or(AuthError::InvalidDate)?;
        claim.check_day(&amz_date)?;
        if claim.service != Service::S3 {
            return Err(ScopePlace::Form.malformed(
                format!(
                    "incorrect service \"{}\". This endpoint belongs to \"s3\".",
                    claim.service
                )
                .into(),
            ));
        }
        let region = claim.check_region(&self.region)?;
        let signature = field("x-amz-signature")?;

        let now = self.clock.now();
        let credential = self.find(&claim, fields.get("x-amz-security-token"), now)?;
        let (key, _) = self.signing_key(&credential, &claim);
        let expected = hmac::sign(&key, policy.as_bytes());
        let matches = parse_digest(signature)
            .is_some_and(|sent| bool::from(expected.as_ref().ct_eq(sent.as_slice())));
        if !matches {
            return Err(AuthError::SignatureDoesNotMatch(Box::new(Mismatch {
                access_key_id: claim.access_key_id().to_owned(),
                signature_provided: signature.to_owned(),
                string_to_sign: policy.to_owned(),
                canonical_request: String::new(),
            })));
        }
        check_age(time, now)?;
        let policy = PostPolicy::parse(policy)?;
        policy.check(bucket, fields, now)?;
        Ok(VerifiedPost {
            credential: Some(credential),
            scope: Some(Scope {
                date: claim.date,
                region,
                service: claim.service,
            }),
            signed: Some(time),
            content_length_range: policy.content_length_range(),
        })
    }
}

impl PostPolicy {
    /// Parses the Base64 of a policy document.
    ///
    /// # Errors
    ///
    /// [`AuthError::InvalidPolicyDocument`].
    pub fn parse(base64: &str) -> Result<Self, AuthError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            expiration: Option<String>,
            conditions: Option<Vec<Value>>,
        }
        let invalid = |text: &'static str| AuthError::InvalidPolicyDocument(text.into());
        let json = STANDARD
            .decode(base64)
            .map_err(|_| invalid("Invalid Base64 encoding."))?;
        let document: Document =
            serde_json::from_slice(&json).map_err(|_| invalid("Invalid JSON."))?;
        let expiration = document
            .expiration
            .ok_or_else(|| invalid("Policy missing expiration."))?;
        let expiration = Timestamp::parse_iso8601(&expiration)
            .map_err(|_| invalid("Invalid 'expiration' value."))?;
        let conditions = document
            .conditions
            .ok_or_else(|| invalid("Policy missing conditions."))?;
        let mut parsed = Vec::with_capacity(conditions.len().min(POST_POLICY_CONDITIONS_MAX));
        for condition in &conditions {
            Condition::parse(condition, &mut parsed)?;
            if parsed.len() > POST_POLICY_CONDITIONS_MAX {
                return Err(invalid("Too many conditions."));
            }
        }
        Ok(Self {
            expiration,
            conditions: parsed,
        })
    }

    /// Holds a form against the policy.
    ///
    /// # Errors
    ///
    /// [`AuthError::PolicyExpired`] or [`AuthError::PolicyViolated`].
    pub fn check(
        &self,
        bucket: &BucketName,
        fields: &FormFields,
        now: Timestamp,
    ) -> Result<(), AuthError> {
        if now >= self.expiration {
            return Err(AuthError::PolicyExpired);
        }
        for condition in &self.conditions {
            if !condition.holds(bucket, fields) {
                let text = format!("Policy Condition failed: {}", condition.text());
                return Err(AuthError::PolicyViolated(text));
            }
        }
        // A condition is held against one value; a second one would be stored beside it.
        let mut seen = std::collections::BTreeSet::new();
        let repeated = fields
            .iter()
            .find(|(name, _)| !is_exempt(name) && !seen.insert(*name));
        if let Some((name, _)) = repeated {
            return Err(AuthError::PolicyViolated(format!(
                "Repeated input field: {name}"
            )));
        }
        // What the policy does not speak of it does not allow. The bucket is sent with each form, by
        // its address: a policy for no bucket in particular would be good for all of its signer's.
        let extra: Vec<&str> = fields
            .iter()
            .map(|(name, _)| name)
            .filter(|name| *name != "bucket")
            .chain(["bucket"])
            .filter(|name| !is_exempt(name) && !self.covers(name))
            .collect();
        if extra.is_empty() {
            Ok(())
        } else {
            let text = format!("Extra input fields: {}", extra.join(", "));
            Err(AuthError::PolicyViolated(text))
        }
    }

    /// The bounds of the file's length, in bytes; of several, the narrowest.
    pub fn content_length_range(&self) -> Option<(u64, u64)> {
        self.conditions
            .iter()
            .filter_map(|condition| match condition {
                Condition::ContentLengthRange { min, max } => Some((*min, *max)),
                Condition::Eq { .. } | Condition::StartsWith { .. } => None,
            })
            .reduce(|(min, max), (other_min, other_max)| (min.max(other_min), max.min(other_max)))
    }

    fn covers(&self, name: &str) -> bool {
        self.conditions.iter().any(|condition| match condition {
            Condition::Eq { field, .. } | Condition::StartsWith { field, .. } => field == name,
            Condition::ContentLengthRange { .. } => false,
        })
    }
}

impl Condition {
    fn parse(json: &Value, out: &mut Vec<Self>) -> Result<(), AuthError> {
        let invalid = |text: String| AuthError::InvalidPolicyDocument(text.into());
        if let Value::Object(members) = json {
            for (field, value) in members {
                let value = value.as_str().ok_or_else(|| {
                    invalid(format!(
                        "Invalid Simple-Condition: value must be a string: {field}"
                    ))
                })?;
                out.push(Self::Eq {
                    field: field.to_ascii_lowercase(),
                    value: value.to_owned(),
                });
            }
            return Ok(());
        }
        let Some([operator, left, right]) = json.as_array().map(Vec::as_slice) else {
            return Err(invalid(
                "Invalid Condition: wrong number of arguments.".into(),
            ));
        };
        let operator = operator.as_str().unwrap_or_default().to_ascii_lowercase();
        if operator == "content-length-range" {
            let (Some(min), Some(max)) = (length(left), length(right)) else {
                return Err(invalid("Invalid content-length-range.".into()));
            };
            out.push(Self::ContentLengthRange { min, max });
            return Ok(());
        }
        let field = left.as_str().and_then(|name| name.strip_prefix('$'));
        let (Some(field), Some(right)) = (field, right.as_str()) else {
            return Err(invalid(format!("Invalid Condition: {json}")));
        };
        let field = field.to_ascii_lowercase();
        out.push(match operator.as_str() {
            "eq" => Self::Eq {
                field,
                value: right.to_owned(),
            },
            "starts-with" => Self::StartsWith {
                field,
                prefix: right.to_owned(),
            },
            _ => {
                return Err(invalid(format!(
                    "Invalid Condition: unknown operation '{operator}'."
                )));
            }
        });
        Ok(())
    }

    fn holds(&self, bucket: &BucketName, fields: &FormFields) -> bool {
        let sent = |field: &str| match field {
            "bucket" => bucket.as_str(),
            field => fields.get(field).unwrap_or_default(),
        };
        match self {
            Self::Eq { field, value } => sent(field) == value,
            // A Content-Type may be a list, each of whose types must be allowed.
            Self::StartsWith { field, prefix } if field == "content-type" => sent(field)
                .split(',')
                .all(|kind| kind.trim().starts_with(prefix.as_str())),
            Self::StartsWith { field, prefix } => sent(field).starts_with(prefix.as_str()),
            // The length is known only when the file has arrived.
            Self::ContentLengthRange { .. } => true,
        }
    }

    /// The condition as AWS writes it into its answer.
    fn text(&self) -> String {
        let array = match self {
            Self::Eq { field, value } => ["eq", &format!("${field}"), value].map(Value::from),
            Self::StartsWith { field, prefix } => {
                ["starts-with", &format!("${field}"), prefix].map(Value::from)
            }
            Self::ContentLengthRange { min, max } => {
                ["content-length-range".into(), (*min).into(), (*max).into()]
            }
        };
        let items: Vec<String> = array.iter().map(Value::to_string).collect();
        format!("[{}]", items.join(", "))
    }
}

/// Fields that a policy need not name.
fn is_exempt(name: &str) -> bool {
    matches!(name, "x-amz-signature" | "file" | "policy") || name.starts_with("x-ignore-")
}

/// A length, as a number or, as some tools write it, a string of digits.
fn length(json: &Value) -> Option<u64> {
    json.as_u64().or_else(|| json.as_str()?.parse().ok())
}

/// A signature is good for seven days, whatever its policy says, and not before it was made.
fn check_age(time: Timestamp, now: Timestamp) -> Result<(), AuthError> {
    let since = |a: Timestamp, b: Timestamp| {
        Duration::from_millis(a.as_millis().saturating_sub(b.as_millis()))
    };
    if since(time, now) > CLOCK_SKEW_MAX {
        return Err(AuthError::NotYetValid);
    }
    if since(now, time) > Duration::from_secs(PRESIGNED_EXPIRES_MAX_SECONDS) {
        return Err(AuthError::PolicyExpired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_451_347_200);

    fn check(conditions: &str, fields: &[(&str, &str)]) -> Result<(), AuthError> {
        let json =
            format!(r#"{{"expiration":"2015-12-30T12:00:00.000Z","conditions":{conditions}}}"#);
        let policy = PostPolicy::parse(&STANDARD.encode(json))?;
        let fields = fields
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        policy.check(
            &BucketName::parse("sigv4examplebucket").unwrap(),
            &fields.collect(),
            NOW,
        )
    }

    fn failure(conditions: &str, fields: &[(&str, &str)]) -> String {
        check(conditions, fields)
            .unwrap_err()
            .answer(super::super::Dialect::S3)
            .message
            .into_owned()
    }

    #[test]
    fn conditions_hold_or_are_told() {
        let conditions = r#"[{"bucket":"sigv4examplebucket"},["starts-with","$key","user/"],["eq","$acl","private"],{"Content-Type":"text/plain"},["content-length-range",1,10]]"#;
        let good = [
            ("key", "user/a"),
            ("acl", "private"),
            ("Content-Type", "text/plain"),
            ("x-ignore-me", "1"),
            ("policy", ""),
        ];
        assert_eq!(check(conditions, &good), Ok(()));
        assert_eq!(
            failure(conditions, &[("key", "other/a")]),
            r#"Invalid according to Policy: Policy Condition failed: ["starts-with", "$key", "user/"]"#
        );
        assert_eq!(
            failure(conditions, &[("key", "user/a"), ("acl", "public-read")]),
            r#"Invalid according to Policy: Policy Condition failed: ["eq", "$acl", "private"]"#
        );
        assert_eq!(
            failure(r#"[{"bucket":"other"}]"#, &[]),
            r#"Invalid according to Policy: Policy Condition failed: ["eq", "$bucket", "other"]"#
        );
        assert_eq!(
            failure("[]", &[("x-amz-meta-a", "1"), ("key", "b")]),
            "Invalid according to Policy: Extra input fields: x-amz-meta-a, key, bucket"
        );
        // A policy is for a bucket and for keys, whatever else it says.
        let keys = r#"["starts-with","$key",""]"#;
        for sent in [vec![("key", "b")], vec![("key", "b"), ("bucket", "other")]] {
            assert_eq!(
                failure(&format!("[{keys}]"), &sent),
                "Invalid according to Policy: Extra input fields: bucket"
            );
        }
        assert_eq!(
            failure(r#"[{"bucket":"sigv4examplebucket"}]"#, &[("key", "b")]),
            "Invalid according to Policy: Extra input fields: key"
        );
    }

    #[test]
    fn each_type_of_a_list_must_be_allowed() {
        let conditions =
            r#"[{"bucket":"sigv4examplebucket"},["starts-with","$Content-Type","image/"]]"#;
        assert_eq!(
            check(conditions, &[("content-type", "image/png, image/jpeg")]),
            Ok(())
        );
        assert!(check(conditions, &[("content-type", "image/png,text/html")]).is_err());
    }

    #[test]
    fn documents_that_are_not_policies_are_refused() {
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"expiration":"x","conditions":[]}"#,
            r#"{"expiration":"2015-12-30T12:00:00Z"}"#,
        ] {
            assert!(matches!(
                PostPolicy::parse(&STANDARD.encode(bad)),
                Err(AuthError::InvalidPolicyDocument(_))
            ));
        }
        for bad in [
            r#"[["eq","key","a"]]"#,
            r#"[["like","$key","a"]]"#,
            r#"[["eq","$key"]]"#,
            r#"[{"a":1}]"#,
            r#"[["content-length-range","a",1]]"#,
        ] {
            assert!(
                matches!(check(bad, &[]), Err(AuthError::InvalidPolicyDocument(_))),
                "{bad}"
            );
        }
        assert!(PostPolicy::parse("***").is_err());
    }

    #[test]
    fn policies_expire_on_time() {
        let policy = r#"{"expiration":"2015-12-29T00:00:00Z","conditions":[{"bucket":"sigv4examplebucket"},["content-length-range",5,10],["content-length-range","1","7"]]}"#;
        let policy = PostPolicy::parse(&STANDARD.encode(policy)).unwrap();
        let bucket = BucketName::parse("sigv4examplebucket").unwrap();
        let none = FormFields::default();
        assert_eq!(policy.content_length_range(), Some((5, 7)));
        assert_eq!(
            policy.check(&bucket, &none, NOW),
            Err(AuthError::PolicyExpired)
        );
        let before = Timestamp::from_millis(NOW.as_millis() - 1);
        assert_eq!(policy.check(&bucket, &none, before), Ok(()));
    }
}
