//! Writes `.npy` files that appear under their names only when whole.

use super::header::Header;
use crate::array::Element;
use crate::data::{Real, Region, WriteBlocks};
use crate::files::disk::{Depth, Device, Pieces, WORTH_DIRECT, allocate, free_space};
use crate::files::earlier::folder_of;
use crate::files::outputs::Unfinished;
use crate::files::partial::Partial;
use crate::files::{FileError, Moved};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// A `.npy` file in the making, written by blocks in any order from many threads.
pub struct NpyOutput {
    partial: Partial,
    device: Device,
    data: u64,
    cols: u64,
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
        let shape: Vec<u64> = [Some(rows), cols].into_iter().flatten().collect();
        let header = Header::write(element, &shape);
        let cols = cols.unwrap_or(1);
        let needed = header.len() as u64 + rows * cols * element.bytes();
        let (partial, file) = Partial::create(path)?;
        if let Some(free) = free_space(folder_of(&partial.temporary)).filter(|free| *free < needed) {
            return Err(FileError::NoSpace { path: path.into(), needed, free });
        }
        let failed = |error| FileError::Write { path: path.into(), error };
        allocate(&file, needed).map_err(failed)?;
        file.write_all_at(&header, 0).map_err(failed)?;
        let device = Device::buffered(file);
        let device = if needed < WORTH_DIRECT { device } else { device.past_cache(&partial.temporary) };
        Ok(NpyOutput { partial, device, data: header.len() as u64, cols, element, depth })
    }

    /// Bytes of scratch that writing such a block wants; with less it has fewer requests in flight.
    pub fn scratch_of(rows: u64, cols: u64, element: Element) -> u64 {
        Pieces::of_block(rows * cols * element.bytes()).scratch_len()
    }

    fn failed(&self, error: io::Error) -> FileError {
        FileError::Write { path: self.partial.path.clone(), error }
    }
}

impl WriteBlocks for NpyOutput {
    type Error = FileError;

    fn scratch_len(&self, rows: u64, cols: u64) -> u64 {
        NpyOutput::scratch_of(rows, cols, self.element)
    }

    /// Has as many requests in flight as its depth allows. Blocks written at the same time must not overlap.
    fn write_block<T: Real>(&self, region: &Region, block: &[T], scratch: &mut [u8]) -> Moved {
        assert_eq!(self.element, T::ELEMENT, "elements are written as what the file holds");
        let size = self.element.bytes();
        assert_eq!(block.len() as u64, region.elements(), "the block has the size of the region");
        let width = region.width();
        let (bytes, stride) = (T::bytes(block), self.cols * size);
        let offset = self.data + region.rows.start * stride + region.cols.start * size;
        let written = if width == self.cols {
            self.device.write_span(offset, bytes, scratch, &self.depth)
        } else {
            self.device.write_lines(offset, stride, bytes, (width * size) as usize, scratch, &self.depth)
        };
        written.map_err(|e| self.failed(e))
    }
}

impl Unfinished for NpyOutput {
    fn path(&self) -> &Path {
        &self.partial.path
    }

    fn sync(&self) -> Result<(), FileError> {
        self.device.file().sync_data().map_err(|e| self.failed(e))
    }

    fn commit(&self) -> Result<(), FileError> {
        self.partial.commit()
    }

    fn discard(&self) {
        self.partial.discard();
    }
}
