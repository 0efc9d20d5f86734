//! From lazy arrays to stages: fuses elementwise chains and transposes, shares what is used twice.

use super::build::{Access, Builder};
use super::pattern::Pick;
use super::space::{Order, Space};
use super::stage::{Blocks, Kind, MapOp, Operand, Read};
use crate::array::{
    Array, ArrayError, Axis, Binary, BlockGrid, Fill, InputId, Node, Origin, Reduction, Unary,
};
use std::collections::HashMap;

/// What can be wrong with an array that is to be computed.
pub type LowerError = ArrayError;

/// Translates arrays into the stages of one program.
pub struct Lowering<'a> {
    builder: &'a mut Builder,
    /// Block length along the inner dimension of products.
    inner: u64,
    made: HashMap<(usize, GridKey), Access>,
    read: HashMap<(InputId, u64, u64, GridKey), Access>,
    uses: HashMap<usize, u32>,
}

type GridKey = (u64, u64, u64, u64);

fn key(grid: &BlockGrid) -> GridKey {
    (grid.rows.len(), grid.rows.block(), grid.cols.len(), grid.cols.block())
}

/// An elementwise expression being collected.
#[derive(Default)]
struct Fused {
    ops: Vec<MapOp>,
    operands: Vec<Operand>,
    reads: Vec<Read>,
}

impl<'a> Lowering<'a> {
    /// `inner` is the block length for dimensions that a product sums over.
    pub fn new(builder: &'a mut Builder, inner: u64) -> Self {
        Lowering { builder, inner, made: HashMap::new(), read: HashMap::new(), uses: HashMap::new() }
    }

    /// The stages that make `array` in blocks of `grid`.
    pub fn lower(&mut self, array: &Array, grid: BlockGrid) -> Result<Access, LowerError> {
        self.count_uses(array)?;
        self.matrix(array, grid)
    }

    fn count_uses(&mut self, array: &Array) -> Result<(), LowerError> {
        array.check()?;
        let count = self.uses.entry(array.identity().unwrap_or_default()).or_insert(0);
        *count += 1;
        if *count > 1 {
            return Ok(());
        }
        match array.node()? {
            Node::Source { .. } => Ok(()),
            Node::Unary(_, a) | Node::Transpose(a) | Node::Reduce(_, a) => self.count_uses(a),
            Node::Binary(_, a, b) | Node::Dot(a, b) => {
                self.count_uses(a)?;
                self.count_uses(b)
            }
        }
    }

    fn used_once(&self, array: &Array) -> bool {
        array.identity().is_none_or(|id| self.uses.get(&id).copied().unwrap_or(0) <= 1)
    }

    fn matrix(&mut self, array: &Array, grid: BlockGrid) -> Result<Access, LowerError> {
        let known = (array.identity().unwrap_or_default(), key(&grid));
        if let Some(access) = self.made.get(&known) {
            return Ok(*access);
        }
        let access = self.make(array, grid)?;
        self.made.insert(known, access);
        Ok(access)
    }

    fn make(&mut self, array: &Array, grid: BlockGrid) -> Result<Access, LowerError> {
        let element = array.element()?;
        match array.node()? {
            Node::Transpose(inner) => Ok(self.matrix(inner, grid.transposed())?.t()),
            Node::Source { origin: Origin::Input(input), row, col } => {
                let known = (input.id(), *row, *col, key(&grid));
                if let Some(access) = self.read.get(&known) {
                    return Ok(*access);
                }
                let kind = Kind::Read { input: input.id(), row: *row, col: *col };
                let access = self.builder.on_grid(kind, grid, element, Vec::new(), Order::Rows);
                self.read.insert(known, access);
                Ok(access)
            }
            Node::Source { origin: Origin::Fill(fill), row, col } => {
                Ok(self.builder.fill(*fill, *row, *col, grid, element))
            }
            Node::Unary(..) | Node::Binary(..) => {
                let mut fused = Fused::default();
                self.fuse_node(array, grid, false, &mut fused)?;
                let order = pair_order(&fused.reads, &grid);
                let Fused { ops, operands, reads } = fused;
                Ok(self.builder.on_grid(Kind::Map { ops, operands }, grid, element, reads, order))
            }
            Node::Dot(a, b) => {
                let inner = Axis::new(a.shape()?.1, self.inner);
                let left = self.matrix(a, BlockGrid::new(grid.rows, inner))?;
                let right = self.matrix(b, BlockGrid::new(inner, grid.cols))?;
                Ok(self.builder.gemm(left, right))
            }
            Node::Reduce(reduction, a) => self.reduce(*reduction, a, grid),
        }
    }

