//! Many numbers or blocks into one.

use super::elementwise::{evaluate, size};
use crate::array::Reduction;
use crate::data::Real;
use crate::exec::execute::{Execute, FullTask, kernel_work};
use crate::exec::job::Job;
use crate::failure::Failure;
use crate::graph::Work;
use crate::graph::kinds::{Combine, Finish, Reduce};
use crate::store::{Block, Buffer};
use kernels::elementwise::{Op, eval};
use kernels::reduce::{self, ScaledSquares};
use ndarray::{ArrayView2, ArrayViewMut2};

impl<T: Real> Execute<T> for Reduce {
    fn work(&self, _: &FullTask) -> Work {
        let (rows, cols) = self.grid.block_shape();
        let area = (rows * cols) as usize;
        kernel_work::<T>((self.map.ops.len() * area) as f64, (self.map.made() + 1) * area)
    }

    /// Evaluates the expression for one block and reduces it to `(sum, 0)` or `(scale, sum of squares)`.
    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut block = job.output()?;
        let out = block.slice_mut::<T>();
        let region = job.region();
        let (rows, cols) = size(&region);
        let room = workspace.reals_mut::<T>((self.map.made() + 1) * rows * cols);
        let (result, made) = room.split_at_mut(rows * cols);
        let mut values = ArrayViewMut2::from_shape((rows, cols), result).expect("rows·cols elements");
        evaluate(job, &self.map, &region, values.view_mut(), made);
        match self.reduction {
            Reduction::Sum => out.copy_from_slice(&[reduce::sum(values.view()), T::ZERO]),
            Reduction::Norm => {
                let squares = reduce::sum_squares_scaled(values.view());
                out.copy_from_slice(&[squares.scale, squares.sum]);
            }
        }
        Ok(Some(block))
    }
}

impl<T: Real> Execute<T> for Combine {
    fn work(&self, _: &FullTask) -> Work {
        Work::default()
    }

    fn run(&self, job: &mut Job, _: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let blocks = job.operands(0);
        let partials = blocks.iter().map(|block| block.slice::<T>());
        match self.0 {
            Reduction::Sum => {
                let sum = partials.map(|partial| partial[0]).reduce(|sum, next| sum + next);
                out.slice_mut().copy_from_slice(&[sum.expect("a tree node has children"), T::ZERO]);
            }
            Reduction::Norm => {
                let squares = partials.map(|partial| ScaledSquares { scale: partial[0], sum: partial[1] });
                let all = squares.reduce(reduce::combine).expect("a tree node has children");
                out.slice_mut().copy_from_slice(&[all.scale, all.sum]);
            }
        }
        Ok(Some(out))
    }
}

impl<T: Real> Execute<T> for Finish {
    fn work(&self, _: &FullTask) -> Work {
        Work::default()
    }

    fn run(&self, job: &mut Job, _: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let partial = job.operand(0).slice::<T>();
        out.slice_mut()[0] = match self.0 {
            Reduction::Sum => partial[0],
            Reduction::Norm => partial[0] * partial[1].sqrt(),
        };
        Ok(Some(out))
    }
}

/// [`Kind::AddUp`](crate::graph::Kind::AddUp), which holds nothing.
pub(super) struct AddUp;

impl<T: Real> Execute<T> for AddUp {
    fn work(&self, task: &FullTask) -> Work {
        let (rows, cols) = task.made;
        kernel_work::<T>((rows * cols) as f64, 0)
    }

    /// `out ← ((b₀ + b₁) + b₂) + …`
    fn run(&self, job: &mut Job, _: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let blocks = job.operands(0);
        let views: Vec<ArrayView2<T>> = blocks.iter().map(|block| block.view()).collect();
        let mut ops = vec![Op::Load(0)];
        for at in 1..views.len() {
            ops.extend([Op::Load(at), Op::Add]);
        }
        eval(&ops, &views, out.view_mut());
        Ok(Some(out))
    }
}
