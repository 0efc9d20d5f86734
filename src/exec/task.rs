//! From a task to its kernel.

use super::bind::Bindings;
use super::job::{Job, fill_block, grid_ranges, transposed_panel, turn};
use super::{delayed, elementwise, tall};
use crate::array::{Element, Reduction};
use crate::data::{Real, Region};
use crate::failure::{Blame, Failure};
use crate::graph::{Kind, Program};
use crate::ids::{BlockId, TaskId};
use crate::store::{Block, Buffer, Pool};
use kernels::reduce::ScaledSquares;
use kernels::{Active, Backend, reduce, sketch, svd};
use ndarray::ArrayViewMut2;
use std::sync::Arc;

/// Runs `task`. `inputs` are the blocks of [`Program::inputs`] without the one that is taken over, which
/// is `taken`; `work` is as long as the program's largest workspace. Tasks without a block return none.
pub fn run(
    program: &Program,
    bindings: &Bindings,
    task: TaskId,
    inputs: (&[BlockId], &[Arc<Block>]),
    taken: Option<Block>,
    pool: &Pool,
    work: &mut Buffer,
) -> Result<Option<Block>, Failure> {
    let job = Job { program, bindings, task, ids: inputs.0, blocks: inputs.1, pool };
    match job.stage().element {
        Element::F32 => run_typed::<f32>(&job, taken, work),
        Element::F64 => run_typed::<f64>(&job, taken, work),
    }
}

fn run_typed<T: Real>(job: &Job, taken: Option<Block>, work: &mut Buffer) -> Result<Option<Block>, Failure> {
    match &job.stage().kind {
        Kind::Null => return Ok(None),
        Kind::Write { .. } => return write::<T>(job, work).map(|()| None),
        Kind::Delayed(calls) => return delayed::call(job, calls).map(Some),
        Kind::Gemm { ta, tb } => return gemm::<T>(job, *ta, *tb, taken).map(Some),
        _ => {}
    }
    let mut out = job.output()?;
    match &job.stage().kind {
        Kind::Read { .. } => read::<T>(job, &mut out, work)?,
        Kind::Fill { fill, row, col } => {
            let (rows, cols) = grid_ranges(job);
            fill_block::<T>(*fill, row + rows.start, col + cols.start, out.view_mut());
        }
        Kind::Map { ops, operands } => {
            elementwise::map::<T>(job, ops, operands, grid_ranges(job), out.view_mut(), work)
        }
        Kind::Reduce { reduction, grid, ops, operands } => {
            elementwise::reduce::<T>(job, *reduction, grid, ops, operands, out.slice_mut(), work);
        }
        Kind::Combine(reduction) => combine::<T>(job, *reduction, out.slice_mut()),
        Kind::Finish(reduction) => {
            let partial = job.operand(0).slice::<T>();
            out.slice_mut()[0] = match reduction {
                Reduction::Sum => partial[0],
                Reduction::Norm => partial[0] * partial[1].sqrt(),
            };
        }
        Kind::AddUp => elementwise::add_up::<T>(&job.operands(0), out.view_mut()),
        Kind::FixSigns { transposed } => fix_signs::<T>(job, *transposed, out.view_mut()),
        Kind::GramApply => gram_apply::<T>(job, out.view_mut(), work),
        _ => tall::run::<T>(job, &mut out, work)?,
    }
    Ok(Some(out))
}

fn read<T: Real>(job: &Job, out: &mut Block, work: &mut Buffer) -> Result<(), Failure> {
    let Kind::Read { input, row, col } = &job.stage().kind else { unreachable!("called for reads") };
    let source = job.bindings.input(*input)?;
    let (rows, cols) = grid_ranges(job);
    let region = Region::new(rows, cols).moved(*row, *col);
    let bytes = source.read(&region, T::numbers_mut(out.slice_mut()), work.bytes_mut())?;
    job.bindings.traffic.add_read(bytes);
    if let Some((i, j)) = reduce::first_nonfinite(out.view::<T>()) {
        let value = out.view::<T>()[(i, j)];
        let place = source.place(region.rows.start + i as u64, region.cols.start + j as u64);
        let message = format!("{place} is {value}: only finite numbers can be computed with");
        return Err(Failure { blame: Blame::Request, message });
    }
    Ok(())
}

fn write<T: Real>(job: &Job, work: &mut Buffer) -> Result<(), Failure> {
    let Kind::Write { output, transposed, row, col, .. } = &job.stage().kind else {
        unreachable!("called for writes")
    };
    let (rows, cols) = grid_ranges(job);
    let region = Region::new(rows, cols).moved(*row, *col);
    let sink = job
        .bindings
        .outputs
        .get(*output as usize)
        .ok_or_else(|| Failure::of_run("an output is not bound here"))?;
    let block = job.operand(0);
    let bytes = if *transposed {
        let view = block.view::<T>();
        let (turned, scratch) = work.split_reals_mut::<T>(view.len());
        ArrayViewMut2::from_shape(view.t().dim(), &mut *turned).expect("as many elements").assign(&view.t());
        sink.write(&region, T::numbers(turned), scratch)?
    } else {
        sink.write(&region, T::numbers(block.slice()), work.bytes_mut())?
    };
    job.bindings.traffic.add_written(bytes);
    Ok(())
}

fn combine<T: Real>(job: &Job, reduction: Reduction, out: &mut [T]) {
    let blocks = job.operands(0);
    let partials = blocks.iter().map(|block| block.slice::<T>());
    match reduction {
        Reduction::Sum => {
            let sum = partials.map(|partial| partial[0]).reduce(|sum, next| sum + next);
            out.copy_from_slice(&[sum.expect("a tree node has children"), T::ZERO]);
        }
        Reduction::Norm => {
            let squares = partials.map(|partial| ScaledSquares { scale: partial[0], sum: partial[1] });
            let all = squares.reduce(reduce::combine).expect("a tree node has children");
            out.copy_from_slice(&[all.scale, all.sum]);
        }
    }
}

fn gemm<T: Real>(job: &Job, ta: bool, tb: bool, taken: Option<Block>) -> Result<Block, Failure> {
    let (a, b) = (job.operand(0), job.operand(1));
    let (beta, mut out) = match taken {
        Some(block) => (T::ONE, block),
        None => (T::ZERO, job.output()?),
    };
    let (a, b) = (turn(a.view::<T>(), ta), turn(b.view::<T>(), tb));
    Active::gemm(T::ONE, a, b, beta, out.view_mut());
    Ok(out)
}

fn fix_signs<T: Real>(job: &Job, transposed: bool, mut out: ArrayViewMut2<T>) {
    let vectors = job.operand(0).view::<T>();
    out.assign(&job.operand(1).view());
    let mut columns = if transposed { out.reversed_axes() } else { out };
    for (vector, mut column) in vectors.columns().into_iter().zip(columns.columns_mut()) {
        if svd::points_back(vector) {
            column.mapv_inplace(|x| -x);
        }
    }
}

fn gram_apply<T: Real>(job: &Job, mut z: ArrayViewMut2<T>, work: &mut Buffer) {
    let a = turn(job.operand(0).view::<T>(), transposed_panel(job));
    let x = job.operand(1).view::<T>();
    let room = work.reals_mut(sketch::gram_apply_workspace(a.nrows(), x.ncols()));
    z.fill(T::ZERO);
    sketch::gram_apply::<Active, T>(a, x, z, room);
}
