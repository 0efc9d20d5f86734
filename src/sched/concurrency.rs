//! How much of one kind goes on at once: requests in flight to a device, or I/O tasks beside those that compute.
//!
//! A hill to climb by measurement: a step is tried, and kept only if more bytes move by it.

/// I/O tasks that any worker may run at once: two read while two write. With these a run begins.
pub const IO_TASKS: usize = 4;

/// When the number changes, and by how much.
#[derive(Clone, Copy, Debug)]
pub struct ConcurrencyThresholds {
    pub least: usize,
    pub most: usize,
    /// A change is kept if more bytes a second move by it, by this share at least and by more than samples differ by
    /// themselves: what brings nothing takes cores and memory from others.
    pub gain: f64,
    /// A larger share of idle seconds of the compute threads means that they wait for this.
    pub idle: f64,
    /// Samples of one number that are taken together before it is judged: single ones vary by a fifth.
    pub samples: u32,
    /// The first samples tell nothing: memory is new then, and each page of it costs more than it does later.
    pub warm_up: u32,
    /// Samples without a change after one that did not help; doubled each time up to `longest_rest`, so that what is
    /// known costs next to no trials.
    pub rest: u32,
    pub longest_rest: u32,
    /// Is it made less while nobody waits?
    pub falls: bool,
}

impl ConcurrencyThresholds {
    /// For requests to a device. One at a time works on any; virtual disks and SSDs are saturated by sixteen, and each
    /// request has memory of its own.
    pub fn of_requests() -> ConcurrencyThresholds {
        ConcurrencyThresholds {
            least: 1,
            most: 16,
            gain: 0.05,
            idle: 0.1,
            samples: 4,
            warm_up: 4,
            rest: 8,
            longest_rest: 256,
            falls: false,
        }
    }

    /// For the I/O tasks of a worker, which may have so many. Fewer than [`IO_TASKS`] never helped, since requests to a
    /// device are counted by themselves.
    pub fn of_tasks(most: usize) -> ConcurrencyThresholds {
        ConcurrencyThresholds {
            least: most.min(IO_TASKS),
            most,
            idle: 0.05,
            samples: 2,
            warm_up: 2,
            rest: 16,
            falls: true,
            ..Self::of_requests()
        }
    }
}

/// What was measured since the last decision.
#[derive(Clone, Copy, Debug)]
pub struct ConcurrencySample {
    pub bytes: u64,
    /// Seconds in which at least one of them went on.
    pub seconds: f64,
    /// Idle seconds of the compute threads for each second of the sample.
    pub idle: f64,
    /// Cores that had nothing to do, on average. Where there are none, threads do not wait for a device but for others
    /// that copy: a file in memory costs a core for each that reads it.
    pub free: f64,
}

