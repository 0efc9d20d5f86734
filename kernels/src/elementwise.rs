//! Chains of elementwise operations as one pass over a block.

use crate::simd::{Kernel, dispatch};
use crate::transpose::{add, copy};
use crate::{Scalar, workspace};
use ndarray::{ArrayView2, ArrayViewMut2, s};

/// One step of an expression in postfix order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op<T> {
    /// Push an operand.
    Load(usize),
    /// Push a number.
    Scalar(T),
    Add,
    Sub,
    Mul,
    Neg,
}

/// Rows and columns of a tile: 1024 elements, so that a few of them stay in L1.
const ROWS: usize = 16;
const COLUMNS: usize = 64;
const AREA: usize = ROWS * COLUMNS;

/// Deepest the stack gets, or what is wrong with the expression.
fn depth<T: Scalar>(ops: &[Op<T>], operands: usize) -> Result<usize, String> {
    let mut now = 0usize;
    let mut deepest = 0;
    for (i, op) in ops.iter().enumerate() {
        let (pops, pushes) = match op {
            Op::Load(which) if *which >= operands => {
                return Err(format!("step {i} loads operand {which} of {operands}"));
            }
            Op::Load(_) | Op::Scalar(_) => (0, 1),
            Op::Add | Op::Sub | Op::Mul => (2, 1),
            Op::Neg => (1, 1),
        };
        now = now.checked_sub(pops).ok_or_else(|| format!("step {i} finds too few values"))? + pushes;
        deepest = deepest.max(now);
    }
    if now == 1 { Ok(deepest) } else { Err(format!("{now} values are left, not one")) }
}

/// `out ← expression`, element by element, in tiles that stay in cache. Operands have the shape of `out` and any
/// strides; a transposed view is read tile by tile. Each step rounds once, so bits do not depend on the strides.
///
/// # Panics
/// If the expression is not well formed or shapes differ.
pub fn eval<T: Scalar>(ops: &[Op<T>], operands: &[ArrayView2<T>], mut out: ArrayViewMut2<T>) {
    let depth = depth(ops, operands.len()).unwrap_or_else(|why| panic!("malformed expression: {why}"));
    for operand in operands {
        assert_eq!(operand.dim(), out.dim(), "operands and result have one shape");
    }
    if let [Op::Load(a), Op::Load(b), Op::Add] = *ops {
        return add(operands[a], operands[b], out);
    }
    let mut stack = vec![T::ZERO; depth * AREA];
    let (m, n) = out.dim();
    for i in (0..m).step_by(ROWS) {
        let rows = i..(i + ROWS).min(m);
        for j in (0..n).step_by(COLUMNS) {
            let tile = s![rows.clone(), j..(j + COLUMNS).min(n)];
            eval_tile(ops, operands, &mut stack, &mut out, tile);
        }
    }
}

type Tile = ndarray::SliceInfo<[ndarray::SliceInfoElem; 2], ndarray::Ix2, ndarray::Ix2>;

fn eval_tile<T: Scalar>(
    ops: &[Op<T>],
    operands: &[ArrayView2<T>],
    stack: &mut [T],
    out: &mut ArrayViewMut2<T>,
    tile: Tile,
) {
    let mut out = out.slice_mut(tile);
    let (m, n) = out.dim();
    let mut top = 0;
    for op in ops {
        let (below, free) = stack.split_at_mut(top * AREA);
        match *op {
            Op::Load(which) => {
                copy(operands[which].slice(tile), workspace::take_rows(&mut &mut *free, m, n));
                top += 1;
            }
            Op::Scalar(x) => {
                free[..m * n].fill(x);
                top += 1;
            }
            Op::Add | Op::Sub | Op::Mul => {
                let (x, y) = below[(top - 2) * AREA..].split_at_mut(AREA);
                dispatch(Binary { op: *op, x: &mut x[..m * n], y: &y[..m * n] });
                top -= 1;
            }
            Op::Neg => dispatch(Negate(&mut below[(top - 1) * AREA..][..m * n])),
        }
    }
    copy(workspace::rows(stack, m, n).view(), out.view_mut());
}

struct Binary<'a, T> {
    op: Op<T>,
    x: &'a mut [T],
    y: &'a [T],
}

impl<T: Scalar> Kernel for Binary<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let pairs = self.x.iter_mut().zip(self.y);
        match self.op {
            Op::Add => pairs.for_each(|(x, y)| *x += *y),
            Op::Sub => pairs.for_each(|(x, y)| *x -= *y),
            Op::Mul => pairs.for_each(|(x, y)| *x *= *y),
            _ => unreachable!("not a binary operation"),
        }
    }
}

struct Negate<'a, T>(&'a mut [T]);

impl<T: Scalar> Kernel for Negate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|x| *x = -*x);
    }
}
