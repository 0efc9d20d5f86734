//! Stored elements of any type as the numbers that are computed with.

use super::header::DType;
use super::input::Convert;

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
