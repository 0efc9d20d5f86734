//! What has been got from other processes, and how long it took.

use crate::ids::WorkerId;
use crate::sched::Pull;
use std::collections::HashMap;
use std::time::Instant;

/// Several blocks are under way at once, and share the time: a block counts for that part of its way during which none
/// of those before it was under way from the same worker.
#[derive(Default)]
pub struct Pulls {
    /// When the last block came, by who gave it.
    last: HashMap<WorkerId, Instant>,
    untold: Vec<Pull>,
}

impl Pulls {
    /// A block of so many bytes has come.
    pub fn add(&mut self, from: WorkerId, bytes: u64, began: Instant, came: Instant) {
        let last = self.last.insert(from, came);
        let alone = last.map_or(began, |last| began.max(last));
        let seconds = came.saturating_duration_since(alone).as_secs_f64();
        match self.untold.iter_mut().find(|pull| pull.from == from) {
            Some(pull) => {
                pull.blocks += 1;
                pull.bytes += bytes;
                pull.seconds += seconds;
            }
            None => self.untold.push(Pull { from, blocks: 1, bytes, seconds }),
        }
    }

    /// What has not been told yet.
    pub fn take(&mut self) -> Vec<Pull> {
        std::mem::take(&mut self.untold)
    }

    pub fn forget(&mut self) {
        *self = Pulls::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn blocks_that_come_together_share_the_time() {
        let (one, other) = (WorkerId(1), WorkerId(2));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulls = Pulls::default();
        pulls.add(one, 100, at(0), at(10));
        pulls.add(one, 50, at(5), at(12));
        pulls.add(other, 7, at(6), at(12));
        let pull = |from, blocks, bytes, seconds| Pull { from, blocks, bytes, seconds };
        assert_eq!(pulls.take(), [pull(one, 2, 150, 12.0), pull(other, 1, 7, 6.0)]);
        pulls.add(one, 1, at(11), at(11));
        assert_eq!(pulls.take(), [pull(one, 1, 1, 0.0)]);
        pulls.add(one, 1, at(20), at(21));
        assert_eq!(pulls.take(), [pull(one, 1, 1, 1.0)], "nothing was under way before");
    }
}
