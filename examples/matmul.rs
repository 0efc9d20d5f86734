//! A product of two matrices that are never whole in memory: `cargo run --release --example matmul [n]`.
//!
//! `A` and `B` are formulas until a block of them is needed, and the product goes block by block into a file.

use dolmen::array::{Array, Element};
use dolmen::files::Format;
use dolmen::session::{Error, Operation, Session};
use std::process::ExitCode;

fn main() -> ExitCode {
    let n = match std::env::args().nth(1).map_or(Ok(4096), |text| text.parse::<u64>()) {
        Ok(n) if n > 0 => n,
        _ => {
            eprintln!(
                "matmul: the size is a number above 0, as in `cargo run --release --example matmul 8192`"
            );
            return ExitCode::from(2);
        }
    };
    match run(n) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("matmul: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(n: u64) -> Result<(), Error> {
    let session = Session::new()?;
    let (a, b) = (Array::normal(n, n, 1, Element::F64), Array::normal(n, n, 2, Element::F64));
    let path = std::env::temp_dir().join(format!("dolmen-product-{}.npy", std::process::id()));
    let product = Operation::Compute(a.dot(&b));

    // What it will take is known before it runs.
    let plan = session.preview(&product, Some(Format::Npy))?;
    println!(
        "{n}×{n} times {n}×{n}: {} tasks, {:.2e} flops, at most {} MB of memory",
        plan.tasks,
        plan.flops,
        plan.memory_bound / 1_000_000
    );
    session.run_to_files(&product, std::slice::from_ref(&path))?;
    let stats = session.stats();
    println!(
        "{:.2} s, {:.1} GFLOP/s with making A and B and writing C",
        stats.seconds,
        stats.flops / stats.seconds / 1e9
    );

    let checked = check(&session, &a, &b, &path, n);
    // The file was for this demonstration only; if it stays, that harms nobody.
    let _ = std::fs::remove_file(&path);
    checked
}

/// Freivalds' check: `C·x` against `A·(B·x)` for a random x, in O(n²).
fn check(session: &Session, a: &Array, b: &Array, path: &std::path::Path, n: u64) -> Result<(), Error> {
    let x = Array::normal(n, 1, 3, Element::F64);
    let c = session.from_files(&[path.to_path_buf()])?;
    let norm = |array: &Array| -> Result<f64, Error> { Ok(session.compute::<f64>(&array.norm())?[(0, 0)]) };
    let off = norm(&(&c.dot(&x) - &a.dot(&b.dot(&x))))?;
    let allowed = 3.0 * n as f64 * (f64::EPSILON / 2.0) * norm(a)? * norm(b)? * norm(&x)?;
    println!("‖C·x − A·(B·x)‖ = {off:.1e}, allowed {allowed:.1e}");
    if off <= allowed { Ok(()) } else { Err(Error::Run("the product is wrong".into())) }
}
