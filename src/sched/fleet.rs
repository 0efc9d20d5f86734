//! The workers as the scheduler sees them: what each has to do, and which has the least.

use super::estimates::Estimates;
use super::lane::Lane;
use super::load::Load;
use super::ready::{Urgent, UrgentQueue};
use crate::ids::{MemoryId, StageId, WorkerId};
use std::collections::{BTreeSet, HashSet};

/// Work is handed out so far ahead: enough to hide a round trip, little enough to be wrong about.
pub(super) const AHEAD_SECONDS: f64 = 0.01;
/// Tasks in a worker's hands, however short they are.
const MOST_ASSIGNED: u32 = 4096;
/// I/O tasks in a worker's hands; how many of them it runs at once is its own choice.
const MOST_IO: u32 = 32;
/// So many tasks for each thread that wait for a busy worker are more than chance.
const FAR_BEHIND: u32 = 4;
/// Names of workers are given one after the other. A greater one was not given by us, and would cost its size in
/// memory.
const MOST_NAMES: usize = 1 << 20;
/// Threads of one process. More are an error of whoever counted them.
pub const MOST_THREADS: u32 = 1 << 12;
/// So many of the least loaded workers are looked at for one with room: keeps the choice constant-time.
const LOOKED_AT: usize = 8;

/// What one worker has to do, and whether it stays.
pub(super) struct WorkerQueue {
    pub threads: u32,
    /// Where its blocks lie.
    pub memory: MemoryId,
    pub draining: bool,
    /// A request to give tasks back is under way.
    pub asked_back: bool,
    /// So many tasks are to be finished before it is asked again: what comes back may be best done
    /// here all the same, and must not go to and fro.
    pub rest: u32,
    /// What it has been handed.
    pub compute: Load,
    pub io: Load,
    /// Seconds of the compute tasks that it has finished.
    finished: f64,
    /// Ready tasks that are best done here although the worker is busy.
    parked: UrgentQueue,
    parked_load: Load,
    /// Listed in `Fleet::freed`.
    freed: bool,
}

impl WorkerQueue {
    fn new(threads: u32, memory: MemoryId) -> Self {
        WorkerQueue {
            threads: threads.min(MOST_THREADS),
            memory,
            draining: false,
            asked_back: false,
            rest: 0,
            compute: Load::default(),
            io: Load::default(),
            finished: 0.0,
            parked: UrgentQueue::default(),
            parked_load: Load::default(),
            freed: false,
        }
    }

    fn load(&mut self, lane: Lane) -> &mut Load {
        match lane {
            Lane::Compute => &mut self.compute,
            Lane::Io | Lane::Pinned => &mut self.io,
        }
    }

    /// May tasks be handed to it that others can do too? Not if it leaves, nor if it has no thread that computes.
    fn takes_any(&self) -> bool {
        !self.draining && self.threads > 0
    }

    /// What workers are compared by: compute tasks per thread, I/O tasks.
    fn rank(&self, lane: Lane) -> u32 {
        match lane {
            Lane::Compute => roughly(self.compute.tasks() / self.threads),
            Lane::Io | Lane::Pinned => self.io.tasks(),
        }
    }

    /// Seconds until a compute task that is handed over now would start. For ever if it is not to be handed over.
    pub fn queue(&self) -> f64 {
        if !self.takes_any() {
            return f64::INFINITY;
        }
        (self.compute.seconds() + self.parked_load.seconds()) / f64::from(self.threads)
    }

    /// The same for a task of this class: one that waits for a file needs no core.
    pub fn queue_of(&self, lane: Lane) -> f64 {
        match lane {
            Lane::Compute => self.queue(),
            Lane::Io | Lane::Pinned if self.takes_any() => self.io.seconds(),
            Lane::Io | Lane::Pinned => f64::INFINITY,
        }
    }

    pub fn has_room(&self, lane: Lane, seconds: f64) -> bool {
        match lane {
            Lane::Pinned => !self.draining && self.io.tasks() < MOST_IO,
            _ if !self.takes_any() => false,
            Lane::Io => self.io.tasks() < MOST_IO,
            Lane::Compute => {
                let ahead = AHEAD_SECONDS * f64::from(self.threads);
                self.compute.tasks() < 2 * self.threads
                    || (self.compute.seconds() + seconds < ahead && self.compute.tasks() < MOST_ASSIGNED)
            }
        }
    }

    /// Does so much wait for it that others would be done with it long before?
    pub fn is_far_behind(&self) -> bool {
        self.parked_load.tasks() >= FAR_BEHIND.saturating_mul(self.threads)
    }

    pub fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Seconds that each of its threads has computed, about.
    pub fn computed(&self) -> f64 {
        self.finished / f64::from(self.threads.max(1))
    }

    /// Has it less than half of the I/O tasks that it may have?
    pub fn has_little_io(&self) -> bool {
        2 * self.io.tasks() < MOST_IO
    }

    pub fn is_idle(&self) -> bool {
        self.compute.tasks() + self.io.tasks() == 0
    }
}

