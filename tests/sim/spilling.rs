//! Blocks that leave the memory of simulated workers and come back, or do not.

use super::worker::Held;
use super::world::{Chaos, Item, World};
use dolmen::ids::{BlockId, WorkerId};
use dolmen::sched::{Action, Event};

impl World {
    /// Blocks out of memory and back.
    pub(super) fn move_blocks(&mut self, id: WorkerId, action: Action) {
        match action {
            Action::Drop { blocks, .. } => blocks.iter().for_each(|block| {
                let held = self.workers.get_mut(&id).and_then(|worker| worker.store.remove(&block));
                self.live =
                    self.live.saturating_sub(if held.is_some() { self.program.size(block) } else { 0 });
            }),
            Action::Spill { blocks, .. } => {
                for block in blocks.iter() {
                    let held = self.workers.get_mut(&id).and_then(|worker| worker.store.remove(&block));
                    let value =
                        held.unwrap_or_else(|| panic!("{id:?} is to write {block:?}, which is not there"));
                    self.writing.insert((id, block), value.value);
                    let delay = self.delay(self.duration);
                    self.at(self.now + delay, Item::Written(id, block));
                }
            }
            Action::Load { blocks, .. } => {
                for block in blocks.iter() {
                    self.live += self.program.size(block);
                    self.live_peak = self.live_peak.max(self.live);
                    let delay = self.delay(self.duration);
                    self.at(self.now + delay, Item::ReadBack(id, block));
                }
            }
            _ => unreachable!("not about moving blocks"),
        }
    }

    pub(super) fn written(&mut self, id: WorkerId, block: BlockId) {
        let Some(value) = self.writing.remove(&(id, block)) else { return };
        if self.workers.contains_key(&id) {
            self.spills += 1;
            self.live = self.live.saturating_sub(self.program.size(block));
            self.place.insert(block, value);
            self.say(id, Event::Spilled { worker: id, block });
        }
    }

    pub(super) fn read_back(&mut self, id: WorkerId, block: BlockId) {
        let source = self.program.stage(block.stage).kind.is_source();
        let mut found = if source { Some(self.reference[&block]) } else { self.place.get(&block).copied() };
        if !source && self.chaos == Chaos::Crashes && self.rng.chance(3) {
            found = None;
            self.crashes += 1;
        } else {
            // After a loss a block may be made and written again before a worker is told to free what it was.
            assert!(found.is_some() || self.crashes > 0, "{block:?} is nowhere");
        }
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match found {
            Some(value) => {
                worker.store.insert(block, Held { value, known: true });
                self.say(id, Event::Loaded { worker: id, block });
            }
            None => {
                self.place.remove(&block);
                self.live = self.live.saturating_sub(self.program.size(block));
                self.say(id, Event::Vanished { worker: id, block });
            }
        }
    }
}
