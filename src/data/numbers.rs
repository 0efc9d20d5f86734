//! The two element types as Rust types.

use crate::array::Element;
use ndarray::Array2;

/// Elements of either type.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

/// Elements of either type, to be filled.
#[derive(Debug)]
pub enum NumbersMut<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
}

/// A matrix in memory, of either element type.
#[derive(Clone, PartialEq, Debug)]
pub enum Matrix {
    F32(Array2<f32>),
    F64(Array2<f64>),
}

impl Matrix {
    /// The matrix as f64, whatever it was computed in.
    pub fn to_f64(&self) -> Array2<f64> {
        match self {
            Matrix::F32(a) => a.mapv(f64::from),
            Matrix::F64(a) => a.clone(),
        }
    }

    pub fn element(&self) -> Element {
        match self {
            Matrix::F32(_) => Element::F32,
            Matrix::F64(_) => Element::F64,
        }
    }
}

/// `f32` or `f64`: what a block's elements are, in a kernel, in memory and in a file.
pub trait Real: kernels::Scalar {
    const ELEMENT: Element;

    fn numbers(values: &[Self]) -> Numbers<'_>;
    fn numbers_mut(values: &mut [Self]) -> NumbersMut<'_>;
    /// The matrix if it is of this type; else the matrix as it was.
    fn from_matrix(matrix: Matrix) -> Result<Array2<Self>, Matrix>;
    /// Exact.
    fn from_f32(value: f32) -> Self;

    /// The memory of `values` as bytes, in the byte order of this machine.
    fn bytes(values: &[Self]) -> &[u8] {
        // SAFETY: floats have no padding, any alignment will do for bytes, and the length is that of the values.
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
    }

    /// The memory of `values` as bytes that may be changed.
    fn bytes_mut(values: &mut [Self]) -> &mut [u8] {
        let len = size_of_val(values);
        // SAFETY: floats have no padding, any alignment will do for bytes, and the length is that of the values;
        // every bit pattern is a float, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), len) }
    }
}

macro_rules! real {
    ($type:ident, $element:ident) => {
        impl Real for $type {
            const ELEMENT: Element = Element::$element;

            fn numbers(values: &[Self]) -> Numbers<'_> {
                Numbers::$element(values)
            }

            fn numbers_mut(values: &mut [Self]) -> NumbersMut<'_> {
                NumbersMut::$element(values)
            }

            fn from_matrix(matrix: Matrix) -> Result<Array2<Self>, Matrix> {
                match matrix {
                    Matrix::$element(array) => Ok(array),
                    other => Err(other),
                }
            }

            fn from_f32(value: f32) -> Self {
                $type::from(value)
            }
        }
    };
}

real!(f32, F32);
real!(f64, F64);
