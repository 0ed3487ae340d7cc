//! SSE-KMS, DSSE-KMS and bucket keys: what is asked of the key service and as whom, what a key that
//! is taken away takes with it, and what does not open for another object.

mod binding;
mod bucket_keys;
mod operations;
mod re_encryption;
mod records;
mod taken_away;

use std::sync::Arc;

use strongroom_policy::actions::{
    GetObject, GetObjectAttributes, ListMultipartUploadParts, PutObject, UpdateObjectEncryption,
};
use strongroom_s3::{
    CompleteMultipartUploadInput, CompletedPart, CopyObjectInput, CopyObjectOutput, CopySource,
    CreateMultipartUploadInput, EncryptionAnswer, ExpectedDigests, GetObjectAttributesInput,
    GetObjectInput, ListPartsInput, MetadataDirective, PutObjectInput, PutObjectOutput,
    ReadConditions, S3Error, TaggingDirective, UpdateObjectEncryptionInput, UploadPartCopyInput,
    UploadPartInput, WriteConditions,
};
use strongroom_sse::{CustomerHeaders, SseHeaders};
use strongroom_types::kms::{EncryptionContext, KeyArn};
use strongroom_types::{ByteRange, ETag, PartNumber, RequestContext, SseAlgorithm, UploadId};

use crate::support::{Fixture, Pieces, bucket, object_key};

const WINDOW: usize = 256 << 10;
const ROOT: &str = "arn:aws:iam::111111111111:root";

fn kms(key: Option<&str>) -> SseHeaders {
    SseHeaders {
        algorithm: Some("aws:kms".to_owned()),
        kms_key_id: key.map(str::to_owned),
        ..SseHeaders::default()
    }
}

fn with_bucket_key(key: &KeyArn) -> SseHeaders {
    SseHeaders {
        bucket_key_enabled: Some("true".to_owned()),
        ..kms(Some(&key.to_string()))
    }
}

fn dsse(key: &KeyArn) -> SseHeaders {
    SseHeaders {
        algorithm: Some("aws:kms:dsse".to_owned()),
        bucket_key_enabled: Some("true".to_owned()),
        ..kms(Some(&key.to_string()))
    }
}

fn put(f: &Fixture, key: &str, sse: SseHeaders, body: &[u8]) -> Result<PutObjectOutput, S3Error> {
    let input = PutObjectInput {
        sse,
        ..PutObjectInput::default()
    };
    f.try_put(key, input, body)
}

fn get_as(f: &Fixture, who: Arc<RequestContext>, key: &str) -> Result<Vec<u8>, S3Error> {
    let entry = f
        .service
        .enter_object::<GetObject>(who, &bucket(), &object_key(key), None)
        .unwrap();
    let output = f.service.get_object(entry, GetObjectInput::default())?;
    Ok(f.drain(output).unwrap())
}

fn checksums() -> GetObjectInput {
    GetObjectInput {
        with_checksum: true,
        ..GetObjectInput::default()
    }
}

fn head(f: &Fixture, input: GetObjectInput) -> Result<EncryptionAnswer, S3Error> {
    let output = f.service.head_object(f.entry::<GetObject>("k"), input)?;
    Ok(output.object.encryption)
}

fn attributes(f: &Fixture, with_checksum: bool) -> Result<(), S3Error> {
    let input = GetObjectAttributesInput {
        with_checksum,
        ..GetObjectAttributesInput::default()
    };
    let entry = f.entry::<GetObjectAttributes>("k");
    f.service.get_object_attributes(entry, input).map(|_| ())
}

fn copy_source() -> CopySource {
    CopySource {
        bucket: bucket(),
        key: object_key("k"),
        version: None,
        conditions: ReadConditions::default(),
        customer: CustomerHeaders::default(),
    }
}

fn copy(f: &Fixture, to: &str, sse: SseHeaders) -> Result<CopyObjectOutput, S3Error> {
    let input = CopyObjectInput {
        metadata: MetadataDirective::Copy,
        tags: TaggingDirective::Copy,
        website_redirect_location: None,
        storage_class_given: false,
        sse,
        conditions: WriteConditions::default(),
        checksum_algorithm: None,
        acl: strongroom_s3::WantedAcl::Unspecified,
    };
    let (from, to) = (f.entry::<GetObject>("k"), f.entry::<PutObject>(to));
    f.service.copy_object(from, to, copy_source(), input)
}

