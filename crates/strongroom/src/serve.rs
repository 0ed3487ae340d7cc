//! `serve`: puts everything together, and takes it apart again in order.

mod access_logs;
mod audit_trail;
mod background;
mod backups;
mod collector;
mod deeds;
mod due_work;
mod edge;
mod explaining;
mod first_start;
mod house;
mod impact;
mod key_uses;
mod reencryption;
mod root_key;
mod running;
mod verifying;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use strongroom_api::Recorder;
use strongroom_api::cloudtrail::{S3Delivery, S3DeliveryPorts};
use strongroom_api::s3::ServiceS3;
use strongroom_api::server::{
    ManagementRoutes, MetricsAudience, Server, ServerError, ServerOptions, Shutdown,
    ShutdownSwitch, TlsFiles, TlsReloader,
};
use strongroom_audit::AuditLog;
use strongroom_audit::service::{CloudTrail, CloudTrailPorts};
use strongroom_audit::trails::{DataEvents, DataLevel, SigningKeys, Trails};
use strongroom_iam::IamService;
use strongroom_kms::{KeyService, KeyServiceOptions, KeyServicePorts};
use strongroom_policy::{Denials, PolicyAuthorizer};
use strongroom_ports::{Clock, Entropy};
use strongroom_s3::{Custody, S3, S3Options, S3Ports};
use strongroom_store::DurableMeta;
use tokio::runtime::Handle;
use tokio::time::timeout;

use self::access_logs::{AccessLogs, Waiting};
pub(crate) use self::backups::Backups;
pub(crate) use self::deeds::{by_operator, record};
use self::house::{Door, House, Listening};
use self::root_key::RootKey;
pub(crate) use self::root_key::RootKeyStatus;
use crate::account::{Account, Accounts};
use crate::adapters::{SystemClock, SystemEntropy};
use crate::admin::AdminSocket;
use crate::config::{DataEventLevel, DigestEncryption, Listen, Settings};
use crate::credentials::CredentialMap;
use crate::failure::{Exit, Failure};
use crate::findings::{self, Severity};
use crate::issuers::Issuers;
use crate::logging::LogFile;
use crate::ring_files::{OpenedRing, RingFiles};
use crate::seals::refusals::Refusals;
use crate::unseal::{self, Environment, Start};
use crate::{files, hardening, identities, logging, store};

/// Streams up to this stored length live in the metadata store, in bytes: below it a file of its
/// own costs more than its bytes.
const INLINE_MAX_BYTES: usize = 16 << 10;
/// How often old values leave the histograms.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// How long workers may finish their last disk access when the server ends.
const WORKERS_GRACE: Duration = Duration::from_secs(5);

/// The parts of a server, before it listens.
struct Parts {
    audit: AuditLog,
    recorder: Arc<Recorder>,
    root_key: Arc<RootKey>,
    backups: Arc<Backups>,
    meta: Arc<DurableMeta>,
    s3: Arc<S3>,
    kms: Arc<KeyService>,
    iam: Arc<IamService>,
    cloudtrail: Arc<CloudTrail>,
    signer: Arc<SigningKeys>,
    delivery: Arc<S3Delivery>,
    access_logs: Arc<AccessLogs>,
    authorizer: Arc<PolicyAuthorizer>,
    accounts: Accounts,
    account: Account,
    credentials: Arc<CredentialMap>,
    denials: Arc<Denials>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Runs the server until a signal stops it.
///
/// # Errors
///
/// Whatever keeps it from starting, with its exit code.
pub(crate) fn run(settings: &Settings, environment: Environment<'_>) -> Result<(), Failure> {
    let log = logging::start(settings)?;
    hardening::install_panic_hook();
    if strongroom_audit::IN_MEMORY {
        tracing::error!("this program was built for a benchmark: it keeps no audit trail");
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let findings = findings::check(settings, &*clock, &entropy, environment);
    for finding in &findings {
        match finding.severity {
            // The first of them ends the program, which prints it once more with its remedy.
            Severity::Fatal => tracing::error!("{finding}"),
            Severity::Warning => tracing::warn!("{finding}"),
        }
    }
    findings::verdict(&findings)?;

    let failed = |error: std::io::Error| {
        Failure::new(
            Exit::Environment,
            format!("the data directory cannot be prepared: {error}"),
            "check its permissions and its disk",
        )
    };
    settings.data.prepare().map_err(failed)?;
    let _lock = settings
        .data
        .lock()
        .map_err(failed)?
        .ok_or_else(|| findings::locked(settings).failure)?;
    let start = open_or_create_ring(settings, &*clock, &entropy, environment)?;
    let (start, refusals) = match start {
        Start::Open(ring) => (Ok(ring), Refusals::default()),
        Start::Sealed(why, refusals) => (Err(why), refusals),
    };
    let house = House::new(settings, clock, entropy, install_metrics()?, refusals);
    let house = Arc::new(house);
    // Before it listens, so that whatever is wrong with the store ends the program.
    let start = match start {
        Ok(ring) => Ok(house.assemble(ring)?),
        Err(why) => Err(why),
    };

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(
                Exit::Environment,
                format!("no threads: {error}"),
                "raise the process limits",
            )
        })?;
    let outcome = runtime.block_on(serve(settings, &house, start, log));
    runtime.shutdown_timeout(WORKERS_GRACE);
    if let Some(parts) = house.parts() {
        end(parts);
    }
    tracing::info!("stopped");
    outcome
}

