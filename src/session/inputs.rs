//! Inputs by their names, and results that are only planned.

use crate::array::Element;
use crate::data::{Numbers, Region, Sink, Source};
use crate::failure::Failure;
#[cfg(feature = "hdf5")]
use crate::files::Hdf5Input;
use crate::files::{DatasetName, Depth, FileError, Format, NpyInput, NpyOutput, ZarrInput};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A source, its rows and columns, and the type that it is computed in.
pub(super) struct Opened {
    pub source: Arc<dyn Source>,
    pub shape: (u64, u64),
    pub element: Element,
}

/// Opens a Zarr array of version 3, that is its directory; a dataset of an HDF5 file, as `a.h5:/path/of/it` or the
/// file alone if there is one matrix in it; or a `.npy` file, or several with equal columns as one tall matrix. Only
/// headers are read. Files that exceed `cache_room` bytes are read past the page cache.
pub(super) fn open(paths: &[PathBuf], cache_room: u64, depth: Arc<Depth>) -> Result<Opened, FileError> {
    let alone = |path: &Path| match paths.len() {
        1 => Ok(()),
        _ => Err(FileError::Alone { path: path.into() }),
    };
    if let Some(path) = paths.iter().find(|path| path.is_dir()) {
        alone(path)?;
        let input = ZarrInput::open(path)?;
        return Ok(Opened { shape: input.shape(), element: input.element(), source: Arc::new(input) });
    }
    if let Some((path, name)) = paths.iter().find_map(|path| Some((path, DatasetName::of(path)?))) {
        alone(path)?;
        return open_hdf5(&name);
    }
    let input = NpyInput::open(paths, cache_room, depth)?;
    Ok(Opened { shape: input.shape(), element: input.element(), source: Arc::new(input) })
}

#[cfg(not(feature = "hdf5"))]
fn open_hdf5(name: &DatasetName) -> Result<Opened, FileError> {
    Err(FileError::NoHdf5 { path: name.file.clone() })
}

#[cfg(feature = "hdf5")]
fn open_hdf5(name: &DatasetName) -> Result<Opened, FileError> {
    let input = Hdf5Input::open(name)?;
    Ok(Opened { shape: input.shape(), element: input.element(), source: Arc::new(input) })
}

/// A file that a plan counts with and nobody has made yet.
pub(super) struct PlannedFile(pub Format);

impl Sink for PlannedFile {
    fn scratch(&self, rows: u64, cols: u64, element: Element) -> u64 {
        match self.0 {
            Format::Npy => NpyOutput::scratch_of(rows, cols, element),
            Format::Zarr => 0,
        }
    }

    fn write(&self, _: &Region, _: Numbers<'_>, _: &mut [u8]) -> Result<u64, Failure> {
        Err(Failure::of_run("a plan was run before its files were made"))
    }
}
