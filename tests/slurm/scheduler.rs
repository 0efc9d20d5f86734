//! A scheduler on this machine, for workers that are jobs.

use super::support::dolmen::Folder;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const HANGS: Duration = Duration::from_secs(180);
pub const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub struct Scheduler {
    pub folder: Folder,
    child: Child,
}

impl Scheduler {
    pub fn start() -> Scheduler {
        Scheduler::with("", "")
    }

    /// With more words, and a variable that says where SLURM is.
    pub fn with(options: &str, variable: &str) -> Scheduler {
        let folder = Folder::new();
        let log = std::fs::File::create(folder.path("scheduler.log")).expect("a log");
        let mut command = folder.command(&format!("scheduler --scheduler-file cluster.json {options}"));
        command.envs(variable.split_once('='));
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("a process");
        Scheduler { folder, child }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path("scheduler.log")).expect("a log")
    }

    /// Comes back when it has said this so many times.
    #[track_caller]
    pub fn wait_for(&self, line: &str, times: usize) {
        until(&format!("{line:?} {times} times"), || self.log().matches(line).count() >= times);
    }

    /// Ends it in an orderly way.
    pub fn stop(&mut self) {
        self.folder.ok("stop --scheduler-file cluster.json");
        assert!(self.child.wait().expect("a child").success(), "{}", self.log());
    }

    /// Kills it as nothing else would.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < HANGS, "waited for {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}
