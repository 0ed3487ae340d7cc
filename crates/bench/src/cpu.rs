//! Server CPU per request against the sum of the unavoidable parts.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::client::Connection;
use crate::measure::on_threads;
use crate::parts;
use crate::server::Server;
use crate::sign::{Payload, Signer, sha256_hex};
use crate::sse;

const CLIENTS: usize = 4;
/// Copies of the 64 MiB object that make the large one.
const LARGE_PARTS: u32 = 80;

/// What is measured, and with what.
struct Bench<'a> {
    server: &'a Server,
    null: &'a Server,
    signer: &'a Signer,
    directory: &'a Path,
    window: Duration,
    only: &'a str,
}

pub(crate) fn run(binary: &Path, directory: &Path, seconds: u64, only: &str) -> Result<()> {
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
    println!(
        "{:22} {:>11} {:>11} {:>11} {:>7} {:>7} {:>11}",
        "request", "server us", "parts us", "bare us", "/parts", "/bare", "SSE off us"
    );
    let bench = Bench {
        server: &server,
        null: &null,
        signer: &signer,
        directory: &directory,
        window: Duration::from_secs(seconds),
        only,
    };
    for (name, size) in [
        ("1 KiB", 1 << 10),
        ("4 KiB", 4 << 10),
        ("64 KiB", 64 << 10),
        ("1 MiB", 1 << 20),
        ("64 MiB", 64 << 20),
    ] {
        bench.puts(name, size)?;
        bench.gets(name, size)?;
    }
    bench.range_of_large()?;
    println!(
        "CPU of the server process alone. /parts: server / sum of the unavoidable parts. /bare: server / bare hyper. \
         SSE off: server less what sealing or opening the same bytes took alone in this run"
    );
    drop(null);
    server.stop()
}

impl Bench<'_> {
    fn is_wanted(&self, name: &str) -> bool {
        name.contains(self.only)
    }

    fn puts(&self, name: &str, size: usize) -> Result<()> {
        let payloads = [Payload::Unsigned, Payload::Signed, Payload::Trailer]
            .map(|payload| (payload, format!("PUT {name} {}", payload.name())));
        if !payloads.iter().any(|(_, row)| self.is_wanted(row)) {
            return Ok(());
        }
        let body = vec![7_u8; size];
        let bare = load(self.null, self.window, clients(size), |connection, _, _| {
            connection.send(
                &format!("PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n"),
                &body,
            )?;
            ensure!(connection.receive()?.status == 200);
            Ok(())
        })?;
        let parts = parts::aes_gcm(size)? + parts::md5(size)?;
        let file = if is_file(size) {
            parts::file_write(self.directory, size)?
        } else {
            0.0
        };
        for (payload, row) in payloads {
            if !self.is_wanted(&row) {
                continue;
            }
            let hash = match payload {
                Payload::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
                Payload::Signed => sha256_hex(&body),
                Payload::Trailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
            };
            let framed = (payload == Payload::Trailer).then(|| aws_chunked(&body));
            let cost = load(
                self.server,
                self.window,
                clients(size),
                |connection, client, count| {
                    let path = format!("/bench/put-{size}-{client}-{}", count % 16);
                    put(
                        connection,
                        self.signer,
                        self.server.address,
                        &path,
                        &hash,
                        framed.as_deref().unwrap_or(&body),
                        size,
                        payload,
                    )
                },
            )?;
            let sha256 = if payload == Payload::Signed {
                parts::sha256(size)?
            } else {
                0.0
            };
            print_row(
                &row,
                cost,
                bare + parts + file + sha256,
                bare,
                sse::sealing(size)?,
            );
        }
        Ok(())
    }

    fn gets(&self, name: &str, size: usize) -> Result<()> {
        let row = format!("GET {name}");
        if !self.is_wanted(&row) {
            return Ok(());
        }
        self.put_object(&format!("/bench/get-{size}"), size)?;
        let path = format!("/bench/get-{size}");
        let (cost, bare) = (self.get_cost(&path, "", size)?, self.bare_get_cost(size)?);
        let file = if is_file(size) {
            parts::file_read(self.directory, size)?
        } else {
            0.0
        };
        let parts = bare + parts::aes_gcm(size)? + file;
        print_row(&row, cost, parts, bare, sse::opening(size)?);
        Ok(())
    }

    /// 4 KiB out of the middle of a 5 GiB object, which is made of copies of a 64 MiB one.
    fn range_of_large(&self) -> Result<()> {
        const RANGE: &str = "4 KiB of 5 GiB";
        if !self.is_wanted(RANGE) {
            return Ok(());
        }
        let size = 64 << 20;
        self.put_object("/bench/source", size)?;
        let address = self.server.address;
        let mut connection = Connection::open(address)?;
        let mut call =
            |method: &str, path: &str, query: &str, extra: &[(&str, &str)], body: &[u8]| {
                let host = address.to_string();
                let headers =
                    self.signer
                        .headers(method, &host, path, query, "UNSIGNED-PAYLOAD", extra);
                connection.send(
                    &format!(
                        "{method} {path}?{query} HTTP/1.1\r\n{headers}content-length: {}\r\n",
                        body.len()
                    ),
                    body,
                )?;
                let mut text = Vec::new();
                let answer = connection.receive_with(|piece| text.extend_from_slice(piece))?;
                let text = String::from_utf8_lossy(&text).into_owned();
                ensure!(answer.status == 200, "{method} {path}: {text}");
                Ok(text)
            };
        let path = "/bench/large";
        let created = call("POST", path, "uploads=", &[], &[])?;
        let upload = created
            .split_once("<UploadId>")
            .and_then(|(_, rest)| rest.split_once("</UploadId>"))
            .map(|(upload, _)| upload.to_owned())
            .context("UploadId")?;
        let etag = md5_hex(&vec![7_u8; size]);
        let mut complete = String::from("<CompleteMultipartUpload>");
        for number in 1..=LARGE_PARTS {
            let query = format!("partNumber={number}&uploadId={upload}");
            call(
                "PUT",
                path,
                &query,
                &[("x-amz-copy-source", "/bench/source")],
                &[],
            )?;
            let number = number.to_string();
            complete.extend(["<Part><PartNumber>", &*number, "</PartNumber><ETag>\""]);
            complete.extend([&*etag, "\"</ETag></Part>"]);
        }
        complete.push_str("</CompleteMultipartUpload>");
        call(
            "POST",
            path,
            &format!("uploadId={upload}"),
            &[],
            complete.as_bytes(),
        )?;
        let range = "range: bytes=2684354561-2684358656\r\n";
        let cost = self.get_cost(path, range, 4 << 10)?;
        self.put_object("/bench/get-65536", 64 << 10)?;
        let whole = self.get_cost("/bench/get-65536", "", 64 << 10)?;
        println!(
            "{RANGE:22} {cost:11.1} against GET 64 KiB {whole:.1}: {:.2}",
            cost / whole
        );
        Ok(())
    }

    fn put_object(&self, path: &str, size: usize) -> Result<()> {
        put(
            &mut Connection::open(self.server.address)?,
            self.signer,
            self.server.address,
            path,
            "UNSIGNED-PAYLOAD",
            &vec![7_u8; size],
            size,
            Payload::Unsigned,
        )
    }

    fn get_cost(&self, path: &str, range: &str, size: usize) -> Result<f64> {
        let address = self.server.address;
        let host = address.to_string();
        load(
            self.server,
            self.window,
            clients(size),
            |connection, _, _| {
                let headers = self
                    .signer
                    .headers("GET", &host, path, "", "UNSIGNED-PAYLOAD", &[]);
                connection.send(&format!("GET {path} HTTP/1.1\r\n{headers}{range}"), &[])?;
                let answer = connection.receive()?;
                let expected = u64::try_from(size)?;
                ensure!((200..300).contains(&answer.status) && answer.body_len == expected);
                Ok(())
            },
        )
    }

    fn bare_get_cost(&self, size: usize) -> Result<f64> {
        load(self.null, self.window, clients(size), |connection, _, _| {
            connection.send(&format!("GET /{size} HTTP/1.1\r\nhost: x\r\n"), &[])?;
            ensure!(connection.receive()?.status == 200);
            Ok(())
        })
    }
}

