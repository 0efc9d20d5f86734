//! Runs that are told to end while they write many small chunks over an earlier result.

use super::owners::{continued, send, started, stopped};
use crate::support::dolmen::{Folder, Outcome};
use std::ffi::c_int;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Files of the earlier result, `zarr.json` included, and of the new one.
const EARLIER: usize = 2 * 2 + 1;
const NEW: usize = 50 * 50 + 1;
/// How many of the new ones are there when the signal comes: none, some, all, and all under their name.
const WRITTEN: [usize; 8] = [0, 1, 30, 300, 1000, 2000, NEW, NEW + 1];

/// A run that replaces an array by one of so many rows and columns.
fn replacing(folder: &Folder, side: usize, options: &str) -> Command {
    folder.ok("generate normal --shape 100x100 --block 50 --out a.zarr");
    let words = format!("generate normal --shape {side}x{side} --block 30 --seed 5 --out a.zarr {options}");
    heeding_all(folder.command(&words))
}

/// The signals that end a run.
const ENDING: [(c_int, &str); 10] = [
    (libc::SIGHUP, "SIGHUP"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGALRM, "SIGALRM"),
    (libc::SIGVTALRM, "SIGVTALRM"),
    (libc::SIGPROF, "SIGPROF"),
    (libc::SIGUSR1, "SIGUSR1"),
    (libc::SIGUSR2, "SIGUSR2"),
    (libc::SIGXCPU, "SIGXCPU"),
];

/// Whoever runs the tests may ignore some signals, as `nohup` does, and children would inherit that.
fn heeding_all(mut command: Command) -> Command {
    let reset = || {
        for (signal, _) in ENDING {
            // SAFETY: the default action runs no code of ours.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: `signal` may be called between fork and exec.
    unsafe { command.pre_exec(reset) };
    command
}

/// A run that is stopped while it replaces an array by one so large that it writes for long: it will be told to end.
fn stopped_while_it_replaces() -> (Folder, Child) {
    stopped(|folder| replacing(folder, 6000, ""))
}

fn files(folder: &Folder) -> usize {
    folder.names().iter().filter(|name| name.starts_with("a.zarr/") && !name.ends_with('/')).count()
}

/// Files below a folder from which some may vanish meanwhile.
fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    paths.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

/// Files of the new array so far, and one more as soon as it has its name.
fn written(folder: &Folder) -> usize {
    if files_below(&folder.path("a.zarr")) > EARLIER {
        return NEW + 1;
    }
    let entries = std::fs::read_dir(folder.path("")).unwrap().filter_map(Result::ok);
    let partial = entries.filter(|entry| entry.file_name().to_string_lossy().contains(".partial-"));
    partial.map(|entry| files_below(&entry.path())).sum()
}

#[test]
fn either_the_earlier_result_is_there_or_the_new_one() {
    for enough in WRITTEN {
        let folder = Folder::new();
        let mut child = started(&mut replacing(&folder, 1500, "--no-sync --report r.json"));
        while written(&folder) < enough && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        if child.try_wait().unwrap().is_none() {
            send(&child, libc::SIGTERM);
        }
        let outcome = Outcome::of(child.wait_with_output().unwrap());
        let names = folder.names();
        let replaced = outcome.code == Some(0) || outcome.stderr.contains("already");
        assert_eq!(files(&folder), if replaced { NEW } else { EARLIER }, "{enough} files: {outcome:?}");
        // Without a code the signal came before the program listened to it.
        assert!(matches!(outcome.code, None | Some(0 | 130)), "{enough} files: {outcome:?}");
        assert!(!names.iter().any(|name| name.starts_with('.')), "{enough} files: {names:?}");
    }
}

#[test]
fn a_run_ends_though_nobody_reads_what_it_says() {
    let (_folder, mut child) = stopped_while_it_replaces();
    drop(child.stderr.take());
    send(&child, libc::SIGTERM);
    assert_eq!(continued(child).code, Some(130));
}

#[test]
fn whatever_ends_a_run_leaves_nothing_half_written() {
    for (signal, name) in ENDING {
        let (folder, child) = stopped_while_it_replaces();
        send(&child, signal);
        let outcome = continued(child);
        assert_eq!(outcome.stderr, format!("dolmen: cancelled by {name}; nothing was written\n"));
        assert_eq!((outcome.code, files(&folder)), (Some(130), EARLIER), "{name}");
        assert!(folder.names().iter().all(|name| name.starts_with("a.zarr")), "{name}: {:?}", folder.names());
    }
}

/// The program as a child of a shell that does something first.
fn after(folder: &Folder, first: &str, words: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{first}; exec \"$@\"")).arg("sh").arg(env!("CARGO_BIN_EXE_dolmen"));
    command.args(words.split_whitespace()).current_dir(folder.path("")).stdin(Stdio::null());
    command
}

#[test]
fn signals_that_the_parent_ignores_are_ignored() {
    let ignored = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1];
    let words = "generate normal --shape 1500x1500 --block 30 --out a.zarr --quiet";
    let (folder, child) = stopped(|folder| after(folder, "trap '' HUP INT QUIT TERM USR1", words));
    ignored.iter().for_each(|signal| send(&child, *signal));
    let outcome = continued(child);
    assert_eq!((outcome.code, outcome.stderr.as_str(), files(&folder)), (Some(0), "", NEW));
    // Others still end it.
    let (folder, child) = stopped(|folder| after(folder, "trap '' HUP INT", words));
    send(&child, libc::SIGHUP);
    send(&child, libc::SIGTERM);
    let outcome = continued(child);
    assert_eq!((outcome.code, files(&folder)), (Some(130), 0));
    assert!(outcome.stderr.contains("SIGTERM"), "{outcome:?}");
}

#[test]
fn a_limit_on_the_size_of_files_is_one_clear_error() {
    for out in ["a.npy", "a.zarr"] {
        let folder = Folder::new();
        let words = format!("generate normal --shape 1000x1000 --block 500 --out {out}");
        let outcome = Outcome::of(after(&folder, "ulimit -f 100", &words).output().unwrap());
        assert_eq!((outcome.code, outcome.stderr.lines().count()), (Some(1), 1), "{outcome:?}");
        assert!(outcome.stderr.contains(out) && outcome.stderr.contains("ulimit -f"), "{outcome:?}");
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    }
}
