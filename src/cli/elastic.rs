//! A scheduler that has workers started and ended.

use super::sizes;
use crate::session::cluster::{ElasticOptions, WorkerSource};
use crate::session::{Error, own_cores};
use clap::{Args, ValueEnum};
use std::time::Duration;

#[derive(Args, Debug)]
pub struct ElasticArgs {
    /// Start workers when there is work, and end them when there is none: local, as processes of this machine
    #[arg(long, value_enum)]
    provider: Option<ProviderName>,
    /// Workers that are always there; default: 0
    #[arg(long, requires = "provider", allow_negative_numbers = true, value_parser = clap::value_parser!(u16))]
    min_workers: Option<u16>,
    /// Never more workers than this; default: as many as the machine has cores for
    #[arg(long, requires = "provider", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..))]
    max_workers: Option<u16>,
    /// A run is to be done within this, like 30m: as few workers as are in time, whatever they cost
    #[arg(long, requires = "provider", conflicts_with = "worker_cost", value_parser = sizes::time)]
    deadline: Option<Duration>,
    /// Core-seconds that a new worker must take off the others for each that its start burns; default: 1
    #[arg(long, requires = "provider", allow_negative_numbers = true, value_parser = sizes::cost)]
    worker_cost: Option<f64>,
    /// Compute threads of a worker; default: 1, or the cores divided by --max-workers
    #[arg(long, requires = "provider", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..))]
    worker_threads: Option<u16>,
    /// Memory of a worker for blocks and workspace; default: most of what is free and allowed, divided by --max-workers
    #[arg(long, requires = "provider", allow_hyphen_values = true, value_parser = sizes::memory)]
    worker_memory: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum ProviderName {
    Local,
}

impl ElasticArgs {
    /// What they ask for, if for anything.
    pub fn options(self) -> Result<Option<ElasticOptions>, Error> {
        let Some(ProviderName::Local) = self.provider else { return Ok(None) };
        let cores = own_cores();
        let of_each = |workers: u16| (cores / usize::from(workers)).max(1);
        let threads = self.worker_threads.map_or(self.max_workers.map_or(1, of_each), usize::from);
        let most = self.max_workers.map_or((cores / threads).max(1), usize::from);
        let least = self.min_workers.map_or(0, usize::from);
        if least > most {
            let whose = if self.max_workers.is_some() { "" } else { ", what this machine has cores for" };
            return Err(Error::Request(format!(
                "--min-workers {least} is more than --max-workers {most}{whose}"
            )));
        }
        let program = std::env::current_exe()
            .map_err(|error| Error::Run(format!("cannot find the program itself: {error}")))?;
        Ok(Some(ElasticOptions {
            source: WorkerSource::Local,
            least,
            most,
            threads: threads as u32,
            memory: self.worker_memory,
            deadline: self.deadline,
            worker_cost: self.worker_cost,
            program,
        }))
    }
}
