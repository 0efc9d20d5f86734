//! A file that is written beside its name and gets it when it is whole.

use super::earlier::{Attributes, folder_of, followed};
use super::ending::{commit, forget};
use super::error::FileError;
use super::leftovers::{clean, partial_name};
use super::owner::claim_file;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A file beside its final name; removed when dropped uncommitted.
pub(super) struct Partial {
    /// As the user says it.
    pub path: PathBuf,
    /// Where links of that name lead.
    target: PathBuf,
    pub temporary: PathBuf,
    /// Locked, and with it the file is known to be in use.
    file: File,
    earlier: Option<Attributes>,
    committed: AtomicBool,
}

impl Partial {
    pub fn create(path: &Path) -> Result<(Partial, File), FileError> {
        let refused = |why: String| FileError::Target { path: path.into(), why };
        let failed = |error: std::io::Error| FileError::Target { path: path.into(), why: error.to_string() };
        let target = followed(path)?;
        if target.file_name().is_none() {
            return Err(refused("it names no file".into()));
        }
        let earlier = match fs::metadata(&target) {
            Ok(about) if about.is_dir() => return Err(refused("it is a directory".into())),
            Ok(about) if !about.is_file() => return Err(FileError::NoFile { path: path.into() }),
            Ok(about) => Some(Attributes::of(&about)),
            // The folder says why.
            Err(_) => None,
        };
        let folder = folder_of(&target);
        if !folder.is_dir() {
            return Err(refused(format!("{} is not a directory", folder.display())));
        }
        clean(folder);
        let mode = Attributes::mode_until_given(earlier, 0o666);
        let (temporary, file) = claim_file(|| partial_name(&target), mode).map_err(failed)?;
        let path = path.into();
        let partial = Partial { path, target, temporary, file, earlier, committed: AtomicBool::new(false) };
        let file = partial.file.try_clone().map_err(failed)?;
        Ok((partial, file))
    }

    pub fn commit(&self) -> Result<(), FileError> {
        if let Some(earlier) = self.earlier {
            earlier.give(&self.file);
        }
        fs::rename(&self.temporary, &self.target)
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

/// Writes a small file that appears only when whole, and if `sync` is true, only when it is on the disk. That waits
/// for all that the device has taken before.
pub fn write_whole(path: &Path, bytes: &[u8], sync: bool) -> Result<(), FileError> {
    let (partial, mut file) = Partial::create(path)?;
    let failed = |error| FileError::Write { path: path.into(), error };
    file.write_all(bytes).map_err(failed)?;
    if sync {
        file.sync_data().map_err(failed)?;
    }
    commit(&[partial], Partial::commit)
}

/// Refuses a target that could not be written, before time is spent on what goes there.
pub fn check_target(path: &Path) -> Result<(), FileError> {
    Partial::create(path).map(|_| ())
}
