//! `serve`, `env` and `check`.

use clap::Args;

use super::store::StoreArgs;
use crate::config::Layer;

/// `env`.
#[derive(Args, Debug)]
pub(crate) struct EnvArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Use the HTTPS endpoint, and trust the server's own certificate
    #[arg(long)]
    pub(crate) tls: bool,
}

/// `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) layer: Layer,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) const HELP: &str = "\
Examples:
  strongroom serve
  strongroom serve --data /srv/strongroom --key-file /etc/strongroom/root.key
  strongroom serve --listen off --listen-tls 0.0.0.0:443 --tls-cert c.pem --tls-key k.pem
  strongroom serve --config /etc/strongroom/strongroom.toml

Signals: SIGTERM or SIGINT stops gracefully, a second one at once; SIGHUP reads the
certificate files again. When it is ready, the last line on standard output is
`strongroom: ready http=ADDRESS https=ADDRESS`.";

pub(super) const CHECK_HELP: &str = "\
Examples:
  strongroom check --data /srv/strongroom
  strongroom check --config /etc/strongroom/strongroom.toml --json

Takes the settings of serve, and changes nothing. The exit code is that of the first finding that
would stop the server, and 0 if none would.";
