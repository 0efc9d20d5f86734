//! Which blocks leave memory when it is short: those whose next use is farthest (Belady 1966), which the program tells.
//!
//! A block is *pinned* while an admitted task is to read it, and *idle* when it lies in memory and none is. Idle blocks
//! may be evicted: written to the place for spilled blocks, or just dropped where it can be read or made again as cheaply.
//! A task is admitted only with room for its output and for those of its inputs that have to come back, so whatever is
//! admitted can be finished with what is reserved, and when it is, everything else can go: there is always a next task.

use crate::graph::Program;
use crate::ids::{BlockId, TaskId, WorkerId};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Smaller blocks go only when no larger ones are left: a file has a price of its own.
const SMALL: u64 = 64 << 10;

/// How readily a block goes. The last one goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Class {
    /// A result: held to the end.
    Kept,
    Small,
    Large,
}

/// Why a block goes: how readily, and the place of its next use in the walk.
pub(super) type Reason = (Class, u32);

/// The blocks of a run that may have to leave memory.
pub(super) struct Spill {
    /// Each task's place in the serial walk.
    ranks: Vec<u32>,
    /// Bytes that admitted tasks may hold; the rest of the memory keeps what is used again soonest.
    pub window: u64,
    /// How many admitted tasks are to read a block.
    pins: HashMap<BlockId, u32>,
    idle: BTreeSet<(Reason, BlockId)>,
    reasons: HashMap<BlockId, Reason>,
    pub idle_bytes: u64,
    /// Blocks being written, where, and their bytes in all: they take memory until they are.
    pub leaving: HashMap<BlockId, WorkerId>,
    pub leaving_bytes: u64,
    /// Blocks being read back, and where; nowhere yet if they have to leave first. Their memory is reserved.
    pub coming: HashMap<BlockId, Option<WorkerId>>,
    /// Blocks that are in the place for spilled blocks, be they in memory too.
    pub on_disk: HashSet<BlockId>,
    /// The inputs of the next task are pinned already, while it waits for room.
    pub claimed: bool,
}

impl Spill {
    pub fn new(program: &Program, order: &[TaskId], window: u64) -> Self {
        let mut ranks = vec![u32::MAX; program.tasks()];
        for (rank, task) in order.iter().enumerate() {
            ranks[program.position(*task)] = rank as u32;
        }
        Spill {
            ranks,
            window,
            pins: HashMap::new(),
            idle: BTreeSet::new(),
            reasons: HashMap::new(),
            idle_bytes: 0,
            leaving: HashMap::new(),
            leaving_bytes: 0,
            coming: HashMap::new(),
            on_disk: HashSet::new(),
            claimed: false,
        }
    }

    pub fn rank(&self, position: usize) -> u32 {
        self.ranks[position]
    }

    pub fn class(bytes: u64, keep: bool) -> Class {
        match keep {
            true => Class::Kept,
            false if bytes < SMALL => Class::Small,
            false => Class::Large,
        }
    }

    pub fn pins(&self, block: BlockId) -> u32 {
        self.pins.get(&block).copied().unwrap_or(0)
    }

    pub fn is_idle(&self, block: BlockId) -> bool {
        self.reasons.contains_key(&block)
    }

    /// Is a block on its way out or in?
    pub fn is_moving(&self) -> bool {
        !self.leaving.is_empty() || !self.coming.is_empty()
    }

    pub fn pin(&mut self, block: BlockId, bytes: u64) {
        *self.pins.entry(block).or_default() += 1;
        self.no_longer_idle(block, bytes);
    }

    /// One admitted reader less. True if there is none left.
    pub fn unpin(&mut self, block: BlockId) -> bool {
        let Some(pins) = self.pins.get_mut(&block) else { return true };
        *pins -= 1;
        if *pins > 0 {
            return false;
        }
        self.pins.remove(&block);
        true
    }

    pub fn settle(&mut self, block: BlockId, reason: Reason, bytes: u64) {
        if self.reasons.insert(block, reason).is_none() {
            self.idle.insert((reason, block));
            self.idle_bytes += bytes;
        }
    }

    pub fn no_longer_idle(&mut self, block: BlockId, bytes: u64) {
        if let Some(reason) = self.reasons.remove(&block) {
            self.idle.remove(&(reason, block));
            self.idle_bytes -= bytes;
        }
    }

    /// The idle block that goes first, if any may.
    pub fn victim(&self, stays: impl Fn(BlockId) -> bool) -> Option<BlockId> {
        let goes = self.idle.iter().rev().take_while(|((class, _), _)| *class > Class::Kept);
        goes.map(|(_, block)| *block).find(|block| !stays(*block))
    }

    /// Forgets who reads what: for a walk that begins anew.
    pub fn forget_readers(&mut self) {
        self.pins.clear();
        self.idle.clear();
        self.reasons.clear();
        self.idle_bytes = 0;
        self.claimed = false;
        self.coming.retain(|_, at| at.is_some());
    }

    /// Drops what was on its way at a worker that is gone; returns the blocks that were leaving it.
    pub fn forget_worker(&mut self, worker: WorkerId) -> HashSet<BlockId> {
        self.coming.retain(|_, at| *at != Some(worker));
        self.leaving.extract_if(|_, at| *at == worker).map(|(block, _)| block).collect()
    }
}
