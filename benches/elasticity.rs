//! The policy for the number of workers beside an oracle that knows the future, in virtual time: a table in Markdown.
//! `cargo bench --bench elasticity`; `docs/architecture/autoscaler.md` says what is in it.

#[path = "../tests/sim/mod.rs"]
mod sim;

use sim::elastic::table::{self, HEAD, Line, Ratios};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn main() {
    let cases = table::cases();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut lines = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number) else { return lines };
            let line = table::line(*case);
            eprintln!("{}", line.told());
            lines.push((number, line));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut lines = thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().flat_map(|thread| thread.join().expect("no line fails")).collect::<Vec<_>>()
    });
    lines.sort_by_key(|(number, _)| *number);
    println!("{HEAD}");
    lines.iter().for_each(|(_, line)| println!("{}", line.told()));
    let within =
        |ratios: fn(&Line) -> Ratios| lines.iter().filter(|(_, line)| line.is_within(ratios(line))).count();
    let (all, asked_for) = (within(Line::beside_all), within(Line::beside_asked_for));
    let picks = within(Line::beside_one_that_picks);
    println!(
        "\nA, beside an oracle that knows of all runs: {all} of {} lines are as they should be.",
        lines.len()
    );
    println!("B, beside one that hears of a run when the policy does: {asked_for}.");
    println!("C, beside one that knows of all runs and takes the first of several places: {picks}.");
}
