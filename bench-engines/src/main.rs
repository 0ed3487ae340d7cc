//! Compares ordered key-value engines as the index behind a journal.
//!
//! ```text
//! cargo run --release -- <directory on the disk to measure> [engine...]
//! ```
//!
//! Each figure is wall time; where it says CPU, the time of all threads of the process. The
//! whole run is bounded: a phase that is over its time is cut short and says so.

mod engines;

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use engines::{Engine, NAMES, Row, open};

const PREFIXES: u64 = 1000;
/// Of each object there are two rows: CURRENT and VERSIONS.
const OBJECTS: u64 = 500_000;
const OBJECTS_PER_BATCH: u64 = 8192;
const INGEST_MAX: Duration = Duration::from_secs(30);
const COMMITS_FOR: Duration = Duration::from_secs(3);
/// For work in the background that the ingest has caused.
const SETTLE: Duration = Duration::from_secs(2);
const WRITERS: u64 = 32;
const READS: u64 = 50_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().expect("a directory, or `write`");
    if first == "write" {
        let name = arguments.next().unwrap();
        let directory = arguments.next().unwrap();
        write_until_killed(&name, Path::new(&directory));
    }
    let chosen: Vec<String> = arguments.collect();
    let names = NAMES
        .iter()
        .filter(|name| chosen.is_empty() || chosen.iter().any(|own| own == *name));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load at the start: {}", load.trim());
    let mut table: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for name in names {
        let place = tempfile::tempdir_in(&first).unwrap();
        eprintln!("{name} ...");
        table.push(((*name).to_owned(), measure(name, place.path())));
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load at the end: {}\n", load.trim());
    println!(
        "| | {} |",
        table
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(" | ")
    );
    println!("|---|{}", "---|".repeat(table.len()));
    for line in 0..table[0].1.len() {
        let cells: Vec<&str> = table
            .iter()
            .map(|(_, lines)| lines[line].1.as_str())
            .collect();
        println!("| {} | {} |", table[0].1[line].0, cells.join(" | "));
    }
}

fn measure(name: &str, directory: &Path) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut line = |what: &str, value: String| lines.push((what.to_owned(), value));
    let engine = open(name, directory);

    let mut watch = Watch::start();
    watch.pause();
    let (mut rows_written, mut rows_bytes) = (0_u64, 0_u64);
    let mut objects = 0;
    let (all_begun, mut generating) = (cpu(), Duration::ZERO);
    while objects < OBJECTS && watch.wall < INGEST_MAX {
        let count = OBJECTS_PER_BATCH.min(OBJECTS - objects);
        let begun = thread_cpu();
        let batch = batch(objects, count);
        generating += thread_cpu().saturating_sub(begun);
        objects += count;
        rows_written += batch.len() as u64;
        rows_bytes += len(&batch);
        watch.resume();
        engine.apply(&batch);
        watch.pause();
    }
    line(
        "rows",
        format!("{} k, {} MiB", rows_written / 1000, rows_bytes >> 20),
    );
    line(
        "ingest, sorted batches of 16 k rows: rows/s",
        per_second(rows_written, watch.wall),
    );
    // What an engine does later, it does as well: flushes and compactions that are under way.
    thread::sleep(SETTLE);
    let all = cpu().saturating_sub(all_begun).saturating_sub(generating);
    line(
        "ingest: CPU a row, with two seconds behind it",
        micros(rows_written, all),
    );
    line("files after ingest: length / on disk", space(directory));

    let inline: Vec<Vec<Row>> = (0..4).map(inline_batch).collect();
    let inline_rows: u64 = inline.iter().map(|batch| batch.len() as u64).sum();
    let mut watch = Watch::start();
    for batch in &inline {
        engine.apply(batch);
    }
    watch.pause();
    line(
        "ingest of 4 KiB values: MiB/s",
        format!(
            "{:.0}",
            (inline_rows * 4096) as f64 / (1 << 20) as f64 / watch.wall.as_secs_f64()
        ),
    );
    drop(inline);

    let mut watch = Watch::start();
    for number in 0..READS {
        let object = number.wrapping_mul(7_919_317) % objects;
        assert!(engine.get(&current_key(object)).is_some());
    }
    watch.pause();
    line("point read, one thread", micros(READS, watch.wall));
    line("point read: CPU", micros(READS, watch.cpu));

    line(
        "a page of 1,000 keys (median of 15)",
        median(|round| {
            let start = format!("c/{:016}/p{:04}/", 1, round * 37 % 1000);
            let (mut found, mut bytes) = (0, 0);
            engine.scan(start.as_bytes(), &mut |key, value| {
                bytes += key.len() + value.len();
                found += 1;
                found < 1000
            });
            assert!(found == 1000 && bytes > 100_000);
        }),
    );
    line(
        "1,000 common prefixes by seeking (median of 15)",
        median(|_| {
            let start = format!("c/{:016}/", 1);
            let found = engine.seek_skip(start.as_bytes(), 1000, &|key| {
                let slash = key.iter().rposition(|byte| *byte == b'/').unwrap();
                [&key[..slash], b"0"].concat()
            });
            assert_eq!(found, 1000);
        }),
    );

    let (commits, groups, watch) = group_commits(engine.as_ref());
    line(
        "durable commits/s, 32 writers, grouped by one thread",
        per_second(commits, watch.wall),
    );
    line(
        "rows a group",
        format!("{:.1}", commits as f64 / groups as f64),
    );
    line("durable commit: CPU", micros(commits, watch.cpu));
    line("files at the end: length / on disk", space(directory));

    let mut watch = Watch::start();
    drop(engine);
    let closed = {
        watch.pause();
        watch.wall
    };
    let mut watch = Watch::start();
    let engine = open(name, directory);
    assert!(engine.get(&current_key(0)).is_some());
    watch.pause();
    line(
        "close / open",
        format!("{} / {}", millis(closed), millis(watch.wall)),
    );
    drop(engine);

    kill_a_writer(name, directory);
    let mut watch = Watch::start();
    let engine = open(name, directory);
    assert!(engine.get(&current_key(0)).is_some());
    watch.pause();
    line("open after kill -9", millis(watch.wall));
    lines
}

