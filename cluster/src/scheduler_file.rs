//! The file by which workers and clients find their scheduler: written when it listens, removed when it ends.
//!
//! One JSON object: `{"address": "10.0.0.1:7077", "keys": "/home/me/keys", "process": 4711, "host": "n1", "grace_ms":
//! null, "boot": "0b2c…"}`. `keys` is `null` for a scheduler without TLS, `grace_ms` for one that does not come back.
//! The file has mode 0600 and appears whole. Its scheduler holds a lock on it in that boot; `boot` is `null` if it
//! cannot. Process number and host are told to people: nothing is judged by them.

use crate::owner::{Owner, hold, is_at, owner};
use crate::private_file::{FileError, beside, fill};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest file that is looked at: a path may have 4096 bytes, and each may take six in JSON.
const LONGEST: u64 = 64 << 10;

/// Where a scheduler is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerAddress {
    /// Host and port that it listens on.
    pub address: String,
    /// The folder of keys to meet it with; none without TLS.
    pub keys: Option<PathBuf>,
    /// Its process number on `host`.
    pub process: u32,
    /// The machine that it runs on.
    pub host: String,
    /// If it is lost it may be started again within so many milliseconds; none if it does not come back.
    pub grace_ms: Option<u64>,
    /// The boot of the system in which the file is locked as long as the scheduler lives; none if that tells nothing.
    pub boot: Option<String>,
}

/// Why a scheduler file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerFileError {
    /// Not there.
    #[error("no scheduler file {0}: start dolmen scheduler --scheduler-file {0}, or name the right file")]
    Missing(PathBuf),
    /// Its scheduler has ended without removing it.
    #[error("{path} is of process {process}, which has ended: start the scheduler again")]
    Stale {
        /// The file.
        path: PathBuf,
        /// Who wrote it.
        process: u32,
        /// It may be started again so soon.
        grace: Option<Duration>,
    },
    /// Another scheduler is found through it.
    #[error(
        "{path} belongs to a scheduler that runs (process {process} on {host}): stop it, or name another file"
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// Who wrote it.
        process: u32,
        /// Where that runs.
        host: String,
    },
    /// Another scheduler is found through it, and may be alive.
    #[error("{path} is of process {process} on {host}: stop it, or remove the file if it has ended")]
    Unjudged {
        /// The file.
        path: PathBuf,
        /// Who wrote it.
        process: u32,
        /// Where that runs.
        host: String,
    },
    /// It holds something else.
    #[error("{path} is no scheduler file ({reason}): name another file")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system's own words.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl SchedulerAddress {
    /// The address of a scheduler that runs in this process.
    pub fn of_this_process(address: String, keys: Option<PathBuf>) -> SchedulerAddress {
        SchedulerAddress {
            address,
            keys,
            process: std::process::id(),
            host: host(),
            grace_ms: None,
            boot: None,
        }
    }

    /// If it is lost it may come back so soon.
    pub fn grace(&self) -> Option<Duration> {
        self.grace_ms.map(Duration::from_millis)
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it is missing or malformed, or if its scheduler has ended. Where that cannot be judged only an attempt to
    /// connect can tell.
    pub fn read(path: &Path) -> Result<SchedulerAddress, SchedulerFileError> {
        loop {
            let found = Found::open(path, OpenOptions::new().read(true))?;
            if found.owner() != Owner::Ended {
                return Ok(found.content);
            }
            // Else it was removed or replaced meanwhile.
            if is_at(&found.file, path) {
                let (process, grace) = (found.content.process, found.content.grace());
                return Err(SchedulerFileError::Stale { path: path.to_path_buf(), process, grace });
            }
        }
    }
}

/// A scheduler file that is there.
struct Found {
    file: File,
    content: SchedulerAddress,
}

