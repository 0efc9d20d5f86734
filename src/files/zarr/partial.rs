//! A directory in the making beside its final name.

use super::metadata::is_array;
use crate::files::FileError;
use crate::files::leftovers::{
    begin, forget, partial_name, register_tree, remove_partial, remove_partial_files, replaced_name,
};
use crate::files::partial::folder_of;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A directory that replaces the Zarr array of its name when it is committed, and is removed when it is not.
pub(super) struct PartialDir {
    pub path: PathBuf,
    pub temporary: PathBuf,
    committed: AtomicBool,
}

impl PartialDir {
    pub fn create(path: &Path) -> Result<PartialDir, FileError> {
        let target = |why: String| FileError::Target { path: path.into(), why };
        if path.file_name().is_none() {
            return Err(target("it names no directory".into()));
        }
        if path.exists() && !is_array(path) {
            return Err(target("what is there is not a Zarr array, and only such a one is replaced".into()));
        }
        let folder = folder_of(path);
        if !folder.is_dir() {
            return Err(target(format!("{} is not a directory", folder.display())));
        }
        remove_partial_files(folder);
        let temporary = partial_name(path);
        let make = || fs::create_dir(&temporary).inspect(|()| register_tree(temporary.clone()));
        begin(make).map_err(|e| target(e.to_string()))?;
        Ok(PartialDir { path: path.into(), temporary, committed: AtomicBool::new(false) })
    }

    /// All files to the disk, and the directories that name them.
    pub fn sync(&self) -> io::Result<()> {
        sync_below(&self.temporary)
    }

    pub fn commit(&self) -> io::Result<()> {
        if self.path.exists() {
            self.replace()?;
        } else {
            fs::rename(&self.temporary, &self.path)?;
        }
        self.committed.store(true, Ordering::Relaxed);
        forget(&self.temporary);
        Ok(())
    }

    /// Changes places with the array that is there, which then goes.
    fn replace(&self) -> io::Result<()> {
        match exchange(&self.temporary, &self.path) {
            // What stays of the old one is removed with the next output there.
            Ok(()) => remove_partial(&self.temporary),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(_) => self.replace_in_steps(&replaced_name(&self.path))?,
        }
        Ok(())
    }

    /// For a file system that cannot exchange names: for a moment there is no array of this name, but the old one is `aside`.
    fn replace_in_steps(&self, aside: &Path) -> io::Result<()> {
        fs::rename(&self.path, aside)?;
        fs::rename(&self.temporary, &self.path).inspect_err(|_| {
            // Back again; if that fails, too, it is still there under the other name.
            let _ = fs::rename(aside, &self.path);
        })?;
        remove_partial(aside);
        Ok(())
    }

    pub fn discard(&self) {
        if !self.committed.load(Ordering::Relaxed) {
            remove_partial(&self.temporary);
            forget(&self.temporary);
        }
    }
}

impl Drop for PartialDir {
    fn drop(&mut self) {
        self.discard();
    }
}

fn sync_below(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_below(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_data()?;
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    let name = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from);
    let (a, b) = (name(a)?, name(b)?);
    let here = libc::AT_FDCWD;
    // SAFETY: two valid names and a flag of this call.
    match unsafe { libc::renameat2(here, a.as_ptr(), here, b.as_ptr(), libc::RENAME_EXCHANGE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that holds one file of this name.
    fn holding(path: &Path, name: &str) {
        fs::create_dir_all(path).unwrap();
        fs::write(path.join(name), "").unwrap();
    }

    #[test]
    fn an_array_is_replaced_where_names_cannot_be_exchanged() {
        let folder = tempfile::tempdir().unwrap();
        let (path, aside) = (folder.path().join("a.zarr"), folder.path().join("aside"));
        let partial = PartialDir::create(&path).unwrap();
        holding(&partial.temporary, "new");
        holding(&path, "earlier");
        partial.replace_in_steps(&aside).unwrap();
        assert!(path.join("new").exists() && !path.join("earlier").exists() && !aside.exists());
    }

    #[test]
    fn the_earlier_array_comes_back_when_the_new_one_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, aside) = (folder.path().join("a.zarr"), folder.path().join("aside"));
        let partial = PartialDir::create(&path).unwrap();
        holding(&path, "earlier");
        fs::remove_dir(&partial.temporary).unwrap();
        assert!(partial.replace_in_steps(&aside).is_err());
        assert!(path.join("earlier").exists() && !aside.exists());
        assert!(partial.replace().is_err(), "nor where they can");
        assert!(path.join("earlier").exists());
    }
}