/// What waits for a commit, and so is done here only, where no task runs any more.
fn end(parts: &Parts) {
    if let Some(summary) = parts.recorder.summary(true)
        && let Err(error) = parts.audit.append(&[summary]).wait()
    {
        tracing::warn!(%error, "the last denials of strangers are not recorded");
    }
    if let Err(error) = parts.access_logs.write() {
        tracing::warn!(%error, "the last lines of access logs are lost");
    }
    if let Err(error) = parts.kms.note_time() {
        tracing::warn!(%error, "the time of the end is not written");
    }
    if let Err(error) = parts.kms.save_last_uses() {
        tracing::warn!(%error, "when KMS keys were last used is forgotten in part");
    }
    if let Err(error) = parts.iam.identities().save_uses() {
        tracing::warn!(%error, "when access keys were last used is forgotten in part");
    }
    // Everything acknowledged is durable already; this makes the next start faster.
    if let Err(error) = parts.meta.checkpoint() {
        tracing::warn!(%error, "no checkpoint at the end; the next start replays the journal");
    }
    parts.meta.end_upkeep();
}

fn open_or_create_ring(
    settings: &Settings,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
    environment: Environment<'_>,
) -> Result<Start, Failure> {
    let files = RingFiles::new(settings.data.ring());
    if files.exist() {
        // Opening may repair a copy, and a seal may be added at the same moment.
        let _held = files.hold().map_err(|error| admin_failure(&error))?;
        return unseal::start(settings, entropy, environment);
    }
    let mut created = unseal::create(settings, clock, entropy, environment)?;
    first_start::announce(settings, &mut created, clock.now(), entropy)?;
    Ok(Start::Open(created.opened))
}