/// The number with its four leading bits: where a queue is long, a task more or less makes no difference, and the order
/// of the workers need not change for it.
fn roughly(number: u32) -> u32 {
    let dropped = (u32::BITS - number.leading_zeros()).saturating_sub(4);
    number >> dropped << dropped
}

/// All workers that have joined and not gone.
#[derive(Default)]
pub(super) struct Fleet {
    workers: Vec<Option<WorkerQueue>>,
    /// Who does what is pinned.
    client: Option<WorkerId>,
    /// Who has gone: a name is not used again, so a join that arrives after the loss changes nothing.
    gone: HashSet<WorkerId>,
    /// (rank, worker) of those that stay, for the least loaded one in O(log workers).
    by_compute: BTreeSet<(u32, WorkerId)>,
    by_io: BTreeSet<(u32, WorkerId)>,
    /// Workers for which tasks are parked.
    parked: BTreeSet<WorkerId>,
    /// Workers with parked tasks that have given back or finished something since they were asked last.
    freed: Vec<WorkerId>,
    threads: usize,
    idle: usize,
    draining: usize,
}

impl Fleet {
    pub fn join(&mut self, id: WorkerId, threads: u32, memory: MemoryId) -> bool {
        let at = id.0 as usize;
        if at >= MOST_NAMES {
            return false;
        }
        if self.workers.len() <= at {
            self.workers.resize_with(at + 1, || None);
        }
        if self.workers[at].is_some() || self.gone.contains(&id) {
            return false;
        }
        self.workers[at] = Some(WorkerQueue::new(threads, memory));
        self.enlist(id);
        true
    }

    /// The process that has asked for the run.
    pub fn set_client(&mut self, id: WorkerId) {
        self.client = Some(id);
    }

    pub fn is_client(&self, id: WorkerId) -> bool {
        self.client == Some(id)
    }

    /// Does the client stay?
    pub fn has_client(&self) -> bool {
        self.client.is_some_and(|client| self.stays(client))
    }

    /// Does it stay, and has it a thread that computes?
    pub fn computes(&self, id: WorkerId) -> bool {
        self.get(id).is_some_and(WorkerQueue::takes_any)
    }

    /// From now on tasks may be handed to it.
    fn enlist(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(id.0 as usize).and_then(Option::as_ref) else { return };
        if !worker.takes_any() {
            return;
        }
        self.threads += worker.threads as usize;
        self.idle += usize::from(worker.is_idle());
        self.by_compute.insert((worker.rank(Lane::Compute), id));
        self.by_io.insert((worker.rank(Lane::Io), id));
    }

    fn strike_off(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(id.0 as usize).and_then(Option::as_ref) else { return };
        if !worker.takes_any() {
            return;
        }
        self.threads -= worker.threads as usize;
        self.idle -= usize::from(worker.is_idle());
        self.by_compute.remove(&(worker.rank(Lane::Compute), id));
        self.by_io.remove(&(worker.rank(Lane::Io), id));
    }

    pub fn remove(&mut self, id: WorkerId) -> Option<WorkerQueue> {
        self.gone.insert(id);
        let draining = self.get(id)?.draining;
        if draining {
            self.draining -= 1;
        } else {
            self.strike_off(id);
        }
        self.parked.remove(&id);
        self.workers[id.0 as usize].take()
    }

    /// Where its blocks lie, if it is there.
    pub fn memory(&self, id: WorkerId) -> Option<MemoryId> {
        Some(self.get(id)?.memory)
    }

    /// Is it there, and does it stay?
    pub fn stays(&self, id: WorkerId) -> bool {
        self.get(id).is_some_and(|worker| !worker.draining)
    }

    /// Can `id` do tasks of this class? What is pinned just the client can; it need not have threads that compute.
    pub fn may_do(&self, id: WorkerId, lane: Lane) -> bool {
        match lane {
            Lane::Pinned => self.client == Some(id),
            Lane::Compute | Lane::Io => self.get(id).is_some_and(|worker| worker.threads > 0),
        }
    }

    pub fn has_room(&self, id: WorkerId, lane: Lane, seconds: f64) -> bool {
        self.may_do(id, lane) && self.get(id).is_some_and(|worker| worker.has_room(lane, seconds))
    }

