//! Which blocks leave a memory when it is short: copies first, then those whose next use is farthest (Belady 1966),
//! which the program tells.
//!
//! A block is *pinned* while a task that is assigned is to read it, and *idle* where it lies when none is. Idle blocks
//! may be evicted: a copy of a block that lies elsewhere is dropped; what can be read or made again as cheaply is
//! dropped too; others are written to the place for spilled blocks. A task is assigned only when its output and its
//! missing inputs have been reserved where it runs, so whatever is assigned can be finished, and when it is,
//! everything else can go: there is always a next task.

use crate::graph::Program;
use crate::ids::{BlockId, MemoryId, TaskId, WorkerId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Smaller blocks go only when no larger ones are left: a file has a price of its own.
const SMALL: u64 = 64 << 10;

/// How readily a block goes. The last one goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Class {
    Small,
    Large,
    /// The block lies elsewhere too.
    Copy,
}

impl Class {
    /// Of the only holder of so many bytes.
    pub fn of_bytes(bytes: u64) -> Class {
        if bytes < SMALL { Class::Small } else { Class::Large }
    }
}

/// How readily a block goes. Blocks with the greatest rank go first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct EvictionRank {
    /// By its size and use.
    pub class: Class,
    /// The place of its next use in the walk.
    pub next_use: u32,
}

/// A block that lies idle at a worker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct IdleBlock {
    pub rank: EvictionRank,
    pub block: BlockId,
    pub worker: WorkerId,
}

/// The idle blocks of one memory, in the order in which they go.
///
/// Invariant: the bytes are those of the blocks.
#[derive(Default)]
struct Idle {
    order: BTreeSet<IdleBlock>,
    bytes: u64,
}

/// Where a block lies idle.
struct IdleCopy {
    memory: MemoryId,
    idle: IdleBlock,
    bytes: u64,
}

/// Which blocks of a run may leave the memory where they lie, in the order in which they do.
#[derive(Default)]
pub(super) struct Eviction {
    /// Each task's place in the serial walk. Empty in a run whose blocks stay: there just copies go.
    ranks: Vec<u32>,
    /// How many assigned tasks are to read a block. Counted in a run that spills.
    pins: HashMap<BlockId, u32>,
    idle: BTreeMap<MemoryId, Idle>,
    places: HashMap<BlockId, Vec<IdleCopy>>,
}

impl Eviction {
    pub fn set_order(&mut self, program: &Program, order: &[TaskId]) {
        self.ranks = vec![u32::MAX; program.tasks()];
        for (rank, task) in order.iter().enumerate() {
            self.ranks[program.position(*task)] = rank as u32;
        }
    }

    /// The place of a task in the serial walk.
    pub fn rank(&self, position: usize) -> u32 {
        self.ranks.get(position).copied().unwrap_or(u32::MAX)
    }

    /// Bytes that could leave this memory. Blocks that two of its workers hold count twice.
    pub fn idle_bytes(&self, memory: MemoryId) -> u64 {
        self.idle.get(&memory).map_or(0, |idle| idle.bytes)
    }

    /// Of these, those of one block.
    pub fn idle_bytes_of(&self, memory: MemoryId, block: BlockId) -> u64 {
        let places = self.places.get(&block).into_iter().flatten();
        places.filter(|place| place.memory == memory).map(|place| place.bytes).sum()
    }

    /// Bytes of copies that could go from all memories: their blocks lie elsewhere too. O(idle blocks).
    pub fn bytes_of_copies(&self) -> u64 {
        let places = self.places.values().flatten();
        places.filter(|place| place.idle.rank.class == Class::Copy).map(|place| place.bytes).sum()
    }

    /// Assigned tasks that are to read `block`.
    pub fn pins(&self, block: BlockId) -> u32 {
        self.pins.get(&block).copied().unwrap_or(0)
    }

    /// One assigned reader more.
    pub fn pin(&mut self, block: BlockId) {
        *self.pins.entry(block).or_default() += 1;
    }

    /// One assigned reader less.
    pub fn unpin(&mut self, block: BlockId) {
        let Some(pins) = self.pins.get_mut(&block) else { return };
        *pins -= 1;
        if *pins == 0 {
            self.pins.remove(&block);
        }
    }