/// 32 threads commit one row each and wait; one thread writes what is queued as one batch.
fn group_commits(engine: &dyn Engine) -> (u64, u64, Watch) {
    let mut watch = Watch::start();
    let (mut commits, mut groups) = (0, 0);
    thread::scope(|scope| {
        let (queue, jobs) = mpsc::channel::<(Row, mpsc::SyncSender<()>)>();
        let end = Instant::now() + COMMITS_FOR;
        for writer in 0..WRITERS {
            let queue = queue.clone();
            scope.spawn(move || {
                let mut number = 0;
                while Instant::now() < end {
                    let (reply, answer) = mpsc::sync_channel(1);
                    let object = OBJECTS * 2 + number * WRITERS + writer;
                    number += 1;
                    if queue
                        .send(((current_key(object), vec![7; 600]), reply))
                        .is_err()
                        || answer.recv().is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(queue);
        while let Ok(first) = jobs.recv() {
            let group: Vec<_> = std::iter::once(first).chain(jobs.try_iter()).collect();
            let (mut rows, replies): (Vec<Row>, Vec<_>) = group.into_iter().unzip();
            rows.sort();
            engine.apply(&rows);
            commits += rows.len() as u64;
            groups += 1;
            for reply in replies {
                let _ = reply.send(());
            }
        }
    });
    watch.pause();
    (commits, groups, watch)
}

/// Lets another process write, and kills it while it does.
fn kill_a_writer(name: &str, directory: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("write")
        .arg(name)
        .arg(directory)
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(1500));
    child.kill().unwrap();
    child.wait().unwrap();
}

fn write_until_killed(name: &str, directory: &Path) -> ! {
    let engine = open(name, directory);
    for number in (OBJECTS * 4..).step_by(1024) {
        engine.apply(&batch(number, 1024));
    }
    unreachable!()
}

/// The rows of some objects, in the order of their keys.
fn batch(first: u64, count: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    for object in first..first + count {
        rows.push((current_key(object), noise(object, 150)));
        rows.push((version_key(object), noise(object, 250)));
    }
    rows.sort();
    rows
}

/// 2,048 rows of 4 KiB, as INLINE holds bodies: random keys.
fn inline_batch(number: u64) -> Vec<Row> {
    let mut rows: Vec<Row> = (number * 2048..(number + 1) * 2048)
        .map(|object| {
            (
                format!("i/{:016x}", mix(object)).into_bytes(),
                noise(object, 4096),
            )
        })
        .collect();
    rows.sort();
    rows
}

fn current_key(object: u64) -> Vec<u8> {
    format!("c/{:016}/p{:04}/{:016x}", 1, object % PREFIXES, mix(object)).into_bytes()
}

fn version_key(object: u64) -> Vec<u8> {
    format!(
        "v/{:016}/p{:04}/{:016x}/{:08}",
        1,
        object % PREFIXES,
        mix(object),
        1
    )
    .into_bytes()
}

/// Values are sealed, so they do not compress.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    (0_u64..)
        .flat_map(|place| mix(seed ^ place << 40).to_le_bytes())
        .take(len)
        .collect()
}

fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn len(rows: &[Row]) -> u64 {
    rows.iter()
        .map(|(key, value)| (key.len() + value.len()) as u64)
        .sum()
}

/// Wall and CPU time that passed while it ran.
struct Watch {
    begun: Option<(Instant, Duration)>,
    wall: Duration,
    cpu: Duration,
}

impl Watch {
    fn start() -> Self {
        let mut watch = Self {
            begun: None,
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
        };
        watch.resume();
        watch
    }

    fn resume(&mut self) {
        self.begun = Some((Instant::now(), cpu()));
    }

    fn pause(&mut self) {
        if let Some((wall, started)) = self.begun.take() {
            self.wall += wall.elapsed();
            self.cpu += cpu().saturating_sub(started);
        }
    }
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn median(mut run: impl FnMut(u64)) -> String {
    let mut times: Vec<Duration> = (0..15)
        .map(|round| {
            let begun = Instant::now();
            run(round);
            begun.elapsed()
        })
        .collect();
    times.sort();
    millis(times[times.len() / 2])
}

fn per_second(count: u64, time: Duration) -> String {
    format!("{:.0}", count as f64 / time.as_secs_f64())
}

fn micros(count: u64, time: Duration) -> String {
    format!("{:.2} us", time.as_secs_f64() * 1e6 / count as f64)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Length of all files, and what they take on the disk: holes are not stored.
fn space(directory: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let (mut len, mut blocks, mut open) = (0, 0, vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            // A compaction may have removed it meanwhile.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                len += metadata.len();
                blocks += metadata.blocks() * 512;
            }
        }
    }
    format!("{} / {} MiB", len >> 20, blocks >> 20)
}
