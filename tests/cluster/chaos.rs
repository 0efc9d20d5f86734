//! Runs in which workers are killed, stopped and continued, drained and started, as a seed says. In a third of them it
//! is the scheduler that is killed and started again, in place of workers that are stopped. `DOLMEN_SEED=n` does one
//! again; `DOLMEN_RUNS=n` does more of them.

use crate::processes::{Cluster, result, send};
use crate::support::dolmen::Outcome;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A small generator of numbers (Steele, Lea and Flood 2014: SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What is run, and the memory of a worker in which it has to spill.
const COMMANDS: [(&str, &str); 4] = [
    ("matmul a.npy a.npy --block 100 --out OUT.npy", "3MiB"),
    // It reads each block once and never spills.
    ("transpose-add a.npy --block 50 --out OUT.npy", "2MiB"),
    ("svd t.npy --block 500 --out OUT", "3MiB"),
    ("rsvd a.npy --rank 10 --block 60 --out OUT", "6MiB"),
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What may happen to a cluster.
struct Chaos {
    random: Random,
    cluster: Cluster,
    options: String,
    /// The scheduler is killed and started again, twice at most.
    scheduler_dies: bool,
    scheduler_deaths: u32,
    /// Workers that have not been killed or drained, and those of them that are stopped.
    there: Vec<String>,
    stopped: Vec<String>,
    started: usize,
    /// Blocks may be given up beside those of lost workers: memory is short, or a hand-over may come to nothing.
    gives_up: bool,
}

impl Chaos {
    fn new(seed: u64) -> (Chaos, &'static str) {
        let mut random = Random(seed);
        let (command, tight) = COMMANDS[random.below(COMMANDS.len() as u64) as usize];
        let is_tight = random.below(3) == 0;
        let memory = if is_tight { tight } else { "200MiB" };
        let options = format!("--threads 1 --memory {memory} --spill-dir .");
        let scheduler_dies = seed % 3 == 2;
        // A scheduler that starts has to be found in this time, a worker that is stopped is given up after it.
        let lost_after =
            if scheduler_dies { "--state-dir state --lost-after 20s" } else { "--lost-after 1s" };
        let cluster = Cluster::with_options(lost_after);
        let (there, stopped) = (Vec::new(), Vec::new());
        let mut chaos = Chaos {
            random,
            cluster,
            options,
            scheduler_dies,
            scheduler_deaths: 0,
            there,
            stopped,
            started: 0,
            gives_up: is_tight,
        };
        let workers = 2 + chaos.random.below(3);
        (0..workers).for_each(|_| chaos.add());
        (chaos, command)
    }

    fn add(&mut self) {
        let name = format!("n{}", self.started);
        self.started += 1;
        self.cluster.add(&name, &self.options);
        self.there.push(name);
    }

    /// One of those that are there and not stopped, if one more is.
    fn one(&mut self) -> Option<String> {
        let awake: Vec<&String> = self.there.iter().filter(|name| !self.stopped.contains(name)).collect();
        if awake.len() < 2 {
            return None;
        }
        Some(awake[self.random.below(awake.len() as u64) as usize].clone())
    }

    fn happen(&mut self) {
        match self.random.below(5) {
            0 => {
                if let Some(name) = self.one() {
                    self.cluster.kill(&name);
                    self.there.retain(|other| *other != name);
                }
            }
            1 if self.scheduler_dies => {
                if self.scheduler_deaths < 2 {
                    self.scheduler_deaths += 1;
                    self.cluster.kill_scheduler();
                    self.cluster.start_scheduler_again();
                }
            }
            1 => {
                if let Some(name) = self.one() {
                    send(self.cluster.worker(&name), libc::SIGSTOP);
                    self.stopped.push(name);
                }
            }
            2 => {
                if let Some(name) = self.stopped.pop() {
                    send(self.cluster.worker(&name), libc::SIGCONT);
                }
            }
            3 => {
                if let Some(name) = self.one() {
                    self.gives_up = true;
                    send(self.cluster.worker(&name), libc::SIGTERM);
                    self.there.retain(|other| *other != name);
                }
            }
            _ => {
                if self.there.len() < 5 {
                    self.add();
                }
            }
        }
    }

    /// Something happens now and then until the run is over.
    fn until_over(&mut self, run: &mut Child) {
        while run.try_wait().expect("a child").is_none() {
            std::thread::sleep(Duration::from_millis(self.random.below(400)));
            self.happen();
        }
    }

    /// What comes of a command.
    fn endure(&mut self, words: &str) -> Outcome {
        let mut run = self.cluster.folder.command(words);
        let mut run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
        self.until_over(&mut run);
        Outcome::of(run.wait_with_output().expect("a child"))
    }

    /// Did the run end because workers were killed three times while they did the same task? That happens now and then,
    /// and nobody can tell that it was not the task. It may be tried again.
    fn blamed_a_task(&self, outcome: &Outcome) -> bool {
        if !outcome.stderr.contains("three workers were lost with this task") {
            return false;
        }
        let log = self.cluster.log();
        let failed = log.rfind(" failed: ").expect("the scheduler says so");
        // The last one ended the run before more was said of it.
        let losses = losses_before(&log, failed).len() + 1;
        assert!(losses >= 3, "{losses} losses are not three\n{log}");
        true
    }

    /// The report of a run.
    fn report(&self, name: &str) -> serde_json::Value {
        let report = std::fs::read(self.cluster.folder.path(name)).expect("a report");
        serde_json::from_slice(&report).expect("JSON")
    }

    /// No more is done again than was lost. `report` is that of the last run. A scheduler that was started again knows
    /// nothing of the time before, and neither does its log.
    fn check_what_was_done_again(&self, report: &serde_json::Value, happened: &str) {
        let figure = |name: &str| report[name].as_u64().expect("a number");
        let log = self.cluster.log();
        let Some(losses) = losses(&log) else { return };
        let most = match losses.last() {
            Some(loss) if !self.gives_up => loss.again,
            _ => figure("tasks") * losses.len() as u64,
        };
        let again = figure("recomputed_tasks");
        assert!(again <= most, "{happened}: {again} tasks were done again, more than {most}\n{log}");
        for (at, loss) in losses.iter().enumerate() {
            let lost = loss.again - if at == 0 { 0 } else { losses[at - 1].again.min(loss.again) };
            assert!(lost + loss.done <= figure("tasks"), "{happened}: more was lost than was done\n{log}");
        }
    }

    /// Nothing of it stays.
    fn end(mut self) {
        for name in std::mem::take(&mut self.stopped) {
            send(self.cluster.worker(&name), libc::SIGCONT);
        }
        // One that has just been started would wait for the next scheduler.
        for name in &self.there {
            if !self.cluster.log_of(name).contains("joins the scheduler") {
                self.cluster.kill(name);
            }
        }
        self.cluster.stop();
        let names = self.cluster.folder.names();
        let left = names.iter().filter(|name| name.contains("partial") || name.contains("spill"));
        // What was killed leaves its folder of spilled blocks to the next worker that starts there.
        let of_killed = |name: &&String| name.contains("dolmen-spill");
        let left: Vec<&String> = left.filter(|name| !of_killed(name)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// What the scheduler says of a run after the loss of a worker.
struct Loss {
    /// Tasks that are done, and those that are done again or are to be.
    done: u64,
    again: u64,
}

/// Those of the run that has ended last. None if its scheduler was killed as soon as it had ended.
fn losses(log: &str) -> Option<Vec<Loss>> {
    Some(losses_before(log, log.rfind(" is done after ")?))
}

/// Those of the run whose number ends at this place of the log.
fn losses_before(log: &str, end: usize) -> Vec<Loss> {
    let run = log[..end].rsplit(' ').next().expect("a number");
    let of_this_run = format!("run {run}: ");
    let said = log.lines().filter_map(|line| line.split_once(&of_this_run));
    let numbers =
        said.map(|(_, said)| said.split_whitespace().filter_map(|word| word.parse().ok()).collect());
    let loss = |numbers: Vec<u64>| match numbers[..] {
        [done, _, again] => Loss { done, again },
        _ => panic!("what does the scheduler say of the loss?\n{log}"),
    };
    numbers.map(loss).collect()
}

/// Bytes that were spilled.
fn survive(seed: u64) -> u64 {
    let mut spilled = 0;
    println!("DOLMEN_SEED={seed}");
    let (mut chaos, command) = Chaos::new(seed);
    let folder = &chaos.cluster.folder;
    folder.ok("generate normal --shape 900x900 --seed 1 --out a.npy");
    folder.ok("generate normal --shape 20000x40 --seed 2 --out t.npy");
    folder.ok(&format!("{} --quiet", command.replace("OUT", "here")));
    for round in 0..2 {
        let there = format!("there{round}");
        let report = format!("{there}.json");
        let words = format!(
            "{} --quiet --report {report} --scheduler-file cluster.json",
            command.replace("OUT", &there)
        );
        let mut outcome = chaos.endure(&words);
        while chaos.blamed_a_task(&outcome) {
            outcome = chaos.endure(&words);
        }
        assert_eq!(outcome.code, Some(0), "seed {seed}: {command}: {outcome:?}\n{}", chaos.cluster.log());
        let (here, there) = (result(&chaos.cluster.folder, "here"), result(&chaos.cluster.folder, &there));
        assert!(here == there, "seed {seed}: {command}: other bits\n{}", chaos.cluster.log());
        let report = chaos.report(&report);
        chaos.check_what_was_done_again(&report, &format!("seed {seed}: {command}"));
        spilled += report["bytes_spilled"].as_u64().expect("a number");
        println!("{} tasks were taken up", report["tasks_taken_up"]);
    }
    chaos.end();
    spilled
}

#[test]
fn whatever_happens_to_workers_every_run_ends_with_the_same_bits() {
    match number("DOLMEN_SEED") {
        Some(seed) => println!("{} bytes were spilled", survive(seed)),
        None => {
            let spilled: u64 = (0..number("DOLMEN_RUNS").unwrap_or(20)).map(survive).sum();
            println!("{spilled} bytes were spilled");
            assert!(spilled > 0, "no run had to spill");
        }
    }
}
