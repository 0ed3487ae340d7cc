//! What a person reads when the server starts, and most of all the first time.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use strongroom_ports::Entropy;
use strongroom_types::Timestamp;

use crate::account::Account;
use crate::config::Settings;
use crate::failure::Failure;
use crate::unseal::{self, CreatedRing};
use crate::{output, shell};

/// Says where the new key is, and offers a second seal: losing the key file is the likeliest way to
/// lose everything.
///
/// # Errors
///
/// When nobody reads standard output, or a second seal that was asked for cannot be made.
pub(super) fn announce(
    settings: &Settings,
    created: &mut CreatedRing,
    now: Timestamp,
    entropy: &Arc<dyn Entropy>,
) -> Result<(), Failure> {
    output::say(&format!(
        "This is the first start. All data in {} is encrypted under the key in",
        settings.data.root().display()
    ))?;
    output::say(&format!("\n    {}\n", created.key_file.display()))?;
    output::say("WARNING: copy that file somewhere safe, apart from the data, NOW.")?;
    output::say("         Whoever loses every copy of it has lost all the data; nobody can help.")?;
    let question =
        "A second key file guards against that. Its path, on another device (Enter to skip):";
    match output::ask(question) {
        Some(path) => {
            let (opened, path) = (&mut created.opened, Path::new(&path));
            let path = unseal::add_key_file(settings, opened, path, now, entropy)?;
            output::say(&format!("{} opens the data, too.", path.display()))?;
        }
        None => output::say(&format!(
            "         Better still, add a second one:  strongroom seal add{} --key-file PATH",
            data_flag(settings)
        ))?,
    }
    output::say("")
}

/// Says where the server listens and how to use it, without any secret.
///
/// # Errors
///
/// When nobody reads standard output.
pub(super) fn greet(
    settings: &Settings,
    account: &Account,
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
) -> Result<(), Failure> {
    output::say(concat!("Strongroom ", env!("CARGO_PKG_VERSION")))?;
    for (scheme, address) in [("http", http), ("https", https)] {
        if let Some(address) = address {
            output::say(&format!("  S3       {scheme}://{address}"))?;
        }
    }
    output::say(&format!("  data     {}", settings.data.root().display()))?;
    output::say(&format!(
        "  account  {}, region {}",
        account.id, account.region
    ))?;
    output::say("Use it from another shell:")?;
    let tls = if http.is_some() { "" } else { " --tls" };
    output::say(&format!("  eval \"$({}{tls})\"", command(settings, "env")))?;
    output::say("  aws s3 mb s3://first && aws s3 ls")
}

/// A command for this very store, so that the line can be pasted.
pub(super) fn command(settings: &Settings, verb: &str) -> String {
    format!("{} {verb}{}", program(), data_flag(settings))
}

/// As it was called, so that the line can be pasted.
fn program() -> String {
    std::env::args()
        .next()
        .map_or_else(|| "strongroom".to_owned(), |name| shell::quote(&name))
}

fn data_flag(settings: &Settings) -> String {
    format!(
        " --data {}",
        shell::quote(&settings.data.root().display().to_string())
    )
}
