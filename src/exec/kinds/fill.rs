//! Random and constant blocks.

use crate::array::{Fill, Law};
use crate::data::Real;
use crate::exec::execute::{Execute, FullTask};
use crate::exec::job::Job;
use crate::failure::Failure;
use crate::graph::Work;
use crate::graph::kinds::FillBlock;
use crate::store::{Block, Buffer};
use kernels::random;
use ndarray::ArrayViewMut2;

impl<T: Real> Execute<T> for FillBlock {
    fn work(&self, _: &FullTask) -> Work {
        Work::default()
    }

    fn run(&self, job: &mut Job, _: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let region = job.region().moved(self.row, self.col);
        fill_block::<T>(self.fill, region.rows.start, region.cols.start, out.view_mut());
        Ok(Some(out))
    }
}

/// Fills `out`, which begins at (row, col) of the source.
pub(super) fn fill_block<T: Real>(fill: Fill, row: u64, col: u64, mut out: ArrayViewMut2<T>) {
    match fill {
        Fill::Constant(value) => out.fill(T::from_f64(value)),
        Fill::Random { law: Law::Uniform, seed } => random::fill_uniform(seed, row, col, out),
        Fill::Random { law: Law::Normal, seed } => random::fill_normal(seed, row, col, out),
    }
}
