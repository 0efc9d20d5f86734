//! A folder for results.

use super::error::FileError;
use super::leftovers::{begin, forget, register};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder for results. What was made for it goes again if it is not kept.
pub struct OutDir {
    /// Folders that were made, outermost first.
    made: Vec<PathBuf>,
}

impl OutDir {
    /// Makes the folder and those above it where they are missing.
    pub fn create(path: &Path) -> Result<OutDir, FileError> {
        let mut missing: Vec<PathBuf> = Vec::new();
        let mut at = path;
        while !at.as_os_str().is_empty() && !at.exists() {
            missing.push(at.to_path_buf());
            at = at.parent().unwrap_or(Path::new(""));
        }
        let mut folder = OutDir { made: Vec::new() };
        for path in missing.into_iter().rev() {
            let target = |e: io::Error| FileError::Target { path: path.clone(), why: e.to_string() };
            let make = || fs::create_dir(&path).inspect(|()| register(path.clone()));
            begin(make).map_err(target)?;
            folder.made.push(path);
        }
        if !path.is_dir() {
            let why = "it is not a directory".into();
            return Err(FileError::Target { path: path.into(), why });
        }
        Ok(folder)
    }

    pub fn keep(mut self) {
        self.forget();
        self.made.clear();
    }

    fn forget(&self) {
        self.made.iter().for_each(|path| forget(path));
    }
}

impl Drop for OutDir {
    fn drop(&mut self) {
        self.forget();
        for path in self.made.iter().rev() {
            // Not empty means that someone else uses it.
            let _ = fs::remove_dir(path);
        }
    }
}
