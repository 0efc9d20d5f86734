//! Reads `.npy` files by blocks: any rows, any columns, any order, from many threads at once.

use super::header::{Header, HeaderError};
use super::kept::Kept;
use crate::array::Element;
use crate::data::{InputFormat, InputSpec, ReadBlocks, Real, Region};
use crate::files::disk::{Depth, Device, Pieces, WORTH_THREADS, exceeds_cache, in_flight};
use crate::files::dtype::{DType, convert};
use crate::files::unchanged::{self, Identity};
use crate::files::{FileError, Moved};
use ndarray::{ArrayViewMut1, ArrayViewMut2, Axis};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Gaps shorter than this are read over rather than jumped.
const WORTH_A_JUMP: u64 = 1 << 12;

/// One file of a matrix.
struct Part {
    path: PathBuf,
    identity: Identity,
    dtype: DType,
    big_endian: bool,
    fortran: bool,
    data: u64,
    rows: u64,
    cols: u64,
    /// Row of the whole matrix with which the file begins.
    first: u64,
}

/// What an array of one dimension is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vector {
    Row,
    Column,
}

/// One `.npy` file, or several below each other, as one matrix.
pub struct NpyInput {
    parts: Vec<Part>,
    kept: Kept,
    /// Files are read past the page cache.
    past_cache: bool,
    rows: u64,
    cols: u64,
    element: Element,
    narrow: bool,
    depth: Arc<Depth>,
}

impl NpyInput {
    /// Reads and checks the headers. Several files need equal columns, and a vector is a row among them, as in
    /// `numpy.vstack`; alone it is a column. The matrix is f32 if one of them is, and f32 would round none of the
    /// others. Files that together are larger than `cache_room`, the bytes that the page cache can hold for us, are
    /// read past it. `depth` says how many requests the device gets at once.
    pub fn open(paths: &[PathBuf], cache_room: u64, depth: Arc<Depth>) -> Result<NpyInput, FileError> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rows = 0;
        for path in paths {
            let vector = if paths.len() == 1 { Vector::Column } else { Vector::Row };
            let part = Part::open(path, rows, vector)?;
            if let Some(first) = parts.first().filter(|first| first.cols != part.cols) {
                let (path, first, found, expected) =
                    (path.clone(), first.path.clone(), part.cols, first.cols);
                return Err(FileError::Columns { path, first, found, expected });
            }
            rows += part.rows;
            parts.push(part);
        }
        let Some(first) = parts.first() else { return Err(FileError::NoMatch { pattern: PathBuf::new() }) };
        let narrow = parts.iter().all(|part| part.dtype.is_narrow());
        let is_f32 = narrow && parts.iter().any(|part| part.dtype == DType::F32);
        let element = if is_f32 { Element::F32 } else { Element::F64 };
        let cols = first.cols;
        let bytes: u64 = parts.iter().map(|part| part.rows * part.cols * part.dtype.bytes()).sum();
        let past_cache = exceeds_cache(bytes, cache_room);
        Ok(NpyInput { parts, kept: Kept::new(), past_cache, rows, cols, element, narrow, depth })
    }

    /// (rows, columns)
    pub fn shape(&self) -> (u64, u64) {
        (self.rows, self.cols)
    }

    /// The type that the matrix is computed in.
    pub fn element(&self) -> Element {
        self.element
    }

    /// True if f32 would round none of it.
    pub fn is_narrow(&self) -> bool {
        self.narrow
    }

    /// The file of a part, as it was when its header was read.
    fn device(&self, number: usize) -> Result<Arc<Device>, FileError> {
        let part = &self.parts[number];
        self.kept.get(number, || {
            let failed = |error| FileError::Read { path: part.path.clone(), error };
            let file = unchanged::open(&part.path).map_err(failed)?;
            if Identity::of(&file.metadata().map_err(failed)?) != part.identity {
                return Err(FileError::Changed { path: part.path.clone() });
            }
            let device = Device::buffered(file);
            Ok(if self.past_cache { device.past_cache(&part.path) } else { device })
        })
    }
}

impl ReadBlocks for NpyInput {
    type Error = FileError;

