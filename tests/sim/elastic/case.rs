//! A line of the table: a load and a machine room.

use super::load::{Load, RunOf};
use cluster::policy::{ScalingPolicy, Start};
use cluster::scaling::Rules;

/// Of each worker.
pub const CORES: u32 = 4;
/// Workers at most.
pub const MOST: usize = 32;
/// Mean of the seconds after which a worker is taken away, exponentially distributed too.
pub const LIFE: f64 = 1800.0;
/// Between a notice and the end.
pub const NOTICE: f64 = 60.0;

/// Workers that are taken away by others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preemption {
    Never,
    /// A minute before, as SLURM can.
    WithNotice,
    /// With all that they have.
    Without,
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub load: Load,
    /// Seconds from a machine to a worker.
    pub boot: f64,
    /// Mean of the seconds in the queue, which are exponentially distributed.
    pub queue: f64,
    pub preemption: Preemption,
    pub seed: u64,
}

impl Case {
    pub fn runs(&self) -> Vec<RunOf> {
        self.load.runs(self.seed)
    }

    /// As the hub makes them, with a first guess of the start that is right on average.
    pub fn rules(&self) -> Rules {
        let start = Start { queue: self.queue, boot: self.boot, cores: CORES, room: 0.0, walltime: None };
        Rules { policy: ScalingPolicy::default(), deadline: None, least: 0, most: MOST, start }
    }

    pub fn is_session(&self) -> bool {
        self.load == Load::Session
    }
}
