//! Which blocks leave memory when it is short: those whose next use is farthest (Belady 1966), which the program tells.
//!
//! A block is *pinned* while an admitted task is to read it, and *idle* when it lies in memory and none is. Idle
//! blocks may be evicted: written to the place for spilled blocks, or just dropped where it can be read or made again
//! as cheaply. A task is admitted only with room for its output and for those of its inputs that have to come back,
//! so whatever is admitted can be finished with what is reserved, and when it is, everything else can go: there is
//! always a next task.

use crate::graph::Program;
use crate::ids::{BlockId, TaskId};
use std::collections::{BTreeSet, HashMap};

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

/// How readily a block goes. Blocks with the greatest rank go first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct EvictionRank {
    /// By its size and use.
    pub class: Class,
    /// The place of its next use in the walk.
    pub next_use: u32,
}

/// Which blocks of a run may leave memory, in the order in which they do.
///
/// Invariant: the idle bytes are those of the idle blocks, each of which has one rank.
pub(super) struct Eviction {
    /// Each task's place in the serial walk.
    ranks: Vec<u32>,
    /// Bytes that admitted tasks may hold; the rest of the memory keeps what is used again soonest.
    window: u64,
    /// How many admitted tasks are to read a block.
    pins: HashMap<BlockId, u32>,
    idle: BTreeSet<(EvictionRank, BlockId)>,
    reasons: HashMap<BlockId, EvictionRank>,
    idle_bytes: u64,
    /// The inputs of the next task are pinned already, while it waits for room.
    claimed: bool,
}

impl Eviction {
    pub fn new(program: &Program, order: &[TaskId], window: u64) -> Self {
        let mut ranks = vec![u32::MAX; program.tasks()];
        for (rank, task) in order.iter().enumerate() {
            ranks[program.position(*task)] = rank as u32;
        }
        Eviction {
            ranks,
            window,
            pins: HashMap::new(),
            idle: BTreeSet::new(),
            reasons: HashMap::new(),
            idle_bytes: 0,
            claimed: false,
        }
    }

    /// Bytes that admitted tasks may hold.
    pub fn window(&self) -> u64 {
        self.window
    }

    pub fn idle_bytes(&self) -> u64 {
        self.idle_bytes
    }

    /// Are the inputs of the next task pinned already?
    pub fn has_claimed(&self) -> bool {
        self.claimed
    }

    /// From now on the inputs of the next task are pinned.
    pub fn claim(&mut self) {
        self.claimed = true;
    }

    /// The next task is admitted: what is pinned for it is pinned for an admitted task.
    pub fn end_claim(&mut self) {
        self.claimed = false;
    }

    /// The place of a task in the serial walk.
    pub fn rank(&self, position: usize) -> u32 {
        self.ranks[position]
    }

    /// By its size and use.a block of so many bytes goes.
    pub fn class(bytes: u64, keep: bool) -> Class {
        match keep {
            true => Class::Kept,
            false if bytes < SMALL => Class::Small,
            false => Class::Large,
        }
    }

    /// Admitted tasks that are to read `block`.
    pub fn pins(&self, block: BlockId) -> u32 {
        self.pins.get(&block).copied().unwrap_or(0)
    }

    pub fn is_idle(&self, block: BlockId) -> bool {
        self.reasons.contains_key(&block)
    }

    /// One admitted reader more.
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

    /// No admitted task reads the block: it may go.
    pub fn settle(&mut self, block: BlockId, reason: EvictionRank, bytes: u64) {
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
        let goes = self.idle.iter().rev().take_while(|(reason, _)| reason.class > Class::Kept);
        goes.map(|(_, block)| *block).find(|block| !stays(*block))
    }

    /// Forgets who reads what: for a walk that begins anew.
    pub fn forget_readers(&mut self) {
        self.pins.clear();
        self.idle.clear();
        self.reasons.clear();
        self.idle_bytes = 0;
        self.claimed = false;
    }
}
