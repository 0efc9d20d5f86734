//! How many requests a device gets at once: found by measurement, shared among the tasks that read or write.

use super::meter::Meter;
use super::threads::Threads;
use crate::sched::{ConcurrencyPolicy, ConcurrencyThresholds};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// What is counted.
struct Counts {
    meter: Meter,
    /// Requests in flight, and the most at once.
    requests: usize,
    most: usize,
}

/// The number of requests in flight for a session, shared by its tasks, and the threads that wait for them.
pub struct Depth {
    counts: Mutex<Counts>,
    most_requests: usize,
    /// Started when they are first wanted.
    threads: OnceLock<Threads>,
}

impl Depth {
    /// Begins with `start` requests in flight; twice the cores is a good guess.
    pub fn new(thresholds: ConcurrencyThresholds, start: usize) -> Depth {
        let meter = Meter::new(ConcurrencyPolicy::new(thresholds, start));
        let counts = Mutex::new(Counts { meter, requests: 0, most: 0 });
        Depth { counts, most_requests: thresholds.most, threads: OnceLock::new() }
    }

    /// Threads that move what the asking ones do not: together they have as many requests in flight as there may ever
    /// be.
    pub(super) fn threads(&self) -> &Threads {
        self.threads.get_or_init(|| Threads::start(self.most_requests))
    }

    /// Requests in flight that are allowed now.
    pub fn current(&self) -> usize {
        self.counts().meter.now()
    }

    /// The most requests in flight at once since [`Depth::count_anew`]. What comes out of the page cache is none.
    pub fn most(&self) -> usize {
        self.counts().most
    }

    /// For a new run.
    pub fn count_anew(&self) {
        let mut counts = self.counts();
        counts.most = counts.requests;
    }

    /// Seconds in which a compute thread had nothing to do, summed over the threads.
    pub fn add_idle(&self, seconds: f64) {
        self.counts().meter.add_idle(seconds);
    }

    /// Counts a task in that uses the device until the guard is dropped.
    pub(in crate::files) fn enter(&self) -> Active<'_> {
        self.counts().meter.enter();
        Active(self)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Depth {
    /// Begins with two requests for each core.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Depth::new(ConcurrencyThresholds::of_requests(), 2 * cores)
    }
}

/// A task that uses the device.
pub(in crate::files) struct Active<'a>(&'a Depth);

impl Active<'_> {
    /// This task's share of the requests in flight: one at least.
    pub fn share(&self) -> usize {
        let counts = self.0.counts();
        (counts.meter.now() / counts.meter.active().max(1)).max(1)
    }

    /// Counts a request in until the guard is dropped.
    pub fn request(&self) -> RequestInFlight<'_> {
        let mut counts = self.0.counts();
        counts.requests += 1;
        counts.most = counts.most.max(counts.requests);
        RequestInFlight(self.0)
    }

    /// Counts bytes that a request moved.
    pub fn moved(&self, bytes: u64) {
        // The next share is another one: that is all that comes of a change.
        self.0.counts().meter.moved(bytes, 1);
    }
}

/// A request to a device.
pub(in crate::files) struct RequestInFlight<'a>(&'a Depth);

impl Drop for RequestInFlight<'_> {
    fn drop(&mut self) {
        self.0.counts().requests -= 1;
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.counts().meter.leave();
    }
}

#[cfg(test)]
#[path = "depth_tests.rs"]
mod tests;
