//! The end of a run: what is lost after it, and what has to be there and what not when nothing happens any more.

use super::world::{Chaos, World};
use dolmen::ids::{BlockId, MemoryId, WorkerId};

impl World {
    /// Until the run is over. A worker may be lost after that, with results that nobody has fetched.
    pub fn drive_beyond_the_end(&mut self) {
        self.drive();
        if self.completed && self.chaos == Chaos::Crashes && self.rng.chance(30) {
            let workers: Vec<WorkerId> =
                self.workers.keys().copied().filter(|id| !self.is_client(*id)).collect();
            if !workers.is_empty() {
                let lost = *self.rng.pick(&workers);
                self.crash(lost);
                self.join(2);
            }
        }
        self.settle();
    }

    /// Until nothing happens any more: the run has to be over.
    pub fn settle(&mut self) {
        for _ in 0..2_000_000_u64 {
            if !self.step() {
                if !self.completed && self.failed.is_none() {
                    self.explain_all();
                    panic!("nothing will ever happen again, and the run is not over");
                }
                return;
            }
        }
        panic!("things happen for ever: {:?}", self.core.progress());
    }

    /// The results lie where the core says, and are what a sequential run makes. All sinks have run.
    pub fn check_results(&self) {
        assert!(self.completed, "not completed: {:?}", self.failed);
        for at in 0..self.program.tasks() {
            let task = self.program.at_position(at);
            let partial = self.program.stage(task.stage).space.is_partial(task.index);
            if self.program.is_sink(task.stage) && !partial {
                assert!(self.ran.contains_key(&task), "sink {task:?} has not run");
            }
            if self.program.keeps(task) && self.program.stage(task.stage).leaves_blocks() {
                let Some(holder) = self.core.location(task) else {
                    self.check_result_out_of_memory(task);
                    continue;
                };
                let worker = self.workers.get(&holder);
                let worker = worker.unwrap_or_else(|| panic!("{holder:?} with {task:?} is gone"));
                assert_eq!(worker.desk.get(task), Some(&self.reference[&task]), "{task:?} at {holder:?}");
            }
        }
    }

    /// After the last frees have arrived: blocks that are held although nobody will ask for them.
    pub fn leftovers(&mut self) -> Vec<(WorkerId, BlockId)> {
        self.settle();
        let mut left = Vec::new();
        for (id, worker) in &self.workers {
            let unwanted = worker.holds().into_iter().filter(|block| !self.program.keeps(*block));
            left.extend(unwanted.map(|block| (*id, block)));
        }
        // Who has crashed removes nothing: that goes with the run.
        let is_there = |memory: &MemoryId| self.workers.values().any(|worker| worker.memory == *memory);
        for (_, memory) in self.memories.iter().filter(|(id, _)| self.crashes == 0 && is_there(id)) {
            let files = memory.place.keys().filter(|block| !self.program.keeps(**block));
            left.extend(files.map(|block| (WorkerId(u32::MAX), *block)));
        }
        left
    }
}
