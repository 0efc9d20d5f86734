//! A worker's side of a run: its blocks, and which of its tasks can begin, which wait, and for what. Pure: a block is
//! whatever stands for one.
//!
//! An input is here, on its way here, or to be made here by a task that was given before. A task that lacks one and can
//! have it in none of these ways is given back, and with it all that wait for what it makes. Not before all that is on
//! its way for it has come, or has failed to: as long as this worker asks for a block, the scheduler is to know that.

use super::task_map::{TaskBits, TaskMap, TaskSet};
use crate::graph::Program;
use crate::ids::{BlockId, TaskId, TaskList, WorkerId};
use std::sync::Arc;

/// A task with its inputs.
pub struct Prepared<B> {
    pub task: TaskId,
    /// The blocks that it reads, but for the one that it takes over.
    pub ids: Vec<BlockId>,
    pub inputs: Vec<B>,
    /// The block of the step before, which is not on the desk any more.
    pub taken: Option<B>,
}

/// What follows from something that the desk is told.
pub struct Orders<B> {
    /// Tasks that lack nothing.
    pub begin: Vec<Prepared<B>>,
    /// Tasks that lack nothing but the scheduler's word.
    pub ask: TaskList,
    /// Blocks to be got, and from whom.
    pub fetch: Vec<(BlockId, WorkerId)>,
    /// Tasks that cannot be done here.
    pub returned: TaskList,
}

impl<B> Default for Orders<B> {
    fn default() -> Self {
        Orders {
            begin: Vec::new(),
            ask: TaskList::default(),
            fetch: Vec::new(),
            returned: TaskList::default(),
        }
    }
}

/// Is a block on its way here from elsewhere?
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Coming {
    #[default]
    No,
    /// The scheduler knows that.
    Yes,
    /// It has been made here meanwhile, and to the scheduler it is not on its way any more.
    Overtaken,
}

/// A block that tasks wait for, or that is on its way.
#[derive(Default)]
struct Awaited {
    by: Vec<TaskId>,
    coming: Coming,
}

/// Where an input is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InputPlace {
    Here,
    At(WorkerId),
    /// A task in hand makes it.
    InTheMaking,
    Nowhere,
}

/// What one worker has of one run.
pub struct Desk<B> {
    program: Arc<Program>,
    blocks: TaskMap<B>,
    /// Tasks that are neither done nor given back, of stages that others read.
    in_hand: TaskSet,
    /// Tasks that lack something, and how many blocks.
    waiting: TaskMap<usize>,
    /// Those of them that cannot be done here. They are given back when nothing is on its way for them any more.
    going_back: TaskSet,
    awaited: TaskMap<Awaited>,
    /// Tasks that are not begun before the scheduler has been asked, and those of them that it has been asked about.
    suspects: TaskSet,
    held: TaskMap<Prepared<B>>,
    /// Fetched blocks that the scheduler does not know to be here yet, each with the tasks here that need it.
    /// It learns of them when the first of these is done; those that are given back instead take them along.
    unknown: TaskMap<usize>,
    /// Tasks done here that leave no blocks.
    done: TaskBits,
    /// Room for the inputs of one task, kept from call to call.
    inputs: Vec<BlockId>,
}

impl<B: Clone> Desk<B> {
    pub fn new(program: Arc<Program>) -> Self {
        Desk {
            program,
            blocks: TaskMap::default(),
            in_hand: TaskSet::default(),
            waiting: TaskMap::default(),
            going_back: TaskSet::default(),
            awaited: TaskMap::default(),
            suspects: TaskSet::default(),
            held: TaskMap::default(),
            unknown: TaskMap::default(),
            done: TaskBits::default(),
            inputs: Vec::new(),
        }
    }

    pub fn get(&self, block: BlockId) -> Option<&B> {
        self.blocks.get(&block)
    }

