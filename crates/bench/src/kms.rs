//! The key service end to end, against an authenticated JSON call that does nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::client::Connection;
use crate::measure::{median, on_threads};
use crate::server::Server;
use crate::sign::{Signer, sha256_hex};

const CLIENTS: usize = 8;
/// Authenticated and parsed as any operation, and then refused: custom key stores are not for this
/// server.
const NOTHING: &str = "DescribeCustomKeyStores";

/// Calls the key service of one server.
pub(crate) struct Kms<'a> {
    server: &'a Server,
    signer: Signer,
}

impl<'a> Kms<'a> {
    pub(crate) fn new(server: &'a Server) -> Result<Self> {
        Ok(Self {
            server,
            signer: server.signer_for("kms")?,
        })
    }

    /// One call; the answer's status and text.
    pub(crate) fn call(
        &self,
        connection: &mut Connection,
        operation: &str,
        body: &str,
    ) -> Result<(u16, String)> {
        let target = format!("TrentService.{operation}");
        aws_json(self.server, &self.signer, connection, &target, body)
    }

    /// Makes a key; its id.
    pub(crate) fn create_key(&self) -> Result<String> {
        let mut connection = Connection::open(self.server.address)?;
        let (status, text) = self.call(&mut connection, "CreateKey", "{}")?;
        ensure!(status == 200, "CreateKey: {text}");
        text_of(&text, "KeyId")
    }

    /// A key's ARN.
    pub(crate) fn arn_of(&self, connection: &mut Connection, key: &str) -> Result<String> {
        let body = format!(r#"{{"KeyId":"{key}"}}"#);
        let (status, text) = self.call(connection, "DescribeKey", &body)?;
        ensure!(status == 200, "DescribeKey: {text}");
        text_of(&text, "Arn")
    }
}

/// One call of an AWS JSON protocol; the answer's status and text.
pub(crate) fn aws_json(
    server: &Server,
    signer: &Signer,
    connection: &mut Connection,
    target: &str,
    body: &str,
) -> Result<(u16, String)> {
    let headers = signer.headers(
        "POST",
        &server.address.to_string(),
        "/",
        "",
        &sha256_hex(body.as_bytes()),
        &[
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", target),
        ],
    );
    let head = format!(
        "POST / HTTP/1.1\r\n{headers}content-length: {}\r\n",
        body.len()
    );
    connection.send(&head, body.as_bytes())?;
    let mut text = Vec::new();
    let answer = connection.receive_with(|piece| text.extend_from_slice(piece))?;
    Ok((answer.status, String::from_utf8(text)?))
}

pub(crate) fn run(binary: &Path, directory: &Path, seconds: u64, rounds: u32) -> Result<()> {
    let directory = directory.join("kms");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let server = Server::strongroom(binary, &directory)?;
    let kms = Kms::new(&server)?;
    let key = kms.create_key()?;
    let mut connection = Connection::open(server.address)?;
    let plaintext = BASE64.encode([7; 32]);
    let encrypt = format!(r#"{{"KeyId":"{key}","Plaintext":"{plaintext}"}}"#);
    let (status, text) = kms.call(&mut connection, "Encrypt", &encrypt)?;
    ensure!(status == 200, "Encrypt: {text}");
    let decrypt = format!(
        r#"{{"CiphertextBlob":"{}"}}"#,
        text_of(&text, "CiphertextBlob")?
    );
    let generate = format!(r#"{{"KeyId":"{key}","KeySpec":"AES_256"}}"#);
    let window = Duration::from_secs(seconds);
    println!(
        "{:>5} {:>12} {:>20} {:>20}",
        "round", "nothing /s", "Decrypt /s", "GenerateDataKey /s"
    );
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let nothing = rate(&kms, window, NOTHING, "{}", 400)?;
        let decrypts = rate(&kms, window, "Decrypt", &decrypt, 200)?;
        let generates = rate(&kms, window, "GenerateDataKey", &generate, 200)?;
        let (one, two) = (decrypts / nothing, generates / nothing);
        println!("{round:>5} {nothing:12.0} {decrypts:13.0} {one:6.2} {generates:13.0} {two:6.2}");
        ratios.push(one);
    }
    let median = median(&mut ratios);
    println!("median ratio of Decrypt {median:.2} (aim: at least 0.60)");
    server.stop()
}

/// Answers a second from closed-loop clients.
fn rate(kms: &Kms<'_>, window: Duration, operation: &str, body: &str, status: u16) -> Result<f64> {
    let start = Instant::now();
    let counts = on_threads(CLIENTS, |_| {
        let mut connection = Connection::open(kms.server.address)?;
        let mut count = 0_u32;
        while start.elapsed() < window {
            let (got, text) = kms.call(&mut connection, operation, body)?;
            ensure!(got == status, "{operation}: {got} {text}");
            count += 1;
        }
        Ok(count)
    })?;
    let total: u32 = counts.iter().sum();
    Ok(f64::from(total) / start.elapsed().as_secs_f64())
}

/// The text of the first member of that name.
fn text_of(json: &str, name: &str) -> Result<String> {
    let (_, rest) = json
        .split_once(&format!("\"{name}\":\""))
        .with_context(|| format!("{name} in {json}"))?;
    let (value, _) = rest.split_once('"').context("end of a text")?;
    Ok(value.to_owned())
}
