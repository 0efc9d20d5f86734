//! Results that appear under their names together.

use super::ending::commit;
use super::error::FileError;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A result in the making, whatever its format.
pub trait Unfinished: Send + Sync {
    /// The name that it is to get.
    fn path(&self) -> &Path;
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

    /// Gives all of them their names. Where that fails midway the error says which ones have got theirs.
    pub fn commit(self) -> Result<(), FileError> {
        let mut written: Vec<PathBuf> = Vec::new();
        let named = commit(&self.files(), |output| {
            output.commit()?;
            written.push(output.path().into());
            Ok(())
        });
        match named {
            Err(error) if !written.is_empty() => {
                Err(FileError::SomeWritten { error: Box::new(error), written })
            }
            named => named,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Element;
    use crate::files::NpyOutput;
    use std::fs;

    #[test]
    fn where_some_cannot_get_their_names_it_says_which_ones_have() {
        let folder = tempfile::tempdir().unwrap();
        let outputs = Outputs::new();
        for name in ["first.npy", "second.npy"] {
            let path = folder.path().join(name);
            outputs.add(NpyOutput::create(&path, 2, None, Element::F64, Arc::default()).unwrap());
        }
        // Nothing replaces a directory that has something in it.
        fs::create_dir_all(folder.path().join("second.npy/in it")).unwrap();
        let error = outputs.commit().unwrap_err();
        assert!(!error.is_request_error());
        let text = error.to_string();
        let (what, which) = text.split_once("written all the same").unwrap();
        assert!(what.contains("second.npy") && which.contains("first.npy"), "{text}");
        assert!(folder.path().join("first.npy").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
