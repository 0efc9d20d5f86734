//! A rectangular part of a matrix.

use std::ops::Range;

/// Rows and columns of a matrix that are read or written together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region {
    pub rows: Range<u64>,
    pub cols: Range<u64>,
}

impl Region {
    pub fn new(rows: Range<u64>, cols: Range<u64>) -> Region {
        Region { rows, cols }
    }

    /// Rows.
    pub fn height(&self) -> u64 {
        self.rows.end - self.rows.start
    }

    /// Columns.
    pub fn width(&self) -> u64 {
        self.cols.end - self.cols.start
    }

    /// Elements.
    pub fn elements(&self) -> u64 {
        self.height() * self.width()
    }

    /// The same part of a matrix that begins at (row, col) of another.
    pub fn moved(&self, row: u64, col: u64) -> Region {
        Region::new(row + self.rows.start..row + self.rows.end, col + self.cols.start..col + self.cols.end)
    }

    /// # Panics
    /// If the region does not lie in a matrix of this shape, or a block of `elements` has another size.
    pub fn check(&self, (rows, cols): (u64, u64), elements: usize) {
        assert!(self.rows.end <= rows && self.cols.end <= cols, "the block lies in the matrix");
        assert_eq!(elements as u64, self.elements(), "the block has the size of the region");
    }
}
