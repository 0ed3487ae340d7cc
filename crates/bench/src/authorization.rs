//! What full authorization costs a small read: a user with identity policies, a permissions boundary
//! and a bucket policy, against the root user, in the same run.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::client::Connection;
use crate::cpu::load;
use crate::measure::median;
use crate::server::Server;
use crate::sign::{Credentials, Signer, amz_date, sha256_hex};

const SIZE: usize = 1 << 10;
const CLIENTS: usize = 4;

const IDENTITY: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::bench"},
    {"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::bench/*"},
    {"Effect":"Deny","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}]}"#;
const BUCKET_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::bench","arn:aws:s3:::bench/*"],
    "Condition":{"NumericLessThan":{"s3:TlsVersion":"1.2"}}},
    {"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bench/*",
    "Condition":{"StringEquals":{"s3:x-amz-server-side-encryption":"AES256"}}}]}"#;
const BOUNDARY: &str = "arn:aws:iam::aws:policy/AmazonS3FullAccess";

pub(crate) fn run(binary: &Path, directory: &Path, seconds: u64, rounds: u32) -> Result<()> {
    let directory = directory.join("authorization");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let server = Server::strongroom(binary, &directory)?;
    let (root, iam) = (server.signer()?, server.signer_for("iam")?);
    call(&server, &root, "PUT", "/bench", "", b"")?;
    call(&server, &root, "PUT", "/bench/k", "", &[7; SIZE])?;
    call(
        &server,
        &root,
        "PUT",
        "/bench",
        "policy=",
        BUCKET_POLICY.as_bytes(),
    )?;
    let action = |parameters: &[(&str, &str)]| {
        let pairs = parameters
            .iter()
            .map(|(name, value)| format!("&{name}={}", escaped(value)));
        let form = format!("Version=2010-05-08{}", pairs.collect::<String>());
        call(&server, &iam, "POST", "/", "", form.as_bytes())
    };
    action(&[
        ("Action", "CreateUser"),
        ("UserName", "u"),
        ("PermissionsBoundary", BOUNDARY),
    ])?;
    action(&[
        ("Action", "PutUserPolicy"),
        ("UserName", "u"),
        ("PolicyName", "p"),
        ("PolicyDocument", IDENTITY),
    ])?;
    let made = action(&[("Action", "CreateAccessKey"), ("UserName", "u")])?;
    let credentials = Credentials {
        access_key_id: element(&made, "AccessKeyId")?,
        secret: element(&made, "SecretAccessKey")?,
        region: "us-east-1".to_owned(),
    };
    let user = Signer::new(credentials, "s3", &amz_date());
    println!(
        "{:>5} {:>12} {:>12} {:>8}",
        "round", "root us", "user us", "/ root"
    );
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let cost = |signer: &Signer| {
            load(
                &server,
                Duration::from_secs(seconds),
                CLIENTS,
                |connection, _, _| {
                    let got = exchange(&server, connection, signer, "GET", "/bench/k", "", b"")?;
                    ensure!(got.len() == SIZE, "{} bytes", got.len());
                    Ok(())
                },
            )
        };
        let (root_us, user_us) = (cost(&root)?, cost(&user)?);
        let ratio = user_us / root_us;
        println!("{round:>5} {root_us:12.1} {user_us:12.1} {ratio:8.2}");
        ratios.push(ratio);
    }
    let median = median(&mut ratios);
    println!("median {median:.2} (aim: at most 1.35); CPU of the server process per GET of 1 KiB");
    server.stop()
}

fn call(
    server: &Server,
    signer: &Signer,
    method: &str,
    path: &str,
    query: &str,
    body: &[u8],
) -> Result<Vec<u8>> {
    let mut connection = Connection::open(server.address)?;
    exchange(server, &mut connection, signer, method, path, query, body)
}

fn exchange(
    server: &Server,
    connection: &mut Connection,
    signer: &Signer,
    method: &str,
    path: &str,
    query: &str,
    body: &[u8],
) -> Result<Vec<u8>> {
    let host = server.address.to_string();
    let headers = signer.headers(method, &host, path, query, &sha256_hex(body), &[]);
    let target = if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    };
    let length = match method {
        "GET" => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    connection.send(
        &format!("{method} {target} HTTP/1.1\r\n{headers}{length}"),
        body,
    )?;
    let mut got = Vec::new();
    let answer = connection.receive_with(|piece| got.extend_from_slice(piece))?;
    ensure!(
        (200..300).contains(&answer.status),
        "{method} {path}: {} {}",
        answer.status,
        String::from_utf8_lossy(&got)
    );
    Ok(got)
}

/// As forms have it.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

fn element(xml: &[u8], name: &str) -> Result<String> {
    let text = std::str::from_utf8(xml)?;
    let (_, rest) = text
        .split_once(&format!("<{name}>"))
        .with_context(|| format!("{name} in the answer"))?;
    let (value, _) = rest.split_once('<').context("end of an element")?;
    Ok(value.to_owned())
}
