//! Server CPU per request against the sum of the unavoidable parts.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::client::Connection;
use crate::parts;
use crate::server::Server;
use crate::sign::{Payload, Signer, sha256_hex};

const CLIENTS: usize = 4;

pub(crate) fn run(binary: &Path, directory: &Path, seconds: u64) -> Result<()> {
    let directory = directory.join("cpu");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let server = Server::strongroom(binary, &directory)?;
    let null = Server::null()?;
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
    println!(
        "{:28} {:>12} {:>12} {:>12} {:>8}",
        "request", "server us", "parts us", "bare us", "ratio"
    );
    for (name, size) in [
        ("1 KiB", 1 << 10),
        ("4 KiB", 4 << 10),
        ("64 KiB", 64 << 10),
        ("1 MiB", 1 << 20),
        ("64 MiB", 64 << 20),
    ] {
        let body = vec![7_u8; size];
        let clients = if size >= 16 << 20 { 2 } else { CLIENTS };
        let bare = load(&null, window, clients, |connection, _, _| {
            connection.send(
                &format!("PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n"),
                &body,
            )?;
            ensure!(connection.receive()?.status == 200);
            Ok(())
        })?;
        let (aes, md5, sha) = (
            parts::aes_gcm(size)?,
            parts::md5(size)?,
            parts::sha256(size)?,
        );
        let file = if size > 16 << 10 {
            parts::file_write(&directory, size)?
        } else {
            0.0
        };
        for payload in [Payload::Unsigned, Payload::Signed, Payload::Trailer] {
            let hash = match payload {
                Payload::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
                Payload::Signed => sha256_hex(&body),
                Payload::Trailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
            };
            let framed = (payload == Payload::Trailer).then(|| aws_chunked(&body));
            let cost = load(&server, window, clients, |connection, client, count| {
                let path = format!("/bench/put-{size}-{client}-{}", count % 64);
                put(
                    connection,
                    &signer,
                    server.address,
                    &path,
                    &hash,
                    framed.as_deref().unwrap_or(&body),
                    size,
                    payload,
                )
            })?;
            let payload_hash = if payload == Payload::Signed { sha } else { 0.0 };
            row(
                &format!("PUT {name} {}", payload.name()),
                cost,
                bare + aes + md5 + payload_hash + file,
                bare,
            );
        }
        put(
            &mut Connection::open(server.address)?,
            &signer,
            server.address,
            &format!("/bench/get-{size}"),
            "UNSIGNED-PAYLOAD",
            &body,
            size,
            Payload::Unsigned,
        )?;
        let bare = load(&null, window, clients, |connection, _, _| {
            connection.send(&format!("GET /{size} HTTP/1.1\r\nhost: x\r\n"), &[])?;
            ensure!(connection.receive()?.status == 200);
            Ok(())
        })?;
        let cost = load(&server, window, clients, |connection, _, _| {
            let path = format!("/bench/get-{size}");
            request(
                connection,
                &signer,
                server.address,
                "GET",
                &path,
                "",
                &[],
                Payload::Unsigned,
            )
            .map(drop)
        })?;
        let file = if size > 16 << 10 {
            parts::file_read(&directory, size)?
        } else {
            0.0
        };
        row(&format!("GET {name}"), cost, bare + aes + file, bare);
    }
    println!(
        "a ratio is server / parts; for GET 1 KiB read server / bare as well. CPU of the server process only"
    );
    drop(null);
    server.stop()
}

fn row(name: &str, cost: f64, parts: f64, bare: f64) {
    println!(
        "{name:28} {cost:12.1} {parts:12.1} {bare:12.1} {:8.2}   (/bare {:.2})",
        cost / parts,
        cost / bare
    );
}

/// Server CPU per request, in microseconds, under closed-loop clients for `window`.
pub(crate) fn load(
    server: &Server,
    window: Duration,
    clients: usize,
    work: impl Fn(&mut Connection, usize, u64) -> Result<()> + Sync,
) -> Result<f64> {
    let cpu = server.cpu()?;
    let total: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..clients)
            .map(|client| {
                let work = &work;
                scope.spawn(move || -> Result<u64> {
                    let mut connection = Connection::open(server.address)?;
                    let (start, mut count) = (Instant::now(), 0);
                    while start.elapsed() < window {
                        work(&mut connection, client, count)?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        let mut total = 0;
        for worker in workers {
            total += worker
                .join()
                .map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok::<_, anyhow::Error>(total)
    })?;
    Ok(server.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / f64::from(u32::try_from(total)?))
}

#[expect(clippy::too_many_arguments, reason = "a request has that many parts")]
pub(crate) fn put(
    connection: &mut Connection,
    signer: &Signer,
    address: SocketAddr,
    path: &str,
    hash: &str,
    body: &[u8],
    decoded: usize,
    payload: Payload,
) -> Result<()> {
    let host = address.to_string();
    let mut head = format!(
        "PUT {path} HTTP/1.1\r\n{}content-length: {}\r\n",
        signer.headers("PUT", &host, path, "", hash),
        body.len()
    );
    if payload == Payload::Trailer {
        head.push_str("content-encoding: aws-chunked\r\nx-amz-decoded-content-length: ");
        head.push_str(&decoded.to_string());
        head.push_str("\r\n");
    }
    connection.send(&head, body)?;
    let answer = connection.receive()?;
    ensure!(answer.status == 200, "PUT {path}: {}", answer.status);
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "a request has that many parts")]
pub(crate) fn request(
    connection: &mut Connection,
    signer: &Signer,
    address: SocketAddr,
    method: &str,
    path: &str,
    query: &str,
    body: &[u8],
    payload: Payload,
) -> Result<u64> {
    let host = address.to_string();
    let hash = if payload == Payload::Signed {
        sha256_hex(body)
    } else {
        "UNSIGNED-PAYLOAD".to_owned()
    };
    let target = if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    };
    let head = format!(
        "{method} {target} HTTP/1.1\r\n{}content-length: {}\r\n",
        signer.headers(method, &host, path, query, &hash),
        body.len()
    );
    connection.send(&head, body)?;
    let answer = connection.receive()?;
    ensure!(
        (200..300).contains(&answer.status),
        "{method} {target}: {}",
        answer.status
    );
    Ok(answer.body_len)
}

/// `body` in `aws-chunked` pieces of 64 KiB without a trailer checksum.
fn aws_chunked(body: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(body.len() + body.len() / 512 + 64);
    for piece in body.chunks(64 << 10) {
        framed.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        framed.extend_from_slice(piece);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}
