//! Which worker gets a ready task: the one where it would finish first.

use super::core::Core;
use super::fleet::Lane;
use super::ready::Urgent;
use super::table::{NOWHERE, State};
use crate::ids::{TaskId, WorkerId};

/// First guess of a link between two workers.
const LINK_BYTES_PER_SECOND: f64 = 1e9;
/// Holders of so many inputs are looked at when a task is placed: it keeps the decision constant-time.
const MOST_HOLDERS: usize = 8;

impl Core {
    pub(super) fn place_all(&mut self, lane: Lane) -> usize {
        let mut handed = if lane == Lane::Compute { self.unpark() } else { 0 };
        loop {
            let heap = if lane == Lane::Io { &mut self.io } else { &mut self.compute };
            let Some(urgent) = heap.peek().copied() else { break };
            if self.state(urgent.task) != State::Ready {
                self.pop(lane);
                continue;
            }
            let Some(spare) = self.fleet.least_loaded(lane, self.seconds(urgent.task)) else { break };
            self.pop(lane);
            let best = self.choose(urgent.task, spare);
            handed += 1;
            if self.fleet.get(best).is_some_and(|w| w.has_room(lane, self.seconds(urgent.task))) {
                self.assign(best, urgent.task);
            } else if lane == Lane::Io {
                self.assign(spare, urgent.task);
            } else {
                self.fleet.park(best, urgent, self.seconds(urgent.task));
            }
        }
        handed
    }

    fn pop(&mut self, lane: Lane) -> Option<Urgent> {
        if lane == Lane::Io { self.io.pop() } else { self.compute.pop() }
    }

    /// Gives workers with room the tasks that were waiting for just them.
    fn unpark(&mut self) -> usize {
        let mut handed = 0;
        for id in self.fleet.take_freed() {
            while let Some(urgent) = self.fleet.unpark(id, &self.seconds) {
                handed += 1;
                if self.state(urgent.task) == State::Ready {
                    self.assign(id, urgent.task);
                }
            }
        }
        handed
    }

    /// The worker where the task would finish first: among the holders of its inputs and `spare`,
    /// the shortest queue plus transfer of what is missing. A step that goes on with the block of the
    /// step before stays with it: anywhere else it would need a second block that nobody has reserved.
    pub(super) fn choose(&mut self, task: TaskId, spare: WorkerId) -> WorkerId {
        if self.program.takes_over(task)
            && let Some(holder) = self.location(TaskId::new(task.stage, task.index - 1))
            && self.fleet.get(holder).is_some_and(|w| !w.draining)
        {
            return holder;
        }
        let mut inputs = std::mem::take(&mut self.inputs);
        self.program.inputs(task, &mut inputs);
        let held: Vec<(WorkerId, u64)> = inputs
            .iter()
            .take(MOST_HOLDERS)
            .filter_map(|input| {
                Some((self.location(*input)?, self.program.stage(input.stage).bytes(input.index)))
            })
            .collect();
        self.inputs = inputs;
        let finish = |id: WorkerId| {
            let missing: u64 = held.iter().filter(|(holder, _)| *holder != id).map(|(_, bytes)| bytes).sum();
            let queue = self
                .fleet
                .get(id)
                .map_or(f64::INFINITY, |w| if w.draining { f64::INFINITY } else { w.queue() });
            queue + missing as f64 / LINK_BYTES_PER_SECOND
        };
        let mut best = (finish(spare), spare);
        for (holder, _) in &held {
            let at = finish(*holder);
            if at < best.0 {
                best = (at, *holder);
            }
        }
        best.1
    }

    pub(super) fn assign(&mut self, worker: WorkerId, task: TaskId) {
        let (lane, seconds) = (self.lane(task), self.seconds(task));
        self.fleet.charge(worker, lane, 1, seconds);
        self.assigned += 1;
        self.set(task, State::Assigned(worker));
        let mut inputs = std::mem::take(&mut self.inputs);
        self.program.inputs(task, &mut inputs);
        let mut fetch = Vec::new();
        for &input in &inputs {
            match self.state(input) {
                State::Done(holder) if holder != worker && holder != NOWHERE => {
                    let here = self.replicas.get(&input).is_some_and(|others| others.contains(&worker));
                    if !here {
                        fetch.push((input, holder));
                    }
                }
                _ => {}
            }
        }
        self.inputs = inputs;
        let outbox = self.outbox.entry(worker).or_default();
        outbox.assign.push(task);
        outbox.fetch.extend(fetch);
    }
}
