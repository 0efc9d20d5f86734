//! The leading singular values of a matrix that is dear to make and does not fit into the memory allowed:
//! `cargo run --release --example spill [doubles|integers|FILE.npy]`.
//!
//! The matrix is a product (of a file: with the identity). It is made once, its blocks go to disk as memory fills,
//! those first that are needed last, and come back for each pass. Integers are stored several times smaller, random
//! doubles as they are.

use dolmen::array::Array;
use dolmen::session::{Error, Operation, RsvdOptions, Session};
use ndarray::Array2;
use std::path::PathBuf;
use std::process::ExitCode;

const MEMORY: u64 = 160 << 20;
const SHAPE: (usize, usize, usize) = (16_000, 1_000, 4_000);

fn main() -> ExitCode {
    match run(&std::env::args().nth(1).unwrap_or_else(|| "doubles".into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spill: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// A matrix of `kind`, as a product.
fn product(session: &Session, kind: &str) -> Result<Array, Error> {
    let made = |element: fn(usize) -> f64| {
        let (m, k, n) = SHAPE;
        let a = Array2::from_shape_fn((m, k), |(i, j)| element(i * 31 + j * j));
        let b = Array2::from_shape_fn((k, n), |(i, j)| element(i * i + j * 17));
        session.from_array(a).dot(&session.from_array(b))
    };
    Ok(match kind {
        "doubles" => made(|at| (at as f64 * 0.618_034).fract() - 0.5),
        "integers" => made(|at| ((at * 7_919) % 13) as f64 - 6.0),
        file => {
            let a = session.from_files(&[PathBuf::from(file)])?;
            a.dot(&session.from_array(Array2::<f64>::eye(a.shape()?.1 as usize)))
        }
    })
}

fn run(kind: &str) -> Result<(), Error> {
    let session = Session::builder().memory(MEMORY).build()?;
    let product = product(&session, kind)?;
    let (m, n) = product.shape()?;
    let operation = Operation::Rsvd { a: product, options: RsvdOptions::new(10.min(m.min(n))) };

    let plan = session.preview(&operation, None)?;
    println!("{m}×{n}, {} MB, in {} MB of memory", m * n * 8 / 1_000_000, MEMORY / 1_000_000);
    println!("  about {} MB will be spilled", plan.swapped.written / 1_000_000);
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
    let s = results.named.iter().find(|(name, _)| *name == "s").map(|(_, s)| s.to_f64());
    println!("  singular values {:.6e}", s.unwrap_or_default().column(0));
    Ok(())
}
