//! A scheduler that has workers started and ended: what it is told, and the provider that this asks for.

use super::autoscaler::{Running, start};
use super::hub::Hub;
use crate::actors::IO_THREADS;
use crate::failure::Failure;
use crate::sched::Threads;
use crate::store::Budget;
use actix::Addr;
use cluster::local::{LocalOptions, LocalProvider};
use cluster::policy::{ScalingPolicy, Start};
use cluster::provider::Provider;
use cluster::scaling::Rules;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where workers come from.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerSource {
    /// Processes of this machine.
    Local,
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
    /// Bytes of blocks and workspaces of a worker; none: what there is, divided.
    pub memory: Option<u64>,
    /// A run is to be done within this, with as few workers as that takes.
    pub deadline: Option<Duration>,
    /// Core-seconds that a new worker must take off the others for each that its start burns; none: 1.
    pub worker_cost: Option<f64>,
    /// The program that workers run.
    pub program: PathBuf,
}

/// A worker that is started waits so long for its scheduler, which is there already.
const WAIT: &str = "5s";
/// Seconds from the start of a process to its first task, until that is measured.
const LOCAL_BOOT: f64 = 0.5;

impl ElasticOptions {
    /// Begins to start and end workers for a scheduler that listens at `address`. `keys` are those of the workers, too.
    pub(super) fn start(&self, hub: Addr<Hub>, address: SocketAddr, keys: &Path) -> Result<Running, Failure> {
        let provider = self.local(address, keys)?;
        start(hub, "local", provider, self.rules(LOCAL_BOOT))
    }

    fn rules(&self, boot: f64) -> Rules {
        let mut policy = ScalingPolicy::default();
        policy.payback = self.worker_cost.unwrap_or(policy.payback);
        let start = Start { queue: 0.0, boot, cores: self.threads, walltime: None };
        let deadline = self.deadline.map(|deadline| deadline.as_secs_f64());
        Rules { policy, deadline, least: self.least, most: self.most, start }
    }

    fn local(&self, address: SocketAddr, keys: &Path) -> Result<Box<dyn Provider>, Failure> {
        let threads = Threads { compute: u64::from(self.threads), io: IO_THREADS as u64 };
        let memory = match self.memory {
            Some(bytes) => bytes,
            None => Budget::new(None, threads).map_err(Failure::of_request)?.bytes / self.most as u64,
        };
        let mut words: Vec<OsString> = vec!["worker".into()];
        let mut add = |option: &str, value: OsString| words.extend([option.into(), value]);
        add("--scheduler", address.to_string().into());
        add("--keys", keys.into());
        add("--wait", WAIT.into());
        add("--threads", self.threads.to_string().into());
        add("--memory", memory.to_string().into());
        let options = LocalOptions { program: self.program.clone(), words, most: self.most };
        Ok(Box::new(LocalProvider::new(options)))
    }
}
