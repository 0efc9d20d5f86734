//! Elementwise expressions over blocks.

use crate::array::{Element, Fill};
use serde::{Deserialize, Serialize};

/// One step of an elementwise expression in postfix order.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum MapOp {
    Load(u32),
    Scalar(f64),
    Add,
    Sub,
    Mul,
    Neg,
}

/// What `MapOp::Load` loads.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Operand {
    /// The block of read number `read`, as it is or transposed.
    Block { read: u32, transposed: bool },
    /// The same of another element type, converted to that of the stage where it is used.
    Converted { read: u32, transposed: bool, from: Element },
    /// Made where it is used; (row, col) is where the matrix begins in its source.
    Fill { fill: Fill, row: u64, col: u64, transposed: bool },
}

impl Operand {
    /// Is it made where it is used, in a room of its own?
    pub fn is_made(&self) -> bool {
        !matches!(self, Operand::Block { .. })
    }
}

/// An elementwise expression.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Map {
    pub ops: Vec<MapOp>,
    pub operands: Vec<Operand>,
}

impl Map {
    /// The operands that are made where they are used.
    pub fn made(&self) -> usize {
        self.operands.iter().filter(|operand| operand.is_made()).count()
    }
}
