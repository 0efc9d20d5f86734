//! How many requests a device gets at once: found by measurement, shared among the tasks that read or write.

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// When the number of requests in flight changes, and by how much.
#[derive(Clone, Copy, Debug)]
pub struct DepthThresholds {
    /// One request at a time works on any device.
    pub least: usize,
    /// Virtual disks and SSDs are saturated by then, and each request has memory of its own.
    pub most: usize,
    /// A change is kept if it makes the device faster by this share: less is within the noise, and requests that
    /// bring nothing take cores from others.
    pub gain: f64,
    /// A larger share of idle seconds of the compute threads means that they wait for the device.
    pub idle: f64,
    /// Samples of one depth that are taken together before it is judged: single ones vary by a fifth.
    pub samples: u32,
    /// Samples without a change after one that did not help; doubled each time up to `longest_rest`, so that a
    /// device that is known costs next to no trials.
    pub rest: u32,
    pub longest_rest: u32,
}

impl Default for DepthThresholds {
    fn default() -> Self {
        DepthThresholds { least: 1, most: 16, gain: 0.05, idle: 0.1, samples: 4, rest: 8, longest_rest: 256 }
    }
}

/// What was measured since the last decision.
#[derive(Clone, Copy, Debug)]
pub struct DepthSample {
    pub bytes: u64,
    /// Seconds in which at least one task used the device.
    pub seconds: f64,
    /// Idle seconds of the compute threads for each second of the sample.
    pub idle: f64,
}

/// Samples of one depth, added up.
#[derive(Clone, Copy, Default, Debug)]
struct Sum {
    samples: u32,
    bytes: f64,
    seconds: f64,
    idle: f64,
}

impl Sum {
    fn add(&mut self, sample: DepthSample) {
        self.samples += 1;
        self.bytes += sample.bytes as f64;
        self.seconds += sample.seconds;
        self.idle += sample.idle * sample.seconds;
    }

    fn rate(&self) -> f64 {
        self.bytes / self.seconds.max(f64::MIN_POSITIVE)
    }

