//! What of this process must not outlive it: half-written files, folders made for them, folders of temporary files.
//! They go when they are dropped, or when a signal ends the process.

use super::error::FileError;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Files, folders made and folders of temporary files: what a signal handler has to remove, last ones first.
static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());

struct Live {
    path: PathBuf,
    /// Goes with all that is in it.
    tree: bool,
}

/// What has got its name so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    Nothing,
    /// Some of the results that belong together have, and then one could not.
    Some,
    All,
}

/// How far the process is: what is begun after it was told to end would stay, and what is committed then may not be
/// whole.
struct Ending {
    told: bool,
    written: Written,
}

/// Taken before [`LIVE`] by those that need both.
static ENDING: Mutex<Ending> = Mutex::new(Ending { told: false, written: Written::Nothing });

fn ending() -> MutexGuard<'static, Ending> {
    ENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes and registers what is to be written, unless the process has been told to end; it is told when this is done.
pub(super) fn begin<T>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let ending = ending();
    if ending.told { Err(io::ErrorKind::Interrupted.into()) } else { make() }
}

/// Gives results their names, one after the other, unless the process has been told to end; it is told when this is
/// done. The first that cannot be named ends it.
pub(super) fn commit<R>(
    results: &[R],
    mut name: impl FnMut(&R) -> Result<(), FileError>,
) -> Result<(), FileError> {
    let mut ending = ending();
    if ending.told {
        return Err(FileError::Write {
            path: "the results".into(),
            error: io::ErrorKind::Interrupted.into(),
        });
    }
    for result in results {
        name(result)?;
        ending.written = Written::Some;
    }
    ending.written = Written::All;
    Ok(())
}

/// True after [`discard_all`], for whose end this waits.
pub fn is_told_to_end() -> bool {
    ending().told
}

fn live() -> MutexGuard<'static, Vec<Live>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers a file, or a folder that goes only if it is empty.
pub(super) fn register(path: PathBuf) {
    live().push(Live { path, tree: false });
}

/// Registers a folder that goes with all that is in it.
pub(super) fn register_tree(path: PathBuf) {
    live().push(Live { path, tree: true });
}

pub(super) fn forget(path: &Path) {
    live().retain(|live| live.path != path);
}

/// Removes every file that this process has begun and not committed, the folders that it made for them, and its
/// folders of temporary files: for when it is told to end. Nothing is begun or committed after it. Returns what had
/// been committed before.
pub fn discard_all() -> Written {
    let mut ending = ending();
    ending.told = true;
    for Live { path, tree } in live().iter().rev() {
        if *tree {
            remove_tree(path);
        } else {
            // It may have been committed this very moment, or be a folder that someone else uses meanwhile.
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
    }
    ending.written
}

/// Ends the name of what is being removed.
pub(super) const ASIDE: &str = ".old";

/// Removes a half-written file, or a directory with all that is in it. It may be gone already; there is nobody to tell.
pub(super) fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        remove_tree(path);
    }
}

/// Other threads may still be making files in it, by its name, which is therefore taken from it first. Those that are
/// about to be made in that moment take a few tries.
pub(super) fn remove_tree(path: &Path) {
    const TRIES: usize = 50;
    let tree = without_its_name(path);
    for _ in 0..TRIES {
        match fs::remove_dir_all(&tree) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            // Gone, or not to be removed: there is nobody to tell.
            _ => return,
        }
    }
}

/// Takes its name from a tree that is to be removed; returns the one it has then.
fn without_its_name(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    // Else the name of what cannot be removed would grow with each try.
    if aside.as_encoded_bytes().ends_with(ASIDE.as_bytes()) {
        return path.into();
    }
    aside.push(ASIDE);
    match fs::rename(path, &aside) {
        Ok(()) => aside.into(),
        // Another thread is removing it, which may not live to see the end of it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => aside.into(),
        Err(_) => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_tree_goes_though_others_keep_making_files_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let tree = parent.path().join("tree");
        fs::create_dir(&tree).unwrap();
        std::thread::scope(|scope| {
            for name in 0..4 {
                let tree = &tree;
                // As long as there is such a folder.
                scope
                    .spawn(move || (0..).find(|at| File::create(tree.join(format!("{name}-{at}"))).is_err()));
            }
            while fs::read_dir(&tree).unwrap().count() < 1000 {
                std::thread::yield_now();
            }
            remove_tree(&tree);
        });
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_removal_is_finished_by_whoever_comes_second() {
        let parent = tempfile::tempdir().unwrap();
        let tree = parent.path().join("tree");
        fs::create_dir_all(tree.join("in it")).unwrap();
        without_its_name(&tree);
        assert!(!tree.exists(), "the first one has begun");
        remove_tree(&tree);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_name_of_what_cannot_be_removed_does_not_grow() {
        let aside = PathBuf::from(format!("tree{ASIDE}"));
        assert_eq!(without_its_name(&aside), aside);
    }
}
