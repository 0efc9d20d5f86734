//! What the program says, to readers that have gone and to devices that are full.

use crate::support::dolmen::{Folder, Outcome};
use crate::support::matrix::Matrix;
use std::fs::File;
use std::io::{Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

const COMMANDS: [&str; 5] = [
    "--help",
    "svd --help",
    "--version",
    "plan svd a.npy --out out",
    "generate normal --shape 9x9 --out c.npy",
];

fn folder() -> Folder {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(300, 30, 1));
    folder
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let folder = folder();
    for words in COMMANDS {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let outcome = Outcome::of(folder.command(words).stdout(writer).output().unwrap());
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{words}");
    }
}

#[test]
fn a_wrong_request_is_one_though_nobody_reads_why() {
    let folder = folder();
    for words in [
        "svd nowhere.npy --out out",
        "svd",
        "plan svd nowhere.npy --out out",
        "svd a.npy --out out --block 0",
    ] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let outcome = Outcome::of(folder.command(words).stderr(writer).output().unwrap());
        assert_eq!(outcome.code, Some(2), "{words}");
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let folder = folder();
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return eprintln!("SKIPPED: standard output that is full (there is no /dev/full here)");
    };
    for words in COMMANDS {
        let outcome = Outcome::of(folder.command(words).stdout(full.try_clone().unwrap()).output().unwrap());
        assert_eq!((outcome.code, outcome.stderr.lines().count()), (Some(1), 1), "{words}: {outcome:?}");
        assert!(outcome.stderr.contains("standard output"), "{words}: {outcome:?}");
        let has_results = words.starts_with("generate");
        assert_eq!(
            outcome.stderr.contains("the results are whole: c.npy"),
            has_results,
            "{words}: {outcome:?}"
        );
    }
}

/// As after `nohup` or `disown`, when the window is closed.
#[test]
fn a_terminal_that_has_gone_is_no_error() {
    let folder = folder();
    for words in COMMANDS {
        let outcome = Outcome::of(folder.command(words).stdout(lost_terminal()).output().unwrap());
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{words}");
    }
}

/// No process that other tests start gets it: as long as one has the other end the terminal is there.
fn lost_terminal() -> File {
    let open = |path: &str| {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(libc::O_NOCTTY).open(path).unwrap()
    };
    let master = open("/dev/ptmx");
    let mut number: libc::c_int = 0;
    let locked: libc::c_int = 0;
    // SAFETY: the descriptor is open, and the call reads one number.
    assert_eq!(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &locked) }, 0);
    // SAFETY: the descriptor is open, and there is room for the one number that the call writes.
    assert_eq!(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &mut number) }, 0);
    let terminal = open(&format!("/dev/pts/{number}"));
    drop(master);
    let error = (&terminal).write(b"x").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    terminal
}
