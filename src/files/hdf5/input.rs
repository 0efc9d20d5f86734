//! Reads a dataset by blocks: any rows, any columns, any order.
//!
//! HDF5 is not re-entrant. `hdf5_metno` has one lock for all of it, so however many threads ask, one request is worked
//! on at a time, decompression included.

use super::choose::choose;
use super::dtype::dtype;
use super::name::DatasetName;
use crate::array::Element;
use crate::data::{Chunks, InputFormat, InputSpec, ReadBlocks, Real, Region};
use crate::files::FileError;
use crate::files::dtype::DType;
use crate::files::unchanged::{self, Identity};
use hdf5_metno::sync::sync;
use hdf5_metno::{Dataset, Dataspace, Datatype, Error, File, Selection, h5check};
use hdf5_metno_sys::h5d::H5Dread;
use hdf5_metno_sys::h5p::H5P_DEFAULT;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Bytes of chunks that the library keeps for each dataset, and hash slots for them. The library's own default differs
/// between its versions.
const CHUNK_CACHE: u64 = 1 << 20;
const CHUNK_SLOTS: usize = 521;
/// Which chunks go first; the library's default.
const CHUNK_PREEMPTION: f64 = 0.75;
/// The library converts elements through two buffers of 1 MiB, and reads short parts of rows through one of 64 KiB.
const BUFFERS: u64 = (2 << 20) + (64 << 10);
/// A compressed chunk and what each filter makes of it, where an output may have grown into twice the room it needs.
const FILTERED_COPIES: u64 = 4;
/// Bytes of the library's notes on a chunk that a request touches: 3.9 KB as measured with 1.10.8.
const NOTES_OF_CHUNK: u64 = 4 << 10;

/// A dataset of one or two dimensions as a matrix. A vector is one column.
pub struct Hdf5Input {
    /// The file and, behind a colon, the dataset.
    path: PathBuf,
    /// The file alone, and what it was when it was opened.
    file: PathBuf,
    identity: Identity,
    dataset: Dataset,
    /// The path of the dataset within the file.
    within: String,
    dtype: DType,
    shape: (u64, u64),
    vector: bool,
    chunk: Option<(u64, u64)>,
    filtered: bool,
}

impl Hdf5Input {
    /// Opens the file and finds the dataset; no element is read.
    pub fn open(name: &DatasetName) -> Result<Hdf5Input, FileError> {
        let (file, identity) = open_file(&name.file)?;
        let (dataset, within) = choose(&file, name)?;
        let path = PathBuf::from(format!("{}:{within}", name.file.display()));
        let dtype = dtype(&dataset).map_err(|dtype| FileError::DType { path: path.clone(), dtype })?;
        let lengths: Vec<u64> = dataset.shape().into_iter().map(|length| length as u64).collect();
        let (shape, vector) = match lengths[..] {
            [rows] => ((rows, 1), true),
            [rows, cols] => ((rows, cols), false),
            _ => return Err(FileError::Dimensions { path, dimensions: lengths.len() }),
        };
        if shape.0.checked_mul(shape.1).and_then(|n| n.checked_mul(dtype.bytes())).is_none() {
            return Err(FileError::NotHdf5 { path, why: "a shape like this is impossible".into() });
        }
        let chunk = dataset.chunk().and_then(|chunk| match chunk[..] {
            [rows] => Some((rows as u64, 1)),
            [rows, cols] => Some((rows as u64, cols as u64)),
            _ => None,
        });
        let filtered = !dataset.filters().is_empty();
        Ok(Hdf5Input {
            path,
            file: name.file.clone(),
            identity,
            dataset,
            within,
            dtype,
            shape,
            vector,
            chunk,
            filtered,
        })
    }

    /// (rows, columns)
    pub fn shape(&self) -> (u64, u64) {
        self.shape
    }

    /// The type that the matrix is computed in.
    pub fn element(&self) -> Element {
        self.dtype.element()
    }

    /// True if f32 would round none of it.
    pub fn is_narrow(&self) -> bool {
        self.dtype.is_narrow()
    }
}

impl ReadBlocks for Hdf5Input {
    type Error = FileError;

