//! What each encryption mode costs, against SSE-S3 in the same run.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::client::Connection;
use crate::cpu::{load, request};
use crate::kms::Kms;
use crate::measure::median;
use crate::server::Server;
use crate::sign::{Payload, Signer};

const CUSTOMER_KEY: [u8; 32] = [0x5A; 32];

/// A way to encrypt: its name, and the headers of a write and of a read.
struct Mode {
    name: &'static str,
    write: Vec<(&'static str, String)>,
    read: Vec<(&'static str, String)>,
}

pub(crate) fn run(
    binary: &Path,
    directory: &Path,
    seconds: u64,
    rounds: u32,
    only: &str,
) -> Result<()> {
    let directory = directory.join("modes");
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
    let modes = modes(&Kms::new(&server)?.create_key()?);
    let bench = Bench {
        server: &server,
        signer: &signer,
        window: Duration::from_secs(seconds),
        rounds,
    };
    println!(
        "{:16} {:24} {:>12} {:>10}",
        "request", "mode", "server us", "/ SSE-S3"
    );
    for (name, size) in [("4 KiB", 4 << 10), ("1 MiB", 1 << 20), ("64 MiB", 64 << 20)] {
        if name.contains(only) {
            bench.measure("PUT", name, size, &modes)?;
            bench.measure("GET", name, size, &modes)?;
        }
    }
    println!("CPU of the server process alone; medians of {rounds} interleaved rounds");
    server.stop()
}

fn modes(key: &str) -> Vec<Mode> {
    const SSE: &str = "x-amz-server-side-encryption";
    const KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
    let kms = |algorithm: &str| vec![(SSE, algorithm.to_owned()), (KEY, key.to_owned())];
    let md5 = <md5::Md5 as md5::Digest>::digest(CUSTOMER_KEY);
    let customer = vec![
        (
            "x-amz-server-side-encryption-customer-algorithm",
            "AES256".to_owned(),
        ),
        (
            "x-amz-server-side-encryption-customer-key",
            BASE64.encode(CUSTOMER_KEY),
        ),
        (
            "x-amz-server-side-encryption-customer-key-md5",
            BASE64.encode(md5),
        ),
    ];
    let mut bucket_key = kms("aws:kms");
    bucket_key.push((
        "x-amz-server-side-encryption-bucket-key-enabled",
        "true".to_owned(),
    ));
    let mode = |name, write| Mode {
        name,
        write,
        read: Vec::new(),
    };
    vec![
        mode("SSE-S3", Vec::new()),
        mode("SSE-KMS", kms("aws:kms")),
        mode("SSE-KMS, bucket key", bucket_key),
        mode("DSSE-KMS", kms("aws:kms:dsse")),
        Mode {
            name: "SSE-C",
            write: customer.clone(),
            read: customer,
        },
    ]
}

struct Bench<'a> {
    server: &'a Server,
    signer: &'a Signer,
    window: Duration,
    rounds: u32,
}

impl Bench<'_> {
    fn measure(&self, method: &str, name: &str, size: usize, modes: &[Mode]) -> Result<()> {
        let body = vec![7_u8; size];
        let mut costs: Vec<Vec<f64>> = modes.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.rounds {
            for (at, (mode, costs)) in modes.iter().zip(&mut costs).enumerate() {
                if method == "GET" {
                    let mut connection = Connection::open(self.server.address)?;
                    let path = format!("/bench/get-{size}-{at}");
                    self.call(&mut connection, "PUT", &path, &mode.write, &body, 0)?;
                }
                costs.push(load(
                    self.server,
                    self.window,
                    if size >= 16 << 20 { 2 } else { 4 },
                    |connection, client, count| {
                        if method == "GET" {
                            let path = format!("/bench/get-{size}-{at}");
                            self.call(connection, "GET", &path, &mode.read, &[], size)
                        } else {
                            let path = format!("/bench/put-{size}-{at}-{client}-{}", count % 16);
                            self.call(connection, "PUT", &path, &mode.write, &body, 0)
                        }
                    },
                )?);
            }
        }
        let medians: Vec<f64> = costs
            .into_iter()
            .map(|mut costs| median(&mut costs))
            .collect();
        let base = medians.first().copied().unwrap_or_default();
        for (mode, cost) in modes.iter().zip(medians) {
            println!(
                "{:16} {:24} {cost:12.1} {:10.2}",
                format!("{method} {name}"),
                mode.name,
                cost / base
            );
        }
        Ok(())
    }

    fn call(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
        expected: usize,
    ) -> Result<()> {
        let host = self.server.address.to_string();
        let extra: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let head = self
            .signer
            .headers(method, &host, path, "", "UNSIGNED-PAYLOAD", &extra);
        let length = match method {
            "GET" => String::new(),
            _ => format!("content-length: {}\r\n", body.len()),
        };
        connection.send(&format!("{method} {path} HTTP/1.1\r\n{head}{length}"), body)?;
        let answer = connection.receive()?;
        ensure!(
            answer.status == 200 && answer.body_len == u64::try_from(expected)?,
            "{method} {path}: {}",
            answer.status
        );
        Ok(())
    }
}
