//! What matrices are read from and written to.

use super::numbers::{Numbers, NumbersMut, Real};
use super::region::Region;
use super::spec::{InputSpec, OutputSpec};
use crate::array::Element;
use crate::failure::Failure;
use std::path::PathBuf;

/// The pieces that a matrix is stored in, which are best read whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunks {
    /// Rows and columns of each.
    pub shape: (u64, u64),
    /// Rows that are read together: a single one where chunks are plain elements, else all.
    pub rows_together: u64,
}

/// A matrix that can be read in parts, in any order, from many threads.
pub trait Source: Send + Sync {
    /// Bytes of scratch that reading such a part needs.
    fn scratch(&self, rows: u64, cols: u64) -> u64;

    /// Fills `out`, row by row, with the part of the matrix; returns the bytes read from a device.
    fn read(&self, region: &Region, out: NumbersMut<'_>, scratch: &mut [u8]) -> Result<u64, Failure>;

    /// The pieces that it is stored in, if it is.
    fn chunks(&self) -> Option<Chunks>;

    /// Names an element for the user: file, row and column.
    fn place(&self, row: u64, col: u64) -> String;

    /// Fails if what was read is not what is there now: the matrix may be part old, part new.
    fn check_unchanged(&self) -> Result<(), Failure>;

    /// The files or directories that it is read from.
    fn files(&self) -> Vec<PathBuf>;

    /// What another process opens it by; none if only this one has it.
    fn spec(&self) -> Option<InputSpec>;
}

/// A matrix that can be written in parts, in any order, from many threads.
pub trait Sink: Send + Sync {
    /// Bytes of scratch that writing such a part needs.
    fn scratch(&self, rows: u64, cols: u64, element: Element) -> u64;

    /// Writes a row-major block; returns the bytes written to a device.
    fn write(&self, region: &Region, block: Numbers<'_>, scratch: &mut [u8]) -> Result<u64, Failure>;

    /// What another process opens it by, to write parts of it too; none if only this one has it.
    fn spec(&self) -> Option<OutputSpec> {
        None
    }

    /// All that this process wrote to the disk. Others' parts are theirs to bring there: on a network file system
    /// nobody can do it for them.
    fn sync(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A [`Source`] that is written once for both element types.
pub trait ReadBlocks: Send + Sync {
    type Error: Into<Failure>;

    /// As [`Source::scratch`].
    fn scratch_len(&self, rows: u64, cols: u64) -> u64;

    /// As [`Source::read`], for a part inside of the matrix and an `out` that is as long as it.
    fn read_block<T: Real>(
        &self,
        region: &Region,
        out: &mut [T],
        scratch: &mut [u8],
    ) -> Result<u64, Self::Error>;

    /// As [`Source::chunks`].
    fn chunks(&self) -> Option<Chunks> {
        None
    }

    /// As [`Source::place`].
    fn place_of(&self, row: u64, col: u64) -> String;

    /// As [`Source::check_unchanged`].
    fn check_same(&self) -> Result<(), Self::Error>;

    /// As [`Source::files`].
    fn paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// As [`Source::spec`].
    fn as_spec(&self) -> Option<InputSpec> {
        None
    }
}

impl<S: ReadBlocks> Source for S {
    fn scratch(&self, rows: u64, cols: u64) -> u64 {
        self.scratch_len(rows, cols)
    }

    fn read(&self, region: &Region, out: NumbersMut<'_>, scratch: &mut [u8]) -> Result<u64, Failure> {
        match out {
            NumbersMut::F32(out) => self.read_block(region, out, scratch),
            NumbersMut::F64(out) => self.read_block(region, out, scratch),
        }
        .map_err(Into::into)
    }

    fn chunks(&self) -> Option<Chunks> {
        ReadBlocks::chunks(self)
    }

    fn place(&self, row: u64, col: u64) -> String {
        self.place_of(row, col)
    }

    fn check_unchanged(&self) -> Result<(), Failure> {
        self.check_same().map_err(Into::into)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.paths()
    }

    fn spec(&self) -> Option<InputSpec> {
        self.as_spec()
    }
}

/// A [`Sink`] that is written once for both element types.
pub trait WriteBlocks: Send + Sync {
    type Error: Into<Failure>;

    /// As [`Sink::scratch`], for the elements that it holds.
    fn scratch_len(&self, rows: u64, cols: u64) -> u64;

    /// As [`Sink::write`], for a part inside of the matrix and a block that is as long as it.
    fn write_block<T: Real>(
        &self,
        region: &Region,
        block: &[T],
        scratch: &mut [u8],
    ) -> Result<u64, Self::Error>;

    /// As [`Sink::spec`].
    fn as_spec(&self) -> Option<OutputSpec>;

    /// As [`Sink::sync`].
    fn sync_written(&self) -> Result<(), Self::Error>;
}

impl<S: WriteBlocks> Sink for S {
    fn scratch(&self, rows: u64, cols: u64, _: Element) -> u64 {
        self.scratch_len(rows, cols)
    }

    fn write(&self, region: &Region, block: Numbers<'_>, scratch: &mut [u8]) -> Result<u64, Failure> {
        match block {
            Numbers::F32(block) => self.write_block(region, block, scratch),
            Numbers::F64(block) => self.write_block(region, block, scratch),
        }
        .map_err(Into::into)
    }

    fn spec(&self) -> Option<OutputSpec> {
        self.as_spec()
    }

    fn sync(&self) -> Result<(), Failure> {
        self.sync_written().map_err(Into::into)
    }
}
