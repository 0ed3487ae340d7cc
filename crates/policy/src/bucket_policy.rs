//! Bucket policies: what a document must be to govern a bucket (Amazon S3 User Guide, "Policies and
//! permissions in Amazon S3"; S3 API Reference, PutBucketPolicy).

use strongroom_types::{AccountId, BucketName, CanonicalId};

use crate::document::{
    ActionElement, Condition, DocumentError, Effect, PolicyDocument, PrincipalElement,
    PrincipalName, ResourceElement, Statement,
};
use crate::key_policy::account_named;
use crate::pinning::{PinError, PrincipalDirectory};
use crate::{Unreadable, pinning};

/// Longest bucket policy, in bytes.
pub const BUCKET_POLICY_MAX_BYTES: usize = 20_480;

/// Why a document cannot be a bucket's policy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketPolicyError {
    /// `MalformedPolicy`: the text is for the caller.
    #[error("{0}")]
    Malformed(&'static str),
    /// Which principals exist is not known.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

use BucketPolicyError::Malformed;

/// A document that can be a bucket's policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedPolicy {
    /// The document.
    pub document: PolicyDocument,
    /// The text by which is decided, where that is not the one that was sent.
    pub pinned: Option<String>,
}

/// Checks that `text` can be the policy of `bucket`.
///
/// # Errors
///
/// [`BucketPolicyError`].
pub fn check(
    text: &str,
    bucket: &BucketName,
    directory: &dyn PrincipalDirectory,
) -> Result<CheckedPolicy, BucketPolicyError> {
    if !text.starts_with('{') {
        return Err(Malformed(
            "Policies must be valid JSON and the first byte must be '{'",
        ));
    }
    if text.len() > BUCKET_POLICY_MAX_BYTES {
        return Err(Malformed(
            "Policy exceeds the maximum allowed document size.",
        ));
    }
    let document = PolicyDocument::parse(text).map_err(malformed)?;
    let mut sids = Vec::new();
    for statement in &document.statements {
        if let Some(sid) = statement.sid.as_deref().filter(|sid| !sid.is_empty()) {
            if sids.contains(&sid) {
                return Err(Malformed(
                    "Statement IDs (SID) in a single policy must be unique.",
                ));
            }
            sids.push(sid);
        }
        check_statement(statement, bucket, directory)?;
    }
    let pinned = match pinning::pin(text, directory) {
        Ok(pinned) => pinned,
        Err(PinError::NoSuchPrincipal(_)) => return Err(Malformed(INVALID_PRINCIPAL)),
        Err(PinError::Unreadable(error)) => return Err(error.into()),
    };
    Ok(CheckedPolicy { document, pinned })
}

const INVALID_PRINCIPAL: &str = "Invalid principal in policy";
const INVALID_ACTION: &str = "Policy has invalid action";
const INVALID_RESOURCE: &str = "Policy has invalid resource";

fn malformed(error: DocumentError) -> BucketPolicyError {
    Malformed(match error {
        DocumentError::TooLarge => "Policy exceeds the maximum allowed document size.",
        DocumentError::Json => "This policy contains invalid Json",
        DocumentError::UnknownElement => "Unknown field in policy",
        DocumentError::Element("Version") => "The policy must contain a valid version string",
        DocumentError::Element("Principal") => INVALID_PRINCIPAL,
        DocumentError::Element("Action") => INVALID_ACTION,
        DocumentError::Element("Resource") => INVALID_RESOURCE,
        DocumentError::Element("Effect") => "Missing required field Effect",
        DocumentError::Element("Statement") => "Missing required field Statement",
        DocumentError::Element("Condition") => "Policy has an invalid condition",
        DocumentError::Both(_) => "A statement cannot have an element and its negation",
        DocumentError::Element(_) => "Policy has invalid syntax",
    })
}

fn check_statement(
    statement: &Statement,
    bucket: &BucketName,
    directory: &dyn PrincipalDirectory,
) -> Result<(), BucketPolicyError> {
    let principal = statement.principal.as_ref();
    let principal = principal.ok_or(Malformed("Missing required field Principal"))?;
    check_principals(principal, statement.effect, directory)?;
    let action = statement.action.as_ref();
    let action = action.ok_or(Malformed("Missing required field Action"))?;
    let resource = statement.resource.as_ref();
    let resource = resource.ok_or(Malformed("Missing required field Resource"))?;
    let levels = Levels::of(resource, bucket).ok_or(Malformed(INVALID_RESOURCE))?;
    let (ActionElement::Is(actions) | ActionElement::IsNot(actions)) = action;
    for pattern in actions {
        let covered = Levels::covered(pattern).ok_or(Malformed(INVALID_ACTION))?;
        let applies = (covered.bucket && levels.bucket) || (covered.object && levels.object);
        if matches!(action, ActionElement::Is(_)) && !applies {
            return Err(Malformed(
                "Action does not apply to any resource(s) in statement",
            ));
        }
    }
    statement.conditions.iter().try_for_each(check_condition)
}

