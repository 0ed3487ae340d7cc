//! What every command that reads a store takes.

use std::path::PathBuf;

use clap::Args;

use crate::config::Layer;

/// What every command that reads a store takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArgs {
    /// Where everything is kept [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Key file that opens the key ring, if no server runs
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// File descriptor that holds what opens it, as for serve
    #[arg(long, value_name = "N")]
    pub(crate) unseal_fd: Option<u32>,
}

impl StoreArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        let Self {
            data,
            config,
            key_file,
            unseal_fd,
        } = self.clone();
        Layer {
            data,
            config,
            key_file,
            unseal_fd,
            ..Layer::default()
        }
    }
}
