//! Assigned tasks whose consumers may follow them to the same worker before they are done.

use crate::ids::{TaskId, WorkerId};
use std::collections::VecDeque;

/// Leads of one worker. The oldest are forgotten beyond that: who would have followed them comes when it is ready.
const MOST_LEADS: usize = 8192;

/// Those at one worker, in the order in which they were assigned.
#[derive(Default)]
struct Trail {
    leads: VecDeque<TaskId>,
    /// Listed in `Leads::touched`.
    touched: bool,
}

/// Leads that have not been looked at yet, or whose consumers found no room. Some of them may be done meanwhile.
#[derive(Default)]
pub(super) struct Leads {
    of: Vec<Trail>,
    /// Workers whose leads are to be looked at: a lead is new there, or there may be room.
    touched: Vec<WorkerId>,
}

impl Leads {
    /// `task` has been assigned to `worker`, or has a consumer more that may follow it there.
    pub fn add(&mut self, worker: WorkerId, task: TaskId) {
        let at = worker.0 as usize;
        if self.of.len() <= at {
            self.of.resize_with(at + 1, Trail::default);
        }
        let leads = &mut self.of[at].leads;
        if leads.len() == MOST_LEADS {
            leads.pop_front();
        }
        leads.push_back(task);
        self.touch(worker);
    }

    /// There may be room at `worker`.
    pub fn touch(&mut self, worker: WorkerId) {
        let Some(trail) = self.of.get_mut(worker.0 as usize) else { return };
        if !trail.touched && !trail.leads.is_empty() {
            trail.touched = true;
            self.touched.push(worker);
        }
    }

    /// The workers that were touched since the last call.
    pub fn take_touched(&mut self) -> Vec<WorkerId> {
        let touched = std::mem::take(&mut self.touched);
        for worker in &touched {
            self.of[worker.0 as usize].touched = false;
        }
        touched
    }

    /// The oldest lead.
    pub fn first(&self, worker: WorkerId) -> Option<TaskId> {
        self.of.get(worker.0 as usize)?.leads.front().copied()
    }

    /// The oldest one has been looked at.
    pub fn pop(&mut self, worker: WorkerId) {
        if let Some(trail) = self.of.get_mut(worker.0 as usize) {
            trail.leads.pop_front();
        }
    }

    /// Nobody follows anybody to `worker` any more.
    pub fn forget(&mut self, worker: WorkerId) {
        if let Some(trail) = self.of.get_mut(worker.0 as usize) {
            trail.leads = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StageId;

    #[test]
    fn a_worker_is_looked_at_once_while_anybody_leads() {
        let (lead, worker) = (TaskId::new(StageId(0), 3), WorkerId(1));
        let mut leads = Leads::default();
        leads.add(worker, lead);
        leads.touch(worker);
        leads.touch(WorkerId(0));
        assert_eq!(leads.take_touched(), [worker]);
        assert_eq!(leads.first(worker), Some(lead));
        leads.forget(worker);
        leads.touch(worker);
        assert!(leads.take_touched().is_empty());
        assert_eq!(leads.first(worker), None);
    }
}
