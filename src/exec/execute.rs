//! What every kind of stage can say of its tasks here: what they cost, and how one is done.

use super::bind::Bindings;
use super::job::Job;
use crate::data::Real;
use crate::failure::Failure;
use crate::graph::Work;
use crate::store::{Block, Buffer};

/// A task whose blocks are as large as they come.
pub(super) struct FullTask<'a> {
    /// Shape of the block that it makes.
    pub made: (usize, usize),
    /// Shape of the first block that it reads.
    pub first: (usize, usize),
    pub bindings: &'a Bindings,
}

/// A kind of stage over numbers of type `T`.
pub(super) trait Execute<T: Real> {
    /// What a task costs at most, asked from its kernel.
    fn work(&self, task: &FullTask) -> Work;

    /// Does one task. `workspace` is at least as long as [`work`](Self::work) says. The block that is made, if the kind
    /// makes any.
    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure>;
}

/// The cost of a kernel that takes `elements` numbers of workspace.
pub(super) fn kernel_work<T: Real>(flops: f64, elements: usize) -> Work {
    Work { flops, workspace: elements as u64 * T::ELEMENT.bytes() }
}
