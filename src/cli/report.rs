//! What `--report` writes.

use crate::session::Stalls;
use serde::Serialize;

#[derive(Serialize, Debug)]
pub struct Report {
    pub command: &'static str,
    pub seconds: f64,
    pub tasks: u64,
    pub flops: f64,
    pub gflops: f64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub bytes_network: u64,
    /// Did not travel, since blocks were compressed on their way.
    pub bytes_network_saved: u64,
    /// What any method sends.
    pub bytes_network_least: Option<u64>,
    pub bytes_spilled: u64,
    /// Before compression.
    pub bytes_spilled_raw: u64,
    pub bytes_unspilled: u64,
    pub peak_spill_bytes: u64,
    /// Idle seconds of compute threads by what they waited for.
    pub stall_seconds: Stalls,
    pub io_in_flight: u64,
    /// Of one worker at once.
    pub io_tasks_most: u64,
    pub peak_memory_bytes: u64,
    pub memory_bound_bytes: u64,
    pub workers: usize,
    pub threads: usize,
    pub recomputed_tasks: u64,
    /// Done for a scheduler that was lost, and not again.
    pub tasks_taken_up: u64,
    pub backend: &'static str,
    pub dtype: String,
    pub shape: (u64, u64),
    pub block: (u64, u64),
}
