//! The programs of a batch system, and for how long they are waited for.

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A call of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub program: &'static str,
    /// Its words.
    pub words: Vec<String>,
    /// What it reads.
    pub input: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Called {
    /// It ended.
    Ended {
        /// Whether it says so.
        ok: bool,
        /// On standard output.
        says: String,
        /// On standard error.
        complains: String,
        /// How long it took.
        seconds: f64,
    },
    /// It did not, and was ended. What it was to do may have been done.
    TookTooLong {
        /// So many seconds.
        seconds: f64,
    },
    /// It could not be started: the system's words.
    NotStarted(String),
}

/// Calls programs.
pub trait Commands: Send {
    /// Waits until it has ended.
    fn call(&mut self, call: &Call) -> Called;
}

/// The programs in `PATH`.
#[derive(Clone, Debug)]
pub struct Programs {
    /// A program that takes longer is ended.
    pub patience: Duration,
}

impl Default for Programs {
    fn default() -> Self {
        // `sbatch` and `squeue` give up by themselves sooner where nobody answers.
        Programs { patience: Duration::from_secs(60) }
    }
}

/// Variables that say which SLURM there is. The others of its kind are of a job that this process may run in, or change
/// what `squeue` prints and what `scancel` asks.
const KEPT: [&str; 2] = ["SLURM_CONF", "SLURM_CLUSTERS"];

fn is_in_the_way(variable: &OsString) -> bool {
    let name = variable.to_string_lossy();
    let of_slurm = ["SLURM_", "SLURMD_", "SQUEUE_", "SCANCEL_"].iter().any(|start| name.starts_with(start));
    of_slurm && !KEPT.contains(&&*name)
}

impl Commands for Programs {
    fn call(&mut self, call: &Call) -> Called {
        let began = Instant::now();
        let mut command = Command::new(call.program);
        command.args(&call.words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A signal of the terminal is for this process, which then has jobs cancelled.
        command.process_group(0);
        std::env::vars_os().map(|(name, _)| name).filter(is_in_the_way).for_each(|name| {
            command.env_remove(name);
        });
        match command.spawn() {
            Ok(child) => self.wait(child, call.input.clone(), began),
            Err(error) if error.kind() == ErrorKind::NotFound => Called::NotStarted(format!(
                "there is no {} here: SLURM is not installed, or not in PATH",
                call.program
            )),
            Err(error) => Called::NotStarted(format!("{}: {error}", call.program)),
        }
    }
}

impl Programs {
    fn wait(&self, mut child: Child, input: String, began: Instant) -> Called {
        if let Some(mut pipe) = child.stdin.take() {
            // One that does not read its input says why.
            std::thread::spawn(move || drop(pipe.write_all(input.as_bytes())));
        }
        let says = all_of(child.stdout.take());
        let complains = all_of(child.stderr.take());
        let text =
            |pipe: mpsc::Receiver<String>| pipe.recv_timeout(self.patience.saturating_sub(began.elapsed()));
        let (says, complains) = (text(says), text(complains));
        if says == Err(RecvTimeoutError::Timeout) || complains == Err(RecvTimeoutError::Timeout) {
            // It may have ended just now.
            let _ = child.kill();
            let _ = child.wait();
            return Called::TookTooLong { seconds: began.elapsed().as_secs_f64() };
        }
        let ok = child.wait().is_ok_and(|status| status.success());
        let seconds = began.elapsed().as_secs_f64();
        Called::Ended {
            ok,
            says: says.unwrap_or_default(),
            complains: complains.unwrap_or_default(),
            seconds,
        }
    }
}

/// Everything that comes out of a pipe, once it is closed.
fn all_of(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (tell, hear) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error counts.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        // Nobody may wait for it any more.
        let _ = tell.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    hear
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(script: &str, patience: Duration) -> Called {
        let words = vec!["-c".to_string(), script.to_string()];
        Programs { patience }.call(&Call { program: "sh", words, input: "read this\n".into() })
    }

    #[test]
    fn what_a_program_says_is_heard() {
        let called = call("read line; echo \"$line\"; echo no >&2; exit 3", Duration::from_secs(60));
        let Called::Ended { ok, says, complains, .. } = called else { panic!("{called:?}") };
        assert_eq!((ok, says.as_str(), complains.as_str()), (false, "read this\n", "no\n"));
        let missing = Call { program: "dolmen-no-such-program", words: vec![], input: String::new() };
        let called = Programs::default().call(&missing);
        assert!(
            matches!(&called, Called::NotStarted(why) if why.starts_with("there is no dolmen-no-such-program")),
            "{called:?}"
        );
        let no_program = Call { program: "/dev/null", ..missing };
        let called = Programs::default().call(&no_program);
        assert!(matches!(&called, Called::NotStarted(why) if why.starts_with("/dev/null: ")), "{called:?}");
    }

    #[test]
    fn one_that_hangs_is_ended() {
        for closes in ["", ">&-", "2>&-"] {
            let called = call(&format!("exec sleep 1000 {closes}"), Duration::from_millis(100));
            assert!(matches!(called, Called::TookTooLong { .. }), "{called:?}");
        }
    }

    #[test]
    fn a_job_that_we_are_in_is_none_of_theirs() {
        let goes = |name: &str| is_in_the_way(&name.into());
        for name in [
            "SLURM_JOB_ID",
            "SLURM_MEM_PER_CPU",
            "SLURMD_NODENAME",
            "SQUEUE_PARTITION",
            "SCANCEL_INTERACTIVE",
        ] {
            assert!(goes(name), "{name}");
        }
        for name in ["SLURM_CONF", "SLURM_CLUSTERS", "SBATCH_ACCOUNT", "PATH"] {
            assert!(!goes(name), "{name}");
        }
    }
}
