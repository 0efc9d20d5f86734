//! What an operation would do, for whoever wants to know before it does.

use super::error::Error;
use super::operation::Operation;
use super::prepare::{Ready, traffic};
use crate::graph::Stage;
use crate::sched::Swapped;

/// What an operation would do.
#[derive(Clone, Debug)]
pub struct Preview {
    pub tasks: u64,
    pub flops: f64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// About what moves beside that because memory is short.
    pub swapped: Swapped,
    /// The most bytes that the run will hold, proven; in a cluster, at the largest worker.
    pub memory_bound: u64,
    /// What any product of matrices in files has to move with as much memory.
    pub least_bytes: Option<f64>,
    /// The least memory with which it could run in this way.
    pub smallest_memory: u64,
    pub shape: (u64, u64),
    pub blocks: (u64, u64),
    /// Name, tasks and largest block of each stage.
    pub stages: Vec<(&'static str, u64, (u64, u64))>,
}

impl Preview {
    /// What `operation` would do in the way that has been found.
    pub(super) fn of(operation: &Operation, ready: &Ready) -> Result<Preview, Error> {
        let Ready { program, plan, bound, blocks, swapped, .. } = ready;
        let gone_over = |s: &Stage| s.grid().map_or((0, 0), |grid| grid.block_shape());
        let shape = |s: &Stage| if s.leaves_blocks() { s.largest_shape() } else { gone_over(s) };
        let stage = |s: &Stage| (s.kind.name(), u64::from(s.space.tasks()), shape(s));
        let (bytes_read, bytes_written) = traffic(program);
        Ok(Preview {
            tasks: program.tasks() as u64,
            flops: program.flops(),
            bytes_read: bytes_read + swapped.read_again,
            bytes_written,
            swapped: *swapped,
            least_bytes: operation.least_bytes(plan.bound())?,
            memory_bound: *bound,
            smallest_memory: plan.smallest_budget,
            shape: operation.shape()?,
            blocks: *blocks,
            stages: program.stages().iter().map(stage).collect(),
        })
    }
}
