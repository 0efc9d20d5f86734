//! Workers and clients whose machine is cut off from the network while a run goes on.

use crate::networks::{Network, SWITCH, sent_again};
use crate::processes::{Cluster, after_mounting, command_through, ended, result, until};
use crate::support::dolmen::Outcome;
use serde_json::Value;
use std::process::{Child, Stdio};

/// Long enough for something to happen in the middle.
const LONG: &str = "matmul a.npy a.npy --block 40 --quiet --report report.json --out";

/// A cluster whose scheduler and clients are at the switch, and its worker `n1` at machine 1, and so on.
struct Wired {
    network: Network,
    cluster: Cluster,
}

impl Wired {
    /// None where there are no network namespaces.
    fn new(workers: usize, machines: usize, scheduler: &str) -> Option<Wired> {
        let network = Network::new(machines)?;
        let cluster = Cluster::prepared_through(network.switch().through(), |folder| {
            folder.ok("keygen keys");
            format!("--listen {SWITCH}:0 --keys keys {scheduler}")
        });
        let mut wired = Wired { network, cluster };
        (0..workers).for_each(|number| wired.add(number, &format!("n{number}")));
        wired.cluster.folder.ok("generate normal --shape 1500x1500 --seed 1 --out a.npy");
        wired.cluster.folder.ok("matmul a.npy a.npy --block 40 --out here.npy --quiet");
        Some(wired)
    }

    fn add(&mut self, machine: usize, name: &str) {
        let through = self.network.machine(machine).through();
        self.cluster.add_through(&through, name, "--threads 1 --memory 300MiB --spill-dir .");
    }

    fn begin(&self, words: &str) -> Child {
        let mut command = self.cluster.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process")
    }

    /// Comes back when the run has done some of its tasks.
    #[track_caller]
    fn reach_the_middle(&self) {
        let some_are_done = || {
            let status = self.cluster.ask("status --json");
            let status: Value = serde_json::from_str(&status.stdout).expect("JSON");
            status["runs"][0]["done"].as_u64().is_some_and(|done| done > 1000)
        };
        until(some_are_done, || self.cluster.log());
    }

    #[track_caller]
    fn begin_and_reach_the_middle(&self, words: &str) -> Child {
        let run = self.begin(words);
        self.reach_the_middle();
        run
    }

    /// The run ends with the bits of one process. How many tasks were done again.
    #[track_caller]
    fn same(&self, run: Child, there: &str) -> u64 {
        let outcome = Outcome::of(run.wait_with_output().expect("a child"));
        assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", self.cluster.log());
        let folder = &self.cluster.folder;
        let other_bits = || format!("other bits\n{}", self.cluster.log());
        assert!(result(folder, "here") == result(folder, there), "{}", other_bits());
        let report = std::fs::read(folder.path("report.json")).expect("a report");
        let report: Value = serde_json::from_slice(&report).expect("JSON");
        report["recomputed_tasks"].as_u64().expect("a number")
    }

    /// In the middle of a run n1 is cut off until it is given up. The run ends all the same, and after that.
    #[track_caller]
    fn do_without_n1(&self) {
        let run = self.begin_and_reach_the_middle(&format!("{LONG} there.npy"));
        self.network.cut(1);
        self.cluster.wait_for("worker n1 is lost: silent");
        self.network.mend(1);
        self.same(run, "there");
        let log = self.cluster.log();
        let lost = log.find("worker n1 is lost");
        assert!(lost.is_some() && lost < log.find("run 0 is done"), "{log}");
    }

    /// All ends with these exit codes of the workers, and nothing is left.
    #[track_caller]
    fn end(&mut self, codes: &[i32]) {
        let codes: Vec<Option<i32>> = codes.iter().copied().map(Some).collect();
        assert_eq!(self.cluster.stop(), (Some(0), codes), "{}", self.cluster.log());
        assert_eq!(self.network.processes(), [""; 0]);
        let names = self.cluster.folder.names();
        let is_left = |name: &&String| name.contains("partial") || name.contains("dolmen-spill");
        assert_eq!(names.iter().find(is_left), None);
        assert!(!names.contains(&"cluster.json".into()), "{names:?}");
    }
}