    /// Bytes that the library allocates by itself for such a block, its chunk cache included. No buffer of this length
    /// is used, but the limit on memory covers it.
    fn scratch_len(&self, rows: u64, cols: u64) -> u64 {
        let Some((high, wide)) = self.chunk else { return BUFFERS };
        // A block may begin within a chunk.
        let crossed = |length: u64, chunk: u64| length.div_ceil(chunk) + 1;
        let notes = crossed(rows, high).saturating_mul(crossed(cols, wide)).saturating_mul(NOTES_OF_CHUNK);
        let chunk_bytes = high * wide * self.dtype.bytes();
        let decoding = if self.filtered { FILTERED_COPIES * chunk_bytes } else { 0 };
        BUFFERS + CHUNK_CACHE + decoding.saturating_add(notes)
    }

    /// The library converts byte order and type. Waits for requests of other threads. The bytes are those of the
    /// elements read, before compression.
    fn read_block<T: Real>(&self, region: &Region, out: &mut [T], _: &mut [u8]) -> Result<u64, FileError> {
        region.check(self.shape, out.len());
        let elements = region.elements();
        if elements > 0 {
            let place = |range: &Range<u64>| range.start as usize..range.end as usize;
            self.read(place(&region.rows), place(&region.cols), out).map_err(|error| FileError::Read {
                path: self.path.clone(),
                error: io::Error::other(error.to_string()),
            })?;
        }
        Ok(elements * self.dtype.bytes())
    }

    fn chunks(&self) -> Option<Chunks> {
        self.chunk.map(|shape| Chunks { shape, rows_together: shape.0 })
    }

    fn place_of(&self, row: u64, col: u64) -> String {
        format!("{}: row {row}, column {col}", self.path.display())
    }

    /// Files behind external links are not looked at.
    fn check_same(&self) -> Result<(), FileError> {
        match Identity::at(&self.file) {
            Ok(Some(now)) if now == self.identity => Ok(()),
            Ok(_) => Err(FileError::Changed { path: self.file.clone() }),
            Err(error) => Err(FileError::Read { path: self.file.clone(), error }),
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }

    /// Files behind external links are not in it.
    fn as_spec(&self) -> Option<InputSpec> {
        let format = InputFormat::Hdf5 { dataset: self.within.clone() };
        let files = vec![self.identity.spec(&self.file)?];
        Some(InputSpec { format, files, shape: self.shape, element: self.element() })
    }
}

impl Hdf5Input {
    fn read<T: Real>(&self, rows: Range<usize>, cols: Range<usize>, out: &mut [T]) -> Result<(), Error> {
        // The library is quick, and frugal, only where the block has the shape of what is selected.
        let (here, selection) = match self.vector {
            true => (Dataspace::try_new(rows.len())?, Selection::new(rows)),
            false => (Dataspace::try_new((rows.len(), cols.len()))?, Selection::new((rows, cols))),
        };
        sync(|| {
            let there = self.dataset.space()?.select(selection)?;
            if there.selection_size() != out.len() {
                return Err("the dataset is smaller than it was when it was opened".into());
            }
            let kind = match T::ELEMENT {
                Element::F32 => Datatype::from_type::<f32>()?,
                Element::F64 => Datatype::from_type::<f64>()?,
            };
            let to = out.as_mut_ptr().cast();
            // SAFETY: `out` has room for as many elements of `kind` as are selected, and the library is ours alone
            // here.
            let status =
                unsafe { H5Dread(self.dataset.id(), kind.id(), here.id(), there.id(), H5P_DEFAULT, to) };
            h5check(status).map(|_| ())
        })
    }
}

fn open_file(path: &Path) -> Result<(File, Identity), FileError> {
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => FileError::Missing { path: path.into() },
        _ => FileError::Open { path: path.into(), error },
    };
    let plain = unchanged::open(path).map_err(failed)?;
    let identity = Identity::of(&plain.metadata().map_err(failed)?);
    // The crate takes only names that are UTF-8.
    let other_name = PathBuf::from(format!("/proc/self/fd/{}", plain.as_raw_fd()));
    let name = if path.to_str().is_some() { path } else { &other_name };
    let mut options = File::with_options();
    options.with_fapl(|access| access.chunk_cache(CHUNK_SLOTS, CHUNK_CACHE as usize, CHUNK_PREEMPTION));
    let file = options.open(name).map_err(|error| FileError::NotHdf5 {
        path: path.into(),
        why: error.to_string().replace('\n', " "),
    })?;
    Ok((file, identity))
}
