//! `inspect`: how one object is encrypted, by the running server or off line.

use std::fmt::Write as _;
use std::sync::Arc;

use strongroom_audit::Params;
use strongroom_crypto::{Keyring, Unsealed};
use strongroom_ports::{Entropy, MetaStore};
use strongroom_types::Timestamp;
use strongroom_verify::{
    InspectAsk, InspectError, Inspection, Layer, StoredStream, WrappedBy, inspect, read_off_line,
};

use crate::adapters::SystemEntropy;
use crate::admin::{Answer, Request, ask, object_named};
use crate::cli::inspect::InspectArgs;
use crate::commands::unexpected;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::notes::Note;
use crate::progress::Bar;
use crate::unseal::{self, Environment};
use crate::{output, verify};

/// Shows an object.
///
/// # Errors
///
/// [`Exit::General`] where there is none; what opening the store gives, without a server.
pub(crate) fn run(
    settings: &Settings,
    args: &InspectArgs,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let request = Request::Inspect {
        bucket: args.object.bucket.to_string(),
        key: args.object.key.to_string(),
        version: args.version_id.clone(),
    };
    let found = match ask(&settings.data.admin_socket(), &request)? {
        Some(Answer::Inspected(found)) => *found,
        Some(_) => return Err(unexpected()),
        None => off_line(settings, args, environment)?,
    };
    if args.json {
        return output::say(&serde_json::to_string_pretty(&found).unwrap_or_default());
    }
    for line in lines(&found) {
        output::say(&line)?;
    }
    Ok(())
}

/// What the server answers.
///
/// # Errors
///
/// With what to do about it.
pub(crate) fn answer(
    settings: &Settings,
    (meta, ring): (&dyn MetaStore, &Keyring<Unsealed>),
    object: (&str, &str, Option<&str>),
) -> Result<Inspection, Failure> {
    let (bucket, key, version) = object_named(object)?;
    let ask = InspectAsk {
        bucket,
        key,
        version,
    };
    inspect(meta, ring, settings.data.root(), &ask).map_err(|error| failure(&error))
}

fn off_line(
    settings: &Settings,
    args: &InspectArgs,
    environment: Environment<'_>,
) -> Result<Inspection, Failure> {
    let _lock = verify::lock(settings)?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let opened = unseal::unseal_as_it_is(settings, &entropy, environment)?;
    let details = Params::new()
        .text("bucketName", args.object.bucket.as_str())
        .text("key", args.object.key.as_str())
        .optional("versionId", args.version_id.as_deref());
    let note = Note::begin(&settings.data, &opened.ring, "InspectObject", details);
    let outcome = look(settings, args, &opened.ring);
    note.end(Params::new(), outcome.as_ref().err());
    outcome
}

fn look(
    settings: &Settings,
    args: &InspectArgs,
    ring: &Keyring<Unsealed>,
) -> Result<Inspection, Failure> {
    let mut bar = Bar::new("inspect");
    let read = read_off_line(&settings.data.meta(), ring, &mut |done, all| {
        bar.show("reading the journal", done, all);
    });
    bar.end();
    let read = read.map_err(|error| {
        Failure::new(
            Exit::Environment,
            format!("the rows cannot be read: {error}"),
            "check the disk and the permissions of the data directory",
        )
    })?;
    if !read.losses.is_empty() {
        output::complain("strongroom: warning: rows are damaged; strongroom verify says which");
    }
    let (bucket, key) = (&args.object.bucket, &args.object.key);
    answer(
        settings,
        (&*read.rows, ring),
        (bucket.as_str(), key.as_str(), args.version_id.as_deref()),
    )
}

