//! The leading singular values of a matrix that is dear to make and does not fit into the memory allowed:
//! `cargo run --release --example spill [doubles|integers]`.
//!
//! The matrix is a product. It is made once, its blocks go to disk as memory fills, those first that are needed last, and
//! come back for each pass. Integers are stored several times smaller, random doubles as they are.

use dolmen::array::Array;
use dolmen::session::{Error, Operation, RsvdOptions, Session};
use ndarray::Array2;
use std::process::ExitCode;

const MEMORY: u64 = 160 << 20;
const SHAPE: (usize, usize, usize) = (16_000, 1_000, 4_000);

fn main() -> ExitCode {
    let kind = std::env::args().nth(1).unwrap_or_else(|| "doubles".into());
    let result = match kind.as_str() {
        "doubles" => run(|at| (at as f64 * 0.618_034).fract() - 0.5),
        "integers" => run(|at| ((at * 7_919) % 13) as f64 - 6.0),
        _ => {
            eprintln!("spill: say what the matrix is made of: `doubles` or `integers`");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spill: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(element: impl Fn(usize) -> f64) -> Result<(), Error> {
    let session = Session::builder().memory(MEMORY).build()?;
    let (m, k, n) = SHAPE;
    let a = session.from_array(Array2::from_shape_fn((m, k), |(i, j)| element(i * 31 + j * j)));
    let b = session.from_array(Array2::from_shape_fn((k, n), |(i, j)| element(i * i + j * 17)));
    let product: Array = a.dot(&b);
    let operation = Operation::Rsvd { a: product, options: RsvdOptions::new(10) };

    let plan = session.preview(&operation, false)?;
    println!("{m}×{n}, {} MB, in {} MB of memory", m * n * 8 / 1_000_000, MEMORY / 1_000_000);
    println!("  about {} MB will be spilled, at most", plan.swapped.written / 1_000_000);
    let results = session.run(&operation)?;
    let (stats, spilled) = (session.stats(), session.stats().spilled);
    println!(
        "  {:.2} s, of which the cores waited {:.2} s for spilled blocks",
        stats.seconds, stats.stalls.load
    );
    println!(
        "  {} MB spilled in {} MB on disk, {} MB read back",
        spilled.raw_bytes / 1_000_000,
        spilled.bytes / 1_000_000,
        spilled.read_back_bytes / 1_000_000
    );
    println!("  peak {} of at most {} bytes", stats.peak_memory, stats.memory_bound);
    let s = &results.0.iter().find(|(name, _)| *name == "s").expect("an SVD has singular values").1;
    println!("  singular values from {:.6e} to {:.6e}", s.to_f64()[(0, 0)], s.to_f64()[(9, 0)]);
    Ok(())
}
