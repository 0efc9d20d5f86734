//! A worker divides its memory: most of it is for one large run, the rest for a small one beside it.

use super::workplace::{KeptRun, Workplace};
use crate::protocol::{FromWorkerProcess, Offer, Portion, Seats, ToWorkerProcess};
use crate::sched::Seat;
use std::ops::ControlFlow;

/// One byte in so many is for small runs.
const SMALL: u64 = 8;
/// A smaller portion would be of no use, in bytes.
const LEAST: u64 = 64 << 20;

/// Ranges of tasks that one offer may have: it is one message, in which each takes 11 bytes at most. Of a run with more
/// of them nothing is kept.
const MOST_RANGES: usize = 1 << 20;

/// Divides what a process has. Nothing of a small run leaves memory: one that does not fit is a large one.
pub fn divide(all: Seat) -> Seats {
    let of_small = all.budget / SMALL;
    if of_small < LEAST {
        return Seats { large: all, small: None };
    }
    let large = Seat { budget: all.budget - of_small, ..all };
    let small = Seat { budget: of_small, may_spill: false, ..all };
    Seats { large, small: Some(small) }
}

/// The bytes that a process needs so that a large run has so many of them.
pub fn whole_for(large: u64) -> u64 {
    if large < LEAST * SMALL { large } else { large.saturating_add(large.div_ceil(SMALL - 1)) }
}

/// What a worker process has kept of runs whose scheduler it has lost, by portion.
#[derive(Default)]
pub struct KeptRuns {
    pub large: Option<KeptRun>,
    pub small: Option<KeptRun>,
}

impl KeptRuns {
    pub fn offers(&self) -> Vec<Offer> {
        let large = self.large.iter().map(|kept| (Portion::Large, kept));
        let small = self.small.iter().map(|kept| (Portion::Small, kept));
        let offer =
            |(portion, kept): (_, &KeptRun)| Offer { portion, run: kept.identity(), holding: kept.holding() };
        large.chain(small).map(offer).filter(|offer| offer.holding.ranges() <= MOST_RANGES).collect()
    }
}

/// Where a worker process does its tasks, by portion. Both have all threads: the system divides the cores.
pub struct Workplaces {
    pub large: Workplace,
    pub small: Option<Workplace>,
}

impl Workplaces {
    pub fn say(&self, message: FromWorkerProcess) {
        self.large.say(message);
    }

    /// The scheduler is lost: what is kept of its runs.
    pub fn settle(self) -> KeptRuns {
        let Workplaces { large, small } = self;
        KeptRuns { large: large.settle(), small: small.and_then(Workplace::settle) }
    }

    /// Does what the scheduler says. It breaks if that is to go.
    pub fn heed(&mut self, told: ToWorkerProcess) -> ControlFlow<()> {
        let Some(small) = &mut self.small else { return self.large.heed(told) };
        match &told {
            ToWorkerProcess::Begin { portion: Portion::Small, .. } => small.heed(told),
            ToWorkerProcess::Begin { portion: Portion::Large, .. } => self.large.heed(told),
            // Whose run it is, if it is about one, each knows.
            _ => {
                small.heed(told.clone())?;
                self.large.heed(told)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::Threads;

    #[test]
    fn both_shares_are_no_more_than_all() {
        let threads = Threads { compute: 2, io: 4 };
        for budget in [0, 1, LEAST, LEAST * SMALL - 1, LEAST * SMALL, u64::MAX] {
            let all = Seat { threads, budget, may_spill: true };
            let seats = divide(all);
            assert_eq!(seats.all(), all);
            assert_eq!(seats.small.is_some(), budget >= LEAST * SMALL, "{budget}");
            let enough = divide(Seat { budget: whole_for(budget), ..all });
            assert!(enough.large.budget >= budget || whole_for(budget) == u64::MAX, "{budget}");
        }
    }
}
