//! Resident memory while many slow clients stream.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::client::Connection;
use crate::cpu::{put, request};
use crate::server::Server;
use crate::sign::Payload;

const OBJECT: usize = 256 << 20;

pub(crate) fn run(binary: &Path, directory: &Path, clients: usize, seconds: u64) -> Result<()> {
    let directory = directory.join("memory");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let server = Server::strongroom(binary, &directory)?;
    let signer = server.signer()?;
    let mut connection = Connection::open(server.address)?;
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
    let body = vec![7_u8; OBJECT];
    put(
        &mut connection,
        &signer,
        server.address,
        "/bench/big",
        "UNSIGNED-PAYLOAD",
        &body,
        OBJECT,
        Payload::Unsigned,
    )?;
    println!("resident before: {} MiB", server.resident_mib()?);
    let window = Duration::from_secs(seconds);
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..clients)
            .map(|client| {
                let (signer, address, body) = (&signer, server.address, &body);
                scope.spawn(move || -> Result<()> {
                    let start = Instant::now();
                    let host = address.to_string();
                    if client % 2 == 0 {
                        let mut connection = Connection::open(address)?;
                        let path = "/bench/big";
                        connection.send(
                            &format!(
                                "GET {path} HTTP/1.1\r\n{}",
                                signer.headers("GET", &host, path, "", "UNSIGNED-PAYLOAD", &[])
                            ),
                            &[],
                        )?;
                        ensure!(connection.receive_head()?.0 == 200);
                        let mut piece = vec![0; 16 << 10];
                        while start.elapsed() < window && connection.read_some(&mut piece)? > 0 {
                            std::thread::sleep(Duration::from_millis(100));
                        }
                    } else {
                        let mut stream = TcpStream::connect(address)?;
                        let path = format!("/bench/slow-{client}");
                        let headers =
                            signer.headers("PUT", &host, &path, "", "UNSIGNED-PAYLOAD", &[]);
                        write!(
                            stream,
                            "PUT {path} HTTP/1.1\r\n{headers}content-length: {OBJECT}\r\n\r\n"
                        )?;
                        let mut pieces = body.chunks(16 << 10);
                        while start.elapsed() < window
                            && let Some(piece) = pieces.next()
                        {
                            stream.write_all(piece)?;
                            std::thread::sleep(Duration::from_millis(100));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for tick in 1..=6 {
            std::thread::sleep(window / 7);
            println!(
                "after {:3} s: {} MiB resident (aim: below 200, and flat)",
                seconds * tick / 7,
                server.resident_mib()?
            );
        }
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a client panicked"))?
        })
    })?;
    server.stop()
}
