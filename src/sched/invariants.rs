//! What always holds of a core, numbered; checked after every step in tests.

use super::core::Core;
use super::fleet::Lane;
use super::table::{NOWHERE, State};
use crate::ids::{TaskId, WorkerId};
use std::collections::{HashMap, HashSet};

impl Core {
    /// Panics if one of the invariants does not hold. O(tasks × inputs).
    ///
    /// - I1: the number of unfinished, admitted and assigned tasks is what the table says.
    /// - I2: a waiting task counts exactly its inputs that are not there; a ready one has all.
    /// - I3: a block counts exactly its consumers that are not finished; it is released when there are none.
    /// - I4: reserved bytes are those of blocks that exist or are admitted.
    /// - I5: they do not exceed the limit.
    /// - I6: tasks are assigned to workers that are there, and a worker's load is the number of its tasks.
    /// - I7: blocks lie at workers that are there; a stage that leaves none has its tasks done nowhere.
    /// - I8: while workers are there and the run is not over, something is under way.
    /// - I9: what is not finished is a result, a sink, or has a consumer that is not finished.
    /// - I10: further holders of a block are there, each once, and are not the holder in the table.
    /// - I11: a copy is under way between two workers that are there, of a block that lies at the first.
    /// - I12: no input of what is not finished has been released.
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
            let left = consumers.iter().filter(|c| !self.state(**c).is_finished()).count();
            assert!(
                state.is_finished() || left > 0 || self.is_root(task) || state.is_pending(),
                "I9: {task:?}"
            );
            let released = inputs.iter().find(|i| self.state(**i) == State::Released);
            assert!(state.is_finished() || released.is_none(), "I12: {task:?} needs {released:?}");
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
                    assert_eq!(self.table.count(at) as usize, left, "I3: {task:?}");
                    let kept = self.program.keeps(task);
                    assert!(left > 0 || kept, "I3: {task:?} is held for nobody");
                    let leaves = self.program.stage(task.stage).leaves_blocks();
                    assert_eq!(leaves, w != NOWHERE, "I7: {task:?} lies at {w:?}");
                    assert!(!leaves || self.fleet.get(w).is_some(), "I7: {task:?} lies at {w:?}");
                }
                State::Idle | State::Released => {}
            }
        }
        assert_eq!((self.unfinished, self.admitted, self.assigned), (unfinished, admitted, assigned), "I1");
        assert_eq!(self.reserved, self.reserved_by_table(), "I4");
        assert!(self.reserved <= self.limit, "I5: {} of {}", self.reserved, self.limit);
        self.check_loads(&loads);
        self.check_copies();
        assert!(
            self.fleet.staying() == 0 || assigned > 0 || !self.copies.is_empty(),
            "I8: nothing is under way"
        );
    }

    fn check_copies(&self) {
        for (block, others) in &self.replicas {
            let distinct: HashSet<_> = others.iter().collect();
            assert!(distinct.len() == others.len() && !others.is_empty(), "I10: {block:?} at {others:?}");
            assert!(others.iter().all(|w| self.fleet.get(*w).is_some()), "I10: {block:?} at {others:?}");
            assert!(others.iter().all(|w| self.state(*block) != State::Done(*w)), "I10: {block:?} twice");
        }
        for (block, transfer) in &self.copies {
            assert_eq!(self.state(*block), State::Done(transfer.from), "I11: {block:?}");
            assert!(self.fleet.get(transfer.to).is_some(), "I11: {block:?} to {:?}", transfer.to);
        }
        for (id, worker) in self.fleet.iter() {
            let copies = self.copies.values().filter(|t| t.from == id).count();
            assert_eq!(worker.handing_over as usize, copies, "I11: {id:?}");
        }
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
