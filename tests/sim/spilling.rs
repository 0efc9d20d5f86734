//! Blocks that leave the memory of simulated workers and come back, or do not.

use super::dying::CorePlan;
use super::memory::Given;
use super::world::{Chaos, Item, World};
use dolmen::ids::{BlockId, WorkerId};
use dolmen::sched::{Action, Event, SpillPlan, Whereabouts};

impl World {
    /// Lets blocks be spilled.
    pub fn spilling(mut self, limit: u64, plan: &SpillPlan) -> Self {
        self.core_plan = CorePlan { limit, spill: Some(*plan), stride: None };
        self.core = self.new_core();
        self.given = Given::Shared(limit);
        self
    }

    /// Blocks out of memory.
    pub(super) fn move_blocks(&mut self, id: WorkerId, action: Action) {
        match action {
            Action::Drop { blocks, .. } => blocks.iter().for_each(|block| {
                self.workers.get_mut(&id).and_then(|worker| worker.desk.remove(block));
            }),
            Action::Spill { blocks, .. } => {
                for block in blocks.iter() {
                    let held = self.workers.get_mut(&id).and_then(|worker| worker.desk.remove(block));
                    let value =
                        held.unwrap_or_else(|| panic!("{id:?} is to write {block:?}, which is not there"));
                    self.writing.insert((id, block), value);
                    let delay = self.delay(self.duration);
                    self.at(self.now + delay, Item::Written(id, block));
                }
            }
            _ => unreachable!("not about moving blocks"),
        }
    }

    pub(super) fn written(&mut self, id: WorkerId, block: BlockId) {
        let Some(value) = self.writing.remove(&(id, block)) else { return };
        let Some(memory) = self.memory_of(id) else { return };
        self.spills += 1;
        self.memories.get_mut(&memory).expect("it is there").place.insert(block, value);
        self.say(id, Event::Spilled { worker: id, block });
    }

    /// What `id` can read back, or make again. What has been written may be damaged: that is told.
    pub(super) fn read_back(&mut self, id: WorkerId, block: BlockId) -> Option<u64> {
        if self.program.stage(block.stage).kind.is_source() && !self.is_pinned(block.stage) {
            return Some(self.reference[&block]);
        }
        let memory = self.memory_of(id)?;
        let place = &mut self.memories.get_mut(&memory)?.place;
        let mut found = place.get(&block).copied();
        // The task that it is read for may have been given back for another input, and done elsewhere meanwhile.
        let is_released = || self.core.explain(block).state == "done, block released";
        // After a loss a block may be made and written again before a worker is told to free what it was.
        assert!(found.is_some() || self.crashes > 0 || is_released(), "{block:?} is nowhere");
        if self.chaos == Chaos::Crashes && self.rng.chance(3) {
            self.crashes += 1;
            found = None;
        }
        if found.is_none() {
            self.memories.get_mut(&memory)?.place.remove(&block);
            self.say(id, Event::Vanished { worker: id, block });
        }
        found
    }

    /// A result that is not in memory has been written.
    pub(super) fn check_result_out_of_memory(&self, result: BlockId) {
        match self.core.whereabouts(result) {
            Whereabouts::Written(memory) => {
                let written = self.memories[&memory].place.get(&result);
                assert_eq!(written, Some(&self.reference[&result]), "{result:?} has been written otherwise");
            }
            other => panic!("{result:?} is {other:?}"),
        }
    }
}
