//! A run goes on after the loss of its scheduler: what its workers still hold is taken up.
//!
//! As after a loss of everything but that: asking `inputs` backwards from the results to blocks that are held tells
//! what is still to be done. All else counts as done. Held blocks that nobody wants any more are freed.

use super::Core;
use crate::ids::{BlockId, MemoryId, TaskId, WorkerId};
use crate::sched::events::Holding;
use crate::sched::table::{NOWHERE, TaskState};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Who has a block.
#[derive(Default)]
struct Places {
    /// In memory, and on disk.
    holders: Vec<WorkerId>,
    files: Vec<WorkerId>,
}

impl Places {
    fn all(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.holders.iter().chain(&self.files).copied()
    }

    /// Only the workers of one memory may have written the block: it stays with one that holds it too, if there is one.
    /// The others, which are to forget it.
    fn keep_one_file(&mut self) -> Vec<WorkerId> {
        let near = self.files.iter().position(|worker| self.holders.contains(worker));
        let Some(kept) = self.files.get(near.unwrap_or(0)).copied() else { return Vec::new() };
        let others: Vec<WorkerId> = self.files.iter().copied().filter(|worker| *worker != kept).collect();
        self.files = vec![kept];
        self.holders.retain(|worker| !others.contains(worker));
        others
    }
}

/// What is held of a run.
#[derive(Default)]
struct Held {
    blocks: BTreeMap<BlockId, Places>,
    /// Tasks that leave no blocks and have been done.
    done: HashSet<TaskId>,
}

impl Held {
    fn has(&self, task: TaskId) -> bool {
        self.blocks.contains_key(&task) || self.done.contains(&task)
    }
}

impl Core {
    /// Does this core know of no task yet that has been begun?
    pub(super) fn is_fresh(&self) -> bool {
        self.counts.admitted() == 0 && self.counts.unfinished() == self.tasks.table.len()
    }

    /// Takes up what workers have told that they hold. Nothing has been admitted yet. O(tasks + edges).
    pub(super) fn take_up(&mut self) {
        let holdings = std::mem::take(&mut self.holdings);
        let mut held = self.held(holdings);
        let mut wanted = self.mark(&held);
        while self.let_excess_go(&mut held, &wanted) {
            wanted = self.mark(&held);
        }
        for task in wanted {
            self.take_up_one(task, &held);
        }
        for (block, places) in held.blocks {
            if !self.tasks.is_there(block) {
                self.let_places_go(block, Some(places));
            }
        }
        for at in 0..self.tasks.table.len() {
            if self.tasks.table.state(at).is_finished() {
                self.counts.take_up(self.tasks.program.at_position(at).stage);
            }
        }
        self.count_anew();
    }

    /// What is held, by block. In a run that does not spill, blocks that have been written are of no use.
    fn held(&mut self, holdings: BTreeMap<WorkerId, Holding>) -> Held {
        let mut held = Held::default();
        for (worker, holding) in holdings {
            if self.fleet.get(worker).is_none() {
                continue;
            }
            let leaves_blocks = |block: &BlockId| self.tasks.leaves_blocks(*block);
            for block in holding.in_memory.iter().filter(leaves_blocks) {
                held.blocks.entry(block).or_default().holders.push(worker);
            }
            for block in holding.written.iter().filter(leaves_blocks) {
                held.blocks.entry(block).or_default().files.push(worker);
            }
            held.done.extend(holding.done.iter().filter(|task| !leaves_blocks(task)));
        }
        let spills = self.ahead.spills();
        let mut unread = Vec::new();
        for (block, places) in &mut held.blocks {
            let others = if spills { places.keep_one_file() } else { std::mem::take(&mut places.files) };
            places.holders.retain(|worker| !others.contains(worker));
            others.into_iter().for_each(|worker| self.outboxes.free(worker, *block));
            if places.holders.is_empty() && (places.files.is_empty() || self.must_stay(*block)) {
                unread.push(*block);
            }
        }
        unread.into_iter().for_each(|block| self.let_places_go(block, held.blocks.remove(&block)));
        held
    }

