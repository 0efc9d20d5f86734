//! What each stage's kernel costs: flops and workspace, asked from the kernels.

use super::bind::Bindings;
use super::tall::workspace_of_apply;
use crate::array::Element;
use crate::data::Real;
use crate::graph::{Kind, Operand, Program, Stage, Work};
use kernels::{Active, sketch, svd, tsqr};

/// Fills in [`Work`] of every stage.
pub fn annotate(program: &mut Program, bindings: &Bindings) {
    let first_source = |stage: &Stage| stage.reads.first().map(|read| read.source);
    let sources: Vec<_> = program.stages().iter().map(first_source).collect();
    let shapes: Vec<_> = program.stages().iter().map(Stage::largest_shape).collect();
    for (stage, source) in program.stages_mut().zip(sources) {
        let first = source.map_or((0, 0), |id| shapes[id.at()]);
        stage.work = match stage.element {
            Element::F32 => work::<f32>(stage, first, bindings),
            Element::F64 => work::<f64>(stage, first, bindings),
        };
    }
}

fn rooms(operands: &[Operand]) -> usize {
    operands.iter().filter(|operand| operand.is_made()).count()
}

/// Flops and elements of workspace of a full-size task whose first operand has shape `first`.
fn work<T: Real>(stage: &Stage, first: (u64, u64), bindings: &Bindings) -> Work {
    let (rows, cols) = stage.largest_shape();
    let (rows, cols) = (rows as usize, cols as usize);
    let (p, q) = (first.0 as usize, first.1 as usize);
    let (flops, elements) = match &stage.kind {
        Kind::Read { input, .. } => {
            let scratch = bindings.inputs.get(input).map_or(0, |s| s.scratch(rows as u64, cols as u64));
            return Work { flops: 0.0, workspace: scratch };
        }
        Kind::Fill { .. } | Kind::Combine(_) | Kind::Finish(_) | Kind::Delayed(_) | Kind::Null => (0.0, 0),
        Kind::Unpack { .. } | Kind::RootQr { .. } | Kind::FixSigns { .. } => (0.0, 0),
        Kind::Map { ops, operands } => {
            let steps = ops.len() - operands.len().min(ops.len());
            ((steps * rows * cols) as f64, rooms(operands) * rows * cols)
        }
        Kind::Reduce { grid, ops, operands, .. } => {
            let (r, c) = grid.block_shape();
            let area = (r * c) as usize;
            ((ops.len() * area) as f64, (rooms(operands) + 1) * area)
        }
        Kind::AddUp => ((rows * cols) as f64, 0),
        Kind::Gemm { ta, .. } => (2.0 * rows as f64 * cols as f64 * if *ta { p } else { q } as f64, 0),
        Kind::GramApply => {
            let (l, n) = (cols, rows);
            let b = (p * q).checked_div(n).unwrap_or(0);
            (sketch::gram_apply_flops(b, n, l), sketch::gram_apply_workspace(b, l))
        }
        Kind::LeafR { panel, n } => {
            let (b, n) = (panel.block() as usize, *n as usize);
            (tsqr::leaf_flops(b, n), tsqr::leaf_workspace::<T>(b, n))
        }
        Kind::Merge { n, .. } => {
            let n = *n as usize;
            (tsqr::merge_flops(n, n, n), tsqr::merge_workspace(n, n, n))
        }
        Kind::RootSvd { n, values_only, .. } => {
            let n = *n as usize;
            if *values_only {
                (svd::values_flops(n, n), n + svd::values_workspace::<Active, T>(n, n))
            } else {
                (svd::small_flops(n, n), 2 * n * n + n + svd::small_workspace::<Active, T>(n, n))
            }
        }
        Kind::Down { n, width, .. } => {
            let (n, c) = (*n as usize, *width as usize);
            (tsqr::merge_apply_flops(n, n, n, c), n * c + tsqr::merge_apply_workspace(n, n, n, c))
        }
        Kind::LeafApply { panel, n, width, .. } => {
            let (b, n, c) = (panel.block() as usize, *n as usize, *width as usize);
            (tsqr::leaf_apply_flops(b, n, c), workspace_of_apply::<T>((b, n), c))
        }
        Kind::Write { output, transposed, .. } => {
            let workspace = write_workspace::<T>(bindings, *output as usize, first, *transposed);
            return Work { flops: 0.0, workspace };
        }
    };
    Work { flops, workspace: elements as u64 * T::ELEMENT.bytes() }
}

/// Bytes for a block turned around, and for the sink.
fn write_workspace<T: Real>(bindings: &Bindings, output: usize, (p, q): (u64, u64), transposed: bool) -> u64 {
    let (turned, rows, cols) = if transposed { (p * q, q, p) } else { (0, p, q) };
    let scratch = bindings.outputs.get(output).map_or(0, |sink| sink.scratch(rows, cols, T::ELEMENT));
    turned * T::ELEMENT.bytes() + scratch
}
