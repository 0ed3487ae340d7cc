//! Blobs that no row names, by what they say of themselves: uids from the header of the stream, the
//! data key from the footer, the name from the header, and then everything as usual (`FORMAT.md`, 7).

use std::collections::BTreeMap;
use std::path::PathBuf;

use strongroom_crypto::{
    Attribute, BodyKeys, FOOTER_MAX_BYTES, Footer, HEADER_MAX_BYTES, ObjectIdentity, PartIdentity,
    StreamLayout, recover_identity, stream_uids,
};

use crate::blobs::Blobs;
use crate::footers::{FOOTER_TABLE, last_footer};
use crate::keys::{Keys, Whose};
use crate::objects::{Line, Sink, mode_of};
use crate::output::{Output, path_of};
use crate::records::{self, Bucket, FooterRecord, KmsEncryption};
use crate::report::{Outcome, Report};
use crate::rows::{Rows, Table};
use crate::stream::{self, Broken, Stored};
use crate::{Progress, RecoverError, to_u64};

/// A blob that says what it is.
struct Found {
    blob: [u8; 16],
    object: ObjectIdentity,
    part: Option<PartIdentity>,
    keys: BodyKeys,
    record: FooterRecord,
    kms: Option<KmsEncryption>,
    mode: &'static str,
}

/// Recovers what blobs tell that no version led to.
pub(crate) fn recover(
    keys: &Keys<'_>,
    rows: &Rows,
    blobs: &Blobs,
    out: &mut Output,
    report: &mut Report,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), RecoverError> {
    let all = to_u64(blobs.unclaimed().count());
    // By bucket and version. Parts lie by number and time: a part may have been sent twice.
    let mut versions: BTreeMap<([u8; 16], [u8; 16]), Vec<Found>> = BTreeMap::new();
    for (done, blob) in blobs.unclaimed().enumerate() {
        progress(Progress::Blobs(to_u64(done), all));
        match look(blob, keys, rows, blobs) {
            Ok(Some(found)) => {
                let place = (
                    *found.object.bucket.as_bytes(),
                    *found.object.version.as_bytes(),
                );
                versions.entry(place).or_default().push(found);
            }
            // A part list, which is of use only with its row.
            Ok(None) => {}
            Err((mode, outcome)) => {
                report.count(mode, outcome, 0);
                report.lose(format!("blob {}", hex::encode(blob)), outcome.reason());
            }
        }
    }
    progress(Progress::Blobs(all, all));
    for found in versions.values_mut() {
        write(found, rows, blobs, out, report)?;
    }
    Ok(())
}

fn look(
    blob: [u8; 16],
    keys: &Keys<'_>,
    rows: &Rows,
    blobs: &Blobs,
) -> Result<Option<Found>, (&'static str, Outcome)> {
    let unknown = |outcome| ("unknown", outcome);
    let damaged = || unknown(Outcome::Damaged);
    let file = blobs.open(blob).map_err(|_| unknown(Outcome::Missing))?;
    let file = Stored::InFile(file);
    let header = file.read(0, HEADER_MAX_BYTES).map_err(|_| damaged())?;
    if header.starts_with(b"SRM1") {
        return Ok(None);
    }
    let (bucket, version, _) = stream_uids(&header).map_err(|_| damaged())?;
    let footer = footer_of(&file).ok_or_else(damaged)?;
    let kms: Option<KmsEncryption> = footer.encryption.as_ref().and_then(|sealed| {
        let place = [bucket.as_bytes().as_slice(), version.as_bytes()].concat();
        records::decode(&rows.open_sealed(FOOTER_TABLE, &place, sealed)?)
    });
    let mode = mode_of(footer.wrapped_key.as_bytes(), kms.as_ref());
    let failed = |outcome| (mode, outcome);
    let by_uids = keys
        .body_keys(
            &footer.wrapped_key,
            kms.as_ref(),
            Whose::Uids(bucket, version),
        )
        .map_err(failed)?;
    let (object, part) =
        recover_identity(&by_uids, &header).map_err(|_| failed(Outcome::Damaged))?;
    // Once more, now that the name is known: it is bound to the key.
    let body_keys = keys
        .body_keys(&footer.wrapped_key, kms.as_ref(), Whose::Object(&object))
        .map_err(failed)?;
    let record = body_keys
        .data_key()
        .open_attribute(Attribute::FooterRecord, &object, &footer.record)
        .ok()
        .and_then(|plaintext| records::decode::<FooterRecord>(&plaintext))
        .ok_or(failed(Outcome::Damaged))?;
    if record.key != object.key.as_str() || StreamLayout::parse(&header).is_err() {
        return Err(failed(Outcome::Damaged));
    }
    Ok(Some(Found {
        blob,
        object,
        part,
        keys: body_keys,
        record,
        kms,
        mode,
    }))
}

