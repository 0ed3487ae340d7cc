//! How long a start takes.

use std::path::Path;

use anyhow::Result;

use crate::client::Connection;
use crate::cpu::{put, request};
use crate::server::Server;
use crate::sign::Payload;

pub(crate) fn run(binary: &Path, directory: &Path) -> Result<()> {
    let directory = directory.join("listing");
    let server = Server::strongroom(binary, &directory)?;
    println!(
        "start after a clean stop: {:.2} s (aim < 2 s)",
        server.started_in.as_secs_f64()
    );
    let signer = server.signer()?;
    let mut connection = Connection::open(server.address)?;
    for index in 0..20_000 {
        let path = format!("/bench/startup/{index}");
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
    server.kill()?;
    let server = Server::strongroom(binary, &directory)?;
    println!(
        "start after kill -9:      {:.2} s (aim < 2 s)",
        server.started_in.as_secs_f64()
    );
    let signer = server.signer()?;
    request(
        &mut Connection::open(server.address)?,
        &signer,
        server.address,
        "GET",
        "/bench/startup/19999",
        "",
        &[],
        Payload::Unsigned,
    )?;
    server.stop()
}
