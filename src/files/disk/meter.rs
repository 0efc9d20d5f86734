//! What a [`ConcurrencyPolicy`] has to know, measured: bytes moved, the seconds that it took, and who waited.

use super::processors::Processors;
use crate::sched::{Because, ConcurrencyPolicy, ConcurrencySample};
use std::time::Instant;

/// Seconds of I/O between decisions: tens of requests of a mebibyte.
const SAMPLE_SECONDS: f64 = 0.05;

/// What is counted between two decisions.
pub struct Meter {
    policy: ConcurrencyPolicy,
    /// Tasks that are at it.
    active: usize,
    /// Since when `active` is not zero, or since the last sample in that time.
    since: Instant,
    seconds: f64,
    bytes: u64,
    moves: usize,
    idle: f64,
    processors: Processors,
}

/// A number that has changed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Change {
    pub from: usize,
    pub to: usize,
    pub because: Because,
    /// Bytes a second in the last sample.
    pub rate: f64,
    /// Idle seconds of the compute threads for each second.
    pub idle: f64,
}

impl Meter {
    pub fn new(policy: ConcurrencyPolicy) -> Meter {
        let since = Instant::now();
        let processors = Processors::new();
        Meter { policy, active: 0, since, seconds: 0.0, bytes: 0, moves: 0, idle: 0.0, processors }
    }

    /// How many may go on at once now.
    pub fn now(&self) -> usize {
        self.policy.now()
    }

    pub fn active(&self) -> usize {
        self.active
    }

    /// A task begins.
    pub fn enter(&mut self) {
        if self.active == 0 {
            self.since = Instant::now();
            self.processors.begin();
        }
        self.active += 1;
    }

    /// It ends.
    pub fn leave(&mut self) {
        self.tick();
        self.active -= 1;
        if self.active == 0 {
            self.processors.add();
        }
    }

    /// Seconds in which a compute thread had nothing to do, summed over the threads.
    pub fn add_idle(&mut self, seconds: f64) {
        self.idle += seconds;
    }

    /// Counts bytes that were moved at once. A sample has `least` such moves: with fewer a device that is slow for each
    /// of them looks as if it stood still.
    pub fn moved(&mut self, bytes: u64, least: usize) -> Option<Change> {
        self.bytes += bytes;
        self.moves += 1;
        self.tick();
        if self.seconds < SAMPLE_SECONDS || self.moves < least {
            return None;
        }
        let from = self.policy.now();
        let idle = self.idle / self.seconds;
        self.processors.add();
        let free = self.processors.free(self.seconds);
        let sample = ConcurrencySample { bytes: self.bytes, seconds: self.seconds, idle, free };
        let because = self.policy.decide(sample);
        (self.bytes, self.moves, self.seconds, self.idle) = (0, 0, 0.0, 0.0);
        let rate = sample.bytes as f64 / sample.seconds;
        because.map(|because| Change { from, to: self.policy.now(), because, rate, idle })
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.active > 0 {
            self.seconds += (now - self.since).as_secs_f64();
        }
        self.since = now;
    }
}