fn footer_of(file: &Stored) -> Option<Footer> {
    let len = file.len().ok()?;
    let tail_len = usize::try_from(len).ok()?.min(3 * FOOTER_MAX_BYTES);
    let tail = file.read(len - to_u64(tail_len), tail_len).ok()?;
    last_footer(&tail)
}

/// Writes one version, from its one stream or from the newest attempt at each of its parts.
fn write(
    found: &mut [Found],
    rows: &Rows,
    blobs: &Blobs,
    out: &mut Output,
    report: &mut Report,
) -> Result<(), RecoverError> {
    found.sort_by_key(|it| {
        let number = it.part.map_or(0, |part| part.number.value());
        (number, std::cmp::Reverse(it.record.written_millis))
    });
    let Some(first) = found.first() else {
        return Ok(());
    };
    let uid = hex::encode(first.object.version.as_bytes());
    let bucket = bucket_name(first, rows);
    let key = first.object.key.as_str();
    let (file, path) = out.file(&["unreferenced", &bucket], &path_of(key, true), Some(&uid))?;
    let mut sink = Sink::new(file);
    let mut number = None;
    let mut outcome = if first.part.is_some() {
        Outcome::Unproven
    } else {
        Outcome::Recovered
    };
    for stream in found.iter() {
        let own = stream.part.map_or(0, |part| part.number.value());
        if number == Some(own) {
            continue;
        }
        number = Some(own);
        match copy(stream, blobs, &mut sink) {
            Ok(()) => {}
            Err(Broken::Stored(broken)) => outcome = broken,
            Err(Broken::Output(error)) => return Err(out.failure(&path, error)),
        }
    }
    let last_modified_millis = found.iter().map(|it| it.record.written_millis).max();
    let last_modified_millis = last_modified_millis.unwrap_or_default();
    let mut line = Line {
        bucket: &bucket,
        key,
        last_modified_millis,
        owner: &first.record.owner,
        outcome: Some(outcome),
        encryption: Some(first.mode),
        kms_key_arn: first.kms.as_ref().map(|kms| kms.key_arn.as_str()),
        bucket_key: first.kms.as_ref().is_some_and(|kms| kms.bucket_key),
        size_bytes: Some(sink.written),
        etag: (!first.record.etag.is_empty()).then_some(first.record.etag.as_str()),
        ..Line::default()
    };
    if let Some(metadata) = &first.record.metadata {
        line.describe(metadata, &first.record.tags);
    }
    report.count(first.mode, outcome, sink.written);
    let what = format!("s3://{bucket}/{key} of the unreferenced version {uid}");
    if outcome != Outcome::Recovered {
        report.lose(what, outcome.reason());
    }
    if matches!(outcome, Outcome::Recovered | Outcome::Unproven) {
        report.unreferenced += 1;
        let sha256 = sink.finish(last_modified_millis);
        line.sha256 = Some(sha256.map_err(|error| out.failure(&path, error))?);
        line.file = Some(path);
    } else {
        out.remove(&path)?;
    }
    out.object(&line)
}

fn copy(found: &Found, blobs: &Blobs, sink: &mut Sink) -> Result<(), Broken> {
    let file = blobs.open(found.blob);
    let file = file.map_err(|_| Broken::Stored(Outcome::Missing))?;
    let object = (&found.object, found.part);
    stream::copy(
        &Stored::InFile(file),
        found.record.size_bytes,
        &found.keys,
        object,
        sink,
    )
}

/// The bucket's name by its row, or by what the key service was told.
fn bucket_name(found: &Found, rows: &Rows) -> String {
    let uid = found.object.bucket;
    let by_row = rows
        .scan::<Bucket>(Table::Buckets, &[])
        .find(|(_, bucket)| bucket.as_ref().is_some_and(|it| it.uid == *uid.as_bytes()))
        .map(|(name, _)| String::from_utf8_lossy(name).into_owned());
    let by_context = || {
        let arn = found.kms.as_ref()?.s3_arn.strip_prefix("arn:aws:s3:::")?;
        let name = arn.split('/').next()?;
        let path: PathBuf = name.into();
        // It becomes a directory's name.
        (!name.starts_with('.') && path.components().count() == 1).then(|| name.to_owned())
    };
    by_row
        .or_else(by_context)
        .unwrap_or_else(|| format!("bucket-{}", hex::encode(uid.as_bytes())))
}
