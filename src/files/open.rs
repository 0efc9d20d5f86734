//! Opens inputs by their names, and inputs and outputs by what another process says of them.

#[cfg(feature = "hdf5")]
use super::hdf5::Hdf5Input;
use super::npy::NpyBlocks;
use super::shared;
use super::zarr::ZarrChunks;
use super::{DatasetName, Depth, FileError, NpyInput, ZarrInput};
use crate::array::Element;
use crate::data::{InputFormat, InputSpec, OutputFormat, OutputSpec, Sink, Source};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A source, its rows and columns, and the type that it is computed in. It is narrow if f32 would round none of it.
pub struct Opened {
    pub source: Arc<dyn Source>,
    pub shape: (u64, u64),
    pub element: Element,
    pub narrow: bool,
}

/// Opens a Zarr array of version 3, that is its directory; a dataset of an HDF5 file, as `a.h5:/path/of/it` or the
/// file alone if there is one matrix in it; or a `.npy` file, or several with equal columns as one tall matrix. Only
/// headers are read. Files that exceed `cache_room` bytes are read past the page cache.
pub fn open_paths(paths: &[PathBuf], cache_room: u64, depth: Arc<Depth>) -> Result<Opened, FileError> {
    let alone = |path: &Path| match paths.len() {
        1 => Ok(()),
        _ => Err(FileError::Alone { path: path.into() }),
    };
    if let Some(path) = paths.iter().find(|path| path.is_dir()) {
        alone(path)?;
        return open_zarr(path);
    }
    if let Some((path, name)) = paths.iter().find_map(|path| Some((path, DatasetName::of(path)?))) {
        alone(path)?;
        return open_hdf5(&name);
    }
    open_npy(paths, cache_room, depth)
}

/// Opens what another process calls `spec`, with the other arguments as of [`open_paths`].
///
/// # Errors
/// If it is not there, or is not the same.
pub fn open_input(
    spec: &InputSpec,
    cache_room: u64,
    depth: Arc<Depth>,
) -> Result<Arc<dyn Source>, FileError> {
    let paths: Vec<PathBuf> = spec.files.iter().map(|file| file.path.clone()).collect();
    paths.iter().try_for_each(|path| check_there(path))?;
    let opened = match (&spec.format, &paths[..]) {
        (InputFormat::Npy, paths) => open_npy(paths, cache_room, depth),
        (InputFormat::Zarr { path }, _) => open_zarr(path),
        (InputFormat::Hdf5 { dataset }, [file]) => {
            open_hdf5(&DatasetName { file: file.clone(), dataset: Some(dataset.clone()) })
        }
        (InputFormat::Hdf5 { dataset }, _) => Err(shared::another(Path::new(dataset), "it needs one file")),
    };
    let source = opened?.source;
    check_same(spec, &source.spec())?;
    Ok(source)
}

fn check_there(path: &Path) -> Result<(), FileError> {
    if !path.is_absolute() {
        return Err(shared::another(path, "its path is not absolute"));
    }
    std::fs::metadata(path).map(|_| ()).map_err(|error| shared::not_opened(path, error))
}

/// Says how what was found differs from what is meant.
fn check_same(meant: &InputSpec, found: &Option<InputSpec>) -> Result<(), FileError> {
    let Some(found) = found.as_ref().filter(|found| *found != meant) else { return Ok(()) };
    let mut pairs = meant.files.iter().zip(&found.files);
    let is_as_many = meant.files.len() == found.files.len();
    let (path, what) = match pairs.find(|(meant, found)| meant != found) {
        Some((meant, found)) if meant.bytes != found.bytes => (meant.path.as_path(), "its length differs"),
        Some((meant, _)) => (meant.path.as_path(), "its time of change differs"),
        None => {
            let path = found.files.first().map_or(Path::new(""), |file| file.path.as_path());
            let what = match (is_as_many, meant.shape == found.shape, meant.element == found.element) {
                (false, _, _) => "it has other files",
                (_, false, _) => "its shape differs",
                (_, _, false) => "its type differs",
                _ => "its format differs",
            };
            (path, what)
        }
    };
    Err(shared::another(path, what))
}

/// Opens an output in the making that another process has made, to write parts of it. It is never given its name nor
/// removed from here.
///
/// # Errors
/// If it is not there, or is not the same.
pub fn open_output(spec: &OutputSpec, depth: Arc<Depth>) -> Result<Arc<dyn Sink>, FileError> {
    Ok(match spec.format {
        OutputFormat::Npy => Arc::new(NpyBlocks::open(spec, depth)?),
        OutputFormat::Zarr { chunk } => Arc::new(ZarrChunks::open(spec, chunk, depth)?),
    })
}

fn open_npy(paths: &[PathBuf], cache_room: u64, depth: Arc<Depth>) -> Result<Opened, FileError> {
    let input = NpyInput::open(paths, cache_room, depth)?;
    Ok(Opened {
        shape: input.shape(),
        element: input.element(),
        narrow: input.is_narrow(),
        source: Arc::new(input),
    })
}

fn open_zarr(path: &Path) -> Result<Opened, FileError> {
    let input = ZarrInput::open(path)?;
    Ok(Opened {
        shape: input.shape(),
        element: input.element(),
        narrow: input.is_narrow(),
        source: Arc::new(input),
    })
}

#[cfg(not(feature = "hdf5"))]
fn open_hdf5(name: &DatasetName) -> Result<Opened, FileError> {
    Err(FileError::NoHdf5 { path: name.file.clone() })
}

#[cfg(feature = "hdf5")]
fn open_hdf5(name: &DatasetName) -> Result<Opened, FileError> {
    let input = Hdf5Input::open(name)?;
    Ok(Opened {
        shape: input.shape(),
        element: input.element(),
        narrow: input.is_narrow(),
        source: Arc::new(input),
    })
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
