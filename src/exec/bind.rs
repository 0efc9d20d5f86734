//! What a program's names stand for in this process: inputs, outputs and functions.

use super::failure::broken;
use super::functions::Functions;
use crate::array::{Element, InputId};
use crate::sched::Failure;
use crate::store::{Numbers, NumbersMut};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    fn scratch(&self, rows: u64, cols: u64, element: Element) -> u64;

    /// Fills `out`, row by row, with the part of the matrix; returns the bytes read from a device.
    fn read(
        &self,
        rows: Range<u64>,
        cols: Range<u64>,
        out: NumbersMut<'_>,
        scratch: &mut [u8],
    ) -> Result<u64, Failure>;

    /// The pieces that it is stored in, if it is.
    fn chunks(&self) -> Option<Chunks> {
        None
    }

    /// Names an element for the user: file, row and column.
    fn place(&self, row: u64, col: u64) -> String;
}

/// A matrix that can be written in parts, in any order, from many threads.
pub trait Sink: Send + Sync {
    /// Bytes of scratch that writing such a part needs.
    fn scratch(&self, rows: u64, cols: u64, element: Element) -> u64;

    /// Writes a row-major block; returns the bytes written to a device.
    fn write(
        &self,
        rows: Range<u64>,
        cols: Range<u64>,
        block: Numbers<'_>,
        scratch: &mut [u8],
    ) -> Result<u64, Failure>;
}

/// Bytes that a run moved.
#[derive(Default)]
pub struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
}

impl Traffic {
    pub fn add_read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn add_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// (read, written)
    pub fn bytes(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
pub struct Bindings {
    pub inputs: HashMap<InputId, Arc<dyn Source>>,
    pub outputs: Vec<Arc<dyn Sink>>,
    pub functions: Functions,
    pub traffic: Traffic,
}

impl Bindings {
    pub(super) fn input(&self, id: InputId) -> Result<&dyn Source, Failure> {
        self.inputs
            .get(&id)
            .map(AsRef::as_ref)
            .ok_or_else(|| broken(format!("input {} is not bound here", id.0)))
    }
}
