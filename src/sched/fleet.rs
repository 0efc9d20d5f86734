//! The workers as the scheduler sees them, and the choice of the one that would finish a task first.

use super::ready::{Heap, Urgent};
use crate::ids::WorkerId;
use std::collections::BTreeSet;

/// Work is handed out so far ahead: enough to hide a round trip, little enough to be wrong about.
const AHEAD_SECONDS: f64 = 0.01;
/// Tasks in a worker's hands, however short they are.
const MOST_ASSIGNED: u32 = 4096;
/// I/O tasks in a worker's hands; how many of them it runs at once is its own choice.
const MOST_IO: u32 = 32;

/// Compute tasks hold a core, I/O tasks only memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    Compute,
    Io,
}

#[derive(Default)]
pub struct Load {
    pub assigned: u32,
    /// Estimated seconds of the assigned tasks.
    pub seconds: f64,
}

pub struct Worker {
    pub threads: u32,
    pub draining: bool,
    /// A request to give tasks back is under way.
    pub asked_back: bool,
    pub compute: Load,
    pub io: Load,
    /// Ready tasks that are best done here although the worker is busy.
    pub parked: Heap,
}

impl Worker {
    fn new(threads: u32) -> Self {
        let (compute, io) = (Load::default(), Load::default());
        Worker {
            threads: threads.max(1),
            draining: false,
            asked_back: false,
            compute,
            io,
            parked: Heap::new(),
        }
    }

    pub fn load(&mut self, lane: Lane) -> &mut Load {
        match lane {
            Lane::Compute => &mut self.compute,
            Lane::Io => &mut self.io,
        }
    }

    /// Seconds until a compute task that is handed over now would start.
    pub fn queue(&self) -> f64 {
        self.compute.seconds / f64::from(self.threads)
    }

    pub fn has_room(&self, lane: Lane, seconds: f64) -> bool {
        match lane {
            _ if self.draining => false,
            Lane::Io => self.io.assigned < MOST_IO,
            Lane::Compute => {
                let ahead = AHEAD_SECONDS * f64::from(self.threads);
                self.compute.assigned < 2 * self.threads
                    || (self.compute.seconds + seconds < ahead && self.compute.assigned < MOST_ASSIGNED)
            }
        }
    }

    pub fn is_idle(&self) -> bool {
        self.compute.assigned + self.io.assigned == 0
    }
}

/// All workers that have joined and not gone.
#[derive(Default)]
pub struct Fleet {
    workers: Vec<Option<Worker>>,
    /// (compute tasks in hand per thread, worker), for the least loaded one in O(log workers).
    by_load: BTreeSet<(u32, WorkerId)>,
    /// Workers for which tasks are parked.
    parked: BTreeSet<WorkerId>,
    draining: usize,
}

impl Fleet {
    pub fn join(&mut self, id: WorkerId, threads: u32) -> bool {
        let at = id.0 as usize;
        if self.workers.len() <= at {
            self.workers.resize_with(at + 1, || None);
        }
        if self.workers[at].is_some() {
            return false;
        }
        self.workers[at] = Some(Worker::new(threads));
        self.by_load.insert((0, id));
        true
    }

    pub fn remove(&mut self, id: WorkerId) -> Option<Worker> {
        let worker = self.workers.get_mut(id.0 as usize)?.take()?;
        self.by_load.remove(&(Self::per_thread(&worker), id));
        self.parked.remove(&id);
        self.draining -= usize::from(worker.draining);
        Some(worker)
    }

    pub fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(id.0 as usize)?.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().enumerate().filter_map(|(at, w)| Some((WorkerId(at as u32), w.as_ref()?)))
    }

    /// Marks a worker as leaving; returns the tasks that were parked for it.
    pub fn drain(&mut self, id: WorkerId) -> Heap {
        let Some(worker) = self.get_mut(id).filter(|w| !w.draining) else { return Heap::new() };
        worker.draining = true;
        self.draining += 1;
        self.take_parked(id)
    }

    pub fn is_draining(&self) -> bool {
        self.draining > 0
    }

    pub fn has_idle(&self) -> bool {
        let free = |(_, id): &(u32, WorkerId)| self.get(*id).is_some_and(|w| w.is_idle() && !w.draining);
        self.by_load.iter().take_while(|(load, _)| *load == 0).any(free)
    }

    pub fn park(&mut self, id: WorkerId, urgent: Urgent) {
        if let Some(worker) = self.get_mut(id) {
            worker.parked.push(urgent);
            self.parked.insert(id);
        }
    }

    pub fn with_parked(&self) -> Vec<WorkerId> {
        self.parked.iter().copied().collect()
    }

    /// The most urgent task parked for a worker, if the worker has room.
    pub fn unpark(&mut self, id: WorkerId) -> Option<Urgent> {
        let worker = self.get_mut(id).filter(|w| w.has_room(Lane::Compute, 0.0))?;
        let urgent = worker.parked.pop();
        if worker.parked.is_empty() {
            self.parked.remove(&id);
        }
        urgent
    }

    pub fn take_parked(&mut self, id: WorkerId) -> Heap {
        self.parked.remove(&id);
        self.get_mut(id).map(|w| std::mem::take(&mut w.parked)).unwrap_or_default()
    }

    pub fn threads(&self) -> u32 {
        self.iter().map(|(_, w)| w.threads).sum()
    }

    fn per_thread(worker: &Worker) -> u32 {
        worker.compute.assigned / worker.threads
    }

    /// Adds (or with −1 takes off) one assigned task of `seconds`.
    pub fn charge(&mut self, id: WorkerId, lane: Lane, tasks: i32, seconds: f64) {
        let Some(worker) = self.workers.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        let before = Self::per_thread(worker);
        let load = worker.load(lane);
        load.assigned = load.assigned.checked_add_signed(tasks).expect("as many come back as went out");
        load.seconds = if load.assigned == 0 { 0.0 } else { (load.seconds + seconds).max(0.0) };
        let after = Self::per_thread(worker);
        if before != after {
            self.by_load.remove(&(before, id));
            self.by_load.insert((after, id));
        }
    }

    /// The worker with the fewest compute tasks per thread, if it has room.
    pub fn least_loaded(&self, lane: Lane, seconds: f64) -> Option<WorkerId> {
        let room = |id: &WorkerId| self.get(*id).is_some_and(|w| w.has_room(lane, seconds));
        self.by_load.iter().map(|(_, id)| *id).take(8).find(room).or_else(|| {
            // Only where the first few are draining or full of I/O.
            (lane == Lane::Io || self.by_load.len() > 8)
                .then(|| self.by_load.iter().map(|(_, id)| *id).find(room))
                .flatten()
        })
    }
}
