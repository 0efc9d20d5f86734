//! A folder for results.

use super::ending::{begin, forget, register};
use super::error::FileError;
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
            match begin(make) {
                // Others that write there made it meanwhile; it is theirs.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    made.map_err(target)?;
                    folder.made.push(path);
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn many_may_make_the_same_folder_at_once() {
        const TOGETHER: usize = 16;
        let parent = tempfile::tempdir().unwrap();
        let start = Barrier::new(TOGETHER);
        for round in 0..200 {
            let path = parent.path().join(format!("{round}/results"));
            std::thread::scope(|scope| {
                for _ in 0..TOGETHER {
                    scope.spawn(|| {
                        start.wait();
                        OutDir::create(&path).unwrap().keep();
                    });
                }
            });
            assert!(path.is_dir());
        }
    }
}