#[test]
fn a_worker_that_is_cut_off_is_given_up_and_the_run_goes_on() {
    let Some(mut wired) = Wired::new(3, 3, "--lost-after 2s") else { return };
    wired.do_without_n1();
    // It was given up: it cannot go on as if nothing had been.
    assert_eq!(ended(wired.cluster.worker("n1")), Some(1));
    let log = wired.cluster.log_of("n1");
    assert_eq!(log.matches("the scheduler is lost: silent").count(), 1, "{log}");
    // Another one comes to that machine.
    wired.add(1, "next");
    wired.cluster.wait_for("worker next joins");
    wired.cluster.ask("matmul a.npy a.npy --block 40 --wait-workers 3 --out second.npy --quiet");
    assert!(result(&wired.cluster.folder, "here") == result(&wired.cluster.folder, "second"));
    wired.end(&[0, 1, 0, 0]);
}

#[test]
fn with_a_state_dir_a_worker_that_was_cut_off_comes_back() {
    let Some(mut wired) = Wired::new(2, 2, "--state-dir state --lost-after 10s") else { return };
    wired.do_without_n1();
    let joins = || wired.cluster.log().matches("worker n1 joins").count();
    until(|| joins() == 2, || wired.cluster.log());
    wired.cluster.ok("matmul a.npy a.npy --block 40 --out second.npy --quiet");
    assert!(result(&wired.cluster.folder, "here") == result(&wired.cluster.folder, "second"));
    wired.end(&[0, 0]);
}

#[test]
fn a_cut_that_is_mended_in_time_costs_nothing() {
    let Some(mut wired) = Wired::new(2, 2, "--lost-after 120s") else { return };
    let worker = wired.cluster.worker("n1").id();
    let run = wired.begin_and_reach_the_middle(&format!("{LONG} there.npy"));
    let before = sent_again(worker);
    wired.network.cut(1);
    until(|| sent_again(worker) >= before + 2, || "nothing is sent again".into());
    wired.network.mend(1);
    assert_eq!(wired.same(run, "there"), 0);
    assert!(!wired.cluster.log().contains("is lost"), "{}", wired.cluster.log());
    wired.end(&[0, 0]);
}

/// As a firewall does that lets them reach the scheduler only.
#[test]
fn workers_that_are_kept_apart_say_so_and_go_on_when_they_reach_each_other() {
    let Some(mut wired) = Wired::new(2, 2, "--lost-after 2s") else { return };
    (0..2).for_each(|number| wired.network.keep_apart(number, true));
    let run = wired.begin(&format!("{LONG} there.npy"));
    let says = |name: &str| wired.cluster.log_of(name).contains("Does a firewall keep workers apart?");
    until(|| says("n0") || says("n1"), || wired.cluster.log());
    (0..2).for_each(|number| wired.network.keep_apart(number, false));
    wired.same(run, "there");
    wired.end(&[0, 0]);
}

/// It writes the result, which nobody else sees: the run cannot end without it.
#[test]
fn a_client_that_is_cut_off_ends_and_its_run_is_cancelled() {
    let Some(mut wired) = Wired::new(1, 2, "--lost-after 2s") else { return };
    let private = wired.cluster.folder.path("private");
    std::fs::create_dir(&private).expect("a folder");
    let mut through = wired.network.machine(1).through();
    through.extend(after_mounting(&format!("mount -t tmpfs none {}", private.display())));
    let words = format!("{LONG} private/cut.npy --scheduler-file cluster.json");
    let mut command = command_through(&wired.cluster.folder, &through, &words);
    let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    wired.reach_the_middle();
    wired.network.cut(1);
    wired.cluster.wait_for(" is cancelled");
    let outcome = Outcome::of(client.wait_with_output().expect("a child"));
    assert_eq!((outcome.code, outcome.stderr.lines().count()), (Some(1), 1), "{outcome:?}");
    assert!(outcome.stderr.contains("the scheduler is lost: silent"), "{outcome:?}");
    let run = wired.begin(&format!("{LONG} there.npy"));
    wired.same(run, "there");
    wired.end(&[0]);
}
