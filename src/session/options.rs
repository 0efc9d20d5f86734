//! What a session is asked for.

use crate::actors::IoPlace;
use crate::array::BlockSize;
use crate::net::{ElasticOptions, SchedulerAt};
use crate::store::own_cores;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How many workers a process has: always as many, or as many as there is work for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Workers {
    pub least: usize,
    pub most: usize,
}

impl Workers {
    /// Do they come and go?
    pub fn vary(self) -> bool {
        self.least < self.most
    }
}

impl From<usize> for Workers {
    fn from(workers: usize) -> Workers {
        Workers { least: workers, most: workers }
    }
}

impl From<RangeInclusive<usize>> for Workers {
    fn from(workers: RangeInclusive<usize>) -> Workers {
        Workers { least: *workers.start(), most: *workers.end() }
    }
}

/// What a session waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting<'a> {
    /// So many workers are there, and so many are wanted. The trouble is what keeps the others away, in the words of
    /// whoever should start them; empty if nothing is known to.
    Workers { there: usize, wanted: usize, trouble: &'a str },
    /// The scheduler, which was lost for this reason and may come back. The run goes on then.
    Scheduler { lost: &'a str },
}

/// Hears what a session waits for.
pub(super) type WhileWaiting = Arc<dyn Fn(Waiting<'_>) + Send + Sync>;

/// The cluster that does a session's work.
#[derive(Clone)]
pub(super) enum ClusterAt {
    Known(SchedulerAt),
    /// One of its own, for a result like this.
    Own {
        elastic: Box<ElasticOptions>,
        result: PathBuf,
    },
}

/// What a session may use.
#[derive(Clone)]
pub struct SessionBuilder {
    pub(super) workers: Workers,
    pub(super) threads: Option<usize>,
    pub(super) memory: Option<u64>,
    pub(super) block: BlockSize,
    pub(super) spill_folder: Option<PathBuf>,
    pub(super) spill_limit: Option<u64>,
    pub(super) sync_results: bool,
    pub(super) io_place: IoPlace,
    pub(super) cluster: Option<ClusterAt>,
    pub(super) wait_workers: usize,
    pub(super) patience: Option<Duration>,
    /// Workers are waited for when there is something to do, not before.
    pub(super) waits_late: bool,
    pub(super) while_waiting: WhileWaiting,
}

impl SessionBuilder {
    /// One worker with a thread for each core.
    pub(super) fn new() -> SessionBuilder {
        SessionBuilder {
            workers: 1.into(),
            threads: None,
            memory: None,
            block: BlockSize::Auto,
            spill_folder: None,
            spill_limit: None,
            sync_results: true,
            io_place: IoPlace::BesideCompute,
            cluster: None,
            wait_workers: 1,
            patience: None,
            waits_late: false,
            while_waiting: Arc::new(|_| {}),
        }
    }

    /// Has the workers of a cluster do the work, whose scheduler wrote this file. Workers, threads and memory are then
    /// theirs.
    pub fn connect(self, scheduler_file: impl Into<PathBuf>) -> Self {
        self.connect_to(SchedulerAt::File(scheduler_file.into()))
    }

    /// The same for a scheduler that is named by its address, or by its file.
    pub fn connect_to(mut self, scheduler: SchedulerAt) -> Self {
        self.cluster = Some(ClusterAt::Known(scheduler));
        self
    }

    /// Has workers started when there is something to do, as processes or as jobs of SLURM, and ended with the session
    /// at the latest. Jobs are named after `result`, what they are to make; all nodes see the folder that it is in.
    pub fn own_workers(mut self, elastic: ElasticOptions, result: impl Into<PathBuf>) -> Self {
        self.cluster = Some(ClusterAt::Own { elastic: Box::new(elastic), result: result.into() });
        self
    }

    /// Waits until so many workers of the cluster are there. Default: 1.
    pub fn wait_workers(mut self, workers: usize) -> Self {
        self.wait_workers = workers;
        self
    }

    /// Waits for the workers of the cluster when there is something to do: what is wrong with it is told before.
    pub fn waiting_late(mut self) -> Self {
        self.waits_late = true;
        self
    }

    /// How long to wait for the cluster's scheduler and its workers. Default: a minute; for workers of its own as long
    /// as one may come.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Is told what the session waits for, if that takes a while.
    pub fn while_waiting(mut self, tell: impl Fn(Waiting<'_>) + Send + Sync + 'static) -> Self {
        self.while_waiting = Arc::new(tell);
        self
    }

    /// May blocks leave memory when it is short?
    pub(super) fn may_spill(&self) -> bool {
        self.spill_limit != Some(0)
    }

    /// Workers in this process, each an actor with its own threads: a number like `4`, or a range like `1..=4` within
    /// which there are as many as there is work for. Default 1.
    pub fn workers(mut self, workers: impl Into<Workers>) -> Self {
        self.workers = workers.into();
        self
    }

    /// Compute threads of each worker. Default: the machine's cores, divided among the most workers.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Compute threads of each worker.
    pub(super) fn threads_of_each(&self) -> usize {
        self.threads.unwrap_or_else(|| (own_cores() / self.workers.most.max(1)).max(1))
    }

    /// Bytes that blocks and workspaces may take together, as far as `ulimit` lets the process have them. Default: 80
    /// % of the least of what SLURM, the cgroup, `ulimit` and the machine's free memory allow.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Has the threads that compute read and write too, as if a task held its core while it waits: for measuring what
    /// that costs.
    #[doc(hidden)]
    pub fn io_on_compute_threads(mut self) -> Self {
        self.io_place = IoPlace::OnCompute;
        self
    }

    pub fn block(mut self, block: BlockSize) -> Self {
        self.block = block;
        self
    }

    /// Where blocks go when memory is short. Default: the first of SLURM's and the system's folders for temporary files
    /// and the current folder that is on a disk.
    pub fn spill_folder(mut self, folder: PathBuf) -> Self {
        self.spill_folder = Some(folder);
        self
    }

    /// Bytes on disk that they may take together; 0 forbids it. Default: what is free.
    pub fn spill_limit(mut self, bytes: u64) -> Self {
        self.spill_limit = Some(bytes);
        self
    }

    /// Whether result files get their names only when their data is on the disk, not just with the operating system.
    /// Default: true. Without it a run need not wait for the disk, but a power failure soon after it may take its
    /// results.
    pub fn sync_results(mut self, sync: bool) -> Self {
        self.sync_results = sync;
        self
    }
}
