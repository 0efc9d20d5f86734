//! Which types of elements become which numbers.

use crate::files::dtype::DType;
use hdf5_metno::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5_metno::{Dataset, Error};

/// The type of a dataset's elements, or its name if it is none that can be computed with.
pub(super) fn dtype(dataset: &Dataset) -> Result<DType, String> {
    let described = dataset.dtype().and_then(|kind| kind.to_descriptor());
    match described.map_err(|error: Error| format!("unknown ({})", error.to_string().to_lowercase()))? {
        TypeDescriptor::Float(FloatSize::U4) => Ok(DType::F32),
        TypeDescriptor::Float(FloatSize::U8) => Ok(DType::F64),
        TypeDescriptor::Integer(size) => Ok(DType::Signed(bytes(size))),
        TypeDescriptor::Unsigned(size) => Ok(DType::Unsigned(bytes(size))),
        other => Err(other.to_string()),
    }
}

fn bytes(size: IntSize) -> u8 {
    match size {
        IntSize::U1 => 1,
        IntSize::U2 => 2,
        IntSize::U4 => 4,
        IntSize::U8 => 8,
    }
}
