//! Runs that are told to end while they write many small chunks over an earlier result.

use crate::support::dolmen::{Folder, Outcome};
use std::process::{Child, Stdio};
use std::time::Duration;

const PAUSES: [u64; 8] = [0, 20, 50, 100, 200, 300, 500, 800];
/// Files of the earlier result, `zarr.json` included, and of the new one.
const EARLIER: usize = 2 * 2 + 1;
const NEW: usize = 50 * 50 + 1;

/// A run that replaces an array.
fn replacing(folder: &Folder, options: &str) -> Child {
    folder.ok("generate normal --shape 100x100 --block 50 --out a.zarr");
    let words = format!("generate normal --shape 1500x1500 --block 30 --seed 5 --out a.zarr {options}");
    folder.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn tell_to_end(child: &Child, milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
    // SAFETY: a signal to a process that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
}

#[test]
fn either_the_earlier_result_is_there_or_the_new_one() {
    for pause in PAUSES {
        let folder = Folder::new();
        let child = replacing(&folder, "--no-sync --report r.json");
        tell_to_end(&child, pause);
        let outcome = Outcome::of(child.wait_with_output().unwrap());
        let names = folder.names();
        let files = names.iter().filter(|name| name.starts_with("a.zarr/") && !name.ends_with('/')).count();
        let replaced = outcome.code == Some(0) || outcome.stderr.contains("already");
        assert_eq!(files, if replaced { NEW } else { EARLIER }, "after {pause} ms: {outcome:?}");
        // Without a code the signal came before the program listened to it.
        assert!(matches!(outcome.code, None | Some(0 | 130)), "after {pause} ms: {outcome:?}");
        assert!(!names.iter().any(|name| name.starts_with('.')), "after {pause} ms: {names:?}");
    }
}

#[test]
fn a_run_ends_though_nobody_reads_what_it_says() {
    let folder = Folder::new();
    let mut child = replacing(&folder, "");
    drop(child.stderr.take());
    tell_to_end(&child, 200);
    assert!(matches!(child.wait().unwrap().code(), None | Some(0 | 130)));
}
