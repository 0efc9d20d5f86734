//! How a matrix is cut into blocks.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What the user asked for with `--block`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum BlockSize {
    #[default]
    Auto,
    /// Rows and columns alike.
    Square(u64),
    RowsCols(u64, u64),
}

/// One dimension cut into pieces of `block`; the last piece may be shorter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Axis {
    len: u64,
    block: u64,
}

impl Axis {
    /// `len` elements in pieces of `block`; a block longer than the axis is the axis.
    ///
    /// # Panics
    /// If `block` is 0.
    pub fn new(len: u64, block: u64) -> Self {
        assert!(block > 0, "a block has at least one element");
        Axis { len, block: block.min(len.max(1)) }
    }

    pub fn whole(len: u64) -> Self {
        Axis::new(len, len.max(1))
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn block(&self) -> u64 {
        self.block
    }

    /// The number of blocks, however many.
    pub fn count(&self) -> u64 {
        self.len.div_ceil(self.block)
    }

    /// The number of blocks.
    ///
    /// # Panics
    /// If there are 2³² or more.
    pub fn blocks(&self) -> u32 {
        u32::try_from(self.count()).expect("fewer than 2^32 blocks in a dimension")
    }

    pub fn range(&self, at: u32) -> Range<u64> {
        let start = u64::from(at) * self.block;
        start..(start + self.block).min(self.len)
    }

    pub fn size(&self, at: u32) -> u64 {
        let range = self.range(at);
        range.end - range.start
    }
}

/// A matrix cut into blocks along rows and columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlockGrid {
    pub rows: Axis,
    pub cols: Axis,
}

impl BlockGrid {
    pub fn new(rows: Axis, cols: Axis) -> Self {
        BlockGrid { rows, cols }
    }

    /// One block that is the whole `rows × cols` matrix.
    pub fn whole(rows: u64, cols: u64) -> Self {
        BlockGrid::new(Axis::whole(rows), Axis::whole(cols))
    }

    pub fn blocks(&self) -> u64 {
        u64::from(self.rows.blocks()) * u64::from(self.cols.blocks())
    }

    pub fn transposed(&self) -> Self {
        BlockGrid::new(self.cols, self.rows)
    }

    pub fn shape(&self, i: u32, j: u32) -> (u64, u64) {
        (self.rows.size(i), self.cols.size(j))
    }

    /// Are all blocks of one shape?
    pub fn is_even(&self) -> bool {
        let is_even = |axis: Axis| axis.blocks() == 0 || axis.size(axis.blocks() - 1) == axis.block();
        is_even(self.rows) && is_even(self.cols)
    }

    /// The shape of the largest block.
    pub fn block_shape(&self) -> (u64, u64) {
        (self.rows.block(), self.cols.block())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_is_what_is_left() {
        let axis = Axis::new(10, 4);
        assert_eq!((axis.blocks(), axis.range(2), axis.size(0)), (3, 8..10, 4));
    }

    #[test]
    fn a_block_longer_than_the_axis_is_the_axis() {
        assert_eq!(Axis::new(3, 100).block(), 3);
        assert_eq!(Axis::new(0, 100).blocks(), 0);
    }

    #[test]
    fn a_grid_is_even_if_all_blocks_have_one_shape() {
        for (rows, cols, block) in [(6, 4, 2), (6, 5, 2), (5, 4, 2), (3, 3, 9), (1, 1, 1)] {
            let grid = BlockGrid::new(Axis::new(rows, block), Axis::new(cols, block));
            let columns = || 0..grid.cols.blocks();
            let shapes = (0..grid.rows.blocks()).flat_map(|i| columns().map(move |j| grid.shape(i, j)));
            let is_even = shapes.into_iter().all(|shape| shape == grid.block_shape());
            assert_eq!(grid.is_even(), is_even, "{rows}x{cols} in blocks of {block}");
        }
    }

    #[test]
    fn blocks_tile_the_axis() {
        for len in 0..40 {
            for block in 1..45 {
                let axis = Axis::new(len, block);
                let mut next = 0;
                for at in 0..axis.blocks() {
                    assert_eq!(axis.range(at).start, next);
                    next = axis.range(at).end;
                }
                assert_eq!(next, len);
            }
        }
    }
}
