//! Results that appear under their names together.

use super::error::FileError;
use super::leftovers::commit;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A result in the making, whatever its format.
pub trait Unfinished: Send + Sync {
    /// All of its data to the disk.
    fn sync(&self) -> Result<(), FileError>;
    /// Gives it its name.
    fn commit(&self) -> Result<(), FileError>;
    /// Removes it unless it has been committed.
    fn discard(&self);
}

/// Files that appear together: all of them, or none, at once when this is dropped.
#[derive(Default)]
pub struct Outputs {
    files: Mutex<Vec<Arc<dyn Unfinished>>>,
}

impl Outputs {
    pub fn new() -> Self {
        Outputs::default()
    }

    /// Takes in one more.
    pub fn add<O: Unfinished + 'static>(&self, output: O) -> Arc<O> {
        let output = Arc::new(output);
        self.files().push(output.clone());
        output
    }

    /// All data to the disk.
    pub fn sync(&self) -> Result<(), FileError> {
        self.files().iter().try_for_each(|output| output.sync())
    }

    /// Gives all of them their names.
    pub fn commit(self) -> Result<(), FileError> {
        commit(Path::new("the results"), || self.files().iter().try_for_each(|output| output.commit()))
    }

    fn files(&self) -> MutexGuard<'_, Vec<Arc<dyn Unfinished>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.files().iter().for_each(|output| output.discard());
    }
}
