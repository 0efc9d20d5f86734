//! Tries the mutants of cargo-mutants on one build: each is in the code behind a switch, and a test runs only for those
//! that it comes by. `switched DIR [--cargo ARGUMENT]… [--skip TEST]… [--only BINARY]… [ARGUMENT OF CARGO-MUTANTS]…`
//!
//! The sources below DIR are overwritten. What became of the mutants is in `DIR/switched.out/`.

mod build;
mod mutant;
mod trial;
mod weave;

use build::Binary;
use mutant::Mutant;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;
use trial::{Outcome, Test};

struct Arguments {
    dir: PathBuf,
    cargo: Vec<String>,
    skip: Vec<String>,
    /// Names of binaries whose tests run. All if there are none.
    only: Vec<String>,
    choice: Vec<String>,
}

fn arguments() -> Arguments {
    let mut words = env::args().skip(1);
    let dir = words.next().expect("switched DIR …: a folder with sources that may be overwritten").into();
    let mut arguments =
        Arguments { dir, cargo: Vec::new(), skip: Vec::new(), only: Vec::new(), choice: Vec::new() };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--cargo" => arguments.cargo.extend(words.next()),
            "--skip" => arguments.skip.extend(words.next()),
            "--only" => arguments.only.extend(words.next()),
            _ => arguments.choice.push(word),
        }
    }
    arguments
}

/// Of a file: how many mutants came to which end.
#[derive(Default)]
struct Count {
    outcomes: BTreeMap<Outcome, usize>,
    refused: usize,
    left: usize,
}

fn main() -> ExitCode {
    let Arguments { dir, cargo, skip, only, choice } = arguments();
    let mutants = mutant::list(&dir, &choice);
    let out = dir.join("switched.out");
    fs::create_dir_all(&out).expect("a folder for results");
    let start = Instant::now();
    let mut left: BTreeSet<usize> =
        (1..).zip(&mutants).filter(|(_, m)| m.has_its_own_type()).map(|(n, _)| n).collect();
    let mut built = build::build(&dir, &mutants, &left, &cargo);
    built.binaries.retain(|binary| only.is_empty() || only.contains(&binary.name));
    left.extend(built.unplaced);
    let built_after = start.elapsed().as_secs();
    let tests = trial::tests(&built.binaries, &skip, &out.join("reached"));
    println!("{} mutants, {} tests, built in {built_after} s", mutants.len(), tests.len());
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let lists = Lists::new(&out);
    let mut tried = Vec::new();
    for (mutant, number) in mutants.iter().zip(1..) {
        let count = counts.entry(&mutant.file).or_default();
        if left.contains(&number) {
            count.left += 1;
            lists.add("left", mutant);
        } else if built.refused.contains(&number) {
            count.refused += 1;
            lists.add("refused", mutant);
        } else {
            tried.push((number, mutant));
        }
    }
    attempt_all(&tried, &tests, &built.binaries, |mutant, outcome| {
        *counts.entry(&mutant.file).or_default().outcomes.entry(outcome).or_default() += 1;
        lists.add(name(outcome), mutant);
    });
    print_counts(&counts);
    println!("{} s", start.elapsed().as_secs());
    let survivors: usize = counts.values().filter_map(|count| count.outcomes.get(&Outcome::Survived)).sum();
    ExitCode::from(if survivors == 0 { 0 } else { 2 })
}

/// Two for each processor at once, since tests of the wire wait more than they compute.
fn attempt_all<'m>(
    mutants: &[(usize, &'m Mutant)],
    tests: &[Test],
    binaries: &[Binary],
    told: impl FnMut(&'m Mutant, Outcome) + Send,
) {
    let next = Mutex::new(mutants.iter());
    let told = Mutex::new(told);
    let take = || next.lock().expect("no thread has failed").next();
    let work = || {
        while let Some((number, mutant)) = take() {
            let outcome = trial::attempt(*number, tests, binaries);
            (told.lock().expect("no thread has failed"))(mutant, outcome);
        }
    };
    let at_once = 2 * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
}

fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Caught => "caught",
        Outcome::Endless => "endless",
        Outcome::Survived => "missed",
    }
}

/// Names of mutants in `caught.txt` and so on, written as they are known.
struct Lists<'a> {
    out: &'a Path,
}

impl<'a> Lists<'a> {
    fn new(out: &'a Path) -> Self {
        for name in ["caught", "endless", "missed", "refused", "left"] {
            fs::write(out.join(format!("{name}.txt")), "").expect("a file for results");
        }
        Lists { out }
    }

    fn add(&self, list: &str, mutant: &Mutant) {
        let path = self.out.join(format!("{list}.txt"));
        let mut file = OpenOptions::new().append(true).open(path).expect("a file for results");
        writeln!(file, "{}", mutant.name).expect("a file for results");
        if list == "missed" || list == "endless" {
            println!("{list}: {}", mutant.name);
        }
    }
}

fn print_counts(counts: &BTreeMap<&str, Count>) {
    println!("| file | tried | caught | without end | survived | do not compile | left |");
    println!("|---|---|---|---|---|---|---|");
    for (file, count) in counts {
        let of = |outcome| count.outcomes.get(&outcome).copied().unwrap_or(0);
        let (caught, endless, survived) = (of(Outcome::Caught), of(Outcome::Endless), of(Outcome::Survived));
        let tried = caught + endless + survived;
        println!(
            "| `{file}` | {tried} | {caught} | {endless} | {survived} | {} | {} |",
            count.refused, count.left
        );
    }
}