fn check_principals(
    element: &PrincipalElement,
    effect: Effect,
    directory: &dyn PrincipalDirectory,
) -> Result<(), BucketPolicyError> {
    let names = match element {
        // It would allow everybody else, those yet to be made too.
        PrincipalElement::IsNot(_) if effect == Effect::Allow => {
            return Err(Malformed("Allow with NotPrincipal is not allowed."));
        }
        PrincipalElement::Is(names) | PrincipalElement::IsNot(names) => names,
    };
    for name in names {
        let exists = match name {
            // Users and roles are looked up where they are pinned.
            PrincipalName::Aws(text) => match account_named(text) {
                Some(account) => account_exists(account, directory)?,
                None => true,
            },
            PrincipalName::Everyone | PrincipalName::Federated(_) => true,
            PrincipalName::Service(name) => name.ends_with(".amazonaws.com"),
            PrincipalName::CanonicalUser(id) => match CanonicalId::parse(id) {
                Ok(id) => directory.account_of(&id)?.is_some(),
                Err(_) => false,
            },
        };
        if !exists {
            return Err(Malformed(INVALID_PRINCIPAL));
        }
    }
    Ok(())
}

fn account_exists(
    account: AccountId,
    directory: &dyn PrincipalDirectory,
) -> Result<bool, Unreadable> {
    Ok(directory.canonical_id_of(account)?.is_some())
}

/// Of what something speaks.
#[derive(Clone, Copy, Default)]
struct Levels {
    bucket: bool,
    object: bool,
}

impl Levels {
    /// What of the bucket a resource element speaks of; `None` if one of its resources is not of the
    /// bucket.
    fn of(element: &ResourceElement, bucket: &BucketName) -> Option<Self> {
        let mut levels = Self::default();
        let (ResourceElement::Is(patterns) | ResourceElement::IsNot(patterns)) = element;
        for pattern in patterns {
            let name = pattern.strip_prefix("arn:aws:s3:::")?;
            let rest = name.strip_prefix(bucket.as_str())?;
            match rest.chars().next() {
                None => levels.bucket = true,
                Some('/') => levels.object = true,
                Some('*') => {
                    levels.bucket |= rest.chars().all(|letter| letter == '*');
                    levels.object = true;
                }
                Some(_) => return None,
            }
        }
        if let ResourceElement::IsNot(_) = element {
            // Of everything of the bucket but these.
            levels = Self {
                bucket: true,
                object: true,
            };
        }
        Some(levels)
    }

    /// What the actions are done to that a pattern covers; `None` if it covers none.
    fn covered(pattern: &str) -> Option<Self> {
        let element = ActionElement::Is(vec![pattern.to_owned()]);
        let covers = |names: &[&str]| {
            names
                .iter()
                .any(|name| element.covers(&format!("s3:{name}")))
        };
        let levels = Self {
            bucket: covers(BUCKET_ACTIONS),
            object: covers(OBJECT_ACTIONS),
        };
        (levels.bucket || levels.object).then_some(levels)
    }
}

fn check_condition(condition: &Condition) -> Result<(), BucketPolicyError> {
    let key = condition.key.to_ascii_lowercase();
    let known = match key.split_once(':') {
        Some(("aws", _)) => true,
        Some(("s3", name)) => {
            KEYS.contains(&name)
                || ["existingobjecttag/", "requestobjecttag/", "buckettag/"]
                    .iter()
                    .any(|prefix| name.starts_with(prefix))
        }
        Some(_) | None => false,
    };
    if known {
        Ok(())
    } else {
        Err(Malformed("Policy has an invalid condition key"))
    }
}

/// Service Authorization Reference, "Condition keys for Amazon S3", in lower case.
const KEYS: &[&str] = &[
    "accessgrantsinstancearn",
    "accesspointnetworkorigin",
    "authtype",
    "dataaccesspointaccount",
    "dataaccesspointarn",
    "dataaccesspointname",
    "delimiter",
    "if-match",
    "if-none-match",
    "inventoryaccessibleoptionalfields",
    "jobsuspendedcause",
    "locationconstraint",
    "max-keys",
    "object-lock-legal-hold",
    "object-lock-mode",
    "object-lock-remaining-retention-days",
    "object-lock-retain-until-date",
    "objectcreationoperation",
    "prefix",
    "requestjoboperation",
    "requestjobpriority",
    "requestobjecttagkeys",
    "resourceaccount",
    "signatureage",
    "signatureversion",
    "tlsversion",
    "versionid",
    "x-amz-acl",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-metadata-directive",
    "x-amz-object-ownership",
    "x-amz-request-payer",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];

