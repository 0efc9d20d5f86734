//! Tests, and what they say of a mutant.

use crate::build::Binary;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Tests that take less run together in one process.
const QUICK: f64 = 0.05;
/// What a process may have, in KiB: a mutant may ask for more without end.
const MEMORY: u64 = 4 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Caught,
    /// A limit of time was reached: a loop without end, or a wait.
    Endless,
    Survived,
}

pub struct Test<'a> {
    binary: &'a Binary,
    name: String,
    seconds: f64,
    reached: BTreeSet<usize>,
}

/// Runs each test once without any mutant. The names begin with the binary's: `fleet::a_worker_joins`.
pub fn tests<'a>(binaries: &'a [Binary], skip: &[String], scratch: &Path) -> Vec<Test<'a>> {
    let mut tests = Vec::new();
    for binary in binaries {
        for name in names(binary).into_iter().filter(|name| !skip.contains(name)) {
            fs::write(scratch, "").expect("a file that can be written");
            let start = Instant::now();
            let mut command = command(binary, [name.as_str()], 600);
            let ended = wait(command.env("SWITCH_REACHED", scratch).spawn().expect("a test"), 600.0);
            let seconds = start.elapsed().as_secs_f64();
            let passes = ended.is_some_and(|status| status.success());
            assert!(passes, "{}::{name} fails without any mutant", binary.name);
            let reached = fs::read_to_string(scratch).expect("what was reached");
            let reached = reached.lines().map(|line| line.parse().expect("a number")).collect();
            tests.push(Test { binary, name, seconds, reached });
        }
    }
    tests.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    for slow in tests.iter().rev().take(12) {
        println!("{:6.2} s  {}::{}", slow.seconds, slow.binary.name, slow.name);
    }
    tests
}

fn names(binary: &Binary) -> Vec<String> {
    let mut command = Command::new(&binary.path);
    let output = command.args(["--list", "--format=terse"]).output().expect("a list of tests");
    let text = String::from_utf8(output.stdout).expect("names");
    text.lines().filter_map(|line| line.strip_suffix(": test")).map(String::from).collect()
}

/// Limits of the shell: of processor time, so that a busy machine does not count, and of memory.
fn command<'n>(binary: &Binary, names: impl IntoIterator<Item = &'n str>, seconds: u64) -> Command {
    let mut command = Command::new("sh");
    let limits = format!("ulimit -t {seconds} && ulimit -v {MEMORY} && exec \"$0\" \"$@\"");
    command.args(["-c", &limits]).arg(&binary.path);
    command.args(["--exact", "--test-threads=1", "--quiet"]).args(names).current_dir(&binary.folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// None if it had to be killed.
fn wait(mut child: Child, seconds: f64) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status);
        }
        if start.elapsed().as_secs_f64() > seconds {
            child.kill().expect("a child that can be killed");
            child.wait().expect("a child");
            return None;
        }
        sleep(Duration::from_millis(1));
    }
}

/// Runs those tests that come by the mutant, quick ones first, until one fails.
pub fn attempt(number: usize, tests: &[Test], binaries: &[Binary]) -> Outcome {
    let reaching: Vec<&Test> = tests.iter().filter(|test| test.reached.contains(&number)).collect();
    let quick = |binary: &Binary| -> Vec<&Test> {
        let is_of = |test: &&&Test| test.seconds < QUICK && test.binary.path == binary.path;
        reaching.iter().filter(is_of).copied().collect()
    };
    let together = binaries.iter().map(quick).filter(|tests| !tests.is_empty());
    let alone = reaching.iter().filter(|test| test.seconds >= QUICK).map(|test| vec![*test]);
    for tests in together.chain(alone) {
        let outcome = run(number, &tests);
        if outcome != Outcome::Survived {
            return outcome;
        }
    }
    Outcome::Survived
}

/// Tests of one binary.
fn run(number: usize, tests: &[&Test]) -> Outcome {
    const SIGXCPU: i32 = 24;
    const SIGKILL: i32 = 9;
    use std::os::unix::process::ExitStatusExt;
    let seconds: f64 = tests.iter().map(|test| test.seconds).sum();
    let names = tests.iter().map(|test| test.name.as_str());
    let mut command = command(tests[0].binary, names, (3.0 + 10.0 * seconds) as u64);
    let child = command.env("SWITCH", number.to_string()).spawn().expect("a test");
    match wait(child, 30.0 + 20.0 * seconds) {
        Some(status) if status.success() => Outcome::Survived,
        Some(status) if matches!(status.signal(), Some(SIGXCPU | SIGKILL)) => Outcome::Endless,
        Some(_) => Outcome::Caught,
        None => Outcome::Endless,
    }
}
