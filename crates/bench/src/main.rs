//! Benchmarks. They print figures and ratios taken in one run, and assert nothing about time.
//!
//! The yardstick of a request's cost is the **sum of its unavoidable parts**, measured in the same
//! run on the same bytes: a bare hyper server that streams as much, the file read or write, AES-GCM
//! at the library's own speed, MD5 where the ETag is one, SHA-256 where the payload is signed. All
//! are CPU time, which a noisy neighbour disturbs least.
#![expect(clippy::print_stdout, reason = "a bench prints its table")]

mod audit;
mod authorization;
mod client;
mod cpu;
mod durable;
mod kms;
mod listing;
mod measure;
mod memory;
mod modes;
mod null;
mod parts;
mod policy;
mod server;
mod sign;
mod sse;
mod startup;
mod verify;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Strongroom's benchmarks.
#[derive(Parser)]
struct Arguments {
    /// The server binary to measure.
    #[arg(
        long,
        env = "STRONGROOM_BIN",
        default_value = "target/release/strongroom"
    )]
    binary: PathBuf,
    /// Where to keep data; the disk under it is part of what is measured.
    #[arg(long, default_value = "target/bench-data")]
    directory: PathBuf,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Server CPU per request against the sum of the unavoidable parts.
    Cpu {
        /// Seconds for each row.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Measure only the rows whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Durable 4 KiB PUTs from 32 clients against the machine's own new-file-and-sync rate.
    Durable {
        /// Seconds for each round.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Interleaved rounds.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// A page of 1,000 keys, and of 1,000 common prefixes, out of many.
    Listing {
        /// Number of keys.
        #[arg(long, default_value_t = 1_000_000)]
        keys: u32,
    },
    /// Authorization: a decision by 3 typical policies, and by 20 of 2 KiB. Needs no server.
    Policy,
    /// Server CPU of a GET of 1 KiB as a user with full authorization, against the root user's.
    Authorization {
        /// Seconds for each row and round.
        #[arg(long, default_value_t = 2)]
        seconds: u64,
        /// Interleaved rounds.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// Resident memory while throttled clients stream.
    Memory {
        /// Number of clients.
        #[arg(long, default_value_t = 200)]
        clients: usize,
        /// Seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Server CPU of PUT and GET in every encryption mode, against SSE-S3 in the same run.
    Modes {
        /// Seconds for each row and round.
        #[arg(long, default_value_t = 2)]
        seconds: u64,
        /// Interleaved rounds.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Measure only the sizes whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Rates of Decrypt and GenerateDataKey against an authenticated JSON call that does nothing.
    Kms {
        /// Seconds for each row and round.
        #[arg(long, default_value_t = 2)]
        seconds: u64,
        /// Interleaved rounds.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// The audit trail: what it costs a 4 KiB SSE-KMS PUT and GET, and LookupEvents by key.
    Audit {
        /// Seconds for each row and round.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Interleaved rounds.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// Events behind which LookupEvents is asked; 0 leaves that out.
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
        /// The server that was built with `--features danger-audit-in-memory`.
        #[arg(long, env = "STRONGROOM_MEMORY_AUDIT_BIN")]
        memory_binary: Option<PathBuf>,
    },
    /// Start-up with the data that `listing` left behind, after a clean stop and after kill -9.
    Startup,
    /// Speed of `strongroom verify` against the lower of disk and cipher.
    Verify {
        /// Plaintext of each mode, in MiB.
        #[arg(long, default_value_t = 1024)]
        mib: usize,
        /// Interleaved rounds.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// The bare hyper server that `cpu` compares against (started by it).
    #[command(hide = true)]
    Null,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.directory)?;
    match arguments.scenario {
        Scenario::Cpu { seconds, only } => {
            cpu::run(&arguments.binary, &arguments.directory, seconds, &only)
        }
        Scenario::Durable { seconds, rounds } => {
            durable::run(&arguments.binary, &arguments.directory, seconds, rounds)
        }
        Scenario::Listing { keys } => listing::run(&arguments.binary, &arguments.directory, keys),
        Scenario::Policy => policy::run(),
        Scenario::Authorization { seconds, rounds } => {
            authorization::run(&arguments.binary, &arguments.directory, seconds, rounds)
        }
        Scenario::Memory { clients, seconds } => {
            memory::run(&arguments.binary, &arguments.directory, clients, seconds)
        }
        Scenario::Modes {
            seconds,
            rounds,
            only,
        } => modes::run(
            &arguments.binary,
            &arguments.directory,
            seconds,
            rounds,
            &only,
        ),
        Scenario::Verify { mib, rounds } => {
            verify::run(&arguments.binary, &arguments.directory, mib, rounds)
        }
        Scenario::Kms { seconds, rounds } => {
            kms::run(&arguments.binary, &arguments.directory, seconds, rounds)
        }
        Scenario::Audit {
            seconds,
            rounds,
            events,
            memory_binary,
        } => {
            let plan = audit::Plan {
                seconds,
                rounds,
                events,
                memory_binary,
            };
            audit::run(&arguments.binary, &arguments.directory, &plan)
        }
        Scenario::Startup => startup::run(&arguments.binary, &arguments.directory),
        Scenario::Null => null::serve(),
    }
}