/// Whether an object of that size is a file of its own.
const fn is_file(size: usize) -> bool {
    size > 16 << 10
}

const fn clients(size: usize) -> usize {
    if size >= 16 << 20 { 2 } else { CLIENTS }
}

fn md5_hex(body: &[u8]) -> String {
    hex::encode(<md5::Md5 as md5::Digest>::digest(body))
}

fn print_row(name: &str, cost: f64, parts: f64, bare: f64, sse: f64) {
    println!(
        "{name:22} {cost:11.1} {parts:11.1} {bare:11.1} {:7.2} {:7.2} {:11.1}",
        cost / parts,
        cost / bare,
        cost - sse
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
    let counts = on_threads(clients, |client| {
        let mut connection = Connection::open(server.address)?;
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < window {
            work(&mut connection, client, count)?;
            count += 1;
        }
        Ok(count)
    })?;
    let total: u64 = counts.iter().sum();
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
    let decoded = decoded.to_string();
    let trailer = [
        ("x-amz-decoded-content-length", decoded.as_str()),
        ("x-amz-trailer", "x-amz-checksum-crc64nvme"),
    ];
    let (extra, encoding): (&[_], _) = match payload {
        Payload::Unsigned | Payload::Signed => (&[], ""),
        Payload::Trailer => (&trailer, "content-encoding: aws-chunked\r\n"),
    };
    let head = format!(
        "PUT {path} HTTP/1.1\r\n{}{encoding}content-length: {}\r\n",
        signer.headers("PUT", &host, path, "", hash, extra),
        body.len()
    );
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
        signer.headers(method, &host, path, query, &hash, &[]),
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

/// `body` in `aws-chunked` pieces of 64 KiB with its CRC-64/NVME in the trailer.
fn aws_chunked(body: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(body.len() + body.len() / 512 + 128);
    for piece in body.chunks(64 << 10) {
        framed.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        framed.extend_from_slice(piece);
        framed.extend_from_slice(b"\r\n");
    }
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, body);
    let checksum = BASE64.encode(checksum.to_be_bytes());
    framed
        .extend_from_slice(format!("0\r\nx-amz-checksum-crc64nvme:{checksum}\r\n\r\n").as_bytes());
    framed
}
