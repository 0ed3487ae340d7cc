//! What every command that reads a store takes.

use std::path::PathBuf;

use clap::Args;

use crate::config::Layer;

/// Which store.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataArgs {
    /// Where everything is kept [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl DataArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        Layer {
            data: self.data.clone(),
            config: self.config.clone(),
            ..Layer::default()
        }
    }
}

/// Which store, and what opens its key ring.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
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
        Layer {
            key_file: self.key_file.clone(),
            unseal_fd: self.unseal_fd,
            ..self.data.layer()
        }
    }
}
