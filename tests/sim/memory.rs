//! What simulated workers really hold, counted apart from the core. Nothing is allocated that does not fit.

use super::dying::CorePlan;
use super::world::World;
use dolmen::ids::{BlockId, MemoryId, WorkerId};
use std::collections::{BTreeMap, BTreeSet};

/// How the workers of a world are given memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Given {
    /// All share so many bytes.
    Shared(u64),
    /// Each has its own: at least so many bytes, but for some that have less.
    Own(u64),
    /// Each has its own of just so many bytes.
    Exactly(u64),
}

/// The memory of one process, and the place where its workers write blocks.
#[derive(Default)]
pub struct SimMemory {
    pub bytes: u64,
    pub place: BTreeMap<BlockId, u64>,
}

impl World {
    /// How workers are given memory. They all share that of the run unless it is said.
    pub fn memory(mut self, given: Given) -> Self {
        self.given = given;
        self
    }

    /// The memory of a worker that joins. With `large` the run fits it.
    pub(super) fn give_memory(&mut self, worker: WorkerId, large: bool) -> MemoryId {
        let (id, bytes) = match self.given {
            Given::Shared(bytes) => (MemoryId(0), bytes),
            Given::Exactly(bytes) => (MemoryId(worker.0), bytes),
            Given::Own(least) if large || self.rng.chance(75) => {
                (MemoryId(worker.0), least.saturating_add(self.rng.range(0, least / 2)))
            }
            Given::Own(least) => (MemoryId(worker.0), self.rng.range(0, least)),
        };
        self.memories.entry(id).or_default().bytes = bytes;
        id
    }

    /// Goes no further ahead than the workers that are there have use for.
    pub fn striding(mut self, limit: u64, least: u64, per_thread: u64) -> Self {
        self.core_plan = CorePlan { limit, spill: None, stride: Some((least, per_thread)) };
        self.core = self.new_core();
        self
    }

    pub(super) fn memory_of(&self, worker: WorkerId) -> Option<MemoryId> {
        Some(self.workers.get(&worker)?.memory)
    }

    /// Bytes that the workers of a memory hold: blocks, outputs that are being made, buffers of what comes, and what is
    /// being written.
    fn held(&self, memory: MemoryId) -> u64 {
        let size = |block: &BlockId| self.program.size(*block);
        let mut blocks: BTreeSet<BlockId> = BTreeSet::new();
        let mut bytes = 0;
        for (id, worker) in self.workers.iter().filter(|(_, worker)| worker.memory == memory) {
            blocks.extend(worker.holds());
            bytes += worker.running.keys().map(size).sum::<u64>();
            let buffers = worker.fetching.iter().filter(|(_, coming)| coming.buffer);
            bytes += buffers.map(|(block, _)| size(block)).sum::<u64>();
            let written = self.writing.keys().filter(|(at, _)| at == id);
            bytes += written.map(|(_, block)| size(block)).sum::<u64>();
        }
        bytes + blocks.iter().map(size).sum::<u64>()
    }

    /// What a worker holds, for a message.
    fn inventory(&self, id: WorkerId) -> String {
        let worker = &self.workers[&id];
        let keys = worker.holds();
        let running: Vec<_> = worker.running.keys().collect();
        let coming: Vec<_> = worker.fetching.keys().collect();
        let written: Vec<_> = self.writing.keys().filter(|(at, _)| *at == id).collect();
        format!("holds {keys:?}, makes {running:?}, fetches {coming:?}, writes {written:?}")
    }

    /// Is there room for so many bytes more? Only what nobody wants any more, or what another worker of the same memory
    /// has not yet heard of, may hold one up.
    pub(super) fn has_room(&mut self, worker: WorkerId, bytes: u64) -> bool {
        let Some(memory) = self.memory_of(worker) else { return false };
        let held = self.held(memory) + bytes;
        let limit = self.memories[&memory].bytes;
        if held <= limit {
            return true;
        }
        let neighbours = self.workers.values().filter(|worker| worker.memory == memory);
        let is_stale = neighbours.flat_map(|worker| worker.fetching.values()).any(|coming| coming.stale);
        let is_excused = is_stale || self.crashes > 0 || matches!(self.given, Given::Shared(_));
        assert!(
            is_excused,
            "{worker:?} has no room for {bytes} bytes: {held} of {limit}: {}",
            self.inventory(worker)
        );
        false
    }

    /// Bytes that a task takes when it starts: none if it goes on in a block that nobody shares.
    pub(super) fn bytes_to_start(&self, worker: WorkerId, task: BlockId) -> u64 {
        let size = self.program.size(task);
        if !self.program.takes_over(task) {
            return size;
        }
        let previous = BlockId::new(task.stage, task.index - 1);
        let memory = self.memory_of(worker);
        let shares = |(id, other): (&WorkerId, &super::worker::SimWorker)| {
            *id != worker && Some(other.memory) == memory && other.desk.get(previous).is_some()
        };
        if self.workers.iter().any(shares) { size } else { 0 }
    }
}
