//! Products of matrices.

use crate::data::Real;
use crate::exec::execute::{Execute, FullTask, kernel_work};
use crate::exec::job::{Job, turn};
use crate::failure::Failure;
use crate::graph::Work;
use crate::graph::kinds::Gemm;
use crate::store::{Block, Buffer};
use kernels::{Active, Backend};

impl<T: Real> Execute<T> for Gemm {
    fn work(&self, task: &FullTask) -> Work {
        let (rows, cols) = task.made;
        let inner = if self.ta { task.first.0 } else { task.first.1 };
        kernel_work::<T>(2.0 * rows as f64 * cols as f64 * inner as f64, 0)
    }

    fn run(&self, job: &mut Job, _: &mut Buffer) -> Result<Option<Block>, Failure> {
        let (a, b) = (job.operand(0), job.operand(1));
        let (beta, mut out) = match job.taken.take() {
            Some(block) => (T::ONE, block),
            None => (T::ZERO, job.output()?),
        };
        let (a, b) = (turn(a.view::<T>(), self.ta), turn(b.view::<T>(), self.tb));
        Active::gemm(T::ONE, a, b, beta, out.view_mut());
        Ok(Some(out))
    }
}
