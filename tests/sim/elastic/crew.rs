//! What simulated workers do in the elastic world: they obey the core, and their tasks take the time that they take.

use super::world::{Item, World};
use crate::sim::worker::Coming;
use cluster::provider::End;
use dolmen::ids::{BlockId, TaskId, TaskList, WorkerId};
use dolmen::sched::{Action, Event, Orders, Timing};
use std::collections::btree_map::Entry;

/// Seconds that a block takes from one worker to another.
const FETCH: f64 = 0.01;

impl World {
    pub(super) fn obey(&mut self, action: Action) {
        match action {
            Action::Assign { worker, tasks, fetch, suspects } => {
                let Some(at) = self.crew.get_mut(&worker) else { return };
                at.desk.suspect(&suspects);
                let orders = at.desk.assign(&tasks, &fetch);
                self.follow(worker, orders);
            }
            Action::Permit { worker, tasks } => {
                let Some(at) = self.crew.get_mut(&worker) else { return };
                let orders = at.desk.permit(&tasks);
                self.follow(worker, orders);
            }
            Action::Free { worker, blocks } | Action::Drop { worker, blocks } => {
                let Some(at) = self.crew.get_mut(&worker) else { return };
                for block in blocks.iter() {
                    at.desk.remove(block);
                    if let Some(coming) = at.fetching.get_mut(&block) {
                        coming.stale = true;
                    }
                }
            }
            Action::TakeBack { worker, share } => {
                let Some(run) = &self.run else { return };
                let Some(at) = self.crew.get_mut(&worker) else { return };
                let tasks = at.take_back(&run.program, share);
                self.told.push(Event::Returned { worker, tasks });
            }
            Action::Copy { from, to, block } => self.copy(from, to, block),
            Action::Release { worker } => self.gone(worker.0 as usize, End::Left),
            Action::Completed => self.is_done = true,
            // Three workers in a row were taken away with the same task.
            Action::Failed(_) => self.has_failed = true,
            Action::Spill { .. } => panic!("{action:?}"),
        }
    }

    fn copy(&mut self, from: WorkerId, to: WorkerId, block: BlockId) {
        let Some(at) = self.crew.get_mut(&to) else { return };
        if at.desk.get(block).is_some() {
            at.desk.keep(block, 0);
            return self.told.push(Event::Copied { worker: to, block });
        }
        match at.fetching.entry(block) {
            Entry::Occupied(mut coming) => coming.get_mut().copy = true,
            Entry::Vacant(place) => {
                place.insert(Coming { copy: true, ..Coming::default() });
                self.fetch(to, from, block);
            }
        }
    }

    fn fetch(&mut self, to: WorkerId, from: WorkerId, block: BlockId) {
        let run = self.run_number;
        self.after(FETCH, Item::Fetched { run, to, from, block });
    }

    /// Does what a worker's desk says.
    fn follow(&mut self, id: WorkerId, orders: Orders<u64>) {
        let Some(at) = self.crew.get_mut(&id) else { return };
        at.queue.extend(orders.begin);
        for (block, from) in orders.fetch {
            let Some(at) = self.crew.get_mut(&id) else { return };
            if let Entry::Vacant(place) = at.fetching.entry(block) {
                place.insert(Coming::default());
                self.fetch(id, from, block);
            }
        }
        if !orders.ask.is_empty() {
            self.told.push(Event::Asks { worker: id, tasks: orders.ask });
        }
        if !orders.returned.is_empty() {
            self.told.push(Event::Returned { worker: id, tasks: orders.returned });
        }
        self.begin_tasks(id);
    }

    /// The worker begins what it has threads for.
    fn begin_tasks(&mut self, id: WorkerId) {
        let Some(run) = &self.run else { return };
        let program = run.program.clone();
        let Some(at) = self.crew.get_mut(&id) else { return };
        for task in at.startable(&program) {
            let Some(at) = self.crew.get_mut(&id) else { return };
            at.take(task).expect("only queued tasks start");
            at.running.insert(task, 0);
            let (run, seconds) = (self.run_number, self.seconds(task));
            self.after(seconds, Item::Done { run, worker: id, task, seconds });
        }
    }

    pub(super) fn task_done(&mut self, id: WorkerId, task: TaskId, seconds: f64) {
        let Some(run) = &self.run else { return };
        let leaves_block = run.program.stage(task.stage).leaves_blocks();
        let Some(at) = self.crew.get_mut(&id) else { return };
        at.running.remove(&task).expect("it was running");
        let mut orders = Orders::default();
        at.desk.made(task, leaves_block.then_some(0), &mut orders);
        let mut tasks = TaskList::default();
        tasks.push(task);
        let timings = vec![Timing { stage: task.stage, tasks: 1, seconds }];
        self.told.push(Event::Finished { worker: id, tasks, timings });
        self.note_done(task);
        self.follow(id, orders);
    }

    pub(super) fn fetched(&mut self, to: WorkerId, from: WorkerId, block: BlockId) {
        let giver = self.crew.get(&from);
        let has = giver.is_some_and(|giver| giver.desk.get(block).is_some());
        let will_have = giver.is_some_and(|giver| giver.fetching.contains_key(&block));
        if !has && will_have {
            return self.fetch(to, from, block);
        }
        let Some(at) = self.crew.get_mut(&to) else { return };
        let coming = at.fetching.remove(&block).unwrap_or_default();
        let fails = !has || (coming.copy && coming.stale);
        let orders = match fails {
            true => Orders { returned: at.desk.missed(block), ..Orders::default() },
            false => {
                if coming.copy {
                    at.desk.keep(block, 0);
                }
                at.desk.arrived(block, 0)
            }
        };
        if coming.copy {
            self.told.push(match fails {
                true => Event::CopyFailed { worker: to, block },
                false => Event::Copied { worker: to, block },
            });
        }
        self.follow(to, orders);
    }
}
