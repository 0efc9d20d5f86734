//! How many cores had nothing to do.

use std::num::NonZero;
use std::time::Duration;

/// The kernel's switching takes some of the time, and what is left of it is no core that waits: such a share of the
/// cores, and at most so many.
const SHARE_LOST: f64 = 0.15;
const MOST_LOST: f64 = 0.5;

/// Looks at the processor time of this process from time to time.
pub struct Processors {
    cores: f64,
    /// The processor time of the process when time began to count, or was added last.
    used: Duration,
    /// Processor seconds that were added since it was asked last.
    busy: f64,
}

impl Processors {
    pub fn new() -> Processors {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Processors { cores: cores as f64, used: processor_time(), busy: 0.0 }
    }

    /// Time counts from now on.
    pub fn begin(&mut self) {
        self.used = processor_time();
    }

    /// What was used since it began to count, or since this was called.
    pub fn add(&mut self) {
        let used = processor_time();
        self.busy += used.saturating_sub(self.used).as_secs_f64();
        self.used = used;
    }

    /// Cores that this process did not use in the time that counts, on average, which was so many seconds. What other
    /// processes use counts as free.
    pub fn free(&mut self, seconds: f64) -> f64 {
        free_cores(self.cores, std::mem::take(&mut self.busy), seconds)
    }
}

fn free_cores(cores: f64, busy: f64, seconds: f64) -> f64 {
    let lost = (SHARE_LOST * cores).min(MOST_LOST);
    (cores - lost - busy / seconds.max(f64::MIN_POSITIVE)).max(0.0)
}

/// That all threads of this process have used, in user and kernel mode. Zero if the system does not tell.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes into the struct that it gets, which lives longer than it.
    match unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) } {
        0 => Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_free_that_are_not_used() {
        assert_eq!(free_cores(4.0, 1.0, 2.0), 3.0);
        assert_eq!(free_cores(64.0, 55.0, 1.0), 8.5);
        assert_eq!(free_cores(2.0, 0.0, 1.0), 1.7);
        assert_eq!(free_cores(2.0, 1.9, 1.0), 0.0);
        assert_eq!(free_cores(2.0, 0.0, 0.0), 1.7);
        assert_eq!(free_cores(2.0, 1.0, 0.0), 0.0);
    }

    #[test]
    fn computing_takes_processor_time() {
        let before = processor_time();
        let product = (1..20_000_000_u64).fold(1, |product, i| std::hint::black_box(i.wrapping_mul(product)));
        assert!(processor_time() > before, "{product} took no time");
    }
}