    fn idle(&self) -> f64 {
        self.idle / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// A depth on trial: what it has to be faster than, and where to go back to.
#[derive(Clone, Copy, Debug)]
struct Trial {
    from: usize,
    rate: f64,
}

/// The depth as a hill to climb: a step is tried, and kept only if the device became faster by it.
#[derive(Clone, Debug)]
pub struct DepthPolicy {
    thresholds: DepthThresholds,
    depth: usize,
    sum: Sum,
    trial: Option<Trial>,
    /// The next step goes up.
    upward: bool,
    resting: u32,
    next_rest: u32,
}

impl DepthPolicy {
    /// Begins with `start` requests, or as near to it as the thresholds allow.
    pub fn new(thresholds: DepthThresholds, start: usize) -> DepthPolicy {
        DepthPolicy {
            thresholds,
            depth: start.clamp(thresholds.least, thresholds.most),
            sum: Sum::default(),
            trial: None,
            upward: true,
            resting: 0,
            next_rest: thresholds.rest,
        }
    }

    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Takes a sample of the present depth and returns the depth from now on.
    pub fn decide(&mut self, sample: DepthSample) -> usize {
        if self.resting > 0 {
            self.resting -= 1;
            return self.depth;
        }
        self.sum.add(sample);
        if self.sum.samples < self.thresholds.samples {
            return self.depth;
        }
        let level = std::mem::take(&mut self.sum);
        match self.trial.take() {
            Some(trial) if level.rate() < trial.rate * (1.0 + self.thresholds.gain) => self.go_back(trial),
            trial => {
                if trial.is_some() {
                    self.next_rest = self.thresholds.rest;
                }
                // Nobody waits for the device: no need to trouble it.
                if level.idle() > self.thresholds.idle {
                    self.step(level.rate());
                }
            }
        }
        self.depth
    }

    fn go_back(&mut self, trial: Trial) {
        self.depth = trial.from;
        self.upward = !self.upward;
        self.resting = self.next_rest;
        self.next_rest = (2 * self.next_rest).min(self.thresholds.longest_rest);
    }

    /// Half as many again, or a third less, so that steps are felt at any depth.
    fn step(&mut self, rate: f64) {
        let DepthThresholds { least, most, .. } = self.thresholds;
        if (self.upward && self.depth == most) || (!self.upward && self.depth == least) {
            self.upward = !self.upward;
        }
        let by = if self.upward { self.depth.div_ceil(2) } else { self.depth.div_ceil(3) };
        let to = if self.upward { self.depth + by } else { self.depth.saturating_sub(by) }.clamp(least, most);
        if to != self.depth {
            self.trial = Some(Trial { from: self.depth, rate });
            self.depth = to;
        }
    }
}

/// Seconds of I/O between decisions: tens of requests of a mebibyte.
const SAMPLE_SECONDS: f64 = 0.05;

/// What is counted between two decisions.
struct Meter {
    policy: DepthPolicy,
    /// Tasks that use the device.
    active: usize,
    /// Since when `active` is not zero, or since the last sample in that time.
    since: Instant,
    seconds: f64,
    bytes: u64,
    idle: f64,
    /// Requests in flight, and the most at once.
    requests: usize,
    most: usize,
}

/// The number of requests in flight for a session, shared by its tasks, and the threads that wait for them.
pub struct Depth {
    meter: Mutex<Meter>,
    most_requests: usize,
    /// Started when they are first wanted, if the system has threads to give.
    threads: OnceLock<Option<ThreadPool>>,
}

impl Depth {
    /// Begins with `start` requests in flight; twice the cores is a good guess.
    pub fn new(thresholds: DepthThresholds, start: usize) -> Depth {
        let meter = Meter {
            policy: DepthPolicy::new(thresholds, start),
            active: 0,
            since: Instant::now(),
            seconds: 0.0,
            bytes: 0,
            idle: 0.0,
            requests: 0,
            most: 0,
        };
        let most_requests = thresholds.most;
        Depth { meter: Mutex::new(meter), most_requests, threads: OnceLock::new() }
    }

    /// Threads that move what the asking ones do not: together they have as many requests in flight as there may ever
    /// be.
    pub(super) fn threads(&self) -> Option<&ThreadPool> {
        let start = || {
            let builder = ThreadPoolBuilder::new().num_threads(self.most_requests);
            builder.thread_name(|number| format!("dolmen-request-{number}")).build().ok()
        };
        self.threads.get_or_init(start).as_ref()
    }

    /// Requests in flight that are allowed now.
    pub fn current(&self) -> usize {
        self.meter().policy.depth()
    }

    /// The most requests in flight at once since [`Depth::count_anew`]. What comes out of the page cache is none.
    pub fn most(&self) -> usize {
        self.meter().most
    }

    /// For a new run.
    pub fn count_anew(&self) {
        let mut meter = self.meter();
        meter.most = meter.requests;
    }

    /// Seconds in which a compute thread had nothing to do, summed over the threads.
    pub fn add_idle(&self, seconds: f64) {
        self.meter().idle += seconds;
    }

    /// Counts a task in that uses the device until the guard is dropped.
    pub(in crate::files) fn enter(&self) -> Active<'_> {
        let mut meter = self.meter();
        if meter.active == 0 {
            meter.since = Instant::now();
        }
        meter.active += 1;
        Active(self)
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Depth {
    /// Begins with two requests for each core.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Depth::new(DepthThresholds::default(), 2 * cores)
    }
}

impl Meter {
    fn tick(&mut self) {
        let now = Instant::now();
        self.seconds += (now - self.since).as_secs_f64();
        self.since = now;
    }
}

/// A task that uses the device.
pub(in crate::files) struct Active<'a>(&'a Depth);

impl Active<'_> {
    /// This task's share of the requests in flight: one at least.
    pub fn share(&self) -> usize {
        let meter = self.0.meter();
        (meter.policy.depth() / meter.active.max(1)).max(1)
    }

    /// Counts a request in until the guard is dropped.
    pub fn request(&self) -> RequestInFlight<'_> {
        let mut meter = self.0.meter();
        meter.requests += 1;
        meter.most = meter.most.max(meter.requests);
        RequestInFlight(self.0)
    }

    /// Counts bytes that a request moved.
    pub fn moved(&self, bytes: u64) {
        let mut meter = self.0.meter();
        meter.bytes += bytes;
        meter.tick();
        if meter.seconds >= SAMPLE_SECONDS {
            let idle = meter.idle / meter.seconds;
            let sample = DepthSample { bytes: meter.bytes, seconds: meter.seconds, idle };
            meter.policy.decide(sample);
            (meter.bytes, meter.seconds, meter.idle) = (0, 0.0, 0.0);
        }
    }
}

/// A request to a device.
pub(in crate::files) struct RequestInFlight<'a>(&'a Depth);

impl Drop for RequestInFlight<'_> {
    fn drop(&mut self) {
        self.0.meter().requests -= 1;
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        let mut meter = self.0.meter();
        meter.tick();
        meter.active -= 1;
    }
}

#[cfg(test)]
#[path = "depth_tests.rs"]
mod tests;
