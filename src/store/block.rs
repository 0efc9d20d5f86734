//! A block at rest: numbers in row-major order in a pooled buffer.

use super::pool::{Buffer, Pool, PoolError};
use crate::array::Element;
use crate::data::Real;
use ndarray::{ArrayView2, ArrayViewMut2};

/// A `rows × cols` matrix of one element type.
pub struct Block {
    rows: usize,
    cols: usize,
    element: Element,
    buffer: Buffer,
}

impl Block {
    /// A block with unspecified contents.
    pub fn new(pool: &Pool, (rows, cols): (u64, u64), element: Element) -> Result<Block, PoolError> {
        let buffer = pool.take(rows * cols * element.bytes())?;
        Ok(Block { rows: rows as usize, cols: cols as usize, element, buffer })
    }

    /// A copy in a buffer of its own.
    pub fn duplicate(&self, pool: &Pool) -> Result<Block, PoolError> {
        let mut copy = Block::new(pool, (self.rows as u64, self.cols as u64), self.element)?;
        copy.bytes_mut().copy_from_slice(self.bytes());
        Ok(copy)
    }

    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    pub fn element(&self) -> Element {
        self.element
    }

    fn check<T: Real>(&self) -> usize {
        assert_eq!(self.element, T::ELEMENT, "a block is read as what it is");
        self.rows * self.cols
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer.bytes()[..self.rows * self.cols * self.element.bytes() as usize]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.rows * self.cols * self.element.bytes() as usize;
        &mut self.buffer.bytes_mut()[..len]
    }

    pub fn slice<T: Real>(&self) -> &[T] {
        reals(self.buffer.bytes(), self.check::<T>())
    }

    pub fn slice_mut<T: Real>(&mut self) -> &mut [T] {
        let len = self.check::<T>();
        reals_mut(self.buffer.bytes_mut(), len)
    }

    pub fn view<T: Real>(&self) -> ArrayView2<'_, T> {
        ArrayView2::from_shape((self.rows, self.cols), self.slice()).expect("a block is as long as its shape")
    }

    pub fn view_mut<T: Real>(&mut self) -> ArrayViewMut2<'_, T> {
        let shape = (self.rows, self.cols);
        ArrayViewMut2::from_shape(shape, self.slice_mut()).expect("a block is as long as its shape")
    }
}

impl AsMut<[u8]> for Block {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes_mut()
    }
}

impl Buffer {
    /// The first `len` elements of a workspace.
    pub fn reals_mut<T: Real>(&mut self, len: usize) -> &mut [T] {
        reals_mut(self.bytes_mut(), len)
    }

    /// The first `len` elements of a workspace, and the bytes behind them.
    pub fn split_reals_mut<T: Real>(&mut self, len: usize) -> (&mut [T], &mut [u8]) {
        let (reals, rest) = self.bytes_mut().split_at_mut(len * size_of::<T>());
        (reals_mut(reals, len), rest)
    }
}

fn reals<T: Real>(bytes: &[u8], len: usize) -> &[T] {
    assert!(bytes.len() >= len * size_of::<T>() && (len == 0 || bytes.as_ptr().cast::<T>().is_aligned()));
    if len == 0 {
        return &[];
    }
    // SAFETY: long enough and aligned, checked above; pool memory is initialised and every bit pattern is a number.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), len) }
}

fn reals_mut<T: Real>(bytes: &mut [u8], len: usize) -> &mut [T] {
    assert!(bytes.len() >= len * size_of::<T>() && (len == 0 || bytes.as_ptr().cast::<T>().is_aligned()));
    if len == 0 {
        return &mut [];
    }
    // SAFETY: long enough and aligned, checked above; pool memory is initialised and every bit pattern is a number; the
    // borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), len) }
}
