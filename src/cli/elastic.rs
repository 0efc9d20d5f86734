//! Workers that come and go: for a scheduler, or for one command.

use super::args::first_given;
use super::sizes;
use crate::session::cluster::{ElasticOptions, SlurmRequest, WorkerSource};
use crate::session::{Error, own_cores};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args, Debug)]
pub struct ElasticArgs {
    /// Start workers when there is work, and end them when there is none: as processes of this machine, or as jobs
    #[arg(long, value_enum)]
    provider: Option<ProviderName>,
    /// Workers that are always there; default: 0
    #[arg(long, requires = "provider", allow_negative_numbers = true, value_parser = clap::value_parser!(u16))]
    min_workers: Option<u16>,
    /// Never more workers than this; default: as many as the machine has cores for, with slurm 16
    #[arg(long, requires = "provider", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..))]
    max_workers: Option<u16>,
    /// A run is to be done within this, like 30m: as few workers as are in time, whatever they cost
    #[arg(long, requires = "provider", conflicts_with = "worker_cost", value_parser = sizes::time)]
    deadline: Option<Duration>,
    /// Work that a new worker must take off the others, in times of what its start is worth; default: 1
    #[arg(long, requires = "provider", allow_negative_numbers = true, value_parser = sizes::cost)]
    worker_cost: Option<f64>,
    /// Compute threads of a worker; default: 1, or the machine's cores divided by --max-workers; with slurm 1
    #[arg(long, requires = "provider", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=sizes::MOST_THREADS))]
    worker_threads: Option<u16>,
    /// Memory of a worker for blocks and workspace; default: most of what is free and allowed, divided by
    /// --max-workers; with slurm most of what a job gets
    #[arg(long, requires = "provider", allow_hyphen_values = true, value_parser = sizes::memory)]
    worker_memory: Option<u64>,
    #[command(flatten)]
    slurm: SlurmArgs,
}

/// What is asked of SLURM for each worker.
#[derive(Args, Debug)]
struct SlurmArgs {
    /// Where jobs run; default: the site's default partition
    #[arg(long, requires = "provider")]
    slurm_partition: Option<String>,
    /// Who pays for them
    #[arg(long, requires = "provider")]
    slurm_account: Option<String>,
    /// Their quality of service
    #[arg(long, requires = "provider")]
    slurm_qos: Option<String>,
    /// Features that a node must have
    #[arg(long, requires = "provider")]
    slurm_constraint: Option<String>,
    /// How long a worker may live, like 1h: it leaves before; default: the partition's default
    #[arg(long, requires = "provider", value_parser = sizes::time)]
    slurm_time: Option<Duration>,
    /// One more option of sbatch, like '--gres=gpu:1'; may be given more than once
    #[arg(long, requires = "provider", allow_hyphen_values = true)]
    slurm_extra: Vec<String>,
    /// A file with lines of bash to run before the worker: modules, mounts, scratch
    #[arg(long, requires = "provider")]
    slurm_prologue: Option<PathBuf>,
    /// The network interface at which workers give blocks to each other
    #[arg(long, requires = "provider")]
    interface: Option<String>,
    /// Print the script that would be submitted, and end
    #[arg(long, requires = "provider")]
    dry_run: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum ProviderName {
    Local,
    Slurm,
}

/// Jobs that are asked for unless somebody says otherwise: enough to see that it works, and no surprise to who pays.
const MOST_JOBS: usize = 16;

/// What is to be done.
pub struct Elastic {
    pub options: ElasticOptions,
    /// Only the script is wanted.
    pub dry_run: bool,
}

impl ElasticArgs {
    /// The file that they name to be read.
    pub fn file(&self) -> Option<&PathBuf> {
        self.slurm.slurm_prologue.as_ref()
    }

    /// What they ask for, if for anything.
    pub fn asked(&self) -> Result<Option<Elastic>, Error> {
        let Some(provider) = self.provider else { return Ok(None) };
        let cores = if provider == ProviderName::Local { own_cores() } else { 1 };
        let of_each = |workers: u16| (cores / usize::from(workers)).max(1);
        let threads = self.worker_threads.map_or(self.max_workers.map_or(1, of_each), usize::from);
        let default_most = if provider == ProviderName::Local { (cores / threads).max(1) } else { MOST_JOBS };
        let most = self.max_workers.map_or(default_most, usize::from);
        let least = self.min_workers.map_or(0, usize::from);
        if least > most {
            let whose = if self.max_workers.is_some() { "" } else { " of its own" };
            return Err(Error::Request(format!(
                "--min-workers {least} is more than --max-workers {most}{whose}"
            )));
        }
        let program = std::env::current_exe()
            .map_err(|error| Error::Run(format!("cannot find the program itself: {error}")))?;
        let dry_run = self.slurm.dry_run;
        let source = match provider {
            ProviderName::Local => self.slurm.not_for_local().map(|()| WorkerSource::Local)?,
            ProviderName::Slurm => WorkerSource::Slurm(self.slurm.request()?),
        };
        let options = ElasticOptions {
            source,
            least,
            most,
            threads: threads as u32,
            memory: self.worker_memory,
            deadline: self.deadline,
            worker_cost: self.worker_cost,
            program,
            logs: None,
            owner: None,
        };
        Ok(Some(Elastic { options, dry_run }))
    }
}

impl SlurmArgs {
    fn not_for_local(&self) -> Result<(), Error> {
        let given = [
            ("--slurm-partition", self.slurm_partition.is_some()),
            ("--slurm-account", self.slurm_account.is_some()),
            ("--slurm-qos", self.slurm_qos.is_some()),
            ("--slurm-constraint", self.slurm_constraint.is_some()),
            ("--slurm-time", self.slurm_time.is_some()),
            ("--slurm-extra", !self.slurm_extra.is_empty()),
            ("--slurm-prologue", self.slurm_prologue.is_some()),
            ("--interface", self.interface.is_some()),
            ("--dry-run", self.dry_run),
        ];
        match first_given(&given) {
            Some(option) => Err(Error::Request(format!("{option} is for --provider slurm"))),
            None => Ok(()),
        }
    }

    fn request(&self) -> Result<SlurmRequest, Error> {
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path);
            text.map_err(|error| Error::Request(format!("--slurm-prologue: {}: {error}", path.display())))
        };
        Ok(SlurmRequest {
            partition: self.slurm_partition.clone(),
            account: self.slurm_account.clone(),
            qos: self.slurm_qos.clone(),
            constraint: self.slurm_constraint.clone(),
            time: self.slurm_time,
            extra: self.slurm_extra.clone(),
            prologue: self.slurm_prologue.as_ref().map(read).transpose()?,
            interface: self.interface.clone(),
        })
    }
}
