//! What the audit trail costs, and how fast it answers.
//!
//! The same server is measured twice in each round: with its trail on the disk, and built so that it
//! keeps its events in memory (`--features danger-audit-in-memory`). Everything else is the same, the
//! making and sealing of events included. Beside the time between two answers stands what the server
//! alone took of the processors: it is the same whatever else the machine does.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::client::Connection;
use crate::kms::{Kms, aws_json};
use crate::measure::{median, on_threads};
use crate::server::Server;
use crate::sign::Signer;

const CLIENTS: usize = 32;
const SIZE: usize = 4096;
/// Objects that are read, one after the other.
const OBJECTS: u64 = 1000;
/// Keys among which the events of the lookup are divided.
const KEYS: usize = 100;
/// Lookups that are timed; there may be two a second (LookupEvents quotas).
const LOOKUPS: usize = 20;
const LOOKUP_EVERY: Duration = Duration::from_millis(600);

/// A server that took less than a twentieth of a processor for so long has settled.
const SETTLE_STEP: Duration = Duration::from_millis(400);
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// What is to be measured.
pub(crate) struct Plan {
    pub(crate) seconds: u64,
    pub(crate) rounds: u32,
    pub(crate) events: u64,
    /// The server that keeps its events in memory.
    pub(crate) memory_binary: Option<PathBuf>,
}

pub(crate) fn run(binary: &Path, directory: &Path, plan: &Plan) -> Result<()> {
    let directory = directory.join("audit");
    let _ = std::fs::remove_dir_all(&directory);
    match &plan.memory_binary {
        Some(memory) => cost((binary, memory), &directory, plan)?,
        None => println!("without --memory-binary there is nothing to compare the cost with"),
    }
    if plan.events > 0 {
        lookup(binary, &directory, plan.events)?;
    }
    Ok(())
}

/// A server with a bucket, a key and objects.
struct Subject {
    server: Server,
    signer: Signer,
    key: String,
}

impl Subject {
    fn new(binary: &Path, directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let server = Server::strongroom(binary, directory)?;
        let subject = Self {
            signer: server.signer()?,
            key: Kms::new(&server)?.create_key()?,
            server,
        };
        let mut connection = Connection::open(subject.server.address)?;
        subject.call(&mut connection, "PUT", "/bench", &[], &[])?;
        for number in 0..OBJECTS {
            subject.put(&mut connection, &format!("/bench/get-{number}"))?;
        }
        Ok(subject)
    }

    fn put(&self, connection: &mut Connection, path: &str) -> Result<()> {
        let sse = [
            ("x-amz-server-side-encryption", "aws:kms"),
            (
                "x-amz-server-side-encryption-aws-kms-key-id",
                self.key.as_str(),
            ),
        ];
        self.call(connection, "PUT", path, &sse, &[7; SIZE])
    }

    fn get(&self, connection: &mut Connection, number: u64) -> Result<()> {
        let path = format!("/bench/get-{}", number % OBJECTS);
        self.call(connection, "GET", &path, &[], &[])
    }

    fn call(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Result<()> {
        let host = self.server.address.to_string();
        let headers = self
            .signer
            .headers(method, &host, path, "", "UNSIGNED-PAYLOAD", extra);
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{headers}content-length: {}\r\n",
            body.len()
        );
        connection.send(&head, body)?;
        let answer = connection.receive()?;
        ensure!(
            answer.status == 200,
            "{method} {path}: status {}",
            answer.status
        );
        Ok(())
    }

    /// Waits until the server has done what it left for later, and the disk what the kernel did: it
    /// belongs to no other window.
    fn settle(&self) -> Result<()> {
        let end = Instant::now() + SETTLE_MAX;
        rustix::fs::sync();
        loop {
            let before = self.server.cpu()?;
            std::thread::sleep(SETTLE_STEP);
            if self.server.cpu()?.saturating_sub(before) < SETTLE_STEP / 20 || Instant::now() > end
            {
                return Ok(());
            }
        }
    }

    /// What calls cost, of all clients together.
    fn pace(&self, clients: usize, window: Duration, run: &str, is_put: bool) -> Result<Pace> {
        let start = Instant::now();
        let cpu = self.server.cpu()?;
        let counts = on_threads(clients, |client| {
            let mut connection = Connection::open(self.server.address)?;
            let mut count = 0_u32;
            while start.elapsed() < window {
                if is_put {
                    let path = format!("/bench/{run}-{client}-{count}");
                    self.put(&mut connection, &path)?;
                } else {
                    let number = u64::from(count) * 31 + u64::try_from(client)? * 7;
                    self.get(&mut connection, number)?;
                }
                count += 1;
            }
            Ok(count)
        })?;
        let total: u32 = counts.iter().sum();
        ensure!(total > 0, "no answer within the time");
        let us_per_call = |spent: Duration| spent.as_secs_f64() * 1e6 / f64::from(total);
        Ok(Pace {
            us: us_per_call(start.elapsed()),
            cpu_us: us_per_call(self.server.cpu()?.saturating_sub(cpu)),
        })
    }
}

