//! Commands with workers of their own: jobs of a real SLURM.

use super::bed::{Bed, shared};
use super::scheduler::until;
use super::support::dolmen::{Folder, Outcome};
use cluster::life::Life;
use cluster::slurm::job_name::{JobName, Whose};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const OWN: &str = "--provider slurm --max-workers 2 --worker-memory 300MiB";

struct Place {
    bed: Arc<Bed>,
    folder: Folder,
}

impl Place {
    fn new() -> Option<Place> {
        Some(Place { bed: shared()?, folder: Folder::new() })
    }

    fn command(&self, words: &str) -> Command {
        let mut command = self.folder.command(&format!("{words} {OWN}"));
        command.envs(self.bed.variable().split_once('='));
        // Whoever runs the tests may ignore signals, and children would inherit that.
        let heed = || {
            // SAFETY: the default action runs no code of ours.
            unsafe { libc::signal(libc::SIGTERM, libc::SIG_DFL) };
            Ok(())
        };
        // SAFETY: `signal` may be called between fork and exec.
        unsafe { command.pre_exec(heed) };
        command
    }

    fn run(&self, words: &str) -> Outcome {
        Outcome::of(self.command(words).output().expect("the program starts"))
    }

    fn begin(&self, words: &str) -> Child {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process")
    }

    /// States of jobs in the queue that are to make this result.
    fn queue(&self, out: &str) -> Vec<String> {
        let name = JobName::new(&self.folder.path(out).to_string_lossy(), Life::random());
        let listed = self.bed.ok("squeue --noheader --array --format=%j|%T");
        let jobs = listed.lines().filter_map(|line| line.split_once('|'));
        let of_it = jobs.filter(|(job, _)| name.whose(job) == Whose::Earlier);
        of_it.map(|(_, state)| state.to_string()).collect()
    }

    #[track_caller]
    fn until_one_is(&self, state: &str, out: &str) {
        until(&format!("a job that is {state}"), || self.queue(out).iter().any(|found| found == state));
    }
}

#[test]
fn one_line_starts_what_it_needs_and_leaves_nothing() {
    let Some(place) = Place::new() else { return };
    let folder = &place.folder;
    folder.ok("generate normal --shape 2000x50 --seed 1 --out a.zarr");
    folder.ok("svd a.zarr --out here.zarr --quiet --block 100");
    let before = folder.names();
    let outcome = place.run("svd a.zarr --out there.zarr --quiet --block 100");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(place.queue("there.zarr"), [""; 0]);
    let files = folder.contents();
    let (there, others): (Vec<_>, Vec<_>) =
        files.iter().partition(|(name, _)| name.starts_with("there.zarr/"));
    assert_eq!(others.iter().map(|(name, _)| (*name).clone()).collect::<Vec<_>>(), before);
    assert!(!there.is_empty());
    for (name, bytes) in there {
        assert!(files[&name.replacen("there", "here", 1)] == *bytes, "{name} has other bits");
    }
}

#[test]
fn what_slurm_refuses_for_good_ends_it_at_once() {
    let Some(place) = Place::new() else { return };
    place.folder.ok("generate normal --shape 100x20 --seed 1 --out a.npy");
    let outcome = place.run("svd a.npy --out r --slurm-partition nope --wait 3m");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{outcome:?}");
    let last = outcome.stderr.lines().last().expect("a line");
    assert!(last.contains("no worker can come: ") && last.contains("Invalid partition name"), "{last}");
    assert_eq!(place.folder.names(), ["a.npy"]);
}

#[test]
fn workers_that_fail_at_once_end_it_and_their_logs_stay() {
    let Some(place) = Place::new() else { return };
    let folder = &place.folder;
    folder.ok("generate normal --shape 100x20 --seed 1 --out a.npy");
    folder.write("prologue", "echo no module x >&2; exit 3\n");
    let outcome = place.run("svd a.npy --out r --slurm-prologue prologue --wait 3m");
    let last = outcome.stderr.lines().last().expect("a line");
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(last.contains("no worker can come: ") && last.contains("no module x; see "), "{last}");
    let mut names = folder.names();
    names.retain(|name| name != "a.npy" && name != "prologue");
    assert!(!names.is_empty() && names.len() <= 3, "{names:?}");
    for name in names {
        assert!(name.starts_with("dolmen-slurm-") && last.contains(&name), "{name}: {last}");
        assert_eq!(folder.contents()[&name], b"no module x\n");
    }
    assert_eq!(place.queue("r"), [""; 0]);
}

#[track_caller]
fn a_termination_empties_the_queue(place: &Place, options: &str, state: &str) {
    place.folder.ok("generate normal --shape 2000x2000 --seed 1 --out a.npy --quiet");
    let child = place.begin(&format!("matmul a.npy a.npy --block 32 --out c.npy {options}"));
    place.until_one_is(state, "c.npy");
    // SAFETY: a signal to a process that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
    let outcome = Outcome::of(child.wait_with_output().expect("a child"));
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    assert!(outcome.stderr.contains("cancelled by SIGTERM"), "{outcome:?}");
    assert!(!outcome.stderr.contains("may be left"), "{outcome:?}");
    assert_eq!(place.queue("c.npy"), [""; 0]);
    assert_eq!(place.folder.names(), ["a.npy"]);
}

#[test]
fn a_termination_ends_workers_at_work() {
    let Some(place) = Place::new() else { return };
    a_termination_empties_the_queue(&place, "", "RUNNING");
}

#[test]
fn a_termination_cancels_jobs_that_wait() {
    let Some(place) = Place::new() else { return };
    a_termination_empties_the_queue(&place, "--slurm-extra=--begin=now+1hour", "PENDING");
}

#[test]
fn what_waits_of_a_command_that_was_killed_is_cancelled_by_the_next() {
    let Some(place) = Place::new() else { return };
    let folder = &place.folder;
    folder.ok("generate normal --shape 100x20 --seed 1 --out a.npy");
    let mut child = place.begin("svd a.npy --out r --slurm-extra=--begin=now+1hour");
    place.until_one_is("PENDING", "r");
    child.kill().expect("a child");
    child.wait().expect("a child");
    let outcome = place.run("svd a.npy --out r --quiet");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(place.queue("r"), [""; 0]);
    assert_eq!(folder.names(), ["a.npy", "r/", "r/s.npy", "r/u.npy", "r/vt.npy"]);
}
