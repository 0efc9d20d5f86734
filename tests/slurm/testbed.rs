//! `slurm/testbed` itself.

use super::bed::{is_possible, testbed};
use std::process::Command;

/// Processes that have this in their command line or environment.
fn processes_of(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let read = |name| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let about = [read("cmdline"), read("environ")].concat();
        if String::from_utf8_lossy(&about).contains(folder) {
            found.push(String::from_utf8_lossy(&read("cmdline")).replace('\0', " "));
        }
    }
    found
}

#[track_caller]
fn run(mut command: Command, words: &[&str], code: i32) -> String {
    let output = command.args(words).output().expect("the script starts");
    assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    let text = if code == 0 { output.stdout } else { output.stderr };
    String::from_utf8(text).expect("UTF-8")
}

#[test]
fn starts_once_and_leaves_nothing() {
    if !is_possible() {
        return;
    }
    let parent = tempfile::tempdir().expect("a temporary folder");
    let folder = parent.path().join("bed");
    let folder = folder.to_str().expect("UTF-8");
    let configuration = format!("export SLURM_CONF={folder}/slurm.conf\n");
    assert!(run(testbed(), &["status", folder], 1).contains("no SLURM runs"));
    assert_eq!(run(testbed(), &["start", folder], 0), configuration);
    let controller = || std::fs::read_to_string(format!("{folder}/run/slurmctld.pid")).expect("its number");
    let first = controller();
    assert_eq!(run(testbed(), &["start", folder], 0), configuration);
    assert_eq!(controller(), first, "started again");
    assert!(run(testbed(), &["status", folder], 0).contains("idle n[1-4]"));
    // A job that starts what does not want to end with it.
    let mut job = Command::new("sbatch");
    job.env("SLURM_CONF", format!("{folder}/slurm.conf"));
    let words = "--output=/dev/null --wrap=trap '' TERM; setsid sleep 1000 & sleep 1000";
    run(job, &words.splitn(2, ' ').collect::<Vec<_>>(), 0);
    assert_eq!(run(testbed(), &["stop", folder], 0), "");
    assert_eq!(processes_of(folder), [""; 0]);
    assert!(!std::path::Path::new(folder).exists());
    assert_eq!(run(testbed(), &["stop", folder], 0), "");
}

#[test]
fn touches_no_folder_that_is_not_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("precious"), "").expect("writable");
    let name = folder.path().to_str().expect("UTF-8");
    for command in ["start", "stop"] {
        assert!(run(testbed(), &[command, name], 1).contains("is no test bed of ours"));
    }
    assert!(folder.path().join("precious").exists());
    assert_eq!(run(testbed(), &["status", "/tmp/a b"], 1).lines().count(), 1);
    assert_eq!(run(testbed(), &["begin"], 1).lines().count(), 1);
}
