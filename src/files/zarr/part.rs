//! What a chunk fills of a block.

use super::window::Window;
use crate::data::Real;
use crate::files::dtype::{DType, convert};

/// The part of a block that a chunk, or a piece of one, fills.
pub(super) struct Part<'a, T> {
    /// What it is of the chunk.
    pub window: Window,
    /// The block from the part's first element on.
    pub out: &'a mut [T],
    /// Elements from one row of the block to the next.
    pub stride: usize,
    pub dtype: DType,
}

impl<T: Real> Part<'_, T> {
    pub fn is_native(&self) -> bool {
        self.dtype.is(T::ELEMENT)
    }

    pub fn height(&self) -> u64 {
        self.window.part.height()
    }

    pub fn width(&self) -> u64 {
        self.window.part.width()
    }

    pub fn row(&mut self, row: u64) -> &mut [T] {
        let start = row as usize * self.stride;
        let end = start + self.width() as usize;
        &mut self.out[start..end]
    }

    /// Puts elements, in the byte order of this machine, into a row.
    pub fn put(&mut self, row: u64, bytes: &[u8]) {
        let dtype = self.dtype;
        if self.is_native() {
            T::bytes_mut(self.row(row)).copy_from_slice(bytes);
        } else {
            convert(dtype, cfg!(target_endian = "big"), bytes, self.row(row).iter_mut());
        }
    }

    /// Fills all of it with one element.
    pub fn fill(&mut self, element: &[u8]) {
        let mut value = T::default();
        convert(self.dtype, cfg!(target_endian = "big"), element, std::iter::once(&mut value));
        (0..self.height()).for_each(|row| self.row(row).fill(value));
    }
}
