//! Commands with workers of their own: processes of this machine.

use crate::processes::{ended, result, send, until};
use crate::support::dolmen::{Folder, Outcome};
use dolmen::array::{Array, Element};
use dolmen::session::cluster::{ElasticOptions, WorkerSource};
use dolmen::session::{Operation, Session, Target};
use std::ffi::c_int;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

const OWN: &str = "--provider local --max-workers 2 --worker-threads 1 --worker-memory 300MiB";

/// A folder, and one in it for temporary files: what the processes have to tell each other is there.
struct Place {
    folder: Folder,
}

impl Place {
    fn new() -> Place {
        let folder = Folder::new();
        std::fs::create_dir(folder.path("tmp")).expect("a folder");
        Place { folder }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = self.folder.command(&format!("{words} {OWN}"));
        command.env("TMPDIR", self.folder.path("tmp"));
        let heed = || {
            for signal in [libc::SIGINT, libc::SIGTERM] {
                // SAFETY: the default action runs no code of ours.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            Ok(())
        };
        // Whoever runs the tests may ignore signals, and children would inherit that.
        // SAFETY: `signal` may be called between fork and exec.
        unsafe { command.pre_exec(heed) };
        command
    }

    #[track_caller]
    fn ok(&self, words: &str) {
        let outcome = Outcome::of(self.command(words).output().expect("the program starts"));
        assert_eq!(outcome.code, Some(0), "dolmen {words}\n{}", outcome.stderr);
    }

    fn workers(&self) -> usize {
        self.worker_processes().len()
    }

    /// The numbers of worker processes that belong here, whoever is their parent now.
    fn worker_processes(&self) -> Vec<i32> {
        let here = self.folder.path("tmp").into_os_string().into_encoded_bytes();
        let is_one = |process: &std::fs::DirEntry| {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            line.windows(here.len()).any(|part| part == here)
                && line.split(|byte| *byte == 0).any(|word| word == b"worker")
        };
        let all = std::fs::read_dir("/proc").expect("processes").flatten().filter(is_one);
        all.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
    }

    /// A command that takes long. Comes back when a worker is there, and the result has been begun.
    fn begin(&self) -> Child {
        self.folder.ok("generate normal --shape 2000x2000 --seed 1 --out b.npy --quiet");
        let mut command = self.command("matmul b.npy b.npy --block 32 --out c.npy");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
        let is_begun = || {
            let names = self.folder.path("");
            let names = std::fs::read_dir(names).expect("a folder").flatten();
            let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.any(|name| name.starts_with(".c.npy.partial-"))
        };
        until(
            || {
                assert_eq!(child.try_wait().expect("a child"), None, "it has ended");
                is_begun() && self.workers() > 0
            },
            || "no worker".into(),
        );
        child
    }

    fn names(&self) -> Vec<String> {
        self.folder.names()
    }
}

#[test]
fn all_commands_leave_what_one_process_leaves_and_nothing_else() {
    let place = Place::new();
    let folder = &place.folder;
    folder.ok("generate normal --shape 400x400 --seed 1 --out s.npy");
    folder.ok("generate normal --shape 900x40 --seed 2 --out a.zarr");
    let mut expected = folder.names();
    for (command, out) in [
        ("generate uniform --shape 500x300 --seed 3", "generated.npy"),
        ("transpose-add s.npy", "sum.npy"),
        ("matmul s.npy s.npy", "product.npy"),
        ("qr a.zarr", "qr"),
        ("svd a.zarr", "svd.zarr"),
        ("rsvd a.zarr --rank 5", "rsvd"),
    ] {
        folder.ok(&format!("{command} --block 100 --quiet --out here-{out}"));
        place.ok(&format!("{command} --block 100 --quiet --out there-{out}"));
        assert_eq!(place.workers(), 0, "{command}");
        let stem = |of: &str| format!("{of}-{}", out.split('.').next().expect("a name"));
        assert!(result(folder, &stem("here")) == result(folder, &stem("there")), "{command}: other bits");
    }
    let mut names = place.names();
    names.retain(|name| !name.starts_with("here-") && !name.starts_with("there-"));
    expected.sort();
    assert_eq!(names, expected);
}

/// Blocks are as large as the workers' memory allows, which is not known before they are there.
#[test]
fn the_first_plan_is_that_of_all_others() {
    let folder = Folder::new();
    let options = ElasticOptions {
        source: WorkerSource::Local,
        least: 0,
        most: 1,
        threads: 1,
        memory: Some(1 << 30),
        deadline: None,
        worker_cost: None,
        program: env!("CARGO_BIN_EXE_dolmen").into(),
        logs: None,
        owner: None,
    };
    let session = Session::builder().own_workers(options, folder.path("c.npy")).build().expect("a session");
    let a = Array::normal(20_000, 20_000, 1, Element::F64);
    let sum = Operation::Compute(&a + &a.t());
    let blocks = || {
        let planned = session.plan(&sum, Target::Files(vec![folder.path("c.npy")])).expect("a plan");
        planned.preview().expect("a preview").blocks
    };
    assert_eq!(blocks(), blocks());
}

#[track_caller]
fn a_signal_leaves_nothing(signal: c_int, name: &str) {
    let place = Place::new();
    let child = place.begin();
    send(&child, signal);
    let outcome = Outcome::of(child.wait_with_output().expect("a child"));
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    let told = format!("dolmen: cancelled by {name}; nothing was written\n");
    assert!(outcome.stderr.ends_with(&told), "{outcome:?}");
    assert_eq!(place.workers(), 0);
    assert_eq!(place.names(), ["b.npy", "tmp/"]);
}

#[test]
fn an_interrupt_in_the_middle_leaves_nothing() {
    a_signal_leaves_nothing(libc::SIGINT, "SIGINT");
}

#[test]
fn a_termination_in_the_middle_leaves_nothing() {
    a_signal_leaves_nothing(libc::SIGTERM, "SIGTERM");
}

/// A worker that is stopped does not leave when it is told.
#[test]
fn a_second_interrupt_ends_it_while_workers_are_waited_for() {
    let place = Place::new();
    let mut child = place.begin();
    let signal_all = |signal| {
        place.worker_processes().into_iter().for_each(|process| {
            // SAFETY: a signal to a process of this test.
            unsafe { libc::kill(process, signal) };
        })
    };
    signal_all(libc::SIGSTOP);
    send(&child, libc::SIGINT);
    let mut said = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let told = |line: &String| line == "dolmen: cancelled by SIGINT; nothing was written";
    assert!(said.any(|line| told(&line)), "it is not cancelled");
    send(&child, libc::SIGINT);
    assert_eq!(said.next(), Some("dolmen: ended by SIGINT: workers may be left".into()));
    assert_eq!(ended(&mut child), Some(130));
    signal_all(libc::SIGKILL);
    until(|| place.workers() == 0, || "workers are left".into());
}

#[test]
fn workers_of_a_command_that_is_killed_end_and_the_next_one_removes_its_folder() {
    let place = Place::new();
    let mut child = place.begin();
    child.kill().expect("a child");
    ended(&mut child);
    until(|| place.workers() == 0, || "workers are left".into());
    assert!(place.names().iter().any(|name| name.starts_with("tmp/.dolmen-cluster-")), "{:?}", place.names());
    place.ok("generate normal --shape 10x10 --out d.npy --quiet");
    assert_eq!(place.names(), ["b.npy", "d.npy", "tmp/"]);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_started() {
    let folder = Folder::new();
    folder.ok("generate normal --shape 100x20 --seed 1 --out a.npy");
    for (options, says) in [
        ("--provider local --threads 2", "--threads is for work in this process"),
        ("--provider local --memory 1GiB", "--worker-memory"),
        ("--provider local --scheduler-file c.json", "--scheduler-file names others"),
        ("--provider local --scheduler n1:1 --keys k", "--scheduler names others"),
        ("--provider local --max-workers 2 --wait-workers 3", "give --max-workers 3"),
        ("--provider local --max-workers 2 --min-workers 3", "--min-workers 3 is more than"),
        ("--provider local --slurm-qos q", "--slurm-qos is for --provider slurm"),
        ("--provider local --dry-run", "--dry-run is for --provider slurm"),
        ("--provider slurm --slurm-extra rm", "no option of sbatch"),
        ("--max-workers 2", "--provider"),
    ] {
        folder.refused(&format!("svd a.npy --out r {options}"), &[says]);
    }
    folder.refused("plan svd a.npy --out r --provider local", &["dolmen plan starts no workers"]);
    folder.refused("svd none.npy --out r --provider local", &["none.npy"]);
}

#[test]
fn without_slurm_it_ends_at_once() {
    let folder = Folder::new();
    folder.ok("generate normal --shape 100x20 --seed 1 --out a.npy");
    let mut command = folder.command("svd a.npy --out r --provider slurm");
    let outcome = Outcome::of(command.env("PATH", "/nonexistent").output().expect("the program starts"));
    assert_eq!((outcome.code, outcome.stderr.lines().count()), (Some(1), 1), "{outcome:?}");
    assert!(outcome.stderr.contains("sinfo"), "{outcome:?}");
    assert_eq!(folder.names(), ["a.npy"]);
}

#[test]
fn a_dry_run_prints_the_script_and_leaves_nothing() {
    let folder = Folder::new();
    let words = "svd a.zarr --out r.zarr --provider slurm --max-workers 3 --slurm-partition long --dry-run";
    let script = folder.ok(words).stdout;
    for line in ["#SBATCH --array=0-2", "#SBATCH --partition=long"] {
        assert!(script.lines().any(|found| found == line), "no {line} in\n{script}");
    }
    assert_eq!(folder.names(), [""; 0]);
}
