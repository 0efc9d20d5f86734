//! `.npy` files, written and read by the format's own description (NEP 1), apart from `src/files`.

use super::matrix::Matrix;
use std::fs;
use std::path::Path;

/// How elements are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    F64,
    F32,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

impl Kind {
    pub const INTEGERS: [Kind; 8] =
        [Kind::U8, Kind::I8, Kind::U16, Kind::I16, Kind::U32, Kind::I32, Kind::U64, Kind::I64];

    pub fn descr(self) -> &'static str {
        match self {
            Kind::F64 => "<f8",
            Kind::F32 => "<f4",
            Kind::U8 => "|u1",
            Kind::I8 => "|i1",
            Kind::U16 => "<u2",
            Kind::I16 => "<i2",
            Kind::U32 => "<u4",
            Kind::I32 => "<i4",
            Kind::U64 => "<u8",
            Kind::I64 => "<i8",
        }
    }

    fn encode(self, x: f64) -> Vec<u8> {
        match self {
            Kind::F64 => x.to_le_bytes().to_vec(),
            Kind::F32 => (x as f32).to_le_bytes().to_vec(),
            Kind::U8 => (x as u8).to_le_bytes().to_vec(),
            Kind::I8 => (x as i8).to_le_bytes().to_vec(),
            Kind::U16 => (x as u16).to_le_bytes().to_vec(),
            Kind::I16 => (x as i16).to_le_bytes().to_vec(),
            Kind::U32 => (x as u32).to_le_bytes().to_vec(),
            Kind::I32 => (x as i32).to_le_bytes().to_vec(),
            Kind::U64 => (x as u64).to_le_bytes().to_vec(),
            Kind::I64 => (x as i64).to_le_bytes().to_vec(),
        }
    }
}

/// A file of version 1.0 with this header and these bytes behind it.
pub fn raw(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

/// A whole file with this matrix.
pub fn encode(a: &Matrix, kind: Kind, fortran: bool) -> Vec<u8> {
    let stored = if fortran { a.t() } else { a.clone() };
    let data: Vec<u8> = stored.data.iter().flat_map(|&x| kind.encode(x)).collect();
    raw(kind.descr(), fortran, &format!("({}, {})", a.rows, a.cols), &data)
}

/// What a file holds. A vector is a matrix of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub kind: Kind,
    pub shape: Vec<usize>,
    pub values: Matrix,
}

/// Reads f64 and f32, C and Fortran order, and insists on a file that is exactly as long as it says.
pub fn read(path: &Path) -> Array {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(&bytes[..6], b"\x93NUMPY", "{}: magic", path.display());
    let (start, len) = match bytes[6] {
        1 => (10, u16::from_le_bytes([bytes[8], bytes[9]]) as usize),
        _ => (12, u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize),
    };
    assert_eq!((start + len) % 64, 0, "{}: data must be aligned to 64 bytes", path.display());
    let header = std::str::from_utf8(&bytes[start..start + len]).expect("an ASCII header");
    let (kind, width) = match value(header, "'descr':", ',').trim_matches('\'') {
        "<f8" => (Kind::F64, 8),
        "<f4" => (Kind::F32, 4),
        other => panic!("{}: dtype {other}", path.display()),
    };
    let shape: Vec<usize> = value(header, "'shape': (", ')')
        .split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| part.trim().parse().expect("a length"))
        .collect();
    let data = &bytes[start + len..];
    let (rows, cols) = match shape[..] {
        [cols] => (1, cols),
        [rows, cols] => (rows, cols),
        _ => panic!("{}: shape {shape:?}", path.display()),
    };
    assert_eq!(data.len(), rows * cols * width, "{}: bytes of {shape:?}", path.display());
    let data: Vec<f64> = match kind {
        Kind::F64 => data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        _ => data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
    };
    let values = match value(header, "'fortran_order':", ',') {
        "True" => Matrix { rows: cols, cols: rows, data }.t(),
        _ => Matrix { rows, cols, data },
    };
    Array { kind, shape, values }
}

fn value<'a>(header: &'a str, key: &str, end: char) -> &'a str {
    let from = header.find(key).unwrap_or_else(|| panic!("{key} in {header}")) + key.len();
    header[from..].split(end).next().expect("split gives one").trim()
}
