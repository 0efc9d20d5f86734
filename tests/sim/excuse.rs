//! What a loss may cause to be done again, told before the core hears of it.

use super::world::{COPY_ATTEMPTS, World};
use dolmen::ids::{BlockId, TaskId, WorkerId};
use dolmen::sched::{Event, Whereabouts};
use std::collections::BTreeSet;

impl World {
    /// Keeps count of who works where.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            // A loss may overtake the join, which then counts no more.
            Event::Join { worker, memory, .. } if !self.lost.contains(worker) => {
                self.members.entry(*memory).or_default().insert(*worker);
            }
            Event::Leave { worker } => drop(self.leaving.insert(*worker)),
            Event::Lost { worker } => {
                let is_counted = !self.leaving.contains(worker) && self.crashed_by_killer.contains(worker);
                self.killed += u32::from(is_counted);
                self.lost.insert(*worker);
                self.strike_off(*worker);
            }
            _ => {}
        }
    }

    pub(super) fn strike_off(&mut self, worker: WorkerId) {
        for workers in self.members.values_mut() {
            workers.remove(&worker);
        }
    }

    /// Is a block out of reach once the core knows of this loss?
    fn is_gone(&self, block: BlockId, lost: WorkerId) -> bool {
        match self.core.whereabouts(block) {
            Whereabouts::Memory(at) | Whereabouts::Leaving(at) => at == lost,
            Whereabouts::Written(memory) => {
                let workers = self.members.get(&memory);
                workers.is_none_or(|workers| workers.iter().all(|worker| *worker == lost))
            }
            Whereabouts::Source | Whereabouts::Nowhere => false,
        }
    }

    /// What a loss may cause to be done again: the blocks there, and back from them to blocks that remain.
    pub(super) fn excuse_for(&mut self, event: &Event) {
        let mut open: Vec<TaskId> = match event {
            Event::Lost { worker } => {
                let tasks = (0..self.program.tasks()).map(|at| self.program.at_position(at));
                tasks.filter(|block| self.is_gone(*block, *worker)).collect()
            }
            Event::Vanished { block, .. } => vec![*block],
            // Only the last of several attempts gives the block up.
            Event::CopyFailed { block, .. } if self.failed_copies[block] >= COPY_ATTEMPTS => vec![*block],
            _ => return,
        };
        let mut seen: BTreeSet<TaskId> = open.iter().copied().collect();
        let mut inputs = Vec::new();
        while let Some(task) = open.pop() {
            self.program.inputs(task, &mut inputs);
            for input in inputs.drain(..) {
                let there = match (self.core.whereabouts(input), event) {
                    (Whereabouts::Nowhere, _) => false,
                    (_, Event::Lost { worker }) => !self.is_gone(input, *worker),
                    _ => true,
                };
                if !there && seen.insert(input) {
                    open.push(input);
                }
            }
        }
        self.excuse += seen.len() as u64;
    }
}
