//! Pages of a large bucket.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::client::Connection;
use crate::cpu::{put, request};
use crate::measure::on_threads;
use crate::server::Server;
use crate::sign::Payload;

const CLIENTS: usize = 32;

pub(crate) fn run(binary: &Path, directory: &Path, keys: u32) -> Result<()> {
    let directory = directory.join("listing");
    std::fs::create_dir_all(&directory)?;
    let server = Server::strongroom(binary, &directory)?;
    let signer = server.signer()?;
    let mut connection = Connection::open(server.address)?;
    if request(
        &mut connection,
        &signer,
        server.address,
        "HEAD",
        "/bench",
        "",
        &[],
        Payload::Unsigned,
    )
    .is_err()
    {
        connection = Connection::open(server.address)?;
        request(
            &mut connection,
            &signer,
            server.address,
            "PUT",
            "/bench",
            "",
            &[],
            Payload::Unsigned,
        )?;
        let start = Instant::now();
        on_threads(CLIENTS, |client| {
            let mut connection = Connection::open(server.address)?;
            for index in (u32::try_from(client)?..keys).step_by(CLIENTS) {
                let path = format!("/bench/d{:04}/object-{index:08}", index % 2000);
                put(
                    &mut connection,
                    &signer,
                    server.address,
                    &path,
                    "UNSIGNED-PAYLOAD",
                    b"x",
                    1,
                    Payload::Unsigned,
                )?;
            }
            Ok(())
        })?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{keys} keys written in {seconds:.1} s ({:.0}/s)",
            f64::from(keys) / seconds
        );
    }
    // The first connection may have been idle for too long.
    connection = Connection::open(server.address)?;
    let mut page = |name: &str, query: &str| -> Result<()> {
        let mut times = Vec::new();
        for _ in 0..21 {
            let start = Instant::now();
            request(
                &mut connection,
                &signer,
                server.address,
                "GET",
                "/bench",
                query,
                &[],
                Payload::Unsigned,
            )?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{name:44} median {:.2} ms, worst {:.2} ms",
            times.get(10).unwrap_or(&0.0),
            times.last().unwrap_or(&0.0)
        );
        Ok(())
    };
    page(
        "page of 1,000 keys (aim < 5 ms)",
        "list-type=2&max-keys=1000&start-after=d0500%2F",
    )?;
    page(
        "page of 1,000 common prefixes (aim < 10 ms)",
        "delimiter=%2F&list-type=2&max-keys=1000",
    )?;
    println!("resident {} MiB", server.resident_mib()?);
    server.stop()
}
