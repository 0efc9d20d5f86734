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

    /// True if each number of this type is one of f32 too: computed with f32, it is f32, as in NumPy.
    pub fn is_narrow(self) -> bool {
        match self {
            DType::F32 | DType::Bool => true,
            DType::Signed(bytes) | DType::Unsigned(bytes) => bytes <= 2,
            DType::F64 => false,
        }
    }

    /// What NumPy describes without byte order by `code`: `f8` as it writes itself, or another of its names for it.
    pub(super) fn parse(code: &str) -> Option<DType> {
        const LONG: u8 = size_of::<std::ffi::c_long>() as u8;
        Some(match code {
            "f4" | "f" | "float32" | "single" => DType::F32,
            "f8" | "d" | "float64" | "double" | "float" => DType::F64,
            "b1" | "?" | "bool" | "bool_" => DType::Bool,
            "i1" | "b" | "int8" | "byte" => DType::Signed(1),
            "i2" | "h" | "int16" | "short" => DType::Signed(2),
            "i4" | "i" | "int32" | "intc" => DType::Signed(4),
            "i8" | "q" | "p" | "int64" | "int" | "int_" | "longlong" | "intp" => DType::Signed(8),
            "l" | "long" => DType::Signed(LONG),
            "u1" | "B" | "uint8" | "ubyte" => DType::Unsigned(1),
            "u2" | "H" | "uint16" | "ushort" => DType::Unsigned(2),
            "u4" | "I" | "uint32" | "uintc" => DType::Unsigned(4),
            "u8" | "Q" | "P" | "uint64" | "uint" | "ulonglong" | "uintp" => DType::Unsigned(8),
            "L" | "ulong" => DType::Unsigned(LONG),
            _ => return None,
        })
    }
}

/// Converts `bytes`, elements of `dtype` one behind the other, as far as `out` goes. Integers and booleans become
/// floats.
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
