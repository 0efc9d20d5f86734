//! What a task costs when it does nothing: programs of empty tasks through the whole runtime in one
//! process, actors, messages and threads included.
//!
//! `cargo bench --bench overhead [-- TASKS]`

use dolmen::graph::{Program, ProgramBuilder};
use dolmen::session::Session;
use std::time::Instant;

const ROUNDS: usize = 5;

fn program(shape: &str, tasks: u32) -> Program {
    let mut builder = ProgramBuilder::default();
    match shape {
        "wide" => {
            builder.null_wide(tasks);
        }
        "tree" => builder.null_tree(tasks),
        "chain" => builder.null_chain(tasks),
        _ => builder.null_grid(tasks.isqrt()),
    }
    builder.finish()
}

fn main() {
    let tasks = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let session = Session::builder().memory(1 << 30).build().expect("a session");
    println!("{} threads; µs a task, median and range of {ROUNDS}", session.threads());
    for shape in ["wide", "tree", "chain", "grid"] {
        let program = program(shape, tasks);
        let count = program.tasks() as f64;
        let mut each: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let again = program.clone();
                let began = Instant::now();
                session.run_program(again).expect("nothing can fail");
                began.elapsed().as_secs_f64() / count * 1e6
            })
            .collect();
        each.sort_by(f64::total_cmp);
        println!(
            "{shape:<6} {count:>9} tasks {:8.3} ({:.3} to {:.3})",
            each[ROUNDS / 2],
            each[0],
            each[ROUNDS - 1]
        );
    }
}