    /// Tasks that are still to be done are idle from now on, all others are not. Returns those that need not be done
    /// but whose results somebody may want.
    fn mark(&mut self, held: &Held) -> Vec<TaskId> {
        for at in 0..self.tasks.table.len() {
            self.tasks.table.set(at, TaskState::Released);
        }
        let mut wanted = Vec::new();
        let mut seen = HashSet::new();
        let mut inputs = Vec::new();
        for at in 0..self.tasks.table.len() {
            let root = self.tasks.program.at_position(at);
            let mut open = if self.is_end(root) { vec![root] } else { Vec::new() };
            while let Some(task) = open.pop() {
                if held.has(task) {
                    if seen.insert(task) {
                        wanted.push(task);
                    }
                } else if self.tasks.state(task) == TaskState::Released {
                    self.tasks.set(task, TaskState::Idle);
                    self.tasks.program.inputs(task, &mut inputs);
                    open.append(&mut inputs);
                }
            }
        }
        wanted
    }

    /// Is it a result, or made for its own sake and for nobody else? What others of its stage read is done if they are.
    fn is_end(&mut self, task: TaskId) -> bool {
        let Core { tasks, consumers, .. } = self;
        if !tasks.is_root(task) || tasks.program.keeps(task) {
            return tasks.is_root(task);
        }
        tasks.program.consumers(task, consumers);
        consumers.is_empty()
    }

    /// Blocks for which a ledger has no room are not taken up: those of later stages are more dear. True if there are
    /// any.
    fn let_excess_go(&mut self, held: &mut Held, wanted: &[TaskId]) -> bool {
        let mut blocks: Vec<BlockId> = wanted.to_vec();
        blocks.retain(|task| held.blocks.contains_key(task) && self.is_to_stay(*task));
        blocks.sort_unstable();
        let mut bytes_at: BTreeMap<MemoryId, u64> = BTreeMap::new();
        let mut bytes_of_run = 0_u64;
        let mut some_go = false;
        for block in blocks.into_iter().rev() {
            let size = self.tasks.size(block);
            let Some(places) = held.blocks.get(&block) else { continue };
            let memories: Vec<MemoryId> =
                places.holders.iter().filter_map(|at| self.fleet.memory(*at)).collect();
            let fits_there = |memory: &MemoryId| {
                let taken = bytes_at.get(memory).copied().unwrap_or(0);
                self.memories
                    .ledger(*memory)
                    .is_some_and(|ledger| taken.saturating_add(size) <= ledger.limit())
            };
            let fits_the_run = self.ahead.spills() || bytes_of_run.saturating_add(size) <= self.ahead.limit();
            if fits_the_run && memories.iter().all(fits_there) {
                let distinct: HashSet<MemoryId> = memories.into_iter().collect();
                distinct.into_iter().for_each(|memory| *bytes_at.entry(memory).or_default() += size);
                bytes_of_run += size;
                continue;
            }
            some_go = true;
            self.let_places_go(block, held.blocks.remove(&block));
        }
        some_go
    }

    fn let_places_go(&mut self, block: BlockId, places: Option<Places>) {
        let told: BTreeSet<WorkerId> = places.iter().flat_map(Places::all).collect();
        told.into_iter().for_each(|worker| self.outboxes.free(worker, block));
    }

    /// Tasks that are still to be done and read what `task` makes.
    fn open_consumers(&mut self, task: TaskId) -> u32 {
        let Core { tasks, consumers, .. } = self;
        tasks.program.consumers(task, consumers);
        let is_open = |consumer: &&TaskId| tasks.state(**consumer) == TaskState::Idle;
        consumers.iter().filter(is_open).count() as u32
    }

    /// Is its block read by somebody, or a result?
    fn is_to_stay(&mut self, task: TaskId) -> bool {
        self.tasks.program.keeps(task) || self.open_consumers(task) > 0
    }

    /// `task` has been done before: is its result wanted, and where is it?
    fn take_up_one(&mut self, task: TaskId, held: &Held) {
        if !self.is_to_stay(task) {
            return;
        }
        let open = self.open_consumers(task);
        let state = match held.blocks.get(&task) {
            None => TaskState::Done(NOWHERE),
            Some(places) => {
                if let Some(memory) = places.files.first().and_then(|worker| self.fleet.memory(*worker)) {
                    self.transit.add_file(task, memory);
                }
                places.holders.iter().skip(1).for_each(|worker| self.holders.add(task, *worker));
                places.holders.first().map_or(TaskState::Spilled, |holder| TaskState::Done(*holder))
            }
        };
        self.tasks.set(task, state);
        let at = self.tasks.program.position(task);
        self.tasks.table.set_count(at, open);
    }
}

#[cfg(test)]
#[path = "taking_up_tests.rs"]
mod tests;
