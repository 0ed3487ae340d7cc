//! The start-up check: everything that would go wrong, found before anything is touched.
//!
//! Findings have numbers, so that they can be looked up in `docs/operations.md` and searched for.

mod key_ring;

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use strongroom_ports::{Clock, Entropy};
use strongroom_types::Timestamp;

use crate::config::{ByteSize, Listen, Settings};
use crate::data_dir::FORMAT_VERSION;
use crate::failure::{Exit, Failure};
use crate::ring_files::RingFiles;
use crate::unseal::Environment;

/// 2024-01-01T00:00:00Z: no clock of a running server is before this program existed.
const EARLIEST_NOW: Timestamp = Timestamp::from_seconds(1_704_067_200);

/// Something that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// The number in the documentation.
    pub(crate) number: u8,
    /// Whether the server can start in spite of it.
    pub(crate) severity: Severity,
    /// What is wrong, what to do, and how the program ends if it must.
    pub(crate) failure: Failure,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Severity {
    /// The server does not start.
    Fatal,
    /// The server starts; a person should look at it.
    Warning,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Fatal => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{word} SR{:02}: {}", self.number, self.failure)
    }
}

impl Finding {
    /// For programs.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let (severity, exit_code) = match self.severity {
            Severity::Fatal => ("error", Some(self.failure.exit.code())),
            Severity::Warning => ("warning", None),
        };
        serde_json::json!({
            "number": format!("SR{:02}", self.number),
            "severity": severity,
            "what": self.failure.what,
            "remedy": self.failure.remedy,
            "exit_code": exit_code,
        })
    }
}

/// Looks at everything; changes nothing but the lock file.
pub(crate) fn check(
    settings: &Settings,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
    environment: Environment<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(check_clock(clock));
    findings.extend(check_space(settings));
    findings.extend(
        [settings.listen, settings.listen_tls]
            .into_iter()
            .filter_map(check_port),
    );
    if settings.data.root().exists() {
        findings.extend(check_directory(settings));
        findings.extend(check_format(settings));
        findings.extend(check_lock(settings));
        findings.extend(key_ring::check(settings, entropy, environment));
    }
    findings
}

/// The first fatal finding, as the failure that the program ends with.
pub(crate) fn verdict(findings: &[Finding]) -> Result<(), Failure> {
    match findings
        .iter()
        .find(|finding| finding.severity == Severity::Fatal)
    {
        Some(finding) => Err(finding.failure.clone()),
        None => Ok(()),
    }
}

fn check_directory(settings: &Settings) -> Option<Finding> {
    let root = settings.data.root().display();
    match settings.data.exposure() {
        Ok(None) => None,
        Ok(Some(what)) => Some(fatal(
            1,
            Exit::Environment,
            what,
            format!("chown it to the server's user and chmod 700 {root}"),
        )),
        Err(error) => Some(fatal(
            1,
            Exit::Environment,
            format!("{root} cannot be looked at: {error}"),
            "check the permissions above it",
        )),
    }
}

fn check_space(settings: &Settings) -> Option<Finding> {
    let floor = settings.free_space_floor;
    match free_space(settings.data.root()) {
        Ok(free) if free >= floor => None,
        // What is there can still be read, and deleting makes room.
        Ok(free) if RingFiles::new(settings.data.ring()).exist() => Some(warning(
            2,
            format!("{free} of disk space is free, and the floor is {floor}"),
            "free some space, or lower --free-space-floor; every write is refused until then",
        )),
        Ok(free) => Some(fatal(
            2,
            Exit::Environment,
            format!("{free} of disk space is free, and the floor is {floor}"),
            "free some space, or lower --free-space-floor; below the floor every write is refused",
        )),
        Err(error) => Some(fatal(
            2,
            Exit::Environment,
            format!("the free disk space cannot be read: {error}"),
            "check the data directory's path",
        )),
    }
}

fn check_format(settings: &Settings) -> Option<Finding> {
    match settings.data.format_version() {
        Ok(None | Some(FORMAT_VERSION)) => None,
        Ok(Some(version)) => Some(fatal(
            8,
            Exit::Store,
            format!(
                "the data directory has format {version}, and this program knows {FORMAT_VERSION}"
            ),
            "start the strongroom that wrote it, or a newer one",
        )),
        Err(_) if settings.data.is_being_restored() => Some(fatal(
            8,
            Exit::Store,
            format!(
                "the restoration of {} from a backup was interrupted",
                settings.data.root().display()
            ),
            "remove the directory, and run strongroom restore once more",
        )),
        Err(error) => Some(fatal(
            8,
            Exit::Store,
            format!("DIR/FORMAT cannot be read: {error}"),
            "restore it, or check that this is a strongroom data directory",
        )),
    }
}

