//! What can be wrong with a lazy array.

use std::ops::Range;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ArrayError {
    #[error("{op} needs equal shapes, got {}x{} and {}x{}", left.0, left.1, right.0, right.1)]
    Shapes { op: &'static str, left: (u64, u64), right: (u64, u64) },
    #[error(
        "the inner dimensions of a product must agree, got {}x{} times {}x{}",
        left.0, left.1, right.0, right.1
    )]
    Inner { left: (u64, u64), right: (u64, u64) },
    #[error("{side} {}..{} lie outside of a matrix with {len} {side}", range.start, range.end)]
    Slice { side: &'static str, range: Range<u64>, len: u64 },
    #[error("a matrix of {}x{} elements is larger than any disk", shape.0, shape.1)]
    TooLarge { shape: (u64, u64) },
    #[error(
        "slices of parts that are used again and again make {parts} different parts: compute a shared part first"
    )]
    TooManySlices { parts: usize },
    #[error("blocks of {}x{} make {tasks} tasks: use a larger --block", block.0, block.1)]
    TooManyTasks { block: (u64, u64), tasks: u128 },
}
