//! Every command but `serve`.

use std::path::Path;
use std::sync::Arc;

use strongroom_audit::Params;
use strongroom_ports::{Clock, Entropy};
use strongroom_s3::Custody;

use crate::account::{Account, Accounts, RootKey};
use crate::adapters::{SystemClock, SystemEntropy};
use crate::admin::{Answer, EnvAnswer, Request, ask};
use crate::config::{Listen, Settings};
use crate::failure::{Exit, Failure};
use crate::findings::{self, Severity};
use crate::notes::Note;
use crate::ring_files::OpenedRing;
use crate::serve::{by_operator, record};
use crate::unseal::{self, Environment};
use crate::{output, shell, store, tenants};

/// `check`: every finding, and the exit code of the first that stops the server.
pub(crate) fn check(
    settings: &Settings,
    json: bool,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let findings = findings::check(settings, &SystemClock::new(), &entropy(), environment);
    if json {
        let shown: Vec<_> = findings.iter().map(findings::Finding::to_json).collect();
        output::say(&serde_json::json!({ "findings": shown }).to_string())?;
        return findings::verdict(&findings);
    }
    for finding in &findings {
        output::say(&format!("strongroom: {finding}"))?;
    }
    let fatal = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Fatal)
        .count();
    output::say(&format!(
        "strongroom: check: {} found, {fatal} of them stop the server",
        findings.len()
    ))?;
    findings::verdict(&findings)
}

/// `env`: shell commands for an AWS client.
pub(crate) fn env(
    settings: &Settings,
    tls: bool,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let answer = match ask(&settings.data.admin_socket(), &Request::Env)? {
        Some(Answer::Env(answer)) => answer,
        Some(_) => return Err(unexpected()),
        None => env_off_line(settings, environment)?,
    };
    let (scheme, address) = if tls {
        ("https", &answer.https)
    } else {
        ("http", &answer.http)
    };
    let address = address.as_ref().ok_or_else(|| {
        let remedy = if tls {
            "leave --tls out"
        } else {
            "try strongroom env --tls"
        };
        Failure::new(
            Exit::Usage,
            format!("the server does not listen for {scheme}"),
            remedy,
        )
    })?;
    output::say(&shell::export(
        "AWS_ENDPOINT_URL",
        &format!("{scheme}://{address}"),
    ))?;
    output::say(&shell::export("AWS_ACCESS_KEY_ID", &answer.access_key_id))?;
    output::say(&shell::export(
        "AWS_SECRET_ACCESS_KEY",
        &answer.secret_access_key,
    ))?;
    // A token left from another account would be sent along, and refused.
    output::say("unset AWS_SESSION_TOKEN AWS_PROFILE")?;
    output::say(&shell::export("AWS_DEFAULT_REGION", &answer.region))?;
    output::say(&shell::export("AWS_REGION", &answer.region))?;
    match &answer.ca_bundle {
        Some(file) if tls => output::say(&shell::export("AWS_CA_BUNDLE", file)),
        _ => Ok(()),
    }
}

/// `credentials rotate`.
pub(crate) fn rotate_credentials(
    settings: &Settings,
    json: bool,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let new_id = match ask(&settings.data.admin_socket(), &Request::RotateCredentials)? {
        Some(Answer::Rotated { access_key_id }) => access_key_id,
        Some(_) => return Err(unexpected()),
        None => with_accounts(settings, environment, None, |accounts, account| {
            let iam = tenants::off_line(accounts, account)?;
            let new = accounts.rotate_root_key()?;
            iam.delete_own_root_keys()
                .map_err(|error| tenants::refused(&error))?;
            Ok(new.id.to_string())
        })?,
    };
    if json {
        return output::say(&serde_json::json!({ "AccessKeyId": new_id }).to_string());
    }
    output::say(&format!(
        "The root access key is now {new_id}; the old one is refused."
    ))?;
    output::say("Every shell needs it anew: eval \"$(strongroom env)\"")
}

