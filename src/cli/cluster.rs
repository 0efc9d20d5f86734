//! The processes of a cluster: scheduler and workers, and how they are ended.

use super::args::{ClusterArgs, SchedulerArgs, WorkerArgs};
use super::console::{complain, say};
use crate::session::Error;
use crate::session::cluster::{self, Client, SchedulerOptions, WorkerOptions, own_name};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long dolmen stop looks for a scheduler.
const LOOK_FOR: Duration = Duration::from_secs(5);

/// Log lines go to standard error.
fn log() {
    let stderr = std::io::stderr();
    // A second one would change nothing.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(stderr.is_terminal())
        .with_target(false)
        .try_init();
}

pub fn scheduler(args: SchedulerArgs) -> Result<(), Error> {
    log();
    let SchedulerArgs { listen, scheduler_file, keys, lost_after } = args;
    let options = SchedulerOptions { listen, file: scheduler_file, keys, lost_after };
    let begun = |address: SocketAddr, keys: &Path| {
        if let Err(error) = say(&format!("scheduler at {address}, keys in {}\n", keys.display())) {
            complain(&error.to_string());
        }
    };
    Ok(cluster::run_scheduler(&options, begun)?)
}

pub fn worker(args: WorkerArgs) -> Result<(), Error> {
    log();
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let options = WorkerOptions {
        scheduler: args.cluster.scheduler(),
        name: args.name.unwrap_or_else(|| own_name(0)),
        threads: args.threads.map_or_else(cores, usize::from),
        memory: args.memory,
        spill_folder: args.spill_dir,
        spill_limit: args.spill_limit,
        patience: args.wait,
        functions: Default::default(),
    };
    Ok(cluster::run_worker(options)?)
}

pub fn stop(args: &ClusterArgs) -> Result<(), Error> {
    let client = Client::connect(&args.scheduler(), Instant::now() + LOOK_FOR)?;
    Ok(client.stop()?)
}