    /// With less scratch it has fewer requests in flight and reads in smaller steps, down to one element.
    fn scratch_len(&self, rows: u64, cols: u64) -> u64 {
        let of_part = |part: &Part| Pieces::of_block(rows * cols * part.dtype.bytes()).scratch_len();
        self.parts.iter().map(of_part).max().unwrap_or(0)
    }

    fn place_of(&self, row: u64, col: u64) -> String {
        let at = self.parts.partition_point(|part| part.first <= row).saturating_sub(1);
        let part = &self.parts[at];
        format!("{}: row {}, column {col}", part.path.display(), row - part.first)
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.parts.iter().map(|part| part.path.clone()).collect()
    }

    fn as_spec(&self) -> Option<InputSpec> {
        let files = self.parts.iter().map(|part| part.identity.spec(&part.path)).collect::<Option<_>>()?;
        let shape = (self.rows, self.cols);
        Some(InputSpec { format: InputFormat::Npy, files, shape, element: self.element })
    }

    /// Has as many requests in flight as its depth allows.
    fn read_block<T: Real>(&self, region: &Region, out: &mut [T], scratch: &mut [u8]) -> Moved {
        region.check(self.shape(), out.len());
        let Region { rows, cols } = region;
        let width = region.width() as usize;
        let mut bytes = 0;
        for (number, part) in self.parts.iter().enumerate() {
            let (start, end) = (rows.start.max(part.first), rows.end.min(part.first + part.rows));
            if start >= end || width == 0 {
                continue;
            }
            let from = (start - rows.start) as usize * width;
            let to = (end - rows.start) as usize * width;
            let within = Region::new(start - part.first..end - part.first, cols.clone());
            let device = self.device(number)?;
            bytes += OpenPart { part, device: &device }
                .read(within, &mut out[from..to], scratch, &self.depth)
                .map_err(|error| FileError::Read { path: part.path.clone(), error })?;
        }
        Ok(bytes)
    }

    fn check_same(&self) -> Result<(), FileError> {
        for part in &self.parts {
            match Identity::at(&part.path) {
                Ok(Some(now)) if now == part.identity => {}
                Ok(_) => return Err(FileError::Changed { path: part.path.clone() }),
                Err(error) => return Err(FileError::Read { path: part.path.clone(), error }),
            }
        }
        Ok(())
    }
}

impl Part {
    fn open(path: &Path, first: u64, vector: Vector) -> Result<Part, FileError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => FileError::Missing { path: path.into() },
            _ => FileError::Open { path: path.into(), error },
        };
        let mut file = unchanged::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let mut start = Vec::new();
        file.by_ref().take(Header::LONGEST as u64).read_to_end(&mut start).map_err(failed)?;
        let header = Header::parse(&start).map_err(|error| match error {
            HeaderError::Malformed(why) => FileError::NotNpy { path: path.into(), why },
            HeaderError::DType(dtype) => FileError::DType { path: path.into(), dtype },
        })?;
        let (rows, cols) = match header.shape[..] {
            [length] if vector == Vector::Row => (1, length),
            [length] => (length, 1),
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
            identity: Identity::of(&about),
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

    fn is_native<T: Real>(&self) -> bool {
        self.dtype.is(T::ELEMENT) && self.big_endian == cfg!(target_endian = "big")
    }

    /// Gaps between segments of lines are read over rather than jumped.
    fn reads_over(&self, segment: u64) -> bool {
        self.stride() - segment <= WORTH_A_JUMP.max(segment)
    }

    /// Lines that one thread reads in one go: as many as a piece of scratch takes.
    fn together(&self, segment: u64, room: u64) -> u64 {
        let gap = self.stride() - segment;
        if self.reads_over(segment) { (room + gap) / self.stride().max(1) } else { room / segment.max(1) }
            .max(1)
    }

    fn convert<T: Real>(&self, bytes: &[u8], mut out: ArrayViewMut1<T>) {
        match out.as_slice_mut() {
            Some(out) => convert(self.dtype, self.big_endian, bytes, out.iter_mut()),
            None => convert(self.dtype, self.big_endian, bytes, out.iter_mut()),
        }
    }
}

