//! A scheduler that has workers started and ended: what it is told, and the provider that this asks for.

use super::hub::Hub;
use crate::actors::autoscaler::{Running, Scaled, Terms, start};
use crate::failure::Failure;
use crate::sched::{IO_TASKS, Threads};
use crate::store::Budget;
use actix::Addr;
use cluster::life::Life;
use cluster::local::{LocalOptions, LocalProvider};
use cluster::policy::{ScalingPolicy, Start};
use cluster::provider::Provider;
use cluster::scaling::Rules;
pub use cluster::slurm::SlurmRequest;
use cluster::slurm::job_name::JobName;
use cluster::slurm::{Programs, SlurmOptions, SlurmProvider};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where workers come from.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerSource {
    /// Processes of this machine.
    Local,
    /// Jobs of SLURM.
    Slurm(SlurmRequest),
}

/// What a scheduler is told that has workers started and ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ElasticOptions {
    pub source: WorkerSource,
    /// Never fewer workers than this.
    pub least: usize,
    /// Never more workers than this.
    pub most: usize,
    /// Compute threads of a worker.
    pub threads: u32,
    /// Bytes of blocks and workspaces of a worker; none: on this machine what there is, divided, and what SLURM gives.
    pub memory: Option<u64>,
    /// A run is to be done within this, with as few workers as that takes.
    pub deadline: Option<Duration>,
    /// Work that a new worker must take off the others, in times of what its start is worth; none: 1.
    pub worker_cost: Option<f64>,
    /// The program that workers run.
    pub program: PathBuf,
    /// The folder for what workers say; none: on this machine it is said here, too, and of jobs nobody hears it.
    pub logs: Option<PathBuf>,
    /// What stays the same when this is begun anew, and is nobody else's: by it those jobs are known that are left of a
    /// life that was killed. None: the scheduler's file.
    pub owner: Option<PathBuf>,
}

/// Where workers find their scheduler.
pub(super) struct Reached<'a> {
    pub address: SocketAddr,
    /// The folder of keys.
    pub keys: &'a Path,
    /// The file that it writes.
    pub file: Option<&'a Path>,
}

/// A worker that is started waits so long for its scheduler, which is there already.
const WAIT: &str = "5s";

/// So often it is looked whether there should be more workers or fewer, without being told that something has changed.
const PERIOD: Duration = Duration::from_secs(1);

/// Seconds until a worker has a machine, and from there to its first task, until that is measured.
struct Guess {
    queue: f64,
    boot: f64,
}

const LOCAL: Guess = Guess { queue: 0.0, boot: 0.5 };
const SLURM: Guess = Guess { queue: 10.0, boot: 5.0 };

impl ElasticOptions {
    /// Begins to start and end workers for a scheduler.
    pub(super) fn start(&self, hub: Addr<Hub>, at: &Reached) -> Result<Running, Failure> {
        let (name, provider, rules): (_, Box<dyn Provider>, _) = match &self.source {
            WorkerSource::Local => ("local", self.local(at)?, self.rules(&LOCAL, None)),
            WorkerSource::Slurm(request) => {
                let provider = self.slurm(request, at.file)?;
                if at.address.ip().is_loopback() {
                    let advice = "give --listen an address of this machine, and --keys";
                    tracing::warn!("only this machine's nodes reach {}: {advice}", at.address);
                }
                ("slurm", Box::new(provider), self.rules(&SLURM, request.time))
            }
        };
        let scheduler = Scaled::new(&hub).letting_go(hub.clone().recipient()).telling(hub.recipient());
        start(scheduler, provider, Terms { name, rules, period: PERIOD })
    }

    /// What would be submitted to SLURM for all workers at once, for a scheduler that writes this file.
    ///
    /// # Errors
    /// If workers are not to be jobs of SLURM, or if the options cannot be written into a script.
    pub fn script(&self, file: Option<&Path>) -> Result<String, Failure> {
        match &self.source {
            WorkerSource::Local => Err(Failure::of_request("workers on this machine need no script")),
            WorkerSource::Slurm(request) => Ok(self.slurm(request, file)?.script(self.most)),
        }
    }

    fn rules(&self, guess: &Guess, walltime: Option<Duration>) -> Rules {
        let mut policy = ScalingPolicy::default();
        policy.payback = self.worker_cost.unwrap_or(policy.payback);
        let walltime = walltime.map(|time| time.as_secs_f64());
        let Guess { queue, boot } = *guess;
        let room = self.memory.unwrap_or(0) as f64;
        let start = Start { queue, boot, cores: self.threads, room, walltime };
        let deadline = self.deadline.map(|deadline| deadline.as_secs_f64());
        Rules { policy, deadline, least: self.least, most: self.most, start }
    }

    fn local(&self, at: &Reached) -> Result<Box<dyn Provider>, Failure> {
        let threads = Threads { compute: u64::from(self.threads), io: IO_TASKS as u64 };
        let memory = match self.memory {
            Some(bytes) => bytes,
            None => Budget::new(None, threads).map_err(Failure::of_request)?.bytes / self.most as u64,
        };
        let mut words: Vec<OsString> = vec!["worker".into()];
        let mut add = |option: &str, value: OsString| words.extend([option.into(), value]);
        add("--scheduler", at.address.to_string().into());
        add("--keys", at.keys.into());
        add("--wait", WAIT.into());
        add("--threads", self.threads.to_string().into());
        add("--memory", memory.to_string().into());
        let options =
            LocalOptions { program: self.program.clone(), words, logs: self.logs.clone(), most: self.most };
        Ok(Box::new(LocalProvider::new(options)))
    }

    fn slurm(&self, request: &SlurmRequest, file: Option<&Path>) -> Result<SlurmProvider<Programs>, Failure> {
        let file = file.ok_or_else(|| {
            Failure::of_request("--provider slurm needs --scheduler-file, in a folder that all nodes see")
        })?;
        let file = std::path::absolute(file).map_err(Failure::of_request)?;
        let owner = self.owner.as_ref().unwrap_or(&file);
        let name = JobName::new(&owner.to_string_lossy(), Life::random());
        let options = SlurmOptions {
            request: request.clone(),
            threads: self.threads,
            memory: self.memory,
            program: self.program.clone(),
            scheduler_file: file,
            logs: self.logs.clone(),
            most: self.most,
        };
        SlurmProvider::new(options, name, Programs::default()).map_err(Failure::of_request)
    }
}
