//! Containers with one host name and process numbers of their own: neither says who somebody is.

use crate::processes::{Cluster, command_through, until};
use crate::support::dolmen::Outcome;
use std::process::Command;

/// Starts what follows as process 1 of a namespace of its own, and ends it with this command.
fn contained() -> Vec<String> {
    ["unshare", "--pid", "--fork", "--kill-child"].map(String::from).to_vec()
}

/// Whether that can be done here. If not, a line says what is skipped.
fn can_contain(skipped: &str) -> bool {
    let through = contained();
    let can = Command::new(&through[0]).args(&through[1..]).arg("true").output();
    let can = can.is_ok_and(|output| output.status.success());
    if !can {
        eprintln!("SKIPPED: {skipped} (unshare --pid is not allowed here)");
    }
    can
}

/// `words` in a namespace of its own; exit code 124 if that takes for ever.
fn run_contained(cluster: &Cluster, words: &str) -> Outcome {
    let through = [["timeout", "120"].map(String::from).to_vec(), contained()].concat();
    let words = format!("{words} --scheduler-file cluster.json");
    Outcome::of(command_through(&cluster.folder, &through, &words).output().expect("the program starts"))
}

#[test]
fn the_file_of_a_scheduler_that_lives_is_good_and_stays_whatever_its_process_number() {
    if !can_contain("a scheduler's file in process namespaces") {
        return;
    }
    let mut cluster = Cluster::with_options("");
    cluster.wait_until_it_listens();
    let status = run_contained(&cluster, "status");
    assert_eq!(status.code, Some(0), "{status:?}");
    let second = run_contained(&cluster, "scheduler");
    assert_eq!((second.code, second.stderr.lines().count()), (Some(2), 1), "{second:?}");
    assert!(second.stderr.contains("belongs to a scheduler that runs"), "{second:?}");
    assert_eq!(cluster.stop().0, Some(0), "{}", cluster.log());
}

#[test]
fn a_killed_scheduler_is_known_to_have_ended_though_another_has_its_process_number() {
    if !can_contain("a scheduler's file in process namespaces") {
        return;
    }
    // Process 1, as whoever looks for it.
    let mut cluster = Cluster::prepared_through(contained(), |_| String::new());
    cluster.wait_until_it_listens();
    cluster.kill_scheduler();
    // The kernel ends it a moment after the command that has started it.
    let status = || run_contained(&cluster, "status");
    until(|| status().stderr.contains("which has ended"), || format!("{:?}", status()));
    cluster.start_scheduler_again();
    assert_eq!(cluster.stop().0, Some(0), "{}", cluster.log());
}

#[test]
fn workers_and_clients_without_names_do_not_take_each_other_for_one() {
    if !can_contain("workers and clients in process namespaces") {
        return;
    }
    let mut cluster = Cluster::with_options("");
    let worker = "worker --scheduler-file cluster.json --threads 1 --memory 100MiB";
    for log in ["first", "second"] {
        let command = command_through(&cluster.folder, &contained(), worker);
        cluster.add_command(log, command);
    }
    until(
        || cluster.log().matches(" joins").count() == 2,
        || format!("{}{}{}", cluster.log(), cluster.log_of("first"), cluster.log_of("second")),
    );
    let words = "generate normal --shape 100x100 --out a.npy --quiet --wait-workers 2";
    let run = run_contained(&cluster, words);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(cluster.stop(), (Some(0), vec![Some(0); 2]), "{}", cluster.log());
}
