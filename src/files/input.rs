//! Reads `.npy` files by blocks: any rows, any columns, any order, from many threads at once.

use super::elements::convert;
use super::error::FileError;
use super::header::{DType, Header, HeaderError};
use crate::array::Element;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a scratch buffer: one read of a device is not longer than this.
const SCRATCH: u64 = 1 << 20;
/// Gaps shorter than this are read over rather than jumped.
const WORTH_A_JUMP: u64 = 1 << 12;

/// Types that elements can be converted to.
pub trait Convert: Copy + Default {
    const ELEMENT: Element;
    fn from_bits_f64(value: f64) -> Self;
    fn from_bits_f32(value: f32) -> Self;
    /// The memory of `values` as bytes.
    fn bytes_mut(values: &mut [Self]) -> &mut [u8];
}

macro_rules! convert {
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

convert!(f32, F32);
convert!(f64, F64);

/// One file of a matrix.
struct Part {
    path: PathBuf,
    file: File,
    dtype: DType,
    big_endian: bool,
    fortran: bool,
    data: u64,
    rows: u64,
    cols: u64,
    /// Row of the whole matrix with which the file begins.
    first: u64,
}

/// One `.npy` file, or several below each other, as one matrix.
pub struct NpyInput {
    parts: Vec<Part>,
    rows: u64,
    cols: u64,
    element: Element,
}

impl NpyInput {
    /// Reads and checks the headers. Several files need equal columns; f32 only if all are f32.
    pub fn open(paths: &[PathBuf]) -> Result<NpyInput, FileError> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rows = 0;
        for path in paths {
            let part = Part::open(path, rows)?;
            if let Some(first) = parts.first().filter(|first| first.cols != part.cols) {
                let (path, first, found, expected) =
                    (path.clone(), first.path.clone(), part.cols, first.cols);
                return Err(FileError::Columns { path, first, found, expected });
            }
            rows += part.rows;
            parts.push(part);
        }
        let Some(first) = parts.first() else { return Err(FileError::NoMatch { pattern: String::new() }) };
        let all_f32 = parts.iter().all(|part| part.dtype == DType::F32);
        let element = if all_f32 { Element::F32 } else { Element::F64 };
        let cols = first.cols;
        Ok(NpyInput { parts, rows, cols, element })
    }

    /// (rows, columns)
    pub fn shape(&self) -> (u64, u64) {
        (self.rows, self.cols)
    }

    /// The type that the matrix is computed in.
    pub fn element(&self) -> Element {
        self.element
    }

    /// Bytes of scratch that [`read_block`](Self::read_block) wants for such a block; with less it reads
    /// in smaller steps, down to one row or column of the block.
    pub fn scratch_len(&self, rows: u64, cols: u64) -> u64 {
        let of_part = |part: &Part| {
            let line = if part.fortran { rows } else { cols };
            (line * part.dtype.bytes())
                .max(SCRATCH.min(rows * cols * part.dtype.bytes()))
                .max(part.stride().min(SCRATCH))
        };
        self.parts.iter().map(of_part).max().unwrap_or(0)
    }

    /// The file that holds a row, and the row's number in it.
    pub fn place(&self, row: u64) -> (&Path, u64) {
        let at = self.parts.partition_point(|part| part.first <= row).saturating_sub(1);
        (&self.parts[at].path, row - self.parts[at].first)
    }

    /// Reads a block into `out`, row by row. Returns the bytes read.
    pub fn read_block<T: Convert>(
        &self,
        rows: Range<u64>,
        cols: Range<u64>,
        out: &mut [T],
        scratch: &mut [u8],
    ) -> Result<u64, FileError> {
        let width = (cols.end - cols.start) as usize;
        assert_eq!(
            out.len() as u64,
            (rows.end - rows.start) * width as u64,
            "the block has the size asked for"
        );
        assert!(rows.end <= self.rows && cols.end <= self.cols, "the block lies in the matrix");
        let mut bytes = 0;
        for part in &self.parts {
            let (start, end) = (rows.start.max(part.first), rows.end.min(part.first + part.rows));
            if start >= end || width == 0 {
                continue;
            }
            let from = (start - rows.start) as usize * width;
            let to = (end - rows.start) as usize * width;
            let within = start - part.first..end - part.first;
            bytes += part
                .read(within, cols.clone(), &mut out[from..to], scratch)
                .map_err(|error| FileError::Read { path: part.path.clone(), error })?;
        }
        Ok(bytes)
    }
}

