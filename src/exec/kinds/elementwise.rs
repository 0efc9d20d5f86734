//! Elementwise expressions over blocks.

use super::fill::fill_block;
use crate::array::Element;
use crate::data::{Real, Region};
use crate::exec::execute::{Execute, FullTask, kernel_work};
use crate::exec::job::{Job, turn};
use crate::failure::Failure;
use crate::graph::Work;
use crate::graph::kinds::{Map, MapOp, Operand};
use crate::store::{Block, Buffer};
use kernels::elementwise::{Op, eval};
use ndarray::{ArrayView2, ArrayViewMut2};

impl<T: Real> Execute<T> for Map {
    fn work(&self, task: &FullTask) -> Work {
        let (rows, cols) = task.made;
        let steps = self.ops.len() - self.operands.len().min(self.ops.len());
        kernel_work::<T>((steps * rows * cols) as f64, self.made() * rows * cols)
    }

    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let region = job.region();
        let (rows, cols) = size(&region);
        let made = workspace.reals_mut(self.made() * rows * cols);
        evaluate::<T>(job, self, &region, out.view_mut(), made);
        Ok(Some(out))
    }
}

/// Rows and columns.
pub(super) fn size(region: &Region) -> (usize, usize) {
    (region.height() as usize, region.width() as usize)
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

/// Evaluates an expression for the block at `region` of the result. `made` has room for the operands that are made.
pub(super) fn evaluate<T: Real>(
    job: &Job,
    map: &Map,
    region: &Region,
    out: ArrayViewMut2<T>,
    made: &mut [T],
) {
    let (rows, cols) = size(region);
    if rows * cols == 0 {
        return;
    }
    let mut rooms = made.chunks_exact_mut(rows * cols);
    let mut views: Vec<ArrayView2<T>> = Vec::with_capacity(map.operands.len());
    for operand in &map.operands {
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
                    ((region.cols.start, region.rows.start), (cols, rows))
                } else {
                    ((region.rows.start, region.cols.start), (rows, cols))
                };
                let mut view = ArrayViewMut2::from_shape(shape, &mut *room).expect("rows·cols elements");
                fill_block(*fill, row + first.0, col + first.1, view.view_mut());
                turn(ArrayView2::from_shape(shape, &*room).expect("rows·cols elements"), *transposed)
            }
        });
    }
    eval(&translate(&map.ops), &views, out);
}

fn convert<T: Real, U: Real>(from: ArrayView2<T>, mut to: ArrayViewMut2<U>) {
    to.zip_mut_with(&from, |to, from| *to = U::from_f64(from.to_f64()));
}
