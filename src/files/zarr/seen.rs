//! What was read of an array, to be looked at once more in the end.

use crate::files::FileError;
use crate::files::unchanged::{self, Identity};
use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Chunks that were read or missing, with what they were at first: a few bytes for each.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<(u64, u64), u64>>);

/// The open file of a chunk.
pub(super) struct ChunkFile {
    pub file: File,
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

impl ChunkFile {
    pub fn failed(&self, error: io::Error) -> FileError {
        FileError::Read { path: self.path.clone(), error }
    }
}

impl Seen {
    /// Opens the file of a chunk; none if it is missing.
    pub fn open(&self, chunk: (u64, u64), path: PathBuf) -> Result<Option<ChunkFile>, FileError> {
        let file = match unchanged::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.note(chunk, None);
                return Ok(None);
            }
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                return Err(FileError::chunk(&path, error));
            }
            Err(error) => return Err(FileError::Read { path, error }),
        };
        match file.metadata() {
            Ok(about) => {
                self.note(chunk, Some(Identity::of(&about)));
                Ok(Some(ChunkFile { file, path, bytes: about.len() }))
            }
            Err(error) => Err(FileError::Read { path, error }),
        }
    }

    fn note(&self, chunk: (u64, u64), identity: Option<Identity>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(chunk).or_insert_with(|| digest(identity));
    }

    /// Fails if a chunk is not what it was when it was read first.
    pub fn check(&self, path_of: impl Fn((u64, u64)) -> PathBuf) -> Result<(), FileError> {
        for (chunk, seen) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let path = path_of(*chunk);
            match Identity::at(&path) {
                Ok(now) if digest(now) == *seen => {}
                Ok(_) => return Err(FileError::Changed { path }),
                Err(error) => return Err(FileError::Read { path, error }),
            }
        }
        Ok(())
    }
}

fn digest(identity: Option<Identity>) -> u64 {
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;
    use std::time::SystemTime;

    #[test]
    fn a_chunk_that_came_went_or_was_written_to_has_changed() {
        let changes: [fn(&Path, &Path); 3] = [
            |_, missing| fs::write(missing, "x").unwrap(),
            |there, _| fs::remove_file(there).unwrap(),
            |there, _| {
                let file = File::options().write(true).open(there).unwrap();
                file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
            },
        ];
        for change in changes {
            let folder = tempfile::tempdir().unwrap();
            let path_of = |(row, _): (u64, u64)| folder.path().join(row.to_string());
            fs::write(path_of((0, 0)), "chunk").unwrap();
            let seen = Seen::default();
            assert!(seen.open((0, 0), path_of((0, 0))).unwrap().is_some());
            assert!(seen.open((1, 0), path_of((1, 0))).unwrap().is_none());
            seen.check(path_of).unwrap();
            change(&path_of((0, 0)), &path_of((1, 0)));
            assert!(matches!(seen.check(path_of), Err(FileError::Changed { .. })));
        }
    }
}