    /// The blocks that are here, in no order.
    pub fn blocks(&self) -> impl Iterator<Item = BlockId> + '_ {
        self.blocks.keys().copied()
    }

    /// A block is here that the scheduler knows of, or will.
    pub fn keep(&mut self, block: BlockId, found: B) {
        self.blocks.insert(block, found);
        if !self.unknown.is_empty() {
            self.unknown.remove(&block);
        }
    }

    /// A block goes.
    pub fn remove(&mut self, block: BlockId) -> Option<B> {
        self.blocks.remove(&block)
    }

    /// Is this block on its way here, so that others may wait for it? Not if it has been made here meanwhile: when that
    /// is gone they may be told to get it here once more, while what is on its way comes from them.
    pub fn is_coming(&self, block: BlockId) -> bool {
        self.coming(block) == Coming::Yes
    }

    fn coming(&self, block: BlockId) -> Coming {
        self.awaited.get(&block).map_or(Coming::No, |awaited| awaited.coming)
    }

    /// These, which come next, are not begun before the scheduler has been asked.
    pub fn suspect(&mut self, tasks: &TaskList) {
        self.suspects.extend(tasks.iter());
    }

    /// The scheduler has been asked, and permits these. What has been given back meanwhile stays that.
    pub fn permit(&mut self, tasks: &TaskList) -> Orders<B> {
        let permitted = tasks.iter().filter_map(|task| self.held.remove(&task));
        Orders { begin: permitted.collect(), ..Orders::default() }
    }

    /// Tasks that the scheduler has been asked about, in no order.
    pub fn held(&self) -> impl Iterator<Item = &Prepared<B>> + '_ {
        self.held.values()
    }

    /// Takes tasks in, each before those that read what it makes. `fetch` says where inputs lie that are not here.
    /// O(inputs).
    pub fn assign(&mut self, tasks: &TaskList, fetch: &[(BlockId, WorkerId)]) -> Orders<B> {
        let from: TaskMap<WorkerId> = fetch.iter().copied().collect();
        let mut orders = Orders::default();
        for task in tasks.iter() {
            self.take_in(task, &from, &mut orders);
        }
        orders
    }

    fn take_in(&mut self, task: TaskId, from: &TaskMap<WorkerId>, orders: &mut Orders<B>) {
        let mut inputs = std::mem::take(&mut self.inputs);
        self.program.inputs(task, &mut inputs);
        self.take_in_with(task, &inputs, from, orders);
        self.inputs = inputs;
    }

    fn take_in_with(
        &mut self,
        task: TaskId,
        inputs: &[BlockId],
        from: &TaskMap<WorkerId>,
        orders: &mut Orders<B>,
    ) {
        for input in inputs {
            // To the scheduler it reads what is on its way or here already, whether or not it says so again.
            let is_fetched = || from.contains_key(input) && !self.blocks.contains_key(input);
            if self.unknown.contains_key(input) || is_fetched() {
                *self.unknown.entry(*input).or_default() += 1;
            }
        }
        let places = inputs.iter().map(|input| (*input, self.place(*input, from)));
        let missing: Vec<(BlockId, InputPlace)> =
            places.filter(|(_, place)| *place != InputPlace::Here).collect();
        if missing.iter().any(|(_, place)| *place == InputPlace::Nowhere) {
            self.suspects.remove(&task);
            self.forget_reader(task);
            return orders.returned.push(task);
        }
        if self.program.users(task.stage).next().is_some() {
            self.in_hand.insert(task);
        }
        if missing.is_empty() {
            return self.begin(task, inputs, orders);
        }
        self.waiting.insert(task, missing.len());
        for (block, place) in missing {
            let awaited = self.awaited.entry(block).or_default();
            awaited.by.push(task);
            if let InputPlace::At(worker) = place
                && awaited.coming == Coming::No
            {
                awaited.coming = Coming::Yes;
                orders.fetch.push((block, worker));
            }
        }
    }

    /// A task without a block that is not in hand is done, here or elsewhere: it is given back only if that is asked
    /// for, and then with all that wait for it.
    fn place(&self, input: BlockId, from: &TaskMap<WorkerId>) -> InputPlace {
        if self.blocks.contains_key(&input) {
            return InputPlace::Here;
        }
        if let Some(worker) = from.get(&input) {
            return InputPlace::At(*worker);
        }
        match self.in_hand.contains(&input) {
            true => InputPlace::InTheMaking,
            false if self.program.stage(input.stage).leaves_blocks() => InputPlace::Nowhere,
            false => InputPlace::Here,
        }
    }

    /// All is here for `task` that was missing. What has been freed meanwhile, after a loss, is not.
    fn begin(&mut self, task: TaskId, inputs: &[BlockId], orders: &mut Orders<B>) {
        let leaves_blocks = |id: &BlockId| self.program.stage(id.stage).leaves_blocks();
        let mut ids: Vec<BlockId> = inputs.iter().copied().filter(leaves_blocks).collect();
        if ids.iter().any(|id| !self.blocks.contains_key(id)) {
            return self.give_back(task, &mut orders.returned);
        }
        let mut taken = None;
        if self.program.takes_over(task) && self.program.stage(task.stage).leaves_blocks() {
            let previous = TaskId::new(task.stage, task.index - 1);
            ids.retain(|id| *id != previous);
            taken = self.blocks.remove(&previous);
        }
        let inputs = ids.iter().map(|id| self.blocks[id].clone()).collect();
        let prepared = Prepared { task, ids, inputs, taken };
        if self.suspects.is_empty() || !self.suspects.remove(&task) {
            return orders.begin.push(prepared);
        }
        orders.ask.push(task);
        self.held.insert(task, prepared);
    }

    /// `task` is done, and this is its block if it leaves one.
    pub fn made(&mut self, task: TaskId, block: Option<B>, orders: &mut Orders<B>) {
        match block {
            Some(block) => self.keep(task, block),
            None => self.done.insert(task),
        }
        if !self.in_hand.is_empty() {
            self.in_hand.remove(&task);
        }
        if !self.unknown.is_empty() {
            let mut inputs = Vec::new();
            self.program.inputs(task, &mut inputs);
            inputs.iter().for_each(|input| {
                self.unknown.remove(input);
            });
        }
        if let Some(awaited) = self.awaited.get_mut(&task)
            && awaited.coming == Coming::Yes
        {
            awaited.coming = Coming::Overtaken;
        }
        self.is_here(task, orders);
    }

    /// A block has come that was asked for.
    pub fn arrived(&mut self, block: BlockId, found: B) -> Orders<B> {
        let mut orders = Orders::default();
        // Those it was for may have been given back meanwhile.
        if self.unknown.contains_key(&block) {
            self.blocks.entry(block).or_insert(found);
        }
        if let Some(awaited) = self.awaited.get_mut(&block) {
            awaited.coming = Coming::No;
        }
        self.is_here(block, &mut orders);
        self.give_back_going(&mut orders.returned);
        orders
    }

    /// Those that lacked nothing else can begin.
    fn is_here(&mut self, block: BlockId, orders: &mut Orders<B>) {
        // Most often nobody waits for anything.
        if self.awaited.is_empty() {
            return;
        }
        let Some(awaited) = self.awaited.get_mut(&block) else { return };
        let by = std::mem::take(&mut awaited.by);
        if awaited.coming == Coming::No {
            self.awaited.remove(&block);
        }
        for task in by {
            let missing = self.waiting.get_mut(&task).expect("it waits");
            *missing -= 1;
            if *missing == 0 {
                self.waiting.remove(&task);
                let mut inputs = std::mem::take(&mut self.inputs);
                self.program.inputs(task, &mut inputs);
                self.begin(task, &inputs, orders);
                self.inputs = inputs;
            }
        }
    }

    /// A block that was asked for cannot be had. The tasks that are given back for it.
    pub fn missed(&mut self, block: BlockId) -> TaskList {
        let mut returned = TaskList::default();
        let by = self.awaited.remove(&block).map_or_else(Vec::new, |awaited| awaited.by);
        self.going_back.extend(by);
        self.give_back_going(&mut returned);
        returned
    }

    /// Gives back what cannot be done here and for which nothing is on its way any more.
    fn give_back_going(&mut self, returned: &mut TaskList) {
        if self.going_back.is_empty() {
            return;
        }
        let mut tasks: Vec<TaskId> =
            self.going_back.iter().copied().filter(|task| !self.waits_for_elsewhere(*task)).collect();
        tasks.sort_unstable();
        for task in tasks {
            if self.stops_waiting(task) {
                self.give_back(task, returned);
            }
        }
    }

    /// Is something on its way here for `task`? O(inputs).
    fn waits_for_elsewhere(&self, task: TaskId) -> bool {
        let mut inputs = Vec::new();
        self.program.inputs(task, &mut inputs);
        inputs.into_iter().any(|input| match self.coming(input) {
            Coming::No => false,
            Coming::Yes => true,
            Coming::Overtaken => !self.blocks.contains_key(&input),
        })
    }

    /// Can `task`, which lacks nothing, be given back? Not if one that would come with it waits for a block on its way:
    /// the room for that is taken. O(tasks that wait for it).
    pub fn may_give_back(&self, task: TaskId) -> bool {
        let mut seen = TaskSet::default();
        let mut open = vec![task];
        while let Some(task) = open.pop() {
            for waits in self.awaited.get(&task).into_iter().flat_map(|awaited| &awaited.by) {
                if self.waits_for_elsewhere(*waits) {
                    return false;
                }
                if seen.insert(*waits) {
                    open.push(*waits);
                }
            }
        }
        true
    }

    /// `prepared` has not been begun and is given back, with all that wait for it.
    pub fn unprepare(&mut self, prepared: Prepared<B>, returned: &mut TaskList) {
        let Prepared { task, taken, .. } = prepared;
        if let Some(taken) = taken {
            self.blocks.insert(TaskId::new(task.stage, task.index - 1), taken);
        }
        self.give_back(task, returned);
    }

    /// Gives back what the scheduler has been asked about and has not permitted.
    pub fn give_back_held(&mut self, returned: &mut TaskList) {
        let mut held: Vec<TaskId> = self.held.keys().copied().collect();
        held.sort_unstable();
        for task in held.into_iter().rev() {
            if self.may_give_back(task)
                && let Some(prepared) = self.held.remove(&task)
            {
                self.unprepare(prepared, returned);
            }
        }
    }

    /// Gives back all that waits, but for tasks that wait for a block on its way, and those that they wait for.
    /// O(n log n).
    pub fn give_back_waiting(&mut self, returned: &mut TaskList) {
        // Whatever reads a task has a later name than that.
        let mut tasks: Vec<TaskId> = self.waiting.keys().copied().collect();
        tasks.sort_unstable();
        for task in tasks.into_iter().rev() {
            let stays = self.awaited.get(&task).is_some_and(|awaited| !awaited.by.is_empty());
            if !stays && !self.waits_for_elsewhere(task) && self.stops_waiting(task) {
                self.give_back(task, returned);
            }
        }
    }

    /// The scheduler is lost: what has not begun, as `unbegun`, is forgotten, and what is on its way here. Only what
    /// threads have in hand will still be made.
    pub fn settle(&mut self, unbegun: impl IntoIterator<Item = Prepared<B>>) {
        self.in_hand.clear();
        self.waiting.clear();
        self.going_back.clear();
        self.awaited.clear();
        self.unknown.clear();
        self.suspects.clear();
        let held = std::mem::take(&mut self.held).into_values();
        for Prepared { task, taken, .. } in unbegun.into_iter().chain(held) {
            if let Some(taken) = taken {
                self.blocks.insert(TaskId::new(task.stage, task.index - 1), taken);
            }
        }
    }

    /// All blocks that are here, in order.
    pub fn into_blocks(self) -> Vec<(BlockId, B)> {
        let mut blocks: Vec<(BlockId, B)> = self.blocks.into_iter().collect();
        blocks.sort_unstable_by_key(|(id, _)| *id);
        blocks
    }

    /// The tasks done here that leave no blocks.
    pub fn done(&self) -> TaskList {
        self.done.list()
    }

    /// A desk of the same run, at another scheduler, begins with these blocks and these tasks that are done.
    pub fn take_up(&mut self, blocks: impl IntoIterator<Item = (BlockId, B)>, done: &TaskList) {
        self.blocks.extend(blocks);
        done.iter().for_each(|task| self.done.insert(task));
    }

    /// `task`, which waits for nothing, is not done here, nor is what waits for it. What waits for something from
    /// elsewhere as well goes back when that is over.
    fn give_back(&mut self, task: TaskId, returned: &mut TaskList) {
        let mut open = vec![task];
        while let Some(task) = open.pop() {
            self.in_hand.remove(&task);
            self.suspects.remove(&task);
            self.forget_reader(task);
            returned.push(task);
            // They will have it from elsewhere.
            if self.coming(task) != Coming::No {
                continue;
            }
            for waits in self.awaited.remove(&task).map_or_else(Vec::new, |awaited| awaited.by) {
                if self.waits_for_elsewhere(waits) {
                    self.going_back.insert(waits);
                } else if self.stops_waiting(waits) {
                    open.push(waits);
                }
            }
        }
    }

    /// True if it was waiting.
    fn stops_waiting(&mut self, task: TaskId) -> bool {
        if self.waiting.remove(&task).is_none() {
            return false;
        }
        self.going_back.remove(&task);
        let mut inputs = Vec::new();
        self.program.inputs(task, &mut inputs);
        for input in inputs {
            let Some(awaited) = self.awaited.get_mut(&input) else { continue };
            awaited.by.retain(|other| *other != task);
            if awaited.by.is_empty() && awaited.coming == Coming::No {
                self.awaited.remove(&input);
            }
        }
        true
    }

    /// A task does not read here what was fetched for it: that goes if it was for this task alone.
    fn forget_reader(&mut self, task: TaskId) {
        if self.unknown.is_empty() {
            return;
        }
        let mut inputs = Vec::new();
        self.program.inputs(task, &mut inputs);
        for input in inputs {
            let Some(readers) = self.unknown.get_mut(&input) else { continue };
            *readers -= 1;
            if *readers == 0 {
                self.unknown.remove(&input);
                self.blocks.remove(&input);
            }
        }
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
