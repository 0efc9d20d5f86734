//! What a program's names stand for in this process: inputs, outputs and functions.

use super::functions::Functions;
use crate::array::InputId;
use crate::data::{Sink, Source};
use crate::failure::Failure;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
            .ok_or_else(|| Failure::of_run(format!("input {} is not bound here", id.0)))
    }
}
