//! Writes `.npy` files that appear under their names only when whole.

use super::header::Header;
use crate::array::Element;
use crate::data::{OutputFormat, OutputSpec, Real, Region, WriteBlocks};
use crate::files::disk::{Depth, Device, Pieces, WORTH_DIRECT, allocate, free_space};
use crate::files::earlier::folder_of;
use crate::files::outputs::Unfinished;
use crate::files::partial::Partial;
use crate::files::shared;
use crate::files::{FileError, Moved};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A `.npy` file in the making, written by blocks in any order from many threads.
pub struct NpyOutput {
    partial: Partial,
    blocks: NpyBlocks,
}

/// The elements of a `.npy` file in the making, whoever made it.
pub(in crate::files) struct NpyBlocks {
    /// As the user says it.
    path: PathBuf,
    temporary: PathBuf,
    device: Device,
    data: u64,
    rows: u64,
    /// None for a vector.
    cols: Option<u64>,
    element: Element,
    depth: Arc<Depth>,
}

impl NpyOutput {
    /// A `rows × cols` matrix, or with no `cols` a vector of `rows` elements; `depth` says how many requests
    /// its device gets at once.
    pub fn create(
        path: &Path,
        rows: u64,
        cols: Option<u64>,
        element: Element,
        depth: Arc<Depth>,
    ) -> Result<NpyOutput, FileError> {
        let header = header(rows, cols, element);
        let needed = header.len() as u64 + rows * cols.unwrap_or(1) * element.bytes();
        let (partial, file) = Partial::create(path)?;
        if let Some(free) = free_space(folder_of(&partial.temporary)).filter(|free| *free < needed) {
            return Err(FileError::NoSpace { path: path.into(), needed, free });
        }
        let failed = |error| FileError::Write { path: path.into(), error };
        allocate(&file, needed).map_err(failed)?;
        file.write_all_at(&header, 0).map_err(failed)?;
        let (path, temporary) = (path.into(), partial.temporary.clone());
        let device = device(file, needed, &temporary);
        let data = header.len() as u64;
        Ok(NpyOutput {
            partial,
            blocks: NpyBlocks { path, temporary, device, data, rows, cols, element, depth },
        })
    }

    /// Bytes of scratch that writing such a block wants; with less it has fewer requests in flight.
    pub fn scratch_of(rows: u64, cols: u64, element: Element) -> u64 {
        Pieces::of_block(rows * cols * element.bytes()).scratch_len()
    }
}

fn header(rows: u64, cols: Option<u64>, element: Element) -> Vec<u8> {
    let shape: Vec<u64> = [Some(rows), cols].into_iter().flatten().collect();
    Header::write(element, &shape)
}

/// Files that are large enough are written past the page cache.
fn device(file: File, bytes: u64, path: &Path) -> Device {
    let device = Device::buffered(file);
    if bytes < WORTH_DIRECT { device } else { device.past_cache(path) }
}

impl NpyBlocks {
    /// Opens what another process has made. Nothing is made, nor is anything taken away when this is dropped.
    pub fn open(spec: &OutputSpec, depth: Arc<Depth>) -> Result<NpyBlocks, FileError> {
        let (rows, cols, element) = (spec.rows, spec.cols, spec.element);
        let header = header(rows, cols, element);
        let elements = rows.checked_mul(cols.unwrap_or(1));
        let bytes = elements.and_then(|n| n.checked_mul(element.bytes()));
        let expected = bytes.and_then(|n| n.checked_add(header.len() as u64));
        let file = shared::open_partial(&spec.partial)?;
        let mut start = vec![0; header.len()];
        let about = file.metadata().map_err(|error| shared::not_opened(&spec.partial, error))?;
        if !about.is_file() || Some(about.len()) != expected {
            return Err(shared::another(&spec.partial, "its length differs"));
        }
        file.read_exact_at(&mut start, 0).map_err(|error| shared::not_opened(&spec.partial, error))?;
        if start != header {
            return Err(shared::another(&spec.partial, "its header differs"));
        }
        let (path, temporary) = (spec.path.clone(), spec.partial.clone());
        let device = device(file, about.len(), &temporary);
        Ok(NpyBlocks { path, temporary, device, data: header.len() as u64, rows, cols, element, depth })
    }

    fn failed(&self, error: io::Error) -> FileError {
        FileError::Write { path: self.path.clone(), error }
    }
}

impl WriteBlocks for NpyBlocks {
    type Error = FileError;

    fn scratch_len(&self, rows: u64, cols: u64) -> u64 {
        NpyOutput::scratch_of(rows, cols, self.element)
    }

    /// Has as many requests in flight as its depth allows. Blocks written at the same time must not overlap.
    fn write_block<T: Real>(&self, region: &Region, block: &[T], scratch: &mut [u8]) -> Moved {
        assert_eq!(self.element, T::ELEMENT, "elements are written as what the file holds");
        let cols = self.cols.unwrap_or(1);
        region.check((self.rows, cols), block.len());
        let size = self.element.bytes();
        let width = region.width();
        let (bytes, stride) = (T::bytes(block), cols * size);
        let offset = self.data + region.rows.start * stride + region.cols.start * size;
        let written = if width == cols {
            self.device.write_span(offset, bytes, scratch, &self.depth)
        } else {
            self.device.write_lines(offset, stride, bytes, (width * size) as usize, scratch, &self.depth)
        };
        written.map_err(|e| self.failed(e))
    }

    fn as_spec(&self) -> Option<OutputSpec> {
        Some(OutputSpec {
            path: self.path.clone(),
            partial: std::path::absolute(&self.temporary).ok()?,
            format: OutputFormat::Npy,
            rows: self.rows,
            cols: self.cols,
            element: self.element,
        })
    }

    fn sync_written(&self) -> Result<(), FileError> {
        self.device.file().sync_data().map_err(|e| self.failed(e))
    }
}

impl WriteBlocks for NpyOutput {
    type Error = FileError;

    fn scratch_len(&self, rows: u64, cols: u64) -> u64 {
        self.blocks.scratch_len(rows, cols)
    }

    fn write_block<T: Real>(&self, region: &Region, block: &[T], scratch: &mut [u8]) -> Moved {
        self.blocks.write_block(region, block, scratch)
    }

    fn as_spec(&self) -> Option<OutputSpec> {
        self.blocks.as_spec()
    }

    fn sync_written(&self) -> Result<(), FileError> {
        self.blocks.sync_written()
    }
}

impl Unfinished for NpyOutput {
    fn path(&self) -> &Path {
        &self.partial.path
    }

    fn sync(&self) -> Result<(), FileError> {
        self.sync_written()
    }

    fn commit(&self) -> Result<(), FileError> {
        self.partial.commit()
    }

    fn discard(&self) {
        self.partial.discard();
    }
}
