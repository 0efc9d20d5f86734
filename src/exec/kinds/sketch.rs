//! What a randomized SVD does beside products and QR.

use crate::data::Real;
use crate::exec::execute::{Execute, FullTask, kernel_work};
use crate::exec::job::{Job, transposed_panel, turn};
use crate::failure::Failure;
use crate::graph::Work;
use crate::graph::kinds::FixSigns;
use crate::store::{Block, Buffer};
use kernels::{Active, sketch, svd};

/// [`Kind::GramApply`](crate::graph::Kind::GramApply), which holds nothing.
pub(super) struct GramApply;

impl<T: Real> Execute<T> for GramApply {
    fn work(&self, task: &FullTask) -> Work {
        let (n, l) = task.made;
        let (p, q) = task.first;
        let b = (p * q).checked_div(n).unwrap_or(0);
        kernel_work::<T>(sketch::gram_apply_flops(b, n, l), sketch::gram_apply_workspace(b, l))
    }

    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let a = turn(job.operand(0).view::<T>(), transposed_panel(job));
        let x = job.operand(1).view::<T>();
        let room = workspace.reals_mut(sketch::gram_apply_workspace(a.nrows(), x.ncols()));
        let mut z = out.view_mut();
        z.fill(T::ZERO);
        sketch::gram_apply::<Active, T>(a, x, z, room);
        Ok(Some(out))
    }
}

impl<T: Real> Execute<T> for FixSigns {
    fn work(&self, _: &FullTask) -> Work {
        Work::default()
    }

    fn run(&self, job: &mut Job, _: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let vectors = job.operand(0).view::<T>();
        let mut fixed = out.view_mut::<T>();
        fixed.assign(&job.operand(1).view());
        let mut columns = if self.transposed { fixed.reversed_axes() } else { fixed };
        for (vector, mut column) in vectors.columns().into_iter().zip(columns.columns_mut()) {
            if svd::points_back(vector) {
                column.mapv_inplace(|x| -x);
            }
        }
        Ok(Some(out))
    }
}
