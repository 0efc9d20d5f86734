//! What scheduler and workers of one process share of a run.

use super::activity::Stalls;
use crate::exec::Bindings;
use crate::graph::Program;
use crate::ids::{BlockId, RunId, WorkerId};
use crate::sched::Workspace;
use crate::store::{Block, Pool, PoolUse, SpillFiles};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A program with what its names stand for.
pub struct Run {
    pub id: RunId,
    pub program: Arc<Program>,
    pub bindings: Arc<Bindings>,
    /// Bytes of workspace that any task of each class may need.
    pub workspace: Workspace,
    /// Where its buffers come from.
    pub pool: Pool,
    /// Where its blocks go when memory is short, if they may.
    pub spill: Option<SpillFiles>,
    /// How blocks of other workers are got, if those are other processes.
    pub network: Option<Arc<dyn Network>>,
}

/// A block that has come from another process.
pub struct Pulled {
    pub block: Block,
    /// When its first bytes came, if it was still on its way to whoever gave it.
    pub since: Option<Instant>,
}

/// Blocks from workers of other processes.
pub trait Network: Send + Sync {
    /// Fills `block` with the one of this name at `from`, then calls `done` with it, or with none if it cannot be had.
    /// Does not wait: `done` comes on a thread of the network.
    fn pull(
        &self,
        run: RunId,
        id: BlockId,
        from: WorkerId,
        block: Block,
        done: Box<dyn FnOnce(Option<Pulled>) + Send>,
    );
}

/// How far a run is; read by whoever draws a bar.
#[derive(Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    /// Runs that come first, while it is in line.
    before: AtomicU64,
}

impl Progress {
    pub fn set(&self, done: usize, total: usize) {
        self.total.store(total as u64, Ordering::Relaxed);
        self.done.store(done as u64, Ordering::Relaxed);
        self.before.store(0, Ordering::Relaxed);
    }

    /// It is in line behind so many others, until its tasks are counted.
    pub fn wait_behind(&self, runs: u64) {
        self.before.store(runs, Ordering::Relaxed);
    }

    /// Runs of a cluster that come before it, while it waits for its turn.
    pub fn runs_before(&self) -> u64 {
        self.before.load(Ordering::Relaxed)
    }

    /// (tasks done, tasks in all)
    pub fn tasks(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

/// What a finished run leaves.
pub struct RunOutcome {
    /// The blocks of the stages that are kept.
    pub blocks: HashMap<BlockId, Arc<Block>>,
    pub recomputed: u64,
    pub memory: PoolUse,
    pub stalls: Stalls,
    /// Most requests in flight to files at once.
    pub io_in_flight: u64,
    /// Most I/O tasks of one worker at once.
    pub io_tasks_most: u64,
    /// From the submission until it began: other runs came first.
    pub waited: Duration,
    /// Workers that were there at once.
    pub most_workers: usize,
}
