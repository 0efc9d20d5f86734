//! A graph wired by hand: `cargo run --release --example delayed`.
//!
//! Functions are registered by name, calls are tasks, results are any values that serde knows. Here π by counting
//! random points under the quarter circle: 64 calls that do the work, and a tree of calls that adds their counts.

use dolmen::graph::Graph;
use dolmen::session::{Error, Session};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

const SAMPLES: u64 = 64;
const POINTS: u64 = 2_000_000;

/// What a call answers.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Count {
    inside: u64,
    points: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("delayed: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run() -> Result<(), Error> {
    let session = Session::new()?;
    session.functions(|functions| {
        functions.register("sample", sample);
        functions.register("add", |a: Count, b: Count| Count {
            inside: a.inside + b.inside,
            points: a.points + b.points,
        });
    });

    // Nothing runs yet: `call` only draws the graph.
    let mut graph = Graph::new();
    let mut level = Vec::new();
    for seed in 0..SAMPLES {
        level.push(graph.call("sample", [Graph::value(&seed)?, Graph::value(&POINTS)?]));
    }
    while level.len() > 1 {
        level =
            level.chunks(2).map(|pair| graph.call("add", pair.iter().map(|call| (*call).into()))).collect();
    }

    let count: Count = session.run_graph(&graph, level[0])?;
    let pi = 4.0 * count.inside as f64 / count.points as f64;
    let error = 4.0
        * (std::f64::consts::FRAC_PI_4 * (1.0 - std::f64::consts::FRAC_PI_4) / count.points as f64).sqrt();
    let stats = session.stats();
    println!(
        "π ≈ {pi:.5} ± {error:.5} from {} points in {} calls, {:.2} s",
        count.points, stats.tasks, stats.seconds
    );
    Ok(())
}

/// Draws points in the unit square and counts those under the quarter circle.
fn sample(seed: u64, points: u64) -> Count {
    let mut state = seed.wrapping_mul(0xD1B5_4A32_D192_ED03);
    let mut next = || {
        // SplitMix64 (Steele, Lea, Flood 2014).
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let inside = (0..points).filter(|_| next().powi(2) + next().powi(2) < 1.0).count() as u64;
    Count { inside, points }
}