    pub fn has_idle(&self, block: BlockId) -> bool {
        self.places.contains_key(&block)
    }

    /// The block is idle here, too.
    pub fn add(&mut self, memory: MemoryId, idle: IdleBlock, bytes: u64) {
        let of_memory = self.idle.entry(memory).or_default();
        of_memory.order.insert(idle);
        of_memory.bytes += bytes;
        self.places.entry(idle.block).or_default().push(IdleCopy { memory, idle, bytes });
    }

    /// The block is idle nowhere.
    pub fn remove(&mut self, block: BlockId) {
        // Mostly nothing is idle in a run whose blocks stay, and no hash is needed to know that.
        if self.places.is_empty() {
            return;
        }
        for IdleCopy { memory, idle, bytes } in self.places.remove(&block).unwrap_or_default() {
            let of_memory = self.idle.get_mut(&memory).expect("it was added there");
            of_memory.order.remove(&idle);
            of_memory.bytes -= bytes;
        }
    }

    /// The block that leaves a memory first, if any may.
    pub fn victim(&self, memory: MemoryId, stays: impl Fn(BlockId) -> bool) -> Option<IdleBlock> {
        self.idle.get(&memory)?.order.iter().rev().find(|idle| !stays(idle.block)).copied()
    }

    /// Where a block lies idle.
    pub fn idle_at(&self, block: BlockId) -> impl Iterator<Item = WorkerId> + '_ {
        self.places.get(&block).into_iter().flatten().map(|place| place.idle.worker)
    }

    /// Who reads what is counted anew.
    pub fn clear(&mut self) {
        self.pins.clear();
        self.idle.clear();
        self.places.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ProgramBuilder;
    use crate::ids::StageId;

    const HERE: MemoryId = MemoryId(0);
    const THERE: MemoryId = MemoryId(1);

    fn block(index: u32) -> BlockId {
        BlockId::new(StageId(0), index)
    }

    fn idle(index: u32, class: Class, next_use: u32) -> IdleBlock {
        IdleBlock { rank: EvictionRank { class, next_use }, block: block(index), worker: WorkerId(0) }
    }

    #[test]
    fn copies_go_first_then_large_blocks_then_what_is_used_last() {
        assert_eq!(Class::of_bytes(SMALL - 1), Class::Small);
        assert_eq!(Class::of_bytes(SMALL), Class::Large);
        let mut eviction = Eviction::default();
        for idle in [
            idle(0, Class::Small, 9),
            idle(1, Class::Large, 5),
            idle(2, Class::Large, 7),
            idle(3, Class::Copy, 1),
        ] {
            eviction.add(HERE, idle, 10);
        }
        let mut gone = Vec::new();
        while let Some(victim) = eviction.victim(HERE, |block| gone.contains(&block)) {
            gone.push(victim.block);
        }
        assert_eq!(gone, [3, 2, 1, 0].map(block));
    }

    #[test]
    fn bytes_are_counted_where_they_lie() {
        let mut eviction = Eviction::default();
        eviction.add(HERE, idle(0, Class::Large, 0), 10);
        eviction.add(HERE, idle(1, Class::Copy, 0), 200);
        eviction.add(THERE, idle(0, Class::Copy, 0), 10);
        assert_eq!([HERE, THERE].map(|memory| eviction.idle_bytes(memory)), [210, 10]);
        assert_eq!([HERE, THERE].map(|memory| eviction.idle_bytes_of(memory, block(0))), [10, 10]);
        assert_eq!(eviction.bytes_of_copies(), 210);
        assert!(eviction.has_idle(block(0)) && !eviction.has_idle(block(2)));
        eviction.remove(block(0));
        assert!(!eviction.has_idle(block(0)));
        assert_eq!([HERE, THERE].map(|memory| eviction.idle_bytes(memory)), [200, 0]);
    }

    #[test]
    fn a_rank_is_the_place_in_the_walk() {
        let mut builder = ProgramBuilder::default();
        builder.null_wide(3);
        let mut eviction = Eviction::default();
        assert_eq!(eviction.rank(0), u32::MAX, "nobody asks in a run whose blocks stay");
        eviction.set_order(&builder.finish(), &[2, 0].map(block));
        assert_eq!([0, 1, 2].map(|position| eviction.rank(position)), [1, u32::MAX, 0]);
    }
}