impl Part {
    fn open(path: &Path, first: u64) -> Result<Part, FileError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => FileError::Missing { path: path.into() },
            _ => FileError::Open { path: path.into(), error },
        };
        let mut file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() {
            let why = "it is not a regular file".into();
            return Err(FileError::NotNpy { path: path.into(), why });
        }
        let mut start = Vec::new();
        file.by_ref().take(Header::LONGEST as u64).read_to_end(&mut start).map_err(failed)?;
        let header = Header::parse(&start).map_err(|error| match error {
            HeaderError::Malformed(why) => FileError::NotNpy { path: path.into(), why },
            HeaderError::DType(dtype) => FileError::DType { path: path.into(), dtype },
        })?;
        let (rows, cols) = match header.shape[..] {
            [rows] => (rows, 1),
            [rows, cols] => (rows, cols),
            _ => return Err(FileError::Dimensions { path: path.into(), dimensions: header.shape.len() }),
        };
        let bytes = header.elements().and_then(|n| n.checked_mul(header.dtype.bytes()));
        let Some(expected) = bytes.and_then(|n| n.checked_add(header.data)) else {
            let why = format!("a shape of {rows}x{cols} is impossible");
            return Err(FileError::NotNpy { path: path.into(), why });
        };
        if about.len() != expected {
            return Err(FileError::Length { path: path.into(), expected, found: about.len() });
        }
        Ok(Part {
            path: path.into(),
            file,
            dtype: header.dtype,
            big_endian: header.big_endian,
            fortran: header.fortran_order,
            data: header.data,
            rows,
            cols,
            first,
        })
    }

    /// Bytes from one line (row in C order, column in Fortran order) to the next.
    fn stride(&self) -> u64 {
        (if self.fortran { self.rows } else { self.cols }) * self.dtype.bytes()
    }

    fn is_native<T: Convert>(&self) -> bool {
        let same =
            matches!((self.dtype, T::ELEMENT), (DType::F32, Element::F32) | (DType::F64, Element::F64));
        same && self.big_endian == cfg!(target_endian = "big")
    }

    /// Reads lines of the file that the block crosses, several at a time, and puts them in their place.
    fn read<T: Convert>(
        &self,
        rows: Range<u64>,
        cols: Range<u64>,
        out: &mut [T],
        scratch: &mut [u8],
    ) -> io::Result<u64> {
        let whole = cols.start == 0 && cols.end == self.cols && !self.fortran;
        if whole && self.is_native::<T>() {
            let bytes = T::bytes_mut(out);
            self.file.read_exact_at(bytes, self.data + rows.start * self.stride())?;
            return Ok(bytes.len() as u64);
        }
        let (lines, across) =
            if self.fortran { (cols.clone(), rows.clone()) } else { (rows.clone(), cols.clone()) };
        let width = (cols.end - cols.start) as usize;
        let size = self.dtype.bytes();
        let segment = (across.end - across.start) * size;
        let gap = self.stride() - segment;
        // Lines per read: as many as fit the scratch, if the gaps between are short enough to read over.
        let together = if gap <= WORTH_A_JUMP.max(segment) {
            ((scratch.len() as u64 + gap) / self.stride().max(1)).clamp(1, lines.end - lines.start)
        } else {
            1
        };
        let mut spare = Vec::new();
        let scratch = if (scratch.len() as u64) < segment {
            spare.resize(segment as usize, 0);
            &mut spare[..]
        } else {
            scratch
        };
        let mut total = 0;
        let mut line = lines.start;
        while line < lines.end {
            let count = together.min(lines.end - line);
            let length = ((count - 1) * self.stride() + segment) as usize;
            let bytes = &mut scratch[..length];
            self.file.read_exact_at(bytes, self.data + line * self.stride() + across.start * size)?;
            total += length as u64;
            for at in 0..count {
                let begin = (at * self.stride()) as usize;
                let segment = &bytes[begin..begin + segment as usize];
                let index = (line - lines.start + at) as usize;
                if self.fortran {
                    self.convert(segment, out[index..].iter_mut().step_by(width));
                } else {
                    self.convert(segment, out[index * width..(index + 1) * width].iter_mut());
                }
            }
            line += count;
        }
        Ok(total)
    }

    fn convert<'a, T: Convert + 'a>(&self, bytes: &[u8], out: impl Iterator<Item = &'a mut T>) {
        convert(self.dtype, self.big_endian, bytes, out);
    }
}
