//! The built program: starts, says how to be used, stops.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::zombie_processes,
    reason = "a test that cannot go on fails"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

struct Site {
    temp: tempfile::TempDir,
}

struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    greeting: String,
    http: String,
}

impl Site {
    fn new() -> Self {
        Self {
            temp: tempfile::tempdir().unwrap(),
        }
    }

    fn data(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command
            .env_clear()
            .env("HOME", self.temp.path())
            .env("PATH", "/usr/bin:/bin");
        command.args(args).arg("--data").arg(self.data());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    fn serve_command(&self) -> Command {
        let args = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--listen-tls",
            "127.0.0.1:0",
            "--free-space-floor",
            "1MiB",
        ];
        let mut command = self.command(&args);
        command.arg("--log").arg(self.temp.path().join("log"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self) -> Server {
        let mut child = self.serve_command().spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        loop {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                let mut errors = String::new();
                child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut errors)
                    .unwrap();
                panic!("not ready: {greeting}{errors}");
            }
            greeting.push_str(&line);
            if let Some(rest) = line.strip_prefix("strongroom: ready http=") {
                let (http, https) = rest.trim_end().split_once(" https=").unwrap();
                assert!(
                    https.starts_with("127.0.0.1:") && !https.ends_with(":0"),
                    "{line}"
                );
                let http = http.to_owned();
                return Server {
                    child,
                    stdout,
                    greeting,
                    http,
                };
            }
        }
    }

    fn env(&self) -> String {
        let output = self.run(&["env"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn key_file(&self) -> PathBuf {
        let keys = self.temp.path().join(".config/strongroom/keys");
        fs::read_dir(keys).unwrap().next().unwrap().unwrap().path()
    }
}

impl Server {
    fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
    }

    fn stop(mut self) {
        self.signal("TERM");
        assert!(self.child.wait().unwrap().success());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "nothing follows the ready line");
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn value<'a>(env: &'a str, name: &str) -> &'a str {
    let prefix = format!("export {name}=");
    env.lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap()
        .trim_matches('\'')
}

fn every_file(dir: &Path, visit: &mut dyn FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            every_file(&entry.path(), visit);
        } else if kind.is_file() {
            visit(&entry.path(), &fs::read(entry.path()).unwrap());
        }
    }
}

#[test]
fn the_first_start_is_usable_and_a_second_start_is_the_same_store() {
    let site = Site::new();
    let server = site.start();
    assert!(
        server
            .greeting
            .contains(&site.key_file().display().to_string()),
        "{}",
        server.greeting
    );
    assert!(server.greeting.contains("strongroom seal add"));
    let running = site.env();
    assert_eq!(
        value(&running, "AWS_ENDPOINT_URL"),
        format!("http://{}", server.http)
    );
    assert_eq!(value(&running, "AWS_DEFAULT_REGION"), "us-east-1");
    assert!(
        server
            .get("/_strongroom/health/ready")
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        server
            .get("/_strongroom/metrics")
            .starts_with("HTTP/1.1 200")
    );
    server.stop();
    assert!(!site.data().join("admin.sock").exists());

    let off_line = site.env();
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
    ] {
        assert_eq!(value(&off_line, name), value(&running, name));
    }
    let again = site.start();
    assert!(
        !again.greeting.contains("first start"),
        "{}",
        again.greeting
    );
    assert_eq!(
        value(&site.env(), "AWS_SECRET_ACCESS_KEY"),
        value(&running, "AWS_SECRET_ACCESS_KEY")
    );
    again.stop();
}

#[test]
fn the_root_secret_is_nowhere_on_disk_or_in_what_was_printed() {
    let site = Site::new();
    let server = site.start();
    let env = site.env();
    let secret = value(&env, "AWS_SECRET_ACCESS_KEY").to_owned();
    assert_eq!(secret.len(), 40);
    assert!(!server.greeting.contains(&secret));
    server.stop();
    every_file(site.temp.path(), &mut |path, bytes| {
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "the secret is in {}", path.display());
    });
}

#[test]
fn nothing_that_was_made_is_readable_by_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    site.start().stop();
    for root in [site.data(), site.temp.path().join(".config")] {
        assert_eq!(
            fs::metadata(&root).unwrap().permissions().mode() & 0o077,
            0,
            "{}",
            root.display()
        );
        every_file(&root, &mut |path, _| {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o077,
                0,
                "{}",
                path.display()
            );
        });
    }
}

#[test]
fn rotation_works_with_and_without_a_server() {
    let site = Site::new();
    let server = site.start();
    let first = site.env();
    assert!(site.run(&["credentials", "rotate"]).status.success());
    let second = site.env();
    assert_ne!(
        value(&first, "AWS_ACCESS_KEY_ID"),
        value(&second, "AWS_ACCESS_KEY_ID")
    );
    server.stop();
    assert!(site.run(&["credentials", "rotate"]).status.success());
    let third = site.env();
    assert_ne!(
        value(&second, "AWS_ACCESS_KEY_ID"),
        value(&third, "AWS_ACCESS_KEY_ID")
    );
}

#[test]
fn a_second_seal_opens_the_store_when_the_first_is_lost() {
    let site = Site::new();
    site.start().stop();
    let second = site.temp.path().join("usb/second.key");
    let add = site.run(&["seal", "add", "--key-file", second.to_str().unwrap()]);
    assert!(
        add.status.success(),
        "{}",
        String::from_utf8_lossy(&add.stderr)
    );
    assert!(site.run(&["seal", "test"]).status.success());
    fs::remove_file(site.key_file()).unwrap();
    assert_eq!(site.run(&["seal", "test"]).status.code(), Some(6));
    site.start().stop();
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    let site = Site::new();
    let code = |args: &[&str]| site.run(args).status.code();
    assert_eq!(code(&["serve", "--listen", "0.0.0.0:0"]), Some(2));
    assert_eq!(code(&["serve", "--no-such-flag"]), Some(2));
    site.start().stop();
    let off = [
        "check",
        "--listen",
        "off",
        "--listen-tls",
        "off",
        "--free-space-floor",
        "1MiB",
    ];
    assert_eq!(code(&off), Some(0));

    let key = site.key_file();
    fs::rename(&key, site.temp.path().join("away")).unwrap();
    assert_eq!(code(&off), Some(3));
    assert_eq!(site.serve_command().status().unwrap().code(), Some(3));
    fs::rename(site.temp.path().join("away"), &key).unwrap();

    for name in ["ring.a", "ring.b"] {
        let path = site.data().join("ring").join(name);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(site.serve_command().status().unwrap().code(), Some(4));
    fs::remove_dir_all(site.data().join("ring")).unwrap();
    assert_eq!(
        site.serve_command().status().unwrap().code(),
        Some(4),
        "no new ring over data"
    );
    assert!(!site.data().join("ring").exists());
}

#[test]
fn a_second_server_on_the_same_store_is_refused() {
    let site = Site::new();
    let server = site.start();
    assert_eq!(site.serve_command().status().unwrap().code(), Some(5));
    server.stop();
}
