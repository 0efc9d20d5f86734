//! The folder by which a scheduler that was killed is found again: its keys, and where it listened.

use crate::failure::Failure;
use cluster::keys::generate;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Locked by the scheduler that has the folder.
const LOCK: &str = "lock";
const KEYS: &str = "keys";
/// Keys that are not whole yet.
const NEW_KEYS: &str = "keys.new";
const ADDRESS: &str = "address";

/// The folder of a scheduler that runs.
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the folder, readable for its user only, or takes one that a scheduler left.
    ///
    /// # Errors
    /// If another scheduler has it, or what the file system says.
    pub fn open(path: &Path) -> Result<StateDir, Failure> {
        let failed = |error| cannot("use", path, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let lock = File::options().create(true).append(true).open(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(StateDir { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::of_request(format!(
                "{} belongs to a scheduler that runs: stop it, or give another --state-dir",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Its keys: those that are there, or new ones.
    pub fn keys(&self) -> Result<PathBuf, Failure> {
        let (keys, new) = (self.path.join(KEYS), self.path.join(NEW_KEYS));
        if !keys.exists() {
            let failed = |error| cannot("make keys in", &self.path, &error);
            remove(&new).map_err(failed)?;
            generate(&new).map_err(Failure::of_run)?;
            fs::rename(&new, &keys).map_err(failed)?;
        }
        Ok(keys)
    }

    /// Where the scheduler that had it listened, if that can be told.
    pub fn address(&self) -> Option<SocketAddr> {
        fs::read_to_string(self.path.join(ADDRESS)).ok()?.trim().parse().ok()
    }

    pub fn set_address(&self, address: SocketAddr) -> Result<(), Failure> {
        let file = self.path.join(ADDRESS);
        fs::write(&file, format!("{address}\n")).map_err(|error| cannot("write", &file, &error))
    }

    /// An orderly end: nobody looks for this scheduler any more.
    pub fn clear(self) {
        // What stays does no harm: the next scheduler takes it up.
        for name in [KEYS, ADDRESS, LOCK] {
            let _ = remove(&self.path.join(name));
        }
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::of_request(format!("cannot {what} {}: {error}", path.display()))
}

/// A file, a folder, or nothing.
fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scheduler_left_is_taken_up_and_one_that_runs_keeps_its_own() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = StateDir::open(&path).unwrap();
        let keys = first.keys().unwrap();
        let made = fs::metadata(&keys).unwrap().modified().unwrap();
        first.set_address(([127, 0, 0, 1], 7077).into()).unwrap();
        let refused = StateDir::open(&path).map(|_| ()).unwrap_err();
        assert!(refused.message.contains("belongs to a scheduler that runs"), "{refused}");
        // As if it had been killed.
        drop(first);
        let second = StateDir::open(&path).unwrap();
        assert_eq!(second.address(), Some(([127, 0, 0, 1], 7077).into()));
        assert_eq!(fs::metadata(second.keys().unwrap()).unwrap().modified().unwrap(), made);
        second.clear();
        let names: Vec<_> = fs::read_dir(&path).unwrap().collect();
        assert!(names.is_empty(), "{names:?}");
    }
}
