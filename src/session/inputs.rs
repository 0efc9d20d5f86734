//! Inputs and outputs as the kernels' threads see them.

use crate::array::Element;
use crate::exec::{Chunks, Sink, Source};
#[cfg(feature = "hdf5")]
use crate::files::Hdf5Input;
use crate::files::{DatasetName, Depth, FileError, Format, NpyInput, NpyOutput, ZarrInput, ZarrOutput};
use crate::sched::{Blame, Failure};
use crate::store::{Numbers, NumbersMut, Real};
use ndarray::{Array2, ArrayViewMut2, s};
use std::ops::Range;
use std::sync::Arc;

/// A matrix in the user's memory.
pub(super) struct InMemory<T>(pub Array2<T>);

impl<T: Real> Source for InMemory<T> {
    fn scratch(&self, _: u64, _: u64, _: Element) -> u64 {
        0
    }

    fn read(
        &self,
        rows: Range<u64>,
        cols: Range<u64>,
        out: NumbersMut<'_>,
        _: &mut [u8],
    ) -> Result<u64, Failure> {
        let part = s![rows.start as usize..rows.end as usize, cols.start as usize..cols.end as usize];
        let part = self.0.slice(part);
        let out = T::from_numbers(out).expect("an array is read as what it is");
        ArrayViewMut2::from_shape(part.dim(), out).expect("the block has the part's shape").assign(&part);
        Ok(0)
    }

    fn place(&self, row: u64, col: u64) -> String {
        format!("the array in memory: row {row}, column {col}")
    }
}

/// One or several `.npy` files as one matrix.
pub(super) struct FromFiles {
    pub input: NpyInput,
    pub depth: Arc<Depth>,
}

fn failure(error: FileError) -> Failure {
    let blame = if error.is_request_error() { Blame::Request } else { Blame::Run };
    Failure { blame, message: error.to_string() }
}

impl Source for FromFiles {
    fn scratch(&self, rows: u64, cols: u64, _: Element) -> u64 {
        self.input.scratch_len(rows, cols)
    }

    fn read(
        &self,
        rows: Range<u64>,
        cols: Range<u64>,
        out: NumbersMut<'_>,
        scratch: &mut [u8],
    ) -> Result<u64, Failure> {
        match out {
            NumbersMut::F32(out) => self.input.read_block(rows, cols, out, scratch, &self.depth),
            NumbersMut::F64(out) => self.input.read_block(rows, cols, out, scratch, &self.depth),
        }
        .map_err(failure)
    }

    fn place(&self, row: u64, col: u64) -> String {
        let (path, row) = self.input.place(row);
        format!("{}: row {row}, column {col}", path.display())
    }
}

/// A Zarr array.
pub(super) struct FromZarr(pub ZarrInput);

impl Source for FromZarr {
    fn scratch(&self, rows: u64, cols: u64, _: Element) -> u64 {
        self.0.scratch_len(rows, cols)
    }

    fn read(
        &self,
        rows: Range<u64>,
        cols: Range<u64>,
        out: NumbersMut<'_>,
        scratch: &mut [u8],
    ) -> Result<u64, Failure> {
        match out {
            NumbersMut::F32(out) => self.0.read_block(rows, cols, out, scratch),
            NumbersMut::F64(out) => self.0.read_block(rows, cols, out, scratch),
        }
        .map_err(failure)
    }

    fn chunks(&self) -> Option<Chunks> {
        let shape = self.0.chunk();
        Some(Chunks { shape, rows_together: if self.0.is_plain() { 1 } else { shape.0 } })
    }

    fn place(&self, row: u64, col: u64) -> String {
        format!("{}: row {row}, column {col}", self.0.path().display())
    }
}

/// A source, its rows and columns, and the type that it is computed in.
pub(super) type Opened = (Arc<dyn Source>, (u64, u64), Element);

#[cfg(not(feature = "hdf5"))]
pub(super) fn open_hdf5(name: &DatasetName) -> Result<Opened, FileError> {
    Err(FileError::NoHdf5 { path: name.file.clone() })
}

#[cfg(feature = "hdf5")]
pub(super) fn open_hdf5(name: &DatasetName) -> Result<Opened, FileError> {
    let input = Hdf5Input::open(name)?;
    let (shape, element) = (input.shape(), input.element());
    Ok((Arc::new(FromHdf5(input)), shape, element))
}

/// A dataset of an HDF5 file.
#[cfg(feature = "hdf5")]
struct FromHdf5(Hdf5Input);

#[cfg(feature = "hdf5")]
impl Source for FromHdf5 {
    fn scratch(&self, rows: u64, cols: u64, _: Element) -> u64 {
        self.0.scratch_len(rows, cols)
    }

    fn read(
        &self,
        rows: Range<u64>,
        cols: Range<u64>,
        out: NumbersMut<'_>,
        _: &mut [u8],
    ) -> Result<u64, Failure> {
        match out {
            NumbersMut::F32(out) => self.0.read_block(rows, cols, out),
            NumbersMut::F64(out) => self.0.read_block(rows, cols, out),
        }
        .map_err(failure)
    }

    fn chunks(&self) -> Option<Chunks> {
        self.0.chunk().map(|shape| Chunks { shape, rows_together: shape.0 })
    }

    fn place(&self, row: u64, col: u64) -> String {
        format!("{}: row {row}, column {col}", self.0.path().display())
    }
}

/// A Zarr array in the making.
pub(super) struct ToZarr {
    pub output: Arc<ZarrOutput>,
    pub depth: Arc<Depth>,
}

impl Sink for ToZarr {
    fn scratch(&self, _: u64, _: u64, _: Element) -> u64 {
        0
    }

    fn write(
        &self,
        rows: Range<u64>,
        cols: Range<u64>,
        block: Numbers<'_>,
        _: &mut [u8],
    ) -> Result<u64, Failure> {
        match block {
            Numbers::F32(values) => self.output.write_block(rows, cols, values, &self.depth),
            Numbers::F64(values) => self.output.write_block(rows, cols, values, &self.depth),
        }
        .map_err(failure)
    }
}

/// A `.npy` file in the making.
pub(super) struct ToFile {
    pub output: Arc<NpyOutput>,
    pub depth: Arc<Depth>,
}

impl Sink for ToFile {
    fn scratch(&self, rows: u64, cols: u64, element: Element) -> u64 {
        NpyOutput::scratch_len(rows, cols, element)
    }

    fn write(
        &self,
        rows: Range<u64>,
        cols: Range<u64>,
        block: Numbers<'_>,
        scratch: &mut [u8],
    ) -> Result<u64, Failure> {
        match block {
            Numbers::F32(values) => self.output.write_block(rows, cols, values, scratch, &self.depth),
            Numbers::F64(values) => self.output.write_block(rows, cols, values, scratch, &self.depth),
        }
        .map_err(failure)
    }
}

/// A file that a plan counts with and nobody has made yet.
pub(super) struct Planned(pub Format);

impl Sink for Planned {
    fn scratch(&self, rows: u64, cols: u64, element: Element) -> u64 {
        match self.0 {
            Format::Npy => NpyOutput::scratch_len(rows, cols, element),
            Format::Zarr => 0,
        }
    }

    fn write(&self, _: Range<u64>, _: Range<u64>, _: Numbers<'_>, _: &mut [u8]) -> Result<u64, Failure> {
        Err(Failure { blame: Blame::Run, message: "a plan was run before its files were made".into() })
    }
}
