//! Durable small PUTs against what the machine's disk does for anybody.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::Connection;
use crate::cpu::{put, request};
use crate::measure::{median, on_threads};
use crate::server::Server;
use crate::sign::Payload;

const CLIENTS: usize = 32;
const SIZE: usize = 4096;

pub(crate) fn run(binary: &Path, directory: &Path, seconds: u64, rounds: u32) -> Result<()> {
    let directory = directory.join("durable");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let server = Server::strongroom(binary, &directory)?;
    let signer = server.signer()?;
    request(
        &mut Connection::open(server.address)?,
        &signer,
        server.address,
        "PUT",
        "/bench",
        "",
        &[],
        Payload::Unsigned,
    )?;
    let window = Duration::from_secs(seconds);
    let body = vec![7_u8; SIZE];
    println!(
        "{:>5} {:>14} {:>16} {:>8}",
        "round", "PUT 4 KiB /s", "file+sync /s", "ratio"
    );
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let puts = rate(window, |client, count| {
            thread_local! { static CONNECTION: std::cell::RefCell<Option<Connection>> = const { std::cell::RefCell::new(None) }; }
            CONNECTION.with_borrow_mut(|slot| {
                let connection = match slot {
                    Some(connection) => connection,
                    None => slot.insert(Connection::open(server.address)?),
                };
                let path = format!("/bench/r{round}/c{client}/{count}");
                put(
                    connection,
                    &signer,
                    server.address,
                    &path,
                    "UNSIGNED-PAYLOAD",
                    &body,
                    SIZE,
                    Payload::Unsigned,
                )
            })
        })?;
        let files = rate(window, |client, count| {
            new_synced_file(&directory, client, count, &body)
        })?;
        println!("{round:5} {puts:14.0} {files:16.0} {:8.2}", puts / files);
        ratios.push(puts / files);
    }
    println!(
        "median ratio {:.2} (aim: at least 3, then 6)",
        median(&mut ratios)
    );
    server.stop()
}

/// New file, fsync, rename, fsync of the directory: the naive durable PUT.
fn new_synced_file(directory: &Path, client: usize, count: u64, body: &[u8]) -> Result<()> {
    let (temporary, name) = (
        directory.join(format!("t{client}")),
        directory.join(format!("f{client}-{}", count % 1000)),
    );
    let mut file = File::create(&temporary)?;
    file.write_all(body)?;
    file.sync_all()?;
    std::fs::rename(&temporary, &name)?;
    File::open(directory)?.sync_all()?;
    Ok(())
}

/// Calls of `work` per second from all clients together.
fn rate(window: Duration, work: impl Fn(usize, u64) -> Result<()> + Sync) -> Result<f64> {
    let start = Instant::now();
    let counts = on_threads(CLIENTS, |client| {
        let mut count = 0;
        while start.elapsed() < window {
            work(client, count)?;
            count += 1;
        }
        Ok(count)
    })?;
    let total: u64 = counts.iter().sum();
    Ok(f64::from(u32::try_from(total)?) / start.elapsed().as_secs_f64())
}