/// Service Authorization Reference, "Actions defined by Amazon S3", those on objects.
const OBJECT_ACTIONS: &[&str] = &[
    "AbortMultipartUpload",
    "BypassGovernanceRetention",
    "DeleteObject",
    "DeleteObjectTagging",
    "DeleteObjectVersion",
    "DeleteObjectVersionTagging",
    "GetObject",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectLegalHold",
    "GetObjectRetention",
    "GetObjectTagging",
    "GetObjectTorrent",
    "GetObjectVersion",
    "GetObjectVersionAcl",
    "GetObjectVersionAttributes",
    "GetObjectVersionForReplication",
    "GetObjectVersionTagging",
    "GetObjectVersionTorrent",
    "InitiateReplication",
    "ListMultipartUploadParts",
    "ObjectOwnerOverrideToBucketOwner",
    "PutObject",
    "PutObjectAcl",
    "PutObjectLegalHold",
    "PutObjectRetention",
    "PutObjectTagging",
    "PutObjectVersionAcl",
    "PutObjectVersionTagging",
    "ReplicateDelete",
    "ReplicateObject",
    "ReplicateTags",
    "RestoreObject",
    "UpdateObjectEncryption",
];

/// Those on buckets.
const BUCKET_ACTIONS: &[&str] = &[
    "CreateBucket",
    "DeleteBucket",
    "DeleteBucketPolicy",
    "DeleteBucketWebsite",
    "GetAccelerateConfiguration",
    "GetAnalyticsConfiguration",
    "GetBucketAcl",
    "GetBucketCORS",
    "GetBucketLocation",
    "GetBucketLogging",
    "GetBucketNotification",
    "GetBucketObjectLockConfiguration",
    "GetBucketOwnershipControls",
    "GetBucketPolicy",
    "GetBucketPolicyStatus",
    "GetBucketPublicAccessBlock",
    "GetBucketRequestPayment",
    "GetBucketTagging",
    "GetBucketVersioning",
    "GetBucketWebsite",
    "GetEncryptionConfiguration",
    "GetIntelligentTieringConfiguration",
    "GetInventoryConfiguration",
    "GetLifecycleConfiguration",
    "GetMetricsConfiguration",
    "GetReplicationConfiguration",
    "ListBucket",
    "ListBucketMultipartUploads",
    "ListBucketVersions",
    "ListTagsForResource",
    "PutAccelerateConfiguration",
    "PutAnalyticsConfiguration",
    "PutBucketAcl",
    "PutBucketCORS",
    "PutBucketLogging",
    "PutBucketNotification",
    "PutBucketObjectLockConfiguration",
    "PutBucketOwnershipControls",
    "PutBucketPolicy",
    "PutBucketPublicAccessBlock",
    "PutBucketRequestPayment",
    "PutBucketTagging",
    "PutBucketVersioning",
    "PutBucketWebsite",
    "PutEncryptionConfiguration",
    "PutIntelligentTieringConfiguration",
    "PutInventoryConfiguration",
    "PutLifecycleConfiguration",
    "PutMetricsConfiguration",
    "PutReplicationConfiguration",
    "TagResource",
    "UntagResource",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// One account, and alice in it.
    struct Directory;

    impl PrincipalDirectory for Directory {
        fn pin(&self, arn: &str) -> Result<Option<String>, Unreadable> {
            match arn {
                "arn:aws:iam::111122223333:user/alice" => Ok(Some("AIDAALICE".to_owned())),
                "arn:aws:iam::111122223333:user/damaged" => Err(Unreadable),
                _ => Ok(None),
            }
        }

        fn account_of(&self, id: &CanonicalId) -> Result<Option<AccountId>, Unreadable> {
            Ok((id.as_str() == "ab".repeat(32)).then(|| AccountId::parse("111122223333").unwrap()))
        }

        fn canonical_id_of(&self, account: AccountId) -> Result<Option<CanonicalId>, Unreadable> {
            Ok((account.as_str() == "111122223333")
                .then(|| CanonicalId::parse(&"ab".repeat(32)).unwrap()))
        }
    }

    fn told(text: &str) -> String {
        match check(text, &BucketName::parse("w6b").unwrap(), &Directory) {
            Ok(checked) => checked.pinned.unwrap_or_else(|| "as sent".to_owned()),
            Err(error) => error.to_string(),
        }
    }

    fn statement(principal: &str, action: &str, resource: &str, more: &str) -> String {
        told(&format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},"Action":{action},"Resource":{resource}{more}}}]}}"#
        ))
    }

    #[test]
    fn documents_are_held_to_the_language_and_to_the_bucket() {
        const ALL: &str = r#""arn:aws:s3:::w6b/*""#;
        for (text, expected) in [
            (
                "",
                "Policies must be valid JSON and the first byte must be '{'",
            ),
            (
                " {}",
                "Policies must be valid JSON and the first byte must be '{'",
            ),
            (
                "[]",
                "Policies must be valid JSON and the first byte must be '{'",
            ),
            ("{", "This policy contains invalid Json"),
            ("{}", "Missing required field Statement"),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::w6b"}]}"#,
                "Missing required field Principal",
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Principal":"*","Resource":"arn:aws:s3:::w6b"}]}"#,
                "Missing required field Action",
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*"}]}"#,
                "Missing required field Resource",
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","NotPrincipal":"*","Action":"s3:*","Resource":"arn:aws:s3:::w6b"}]}"#,
                "Allow with NotPrincipal is not allowed.",
            ),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
        for (principal, action, resource, expected) in [
            (r#""*""#, r#""s3:GetObject""#, ALL, "as sent"),
            (r#""*""#, r#""S3:getobject""#, ALL, "as sent"),
            (r#""*""#, r#""s3:*""#, r#""arn:aws:s3:::w6b""#, "as sent"),
            (r#""*""#, r#""*""#, r#""arn:aws:s3:::w6b*""#, "as sent"),
            (r#""*""#, r#""s3:GetObjekt""#, ALL, INVALID_ACTION),
            (r#""*""#, r#""kms:Decrypt""#, ALL, INVALID_ACTION),
            (r#""*""#, r#""s3:GetObject""#, r#""*""#, INVALID_RESOURCE),
            (
                r#""*""#,
                r#""s3:GetObject""#,
                r#""arn:aws:s3:::*""#,
                INVALID_RESOURCE,
            ),
            (
                r#""*""#,
                r#""s3:GetObject""#,
                r#""arn:aws:s3:::w6bc/*""#,
                INVALID_RESOURCE,
            ),
            (
                r#""*""#,
                r#""s3:GetObject""#,
                r#""arn:aws:s3:::w6?/*""#,
                INVALID_RESOURCE,
            ),
            (
                r#""*""#,
                r#"["s3:GetObject","s3:ListBucket"]"#,
                ALL,
                "Action does not apply to any resource(s) in statement",
            ),
            (
                r#""*""#,
                r#"["s3:GetObject","s3:ListBucket"]"#,
                r#"["arn:aws:s3:::w6b","arn:aws:s3:::w6b/*"]"#,
                "as sent",
            ),
            (
                r#"{"AWS":"arn:aws:iam::111122223333:user/bob"}"#,
                r#""s3:GetObject""#,
                ALL,
                INVALID_PRINCIPAL,
            ),
            (
                r#"{"AWS":"arn:aws:iam::111122223333:user/damaged"}"#,
                r#""s3:GetObject""#,
                ALL,
                &Unreadable.to_string(),
            ),
            (
                r#"{"AWS":"999999999999"}"#,
                r#""s3:GetObject""#,
                ALL,
                INVALID_PRINCIPAL,
            ),
            (
                r#"{"AWS":"111122223333"}"#,
                r#""s3:GetObject""#,
                ALL,
                "as sent",
            ),
            (
                r#"{"CanonicalUser":"cdcd"}"#,
                r#""s3:GetObject""#,
                ALL,
                INVALID_PRINCIPAL,
            ),
            (
                r#""111122223333""#,
                r#""s3:GetObject""#,
                ALL,
                INVALID_PRINCIPAL,
            ),
        ] {
            let told = statement(principal, action, resource, "");
            assert_eq!(told, expected, "{principal} {action} {resource}");
        }
        let pinned = statement(
            r#"{"AWS":"arn:aws:iam::111122223333:user/alice"}"#,
            r#""s3:GetObject""#,
            ALL,
            "",
        );
        assert!(pinned.contains("AIDAALICE") && !pinned.contains("user/alice"));
    }

    #[test]
    fn conditions_must_have_keys_that_there_are() {
        let with = |key: &str| {
            let condition = format!(r#","Condition":{{"StringEquals":{{"{key}":"x"}}}}"#);
            statement(
                r#""*""#,
                r#""s3:GetObject""#,
                r#""arn:aws:s3:::w6b/*""#,
                &condition,
            )
        };
        for key in [
            "s3:x-amz-server-side-encryption",
            "S3:ExistingObjectTag/a",
            "aws:SourceIp",
        ] {
            assert_eq!(with(key), "as sent", "{key}");
        }
        for key in ["s3:x-amz-sse", "kms:ViaService", "prefix:a"] {
            assert_eq!(with(key), "Policy has an invalid condition key", "{key}");
        }
        // Of no service: the parser refuses it.
        assert_eq!(with("prefix"), "Policy has an invalid condition");
    }
}