fn check_lock(settings: &Settings) -> Option<Finding> {
    match settings.data.lock() {
        Ok(Some(_)) => None,
        Ok(None) => Some(locked(settings)),
        Err(error) => Some(fatal(
            9,
            Exit::Environment,
            format!("the lock file cannot be taken: {error}"),
            "check the data directory's permissions",
        )),
    }
}

/// The finding that another process owns the store.
pub(crate) fn locked(settings: &Settings) -> Finding {
    let root = settings.data.root().display();
    fatal(
        9,
        Exit::Store,
        format!("another strongroom serves {root}"),
        "stop it first; two servers on one store would destroy it",
    )
}

fn check_port(listen: Listen) -> Option<Finding> {
    let Listen::At(address) = listen else {
        return None;
    };
    let error = TcpListener::bind(address).err()?;
    let reasons = [
        (io::ErrorKind::AddrInUse, "is in use by another program"),
        (
            io::ErrorKind::PermissionDenied,
            "needs a privilege: ports below 1024 do",
        ),
        (
            io::ErrorKind::AddrNotAvailable,
            "is no address of this machine",
        ),
    ];
    let what = match reasons.iter().find(|(kind, _)| *kind == error.kind()) {
        Some((_, reason)) => format!("{address} {reason}"),
        None => format!("{address} cannot be listened on: {error}"),
    };
    Some(fatal(
        10,
        Exit::Environment,
        what,
        "choose another address with --listen or --listen-tls; port 0 takes a free one",
    ))
}

fn check_clock(clock: &dyn Clock) -> Option<Finding> {
    (clock.now() < EARLIEST_NOW).then(|| {
        fatal(
            11,
            Exit::Environment,
            format!("the clock says {}", clock.now().to_iso8601()),
            "set it: every signed request would be refused as skewed",
        )
    })
}

/// Free for this user on the disk of `path`, or of the nearest directory above it that exists.
fn free_space(path: &Path) -> io::Result<ByteSize> {
    let existing = path
        .ancestors()
        .find(|part| part.exists())
        .unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(existing)?;
    Ok(ByteSize(disk.f_bavail.saturating_mul(disk.f_frsize)))
}

fn fatal(number: u8, exit: Exit, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        number,
        severity: Severity::Fatal,
        failure: Failure::new(exit, what, remedy),
    }
}

