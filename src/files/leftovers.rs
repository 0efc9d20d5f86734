//! What killed runs left in the folders of results. It goes when the next run comes by.

use super::ending::remove;
use super::owner::{Abandoned, is_marked, name_beside, visit_abandoned};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const PARTIAL: &str = ".partial-";
const REPLACED: &str = ".replaced-";
const KEPT: &str = ".kept-";

/// A new name under which `path` is written: beside it, hidden.
pub(super) fn partial_name(path: &Path) -> PathBuf {
    name_beside(path, PARTIAL)
}

/// Could [`partial_name`] have given this name, on whatever machine?
pub(super) fn is_partial_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".") && is_marked(name, PARTIAL))
}

/// A new name for what was at `path` while the new one takes its place.
pub(super) fn replaced_name(path: &Path) -> PathBuf {
    name_beside(path, REPLACED)
}

/// A new name for what was at `path` and has somebody else's files in it. No run touches it.
pub(super) fn kept_name(path: &Path) -> PathBuf {
    name_beside(path, KEPT)
}

/// Removes half-written files and directories that runs which were killed left in `folder`, and gives back its name
/// to an array that was to be replaced when its run was killed.
pub(super) fn clean(folder: &Path) {
    visit_abandoned(folder, PARTIAL, |left| {
        if left.before.as_bytes().starts_with(b".") {
            remove(left.path);
        }
    });
    visit_abandoned(folder, REPLACED, |left| {
        if left.begun {
            remove(left.path);
        } else {
            give_back(folder, &left);
        }
    });
}

/// If there is a new one of that name, both stay: only people can say which one they want.
fn give_back(folder: &Path, left: &Abandoned) {
    let Some(name) = left.before.as_bytes().strip_prefix(b".").filter(|name| !name.is_empty()) else {
        return;
    };
    let path = folder.join(OsStr::from_bytes(name));
    if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        // It stays under the name that it has.
        let _ = fs::rename(left.path, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::ending::ASIDE;
    use crate::files::owner::claim_file;

    /// Directories as killed runs leave them.
    fn left(names: &[PathBuf]) {
        names.iter().for_each(|name| fs::create_dir_all(name.join("in it")).unwrap());
    }

    #[test]
    fn half_written_files_of_the_dead_go_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let (living, _file) = claim_file(|| partial_name(&path), 0o666).unwrap();
        let dead = partial_name(&path);
        fs::write(&dead, "half a file").unwrap();
        let foreign = folder.path().join(".a.npy.partial-somewhere-17");
        fs::write(&foreign, "not to be judged").unwrap();
        clean(folder.path());
        assert_eq!([&living, &dead, &foreign].map(|path| path.exists()), [true, false, true]);
    }

    #[test]
    fn a_removal_that_was_cut_short_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zarr");
        let names = [partial_name(&path), replaced_name(&path)].map(|mut name| {
            name.as_mut_os_string().push(ASIDE);
            name
        });
        left(&names);
        clean(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_array_that_was_to_be_replaced_when_the_run_was_killed_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zarr");
        let (new, earlier) = (partial_name(&path), replaced_name(&path));
        left(&[new.clone(), earlier.clone()]);
        fs::write(earlier.join("earlier"), "").unwrap();
        clean(folder.path());
        assert!(path.join("earlier").exists() && !new.exists() && !earlier.exists());
        left(std::slice::from_ref(&earlier));
        clean(folder.path());
        assert!(path.join("earlier").exists() && earlier.exists(), "both stay where there is a new one");
    }
}
