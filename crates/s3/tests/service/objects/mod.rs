//! Objects of one stream: round trips, ranges, versions, conditions, copies, SSE-C, digests, damage,
//! and what is left behind.

mod conditions;
mod contents;
mod copies;
mod damage;
mod leftovers;
mod versions;

use md5::{Digest as _, Md5};
use strongroom_policy::actions::{DeleteObject, GetObject, PutObject};
use strongroom_ports::Table;
use strongroom_s3::{
    CopyObjectInput, CopyObjectOutput, CopySource, DeleteObjectInput, DeleteObjectOutput,
    GetObjectInput, MetadataDirective, PutObjectInput, ReadConditions, S3Error, TaggingDirective,
    WriteConditions,
};
use strongroom_sse::{CustomerHeaders, SseHeaders};
use strongroom_types::{ETag, RangeSpec, VersionId};

use crate::support::{Fixture, bucket, customer, object_key};

const SEGMENT: usize = 65_536;
const WINDOW: usize = 4 * SEGMENT;

fn sse_c(byte: u8) -> SseHeaders {
    SseHeaders {
        customer: customer(byte),
        ..SseHeaders::default()
    }
}

fn sse_c_put(byte: u8) -> PutObjectInput {
    PutObjectInput {
        sse: sse_c(byte),
        ..PutObjectInput::default()
    }
}

fn ranged(range: RangeSpec) -> GetObjectInput {
    GetObjectInput {
        range: Some(range),
        ..GetObjectInput::default()
    }
}

fn md5_etag(body: &[u8]) -> ETag {
    ETag::from_digest(Md5::digest(body).into())
}

fn delete(f: &Fixture, key: &str, version: Option<VersionId>) -> DeleteObjectOutput {
    let input = DeleteObjectInput {
        version,
        if_match: None,
    };
    f.service
        .delete_object(f.entry::<DeleteObject>(key), input)
        .unwrap()
}

fn copy_source(key: &str) -> CopySource {
    CopySource {
        bucket: bucket(),
        key: object_key(key),
        version: None,
        conditions: ReadConditions::default(),
        customer: CustomerHeaders::default(),
    }
}

fn copy_input() -> CopyObjectInput {
    CopyObjectInput {
        metadata: MetadataDirective::Copy,
        tags: TaggingDirective::Copy,
        website_redirect_location: None,
        storage_class_given: false,
        sse: SseHeaders::default(),
        conditions: WriteConditions::default(),
        checksum_algorithm: None,
        acl: strongroom_s3::WantedAcl::Unspecified,
    }
}

fn copy(
    f: &Fixture,
    source: CopySource,
    to: &str,
    input: CopyObjectInput,
) -> Result<CopyObjectOutput, S3Error> {
    let from = f.entry::<GetObject>(source.key.as_str());
    f.service
        .copy_object(from, f.entry::<PutObject>(to), source, input)
}

/// Works off all garbage and two sweeps, and wants every blob file to have a row.
fn clean(f: &Fixture) {
    f.service.collect_garbage(usize::MAX).unwrap();
    f.service.sweep_orphans().unwrap();
    f.service.sweep_orphans().unwrap();
    assert_eq!(f.rows(Table::GARBAGE).len(), 0);
    assert_eq!(f.rows(Table::BLOBS).len(), f.blob_ids().len());
}

/// Nothing of any object is left, visible or not.
fn assert_nothing_left(f: &Fixture) {
    for table in [
        Table::CURRENT,
        Table::VERSIONS,
        Table::NULL_VERSIONS,
        Table::INLINE,
        Table::BLOBS,
    ] {
        assert_eq!(f.rows(table).len(), 0, "{table:?}");
    }
    assert_eq!(f.blob_ids().len(), 0);
}
