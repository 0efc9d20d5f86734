//! Which elementwise operations are done in one pass over a block.
//!
//! An elementwise array is done within the one that uses it, unless several use it: then it is made once, as a matrix.
//! So is a part of an expression that would be too much for one pass. Bits do not depend on that, since each operation
//! rounds once.

use crate::array::{Array, ArrayError, Node, Unary};
use std::collections::{HashMap, HashSet};

/// Operations of one pass: enough that memory is no longer what it waits for, few enough for a task.
const MOST_OPS: usize = 256;
/// Numbers of one element that are at hand at once: a tile for each has to stay in cache.
const MOST_DEPTH: usize = 16;
/// Matrices that one pass takes: a block of each is in memory at once.
const MOST_OPERANDS: usize = 16;

/// What a part of an expression takes in one pass.
#[derive(Clone, Default)]
struct Size {
    ops: usize,
    depth: usize,
    /// What is loaded: arrays by their identity, and whether transposed.
    operands: Vec<(usize, bool)>,
}

impl Size {
    fn of_operand(mut array: &Array) -> Size {
        let mut transposed = false;
        while let Ok(Node::Transpose(inner)) = array.node() {
            (array, transposed) = (inner, !transposed);
        }
        Size { ops: 1, depth: 1, operands: vec![(id(array), transposed)] }
    }

    fn transposed(&self) -> Size {
        let operands = self.operands.iter().map(|(array, transposed)| (*array, !transposed)).collect();
        Size { operands, ..*self }
    }

    /// With an operation on it that needs `ops` steps.
    fn then(&self, ops: usize) -> Size {
        // The second step's operand is a number, beside what is there.
        Size { ops: self.ops + ops, depth: self.depth.max(ops), operands: self.operands.clone() }
    }

    /// With another part made after it, and an operation on both.
    fn and(&self, other: &Size) -> Size {
        let mut operands = self.operands.clone();
        operands.extend(other.operands.iter().filter(|operand| !self.operands.contains(operand)));
        Size { ops: self.ops + other.ops + 1, depth: self.depth.max(other.depth + 1), operands }
    }

    fn fits(&self) -> bool {
        self.ops <= MOST_OPS && self.depth <= MOST_DEPTH && self.operands.len() <= MOST_OPERANDS
    }
}

fn id(array: &Array) -> usize {
    array.identity().unwrap_or_default()
}

/// The array below transposes.
fn upright(mut array: &Array) -> &Array {
    while let Ok(Node::Transpose(inner)) = array.node() {
        array = inner;
    }
    array
}

/// Who uses what, and what is made as a matrix of its own.
#[derive(Default)]
pub(super) struct Fusion {
    uses: HashMap<usize, u32>,
    /// Too much for one pass with what uses it.
    apart: HashSet<usize>,
    sizes: HashMap<usize, Size>,
}

impl Fusion {
    /// Takes in an expression, whose parts earlier ones may have used.
    pub fn add(&mut self, array: &Array) -> Result<(), ArrayError> {
        self.count_uses(array)?;
        for part in array.in_order()? {
            let size = self.size(part)?;
            self.sizes.insert(id(part), size);
        }
        Ok(())
    }

    /// Is this array made where it is used?
    pub fn inlines(&self, array: &Array) -> Result<bool, ArrayError> {
        let elementwise = matches!(array.node()?, Node::Unary(..) | Node::Binary(..));
        let used_once = self.uses.get(&id(array)).is_none_or(|uses| *uses <= 1);
        Ok(elementwise && used_once && !self.apart.contains(&id(array)))
    }

    fn count_uses(&mut self, array: &Array) -> Result<(), ArrayError> {
        let mut rest = vec![array];
        while let Some(array) = rest.pop() {
            // Whoever uses the transpose uses what is transposed.
            let array = upright(array);
            let uses = self.uses.entry(id(array)).or_insert(0);
            *uses += 1;
            if *uses == 1 {
                rest.extend(array.node()?.operands());
            }
        }
        Ok(())
    }

    fn size(&mut self, array: &Array) -> Result<Size, ArrayError> {
        Ok(match array.node()? {
            Node::Transpose(a) => self.size_within(a)?.transposed(),
            Node::Unary(op, a) => {
                let ops = if matches!(op, Unary::Neg) { 1 } else { 2 };
                let size = self.size_within(a)?.then(ops);
                if size.fits() { size } else { self.set_apart(a)?.then(ops) }
            }
            Node::Binary(_, a, b) => {
                let (left, right) = (self.size_within(a)?, self.size_within(b)?);
                let size = left.and(&right);
                if size.fits() {
                    size
                } else if left.ops > right.ops {
                    let size = self.set_apart(a)?.and(&right);
                    if size.fits() { size } else { Size::of_operand(a).and(&self.set_apart(b)?) }
                } else {
                    let size = left.and(&self.set_apart(b)?);
                    if size.fits() { size } else { self.set_apart(a)?.and(&Size::of_operand(b)) }
                }
            }
            _ => Size::of_operand(array),
        })
    }

    /// The size of an array as a part of what uses it.
    fn size_within(&self, array: &Array) -> Result<Size, ArrayError> {
        let inlined = self.inlines(upright(array))?;
        Ok(self.sizes.get(&id(array)).filter(|_| inlined).cloned().unwrap_or_else(|| Size::of_operand(array)))
    }

    fn set_apart(&mut self, array: &Array) -> Result<Size, ArrayError> {
        let array = upright(array);
        if self.inlines(array)? {
            self.apart.insert(id(array));
        }
        Ok(Size::of_operand(array))
    }
}

#[cfg(test)]
#[path = "fuse_tests.rs"]
mod tests;
