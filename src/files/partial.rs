//! A file that is written beside its name and gets it when it is whole.

use super::error::FileError;
use super::leftovers::{begin, commit, forget, partial_name, register, remove_partial_files};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A file beside its final name; removed when dropped uncommitted.
pub(super) struct Partial {
    pub path: PathBuf,
    pub temporary: PathBuf,
    committed: AtomicBool,
}

impl Partial {
    pub fn create(path: &Path) -> Result<(Partial, File), FileError> {
        let target = |why: String| FileError::Target { path: path.into(), why };
        if path.file_name().is_none() {
            return Err(target("it names no file".into()));
        }
        if path.is_dir() {
            return Err(target("it is a directory".into()));
        }
        if path.exists() && !path.is_file() {
            return Err(target("it is not an ordinary file".into()));
        }
        let folder = folder_of(path);
        if !folder.is_dir() {
            return Err(target(format!("{} is not a directory", folder.display())));
        }
        remove_partial_files(folder);
        let temporary = partial_name(path);
        let file = begin(|| {
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&temporary)?;
            register(temporary.clone());
            Ok(file)
        });
        let file = file.map_err(|e| target(e.to_string()))?;
        Ok((Partial { path: path.into(), temporary, committed: AtomicBool::new(false) }, file))
    }

    pub fn commit(&self) -> Result<(), FileError> {
        fs::rename(&self.temporary, &self.path)
            .map_err(|error| FileError::Write { path: self.path.clone(), error })?;
        self.committed.store(true, Ordering::Relaxed);
        forget(&self.temporary);
        Ok(())
    }

    /// Writers may still hold the file open: it goes without them.
    pub fn discard(&self) {
        if !self.committed.load(Ordering::Relaxed) {
            // It may be gone with its folder; there is nobody to tell.
            let _ = fs::remove_file(&self.temporary);
            forget(&self.temporary);
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.discard();
    }
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes a small file that appears only when whole, and if `sync` is true, only when it is on the disk. That waits for all
/// that the device has taken before.
pub fn write_whole(path: &Path, bytes: &[u8], sync: bool) -> Result<(), FileError> {
    let (partial, mut file) = Partial::create(path)?;
    let failed = |error| FileError::Write { path: path.into(), error };
    file.write_all(bytes).map_err(failed)?;
    if sync {
        file.sync_data().map_err(failed)?;
    }
    commit(path, || partial.commit())
}

/// Refuses a target that could not be written, before time is spent on what goes there.
pub fn check_target(path: &Path) -> Result<(), FileError> {
    Partial::create(path).map(|_| ())
}
