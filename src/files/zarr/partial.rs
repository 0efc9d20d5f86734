//! A directory in the making beside its final name.

use super::contents::foreign;
use super::metadata::{NAME, is_array};
use crate::files::FileError;
use crate::files::earlier::{Attributes, folder_of, followed};
use crate::files::ending::{forget, remove};
use crate::files::leftovers::{clean, kept_name, partial_name, replaced_name};
use crate::files::owner::{claim_folder, guard};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// So often others may come first while a directory gets its name.
const MOST_TRIES: usize = 16;

/// A directory that replaces the Zarr array of its name when it is committed, and is removed when it is not.
pub(in crate::files) struct PartialDir {
    /// As the user says it.
    pub path: PathBuf,
    /// Where links of that name lead.
    target: PathBuf,
    pub temporary: PathBuf,
    /// Locked, and with it the directory is known to be in use.
    folder: File,
    earlier: Option<Attributes>,
    /// Those of the earlier array's files.
    earlier_files: Option<Attributes>,
    committed: AtomicBool,
}

impl PartialDir {
    pub fn create(path: &Path) -> Result<PartialDir, FileError> {
        let refused = |why: String| FileError::Target { path: path.into(), why };
        let failed = |error: io::Error| FileError::Target { path: path.into(), why: error.to_string() };
        let target = followed(path)?;
        if target.file_name().is_none() {
            return Err(refused("it names no directory".into()));
        }
        // The folder says why there is nothing.
        let attributes = |path: &Path| fs::metadata(path).ok().map(|about| Attributes::of(&about));
        let (earlier, earlier_files) = (attributes(&target), attributes(&target.join(NAME)));
        if earlier.is_some() {
            check_replaceable(&target, refused)?;
        }
        let folder = folder_of(&target);
        if !folder.is_dir() {
            return Err(refused(format!("{} is not a directory", folder.display())));
        }
        clean(folder);
        let mode = Attributes::mode_until_given(earlier, 0o777);
        let (temporary, folder) = claim_folder(|| partial_name(&target), mode).map_err(failed)?;
        let path = path.into();
        let committed = AtomicBool::new(false);
        Ok(PartialDir { path, target, temporary, folder, earlier, earlier_files, committed })
    }

    pub fn commit(&self) -> io::Result<()> {
        if let Some(files) = self.earlier_files {
            give_below(&self.temporary, files)?;
        }
        if let Some(earlier) = self.earlier {
            earlier.give(&self.folder);
        }
        self.take_name()?;
        self.committed.store(true, Ordering::Relaxed);
        forget(&self.temporary);
        Ok(())
    }

    fn take_name(&self) -> io::Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            let named = match self.target.exists() {
                true => self.replace(),
                false => fs::rename(&self.temporary, &self.target),
            };
            match named {
                // Another process has given the name to something, or taken it away, since we looked.
                Err(error) if tries < MOST_TRIES && is_by_another(&error) => {}
                named => return named,
            }
        }
    }

    /// Changes places with the array that is there, which then goes.
    fn replace(&self) -> io::Result<()> {
        match exchange(&self.temporary, &self.target) {
            Ok(()) => self.dispose(&self.temporary),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(_) => self.replace_in_steps(&replaced_name(&self.target))?,
        }
        Ok(())
    }

    /// For a file system that cannot exchange names: for a moment there is no array of this name, but the old one is
    /// `aside`. If the process is killed just then, the next run there gives it its name back.
    fn replace_in_steps(&self, aside: &Path) -> io::Result<()> {
        let _in_use = guard(&self.target);
        fs::rename(&self.target, aside)?;
        fs::rename(&self.temporary, &self.target).inspect_err(|_| {
            // Back again; if that fails, too, it is still there under the other name.
            let _ = fs::rename(aside, &self.target);
        })?;
        self.dispose(aside);
        Ok(())
    }

    /// Removes the earlier array from where it is now, unless there are files of others in it since we looked. What
    /// of it cannot be removed now is removed with the next output there.
    fn dispose(&self, earlier: &Path) {
        match foreign(earlier) {
            // If it keeps the name that it has, the next output there takes it for a leftover.
            Ok(Some(_)) => drop(fs::rename(earlier, kept_name(&self.target))),
            _ => remove(earlier),
        }
    }

    pub fn discard(&self) {
        if !self.committed.load(Ordering::Relaxed) {
            remove(&self.temporary);
            forget(&self.temporary);
        }
    }
}

impl Drop for PartialDir {
    fn drop(&mut self) {
        self.discard();
    }
}

/// Only an array is replaced, and only if nothing but the array goes with it.
fn check_replaceable(target: &Path, refused: impl Fn(String) -> FileError) -> Result<(), FileError> {
    if !is_array(target) {
        return Err(refused("what is there is not a Zarr array, and only such a one is replaced".into()));
    }
    match foreign(target) {
        Ok(None) => Ok(()),
        Ok(Some(other)) => {
            Err(refused(format!("{} is not of the array that is there: move it away first", other.display())))
        }
        Err(error) => Err(refused(error.to_string())),
    }
}

fn is_by_another(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST | libc::ENOENT))
}

/// Mode and owner for all files below a folder, and for the folders in it as far as they go with that.
fn give_below(folder: &Path, files: Attributes) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let opened = File::open(&path)?;
        if opened.metadata()?.is_dir() {
            give_below(&path, files)?;
            files.of_folder().give(&opened);
        } else {
            files.give(&opened);
        }
    }
    Ok(())
}

/// All files to the disk, and the directories that name them.
pub(super) fn sync_below(folder: &Path) -> io::Result<()> {
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
        holding(&partial.temporary, "0.0");
        holding(&path, "1.1");
        partial.replace_in_steps(&aside).unwrap();
        assert!(path.join("0.0").exists() && !path.join("1.1").exists() && !aside.exists());
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

    #[test]
    fn files_of_others_that_came_meanwhile_are_kept() {
        for in_steps in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.zarr");
            let partial = PartialDir::create(&path).unwrap();
            holding(&partial.temporary, "zarr.json");
            holding(&path, "thesis.txt");
            match in_steps {
                true => partial.replace_in_steps(&replaced_name(&path)).unwrap(),
                false => partial.replace().unwrap(),
            }
            let names = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
            clean(folder.path());
            assert!(names().any(|path| path.join("thesis.txt").exists()));
            assert!(path.join("zarr.json").exists() && names().count() == 2);
        }
    }
}
