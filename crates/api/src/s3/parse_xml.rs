//! Request documents, as the operations' inputs need them.

use strongroom_s3::{
    CompletedPart, DeleteObjectInput, ETagCondition, EncryptionChange, PublicAccessBlock,
    Versioning,
};
use strongroom_types::kms::KeyArn;
use strongroom_types::limits::{BUCKET_TAGS_MAX, DELETE_OBJECTS_MAX, OBJECT_TAGS_MAX};
use strongroom_types::{
    BlockedEncryption, ChecksumAlgorithm, PartNumber, Region, SseAlgorithm, Tag, TagSet,
};

use super::parse_digests::decode;
use super::parse_headers::{argument, etag, version_id};
use crate::error::{Failure, RequestError};
use crate::xml::{Element, Fields, XmlError, parse};

fn root(document: &[u8], name: &str) -> Result<Fields, XmlError> {
    parse(document)?.into_fields(name)
}

/// `CreateBucketConfiguration`: checks the location, and gives the tags.
///
/// # Errors
///
/// `IllegalLocationConstraintException` for another region than this server's, or for none outside
/// of us-east-1; `InvalidLocationConstraint` for what is no region, and for us-east-1 itself, whose
/// constraint is to have none (S3 refuses the name).
pub(crate) fn create_bucket(document: &[u8], region: &Region) -> Result<TagSet, Failure> {
    let is_us_east_1 = region.as_str() == "us-east-1";
    let missing = || {
        if is_us_east_1 {
            Ok(())
        } else {
            Err(RequestError::IllegalLocationConstraint(String::new()))
        }
    };
    if document.is_empty() {
        return Ok(missing().map(|()| TagSet::default())?);
    }
    let mut fields = root(document, "CreateBucketConfiguration")?;
    match fields
        .optional_text("LocationConstraint")?
        .as_deref()
        .map(str::trim)
    {
        None | Some("") => missing()?,
        Some("us-east-1") if is_us_east_1 => {
            return Err(RequestError::InvalidLocationConstraint("us-east-1".to_owned()).into());
        }
        Some(sent) if sent == region.as_str() => {}
        // The old name of Ireland.
        Some("EU") if region.as_str() == "eu-west-1" => {}
        Some(sent) if looks_like_a_region(sent) => {
            return Err(RequestError::IllegalLocationConstraint(sent.to_owned()).into());
        }
        Some(sent) => return Err(RequestError::InvalidLocationConstraint(sent.to_owned()).into()),
    }
    for of_directory_buckets in ["Location", "Bucket"] {
        if fields.optional(of_directory_buckets)?.is_some() {
            let header = of_directory_buckets.to_owned();
            return Err(RequestError::NotImplemented { header }.into());
        }
    }
    let tags = match fields.optional("Tags")? {
        Some(tags) => tag_list(tags, "Tags", BUCKET_TAGS_MAX)?,
        None => TagSet::default(),
    };
    fields.finish()?;
    Ok(tags)
}

/// What a CreateBucketConfiguration says that the decision about it depends on: where, and which
/// tags. Of a document that is none, nothing.
pub(crate) fn create_bucket_says(document: &[u8]) -> (Option<String>, TagSet) {
    let Ok(mut fields) = root(document, "CreateBucketConfiguration") else {
        return (None, TagSet::default());
    };
    let location = fields.optional_text("LocationConstraint").ok().flatten();
    let tags = fields.optional("Tags").ok().flatten();
    let tags = tags.and_then(|tags| tag_list(tags, "Tags", BUCKET_TAGS_MAX).ok());
    (location, tags.unwrap_or_default())
}

/// `eu-central-1` and its like: words and a number.
fn looks_like_a_region(text: &str) -> bool {
    let words: Vec<&str> = text.split('-').collect();
    words.len() >= 3
        && Region::parse(text).is_ok()
        && words
            .last()
            .is_some_and(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()))
}

/// `VersioningConfiguration`.
pub(crate) fn versioning(document: &[u8]) -> Result<Versioning, Failure> {
    let mut fields = root(document, "VersioningConfiguration")?;
    let status = fields.optional_text("Status")?;
    let mfa_delete = fields.optional_text("MfaDelete")?;
    fields.finish()?;
    if mfa_delete.as_deref() == Some("Enabled") {
        return Err(RequestError::NotImplemented {
            header: "MfaDelete".to_owned(),
        }
        .into());
    }
    match status.as_deref() {
        Some("Enabled") => Ok(Versioning::Enabled),
        Some("Suspended") => Ok(Versioning::Suspended),
        None => {
            let message = "The Versioning element must be specified";
            Err(RequestError::InvalidRequest(message.to_owned()).into())
        }
        Some(_) => Err(RequestError::MalformedXml.into()),
    }
}

