//! What a chunk fills of a block.

use crate::data::Real;
use crate::files::dtype::{DType, convert};

/// The part of a block that a chunk, or a piece of one, fills: rows of `width` elements from the first on.
pub(super) struct Part<'a, T> {
    pub out: &'a mut [T],
    /// From one row to the next.
    pub width: usize,
    pub dtype: DType,
}

impl<T: Real> Part<'_, T> {
    pub fn is_native(&self) -> bool {
        self.dtype.is(T::ELEMENT)
    }

    pub fn row(&mut self, row: u64, len: u64) -> &mut [T] {
        let start = row as usize * self.width;
        &mut self.out[start..start + len as usize]
    }

    /// Puts elements, in the byte order of this machine, into a row.
    pub fn put(&mut self, row: u64, len: u64, bytes: &[u8]) {
        let dtype = self.dtype;
        if self.is_native() {
            T::bytes_mut(self.row(row, len)).copy_from_slice(bytes);
        } else {
            convert(dtype, cfg!(target_endian = "big"), bytes, self.row(row, len).iter_mut());
        }
    }

    /// Fills rows with one element.
    pub fn fill(&mut self, rows: u64, len: u64, element: &[u8]) {
        let mut value = T::default();
        convert(self.dtype, cfg!(target_endian = "big"), element, std::iter::once(&mut value));
        (0..rows).for_each(|row| self.row(row, len).fill(value));
    }
}
