//! Elementwise expressions over blocks, and what is reduced from them.

use super::job::{Job, fill_block, turn};
use crate::array::{BlockGrid, Element, Reduction};
use crate::data::Real;
use crate::graph::{MapOp, Operand};
use crate::store::{Block, Buffer};
use kernels::elementwise::{Op, eval};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

type Place = (Range<u64>, Range<u64>);

fn size(place: &Place) -> (usize, usize) {
    ((place.0.end - place.0.start) as usize, (place.1.end - place.1.start) as usize)
}

fn translate<T: Real>(ops: &[MapOp]) -> Vec<Op<T>> {
    let one = |op: &MapOp| match op {
        MapOp::Load(at) => Op::Load(*at as usize),
        MapOp::Scalar(value) => Op::Scalar(T::from_f64(*value)),
        MapOp::Add => Op::Add,
        MapOp::Sub => Op::Sub,
        MapOp::Mul => Op::Mul,
        MapOp::Neg => Op::Neg,
    };
    ops.iter().map(one).collect()
}

/// Evaluates an expression for the block at `place` of the result.
pub(super) fn map<T: Real>(
    job: &Job,
    ops: &[MapOp],
    operands: &[Operand],
    place: Place,
    out: ArrayViewMut2<T>,
    work: &mut Buffer,
) {
    let made = operands.iter().filter(|operand| operand.is_made()).count();
    let (rows, cols) = size(&place);
    evaluate(job, ops, operands, place, out, work.reals_mut(made * rows * cols));
}

fn evaluate<T: Real>(
    job: &Job,
    ops: &[MapOp],
    operands: &[Operand],
    place: Place,
    out: ArrayViewMut2<T>,
    made: &mut [T],
) {
    let (rows, cols) = size(&place);
    if rows * cols == 0 {
        return;
    }
    let mut rooms = made.chunks_exact_mut(rows * cols);
    let mut views: Vec<ArrayView2<T>> = Vec::with_capacity(operands.len());
    for operand in operands {
        views.push(match operand {
            Operand::Block { read, transposed } => turn(job.operand(*read as usize).view(), *transposed),
            Operand::Converted { read, transposed, from } => {
                let room = rooms.next().expect("room for each made operand");
                let mut view =
                    ArrayViewMut2::from_shape((rows, cols), &mut *room).expect("rows·cols elements");
                let block = job.operand(*read as usize);
                match from {
                    Element::F32 => convert(turn(block.view::<f32>(), *transposed), view.view_mut()),
                    Element::F64 => convert(turn(block.view::<f64>(), *transposed), view.view_mut()),
                }
                ArrayView2::from_shape((rows, cols), &*room).expect("rows·cols elements")
            }
            Operand::Fill { fill, row, col, transposed } => {
                let room = rooms.next().expect("room for each made operand");
                let (first, shape) = if *transposed {
                    ((place.1.start, place.0.start), (cols, rows))
                } else {
                    ((place.0.start, place.1.start), (rows, cols))
                };
                let mut view = ArrayViewMut2::from_shape(shape, &mut *room).expect("rows·cols elements");
                fill_block(*fill, row + first.0, col + first.1, view.view_mut());
                turn(ArrayView2::from_shape(shape, &*room).expect("rows·cols elements"), *transposed)
            }
        });
    }
    eval(&translate(ops), &views, out);
}

fn convert<T: Real, U: Real>(from: ArrayView2<T>, mut to: ArrayViewMut2<U>) {
    to.zip_mut_with(&from, |to, from| *to = U::from_f64(from.to_f64()));
}

/// Evaluates an expression for one block and reduces it to `(sum, 0)` or `(scale, sum of squares)`.
pub(super) fn reduce<T: Real>(
    job: &Job,
    reduction: Reduction,
    grid: &BlockGrid,
    ops: &[MapOp],
    operands: &[Operand],
    out: &mut [T],
    work: &mut Buffer,
) {
    let c = job.stage().space.coords(job.task.index);
    let place = (grid.rows.range(c.i), grid.cols.range(c.j));
    let (rows, cols) = size(&place);
    let made = operands.iter().filter(|operand| operand.is_made()).count();
    let (result, made) = work.reals_mut::<T>((made + 1) * rows * cols).split_at_mut(rows * cols);
    let mut values = ArrayViewMut2::from_shape((rows, cols), result).expect("rows·cols elements");
    evaluate(job, ops, operands, place, values.view_mut(), made);
    match reduction {
        Reduction::Sum => out.copy_from_slice(&[kernels::reduce::sum(values.view()), T::ZERO]),
        Reduction::Norm => {
            let squares = kernels::reduce::sum_squares_scaled(values.view());
            out.copy_from_slice(&[squares.scale, squares.sum]);
        }
    }
}

/// `out ← ((b₀ + b₁) + b₂) + …`
pub(super) fn add_up<T: Real>(blocks: &[&Block], out: ArrayViewMut2<T>) {
    let views: Vec<ArrayView2<T>> = blocks.iter().map(|block| block.view()).collect();
    let mut ops = vec![Op::Load(0)];
    for at in 1..views.len() {
        ops.extend([Op::Load(at), Op::Add]);
    }
    eval(&ops, &views, out);
}
