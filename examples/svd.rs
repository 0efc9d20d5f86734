//! The first thing to run: `cargo run --release --example svd`.
//!
//! The leading modes of real sea-surface temperatures, with a picture of the first, El Niño; then the thin SVD of a
//! large random matrix with its time, rate and residual.

#[path = "support/map.rs"]
mod map;

use dolmen::array::{Array, Element};
use dolmen::session::{Error, Session};
use indicatif::{ProgressBar, ProgressStyle};
use ndarray::{Array1, Array2};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Shape of the random matrix: 512 MB.
const LARGE: (u64, u64) = (1_000_000, 64);

fn main() -> ExitCode {
    let session = match Session::new() {
        Ok(session) => session,
        Err(error) => return fail(&error),
    };
    if let Err(error) = modes(&session) {
        return fail(&*error);
    }
    println!();
    match large(&session) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("svd: {error}");
    ExitCode::FAILURE
}

/// The modes of the winters' anomalies: right singular vectors are maps, squares of singular values variances.
fn modes(session: &Session) -> Result<(), Box<dyn std::error::Error>> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let winters = session.from_files(&[data.join("sst_weighted.npy")])?;
    let ocean: Array2<f64> = session.compute(&session.from_files(&[data.join("sst_ocean.npy")])?)?;
    let svd = session.svd::<f64>(&winters)?;

    let variances: Array1<f64> = svd.s.mapv(|s| s * s);
    println!("Winter sea-surface temperatures of the Pacific, 50 winters of 450 cells. Variance explained:");
    for (mode, variance) in variances.iter().take(4).enumerate() {
        let share = 100.0 * variance / variances.sum();
        let bar = "█".repeat((share / 2.0).round() as usize);
        let name = if mode == 0 { "  El Niño" } else { "" };
        println!("  mode {}  {share:5.2} %  {bar}{name}", mode + 1);
    }
    // El Niño is a warm equator: the sign of a singular vector is a convention, that of the picture is not.
    let first = map::Map::new(&ocean, svd.vt.row(0));
    let picture = Path::new("el-nino.svg");
    let share = 100.0 * variances[0] / variances.sum();
    first
        .warm_at_the_equator()
        .draw(picture, &format!("El Niño: {share:.0} % of the variance of Pacific winters"))?;
    println!("  A map of the first mode is in {}.", picture.display());
    Ok(())
}

/// The thin SVD of a random matrix, checked.
fn large(session: &Session) -> Result<(), Error> {
    let (m, n) = LARGE;
    println!(
        "Thin SVD of a random {m}×{n} matrix ({} MB) on {} threads:",
        m * n * 8 / 1_000_000,
        session.threads()
    );
    let a = session.from_array(session.compute::<f64>(&Array::normal(m, n, 1, Element::F64))?);

    let svd = with_bar(session, "  svd", || session.svd::<f64>(&a))?;
    let stats = session.stats();
    println!("  {:.2} s, {:.1} GFLOP/s", stats.seconds, stats.flops / stats.seconds / 1e9);
    let memory = |bytes: u64| bytes as f64 / 1e9;
    println!(
        "  {:.2} GB of blocks at the most, {:.2} GB allowed",
        memory(stats.peak_memory),
        memory(stats.memory_bound)
    );

    let scaled = session.from_array(Array2::from_diag(&svd.s).dot(&svd.vt));
    let u = session.from_array(svd.u);
    let norm = |array: &Array| -> Result<f64, Error> { Ok(session.compute::<f64>(&array.norm())?[(0, 0)]) };
    let residual = norm(&(&a - &u.dot(&scaled)))? / norm(&a)?;
    let identity = session.from_array(Array2::<f64>::eye(n as usize));
    let orthogonality = norm(&(&u.t().dot(&u) - &identity))?;
    println!("  ‖A − U·S·Vᵀ‖ / ‖A‖ = {residual:.1e}   ‖UᵀU − I‖ = {orthogonality:.1e}   (Frobenius)");
    println!("  singular values from {:.2} to {:.2}", svd.s[0], svd.s[svd.s.len() - 1]);
    Ok(())
}

/// Draws the session's progress while `work` runs; nothing where there is no terminal.
fn with_bar<R>(session: &Session, label: &'static str, work: impl FnOnce() -> R) -> R {
    let style = ProgressStyle::with_template("{msg} {bar:40} {percent:>3} % of {len} tasks")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style).with_message(label);
    let (progress, drawn) = (session.progress(), bar.clone());
    let drawing = std::thread::spawn(move || {
        while !drawn.is_finished() {
            let (done, total) = progress.tasks();
            drawn.set_length(total);
            drawn.set_position(done);
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let result = work();
    bar.finish_and_clear();
    // Its only work is drawing.
    let _ = drawing.join();
    result
}