fn failure(error: &InspectError) -> Failure {
    let (exit, remedy) = match error {
        InspectError::NoSuchBucket(_) => (Exit::General, "see aws s3 ls"),
        InspectError::NoSuchKey => (Exit::General, "see aws s3 ls s3://BUCKET --recursive"),
        InspectError::NoSuchVersion => (
            Exit::General,
            "see aws s3api list-object-versions --bucket BUCKET",
        ),
        InspectError::Damaged(_) | InspectError::Store(_) | _ => {
            (Exit::Store, "strongroom verify names what is damaged")
        }
    };
    Failure::new(exit, error.to_string(), remedy)
}

fn lines(found: &Inspection) -> Vec<String> {
    // A key may hold anything; a terminal shall not obey it.
    let key = found.key.escape_debug();
    let mut lines = vec![format!("s3://{}/{key}", found.bucket)];
    let mut say = |name: &str, value: String| lines.push(format!("  {name:<20} {value}"));
    let latest = if found.is_latest {
        ", the current one"
    } else {
        ""
    };
    say("version", format!("{}{latest}", found.version_id));
    let written = Timestamp::from_millis(found.written_millis);
    say("written", written.to_iso8601());
    say("owner", found.owner.clone());
    let (Some(encryption), Some(body)) = (&found.encryption, &found.body) else {
        say(
            "delete marker",
            "it has no body, and nothing is encrypted".to_owned(),
        );
        return lines;
    };
    say("mode", encryption.mode.clone());
    let count = encryption.layers.len();
    for (index, layer) in encryption.layers.iter().enumerate() {
        let name = match (count, index) {
            (1, _) => "layer",
            (_, 0) => "inner layer",
            _ => "outer layer",
        };
        let Layer {
            algorithm,
            library,
            wrapped_by,
        } = layer;
        say(name, format!("{algorithm} ({library})"));
        say("  its key wrapped by", wrapped_line(wrapped_by));
    }
    if encryption.bucket_key {
        say("S3 Bucket Key", "used".to_owned());
    }
    for (name, value) in &encryption.encryption_context {
        let pair = format!("{} = {}", name.escape_debug(), value.escape_debug());
        say("context", pair);
    }
    say("size", format!("{} bytes", body.size_bytes));
    say("ETag", body.etag.clone());
    if let (Some(algorithm), Some(kind)) = (&body.checksum, &body.checksum_type) {
        say("checksum", format!("{algorithm}, {kind}, kept sealed"));
    }
    if let Some(parts) = body.parts {
        say("parts", parts.to_string());
    }
    for stream in &body.streams {
        say("stored", stream_line(stream));
    }
    let shown = u64::try_from(body.streams.len()).unwrap_or(u64::MAX);
    if body.stream_count > shown {
        say("", format!("and {} more parts", body.stream_count - shown));
    }
    lines
}

fn wrapped_line(wrapped: &WrappedBy) -> String {
    match wrapped {
        WrappedBy::RootKey {
            ring_id,
            version,
            is_active,
        } => {
            let active = if *is_active { ", the active one" } else { "" };
            format!("root key version {version}{active}, ring {ring_id}")
        }
        WrappedBy::KmsKey {
            key_arn,
            key_material_id,
            state,
        } => {
            let material = key_material_id
                .as_deref()
                .unwrap_or("of another key service");
            format!("{key_arn} ({state}), material {material}")
        }
        WrappedBy::CustomerKey => "the customer's key, which is not kept".to_owned(),
    }
}

fn stream_line(stream: &StoredStream) -> String {
    let part = stream.part.map(|number| format!("part {number}: "));
    let place = stream.file.as_deref().unwrap_or("among the rows");
    let mut line = format!(
        "{}{place}, {} bytes",
        part.unwrap_or_default(),
        stream.size_bytes
    );
    if let (Some(segments), Some(segment), Some(stored)) =
        (stream.segments, stream.segment_bytes, stream.stored_bytes)
    {
        let _ = write!(
            line,
            " in {segments} segments of at most {segment}, {stored} as stored"
        );
    }
    if let Some(fault) = &stream.fault {
        let _ = write!(line, " ({fault})");
    }
    line
}