/// `PublicAccessBlockConfiguration`: what it does not name is off.
pub(crate) fn public_access_block(document: &[u8]) -> Result<PublicAccessBlock, Failure> {
    let mut fields = root(document, "PublicAccessBlockConfiguration")?;
    let mut flag = |name| -> Result<bool, Failure> {
        match fields.optional_text(name)?.as_deref().map(str::trim) {
            None | Some("false" | "FALSE") => Ok(false),
            Some("true" | "TRUE") => Ok(true),
            Some(_) => Err(RequestError::MalformedXml.into()),
        }
    };
    let block = PublicAccessBlock {
        block_public_acls: flag("BlockPublicAcls")?,
        ignore_public_acls: flag("IgnorePublicAcls")?,
        block_public_policy: flag("BlockPublicPolicy")?,
        restrict_public_buckets: flag("RestrictPublicBuckets")?,
    };
    fields.finish()?;
    Ok(block)
}

/// `ServerSideEncryptionConfiguration` (spec `s3-encryption.md` 6.3).
pub(crate) fn encryption(document: &[u8]) -> Result<EncryptionChange, Failure> {
    let mut fields = root(document, "ServerSideEncryptionConfiguration")?;
    let rule = fields.required("Rule")?;
    fields.finish()?;
    let mut rule = rule.into_fields("Rule")?;
    let default = rule.optional("ApplyServerSideEncryptionByDefault")?;
    let bucket_key_enabled = match rule.optional_text("BucketKeyEnabled")?.as_deref() {
        None => false,
        Some(value) if value.eq_ignore_ascii_case("true") => true,
        Some(value) if value.eq_ignore_ascii_case("false") => false,
        Some(_) => return Err(RequestError::MalformedXml.into()),
    };
    let blocked = rule
        .optional("BlockedEncryptionTypes")?
        .map(blocked_types)
        .transpose()?;
    rule.finish()?;
    let (algorithm, kms_key_id) = match default {
        None => (None, None),
        Some(default) => {
            let mut default = default.into_fields("ApplyServerSideEncryptionByDefault")?;
            let algorithm = default.required_text("SSEAlgorithm")?;
            let key = default
                .optional_text("KMSMasterKeyID")?
                .filter(|key| !key.is_empty());
            default.finish()?;
            let algorithm = SseAlgorithm::parse(&algorithm).ok_or(XmlError)?;
            if algorithm == SseAlgorithm::Aes256 && key.is_some() {
                let message = "a KMSMasterKeyID is not applicable if the default sse algorithm is \
                               not aws:kms or aws:kms:dsse";
                return Err(argument(
                    message,
                    "ApplyServerSideEncryptionByDefault",
                    None,
                ));
            }
            (Some(algorithm), key)
        }
    };
    if algorithm.is_none() && blocked.is_none() {
        return Err(RequestError::MalformedXml.into());
    }
    Ok(EncryptionChange {
        algorithm,
        kms_key_id,
        bucket_key_enabled,
        blocked,
    })
}

/// `ObjectEncryption` of UpdateObjectEncryption: key and bucket key flag (spec
/// `s3-encryption.md` 9). Every refusal has a text of its own.
pub(crate) fn object_encryption(document: &[u8]) -> Result<(KeyArn, bool), Failure> {
    let refused = |message: String| Err(RequestError::InvalidRequest(message).into());
    let mut fields = root(document, "ObjectEncryption")?;
    for other in ["SSE-S3", "SSE-C", "DSSE-KMS"] {
        if fields.optional(other)?.is_some() {
            return refused(format!(
                "Updating the encryption of an object to {other} is not supported. Supported \
                 value: SSE-KMS."
            ));
        }
    }
    let Some(target) = fields.optional("SSE-KMS")? else {
        return refused(
            "The encryption type is missing or not valid. Supported value: SSE-KMS.".to_owned(),
        );
    };
    fields.finish()?;
    let mut target = target.into_fields("SSE-KMS")?;
    let arn = target.optional_text("KMSKeyArn")?;
    let flag = target.optional_text("BucketKeyEnabled")?;
    target.finish()?;
    let Some(arn) = arn.filter(|arn| !arn.is_empty()) else {
        return refused("KMSKeyArn is missing.".to_owned());
    };
    let Some(key) = KeyArn::parse(&arn) else {
        return refused(
            "KMSKeyArn is not valid: the full ARN of a KMS key is needed, not a key ID or an alias."
                .to_owned(),
        );
    };
    let bucket_key = match flag.as_deref() {
        None => false,
        Some(value) if value.eq_ignore_ascii_case("true") => true,
        Some(value) if value.eq_ignore_ascii_case("false") => false,
        Some(_) => return refused("BucketKeyEnabled must be true or false.".to_owned()),
    };
    Ok((key, bucket_key))
}

fn blocked_types(element: Element) -> Result<BlockedEncryption, Failure> {
    let mut fields = element.into_fields("BlockedEncryptionTypes")?;
    let kinds = fields.list("EncryptionType");
    fields.finish()?;
    let mut blocked = None;
    for kind in kinds {
        let kind = BlockedEncryption::parse(&kind.into_text()?).ok_or(XmlError)?;
        // NONE beside another type contradicts itself.
        if blocked.replace(kind).is_some_and(|other| other != kind) {
            return Err(RequestError::MalformedXml.into());
        }
    }
    Ok(blocked.ok_or(XmlError)?)
}