    pub fn get(&self, id: WorkerId) -> Option<&WorkerQueue> {
        self.workers.get(id.0 as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, id: WorkerId) -> Option<&mut WorkerQueue> {
        self.workers.get_mut(id.0 as usize)?.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = (WorkerId, &WorkerQueue)> {
        self.workers
            .iter()
            .enumerate()
            .filter_map(|(at, worker)| Some((WorkerId(at as u32), worker.as_ref()?)))
    }

    /// Marks a worker as leaving; returns the tasks that were parked for it.
    pub fn drain(&mut self, id: WorkerId) -> UrgentQueue {
        if self.get(id).is_none_or(|worker| worker.draining) {
            return UrgentQueue::default();
        }
        self.strike_off(id);
        self.draining += 1;
        if let Some(worker) = self.get_mut(id) {
            worker.draining = true;
        }
        self.take_parked(id)
    }

    pub fn is_draining(&self) -> bool {
        self.draining > 0
    }

    /// Is there a worker that stays and has nothing to do?
    pub fn has_idle(&self) -> bool {
        self.idle > 0
    }

    pub fn park(&mut self, id: WorkerId, urgent: Urgent, seconds: f64) {
        if let Some(worker) = self.get_mut(id) {
            worker.parked.push(urgent);
            worker.parked_load.add(urgent.task.stage, seconds);
            self.parked.insert(id);
        }
    }

    pub fn with_parked(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.parked.iter().copied()
    }

    /// The workers with parked tasks whose load has become less since the last call.
    pub fn take_freed(&mut self) -> Vec<WorkerId> {
        let freed = std::mem::take(&mut self.freed);
        for id in &freed {
            if let Some(worker) = self.get_mut(*id) {
                worker.freed = false;
            }
        }
        freed
    }

    /// The most urgent task parked for a worker, if the worker has room.
    pub fn unpark(&mut self, id: WorkerId, estimates: &Estimates) -> Option<Urgent> {
        self.get(id).filter(|worker| worker.has_room(Lane::Compute, 0.0))?;
        self.pop_parked(id, estimates)
    }

    pub fn pop_parked(&mut self, id: WorkerId, estimates: &Estimates) -> Option<Urgent> {
        let worker = self.get_mut(id)?;
        let urgent = worker.parked.pop()?;
        worker.parked_load.take(urgent.task.stage, estimates.of(urgent.task));
        if worker.parked.is_empty() {
            self.parked.remove(&id);
        }
        Some(urgent)
    }

    pub fn take_parked(&mut self, id: WorkerId) -> UrgentQueue {
        self.parked.remove(&id);
        let Some(worker) = self.get_mut(id) else { return UrgentQueue::default() };
        worker.parked_load = Load::default();
        std::mem::take(&mut worker.parked)
    }

    /// The workers that stay and compute, with their threads.
    pub fn computing(&self) -> impl Iterator<Item = (WorkerId, u32)> + '_ {
        self.iter().filter(|(_, worker)| worker.takes_any()).map(|(id, worker)| (id, worker.threads))
    }

    /// Threads of the workers that stay.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// A worker that was asked for tasks has finished one since.
    pub fn rested(&mut self, id: WorkerId) {
        if let Some(worker) = self.get_mut(id) {
            worker.rest = worker.rest.saturating_sub(1);
        }
    }

    /// One more assigned task of this stage, each of which takes so many seconds.
    pub fn charge(&mut self, id: WorkerId, lane: Lane, stage: StageId, seconds: f64) {
        self.change(id, lane, |load| load.add(stage, seconds));
    }

    /// One assigned task less.
    pub fn discharge(&mut self, id: WorkerId, lane: Lane, stage: StageId, seconds: f64) {
        self.change(id, lane, |load| load.take(stage, seconds));
        self.free(id);
    }

    /// One assigned task less, which has been done.
    pub fn finish(&mut self, id: WorkerId, lane: Lane, stage: StageId, seconds: f64) {
        self.discharge(id, lane, stage, seconds);
        if let Some(worker) = self.get_mut(id).filter(|_| lane == Lane::Compute) {
            worker.finished += seconds;
        }
    }

    /// A block begins to be moved there.
    pub fn charge_move(&mut self, id: WorkerId) {
        self.change(id, Lane::Io, Load::add_beside);
    }

    pub fn discharge_move(&mut self, id: WorkerId) {
        self.change(id, Lane::Io, Load::take_beside);
        self.free(id);
    }

    /// There may be room for what is parked.
    fn free(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        if !worker.freed && !worker.parked.is_empty() {
            worker.freed = true;
            self.freed.push(id);
        }
    }

    fn change(&mut self, id: WorkerId, lane: Lane, change: impl FnOnce(&mut Load)) {
        let Some(worker) = self.workers.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        let before = worker.rank(lane);
        let was_idle = worker.is_idle();
        change(worker.load(lane));
        let after = worker.rank(lane);
        let is_idle = worker.is_idle();
        if !worker.takes_any() {
            return;
        }
        self.idle = self.idle + usize::from(is_idle) - usize::from(was_idle);
        if before != after {
            let by_load = if lane == Lane::Compute { &mut self.by_compute } else { &mut self.by_io };
            by_load.remove(&(before, id));
            by_load.insert((after, id));
        }
    }

    /// One of the workers with the least to do, if it has room. What is pinned only the client may do.
    pub fn least_loaded(&self, lane: Lane, seconds: f64) -> Option<WorkerId> {
        let room = |id: &WorkerId| self.has_room(*id, lane, seconds);
        let by_load = match lane {
            Lane::Compute => &self.by_compute,
            Lane::Io => &self.by_io,
            Lane::Pinned => return self.client.filter(room),
        };
        by_load.iter().map(|(_, id)| *id).take(LOOKED_AT).find(room)
    }

    /// The worker with the most compute tasks per thread.
    pub fn busiest(&self) -> Option<WorkerId> {
        self.by_compute.last().map(|(_, id)| *id)
    }
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