fn create(f: &Fixture, key: &str, sse: SseHeaders) -> Result<UploadId, S3Error> {
    let input = CreateMultipartUploadInput {
        sse,
        ..CreateMultipartUploadInput::default()
    };
    let entry = f.entry::<PutObject>(key);
    Ok(f.service.create_multipart_upload(entry, input)?.upload)
}

fn part(
    f: &Fixture,
    key: &str,
    upload: UploadId,
    number: u64,
    body: &[u8],
) -> Result<ETag, S3Error> {
    let input = UploadPartInput {
        upload,
        part_number: PartNumber::new(number).unwrap(),
        content_length: body.len() as u64,
        customer: CustomerHeaders::default(),
        digests: ExpectedDigests::default(),
    };
    let entry = f.entry::<PutObject>(key);
    let sent = f
        .service
        .upload_part(entry, input, Box::pin(Pieces::of(body)));
    Ok(f.runtime.block_on(sent)?.etag)
}

fn part_copy(f: &Fixture, key: &str, upload: UploadId) -> Result<ETag, S3Error> {
    let input = UploadPartCopyInput {
        upload,
        part_number: PartNumber::new(2).unwrap(),
        source_range: Some(ByteRange { start: 1, end: 4 }),
        customer: CustomerHeaders::default(),
    };
    let (from, to) = (f.entry::<GetObject>("k"), f.entry::<PutObject>(key));
    Ok(f.service
        .upload_part_copy(from, to, copy_source(), input)?
        .etag)
}

fn list_parts(f: &Fixture, key: &str, upload: UploadId) -> Result<usize, S3Error> {
    let input = ListPartsInput {
        upload,
        after: 0,
        max_parts: 10,
        customer: CustomerHeaders::default(),
    };
    let entry = f.entry::<ListMultipartUploadParts>(key);
    Ok(f.service.list_parts(entry, input)?.parts.len())
}

fn complete(
    f: &Fixture,
    key: &str,
    upload: UploadId,
    etags: &[ETag],
) -> Result<EncryptionAnswer, S3Error> {
    let parts = (1..).zip(etags).map(|(number, etag)| CompletedPart {
        part_number: PartNumber::new(number).unwrap(),
        etag: etag.clone(),
        checksum: None,
    });
    let input = CompleteMultipartUploadInput {
        upload,
        parts: parts.collect(),
        checksum: None,
        checksum_type: None,
        object_size: None,
        customer: CustomerHeaders::default(),
        conditions: WriteConditions::default(),
    };
    let entry = f.entry::<PutObject>(key);
    let output = f.service.complete_multipart_upload(entry, input)?;
    Ok(output.encryption.unwrap())
}

fn answer(algorithm: SseAlgorithm, key: &KeyArn, bucket_key: bool) -> EncryptionAnswer {
    EncryptionAnswer::Kms {
        algorithm,
        key: key.clone(),
        bucket_key,
        context: None,
    }
}

fn arn_only(arn: &str) -> EncryptionContext {
    EncryptionContext::default()
        .with("aws:s3:arn", arn)
        .unwrap()
}

/// Every mode of a key of the key service: headers, algorithm, bucket key.
fn modes(key: &KeyArn) -> [(SseHeaders, SseAlgorithm, bool); 3] {
    [
        (kms(Some(&key.id.to_string())), SseAlgorithm::AwsKms, false),
        (with_bucket_key(key), SseAlgorithm::AwsKms, true),
        (dsse(key), SseAlgorithm::AwsKmsDsse, false),
    ]
}

fn update(f: &Fixture, key: &KeyArn, bucket_key: bool) -> Result<(), S3Error> {
    let input = UpdateObjectEncryptionInput {
        version: None,
        key: key.clone(),
        bucket_key,
    };
    let entry = f.entry::<UpdateObjectEncryption>("k");
    f.service.update_object_encryption(entry, input).map(|_| ())
}
