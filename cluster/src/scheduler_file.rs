//! The file by which workers and clients find their scheduler: written when it listens, removed when it ends.
//!
//! One JSON object: `{"address": "10.0.0.1:7077", "keys": "/home/me/keys", "process": 4711, "host": "n1", "grace_ms":
//! null}`. `keys` is `null` for a scheduler without TLS, `grace_ms` for one that does not come back. The file has mode
//! 0600 and appears whole.

use crate::private_file::{FileError, replace, write_new};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
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
    /// Another scheduler is found through it, and may be alive.
    #[error("{path} is of process {process} on {host}: stop it, or remove the file if it has ended")]
    InUse {
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
        SchedulerAddress { address, keys, process: std::process::id(), host: host(), grace_ms: None }
    }

    /// If it is lost it may come back so soon.
    pub fn grace(&self) -> Option<Duration> {
        self.grace_ms.map(Duration::from_millis)
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it is missing or malformed, or if its scheduler ran on this machine and has ended. Of a scheduler on
    /// another machine only an attempt to connect can tell.
    pub fn read(path: &Path) -> Result<SchedulerAddress, SchedulerFileError> {
        let found = Self::parse(path)?;
        if found.has_ended() {
            let grace = found.grace();
            return Err(SchedulerFileError::Stale {
                path: path.to_path_buf(),
                process: found.process,
                grace,
            });
        }
        Ok(found)
    }

    fn parse(path: &Path) -> Result<SchedulerAddress, SchedulerFileError> {
        let io = |error| FileError::new("read", path, error);
        let malformed = |reason| SchedulerFileError::Malformed { path: path.to_path_buf(), reason };
        // To open a named pipe is to wait for whoever writes into it.
        if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
            return Err(malformed("it is no file".to_string()));
        }
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SchedulerFileError::Missing(path.to_path_buf()),
            _ => io(error).into(),
        })?;
        let mut text = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut text).map_err(io)?;
        if text.len() as u64 > LONGEST {
            return Err(malformed(format!("it has more than {LONGEST} bytes")));
        }
        serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))
    }

    /// Only the file of a scheduler that has ended may be replaced.
    fn check_ended(self, path: &Path) -> Result<(), SchedulerFileError> {
        match self.has_ended() {
            true => Ok(()),
            false => {
                let SchedulerAddress { process, host, .. } = self;
                Err(SchedulerFileError::InUse { path: path.to_path_buf(), process, host })
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.host == host() && !is_running(self.process)
    }
}

/// A scheduler file that is there as long as this value is.
#[derive(Debug)]
pub struct SchedulerFile {
    path: PathBuf,
    content: SchedulerAddress,
}

impl SchedulerFile {
    /// Writes the file. One whose scheduler has ended is replaced.
    ///
    /// # Errors
    /// If another scheduler that is running wrote it (or may be running, on another machine), or if it is something
    /// else, or what the file system says.
    pub fn write(path: &Path, content: SchedulerAddress) -> Result<SchedulerFile, SchedulerFileError> {
        let io = |error| FileError::new("write", path, error);
        let text = serde_json::to_vec(&content).map_err(|error| io(error.into()))?;
        match SchedulerAddress::parse(path) {
            Err(SchedulerFileError::Missing(_)) => write_new(path, &text).map_err(io)?,
            Err(error) => return Err(error),
            Ok(_) => {
                // One of those that find the same file takes its place; the others see that it has.
                let found = File::open(path).map_err(io)?;
                found.lock().map_err(io)?;
                SchedulerAddress::parse(path)?.check_ended(path)?;
                replace(path, &text).map_err(io)?;
            }
        }
        Ok(SchedulerFile { path: path.to_path_buf(), content })
    }
}

impl Drop for SchedulerFile {
    /// Removes the file, unless somebody else has put another in its place.
    fn drop(&mut self) {
        if SchedulerAddress::parse(&self.path).is_ok_and(|found| found == self.content) {
            // Whoever finds it learns from the process number that it is stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn is_running(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    // One that may not be signalled is there all the same.
    process.is_some_and(|process| {
        !matches!(rustix::process::test_kill_process(process), Err(rustix::io::Errno::SRCH))
    })
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
        }
    }

    /// The number of a process that has ended.
    fn ended() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn it_is_read_as_written_private_and_gone_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let keys = folder.path().join("keys");
        let content = SchedulerAddress::of_this_process("[::1]:7077".into(), Some(keys));
        let file = SchedulerFile::write(&path, content.clone()).unwrap();
        assert_eq!(SchedulerAddress::read(&path).unwrap(), content);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(file);
        assert!(matches!(SchedulerAddress::read(&path), Err(SchedulerFileError::Missing(_))));
    }

    #[test]
    fn that_of_a_process_that_has_ended_is_stale_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let stale = SchedulerFile::write(&path, of(ended(), &host())).unwrap();
        assert!(matches!(SchedulerAddress::read(&path), Err(SchedulerFileError::Stale { .. })));
        let own = SchedulerFile::write(&path, of(std::process::id(), &host())).unwrap();
        drop(stale);
        assert!(SchedulerAddress::read(&path).is_ok(), "the file of another is not removed");
        let error = SchedulerFile::write(&path, of(1, &host())).unwrap_err();
        assert!(matches!(error, SchedulerFileError::InUse { .. }), "{error}");
        drop(own);
    }

    #[test]
    fn of_those_that_find_a_stale_file_one_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        std::mem::forget(SchedulerFile::write(&path, of(ended(), &host())).unwrap());
        let write = |_| SchedulerFile::write(&path, of(std::process::id(), &host()));
        let written: Vec<_> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8).map(|number| scope.spawn(move || write(number))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        assert_eq!(written.iter().filter(|written| written.is_ok()).count(), 1, "{written:?}");
        assert!(SchedulerAddress::read(&path).is_ok());
    }

    #[test]
    fn of_another_machine_nothing_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let _file = SchedulerFile::write(&path, of(ended(), "elsewhere")).unwrap();
        assert!(SchedulerAddress::read(&path).is_ok());
        let error = SchedulerFile::write(&path, of(1, &host())).unwrap_err();
        assert!(matches!(error, SchedulerFileError::InUse { .. }), "{error}");
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