/// A file and its open device.
struct OpenPart<'a> {
    part: &'a Part,
    device: &'a Device,
}

impl OpenPart<'_> {
    /// Reads lines of the file that the block crosses and puts them in their place.
    fn read<T: Real>(
        &self,
        region: Region,
        out: &mut [T],
        scratch: &mut [u8],
        depth: &Depth,
    ) -> io::Result<u64> {
        let shape = (region.height() as usize, region.width() as usize);
        let Region { rows, cols } = region;
        let whole = cols.start == 0 && cols.end == self.part.cols && !self.part.fortran;
        if whole && self.part.is_native::<T>() {
            let offset = self.part.data + rows.start * self.part.stride();
            return self.device.read_span(offset, T::bytes_mut(out), scratch, depth);
        }
        let out = ArrayViewMut2::from_shape(shape, out).expect("the block has the size asked for");
        let (out, lines, across) =
            if self.part.fortran { (out.reversed_axes(), cols, rows) } else { (out, rows, cols) };
        let size = self.part.dtype.bytes();
        let segment = (across.end - across.start) * size;
        let bytes = (lines.end - lines.start) * segment;
        let pieces = Pieces::of_block(bytes);
        let together = self.part.together(segment, pieces.room() as u64).min(lines.end - lines.start);
        let place = |line: u64| self.part.data + line * self.part.stride() + across.start * size;
        let middle = lines.start + (lines.end - lines.start) / 2;
        let is_cached = || {
            [lines.start, middle, lines.end - 1].iter().all(|at| self.device.is_cached(place(*at), segment))
        };
        let alone = bytes < WORTH_THREADS || is_cached();
        let mut out = out;
        let mut groups = (lines.start..)
            .step_by(together as usize)
            .map(place)
            .zip(out.axis_chunks_iter_mut(Axis(0), together as usize));
        if alone {
            groups.try_fold(0, |sum, (at, out)| Ok(sum + self.read_lines(at, segment, out, scratch)?))
        } else {
            let read = |(at, out): (u64, ArrayViewMut2<T>), piece: &mut [u8]| {
                self.read_lines(at, segment, out, piece)
            };
            in_flight(groups, pieces, scratch, depth, read)
        }
    }

    /// Reads a segment of each of as many lines as `out` has, the first at `offset`.
    fn read_lines<T: Real>(
        &self,
        offset: u64,
        segment: u64,
        mut out: ArrayViewMut2<T>,
        scratch: &mut [u8],
    ) -> io::Result<u64> {
        let (stride, count) = (self.part.stride(), out.nrows() as u64);
        let length = (count - 1) * stride + segment;
        if count > 1 && self.part.reads_over(segment) && length <= scratch.len() as u64 {
            let bytes = self.device.borrow_at(offset, length as usize, scratch)?;
            for (segment_at, line) in (0..).step_by(stride as usize).zip(out.rows_mut()) {
                self.part.convert(&bytes[segment_at..segment_at + segment as usize], line);
            }
            return Ok(length);
        }
        for (at, mut line) in (offset..).step_by(stride as usize).zip(out.rows_mut()) {
            match line.as_slice_mut().filter(|_| self.part.is_native::<T>()) {
                Some(line) => self.device.read_at(at, T::bytes_mut(line), scratch)?,
                None => self.read_line(at, line, scratch)?,
            }
        }
        Ok(count * segment)
    }

    /// Reads and converts a segment of one line, in parts if the scratch is shorter.
    fn read_line<T: Real>(
        &self,
        offset: u64,
        mut line: ArrayViewMut1<T>,
        scratch: &mut [u8],
    ) -> io::Result<()> {
        let size = self.part.dtype.bytes() as usize;
        let most = Pieces::of_block((line.len() * size) as u64).room().min(scratch.len()) / size;
        assert!(most > 0 || line.is_empty(), "the scratch is as long as announced");
        let mut at = offset;
        for part in line.axis_chunks_iter_mut(Axis(0), most.max(1)) {
            let bytes = part.len() * size;
            self.part.convert(self.device.borrow_at(at, bytes, scratch)?, part);
            at += bytes as u64;
        }
        Ok(())
    }
}
