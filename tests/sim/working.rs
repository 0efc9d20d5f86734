//! What simulated workers do: they obey the core, run tasks and tell of it.

use super::values::{begin, fold};
use super::worker::Coming;
use super::world::{Item, SECOND, World};
use dolmen::ids::{BlockId, TaskId, TaskList, WorkerId};
use dolmen::sched::{Action, Event, Orders, Prepared, Timing};
use std::collections::btree_map::Entry;

impl World {
    /// Does what the core says.
    pub(super) fn obey(&mut self, id: WorkerId, action: Action) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match action {
            Action::Assign { tasks, fetch, suspects, .. } => {
                worker.desk.suspect(&suspects);
                self.assign(id, &tasks, &fetch);
            }
            Action::Permit { tasks, .. } => {
                let orders = worker.desk.permit(&tasks);
                self.follow(id, orders);
            }
            Action::Free { blocks, .. } => {
                for block in blocks.iter() {
                    if let Some(memory) = self.memories.get_mut(&worker.memory) {
                        memory.place.remove(&block);
                    }
                    worker.desk.remove(block);
                    if let Some(coming) = worker.fetching.get_mut(&block) {
                        coming.stale = true;
                    }
                }
                self.turn(id);
            }
            Action::TakeBack { share, .. } => {
                let returned = worker.take_back(&self.program, share);
                self.give_back(id, returned);
            }
            Action::Copy { from, block, .. } => {
                if let Some(value) = worker.desk.get(block).copied() {
                    worker.desk.keep(block, value);
                    self.say(id, Event::Copied { worker: id, block });
                } else if let Some(coming) = worker.fetching.get_mut(&block) {
                    coming.copy = true;
                } else {
                    worker.fetching.insert(block, Coming { copy: true, ..Coming::default() });
                    self.begin_fetch(id, from, block);
                }
            }
            Action::Drop { .. } | Action::Spill { .. } => self.move_blocks(id, action),
            Action::Release { .. } => {
                assert!(worker.queue.is_empty() && worker.running.is_empty(), "{id:?} is let go with work");
                self.workers.remove(&id);
                self.hang_up(id);
            }
            Action::Completed | Action::Failed { .. } => unreachable!("not for a worker"),
        }
    }

    fn inputs(&self, task: TaskId) -> Vec<BlockId> {
        let mut inputs = Vec::new();
        self.program.inputs(task, &mut inputs);
        inputs
    }

    /// Each input of a task must be here, said to be somewhere, or in the making here. What was to be made here may
    /// have been given back meanwhile.
    fn assign(&mut self, id: WorkerId, tasks: &TaskList, fetch: &[(BlockId, WorkerId)]) {
        let is_ahead = |task: &TaskId| self.inputs(*task).iter().any(|input| !self.ran.contains_key(input));
        self.ahead += tasks.iter().filter(is_ahead).count() as u64;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let orders = worker.desk.assign(tasks, fetch);
        for task in orders.returned.iter() {
            worker.given_back.insert(task);
            let mut inputs = Vec::new();
            self.program.inputs(task, &mut inputs);
            let is_excused = inputs.iter().any(|input| worker.given_back.contains(input));
            assert!(is_excused, "{task:?} cannot be done at {id:?}, which has not given its inputs back");
        }
        self.follow(id, orders);
    }

    /// Does what a worker's desk says.
    pub(super) fn follow(&mut self, id: WorkerId, orders: Orders<u64>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.queue.extend(orders.begin);
        for (block, from) in orders.fetch {
            let Some(worker) = self.workers.get_mut(&id) else { return };
            if let Entry::Vacant(place) = worker.fetching.entry(block) {
                place.insert(Coming::default());
                self.begin_fetch(id, from, block);
            }
        }
        if !orders.ask.is_empty() {
            self.asked.entry(id).or_default().extend(orders.ask.iter());
            self.say(id, Event::Asks { worker: id, tasks: orders.ask });
        }
        if !orders.returned.is_empty() {
            self.give_back(id, orders.returned);
        }
        self.turn(id);
    }

    /// The worker begins what it has threads for.
    pub(super) fn turn(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.turn_due = false;
        let start = worker.startable(&self.program);
        start.into_iter().for_each(|task| self.start(id, task));
    }

    /// There was no room: the worker looks again later.
    fn look_again(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if !worker.turn_due {
            worker.turn_due = true;
            let delay = self.delay(self.latency) + 1;
            self.at(self.now + delay, Item::Turn(id));
        }
    }

    fn start(&mut self, id: WorkerId, task: TaskId) {
        if !self.has_room(id, self.bytes_to_start(id, task)) {
            return self.look_again(id);
        }
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let prepared = worker.take(task).expect("only queued tasks start");
        let value = self.value(&prepared);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.running.insert(task, value);
        let delay = self.delay(self.duration);
        self.at(self.now + delay, Item::Done(id, task));
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.seconds.push((task, delay as f64 / SECOND as f64));
        }
    }

    /// What a task makes of its inputs. Those that leave no block must be done all the same.
    fn value(&self, prepared: &Prepared<u64>) -> u64 {
        let task = prepared.task;
        let mut value = begin(task);
        for input in self.inputs(task) {
            if !self.program.stage(input.stage).leaves_blocks() {
                assert!(self.ran.contains_key(&input), "{task:?} begins before {input:?}");
                continue;
            }
            let at = prepared.ids.iter().position(|id| *id == input);
            let read = at.map(|at| prepared.inputs[at]).or(prepared.taken);
            value = fold(value, read.expect("inputs are here when a task starts"));
        }
        value
    }

    pub(super) fn task_done(&mut self, id: WorkerId, task: TaskId) {
        if self.killer == Some(task) {
            return self.killed_by_task(id);
        }
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let value = worker.running.remove(&task).expect("it was running");
        assert_eq!(Some(&value), self.reference.get(&task), "{task:?} at {id:?} made something else");
        *self.ran.entry(task).or_insert(0) += 1;
        worker.ran += 1;
        let leaves_block = self.program.stage(task.stage).leaves_blocks();
        let mut orders = Orders::default();
        worker.desk.made(task, leaves_block.then_some(value), &mut orders);
        worker.report.push(task);
        if !worker.report_due {
            worker.report_due = true;
            let wait = self.rng.range(0, self.batching);
            self.at(self.now + wait, Item::Report(id));
        }
        self.follow(id, orders);
    }

    pub(super) fn report(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.report_due = false;
        let tasks = std::mem::take(&mut worker.report);
        if tasks.is_empty() {
            return;
        }
        let timing = |(task, seconds): (TaskId, f64)| Timing { stage: task.stage, tasks: 1, seconds };
        let timings = std::mem::take(&mut worker.seconds).into_iter().map(timing).collect();
        let pulls = std::mem::take(&mut worker.pulls);
        let finished = Event::Finished { worker: id, tasks, timings };
        let twice = self.duplicates && self.rng.chance(10);
        let pulled = Event::Pulled { worker: id, pulls };
        let mut events = if twice { vec![finished.clone(), finished] } else { vec![finished] };
        events.push(pulled);
        self.send_core(id, events);
    }

    /// What was done before is told before.
    pub(super) fn say(&mut self, id: WorkerId, event: Event) {
        self.report(id);
        self.send_core(id, vec![event]);
    }

    pub(super) fn give_back(&mut self, id: WorkerId, tasks: TaskList) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.given_back.extend(tasks.iter());
        self.say(id, Event::Returned { worker: id, tasks });
    }
}
