//! Prints what the operations cost on this machine:
//! `cargo run --release -p strongroom-crypto --example cost`.

use std::hint::black_box;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use strongroom_crypto::{
    BodyKeys, CiphertextBlob, DataKey, Keyring, ObjectIdentity, OuterKey, PAGE_LEN_BYTES,
    PageCipher, RowSealer, SEGMENT_LEN_BYTES, STORED_PAGE_LEN_BYTES, ServicePurpose, StreamOpener,
    StreamSealer, SymmetricMaterial, material_id, open_whole, seal_blob, seal_whole,
};
use strongroom_types::kms::{EncryptionContext, KeyArn};
use strongroom_types::{BucketUid, Entropy, ObjectKey, Timestamp, VersionUid};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let entropy = Counter(AtomicU64::new(1));
    let (ring, _) = Keyring::create(Timestamp::from_seconds(0), &entropy);
    let object = ObjectIdentity {
        bucket: BucketUid::random(&entropy),
        key: ObjectKey::parse("reports/2026/11/21/measurements.csv")?,
        version: VersionUid::random(&entropy),
    };
    let data_key = DataKey::random(&entropy);
    let plaintext = vec![7; 1024];

    let wrapped = ring.wrap_data_key(&data_key, &object, &entropy);
    report("wrap", || ring.wrap_data_key(&data_key, &object, &entropy))?;
    let unwrap = report("unwrap", || ring.unwrap_data_key(&wrapped, &object))?;
    let key = BodyKeys::single(data_key);
    let stored = seal_whole(&key, &object, None, &entropy, &plaintext);
    report("seal_whole of 1 KiB", || {
        seal_whole(&key, &object, None, &entropy, &plaintext)
    })?;
    let open = report("open_whole of 1 KiB", || {
        open_whole(&key, &object, None, &stored)
    })?;
    print(&format!(
        "{:28} {:9.2} us",
        "unwrap + open_whole",
        micros(unwrap + open)
    ))?;

    let rows = RowSealer::new(ring.service_key(ServicePurpose::Rows));
    let row = rows.seal(1, b"bucket\0key", &[7; 300], &entropy);
    report("row seal, 300 B", || {
        rows.seal(1, b"bucket\0key", &[7; 300], &entropy)
    })?;
    report("row open, 300 B", || rows.open(1, b"bucket\0key", &row))?;
    let pages = PageCipher::new(ring.service_key(ServicePurpose::Index));
    let mut stored = Vec::new();
    report("page seal, 4 KiB", || {
        stored.clear();
        pages.seal(9, 1, &[7; PAGE_LEN_BYTES], &mut stored);
    })?;
    let stored: [u8; STORED_PAGE_LEN_BYTES] = stored.try_into().map_err(|_| "length")?;
    report("page open, 4 KiB", || {
        pages.open(9, &mut stored.clone()).is_ok()
    })?;

    let material = SymmetricMaterial::random(&entropy);
    let arn = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let arn = KeyArn::parse(arn).ok_or("ARN")?;
    let id = material_id(arn.id, material.expose());
    let context = EncryptionContext::default().with("aws:s3:arn", "arn:aws:s3:::bucket/key")?;
    let blob = seal_blob(&material, arn.id, id, &arn, &context, &[7; 32], &entropy);
    report("seal_blob of 32 B", || {
        seal_blob(&material, arn.id, id, &arn, &context, &[7; 32], &entropy)
    })?;
    report("parse and open that blob", || {
        CiphertextBlob::parse(&blob).map(|blob| blob.open(&material, &arn, &context))
    })?;

    segments("one layer", &key, &object, &entropy)?;
    let two = BodyKeys::two_layers(DataKey::random(&entropy), OuterKey::random(&entropy));
    segments("two layers", &two, &object, &entropy)
}

/// Sealing and opening of full segments.
fn segments(
    layers: &str,
    key: &BodyKeys,
    object: &ObjectIdentity,
    entropy: &Counter,
) -> Result<(), Box<dyn std::error::Error>> {
    print(layers)?;
    let mut sealer = StreamSealer::new(key, object, None, entropy);
    let overhead = sealer.layout().segment_overhead_bytes();
    let mut segment = vec![7; SEGMENT_LEN_BYTES + overhead];
    let seal = report("seal_segment of 64 KiB", || {
        sealer.seal_segment(&mut segment, false)
    })?;
    print(&throughput("seal_segment", seal))?;
    let mut sealer = StreamSealer::new(key, object, None, entropy);
    let opener = StreamOpener::new(key, object, None, sealer.header())?;
    sealer.seal_segment(&mut segment, false)?;
    let mut scratch = segment.clone();
    let open = report("open_segment of 64 KiB", || {
        scratch.copy_from_slice(&segment);
        opener.open_segment(0, false, &mut scratch).is_ok()
    })?;
    print(&throughput("open_segment, with a copy", open))?;
    Ok(())
}

/// Runs `operation` for about a quarter of a second and prints the mean.
fn report<T>(name: &str, mut operation: impl FnMut() -> T) -> std::io::Result<Duration> {
    for _ in 0..100 {
        black_box(operation());
    }
    #[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
    let start = Instant::now();
    let mut runs = 0_u32;
    while start.elapsed() < Duration::from_millis(250) {
        for _ in 0..100 {
            black_box(operation());
        }
        runs += 100;
    }
    let mean = start.elapsed() / runs;
    print(&format!("{name:28} {:9.2} us", micros(mean)))?;
    Ok(mean)
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn throughput(name: &str, per_segment: Duration) -> String {
    let gigabytes_per_second = 65536.0 / per_segment.as_secs_f64() / 1e9;
    format!("{name:28} {gigabytes_per_second:9.2} GB/s")
}

fn print(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

/// Not random: the cost of the operating system's random bytes is measured elsewhere.
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            for (out, byte) in chunk.iter_mut().zip(bytes) {
                *out = byte;
            }
        }
    }
}
