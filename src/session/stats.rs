//! The figures of a run.

use crate::actors::Stalls;
use crate::store::SpillUse;

/// What a run did.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Stats {
    pub seconds: f64,
    pub tasks: u64,
    /// That were there at once, at most; of a cluster, at the end.
    pub workers: usize,
    pub flops: f64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub peak_memory: u64,
    pub memory_bound: u64,
    pub most_buffers: u64,
    pub recomputed: u64,
    /// Tasks that a cluster had done for a scheduler that was lost, and that were not done again.
    pub taken_up: u64,
    pub blocks: (u64, u64),
    pub spilled: Spilled,
    /// Thread-seconds that computing stood still.
    pub stalls: Stalls,
    /// Most requests in flight to files at once.
    pub io_in_flight: u64,
    /// Most I/O tasks of one worker at once.
    pub io_tasks_most: u64,
    /// Of blocks that went from worker to worker, between processes.
    pub bytes_network: u64,
    /// Bytes more that these have: they were compressed on their way.
    pub bytes_network_saved: u64,
}

/// What left memory, and what it took.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Spilled {
    /// Bytes written to disk.
    pub bytes: u64,
    /// The same before compression.
    pub raw_bytes: u64,
    pub read_back_bytes: u64,
    /// The most bytes on disk at once.
    pub peak_bytes: u64,
}

impl Stats {
    /// Counts in an earlier run of the same operation.
    pub(super) fn add(&mut self, first: &Stats) {
        self.seconds += first.seconds;
        self.tasks += first.tasks;
        self.flops += first.flops;
        self.bytes_read += first.bytes_read;
        self.bytes_written += first.bytes_written;
        self.recomputed += first.recomputed;
        self.taken_up += first.taken_up;
        self.workers = self.workers.max(first.workers);
        self.peak_memory = self.peak_memory.max(first.peak_memory);
        self.memory_bound = self.memory_bound.max(first.memory_bound);
        self.most_buffers = self.most_buffers.max(first.most_buffers);
        self.bytes_network += first.bytes_network;
        self.bytes_network_saved += first.bytes_network_saved;
        self.spilled.add(&first.spilled);
        self.stalls = self.stalls.plus(first.stalls);
        self.io_in_flight = self.io_in_flight.max(first.io_in_flight);
        self.io_tasks_most = self.io_tasks_most.max(first.io_tasks_most);
    }
}

impl Spilled {
    pub(super) fn add(&mut self, other: &Spilled) {
        self.bytes += other.bytes;
        self.raw_bytes += other.raw_bytes;
        self.read_back_bytes += other.read_back_bytes;
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
    }
}

impl From<SpillUse> for Spilled {
    fn from(SpillUse { written, raw_written, read, peak, .. }: SpillUse) -> Self {
        Spilled { bytes: written, raw_bytes: raw_written, read_back_bytes: read, peak_bytes: peak }
    }
}