/// What one call takes, in microseconds.
#[derive(Clone, Copy, Default)]
struct Pace {
    /// Between two answers.
    us: f64,
    /// Of the processors, by the server.
    cpu_us: f64,
}

fn cost((disk, memory): (&Path, &Path), directory: &Path, plan: &Plan) -> Result<()> {
    let disk = Subject::new(disk, &directory.join("disk"))?;
    let memory = Subject::new(memory, &directory.join("memory"))?;
    let window = Duration::from_secs(plan.seconds);
    println!(
        "{:>5} {:>4} {:>8} {:>16} {:>18} {:>8} {:>9} {:>12} {:>14}",
        "round",
        "",
        "clients",
        "on disk us/call",
        "in memory us/call",
        "ratio",
        "more us",
        "disk CPU us",
        "memory CPU us"
    );
    for (is_put, name) in [(true, "PUT"), (false, "GET")] {
        for clients in [CLIENTS, 1] {
            let (mut ratios, mut differences) = (Vec::new(), Vec::new());
            for round in 0..plan.rounds {
                let run = format!("{clients}-{round}");
                // Whoever is first changes, so that neither has the warmer machine.
                let mut paces = [Pace::default(); 2];
                let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
                for at in order {
                    let subject = if at == 0 { &disk } else { &memory };
                    disk.settle()?;
                    memory.settle()?;
                    let pace = subject.pace(clients, window, &run, is_put)?;
                    *paces.get_mut(at).context("two servers")? = pace;
                }
                let [on_disk, in_memory] = paces;
                let (ratio, more) = (on_disk.us / in_memory.us, on_disk.us - in_memory.us);
                println!(
                    "{round:>5} {name:>4} {clients:>8} {:>16.1} {:>18.1} {ratio:>8.3} {more:>9.1} {:>12.1} {:>14.1}",
                    on_disk.us, in_memory.us, on_disk.cpu_us, in_memory.cpu_us
                );
                ratios.push(ratio);
                differences.push(more);
            }
            let (ratio, more) = (median(&mut ratios), median(&mut differences));
            if clients == 1 {
                println!("{name}, one client: {more:.0} us more (aim: at most 300)");
            } else {
                println!("{name}, {clients} clients: median ratio {ratio:.3} (aim: at most 1.10)");
            }
        }
    }
    disk.server.stop()?;
    memory.server.stop()
}

/// The first page of LookupEvents by key, behind many events.
fn lookup(binary: &Path, directory: &Path, events: u64) -> Result<()> {
    let directory = directory.join("lookup");
    std::fs::create_dir_all(&directory)?;
    let server = Server::strongroom(binary, &directory)?;
    let kms = Kms::new(&server)?;
    let keys: Vec<String> = (0..KEYS).map(|_| kms.create_key()).collect::<Result<_>>()?;
    let start = Instant::now();
    let each = events.div_ceil(u64::try_from(CLIENTS)?);
    on_threads(CLIENTS, |client| {
        let mut connection = Connection::open(server.address)?;
        for (_, key) in (0..each).zip(keys.iter().cycle().skip(client * 3)) {
            let body = format!(r#"{{"KeyId":"{key}","KeySpec":"AES_256"}}"#);
            let (status, text) = kms.call(&mut connection, "GenerateDataKey", &body)?;
            ensure!(status == 200, "GenerateDataKey: {status} {text}");
        }
        Ok(())
    })?;
    println!(
        "{events} events recorded in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    let signer = server.signer_for("cloudtrail")?;
    let mut connection = Connection::open(server.address)?;
    let mut times = Vec::new();
    for (_, key) in (0..LOOKUPS).zip(keys.iter().cycle()) {
        let arn = kms.arn_of(&mut connection, key)?;
        std::thread::sleep(LOOKUP_EVERY);
        let body = format!(
            r#"{{"LookupAttributes":[{{"AttributeKey":"ResourceName","AttributeValue":"{arn}"}}]}}"#
        );
        let begun = Instant::now();
        let found = lookup_once(&server, &signer, &mut connection, &body)?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(found >= 50, "a page of {found} events");
    }
    times.sort_unstable_by(f64::total_cmp);
    let slowest = times.last().copied().unwrap_or_default();
    println!(
        "LookupEvents by key, first page of 50: median {:.1} ms, slowest {slowest:.1} ms (aim: below 50)",
        median(&mut times)
    );
    server.stop()
}

fn lookup_once(
    server: &Server,
    signer: &Signer,
    connection: &mut Connection,
    body: &str,
) -> Result<usize> {
    let target = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents";
    let (status, text) = aws_json(server, signer, connection, target, body)?;
    ensure!(status == 200, "LookupEvents: {status} {text}");
    Ok(text.matches("\"EventId\"").count())
}
