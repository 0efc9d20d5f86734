//! Files that are read: ordinary ones only, and the same from the first look to the last.

use crate::data::FileSpec;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells a file from others, and from itself before it was written to. Two writes within one tick of the
/// system's clock, some milliseconds, that leave its size as it was look like one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Identity {
    pub fn of(about: &Metadata) -> Identity {
        Identity {
            device: about.dev(),
            inode: about.ino(),
            bytes: about.size(),
            seconds: about.mtime(),
            nanoseconds: about.mtime_nsec(),
        }
    }

    /// As other machines see it that share the file.
    pub fn spec(&self, path: &Path) -> Option<FileSpec> {
        let path = std::path::absolute(path).ok()?;
        Some(FileSpec { path, bytes: self.bytes, seconds: self.seconds, nanoseconds: self.nanoseconds })
    }

    /// Of the file that has this name now; none if there is no such file.
    pub fn at(path: &Path) -> io::Result<Option<Identity>> {
        match fs::metadata(path) {
            Ok(about) => Ok(Some(Identity::of(&about))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Opens an ordinary file. Its kind is looked at first: to open a named pipe is to wait for its writer.
pub(super) fn open(path: &Path) -> io::Result<File> {
    match fs::metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
    }
}
