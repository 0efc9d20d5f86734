//! Blocks from inputs and to outputs.

use crate::data::Real;
use crate::exec::execute::{Execute, FullTask};
use crate::exec::job::Job;
use crate::failure::{Blame, Failure};
use crate::graph::Work;
use crate::graph::kinds::{ReadInput, WriteOutput};
use crate::store::{Block, Buffer};
use kernels::reduce;
use ndarray::ArrayViewMut2;

impl<T: Real> Execute<T> for ReadInput {
    fn work(&self, task: &FullTask) -> Work {
        let (rows, cols) = task.made;
        let source = task.bindings.inputs.get(&self.input);
        Work { flops: 0.0, workspace: source.map_or(0, |source| source.scratch(rows as u64, cols as u64)) }
    }

    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let source = job.bindings.input(self.input)?;
        let region = job.region().moved(self.row, self.col);
        let bytes = source.read(&region, T::numbers_mut(out.slice_mut()), workspace.bytes_mut())?;
        job.bindings.traffic.add_read(bytes);
        if let Some((i, j)) = reduce::first_nonfinite(out.view::<T>()) {
            let value = out.view::<T>()[(i, j)];
            let place = source.place(region.rows.start + i as u64, region.cols.start + j as u64);
            let message = format!("{place} is {value}: only finite numbers can be computed with");
            return Err(Failure { blame: Blame::Request, message });
        }
        Ok(Some(out))
    }
}

impl<T: Real> Execute<T> for WriteOutput {
    /// Bytes for a block turned around, and for the sink.
    fn work(&self, task: &FullTask) -> Work {
        let (p, q) = (task.first.0 as u64, task.first.1 as u64);
        let (turned, rows, cols) = if self.transposed { (p * q, q, p) } else { (0, p, q) };
        let sink = task.bindings.outputs.get(self.output as usize);
        let scratch = sink.map_or(0, |sink| sink.scratch(rows, cols, T::ELEMENT));
        Work { flops: 0.0, workspace: turned * T::ELEMENT.bytes() + scratch }
    }

    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure> {
        let region = job.region().moved(self.row, self.col);
        let sink = job
            .bindings
            .outputs
            .get(self.output as usize)
            .ok_or_else(|| Failure::of_run("an output is not bound here"))?;
        let block = job.operand(0);
        let bytes = if self.transposed {
            let view = block.view::<T>();
            let (turned, scratch) = workspace.split_reals_mut::<T>(view.len());
            ArrayViewMut2::from_shape(view.t().dim(), &mut *turned)
                .expect("as many elements")
                .assign(&view.t());
            sink.write(&region, T::numbers(turned), scratch)?
        } else {
            sink.write(&region, T::numbers(block.slice()), workspace.bytes_mut())?
        };
        job.bindings.traffic.add_written(bytes);
        Ok(None)
    }
}
