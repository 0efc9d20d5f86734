//! Runs that share a folder: what the living write is nobody's leftover, whatever their process numbers.

use crate::support::dolmen::{Folder, Outcome};
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Takes long enough to be stopped in the middle.
const LONG: &str = "generate normal --shape 3000x3000 --block 100 --no-sync --quiet";

/// The program in a process group of its own, with what follows it.
pub fn started(command: &mut Command) -> Child {
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process")
}

/// To a child and all that it started.
pub fn send(child: &Child, signal: i32) {
    // SAFETY: a signal to the group of a process that has not been waited for.
    assert_eq!(unsafe { libc::kill(-(child.id() as i32), signal) }, 0);
}

/// Whether something half written is in the folder.
fn half_written(folder: &Folder) -> bool {
    let mut entries = fs::read_dir(folder.path("")).unwrap();
    entries.any(|entry| entry.unwrap().file_name().to_string_lossy().contains(".partial-"))
}

/// Comes back when the child is stopped or has ended; its end can still be waited for.
fn when_it_stands(child: &Child) {
    let what = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT;
    let mut seen = MaybeUninit::uninit();
    // SAFETY: a child that has not been waited for, and a place for what is said of it.
    let result = unsafe { libc::waitid(libc::P_PID, child.id(), seen.as_mut_ptr(), what) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// A run that has begun to write into a new folder and is stopped before it has written all. This process may have to
/// wait for a core so long that a run is over before it is told to stop: then another is started, in another folder.
pub fn stopped(command: impl Fn(&Folder) -> Command) -> (Folder, Child) {
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        let folder = Folder::new();
        let mut child = started(&mut command(&folder));
        while !half_written(&folder) && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        if child.try_wait().unwrap().is_none() {
            send(&child, libc::SIGSTOP);
            when_it_stands(&child);
            if half_written(&folder) {
                return (folder, child);
            }
        }
        goes_on_and_succeeds(child);
        assert!(Instant::now() < deadline, "every run was over before it was told to stop");
    }
}

/// Lets a stopped run go on, and says how it ends, or has ended.
pub fn continued(mut child: Child) -> Outcome {
    if child.try_wait().unwrap().is_none() {
        send(&child, libc::SIGCONT);
    }
    Outcome::of(child.wait_with_output().unwrap())
}

#[track_caller]
fn goes_on_and_succeeds(child: Child) {
    let outcome = continued(child);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
}

/// `words` as the process with a number that no other namespace knows, in a namespace of its own.
fn contained(folder: &Folder, words: &str, number: u32) -> Command {
    let others = "/bin/true;".repeat(number as usize - 2);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "sh", "-c"]).arg(format!("{others} \"$@\"; exit $?")).arg("sh");
    command.arg(env!("CARGO_BIN_EXE_dolmen")).args(words.split_whitespace());
    command.current_dir(folder.path("")).stdin(Stdio::null());
    command
}

#[test]
fn containers_with_one_host_name_leave_each_other_alone() {
    let may = Command::new("unshare").args(["--pid", "--fork", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return eprintln!(
            "SKIPPED: runs in process namespaces of their own (unshare --pid is not allowed here)"
        );
    }
    for out in ["a.npy", "a.zarr"] {
        let (folder, first) = stopped(|folder| contained(folder, &format!("{LONG} --out {out}"), 5));
        let words = "generate normal --shape 9x9 --out b.npy --quiet";
        let second = contained(&folder, words, 2).output().unwrap();
        assert!(second.status.success(), "{second:?}");
        goes_on_and_succeeds(first);
        assert!(folder.path(out).exists());
    }
}

#[test]
fn two_that_write_the_same_result_both_succeed() {
    for out in ["a.npy", "a.zarr"] {
        let (folder, first) = stopped(|folder| folder.command(&format!("{LONG} --out {out}")));
        folder.ok(&format!("generate normal --shape 9x9 --out {out}"));
        goes_on_and_succeeds(first);
        assert!(!folder.names().iter().any(|name| name.starts_with('.')), "{:?}", folder.names());
    }
}

#[test]
fn what_a_killed_run_left_goes_with_the_next_in_its_folder() {
    for out in ["a.npy", "a.zarr"] {
        let (folder, mut child) = stopped(|folder| folder.command(&format!("{LONG} --out {out}")));
        send(&child, libc::SIGKILL);
        child.wait().unwrap();
        assert!(
            folder.names().iter().any(|name| name.starts_with('.')),
            "nothing was left: this proves nothing"
        );
        folder.ok("generate normal --shape 9x9 --out b.npy");
        assert_eq!(folder.names(), ["b.npy"]);
    }
}