fn assemble(
    settings: &Settings,
    ring: OpenedRing,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Parts, Failure> {
    // Kept: a rotation of the root key writes the ring.
    let unseal_key = ring.unseal_key;
    let custody = Arc::new(Custody::new(Arc::new(ring.ring)));
    let meta = store::open_meta(settings, &custody, &entropy)?;
    let blobs = Arc::new(store::open_blobs(settings)?);
    let accounts = Accounts {
        danger_accept_older_ring: settings.danger_accept_older_ring,
        meta: meta.clone(),
        custody: custody.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
    };
    let shreds = store::open_shreds(settings)?;
    let holds_data = store::hold_any(&*blobs, &shreds)?;
    let (account, _) = accounts.load_or_create(settings.region.as_ref(), holds_data)?;
    let audit = accounts.audit_log(&account);
    let credentials = Arc::new(CredentialMap::new(&account, &accounts.root_keys()?));
    let identities = identities::open(&accounts, &account)?;
    let denials = Arc::new(Denials::default());
    let authorizer =
        Arc::new(PolicyAuthorizer::new(identities.clone()).telling(Arc::clone(&denials)));
    let iam = identities::service(
        &accounts,
        audit.clone(),
        identities.clone(),
        authorizer.clone(),
    );
    let iam = Arc::new(iam.with_issuer_keys(Arc::new(Issuers::new(settings)?)));
    let rows = accounts.sealed_rows();
    let key_ports = KeyServicePorts {
        rows: rows.clone(),
        shreds: Arc::new(shreds),
        authorizer: authorizer.clone(),
        principals: identities.clone(),
        audit: audit.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
    };
    let key_options = KeyServiceOptions {
        region: account.region.clone(),
        danger_trust_clock: settings.danger_trust_clock,
    };
    let kms = Arc::new(KeyService::new(key_ports, key_options));
    let ports = S3Ports {
        meta: meta.clone(),
        blobs,
        custody,
        keys: kms.clone(),
        authorizer: authorizer.clone(),
        principals: identities,
        audit: Arc::new(audit.clone()),
        clock: clock.clone(),
        entropy: entropy.clone(),
    };
    let options = S3Options {
        region: account.region.clone(),
        block_sse_c_on_new_buckets: settings.block_sse_c_on_new_buckets,
        danger_keys_over_plain_http: settings.danger_keys_over_plain_http,
        inline_max_bytes: INLINE_MAX_BYTES,
        bucket_key_ttl: settings.bucket_key_ttl,
    };
    let s3 = Arc::new(S3::new(ports, options));
    let ports = (&clock, &entropy);
    let backups = Arc::new(Backups::new(settings, &rows, &meta, &kms, ports));
    let data_events = DataEvents::new(match settings.audit_data_events {
        DataEventLevel::Denied => DataLevel::Denied,
        DataEventLevel::Write => DataLevel::Write,
        DataEventLevel::All => DataLevel::All,
    });
    let signer = Arc::new(SigningKeys::new(rows.clone()));
    let delivery = Arc::new(S3Delivery::new(S3DeliveryPorts {
        s3: ServiceS3 {
            s3: s3.clone(),
            region: account.region.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        },
        keys: kms.clone(),
    }));
    let cloudtrail = Arc::new(CloudTrail::new(CloudTrailPorts {
        trails: Trails::new(audit.clone()).telling(data_events.clone()),
        signer: signer.clone(),
        target: delivery.clone(),
        authorizer: authorizer.clone(),
        digests_under_key: settings.trail_digest_encryption == DigestEncryption::TrailKey,
    }));
    let access_logs = Arc::new(AccessLogs {
        log: Arc::default(),
        s3: s3.clone(),
        rows: rows.clone(),
        waiting: Waiting::new(rows.clone(), audit.clone()),
        region: account.region.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        every: settings.access_log_interval,
    });
    let root_key = Arc::new(RootKey {
        settings: settings.clone(),
        rows,
        s3: s3.clone(),
        kms: kms.clone(),
        accounts: accounts.clone(),
        unseal_key: Mutex::new(unseal_key),
        backups: backups.clone(),
        audit: audit.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        turn: Mutex::default(),
        waker: OnceLock::new(),
    });
    Ok(Parts {
        recorder: Arc::new(Recorder::new(audit.clone()).wanting(data_events)),
        audit,
        root_key,
        backups,
        meta,
        s3,
        kms,
        iam,
        cloudtrail,
        signer,
        delivery,
        access_logs,
        authorizer,
        accounts,
        account,
        credentials,
        denials,
        clock,
        entropy,
    })
}

/// The store of a data directory that no server uses, for a backup. The caller holds its lock.
///
/// # Errors
///
/// Whatever is wrong with the store.
pub(crate) fn backups_off_line(
    settings: &Settings,
    ring: OpenedRing,
) -> Result<Arc<Backups>, Failure> {
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
    Ok(assemble(settings, ring, clock, entropy)?.backups)
}

/// `start` is the open store, or why there is none yet.
async fn serve(
    settings: &Settings,
    house: &Arc<House>,
    start: Result<Parts, Failure>,
    log: Option<Arc<LogFile>>,
) -> Result<(), Failure> {
    let (switch, shutdown) = ShutdownSwitch::new();
    switch.clone().stop_on_signals().map_err(|error| {
        Failure::new(
            Exit::Environment,
            format!("signals cannot be watched: {error}"),
            "",
        )
    })?;
    let server = listen(settings, house, shutdown.clone()).await?;
    let (http, https) = (
        first(server.http_addresses()),
        first(server.https_addresses()),
    );
    let endpoint = format!("{}{}", line("http=", http), line("https=", https));
    files::replace(&settings.data.endpoint(), endpoint.as_bytes())
        .map_err(|error| admin_failure(&error))?;
    let tls = server.tls();
    house.listens(Listening { http, https, tls });
    house.ends_by(switch);

    let admin =
        AdminSocket::bind(&settings.data.admin_socket()).map_err(|error| admin_failure(&error))?;
    reload_on_hangup(server.tls(), log);
    tokio::spawn(keep_metrics(house.metrics()));
    let runtime = Handle::current();
    match start {
        Ok(parts) => {
            house.open(parts)?;
            house.greet()?;
        }
        Err(why) => house.wait(&why, runtime.clone())?,
    }
    let door = Door {
        house: Arc::clone(house),
        runtime,
    };
    admin
        .serve(Arc::new(door))
        .map_err(|error| admin_failure(&error))?;
    server.run(house.gate(), shutdown).await;
    if timeout(WORKERS_GRACE, house.gate().settled())
        .await
        .is_err()
    {
        tracing::error!("requests that nobody waits for did not end in time");
    }
    house.close();
    drop(admin);
    house.verdict()
}

async fn listen(
    settings: &Settings,
    house: &Arc<House>,
    shutdown: Shutdown,
) -> Result<Server, Failure> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    tokio::spawn(flip(shutdown, is_stopping.clone()));
    let (house_of_ready, metrics) = (Arc::clone(house), house.metrics());
    let management = ManagementRoutes {
        ready: Arc::new(move || {
            if is_stopping.load(Ordering::Acquire) {
                return Err("stopping".to_owned());
            }
            house_of_ready.readiness()
        }),
        metrics: Arc::new(move || metrics.render()),
        metrics_audience: MetricsAudience::Loopback,
    };
    let mut options = ServerOptions::new(management);
    options.http = addresses(settings.listen);
    options.https = addresses(settings.listen_tls);
    options.grace = settings.grace;
    options.connections_max = hardening::connections_max(options.connections_max);
    if settings.listen_tls != Listen::Off {
        options.tls = Some(certificate(settings, house.clock())?);
    }
    Server::bind(options).await.map_err(|error| match error {
        ServerError::Bind { .. } => Failure::new(
            Exit::Environment,
            error.to_string(),
            "choose another address with --listen or --listen-tls",
        ),
        other @ (ServerError::NoCertificate | ServerError::Tls(_) | _) => Failure::new(
            Exit::Environment,
            other.to_string(),
            "check --tls-cert and --tls-key",
        ),
    })
}

