//! I/O tasks beside those that compute: a slow source gets more of them, whatever it is the bits are the same, and the
//! memory bound holds.

use dolmen::array::{BlockSize, Element};
use dolmen::data::{ReadBlocks, Real, Region};
use dolmen::failure::Failure;
use dolmen::session::{Operation, Session, SessionBuilder, Stats};
use ndarray::Array1;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(180);
const ROWS: u64 = 64;
const BLOCKS: u64 = 400;
const COLS: u64 = 4;
/// That runs begin with.
const USUAL: u64 = 4;
const MIB: u64 = 1 << 20;

/// A source each of whose reads takes a while, however many there are.
struct Distant;

impl ReadBlocks for Distant {
    type Error = Failure;

    fn scratch_len(&self, _: u64, _: u64) -> u64 {
        0
    }

    fn read_block<T: Real>(&self, region: &Region, out: &mut [T], _: &mut [u8]) -> Result<u64, Failure> {
        thread::sleep(Duration::from_millis(5));
        let first = region.rows.start * COLS;
        (first..).zip(out).for_each(|(i, x)| *x = T::from_f64((i as f64).sin()));
        Ok(0)
    }

    fn place_of(&self, row: u64, col: u64) -> String {
        format!("row {row}, column {col}")
    }

    fn check_same(&self) -> Result<(), Failure> {
        Ok(())
    }
}

fn builder(memory: u64) -> SessionBuilder {
    Session::builder().threads(2).memory(memory).block(BlockSize::RowsCols(ROWS, COLS))
}

fn singular_values(session: &Session) -> (Array1<f64>, Stats) {
    let a = session.from_source(Arc::new(Distant), (ROWS * BLOCKS, COLS), Element::F64);
    let values = session.singular_values::<f64>(&a).unwrap();
    let stats = session.stats();
    assert!(stats.peak_memory <= stats.memory_bound, "{stats:?}");
    (values, stats)
}

#[test]
fn a_source_that_is_slow_by_latency_gets_more_io_tasks_and_the_same_bits() {
    let (expected, alone) = singular_values(&builder(256 * MIB).io_on_compute_threads().build().unwrap());
    assert_eq!(alone.io_tasks_most, 0, "the threads that compute read");
    for workers in [1, 2] {
        let session = builder(256 * MIB).workers(workers).build().unwrap();
        let began = Instant::now();
        loop {
            let (values, stats) = singular_values(&session);
            assert_eq!(values, expected);
            assert!(stats.memory_bound <= 256 * MIB);
            if stats.io_tasks_most > USUAL {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "no more than {} I/O tasks", stats.io_tasks_most);
        }
    }
}

#[test]
fn there_are_never_more_io_tasks_than_memory_pays_for() {
    let needed = builder(256 * MIB).build().unwrap();
    let a = needed.from_source(Arc::new(Distant), (ROWS * BLOCKS, COLS), Element::F64);
    let operation = Operation::Svd { a, values_only: true };
    let least = needed.preview(&operation, None).unwrap().smallest_memory;
    let (values, stats) = singular_values(&builder(least).build().unwrap());
    assert!(stats.memory_bound <= least && stats.io_tasks_most <= USUAL, "{stats:?}");
    assert_eq!(values, singular_values(&needed).0);
}
