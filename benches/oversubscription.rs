//! What I/O tasks beside those that compute bring: the singular values of a tall matrix whose source is slow.
//!
//! `cargo bench --bench oversubscription`: reads take as long as computing, once because each waits, however many
//! there are, and once because all share a bandwidth. Beside both together there is each alone. The same with
//! oversubscription switched off, where the thread that computes reads too. `-- -v` logs how many I/O tasks there are.

use dolmen::array::{BlockSize, Element};
use dolmen::data::{ReadBlocks, Real, Region};
use dolmen::failure::Failure;
use dolmen::session::{Error, Session, SessionBuilder};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const BLOCK: u64 = 1024;
const BLOCKS: u64 = 1500;
const COLS: u64 = 128;
/// Columns with which computing takes next to nothing: reading alone has as many blocks.
const FEW_COLS: u64 = 4;
/// So many reads at once take as long as computing, where each waits by itself.
const AT_ONCE: f64 = 12.0;

/// What makes reading slow.
#[derive(Clone, Copy)]
enum Slow {
    Not,
    /// Each read takes so long.
    Latency(Duration),
    /// All reads together, one after the other.
    Bandwidth(Duration),
}

/// Numbers that are made when they are read, slowly.
struct Throttled {
    slow: Slow,
    /// When the reads that have begun are over.
    free: Mutex<Instant>,
}

impl Throttled {
    fn new(slow: Slow) -> Throttled {
        Throttled { slow, free: Mutex::new(Instant::now()) }
    }

    fn wait(&self) {
        match self.slow {
            Slow::Not => {}
            Slow::Latency(time) => thread::sleep(time),
            Slow::Bandwidth(time) => {
                let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
                let until = (*free).max(Instant::now()) + time;
                *free = until;
                drop(free);
                thread::sleep(until.saturating_duration_since(Instant::now()));
            }
        }
    }
}

impl ReadBlocks for Throttled {
    type Error = Failure;

    fn scratch_len(&self, _: u64, _: u64) -> u64 {
        0
    }

    fn read_block<T: Real>(&self, region: &Region, out: &mut [T], _: &mut [u8]) -> Result<u64, Failure> {
        self.wait();
        let mut state = region.rows.start.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for x in out.iter_mut() {
            // Xorshift.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *x = T::from_f64((state >> 11) as f64 / (1_u64 << 53) as f64);
        }
        Ok(size_of_val(out) as u64)
    }

    fn place_of(&self, row: u64, col: u64) -> String {
        format!("the benchmark's matrix: row {row}, column {col}")
    }

    fn check_same(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Seconds, and the most I/O tasks at once.
fn run(options: &SessionBuilder, slow: Slow, cols: u64) -> Result<(f64, u64), Error> {
    let session = options.clone().block(BlockSize::RowsCols(BLOCK, cols)).build()?;
    let a = session.from_source(Arc::new(Throttled::new(slow)), (BLOCK * BLOCKS, cols), Element::F64);
    session.singular_values::<f64>(&a)?;
    let stats = session.stats();
    Ok((stats.seconds, stats.io_tasks_most))
}

fn compare(name: &str, slow: Slow, compute: f64, options: &SessionBuilder) -> Result<(), Error> {
    let (io, _) = run(options, slow, FEW_COLS)?;
    let (both, tasks) = run(options, slow, COLS)?;
    println!(
        "{name:<10} beside      {io:>7.2} {compute:>8.2} {both:>6.2}   both / max {:.2}, / sum {:.2}; {tasks} I/O tasks at once",
        both / io.max(compute),
        both / (io + compute)
    );
    let off = options.clone().io_on_compute_threads();
    let (io, _) = run(&off, slow, FEW_COLS)?;
    let (both, _) = run(&off, slow, COLS)?;
    println!(
        "{name:<10} switched off{io:>7.2} {compute:>8.2} {both:>6.2}   both / max {:.2}, / sum {:.2}",
        both / io.max(compute),
        both / (io + compute)
    );
    Ok(())
}

fn main() -> Result<(), Error> {
    if std::env::args().any(|word| word == "-v") {
        tracing_subscriber::fmt().init();
    }
    let options = Session::builder().threads(1).memory(1 << 30);
    // The first run takes fresh memory.
    run(&options, Slow::Not, COLS)?;
    let (compute, _) = run(&options, Slow::Not, COLS)?;
    println!("{BLOCKS} blocks of {BLOCK}×{COLS} f64, one compute thread, singular values; seconds");
    println!("source     I/O             alone  compute   both");
    let each = compute / BLOCKS as f64;
    compare("latency", Slow::Latency(Duration::from_secs_f64(AT_ONCE * each)), compute, &options)?;
    compare("bandwidth", Slow::Bandwidth(Duration::from_secs_f64(each)), compute, &options)
}