fn warning(number: u8, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        number,
        severity: Severity::Warning,
        failure: Failure::new(Exit::General, what, remedy),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;
    use crate::adapters::{SystemClock, SystemEntropy};
    use crate::config::Layer;
    use crate::unseal::create;

    struct At(u64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(self.0)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    struct Fixture {
        _temp: tempfile::TempDir,
        settings: Settings,
    }

    fn entropy() -> Arc<dyn Entropy> {
        Arc::new(SystemEntropy)
    }

    fn fixture() -> Fixture {
        let temp = tempfile::tempdir().unwrap();
        let layer = Layer {
            data: Some(temp.path().join("data")),
            key_file: Some(temp.path().join("the.key")),
            listen: Some(Listen::loopback(0)),
            listen_tls: Some(Listen::loopback(0)),
            free_space_floor: Some(ByteSize(0)),
            ..Layer::default()
        };
        let settings = Settings::decide(layer, &|_| None).unwrap();
        settings.data.prepare().unwrap();
        create(&settings, &SystemClock::new(), &entropy(), &|_| None).unwrap();
        Fixture {
            _temp: temp,
            settings,
        }
    }

    impl Fixture {
        fn numbers(&self) -> Vec<(u8, Exit)> {
            let findings = check(&self.settings, &SystemClock::new(), &entropy(), &|_| None);
            findings
                .iter()
                .map(|f| (f.number, f.failure.exit))
                .collect()
        }

        fn ring(&self, name: &str) -> std::path::PathBuf {
            self.settings.data.ring().join(name)
        }
    }

    #[test]
    fn a_healthy_store_has_no_findings() {
        assert_eq!(fixture().numbers(), []);
    }

    #[test]
    fn every_fault_has_its_number_and_exit_code() {
        let f = fixture();
        fs::set_permissions(f.settings.data.root(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(f.numbers(), [(1, Exit::Environment)]);

        let f = fixture();
        fs::remove_file(f.settings.key_file.as_ref().unwrap()).unwrap();
        assert_eq!(f.numbers(), [(3, Exit::Seal)]);

        let f = fixture();
        fs::set_permissions(
            f.settings.key_file.as_ref().unwrap(),
            fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        assert_eq!(f.numbers(), [(4, Exit::Seal)]);

        let f = fixture();
        let other = fixture();
        fs::copy(
            other.settings.key_file.as_ref().unwrap(),
            f.settings.key_file.as_ref().unwrap(),
        )
        .unwrap();
        assert_eq!(f.numbers(), [(5, Exit::Seal)]);

        let f = fixture();
        fs::write(f.ring("ring.a"), "rubbish").unwrap();
        assert_eq!(f.numbers(), [(6, Exit::General)]);
        fs::write(f.ring("ring.b"), "rubbish").unwrap();
        assert_eq!(f.numbers(), [(6, Exit::Ring)]);

        let f = fixture();
        fs::remove_dir_all(f.settings.data.ring()).unwrap();
        fs::create_dir_all(f.settings.data.meta()).unwrap();
        fs::write(f.settings.data.meta().join("journal"), "x").unwrap();
        assert_eq!(f.numbers(), [(7, Exit::Ring)]);

        let f = fixture();
        fs::write(
            f.settings.data.root().join("FORMAT"),
            "strongroom data directory, format 2\n",
        )
        .unwrap();
        assert_eq!(f.numbers(), [(8, Exit::Store)]);

        let f = fixture();
        let held = f.settings.data.lock().unwrap();
        assert_eq!(f.numbers(), [(9, Exit::Store)]);
        drop(held);

        let mut f = fixture();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        f.settings.listen = Listen::At(taken.local_addr().unwrap());
        assert_eq!(f.numbers(), [(10, Exit::Environment)]);
    }

    #[test]
    fn a_clock_before_2024_is_found() {
        let f = fixture();
        let findings = check(&f.settings, &At(1_700_000_000), &entropy(), &|_| None);
        assert_eq!(findings.iter().map(|f| f.number).collect::<Vec<_>>(), [11]);
        assert_eq!(verdict(&findings).unwrap_err().exit, Exit::Environment);
        assert!(
            findings[0]
                .to_string()
                .starts_with("error SR11: the clock says 2023-")
        );
    }

    #[test]
    fn warnings_do_not_stop_the_server() {
        let f = fixture();
        fs::remove_file(f.ring("ring.b")).unwrap();
        let findings = check(&f.settings, &SystemClock::new(), &entropy(), &|_| None);
        assert_eq!(findings.len(), 1);
        assert!(verdict(&findings).is_ok());
    }

    #[test]
    fn a_full_disk_stops_a_first_start_and_no_later_one() {
        let mut f = fixture();
        f.settings.free_space_floor = ByteSize(u64::MAX);
        let findings = check(&f.settings, &SystemClock::new(), &entropy(), &|_| None);
        assert!(
            verdict(&findings).is_ok(),
            "what is there can be read and deleted"
        );
        for name in ["ring.a", "ring.b"] {
            fs::remove_file(f.ring(name)).unwrap();
        }
        assert!(f.numbers().contains(&(2, Exit::Environment)));
    }

    #[test]
    fn a_ring_is_never_made_over_data_or_over_a_damaged_ring() {
        let f = fixture();
        for name in ["ring.a", "ring.b"] {
            fs::write(f.ring(name), "rubbish").unwrap();
        }
        let refused = create(&f.settings, &SystemClock::new(), &entropy(), &|_| None)
            .err()
            .unwrap();
        assert_eq!(refused.exit, Exit::Ring);
        assert_eq!(fs::read(f.ring("ring.a")).unwrap(), b"rubbish");

        fs::remove_dir_all(f.settings.data.ring()).unwrap();
        fs::create_dir_all(f.settings.data.blobs().join("00")).unwrap();
        fs::write(f.settings.data.blobs().join("00/blob"), "x").unwrap();
        let refused = create(&f.settings, &SystemClock::new(), &entropy(), &|_| None)
            .err()
            .unwrap();
        assert_eq!(refused.exit, Exit::Ring);
        assert!(!f.settings.data.ring().exists());
    }
}