/// What `env` answers, from an account and where the server listens.
pub(crate) fn env_answer(
    settings: &Settings,
    account: &Account,
    key: RootKey,
    http: Option<String>,
    https: Option<String>,
) -> EnvAnswer {
    let ca_bundle = match settings.tls_files {
        Some(_) => None,
        None => Some(settings.data.tls().join("cert.pem").display().to_string()),
    };
    EnvAnswer {
        http,
        https,
        access_key_id: key.id.to_string(),
        secret_access_key: key.secret,
        region: account.region.as_str().to_owned(),
        ca_bundle,
    }
}

/// Without a server: the addresses that it would listen on, or did when it last ran.
fn env_off_line(settings: &Settings, environment: Environment<'_>) -> Result<EnvAnswer, Failure> {
    with_accounts(settings, environment, None, |accounts, account| {
        // As the server records it.
        let audit = accounts.audit_log(account);
        record(
            &audit,
            "ShowRootAccessKey",
            &by_operator(Params::new()),
            None,
        )?;
        let key = accounts.root_keys()?.pop().ok_or_else(|| {
            Failure::new(
                Exit::Store,
                "the store has no root access key",
                "make one: strongroom credentials rotate",
            )
        })?;
        let last = read_endpoint(&settings.data.endpoint());
        let at = |listen: Listen, last: Option<String>| match listen {
            Listen::At(address) => Some(last.unwrap_or_else(|| address.to_string())),
            Listen::Off => None,
        };
        let (http, https) = last;
        Ok(env_answer(
            settings,
            account,
            key,
            at(settings.listen, http),
            at(settings.listen_tls, https),
        ))
    })
}

/// The `http=` and `https=` lines of an endpoint file.
pub(crate) fn read_endpoint(path: &Path) -> (Option<String>, Option<String>) {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::to_owned)
    };
    (value("http="), value("https="))
}

/// Opens the store while no server does. `look` is the record of a command that only looks, for which
/// the key ring is opened all the same: its name, and what it tells. Commands that change something
/// have a record of that.
pub(crate) fn with_accounts<T>(
    settings: &Settings,
    environment: Environment<'_>,
    look: Option<(&'static str, Params)>,
    with: impl FnOnce(&Accounts, &Account) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if !settings.data.root().exists() {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "there is no data directory {}",
                settings.data.root().display()
            ),
            "name it with --data DIR, or make it: strongroom serve",
        ));
    }
    let entropy = entropy();
    let environment_failure = |error: std::io::Error| {
        Failure::new(
            Exit::Environment,
            error.to_string(),
            "check the data directory's permissions",
        )
    };
    let _lock = settings
        .data
        .lock()
        .map_err(environment_failure)?
        .ok_or_else(|| findings::locked(settings).failure)?;
    let opened = unseal::unseal(settings, &entropy, environment)?;
    let note = look.map(|(name, details)| Note::begin(&settings.data, &opened.ring, name, details));
    let outcome = with_opened(settings, opened, entropy, with);
    if let Some(note) = note {
        note.end(Params::new(), outcome.as_ref().err());
    }
    outcome
}

fn with_opened<T>(
    settings: &Settings,
    opened: OpenedRing,
    entropy: Arc<dyn Entropy>,
    with: impl FnOnce(&Accounts, &Account) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let custody = Arc::new(Custody::new(Arc::new(opened.ring)));
    let meta = store::open_meta(settings, &custody, &entropy)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let accounts = Accounts {
        danger_accept_older_ring: settings.danger_accept_older_ring,
        meta,
        custody,
        clock,
        entropy,
    };
    let account = accounts.loaded()?;
    with(&accounts, &account)
}

fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy)
}

/// The answer is none that the request can have.
pub(crate) fn unexpected() -> Failure {
    Failure::new(
        Exit::General,
        "the server answered something else",
        "is it of this version?",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_files_are_read_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("endpoint");
        assert_eq!(read_endpoint(&path), (None, None));
        std::fs::write(&path, "http=127.0.0.1:1\nhttps=127.0.0.1:2\n").unwrap();
        assert_eq!(
            read_endpoint(&path),
            (
                Some("127.0.0.1:1".to_owned()),
                Some("127.0.0.1:2".to_owned())
            )
        );
    }
}
