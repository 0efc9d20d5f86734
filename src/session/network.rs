//! What goes from process to process: the least that any method sends, and about what a plan does.

use super::error::Error;
use super::operation::Operation;
use super::planned::Planned;
use super::prepare::{RunPlace, seats, spill_scratch};
use super::runtime::Session;
use crate::sched::forecast_network;

/// Longer programs are not played through.
const LONGEST_PLAYED: usize = 1 << 20;

/// Workers with a memory each, in elements.
#[derive(Clone, Copy)]
struct Workers {
    count: f64,
    memory: f64,
}

impl Session {
    /// Bytes that the workers of a cluster must send each other for `operation`, whatever the method, if they share the
    /// arithmetic equally and each element of a matrix is read by one of them from its file, and written by one. None
    /// where no such bound is known (see docs/numerics.md), for one worker, and in one process.
    pub fn least_network(&self, operation: &Operation) -> Result<Option<u64>, Error> {
        if !self.is_cluster() {
            return Ok(None);
        }
        operation.least_network(self.workers(), self.memory())
    }

    /// About the bytes that they will send each other. None in one process, and for programs of more than 2²⁰ tasks.
    /// O(tasks · log tasks).
    pub fn forecast_network(&self, planned: &Planned) -> Result<Option<u64>, Error> {
        let program = &planned.ready.program;
        match self.planner()?.place {
            RunPlace::Fleet(workers) if program.tasks() <= LONGEST_PLAYED => {
                Ok(forecast_network(program, &seats(&workers), spill_scratch(program)).ok())
            }
            _ => Ok(None),
        }
    }
}

impl Operation {
    fn least_network(&self, workers: usize, memory: u64) -> Result<Option<u64>, Error> {
        if workers < 2 {
            return Ok(None);
        }
        let size = self.element()?.bytes() as f64;
        let workers = Workers { count: workers as f64, memory: memory as f64 / size };
        let (m, n) = self.shape()?;
        let (long, short) = (m.max(n) as f64, m.min(n) as f64);
        let words = match self {
            Operation::Compute(_) => match self.inner_length()? {
                Some(k) => workers.product(m as f64, n as f64, k as f64),
                None => return Ok(None),
            },
            Operation::Qr(_) if m < n => return Ok(None),
            Operation::Qr(_) | Operation::Svd { values_only: false, .. } => {
                workers.triangles(short) + workers.to_each(short * short)
            }
            Operation::Svd { values_only: true, .. } => workers.triangles(short),
            Operation::Rsvd { options, .. } => {
                let width = options.rank.saturating_add(options.oversample) as f64;
                workers.sketch(short, width.min(long), f64::from(options.power_iters))
            }
        };
        Ok(Some((words * size) as u64))
    }
}

impl Workers {
    /// m×k by k×n. Irony, Toledo, Tiskin 2004 with the constants of Al Daas, Ballard, Grigori, Kumar, Rouse 2022 and,
    /// where memory is short, of Kwasniewski et al. 2019; less what comes from files and goes to them.
    fn product(self, m: f64, n: f64, k: f64) -> f64 {
        let Workers { count, memory } = self;
        let mut sides = [m, n, k];
        sides.sort_by(f64::total_cmp);
        let [least, middle, most] = sides;
        let touched_by_each = if count <= most / middle {
            most * (middle + least) / count + middle * least
        } else if count <= most * middle / (least * least) {
            2.0 * least * (most * middle / count).sqrt() + most * middle / count
        } else {
            3.0 * (m * n * k / count).powf(2.0 / 3.0)
        };
        let through_memory = 2.0 * m * n * k / memory.sqrt() + m * n;
        let in_files = m * k + k * n + m * n;
        (count * touched_by_each).max(through_memory).max(in_files) - in_files
    }

    /// All but one send something once.
    fn to_each(self, words: f64) -> f64 {
        (self.count - 1.0) * words
    }

    /// The R of each worker's rows (Demmel, Grigori, Hoemmen, Langou 2012).
    fn triangles(self, n: f64) -> f64 {
        self.to_each(n * (n + 1.0) / 2.0)
    }

    /// The n×ℓ sums of the randomized SVD: one for each power iteration and one for B, and as many X that go back but
    /// one, since Ω is made where it is wanted. Leading terms: what is ℓ×ℓ is left out.
    fn sketch(self, n: f64, width: f64, power_iters: f64) -> f64 {
        self.to_each(n * width * (2.0 * power_iters + 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::{Array, Element};
    use crate::session::RsvdOptions;

    const PLENTY: u64 = 1 << 40;

    fn least(operation: &Operation, workers: usize, memory: u64) -> Option<u64> {
        operation.least_network(workers, memory).unwrap()
    }

    fn product(m: u64, k: u64, n: u64) -> Operation {
        Operation::Compute(Array::normal(m, k, 1, Element::F64).dot(&Array::normal(k, n, 2, Element::F64)))
    }

    /// Cubes where there are workers enough, squares and slabs where one side is short.
    #[test]
    fn a_product_has_three_shapes() {
        let square = least(&product(1000, 1000, 1000), 8, PLENTY).unwrap() as f64 / 8e6;
        // Each of eight workers has a cube of half the side: three faces of a quarter.
        assert!((square - (8.0 * 0.75 - 3.0)).abs() < 1e-6, "{square}");
        // Each of four has a square of C of half the side and reads 2·500·10, of which a quarter is its own.
        assert_eq!(least(&product(1000, 10, 1000), 4, PLENTY), Some(8 * (4 * 2 * 500 * 10 - 2 * 1000 * 10)));
        // Each of two has half of the rows of A, and wants all of B.
        assert_eq!(least(&product(1000, 10, 10), 2, PLENTY), Some(8 * 100));
    }

    #[test]
    fn little_memory_costs_more_and_one_worker_nothing() {
        let operation = product(1000, 1000, 1000);
        let (much, little) = (least(&operation, 4, PLENTY), least(&operation, 4, 8 * 10_000));
        assert!(much < little, "{much:?} {little:?}");
        // 2·10⁹/100 + 10⁶ words through memory, 3·10⁶ of them from files and to one.
        assert_eq!(little, Some(8 * (20_000_000 + 1_000_000 - 3_000_000)));
        assert_eq!(least(&operation, 1, PLENTY), None);
    }

    #[test]
    fn trees_send_one_triangle_or_sum_for_each_worker_but_one() {
        let a = Array::normal(1000, 10, 1, Element::F32);
        let values = Operation::Svd { a: a.clone(), values_only: true };
        let vectors = Operation::Svd { a: a.clone(), values_only: false };
        assert_eq!(least(&values, 4, PLENTY), Some(4 * 3 * 55));
        assert_eq!(least(&vectors, 4, PLENTY), Some(4 * 3 * (55 + 100)));
        let options = RsvdOptions { oversample: 1, ..RsvdOptions::new(2) };
        assert_eq!(least(&Operation::Rsvd { a, options }, 4, PLENTY), Some(4 * 3 * 5 * 30));
        assert_eq!(least(&Operation::Compute(Array::normal(9, 9, 1, Element::F64)), 4, PLENTY), None);
    }
}
