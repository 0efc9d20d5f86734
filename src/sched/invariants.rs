//! What always holds of a core, numbered; checked after every step in tests.

use super::core::Core;
use super::fleet::Lane;
use super::table::State;
use crate::ids::{TaskId, WorkerId};
use std::collections::HashMap;

impl Core {
    /// Panics if one of the invariants does not hold. O(tasks × inputs).
    ///
    /// - I1: the number of unfinished, admitted and assigned tasks is what the table says.
    /// - I2: a waiting task counts exactly its inputs that are not there; a ready one has all.
    /// - I3: a block counts exactly its consumers that are not finished; it is released when there are none.
    /// - I4: reserved bytes are those of blocks that exist or are admitted.
    /// - I5: they do not exceed the limit.
    /// - I6: tasks are assigned to workers that are there, and a worker's load is the number of its tasks.
    /// - I7: blocks lie at workers that are there.
    /// - I8: while workers are there and the run is not over, something is under way.
    pub fn check_invariants(&self) {
        if self.is_over() {
            return;
        }
        let mut loads: HashMap<WorkerId, [u32; 2]> = HashMap::new();
        let (mut unfinished, mut admitted, mut assigned) = (0, 0, 0);
        let (mut inputs, mut consumers) = (Vec::new(), Vec::new());
        for at in 0..self.table.len() {
            let (task, state) = (self.program.at_position(at), self.table.state(at));
            unfinished += usize::from(!state.is_finished());
            admitted += usize::from(state.is_pending());
            self.program.inputs(task, &mut inputs);
            self.program.consumers(task, &mut consumers);
            match state {
                State::Waiting | State::Ready => {
                    let there = |i: &&TaskId| matches!(self.state(**i), State::Done(_));
                    let missing = inputs.len() - inputs.iter().filter(there).count();
                    let counted = if state == State::Ready { 0 } else { self.table.count(at) as usize };
                    assert_eq!(missing, counted, "I2: {task:?} {state:?}");
                    assert!(state == State::Ready || missing > 0, "I2: {task:?} waits for nothing");
                }
                State::Assigned(w) => {
                    assigned += 1;
                    let lane = if self.lane(task) == Lane::Io { 1 } else { 0 };
                    loads.entry(w).or_default()[lane] += 1;
                }
                State::Done(w) => {
                    let left = consumers.iter().filter(|c| !self.state(**c).is_finished()).count();
                    assert_eq!(self.table.count(at) as usize, left, "I3: {task:?}");
                    let kept = self.program.keeps(task);
                    assert!(left > 0 || kept, "I3: {task:?} is held for nobody");
                    assert!(self.fleet.get(w).is_some(), "I7: {task:?} lies at {w:?}");
                }
                State::Idle | State::Released => {}
            }
        }
        assert_eq!((self.unfinished, self.admitted, self.assigned), (unfinished, admitted, assigned), "I1");
        assert_eq!(self.reserved, self.reserved_by_table(), "I4");
        assert!(self.reserved <= self.limit, "I5: {} of {}", self.reserved, self.limit);
        self.check_loads(&loads);
        let can_work = self.fleet.iter().any(|(_, w)| !w.draining);
        assert!(!can_work || assigned > 0 || !self.copies.is_empty(), "I8: nothing is under way");
    }

    fn check_loads(&self, loads: &HashMap<WorkerId, [u32; 2]>) {
        for (worker, load) in loads {
            let Some(w) = self.fleet.get(*worker) else {
                panic!("I6: tasks at {worker:?}, which is not there")
            };
            assert_eq!([w.compute.assigned, w.io.assigned], *load, "I6: {worker:?}");
        }
        for (id, w) in self.fleet.iter().filter(|(id, _)| !loads.contains_key(id)) {
            assert_eq!(w.compute.assigned + w.io.assigned, 0, "I6: {id:?} has no tasks");
        }
    }
}
