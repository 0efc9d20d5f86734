//! What must hold of what the stages of each kind hold.

use super::check::{Checked, LONGEST, check_axis, check_shape, ensure};
use super::kinds::{Kind, Map, MapOp, Operand};
use super::pattern::Pattern;
use super::stage::Stage;
use crate::array::Axis;

/// Columns of a matrix whose small factors are one block: its square in bytes is still a number.
pub(super) const MOST_COLUMNS: u64 = 1 << 26;
const MOST_OPS: usize = 1 << 16;

/// A place, and numbers of rows and columns that kernels multiply, are not beyond bounds.
pub(super) fn check_holdings(stage: &Stage, stages: &[Stage]) -> Checked {
    match &stage.kind {
        Kind::Read(read) => check_place(read.row, read.col),
        Kind::Fill(fill) => check_place(fill.row, fill.col),
        Kind::Write(write) => check_place(write.row, write.col),
        Kind::Map(map) => check_map(map, stage, stages),
        Kind::Reduce(reduce) => check_map(&reduce.map, stage, stages),
        Kind::LeafR(leaf) => check_tall(leaf.panel, leaf.n, 0),
        Kind::Merge(merge) => {
            check_span(merge.span)?;
            check_tall(merge.panel, merge.n, 0)
        }
        Kind::Triangle(triangle) => {
            check_span(triangle.span)?;
            check_tall(triangle.panel, triangle.n, 0)
        }
        Kind::RootSvd(root) => {
            check_span(root.span)?;
            ensure(root.keep <= root.n, "it keeps more than there is")?;
            check_tall(root.panel, root.n, root.keep)
        }
        Kind::RootQr(root) => {
            check_span(root.span)?;
            check_tall(root.panel, root.n, 0)
        }
        Kind::Down(down) => {
            check_span(down.span)?;
            check_tall(down.panel, down.n, down.width)
        }
        Kind::Half(half) => {
            check_span(half.span)?;
            check_tall(half.panel, half.n, 0)
        }
        Kind::LeafApply(leaf) => check_tall(leaf.panel, leaf.n, leaf.width),
        Kind::Unpack(unpack) => check_tall(unpack.panel, unpack.n, unpack.keep),
        Kind::Combine(_) | Kind::Finish(_) | Kind::AddUp | Kind::Gemm(_) | Kind::GramApply => Ok(()),
        Kind::FixSigns(_) | Kind::Delayed(_) | Kind::Null => Ok(()),
    }
}

fn check_place(row: u64, col: u64) -> Checked {
    ensure(row <= LONGEST && col <= LONGEST, "a matrix begins too far behind the start of its source")
}

fn check_tall(panel: Axis, n: u64, width: u64) -> Checked {
    check_axis(panel)?;
    check_shape(panel.block(), n.max(width))?;
    ensure(n <= MOST_COLUMNS && width <= MOST_COLUMNS, "a tall matrix has too many columns")
}

fn check_span(span: u32) -> Checked {
    ensure(span > 0, "no leaves lie below a node")
}

/// Its steps find what they take, and one number is left.
fn check_map(map: &Map, stage: &Stage, stages: &[Stage]) -> Checked {
    ensure(map.ops.len() <= MOST_OPS && map.operands.len() <= MOST_OPS, "an expression is too long")?;
    for operand in &map.operands {
        let (read, element) = match operand {
            Operand::Block { read, .. } => (*read, stage.element),
            Operand::Converted { read, from, .. } => (*read, *from),
            Operand::Fill { row, col, .. } => {
                check_place(*row, *col)?;
                continue;
            }
        };
        let read = stage.reads.get(read as usize).ok_or("an operand is not read")?;
        ensure(matches!(read.pattern, Pattern::Block(_, _)), "an operand is not one block")?;
        ensure(stages[read.source.at()].element == element, "an operand is of another type")?;
    }
    let mut depth = 0_usize;
    for op in &map.ops {
        let (taken, left) = match op {
            MapOp::Load(at) => {
                ensure((*at as usize) < map.operands.len(), "an operand is not there")?;
                (0, 1)
            }
            MapOp::Scalar(_) => (0, 1),
            MapOp::Add | MapOp::Sub | MapOp::Mul => (2, 1),
            MapOp::Neg => (1, 1),
        };
        depth = depth.checked_sub(taken).ok_or("an operation lacks its operands")? + left;
    }
    ensure(depth == 1, "an expression is not one number")
}