impl Found {
    fn open(path: &Path, options: &OpenOptions) -> Result<Found, SchedulerFileError> {
        let io = |error| FileError::new("read", path, error);
        let malformed = |reason| SchedulerFileError::Malformed { path: path.to_path_buf(), reason };
        // To open a named pipe is to wait for whoever writes into it.
        if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
            return Err(malformed("it is no file".to_string()));
        }
        let file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SchedulerFileError::Missing(path.to_path_buf()),
            _ => io(error).into(),
        })?;
        let mut text = Vec::new();
        (&file).take(LONGEST + 1).read_to_end(&mut text).map_err(io)?;
        if text.len() as u64 > LONGEST {
            return Err(malformed(format!("it has more than {LONGEST} bytes")));
        }
        let content = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        Ok(Found { file, content })
    }

    fn owner(&self) -> Owner {
        owner(&self.file, self.content.boot.as_deref())
    }
}

/// Takes the file of a scheduler that has ended, if there is one: nobody else replaces it as long as it is open.
fn take(path: &Path) -> Result<Option<File>, SchedulerFileError> {
    loop {
        // Some network file systems lock only what is open for writing.
        let found = match Found::open(path, OpenOptions::new().read(true).write(true)) {
            Err(SchedulerFileError::Missing(_)) => return Ok(None),
            found => found?,
        };
        let owner = found.owner();
        let SchedulerAddress { process, host, .. } = found.content;
        match owner {
            Owner::Lives => {
                return Err(SchedulerFileError::InUse { path: path.to_path_buf(), process, host });
            }
            Owner::Unknown => {
                return Err(SchedulerFileError::Unjudged { path: path.to_path_buf(), process, host });
            }
            Owner::Ended => (),
        }
        // Held for moments only: by who judges it, and by who puts another in its place.
        found.file.lock().map_err(|error| FileError::new("lock", path, error))?;
        if is_at(&found.file, path) {
            return Ok(Some(found.file));
        }
    }
}

/// A scheduler file that is there as long as this value is.
#[derive(Debug)]
pub struct SchedulerFile {
    path: PathBuf,
    /// Locked, if it can be.
    file: File,
}

impl SchedulerFile {
    /// Writes the file. One whose scheduler has ended is replaced.
    ///
    /// # Errors
    /// If it is that of another scheduler which runs, or may be running for all that is known, or if it is something
    /// else, or what the file system says.
    pub fn write(path: &Path, content: SchedulerAddress) -> Result<SchedulerFile, SchedulerFileError> {
        let io = |error| FileError::new("write", path, error);
        let replaced = take(path)?;
        // It is locked before anybody finds it.
        let mut new = beside(path).map_err(io)?;
        let content = SchedulerAddress { boot: hold(new.as_file()), ..content };
        let text = serde_json::to_vec(&content).map_err(|error| io(error.into()))?;
        fill(&mut new, &text).map_err(io)?;
        let written = match replaced {
            Some(_) => new.persist(path),
            None => new.persist_noclobber(path),
        };
        let file = written.map_err(|error| io(error.error))?;
        Ok(SchedulerFile { path: path.to_path_buf(), file })
    }
}

impl Drop for SchedulerFile {
    /// Removes the file, unless somebody else has put another in its place.
    fn drop(&mut self) {
        if is_at(&self.file, &self.path) {
            // Whoever finds it learns from the lock that it is stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn of(process: u32, host: &str) -> SchedulerAddress {
        SchedulerAddress {
            address: "127.0.0.1:7".into(),
            keys: None,
            process,
            host: host.into(),
            grace_ms: None,
            boot: None,
        }
    }

    /// A file whose scheduler was killed, or which is of a scheduler that nobody can judge.
    fn leave(path: &Path, boot: Option<String>) {
        let content = SchedulerAddress { boot, ..of(std::process::id(), &host()) };
        fs::write(path, serde_json::to_vec(&content).unwrap()).unwrap();
    }

    fn this_boot() -> Option<String> {
        hold(&tempfile::tempfile().unwrap())
    }

    #[test]
    fn it_is_read_as_written_private_and_gone_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let keys = folder.path().join("keys");
        let content = SchedulerAddress::of_this_process("[::1]:7077".into(), Some(keys));
        let file = SchedulerFile::write(&path, content.clone()).unwrap();
        let content = SchedulerAddress { boot: this_boot(), ..content };
        assert_eq!(SchedulerAddress::read(&path).unwrap(), content);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(file);
        assert!(matches!(SchedulerAddress::read(&path), Err(SchedulerFileError::Missing(_))));
    }

