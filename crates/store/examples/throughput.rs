//! Measures the durable store: `cargo run --release --example throughput -- <directory> [rows]`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a measurement for a terminal"
)]

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use strongroom_crypto::Keyring;
use strongroom_ports::{MetaStore, Scan, Table, Transaction};
use strongroom_store::disk::{Disk, RealDisk, SimDisk};
use strongroom_store::{DurableMeta, MetaOptions};
use strongroom_types::{Entropy, Timestamp};

struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&number.to_le_bytes()[..chunk.len()]);
        }
    }
}

const T: Table = Table::CURRENT;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap());
    let rows: u64 = arguments
        .next()
        .map_or(1_000_000, |rows| rows.parse().unwrap());
    let start = Timestamp::from_seconds(0);
    let seed = std::process::id().into();
    let entropy = Arc::new(Counting(AtomicU64::new(seed)));
    let ring = Arc::new(Keyring::create(start, &Counting(AtomicU64::new(1))).0);
    let open = |disk: Arc<dyn Disk>| {
        let (ring, entropy) = (ring.clone(), entropy.clone());
        DurableMeta::open(disk, ring, entropy, MetaOptions::default()).unwrap()
    };

    let meta = open(Arc::new(SimDisk::new()));
    // Stays below the bound of the memtable: no index is involved.
    commits("no disk, no index", &meta, 32, 150, 4608);
    reads("memtable", &meta, 32 * 150, key);
    drop(meta);

    let real = || Arc::new(RealDisk::open(&directory).unwrap());
    let meta = open(real());
    commits("disk", &meta, 1, 300, 4608);
    commits("disk", &meta, 32, 300, 4608);
    commits("disk", &meta, 32, 300, 600);

    let (begun, cpu_begun) = (Instant::now(), cpu());
    for batch in 0..rows / 1000 {
        let mut transaction = Transaction::new();
        for number in batch * 1000..(batch + 1) * 1000 {
            transaction = transaction.put(T, prefix_key(number), vec![7; 200]);
        }
        meta.commit(transaction).wait().unwrap();
    }
    meta.checkpoint().unwrap();
    println!(
        "{rows} rows of 200 bytes, 1000 a transaction, into the index: {:?}, {:.1} us CPU each",
        begun.elapsed(),
        cpu().saturating_sub(cpu_begun).as_secs_f64() * 1e6 / rows as f64
    );
    reads("index", &meta, rows, prefix_key);
    listing(&meta);
    drop(meta);
    let begun = Instant::now();
    let meta = open(real());
    println!("open after close: {:?}", begun.elapsed());
    commits("disk", &meta, 32, 100, 4608);
    drop(meta);
    let begun = Instant::now();
    drop(open(real()));
    println!("open with a journal to replay: {:?}", begun.elapsed());
    let file = std::fs::metadata(directory.join("index.srx")).unwrap();
    println!(
        "index: {} MiB long, {} MiB on the disk",
        file.len() >> 20,
        (file.blocks() * 512) >> 20
    );
}

fn key(number: u64) -> String {
    format!("bucket/{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn prefix_key(number: u64) -> String {
    format!("prefix{:04}/{number:012}", number % 1000)
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}

fn commits(what: &str, meta: &DurableMeta, clients: u64, each: u64, len: usize) {
    let value = Bytes::from(vec![7; len]);
    let (begun, cpu_begun) = (Instant::now(), cpu());
    thread::scope(|scope| {
        for client in 0..clients {
            let value = value.clone();
            scope.spawn(move || {
                for number in 0..each {
                    let key = key(client * each + number);
                    let transaction = Transaction::new()
                        .expect(Table::VERSIONS, key.clone(), None)
                        .put(T, key, value.clone());
                    meta.commit(transaction).wait().unwrap();
                }
            });
        }
    });
    let (elapsed, cpu) = (begun.elapsed(), cpu().saturating_sub(cpu_begun));
    let count = clients * each;
    println!(
        "{what}: {clients} clients, {len} bytes: {:.0} commits/s, {:.1} us CPU each",
        count as f64 / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count as f64
    );
}

fn reads(what: &str, meta: &DurableMeta, rows: u64, key: impl Fn(u64) -> String) {
    const COUNT: u64 = 100_000;
    let keys: Vec<String> = (0..COUNT)
        .map(|number| key(number.wrapping_mul(7_919_317) % rows))
        .collect();
    let begun = Instant::now();
    for key in &keys {
        assert!(meta.read(T, key.as_bytes()).unwrap().is_some());
    }
    println!(
        "{what}: {:.2} us a read",
        begun.elapsed().as_secs_f64() * 1e6 / COUNT as f64
    );
}

fn listing(meta: &DurableMeta) {
    let begun = Instant::now();
    let mut start = Bytes::from_static(b"prefix");
    let mut prefixes = 0;
    loop {
        let scan = Scan {
            table: T,
            start: start.clone(),
            end: None,
            limit: 1,
            reverse: false,
        };
        let page = meta.scan(&scan).unwrap();
        let Some(row) = page.rows.first() else { break };
        prefixes += 1;
        let slash = row.key.iter().position(|byte| *byte == b'/').unwrap();
        start = [&row.key[..slash], b"0"].concat().into();
    }
    println!(
        "{prefixes} common prefixes by seeking: {:?}",
        begun.elapsed()
    );
    let begun = Instant::now();
    let scan = Scan {
        table: T,
        start: Bytes::from_static(b"prefix0500"),
        end: None,
        limit: 1000,
        reverse: false,
    };
    assert_eq!(meta.scan(&scan).unwrap().rows.len(), 1000);
    println!("a page of 1000 rows: {:?}", begun.elapsed());
}