impl ConcurrencySample {
    fn rate(&self) -> f64 {
        self.bytes as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// Samples of one number, added up.
#[derive(Clone, Copy, Default, Debug)]
struct Sum {
    samples: u32,
    bytes: f64,
    seconds: f64,
    idle: f64,
    free: f64,
}

impl Sum {
    fn add(&mut self, sample: ConcurrencySample) {
        self.samples += 1;
        self.bytes += sample.bytes as f64;
        self.seconds += sample.seconds;
        self.idle += sample.idle * sample.seconds;
        self.free += sample.free * sample.seconds;
    }

    fn rate(&self) -> f64 {
        self.bytes / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Seconds in which compute threads waited, each second.
    fn idle(&self) -> f64 {
        self.idle / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Cores that had nothing to do.
    fn free(&self) -> f64 {
        self.free / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// What a trial has to show.
#[derive(Clone, Copy, Debug)]
enum Hope {
    /// More bytes a second than these.
    Faster(f64),
    /// That still nobody waits.
    Enough,
}

/// By how much single samples of one number differ, as a share of their rate.
#[derive(Clone, Copy, Default, Debug)]
struct Noise {
    last: Option<f64>,
    difference: Option<f64>,
}

impl Noise {
    /// The weight of the newest difference.
    const NEWEST: f64 = 0.25;

    fn add(&mut self, rate: f64) {
        let last = self.last.replace(rate);
        if let Some(last) = last.filter(|last| last.max(rate) > 0.0) {
            let newest = (rate - last).abs() / last.max(rate);
            let usual = self.difference.unwrap_or(newest);
            self.difference = Some(usual + Self::NEWEST * (newest - usual));
        }
    }

    fn share(&self) -> f64 {
        self.difference.unwrap_or(0.0)
    }

    /// What comes is of another number.
    fn interrupt(&mut self) {
        self.last = None;
    }
}

/// A number on trial, and where to go back to.
#[derive(Clone, Copy, Debug)]
struct Trial {
    from: usize,
    hope: Hope,
}

/// Why a number is another one than before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Because {
    /// Compute threads wait.
    Waiting,
    /// A trial brought nothing.
    NoGain,
    /// Nobody waits.
    NobodyWaits,
    /// Compute threads wait, but for a core and not for a device.
    NoCoreIsFree,
    /// With fewer somebody waited.
    TooFew,
}

/// How many go on at once, and what is tried next.
#[derive(Clone, Debug)]
pub struct ConcurrencyPolicy {
    thresholds: ConcurrencyThresholds,
    now: usize,
    sum: Sum,
    noise: Noise,
    trial: Option<Trial>,
    /// The next step goes up.
    upward: bool,
    resting: u32,
    next_rest: u32,
}

impl ConcurrencyPolicy {
    /// Begins with `start`, or as near to it as the thresholds allow.
    pub fn new(thresholds: ConcurrencyThresholds, start: usize) -> ConcurrencyPolicy {
        ConcurrencyPolicy {
            thresholds,
            now: start.clamp(thresholds.least, thresholds.most),
            sum: Sum::default(),
            noise: Noise::default(),
            trial: None,
            upward: true,
            resting: thresholds.warm_up,
            next_rest: thresholds.rest,
        }
    }

    pub fn now(&self) -> usize {
        self.now
    }

    /// Takes a sample of the present number. If there is another one from now on, why.
    pub fn decide(&mut self, sample: ConcurrencySample) -> Option<Because> {
        self.noise.add(sample.rate());
        if self.resting > 0 {
            self.resting -= 1;
            return None;
        }
        self.sum.add(sample);
        if self.sum.samples < self.thresholds.samples {
            return None;
        }
        let level = std::mem::take(&mut self.sum);
        let lacks_a_core = level.free() <= self.thresholds.idle;
        let waits = level.idle() > self.thresholds.idle && !lacks_a_core;
        let trial = self.trial.take();
        if let Some(trial) = trial {
            let failed = match trial.hope {
                Hope::Faster(rate) if level.rate() < rate * (1.0 + self.gain()) => Some(Because::NoGain),
                Hope::Enough if waits => Some(Because::TooFew),
                Hope::Faster(_) | Hope::Enough => None,
            };
            if let Some(because) = failed {
                self.go_back(trial);
                return Some(because);
            }
            self.next_rest = self.thresholds.rest;
        }
        match () {
            () if waits => self.step(level.rate()),
            () if level.idle() > self.thresholds.idle => self.fall(Because::NoCoreIsFree),
            () => self.fall(Because::NobodyWaits),
        }
    }

    /// A trial has to bring more than this share.
    fn gain(&self) -> f64 {
        self.thresholds.gain.max(self.noise.share())
    }

    fn go_back(&mut self, trial: Trial) {
        self.now = trial.from;
        self.noise.interrupt();
        if let Hope::Faster(_) = trial.hope {
            self.upward = !self.upward;
        }
        self.resting = self.next_rest;
        self.next_rest = (2 * self.next_rest).min(self.thresholds.longest_rest);
    }

    /// Half as many again, or a third less, so that steps are felt at any number.
    fn step(&mut self, rate: f64) -> Option<Because> {
        let ConcurrencyThresholds { least, most, .. } = self.thresholds;
        if (self.upward && self.now == most) || (!self.upward && self.now == least) {
            self.upward = !self.upward;
        }
        let to = if self.upward { self.more() } else { self.fewer() };
        self.attempt(to, Hope::Faster(rate)).then_some(Because::Waiting)
    }

    /// Nobody waits for the device: no need to trouble it with more, and fewer may do.
    fn fall(&mut self, because: Because) -> Option<Because> {
        let to = if self.thresholds.falls { self.fewer() } else { self.now };
        self.attempt(to, Hope::Enough).then_some(because)
    }

    fn more(&self) -> usize {
        (self.now + self.now.div_ceil(2)).min(self.thresholds.most)
    }

    fn fewer(&self) -> usize {
        self.now.saturating_sub(self.now.div_ceil(3)).max(self.thresholds.least)
    }

    /// Tries another number. False if it is the present one.
    fn attempt(&mut self, to: usize, hope: Hope) -> bool {
        let from = std::mem::replace(&mut self.now, to);
        let differs = from != to;
        if differs {
            self.noise.interrupt();
            self.trial = Some(Trial { from, hope });
        }
        differs
    }
}

#[cfg(test)]
#[path = "concurrency_tests.rs"]
mod tests;