    #[test]
    fn that_of_a_scheduler_that_was_killed_is_stale_and_replaced_whatever_its_process_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        leave(&path, this_boot());
        assert!(matches!(SchedulerAddress::read(&path), Err(SchedulerFileError::Stale { .. })));
        let own = SchedulerFile::write(&path, of(i32::MAX as u32, &host())).unwrap();
        assert!(SchedulerAddress::read(&path).is_ok(), "nobody has this process number");
        let error = SchedulerFile::write(&path, of(1, &host())).unwrap_err();
        assert!(matches!(error, SchedulerFileError::InUse { .. }), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(own);
        assert!(!path.exists());
    }

    #[test]
    fn the_file_of_another_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let first = SchedulerFile::write(&path, of(1, &host())).unwrap();
        fs::remove_file(&path).unwrap();
        let second = SchedulerFile::write(&path, of(1, &host())).unwrap();
        drop(first);
        assert!(SchedulerAddress::read(&path).is_ok());
        drop(second);
    }

    #[test]
    fn of_those_that_find_a_stale_file_one_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        for _ in 0..50 {
            leave(&path, this_boot());
            let write = || SchedulerFile::write(&path, of(1, &host()));
            // Those that read it meanwhile are in nobody's way.
            let read = || SchedulerAddress::read(&path);
            let written: Vec<_> = std::thread::scope(|scope| {
                (0..4).for_each(|_| drop(scope.spawn(read)));
                let writers: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
                writers.into_iter().map(|writer| writer.join().unwrap()).collect()
            });
            assert_eq!(written.iter().filter(|written| written.is_ok()).count(), 1, "{written:?}");
            assert!(SchedulerAddress::read(&path).is_ok());
        }
    }

    #[test]
    fn what_cannot_be_judged_is_believed_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        leave(&path, None);
        assert!(SchedulerAddress::read(&path).is_ok());
        let error = SchedulerFile::write(&path, of(1, &host())).unwrap_err();
        assert!(matches!(error, SchedulerFileError::Unjudged { .. }), "{error}");
    }

    #[test]
    fn another_kind_of_file_is_neither_read_nor_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let deep = "[".repeat(50_000);
        let long = " ".repeat(LONGEST as usize + 1);
        for text in ["", "{}", "[1]", r#"{"address": 1}"#, &deep, &long] {
            fs::write(&path, text).unwrap();
            let error = SchedulerAddress::read(&path).unwrap_err();
            assert!(matches!(error, SchedulerFileError::Malformed { .. }), "{error}");
            assert!(SchedulerFile::write(&path, of(1, "x")).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(matches!(SchedulerAddress::read(&pipe), Err(SchedulerFileError::Malformed { .. })));
        assert!(SchedulerFile::write(&folder.path().join("none/s.json"), of(1, "x")).is_err());
        assert!(SchedulerFile::write(Path::new("/"), of(1, "x")).is_err());
    }

    #[test]
    fn a_file_of_the_longest_length_is_read_and_one_byte_more_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let content = SchedulerAddress { grace_ms: Some(1500), ..of(std::process::id(), &host()) };
        let text = serde_json::to_string(&content).unwrap();
        let text = text.clone() + &" ".repeat(LONGEST as usize - text.len());
        fs::write(&path, &text).unwrap();
        let read = SchedulerAddress::read(&path).unwrap();
        assert_eq!((read.grace(), of(1, "x").grace()), (Some(Duration::from_millis(1500)), None));
        assert_eq!(read, content);
        fs::write(&path, text + " ").unwrap();
        let error = SchedulerAddress::read(&path).unwrap_err();
        assert!(error.to_string().contains("more than 65536 bytes"), "{error}");
    }

    #[test]
    fn a_machine_is_called_as_the_system_calls_it() {
        assert_eq!(host(), fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim());
    }
}