    fn reduce(&mut self, reduction: Reduction, a: &Array, result: BlockGrid) -> Result<Access, LowerError> {
        let (rows, cols) = a.shape()?;
        let element = a.element()?;
        if rows == 0 || cols == 0 || result.blocks() == 0 {
            return Ok(self.builder.fill(Fill::Constant(0.0), 0, 0, result, element));
        }
        let grid = BlockGrid::new(Axis::new(rows, self.inner), Axis::new(cols, self.inner));
        let mut fused = Fused::default();
        self.fuse(a, grid, false, &mut fused)?;
        let order = pair_order(&fused.reads, &grid);
        let space = Space::new(grid.rows.blocks(), grid.cols.blocks(), 1, order);
        let Fused { ops, operands, reads } = fused;
        let kind = Kind::Reduce { reduction, grid, ops, operands };
        let partials = self.builder.push(kind, space, Blocks::Each { rows: 1, cols: 2 }, element, reads);
        Ok(self.builder.reduce_tree(partials, reduction))
    }

    /// Adds `array` to the expression: inlined if elementwise and used here only, loaded otherwise.
    fn fuse(&mut self, array: &Array, grid: BlockGrid, flip: bool, to: &mut Fused) -> Result<(), LowerError> {
        match array.node()? {
            Node::Transpose(inner) => self.fuse(inner, grid.transposed(), !flip, to),
            Node::Unary(..) | Node::Binary(..) if self.used_once(array) => {
                self.fuse_node(array, grid, flip, to)
            }
            Node::Source { origin: Origin::Fill(fill), row, col } => {
                to.ops.push(MapOp::Load(to.operands.len() as u32));
                to.operands.push(Operand::Fill { fill: *fill, row: *row, col: *col, transposed: flip });
                Ok(())
            }
            _ => {
                let access = self.matrix(array, grid)?;
                load(if flip { access.t() } else { access }, to);
                Ok(())
            }
        }
    }

    fn fuse_node(
        &mut self,
        array: &Array,
        grid: BlockGrid,
        flip: bool,
        to: &mut Fused,
    ) -> Result<(), LowerError> {
        match array.node()? {
            Node::Unary(op, a) => {
                self.fuse(a, grid, flip, to)?;
                match op {
                    Unary::Neg => to.ops.push(MapOp::Neg),
                    Unary::Plus(s) => to.ops.extend([MapOp::Scalar(*s), MapOp::Add]),
                    Unary::Times(s) => to.ops.extend([MapOp::Scalar(*s), MapOp::Mul]),
                }
            }
            Node::Binary(op, a, b) => {
                self.fuse(a, grid, flip, to)?;
                self.fuse(b, grid, flip, to)?;
                to.ops.push(match op {
                    Binary::Add => MapOp::Add,
                    Binary::Sub => MapOp::Sub,
                    Binary::Mul => MapOp::Mul,
                });
            }
            _ => self.fuse(array, grid, flip, to)?,
        }
        Ok(())
    }
}

/// Loads a block of `access`; a block that the expression has loaded already is loaded once.
fn load(access: Access, to: &mut Fused) {
    let read = access.read(Pick::Row, Pick::Col);
    let number = to.reads.iter().position(|r| *r == read).unwrap_or_else(|| {
        to.reads.push(read);
        to.reads.len() - 1
    });
    let operand = Operand::Block { read: number as u32, transposed: access.transposed };
    let at = to.operands.iter().position(|o| *o == operand).unwrap_or_else(|| {
        to.operands.push(operand);
        to.operands.len() - 1
    });
    to.ops.push(MapOp::Load(at as u32));
}

/// Blocks (i,j) and (j,i) are done beside each other where an expression reads both from one source.
fn pair_order(reads: &[Read], grid: &BlockGrid) -> Order {
    let both = reads.iter().enumerate().any(|(at, r)| reads[..at].iter().any(|s| s.source == r.source));
    if both && grid.rows.blocks() == grid.cols.blocks() { Order::Pairs } else { Order::Rows }
}