/// `Tagging` of an object.
pub(crate) fn object_tagging(document: &[u8]) -> Result<TagSet, Failure> {
    tagging(document, OBJECT_TAGS_MAX)
}

/// `Tagging` of a bucket.
pub(crate) fn bucket_tagging(document: &[u8]) -> Result<TagSet, Failure> {
    tagging(document, BUCKET_TAGS_MAX)
}

/// `Tagging`, also as the field of a form.
pub(crate) fn tagging(document: &[u8], max_tags: usize) -> Result<TagSet, Failure> {
    let mut fields = root(document, "Tagging")?;
    let set = fields.required("TagSet")?;
    fields.finish()?;
    tag_list(set, "TagSet", max_tags)
}

fn tag_list(element: Element, name: &str, max_tags: usize) -> Result<TagSet, Failure> {
    let mut fields = element.into_fields(name)?;
    let elements = fields.list("Tag");
    fields.finish()?;
    let mut tags = Vec::new();
    for element in elements {
        let mut tag = element.into_fields("Tag")?;
        tags.push(Tag {
            key: tag.required_text("Key")?,
            value: tag.required_text("Value")?,
        });
        tag.finish()?;
    }
    Ok(TagSet::parse(tags, max_tags)?)
}

/// `Delete`: what to delete, and whether successes go unmentioned.
pub(crate) struct DeleteRequest {
    /// `Quiet`.
    pub(crate) is_quiet: bool,
    /// The entries.
    pub(crate) entries: Vec<DeleteEntry>,
}

/// One entry. What is wrong with one entry is told for that entry.
pub(crate) struct DeleteEntry {
    /// The key as sent.
    pub(crate) key: String,
    /// The version as sent.
    pub(crate) version: Option<String>,
    /// The `ETag` as sent: what `If-Match` is to DeleteObject.
    pub(crate) etag: Option<String>,
    /// What it asks for.
    pub(crate) input: Result<DeleteObjectInput, Failure>,
}

/// `Delete`.
pub(crate) fn delete(document: &[u8]) -> Result<DeleteRequest, Failure> {
    let mut fields = root(document, "Delete")?;
    let is_quiet = fields
        .optional_text("Quiet")?
        .is_some_and(|quiet| quiet.eq_ignore_ascii_case("true"));
    let objects = fields.list("Object");
    fields.finish()?;
    if objects.is_empty() || objects.len() > DELETE_OBJECTS_MAX {
        return Err(RequestError::MalformedXml.into());
    }
    let mut entries = Vec::with_capacity(objects.len());
    for object in objects {
        let mut object = object.into_fields("Object")?;
        let key = object.required_text("Key")?;
        let version = object
            .optional_text("VersionId")?
            .filter(|version| !version.is_empty());
        let etag_sent = object
            .optional_text("ETag")?
            .map(|etag| etag.trim().to_owned());
        let of_directory_buckets =
            object.optional("LastModifiedTime")?.is_some() | object.optional("Size")?.is_some();
        object.finish()?;
        let input = match version.as_deref().map(version_id).transpose() {
            _ if of_directory_buckets => Err(RequestError::NotImplemented {
                header: "LastModifiedTime,Size".to_owned(),
            }
            .into()),
            Err(error) => Err(error),
            Ok(version) => Ok(DeleteObjectInput {
                version,
                if_match: etag_sent.as_deref().map(|value| match value {
                    "*" => ETagCondition::Any,
                    value => ETagCondition::Tags(vec![etag(value)]),
                }),
            }),
        };
        entries.push(DeleteEntry {
            key,
            version,
            etag: etag_sent,
            input,
        });
    }
    Ok(DeleteRequest { is_quiet, entries })
}

/// `CompleteMultipartUpload`: the parts in the client's order.
pub(crate) fn complete(document: &[u8]) -> Result<Vec<CompletedPart>, Failure> {
    let mut fields = root(document, "CompleteMultipartUpload")?;
    let elements = fields.list("Part");
    fields.finish()?;
    if elements.is_empty() {
        return Err(RequestError::MalformedXml.into());
    }
    let mut parts = Vec::with_capacity(elements.len());
    for element in elements {
        let mut part = element.into_fields("Part")?;
        let number = part.required_text("PartNumber")?;
        let tag = part.required_text("ETag")?;
        let mut checksum = None;
        for algorithm in ChecksumAlgorithm::ALL {
            if let Some(text) = part.optional_text(algorithm.element())? {
                let value = decode(algorithm, text.trim()).ok_or(XmlError)?;
                checksum = Some((algorithm, value));
            }
        }
        part.finish()?;
        // What is no number breaks the schema; a number out of range is an argument's value.
        let value: i64 = number.trim().parse().map_err(|_| XmlError)?;
        let number = u64::try_from(value).ok().and_then(PartNumber::new);
        let number = number.ok_or_else(|| {
            let message = "Part number must be an integer between 1 and 10000, inclusive";
            argument(message, "partNumber", Some(&value.to_string()))
        })?;
        parts.push(CompletedPart {
            part_number: number,
            etag: etag(&tag),
            checksum,
        });
    }
    Ok(parts)
}
