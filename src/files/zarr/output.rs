//! Writes Zarr arrays that appear under their names only when whole.

use super::metadata::{self, NAME};
use super::partial::{PartialDir, sync_below};
use super::window::{Window, windows};
use crate::array::Element;
use crate::data::{OutputFormat, OutputSpec, Real, Region, WriteBlocks};
use crate::files::disk::{Depth, Device, WORTH_DIRECT, allocate, free_space};
use crate::files::earlier::folder_of;
use crate::files::outputs::Unfinished;
use crate::files::shared;
use crate::files::{FileError, Moved};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Chunks are below this.
const CHUNKS: &str = "c";

/// A Zarr array in the making, written by blocks in any order from many threads. Chunks are not compressed.
pub struct ZarrOutput {
    partial: PartialDir,
    chunks: ZarrChunks,
}

/// The chunks of a Zarr array in the making, whoever made it.
pub(in crate::files) struct ZarrChunks {
    /// As the user says it.
    path: PathBuf,
    temporary: PathBuf,
    shape: (u64, u64),
    vector: bool,
    chunk: (u64, u64),
    element: Element,
    depth: Arc<Depth>,
}

impl ZarrOutput {
    /// A `rows × cols` matrix, or with no `cols` a vector of `rows` elements, in chunks of at most `chunk` rows and
    /// columns. A Zarr array of that name is replaced in the end; anything else is refused.
    pub fn create(
        path: &Path,
        rows: u64,
        cols: Option<u64>,
        chunk: (u64, u64),
        element: Element,
        depth: Arc<Depth>,
    ) -> Result<ZarrOutput, FileError> {
        let (vector, cols) = (cols.is_none(), cols.unwrap_or(1));
        let chunk = (chunk.0.clamp(1, rows.max(1)), chunk.1.clamp(1, cols.max(1)));
        // Chunks at the edges are written whole.
        let padded = rows.next_multiple_of(chunk.0).saturating_mul(cols.next_multiple_of(chunk.1));
        let needed = padded.saturating_mul(element.bytes());
        let partial = PartialDir::create(path)?;
        if let Some(free) = free_space(folder_of(&partial.temporary)).filter(|free| *free < needed) {
            return Err(FileError::NoSpace { path: path.into(), needed, free });
        }
        let failed = |error| FileError::Write { path: path.into(), error };
        let (path, temporary) = (path.into(), partial.temporary.clone());
        let chunks = ZarrChunks { path, temporary, shape: (rows, cols), vector, chunk, element, depth };
        fs::write(partial.temporary.join(NAME), chunks.metadata()).map_err(failed)?;
        fs::create_dir(partial.temporary.join(CHUNKS)).map_err(failed)?;
        Ok(ZarrOutput { partial, chunks })
    }
}

impl ZarrChunks {
    /// Opens what another process has made. No folder of an array is made, nor is anything taken away when this is
    /// dropped.
    pub fn open(spec: &OutputSpec, chunk: (u64, u64), depth: Arc<Depth>) -> Result<ZarrChunks, FileError> {
        let (path, temporary) = (spec.path.clone(), spec.partial.clone());
        let (vector, cols) = (spec.cols.is_none(), spec.cols.unwrap_or(1));
        let (shape, element) = ((spec.rows, cols), spec.element);
        let bytes = |(rows, cols): (u64, u64)| rows.checked_mul(cols)?.checked_mul(element.bytes());
        let is_possible = chunk.0 > 0 && chunk.1 > 0 && bytes(chunk).is_some() && bytes(shape).is_some();
        if !is_possible {
            return Err(shared::another(&temporary, "its shape is impossible"));
        }
        let chunks = ZarrChunks { path, temporary, shape, vector, chunk, element, depth };
        let expected = chunks.metadata();
        let mut found = String::new();
        let file = shared::open_partial_file(&chunks.temporary, NAME)?;
        let read = file.take(expected.len() as u64 + 1).read_to_string(&mut found);
        read.map_err(|error| shared::not_opened(&chunks.temporary, error))?;
        if found != expected {
            return Err(shared::another(&chunks.temporary, "its zarr.json differs"));
        }
        Ok(chunks)
    }

    fn metadata(&self) -> String {
        let ((rows, cols), (height, width)) = (self.shape, self.chunk);
        match self.vector {
            true => metadata::write(self.element, &[rows], &[height]),
            false => metadata::write(self.element, &[rows, cols], &[height, width]),
        }
    }
}

impl WriteBlocks for ZarrChunks {
    type Error = FileError;

    fn scratch_len(&self, _: u64, _: u64) -> u64 {
        0
    }

