//! Shapes, block grids and lazy arrays. Pure: knows sizes, not data.

mod error;
mod expr;
mod grid;
mod origin;
mod slices;
mod walk;

pub use error::ArrayError;
pub use expr::{Array, Binary, Node, Reduction, Unary};
pub use grid::{Axis, BlockGrid, BlockSize};
pub use origin::{Fill, Input, InputId, Law, Origin};

use serde::{Deserialize, Serialize};
use std::fmt;

/// The type of a matrix element.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Element {
    F32,
    F64,
}

impl Element {
    pub fn bytes(self) -> u64 {
        match self {
            Element::F32 => 4,
            Element::F64 => 8,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Element::F32 => "f32",
            Element::F64 => "f64",
        })
    }
}

/// Bytes that a buffer of `bytes` takes in the pool: cache lines below a page, whole pages above.
pub fn footprint(bytes: u64) -> u64 {
    let unit = if bytes < 4096 { 64 } else { 4096 };
    bytes.div_ceil(unit) * unit
}
