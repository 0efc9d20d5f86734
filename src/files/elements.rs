//! Stored elements of any type as the numbers that are computed with.

use super::header::DType;
use crate::array::Element;

/// Types that elements can be converted to.
pub trait Convert: Copy + Default + Send {
    const ELEMENT: Element;
    fn from_bits_f64(value: f64) -> Self;
    fn from_bits_f32(value: f32) -> Self;
    /// The memory of `values` as bytes.
    fn bytes_mut(values: &mut [Self]) -> &mut [u8];
}

macro_rules! convertible {
    ($type:ident, $element:ident) => {
        impl Convert for $type {
            const ELEMENT: Element = Element::$element;

            fn from_bits_f64(value: f64) -> Self {
                value as $type
            }

            fn from_bits_f32(value: f32) -> Self {
                $type::from(value)
            }

            fn bytes_mut(values: &mut [Self]) -> &mut [u8] {
                let len = size_of_val(values);
                // SAFETY: floats are plain old data without padding; the borrow is exclusive.
                unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), len) }
            }
        }
    };
}

convertible!(f32, F32);
convertible!(f64, F64);

/// Converts `bytes`, elements of `dtype` one behind the other, as far as `out` goes. Integers and booleans become floats.
pub(super) fn convert<'a, T: Convert + 'a>(
    dtype: DType,
    big_endian: bool,
    bytes: &[u8],
    out: impl Iterator<Item = &'a mut T>,
) {
    macro_rules! each {
        ($type:ident, $size:literal, |$value:ident| $make:expr) => {{
            for (chunk, to) in bytes.chunks_exact($size).zip(out) {
                let mut raw = [0_u8; $size];
                raw.copy_from_slice(chunk);
                let $value = if big_endian { $type::from_be_bytes(raw) } else { $type::from_le_bytes(raw) };
                *to = $make;
            }
        }};
    }
    match dtype {
        DType::F64 => each!(f64, 8, |v| T::from_bits_f64(v)),
        DType::F32 => each!(f32, 4, |v| T::from_bits_f32(v)),
        DType::Bool => each!(u8, 1, |v| T::from_bits_f64(f64::from(u8::from(v != 0)))),
        DType::Unsigned(1) => each!(u8, 1, |v| T::from_bits_f64(f64::from(v))),
        DType::Unsigned(2) => each!(u16, 2, |v| T::from_bits_f64(f64::from(v))),
        DType::Unsigned(4) => each!(u32, 4, |v| T::from_bits_f64(f64::from(v))),
        DType::Unsigned(_) => each!(u64, 8, |v| T::from_bits_f64(v as f64)),
        DType::Signed(1) => each!(i8, 1, |v| T::from_bits_f64(f64::from(v))),
        DType::Signed(2) => each!(i16, 2, |v| T::from_bits_f64(f64::from(v))),
        DType::Signed(4) => each!(i32, 4, |v| T::from_bits_f64(f64::from(v))),
        DType::Signed(_) => each!(i64, 8, |v| T::from_bits_f64(v as f64)),
    }
}
