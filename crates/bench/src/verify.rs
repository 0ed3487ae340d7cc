//! How fast `strongroom verify` is, against the lower of what the disk gives and what the cipher
//! takes, all on the same bytes in the same run.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
use rustix::fs::{Advice, fadvise};
use strongroom_crypto::{BodyKeys, DataKey, ObjectIdentity, OuterKey, StreamOpener, StreamSealer};
use strongroom_types::{BucketUid, Entropy, ObjectKey, VersionUid};

use crate::client::Connection;
use crate::kms::Kms;
use crate::measure::{median, on_threads};
use crate::server::Server;
use crate::sign::Signer;

const OBJECT_BYTES: usize = 32 << 20;
const READ_BYTES: usize = 1 << 20;
const SEGMENT_BYTES: usize = 65536;
/// The aim: this share of the lower one.
const AIM: f64 = 0.70;

pub(crate) fn run(binary: &Path, directory: &Path, mib: usize, rounds: u32) -> Result<()> {
    println!(
        "{:10} {:>12} {:>14} {:>14} {:>8}",
        "mode", "disk MiB/s", "cipher MiB/s", "verify MiB/s", "ratio"
    );
    for (mode, algorithm) in [("SSE-S3", "AES256"), ("DSSE-KMS", "aws:kms:dsse")] {
        let directory = directory.join("verify");
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory)?;
        fill(binary, &directory, algorithm, mib)?;
        let blobs = files(&directory.join("data/blobs/blobs"))?;
        let cipher = cipher_rate(algorithm != "AES256")?;
        // Interleaved, so that a noisy neighbour disturbs both.
        let (mut disk, mut verified) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            disk.push(disk_rate(&blobs)?);
            verified.push(verify_rate(binary, &directory, &blobs)?);
        }
        let (disk, verified) = (median(&mut disk), median(&mut verified));
        let ratio = verified / disk.min(cipher);
        println!("{mode:10} {disk:>12.0} {cipher:>14.0} {verified:>14.0} {ratio:>8.2}");
        std::fs::remove_dir_all(&directory)?;
    }
    println!("medians of {rounds} rounds; the page cache is emptied of the blobs before each");
    println!(
        "cipher: tags and checksums of 64 KiB segments in memory, every layer, all processors"
    );
    println!("aim: a ratio of at least {AIM:.2}");
    Ok(())
}

fn fill(binary: &Path, directory: &Path, algorithm: &str, mib: usize) -> Result<()> {
    let server = Server::strongroom(binary, directory)?;
    let signer = server.signer()?;
    let mut connection = Connection::open(server.address)?;
    let mut headers = vec![("x-amz-server-side-encryption", algorithm.to_owned())];
    if algorithm != "AES256" {
        let key = Kms::new(&server)?.create_key()?;
        headers.push(("x-amz-server-side-encryption-aws-kms-key-id", key));
    }
    put(&mut connection, &signer, &server, "/bench", &[], &[])?;
    let body: Vec<u8> = (0..=u8::MAX).cycle().take(OBJECT_BYTES).collect();
    for index in 0..(mib << 20).div_ceil(OBJECT_BYTES).max(1) {
        let path = format!("/bench/{index}");
        put(&mut connection, &signer, &server, &path, &headers, &body)?;
    }
    server.stop()
}

fn put(
    connection: &mut Connection,
    signer: &Signer,
    server: &Server,
    path: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> Result<()> {
    let host = server.address.to_string();
    let extra: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let head = format!(
        "PUT {path} HTTP/1.1\r\n{}content-length: {}\r\n",
        signer.headers("PUT", &host, path, "", "UNSIGNED-PAYLOAD", &extra),
        body.len()
    );
    connection.send(&head, body)?;
    let answer = connection.receive()?;
    ensure!(answer.status == 200, "PUT {path}: {}", answer.status);
    Ok(())
}

/// The blobs and their lengths.
fn files(directory: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        for entry in std::fs::read_dir(entry?.path())? {
            let entry = entry?;
            found.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(found)
}

fn forget(blobs: &[(PathBuf, u64)]) -> Result<()> {
    for (path, _) in blobs {
        let file = File::open(path)?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

fn mib_per_second(bytes: u64, began: Instant) -> f64 {
    let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    f64::from(mib) / began.elapsed().as_secs_f64()
}

/// As many readers as verify has.
fn disk_rate(blobs: &[(PathBuf, u64)]) -> Result<f64> {
    forget(blobs)?;
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    on_threads(processors(), |_| {
        let mut buffer = vec![0; READ_BYTES];
        while let Some((path, len)) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let file = File::open(path)?;
            let mut at = 0;
            while at < *len {
                at += u64::try_from(file.read_at(&mut buffer, at)?)?;
            }
        }
        Ok(())
    })?;
    Ok(mib_per_second(
        blobs.iter().map(|(_, len)| len).sum(),
        began,
    ))
}

/// Segments opened in memory by all processors.
fn cipher_rate(two_layers: bool) -> Result<f64> {
    const SEGMENTS: u64 = 512;
    const PASSES: u64 = 8;
    let entropy = Counter;
    let object = ObjectIdentity {
        bucket: BucketUid::random(&entropy),
        key: ObjectKey::parse("bench").map_err(|error| anyhow::anyhow!("{error}"))?,
        version: VersionUid::random(&entropy),
    };
    let data_key = DataKey::random(&entropy);
    let keys = if two_layers {
        BodyKeys::two_layers(data_key, OuterKey::random(&entropy))
    } else {
        BodyKeys::single(data_key)
    };
    let mut sealer = StreamSealer::new(&keys, &object, None, &entropy);
    let opener = StreamOpener::new(&keys, &object, None, sealer.header())?;
    let overhead = sealer.layout().segment_overhead_bytes();
    let mut stored = Vec::new();
    for index in 0..SEGMENTS {
        let mut segment = vec![7; SEGMENT_BYTES + overhead];
        sealer.seal_segment(&mut segment, index + 1 == SEGMENTS)?;
        stored.push(segment);
    }
    let began = Instant::now();
    on_threads(processors(), |_| {
        let mut segment = vec![0; SEGMENT_BYTES + overhead];
        for _ in 0..PASSES {
            for (index, sealed) in (0..).zip(&stored) {
                segment.copy_from_slice(sealed);
                opener.open_segment(index, index + 1 == SEGMENTS, &mut segment)?;
            }
        }
        Ok(())
    })?;
    let bytes = SEGMENTS * PASSES * u64::try_from(SEGMENT_BYTES * processors())?;
    Ok(mib_per_second(bytes, began))
}

fn verify_rate(binary: &Path, directory: &Path, blobs: &[(PathBuf, u64)]) -> Result<f64> {
    forget(blobs)?;
    let began = Instant::now();
    let status = Command::new(binary)
        .arg("verify")
        .arg("--data")
        .arg(directory.join("data"))
        .arg("--key-file")
        .arg(directory.join("bench.key"))
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "verify ended with {status}");
    Ok(mib_per_second(
        blobs.iter().map(|(_, len)| len).sum(),
        began,
    ))
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Keys of a bench need not be secret.
struct Counter;

impl Entropy for Counter {
    fn fill(&self, out: &mut [u8]) {
        for (byte, value) in out.iter_mut().zip((1..=u8::MAX).cycle()) {
            *byte = value;
        }
    }
}
