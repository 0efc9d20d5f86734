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
    /// - I13: a block is pinned by just the admitted tasks that read it (and by the next one, if that has claimed it).
    /// - I14: idle are just the blocks in memory that are not pinned.
    /// - I15: what leaves is out of memory for all; what an admitted task waits for is there, comes, or is being made.
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
                State::Spilled => {
                    assert_eq!(self.table.count(at) as usize, left, "I3: {task:?}");
                    assert!(left > 0 && !self.program.keeps(task), "I3: {task:?} is held for nobody");
                }
                State::Idle | State::Released => {}
            }
        }
        assert_eq!((self.unfinished, self.admitted, self.assigned), (unfinished, admitted, assigned), "I1");
        assert_eq!(self.reserved, self.reserved_by_table(), "I4");
        assert!(self.reserved <= self.limit, "I5: {} of {}", self.reserved, self.limit);
        self.check_loads(&loads);
        self.check_copies();
        self.check_spills();
        assert!(
            self.fleet.staying() == 0 || assigned > 0 || !self.copies.is_empty() || self.is_moving(),
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

    fn check_spills(&self) {
        let Some(spill) = &self.spill else { return };
        let mut pins: HashMap<TaskId, u32> = HashMap::new();
        let mut inputs = Vec::new();
        let next = self.next.filter(|_| spill.claimed);
        let positions = (0..self.table.len()).filter(|at| self.table.state(*at).is_pending());
        for task in positions.map(|at| self.program.at_position(at)).chain(next) {
            self.program.inputs(task, &mut inputs);
            for input in inputs.iter().filter(|i| self.program.stage(i.stage).leaves_blocks()) {
                *pins.entry(*input).or_default() += 1;
                let (state, comes) = (self.state(*input), spill.coming.contains_key(input));
                // An assigned one whose input fell back to disk with a lost worker comes back by itself.
                let waits = matches!(self.state(task), State::Waiting | State::Ready);
                assert!(state != State::Spilled || comes || !waits, "I15: {task:?} waits for {input:?}");
            }
        }
        for at in 0..self.table.len() {
            let (block, state) = (self.program.at_position(at), self.table.state(at));
            let pinned = pins.get(&block).copied().unwrap_or(0);
            assert_eq!(spill.pins(block), pinned, "I13: {block:?}");
            let there = matches!(state, State::Done(w) if w != NOWHERE);
            assert_eq!(spill.is_idle(block), there && pinned == 0, "I14: {block:?} {state:?}");
            let leaves = spill.leaving.contains_key(&block);
            assert!(!leaves || matches!(state, State::Spilled | State::Released), "I15: {block:?} {state:?}");
        }
    }

    fn check_loads(&self, loads: &HashMap<WorkerId, [u32; 2]>) {
        let moving = |worker: WorkerId| {
            let Some(spill) = &self.spill else { return 0 };
            let coming = spill.coming.values().filter(|at| **at == Some(worker)).count();
            (coming + spill.leaving.values().filter(|at| **at == worker).count()) as u32
        };
        for (worker, load) in loads {
            let Some(w) = self.fleet.get(*worker) else {
                panic!("I6: tasks at {worker:?}, which is not there")
            };
            let load = [load[0], load[1] + moving(*worker)];
            assert_eq!([w.compute.assigned, w.io.assigned], load, "I6: {worker:?}");
        }
        for (id, w) in self.fleet.iter().filter(|(id, _)| !loads.contains_key(id)) {
            assert_eq!(w.compute.assigned + w.io.assigned, moving(id), "I6: {id:?} has no tasks");
        }
    }
}