    /// Whole chunks are written with one request each, which its depth counts where they go past the page cache,
    /// parts of chunks row by row.
    fn write_block<T: Real>(&self, region: &Region, block: &[T], _: &mut [u8]) -> Moved {
        assert_eq!(self.element, T::ELEMENT, "elements are written as what the array holds");
        region.check(self.shape, block.len());
        let width = region.width() as usize;
        for window in windows(region, self.chunk) {
            self.write_chunk(&window, &block[window.first..], width)
                .map_err(|error| FileError::Write { path: self.path.clone(), error })?;
        }
        Ok(size_of_val(block) as u64)
    }

    fn as_spec(&self) -> Option<OutputSpec> {
        Some(OutputSpec {
            path: self.path.clone(),
            partial: std::path::absolute(&self.temporary).ok()?,
            format: OutputFormat::Zarr { chunk: self.chunk },
            rows: self.shape.0,
            cols: (!self.vector).then_some(self.shape.1),
            element: self.element,
        })
    }

    /// All files that are there, whoever wrote them, and the directories that name them.
    fn sync_written(&self) -> Result<(), FileError> {
        sync_below(&self.temporary).map_err(|error| FileError::Write { path: self.path.clone(), error })
    }
}

impl WriteBlocks for ZarrOutput {
    type Error = FileError;

    fn scratch_len(&self, rows: u64, cols: u64) -> u64 {
        self.chunks.scratch_len(rows, cols)
    }

    fn write_block<T: Real>(&self, region: &Region, block: &[T], scratch: &mut [u8]) -> Moved {
        self.chunks.write_block(region, block, scratch)
    }

    fn as_spec(&self) -> Option<OutputSpec> {
        self.chunks.as_spec()
    }

    fn sync_written(&self) -> Result<(), FileError> {
        self.chunks.sync_written()
    }
}

impl ZarrChunks {
    fn write_chunk<T: Real>(&self, window: &Window, block: &[T], width: usize) -> io::Result<()> {
        let path = self.file_of(window.tile);
        if !self.vector {
            self.make_row(folder_of(&path))?;
        }
        let (rows, cols) = self.chunk;
        if window.covers(self.chunk) && cols as usize == width {
            return self.write_whole_chunk(&path, T::bytes(&block[..(rows * cols) as usize]));
        }
        // Others may write the rest of the chunk; what nobody writes is behind the edge of the matrix, and zero.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let size = self.element.bytes();
        file.set_len(rows * cols * size)?;
        if window.part.cols == (0..cols) && cols as usize == width {
            let lines = &block[..window.part.height() as usize * width];
            return file.write_all_at(T::bytes(lines), window.part.rows.start * cols * size);
        }
        for (at, line) in (0..window.part.height()).zip(block.chunks(width)) {
            let place = ((window.part.rows.start + at) * cols + window.part.cols.start) * size;
            file.write_all_at(T::bytes(&line[..window.part.width() as usize]), place)?;
        }
        Ok(())
    }

    /// Not the folders above it: where the whole has been removed, as on a signal, nothing may come to be again.
    fn make_row(&self, folder: &Path) -> io::Result<()> {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// In large arrays past the page cache: their chunks are whole pages, and blocks of that size begin at a page.
    fn write_whole_chunk(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = File::create(path)?;
        let device = Device::buffered(file);
        if self.shape.0 * self.shape.1 * self.element.bytes() < WORTH_DIRECT {
            return device.write_at(0, bytes, &mut []);
        }
        allocate(device.file(), bytes.len() as u64)?;
        let device = device.past_cache(path);
        let active = self.depth.enter();
        let request = device.is_direct().then(|| active.request());
        device.write_at(0, bytes, &mut [])?;
        drop(request);
        active.moved(bytes.len() as u64);
        Ok(())
    }

    fn file_of(&self, (row, col): (u64, u64)) -> PathBuf {
        let folder = self.temporary.join(CHUNKS).join(row.to_string());
        if self.vector { folder } else { folder.join(col.to_string()) }
    }
}

impl Unfinished for ZarrOutput {
    fn path(&self) -> &Path {
        &self.partial.path
    }

    fn sync(&self) -> Result<(), FileError> {
        self.sync_written()
    }

    fn commit(&self) -> Result<(), FileError> {
        self.partial.commit().map_err(|error| FileError::Write { path: self.partial.path.clone(), error })
    }

    fn discard(&self) {
        self.partial.discard();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_removed_does_not_come_to_be_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zarr");
        let output = ZarrOutput::create(&path, 4, Some(4), (2, 2), Element::F64, Arc::default()).unwrap();
        output.write_block(&Region::new(0..2, 0..2), &[1.0; 4], &mut []).unwrap();
        fs::remove_dir_all(&output.partial.temporary).unwrap();
        for rows in [0..2, 2..4] {
            assert!(output.write_block(&Region::new(rows, 0..2), &[1.0; 4], &mut []).is_err());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
