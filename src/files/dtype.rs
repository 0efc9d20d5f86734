//! Types of stored elements, and how they become the numbers that are computed with.

use crate::array::Element;
use crate::data::Real;

/// Number formats that can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DType {
    F32,
    F64,
    Signed(u8),
    Unsigned(u8),
    Bool,
}

impl DType {
    pub fn bytes(self) -> u64 {
        match self {
            DType::F32 => 4,
            DType::F64 => 8,
            DType::Signed(bytes) | DType::Unsigned(bytes) => u64::from(bytes),
            DType::Bool => 1,
        }
    }

    /// True if elements of this type are kept in memory as they are, but for their byte order.
    pub fn is(self, element: Element) -> bool {
        matches!((self, element), (DType::F32, Element::F32) | (DType::F64, Element::F64))
    }

    /// The type that such elements are computed in.
    pub fn element(self) -> Element {
        if self == DType::F32 { Element::F32 } else { Element::F64 }
    }

    /// NumPy's description without byte order, e.g. `f8`.
    pub(super) fn parse(code: &str) -> Option<DType> {
        Some(match code {
            "f4" => DType::F32,
            "f8" => DType::F64,
            "b1" => DType::Bool,
            "i1" | "i2" | "i4" | "i8" => DType::Signed(code[1..].parse().ok()?),
            "u1" | "u2" | "u4" | "u8" => DType::Unsigned(code[1..].parse().ok()?),
            _ => return None,
        })
    }
}

/// Converts `bytes`, elements of `dtype` one behind the other, as far as `out` goes. Integers and booleans become floats.
pub(super) fn convert<'a, T: Real + 'a>(
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
        DType::F64 => each!(f64, 8, |v| T::from_f64(v)),
        DType::F32 => each!(f32, 4, |v| T::from_f32(v)),
        DType::Bool => each!(u8, 1, |v| T::from_f64(f64::from(u8::from(v != 0)))),
        DType::Unsigned(1) => each!(u8, 1, |v| T::from_f64(f64::from(v))),
        DType::Unsigned(2) => each!(u16, 2, |v| T::from_f64(f64::from(v))),
        DType::Unsigned(4) => each!(u32, 4, |v| T::from_f64(f64::from(v))),
        DType::Unsigned(_) => each!(u64, 8, |v| T::from_f64(v as f64)),
        DType::Signed(1) => each!(i8, 1, |v| T::from_f64(f64::from(v))),
        DType::Signed(2) => each!(i16, 2, |v| T::from_f64(f64::from(v))),
        DType::Signed(4) => each!(i32, 4, |v| T::from_f64(f64::from(v))),
        DType::Signed(_) => each!(i64, 8, |v| T::from_f64(v as f64)),
    }
}
