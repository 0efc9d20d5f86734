//! Runs the program in a folder of its own and looks at what it left there.

use super::matrix::Matrix;
use super::npy::{self, Array, Kind};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder that goes away with the test.
pub struct Folder(tempfile::TempDir);

/// What a run said.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn of(output: Output) -> Outcome {
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("a writable temporary folder");
    }

    /// Puts a matrix there as f64 in C order.
    pub fn put(&self, name: &str, a: &Matrix) {
        self.put_as(name, a, Kind::F64, false);
    }

    pub fn put_as(&self, name: &str, a: &Matrix, kind: Kind, fortran: bool) {
        self.write(name, npy::encode(a, kind, fortran));
    }

    pub fn get(&self, name: &str) -> Array {
        npy::read(&self.path(name))
    }

    /// The program there with these words, which are split at blanks.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dolmen"));
        command.args(words.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, words: &str) -> Outcome {
        Outcome::of(self.command(words).output().expect("the program starts"))
    }

    /// Runs it and demands success.
    #[track_caller]
    pub fn ok(&self, words: &str) -> Outcome {
        let outcome = self.run(words);
        assert_eq!(outcome.code, Some(0), "dolmen {words}\n{}", outcome.stderr);
        outcome
    }

    /// Runs it and demands a refusal, exit code 2: see [`Folder::no_trace`].
    #[track_caller]
    pub fn refused(&self, words: &str, says: &[&str]) -> String {
        self.no_trace(2, words, says)
    }

    /// Runs it and demands a failure, exit code 1: see [`Folder::no_trace`].
    #[track_caller]
    pub fn failed(&self, words: &str, says: &[&str]) -> String {
        self.no_trace(1, words, says)
    }

    /// Runs it and demands this exit code, one line on standard error with each of `says` in it, nothing on
    /// standard output, and the folder as it was, hidden names and contents included. Returns the line.
    #[track_caller]
    fn no_trace(&self, code: i32, words: &str, says: &[&str]) -> String {
        let before = self.contents();
        let outcome = self.run(words);
        assert_eq!(outcome.code, Some(code), "dolmen {words}\n{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "dolmen {words}: one line, not\n{}", outcome.stderr);
        for part in says {
            assert!(outcome.stderr.contains(part), "dolmen {words}: no {part:?} in: {}", outcome.stderr);
        }
        assert_eq!(outcome.stdout, "", "dolmen {words}");
        let after = self.contents();
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&before), names(&after), "dolmen {words}: files left behind or gone");
        assert!(before == after, "dolmen {words}: a file was changed");
        outcome.stderr
    }

    /// All that is below the folder; folders end in a slash.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut out = BTreeMap::new();
        collect(self.0.path(), self.0.path(), &mut out);
        out
    }

    pub fn names(&self) -> Vec<String> {
        self.contents().into_keys().collect()
    }
}

fn collect(root: &Path, folder: &Path, out: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        if path.is_dir() {
            out.insert(format!("{name}/"), vec![]);
            collect(root, &path, out);
        } else {
            // A link that leads nowhere is the name that it has in it.
            let link = || fs::read_link(&path).map(|target| target.into_os_string().into_encoded_bytes());
            out.insert(name, fs::read(&path).or_else(|_| link()).expect("a readable file"));
        }
    }
}
