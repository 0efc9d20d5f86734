//! A SLURM of four nodes that all tests of this process share. It ends with the last of them, and with the process,
//! however that ends.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tempfile::TempDir;

/// Where daemons are, beside what is in `PATH`.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

pub struct Bed {
    /// Its folder is in this one.
    _parent: TempDir,
    folder: PathBuf,
    /// Stops the test bed when its standard input is closed.
    watcher: Child,
}

/// The script that starts and stops it.
pub fn testbed() -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("slurm/testbed"));
    command.stdin(Stdio::null());
    command
}

fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from)).collect()
}

/// Why there can be no SLURM here, if so.
fn missing() -> Option<String> {
    let is_missing = |program: &&str| !folders().iter().any(|folder| folder.join(program).is_file());
    let program = ["munged", "slurmctld", "slurmd", "sbatch"].into_iter().find(is_missing)?;
    Some(format!("no {program}; as root on Debian: slurm/testbed install"))
}

/// Says what is left out, past the test harness, which keeps what is printed.
pub fn skipped(what: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {what} ({why})").expect("stderr");
}

/// Whether there is a SLURM to be had; says so if not.
pub fn is_possible() -> bool {
    let missing = missing();
    missing.iter().for_each(|why| skipped("the tests on a real SLURM", why));
    missing.is_none()
}

/// A test bed that no other test uses.
pub fn own() -> Option<Arc<Bed>> {
    is_possible().then(|| Arc::new(Bed::start()))
}

/// The test bed of this process, if there is a SLURM to be had.
pub fn shared() -> Option<Arc<Bed>> {
    static SHARED: Mutex<Weak<Bed>> = Mutex::new(Weak::new());
    if !is_possible() {
        return None;
    }
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let bed = shared.upgrade().unwrap_or_else(|| Arc::new(Bed::start()));
    *shared = Arc::downgrade(&bed);
    Some(bed)
}

impl Bed {
    fn start() -> Bed {
        // Not in the target folder: the names of sockets are short.
        let parent = tempfile::tempdir().expect("a temporary folder");
        let folder = parent.path().join("bed");
        let mut stopper = Command::new("sh");
        // What ends the tests by a signal to all their processes does not end it.
        stopper.args(["-c", "trap '' HUP INT TERM; read _; exec \"$0\" stop \"$1\""]);
        stopper.arg(testbed().get_program()).arg(&folder).stdin(Stdio::piped());
        let watcher = stopper.spawn().expect("a process");
        let started = testbed().arg("start").arg(&folder).output().expect("the script starts");
        let bed = Bed { _parent: parent, folder, watcher };
        assert!(started.status.success(), "{started:?}");
        bed
    }

    fn configuration(&self) -> String {
        self.folder.join("slurm.conf").to_str().expect("UTF-8").to_string()
    }

    /// For `env`: by which programs find this SLURM.
    pub fn variable(&self) -> String {
        format!("SLURM_CONF={}", self.configuration())
    }

    /// A command that finds this SLURM, and nothing of a job that the tests may run in.
    pub fn command(&self, words: &str) -> Command {
        let mut words = words.split_whitespace();
        let mut command = Command::new(words.next().expect("a program"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SLURM_") {
                command.env_remove(name);
            }
        }
        command.args(words).stdin(Stdio::null());
        let path = std::env::join_paths(folders()).expect("a path");
        command
            .env("PATH", path)
            .env("SLURM_CONF", self.configuration())
            .env("DOLMEN", env!("CARGO_BIN_EXE_dolmen"));
        command
    }

    /// Ends the controller as an administrator would.
    pub fn end_controller(&self) {
        let file = self.folder.join("run/slurmctld.pid");
        let number = std::fs::read_to_string(file).expect("its number");
        // SAFETY: a signal to a daemon of this test bed, which is alive.
        let sent = unsafe { libc::kill(number.trim().parse().expect("a number"), libc::SIGTERM) };
        assert_eq!(sent, 0);
    }

    /// What a command prints, which must succeed.
    #[track_caller]
    pub fn ok(&self, words: &str) -> String {
        let output = self.command(words).output().expect("it starts");
        assert!(output.status.success(), "{words}: {output:?}");
        text(output)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        // What it could not end it has said on standard error.
        let _ = self.watcher.wait();
    }
}

fn text(output: Output) -> String {
    String::from_utf8(output.stdout).expect("UTF-8")
}