/// The operator's certificate, or one of our own making.
fn certificate(settings: &Settings, clock: &dyn Clock) -> Result<TlsFiles, Failure> {
    if let Some(own) = &settings.tls_files {
        return Ok(TlsFiles {
            certificate: own.certificate.clone(),
            key: own.key.clone(),
        });
    }
    let dir = settings.data.tls();
    let made = TlsFiles {
        certificate: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    };
    let hostname = settings.domains.first().map_or("localhost", String::as_str);
    files::make_private_dir(&dir).map_err(|error| admin_failure(&error))?;
    made.ensure_self_signed(hostname, clock.now())
        .map_err(|error| {
            Failure::new(
                Exit::Environment,
                error.to_string(),
                "name your own with --tls-cert and --tls-key, or --listen-tls off",
            )
        })?;
    Ok(made)
}

async fn flip(mut shutdown: Shutdown, is_stopping: Arc<AtomicBool>) {
    shutdown.requested().await;
    is_stopping.store(true, Ordering::Release);
    tracing::info!("stopping; a second signal stops at once");
}

async fn keep_metrics(metrics: PrometheusHandle) {
    let mut interval = tokio::time::interval(METRICS_UPKEEP);
    loop {
        interval.tick().await;
        metrics.run_upkeep();
    }
}

/// What rotates logs asks this way for the file to be opened again. Certificate files are looked at
/// every few seconds anyway; a signal is how operators expect to ask.
fn reload_on_hangup(tls: Option<Arc<TlsReloader>>, log: Option<Arc<LogFile>>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        return;
    };
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match log.as_ref().map(|log| log.reopen()) {
                Some(Ok(())) => tracing::info!("log file opened again"),
                Some(Err(error)) => {
                    tracing::error!(%error, "log file not opened again; the old one stays");
                }
                None => {}
            }
            match tls.as_ref().map(|tls| tls.reload_if_changed()) {
                Some(Ok(changed)) => tracing::info!(changed, "certificate files read"),
                Some(Err(error)) => {
                    tracing::error!(%error, "certificate not reloaded; the old one stays");
                }
                None => {}
            }
        }
    });
}

fn install_metrics() -> Result<PrometheusHandle, Failure> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| {
        Failure::new(
            Exit::General,
            format!("metrics cannot be kept: {error}"),
            "",
        )
    })?;
    // An alarm on a counter that is not there yet never rings.
    for what in ["blob", "row", "segment"] {
        metrics::counter!("strongroom_integrity_events_total", "what" => what).increment(0);
    }
    metrics::counter!("strongroom_panics_total").increment(0);
    metrics::gauge!("strongroom_blobs_orphaned").set(0.0);
    Ok(handle)
}

fn addresses(listen: Listen) -> Vec<SocketAddr> {
    match listen {
        Listen::At(address) => vec![address],
        Listen::Off => Vec::new(),
    }
}

fn first(addresses: Vec<SocketAddr>) -> Option<SocketAddr> {
    addresses.into_iter().next()
}

fn shown(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "off".to_owned(), |address| address.to_string())
}

fn line(name: &str, address: Option<SocketAddr>) -> String {
    address.map_or_else(String::new, |address| format!("{name}{address}\n"))
}

fn admin_failure(error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Environment,
        format!("the server cannot be set up: {error}"),
        "check the data directory's permissions",
    )
}
