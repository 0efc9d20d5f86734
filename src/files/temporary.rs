//! Folders of temporary files, which go with the process that made them.

use super::ending::{forget, remove_tree};
use super::owner::{claim_folder, name_in, visit_abandoned};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A folder of temporary files, readable for its user only. It goes with all that is in it when it is dropped, when a
/// signal ends the process, or, if that was killed, when the next one is made beside it.
pub struct TemporaryFolder {
    path: PathBuf,
    /// Locked, and with it the folder is known to be in use.
    _folder: File,
}

impl TemporaryFolder {
    /// Makes a folder whose name begins with `prefix` in `parent`, which must exist, and removes what processes that
    /// are gone left there.
    pub fn create(parent: &Path, prefix: &str) -> io::Result<TemporaryFolder> {
        let label = format!("{prefix}-");
        visit_abandoned(parent, &label, |left| {
            if left.before.is_empty() {
                remove_tree(left.path);
            }
        });
        let (path, folder) = claim_folder(|| name_in(parent, &label), 0o700)?;
        Ok(TemporaryFolder { path, _folder: folder })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        remove_tree(&self.path);
        forget(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::owner::guard;
    use std::fs;

    /// A folder with a file in it, as one that was killed leaves it.
    fn left(path: PathBuf) -> PathBuf {
        fs::create_dir(&path).unwrap();
        fs::write(path.join("data"), "x").unwrap();
        path
    }

    #[test]
    fn a_folder_goes_with_what_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let folder = TemporaryFolder::create(parent.path(), "dolmen-spill").unwrap();
        let second = TemporaryFolder::create(parent.path(), "dolmen-spill").unwrap();
        assert_ne!(folder.path(), second.path());
        assert!(folder.path().is_dir(), "the second one left the first one alone");
        fs::write(folder.path().join("data"), "x").unwrap();
        drop((folder, second));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
        let parent = tempfile::tempdir().unwrap();
        let dead = left(name_in(parent.path(), "dolmen-spill-"));
        let living = left(name_in(parent.path(), "dolmen-spill-"));
        let elsewhere = left(name_in(parent.path(), "my-dolmen-spill-"));
        let foreign = left(parent.path().join("dolmen-spill-host-17-0"));
        let _held = guard(&living).expect("file locks");
        let _folder = TemporaryFolder::create(parent.path(), "dolmen-spill").unwrap();
        let there = [&dead, &living, &elsewhere, &foreign].map(|path| path.exists());
        assert_eq!(there, [false, true, true, true]);
    }

    #[test]
    fn many_that_begin_together_leave_each_other_alone() {
        let parent = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let folder = TemporaryFolder::create(parent.path(), "spill").unwrap();
                        fs::write(folder.path().join("data"), "x").expect("it is still there");
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
