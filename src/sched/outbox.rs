//! What a batch of events gathers for each worker.

use super::events::Action;
use super::fleet::Fleet;
use super::holders::Transfer;
use crate::ids::{BlockId, TaskId, TaskList, WorkerId};
use std::collections::BTreeMap;

/// For one worker.
#[derive(Default)]
struct Outbox {
    assign: TaskList,
    fetch: Vec<(BlockId, WorkerId)>,
    /// Of those that are assigned.
    suspects: TaskList,
    permit: TaskList,
    free: TaskList,
    drop: TaskList,
    spill: TaskList,
    /// Blocks to be taken over from leaving workers.
    copy: Vec<(BlockId, WorkerId)>,
}

/// For all workers.
#[derive(Default)]
pub(super) struct Outboxes {
    of: BTreeMap<WorkerId, Outbox>,
}

impl Outboxes {
    fn to(&mut self, worker: WorkerId) -> &mut Outbox {
        self.of.entry(worker).or_default()
    }

    /// `fetch` says where the inputs lie that are not at the worker.
    pub fn assign(&mut self, worker: WorkerId, task: TaskId, fetch: Vec<(BlockId, WorkerId)>) {
        let outbox = self.to(worker);
        outbox.assign.push(task);
        outbox.fetch.extend(fetch);
    }

    /// `task`, which is assigned too, is not to be begun before `worker` has asked.
    pub fn suspect(&mut self, worker: WorkerId, task: TaskId) {
        self.to(worker).suspects.push(task);
    }

    pub fn permit(&mut self, worker: WorkerId, task: TaskId) {
        self.to(worker).permit.push(task);
    }

    pub fn free(&mut self, worker: WorkerId, block: BlockId) {
        self.to(worker).free.push(block);
    }

    pub fn drop(&mut self, worker: WorkerId, block: BlockId) {
        self.to(worker).drop.push(block);
    }

    pub fn spill(&mut self, worker: WorkerId, block: BlockId) {
        self.to(worker).spill.push(block);
    }

    /// `to` is to take a block over.
    pub fn copy(&mut self, transfer: Transfer, block: BlockId) {
        self.to(transfer.to).copy.push((block, transfer.from));
    }

    /// All of it as actions. Frees come before copies and assignments; what is for workers that have gone is left out.
    pub fn flush(&mut self, fleet: &Fleet, out: &mut Vec<Action>) {
        for (worker, outbox) in std::mem::take(&mut self.of) {
            if fleet.get(worker).is_some() {
                outbox.flush(worker, out);
            }
        }
    }
}

impl Outbox {
    fn flush(mut self, worker: WorkerId, out: &mut Vec<Action>) {
        if !self.free.is_empty() {
            out.push(Action::Free { worker, blocks: self.free });
        }
        if !self.drop.is_empty() {
            out.push(Action::Drop { worker, blocks: self.drop });
        }
        if !self.spill.is_empty() {
            out.push(Action::Spill { worker, blocks: self.spill });
        }
        if !self.permit.is_empty() {
            out.push(Action::Permit { worker, tasks: std::mem::take(&mut self.permit) });
        }
        let copies = self.copy.drain(..);
        out.extend(copies.map(|(block, from)| Action::Copy { from, to: worker, block }));
        if !self.assign.is_empty() {
            self.fetch.sort_unstable();
            self.fetch.dedup();
            let Outbox { assign: tasks, fetch, suspects, .. } = self;
            out.push(Action::Assign { worker, tasks, fetch, suspects });
        }
    }
}
