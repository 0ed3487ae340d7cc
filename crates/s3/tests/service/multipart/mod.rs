//! Multipart uploads: every rule, every race, and that nothing is left behind.

mod checksums;
mod endings;
mod parts;
mod races;

use strongroom_policy::actions::{AbortMultipartUpload, DeleteObject, PutObject};
use strongroom_ports::Table;
use strongroom_s3::{
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    CreateMultipartUploadInput, DeleteObjectInput, ExpectedDigests, S3Error, UploadPartInput,
    UploadPartOutput, WriteConditions,
};
use strongroom_sse::{CustomerHeaders, SseHeaders};
use strongroom_types::{ChecksumAlgorithm, ChecksumType, ETag, PartNumber, UploadId};

use crate::support::{Fixture, Pieces, customer};

const MIB_5: usize = 5 << 20;

fn number(number: u64) -> PartNumber {
    PartNumber::new(number).unwrap()
}

fn no_key() -> CustomerHeaders {
    CustomerHeaders::default()
}

fn with_key(byte: u8) -> CreateMultipartUploadInput {
    let sse = SseHeaders {
        customer: customer(byte),
        ..SseHeaders::default()
    };
    CreateMultipartUploadInput {
        sse,
        ..CreateMultipartUploadInput::default()
    }
}

fn declaring(algorithm: ChecksumAlgorithm, kind: ChecksumType) -> CreateMultipartUploadInput {
    CreateMultipartUploadInput {
        checksum_algorithm: Some(algorithm),
        checksum_type: Some(kind),
        ..CreateMultipartUploadInput::default()
    }
}

fn create(f: &Fixture, key: &str, input: CreateMultipartUploadInput) -> UploadId {
    f.service
        .create_multipart_upload(f.entry::<PutObject>(key), input)
        .unwrap()
        .upload
}

fn try_part(
    f: &Fixture,
    (key, upload): (&str, UploadId),
    part: u64,
    body: &[u8],
    customer: CustomerHeaders,
    digests: ExpectedDigests,
) -> Result<UploadPartOutput, S3Error> {
    let input = UploadPartInput {
        upload,
        part_number: number(part),
        content_length: body.len() as u64,
        customer,
        digests,
    };
    let body = Box::pin(Pieces::of(body));
    f.runtime.block_on(
        f.service
            .upload_part(f.entry::<PutObject>(key), input, body),
    )
}

fn part(f: &Fixture, at: (&str, UploadId), number: u64, body: &[u8]) -> CompletedPart {
    let output = try_part(f, at, number, body, no_key(), ExpectedDigests::default()).unwrap();
    listed(number, output.etag)
}

fn listed(part: u64, etag: ETag) -> CompletedPart {
    CompletedPart {
        part_number: number(part),
        etag,
        checksum: None,
    }
}

fn completion(upload: UploadId, parts: &[CompletedPart]) -> CompleteMultipartUploadInput {
    CompleteMultipartUploadInput {
        upload,
        parts: parts.to_vec(),
        checksum: None,
        checksum_type: None,
        object_size: None,
        customer: no_key(),
        conditions: WriteConditions::default(),
    }
}

fn complete(
    f: &Fixture,
    key: &str,
    input: CompleteMultipartUploadInput,
) -> Result<CompleteMultipartUploadOutput, S3Error> {
    f.service
        .complete_multipart_upload(f.entry::<PutObject>(key), input)
}

fn abort(f: &Fixture, key: &str, upload: UploadId) -> Result<(), S3Error> {
    f.service
        .abort_multipart_upload(f.entry::<AbortMultipartUpload>(key), upload)
}

fn delete(f: &Fixture, key: &str) {
    f.service
        .delete_object(f.entry::<DeleteObject>(key), DeleteObjectInput::default())
        .unwrap();
}

fn collect(f: &Fixture) {
    f.service.collect_garbage(10_000).unwrap();
}

/// No row but the bucket's, and no file.
fn assert_nothing_left(f: &Fixture) {
    collect(f);
    for table in [
        Table::CURRENT,
        Table::VERSIONS,
        Table::UPLOADS,
        Table::PARTS,
        Table::INLINE,
        Table::BLOBS,
        Table::GARBAGE,
    ] {
        assert!(f.rows(table).is_empty(), "{table:?}");
    }
    assert!(f.blob_ids().is_empty());
}
