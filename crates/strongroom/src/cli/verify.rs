//! `verify`.

use std::path::PathBuf;

use clap::Args;

use super::store::StoreArgs;
use crate::config::ByteSize;

/// `verify`.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Without any key: checksums alone, which find damage and not tampering
    #[arg(long)]
    pub(crate) sealed: bool,
    /// Read no more than so much a second, such as 50MiB/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) rate: Option<u64>,
    /// A customer key of SSE-C objects, as for recover; off line only; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) sse_c_key: Vec<PathBuf>,
    /// Where the signed report goes [default: reports/ of the data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_rate(text: &str) -> Result<u64, String> {
    let size = text.strip_suffix("/s").unwrap_or(text);
    match size.parse::<ByteSize>() {
        Ok(ByteSize(0)) | Err(_) => Err("a rate such as 50MiB/s is expected".to_owned()),
        Ok(ByteSize(bytes)) => Ok(bytes),
    }
}

pub(super) const HELP: &str = "\
Examples:
  strongroom verify --rate 50MiB/s            beside the running server
  strongroom verify --json > report.json
  strongroom verify --sealed --data /mnt/copy no key at hand
  strongroom verify --sse-c-key customer.key  off line, customers' objects as well

Reads every file and every row, changes nothing. With the key ring it opens every row, wrapped key and
segment; with --sealed, or while the server is sealed, it verifies the checksums that need no key. Objects
whose KMS key is disabled or gone, and SSE-C objects without their key, have their checksums verified; that
is no damage. Each finding names the object, the file and the offset.

Without keys it finds damage, and files that were exchanged or moved; not what is missing, nor an older
copy of a file that was put back: the report says so.

What a crash or a deletion leaves for the collector is listed, and is no damage.

The report is kept in reports/ of the data directory as verified-TIME.json, signed by the store
(report-key.pem, openssl pkeyutl -verify); --json prints the same text. Without keys it is not signed.

Exit codes: 0 nothing found, 12 damage, 13 files that are none of the store's, others as always.";
