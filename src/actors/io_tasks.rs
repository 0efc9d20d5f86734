//! How many I/O tasks a worker runs at once, beside those that compute: found by measurement, the same for all workers
//! of a process.

use crate::files::{Change, Meter};
use crate::sched::{Because, ConcurrencyPolicy, ConcurrencyThresholds, IO_TASKS};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A worker never has more, whatever memory it has: each holds a thread, and the scheduler hands out twice as many.
pub const MOST_IO_TASKS: usize = 16;

/// Shared by all workers of a process.
pub struct IoTasks {
    /// What the meter says, for whoever only looks.
    now: AtomicUsize,
    counts: Mutex<Counts>,
}

struct Counts {
    meter: Meter,
    /// The most that one worker has had at once since the run began.
    most: usize,
    /// Moved since this began.
    bytes: u64,
}

/// For a worker that may run so many.
fn meter(most: usize, start: usize) -> Meter {
    Meter::new(ConcurrencyPolicy::new(ConcurrencyThresholds::of_tasks(most), start))
}

impl IoTasks {
    /// A run begins, in which each worker may run `most` at once. What was found in the run before is where it begins.
    pub fn begin(&self, most: usize) {
        let mut counts = self.counts();
        let active = counts.meter.active();
        counts.meter = meter(most.max(1), counts.meter.now());
        (0..active).for_each(|_| counts.meter.enter());
        counts.most = 0;
        self.now.store(counts.meter.now(), Ordering::Relaxed);
    }

    /// So many may each worker run at once now.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// The most that one worker has run at once since the run began.
    pub fn most(&self) -> usize {
        self.counts().most
    }

    /// Bytes that were moved since this began.
    pub fn bytes(&self) -> u64 {
        self.counts().bytes
    }

    /// A thread begins with I/O: one of so many of its worker.
    pub fn enter(&self, of_worker: usize) {
        let mut counts = self.counts();
        counts.most = counts.most.max(of_worker);
        counts.meter.enter();
    }

    /// It has nothing more to do.
    pub fn leave(&self) {
        self.counts().meter.leave();
    }

    /// Seconds in which a compute thread waited for I/O.
    pub fn add_idle(&self, seconds: f64) {
        self.counts().meter.add_idle(seconds);
    }

    /// A thread has moved so many bytes. True if more tasks may run from now on.
    pub fn moved(&self, bytes: u64) -> bool {
        let change = {
            let mut counts = self.counts();
            counts.bytes += bytes;
            let at_once = counts.meter.now();
            let change = counts.meter.moved(bytes, at_once);
            self.now.store(counts.meter.now(), Ordering::Relaxed);
            change
        };
        change.inspect(log).is_some_and(|change| change.to > change.from)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(change: &Change) {
    let Change { from, to, because, rate, idle } = change;
    let why = match because {
        Because::Waiting => format!("compute threads wait {idle:.2} s each second"),
        Because::NoGain => format!("{from} bring nothing"),
        Because::NobodyWaits => "nobody waits for them".into(),
        Because::NoCoreIsFree => "all cores are busy".into(),
        Because::TooFew => format!("with {from} compute threads wait {idle:.2} s each second"),
    };
    tracing::info!("I/O tasks of each worker: {to} after {from}, {:.0} MB/s: {why}", rate / 1e6);
}

impl Default for IoTasks {
    fn default() -> Self {
        let counts = Counts { meter: meter(IO_TASKS, IO_TASKS), most: 0, bytes: 0 };
        IoTasks { now: AtomicUsize::new(IO_TASKS), counts: Mutex::new(counts) }
    }
}
