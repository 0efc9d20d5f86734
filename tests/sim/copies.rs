//! Blocks that go from one simulated worker to another, or do not arrive.

use super::worker::{Held, Queued};
use super::world::{COPY_ATTEMPTS, Chaos, World};
use dolmen::ids::{BlockId, TaskId, WorkerId};
use dolmen::sched::Event;

impl World {
    pub(super) fn fetched(&mut self, to: WorkerId, from: WorkerId, block: BlockId) {
        let value = self.workers.get(&from).and_then(|worker| Some(worker.store.get(&block)?.value));
        let Some(worker) = self.workers.get_mut(&to) else { return };
        let copy = worker.fetching.remove(&block).unwrap_or(false);
        let fails = copy && self.copy_fails(block);
        let Some(worker) = self.workers.get_mut(&to) else { return };
        let Some(value) = value.filter(|_| !fails) else {
            if copy {
                *self.failed_copies.entry(block).or_default() += 1;
                self.say(to, Event::CopyFailed { worker: to, block });
            }
            let Some(worker) = self.workers.get_mut(&to) else { return };
            let lacks = |queued: &&Queued| queued.reads(block);
            let back: Vec<TaskId> = worker.queue.iter().filter(lacks).map(|queued| queued.task).collect();
            if !back.is_empty() && !worker.store.contains_key(&block) {
                self.give_back(to, &back);
            }
            return;
        };
        if copy || worker.queue.iter().any(|queued| queued.reads(block)) {
            worker.store.entry(block).or_insert(Held { value, known: false }).known |= copy;
        }
        if copy {
            self.say(to, Event::Copied { worker: to, block });
        }
        self.turn(to);
    }

    /// How many copies off leaving workers have failed.
    pub fn failed_copies(&self) -> u64 {
        self.failed_copies.values().map(|times| u64::from(*times)).sum()
    }

    /// A connection may fail. Where nothing is to be lost, so seldom that another attempt succeeds.
    fn copy_fails(&mut self, block: BlockId) -> bool {
        let failed = self.failed_copies.get(&block).copied().unwrap_or(0);
        match self.chaos {
            Chaos::None => false,
            Chaos::Elastic => failed + 1 < COPY_ATTEMPTS && self.rng.chance(30),
            Chaos::Crashes => {
                let fails = self.rng.chance(30);
                self.crashes += u32::from(fails);
                fails
            }
        }
    }
}
