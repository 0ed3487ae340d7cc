//! Servers as child processes, and what the kernel says that they cost.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::sign::{Credentials, Signer, amz_date};

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    data: PathBuf,
    key_file: PathBuf,
    binary: PathBuf,
    /// From start to readiness.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts Strongroom on `directory/data`.
    pub(crate) fn strongroom(binary: &Path, directory: &Path) -> Result<Self> {
        let (data, key_file) = (directory.join("data"), directory.join("bench.key"));
        let started = Instant::now();
        let mut command = Command::new(binary);
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--listen-tls",
            "127.0.0.1:0",
            "--log-level",
            "error",
        ]);
        command
            .arg("--data")
            .arg(&data)
            .arg("--key-file")
            .arg(&key_file);
        let (child, address) = spawn(command)?;
        let started_in = started.elapsed();
        Ok(Self {
            child,
            address,
            data,
            key_file,
            binary: binary.to_owned(),
            started_in,
        })
    }

    /// Starts the bare hyper server.
    pub(crate) fn null() -> Result<Self> {
        let binary = std::env::current_exe()?;
        let mut command = Command::new(&binary);
        command.arg("null");
        let started = Instant::now();
        let (child, address) = spawn(command)?;
        let none = PathBuf::new();
        Ok(Self {
            child,
            address,
            data: none.clone(),
            key_file: none,
            binary,
            started_in: started.elapsed(),
        })
    }

    /// A signer of S3 requests for this server's root credential.
    pub(crate) fn signer(&self) -> Result<Signer> {
        self.signer_for("s3")
    }

    /// A signer of requests to `service`.
    pub(crate) fn signer_for(&self, service: &'static str) -> Result<Signer> {
        let output = Command::new(&self.binary)
            .arg("env")
            .arg("--data")
            .arg(&self.data)
            .arg("--key-file")
            .arg(&self.key_file)
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let value = |name: &str| -> Result<String> {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("export {name}=")));
            Ok(line
                .with_context(|| format!("{name} in the output of env"))?
                .trim_matches(['\'', '"'])
                .to_owned())
        };
        let credentials = Credentials {
            access_key_id: value("AWS_ACCESS_KEY_ID")?,
            secret: value("AWS_SECRET_ACCESS_KEY")?,
            region: value("AWS_DEFAULT_REGION")?,
        };
        Ok(Signer::new(credentials, service, &amz_date()))
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .context("stat")?
            .1
            .split(' ')
            .collect();
        let ticks: u64 = [11, 12]
            .iter()
            .filter_map(|at| fields.get(*at)?.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_millis(
            ticks * 1000 / rustix::param::clock_ticks_per_second(),
        ))
    }

    /// Resident memory, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? >> 10)
    }

    /// kill -9.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and wait.
    pub(crate) fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.child.id())?;
        let pid = rustix::process::Pid::from_raw(id).context("pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `kill` and `stop`; otherwise the bench failed and cleans up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(mut command: Command) -> Result<(Child, SocketAddr)> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    let stdout = child.stdout.take().context("stdout")?;
    let mut lines = BufReader::new(stdout).lines();
    for line in lines.by_ref() {
        if let Some(rest) = line?.strip_prefix("strongroom: ready http=") {
            let address = rest.split(' ').next().context("address")?.parse()?;
            // Keep the pipe drained, so that the child never blocks on it.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((child, address));
        }
    }
    let status = child.wait()?;
    bail!("the server did not become ready: {status}")
}
