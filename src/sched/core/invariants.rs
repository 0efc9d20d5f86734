//! What always holds of a core, numbered; checked after every step in tests.

use super::{Core, Spilling};
use crate::ids::{TaskId, WorkerId};
use crate::sched::lane::Lane;
use crate::sched::table::{NOWHERE, TaskState};
use crate::sched::tasks::Tasks;
use std::collections::{HashMap, HashSet};

impl Core {
    /// Panics if one of the invariants does not hold. O(tasks × inputs).
    ///
    /// - I1: the number of unfinished, admitted and assigned tasks is what the table says.
    /// - I2: a waiting task counts exactly its inputs that are not there; a ready one has all.
    /// - I3: a block counts exactly its consumers that are not finished; it is released when there are none.
    /// - I4: reserved bytes are those of blocks that exist or are admitted; those that leave are those being written.
    /// - I5: they do not exceed the limit.
    /// - I6: tasks are assigned to workers that are there, and a worker's load is the number of its tasks.
    /// - I7: blocks lie at workers that are there; a stage that leaves none has its tasks done nowhere.
    /// - I8: while workers are there and the run is not over, something is under way.
    /// - I9: what is not finished is a result, a sink, or has a consumer that is not finished.
    /// - I10: further holders of a block are there, each once, and are not the holder in the table.
    /// - I11: a copy is under way between two workers that are there, of a block that lies at the first.
    /// - I12: no input of what is not finished has been released.
    /// - I13: a block is pinned by just the admitted tasks that read it (and by the next one, if that has claimed it).
    /// - I14: idle are just the blocks in memory that are not pinned.
    /// - I15: what leaves is out of memory for all; what an admitted task waits for is there, comes, or is being made.
    pub fn check_invariants(&self) {
        if self.is_over() {
            return;
        }
        self.check_counts();
        (0..self.tasks.table.len()).for_each(|at| self.check_task(at));
        let reserved = self.ledger.reserved();
        assert_eq!(reserved, self.reserved_by_table(), "I4");
        assert_eq!(self.ledger.leaving(), self.leaving_bytes(), "I4");
        assert!(reserved <= self.ledger.limit(), "I5: {reserved} of {}", self.ledger.limit());
        self.check_loads();
        self.check_copies();
        self.check_spills();
        let is_busy = self.counts.assigned() > 0 || self.holders.is_copying() || self.is_moving();
        assert!(self.fleet.staying() == 0 || is_busy, "I8: nothing is under way");
    }

    /// I1.
    fn check_counts(&self) {
        let states = || (0..self.tasks.table.len()).map(|at| self.tasks.table.state(at));
        let unfinished = states().filter(|state| !state.is_finished()).count();
        let admitted = states().filter(|state| state.is_pending()).count();
        let assigned = states().filter(|state| matches!(state, TaskState::Assigned(_))).count();
        assert_eq!(self.counts.unfinished(), unfinished, "I1");
        assert_eq!(self.counts.admitted(), admitted, "I1");
        assert_eq!(self.counts.assigned(), assigned, "I1");
    }

    /// I2, I3, I7, I9 and I12 of one task.
    fn check_task(&self, at: usize) {
        let Tasks { program, table } = &self.tasks;
        let task = program.at_position(at);
        let state = table.state(at);
        let count = table.count(at) as usize;
        let mut inputs = Vec::new();
        program.inputs(task, &mut inputs);
        let mut consumers = Vec::new();
        program.consumers(task, &mut consumers);
        let left = consumers.iter().filter(|consumer| !self.tasks.state(**consumer).is_finished()).count();
        let is_wanted = left > 0 || self.tasks.is_root(task) || state.is_pending();
        assert!(state.is_finished() || is_wanted, "I9: {task:?}");
        let released = inputs.iter().find(|input| self.tasks.state(**input) == TaskState::Released);
        assert!(state.is_finished() || released.is_none(), "I12: {task:?} needs {released:?}");
        let missing = inputs.iter().filter(|input| !self.tasks.is_there(**input)).count();
        match state {
            TaskState::Waiting => {
                assert!(missing == count && missing > 0, "I2: {task:?} waits for {missing}")
            }
            TaskState::Ready => assert_eq!(missing, 0, "I2: {task:?} is not ready"),
            TaskState::Done(worker) => {
                assert_eq!(count, left, "I3: {task:?}");
                assert!(left > 0 || program.keeps(task), "I3: {task:?} is held for nobody");
                let leaves = self.tasks.leaves_blocks(task);
                assert_eq!(leaves, worker != NOWHERE, "I7: {task:?} lies at {worker:?}");
                assert!(!leaves || self.fleet.get(worker).is_some(), "I7: {task:?} lies at {worker:?}");
            }
            TaskState::Spilled => {
                assert_eq!(count, left, "I3: {task:?}");
                assert!(left > 0 && !program.keeps(task), "I3: {task:?} is held for nobody");
            }
            TaskState::Assigned(_) | TaskState::Idle | TaskState::Released => {}
        }
    }

    /// I10 and I11.
    fn check_copies(&self) {
        for (block, others) in self.holders.further() {
            let distinct: HashSet<_> = others.iter().collect();
            assert!(distinct.len() == others.len() && !others.is_empty(), "I10: {block:?} at {others:?}");
            assert!(
                others.iter().all(|worker| self.fleet.get(*worker).is_some()),
                "I10: {block:?} at {others:?}"
            );
            let state = self.tasks.state(block);
            assert!(others.iter().all(|worker| state != TaskState::Done(*worker)), "I10: {block:?} twice");
        }
        for (block, transfer) in self.holders.copies() {
            assert_eq!(self.tasks.state(block), TaskState::Done(transfer.from), "I11: {block:?}");
            assert!(self.fleet.get(transfer.to).is_some(), "I11: {block:?} to {:?}", transfer.to);
        }
        for (id, _) in self.fleet.iter() {
            let copies = self.holders.copies().filter(|(_, transfer)| transfer.from == id).count();
            assert_eq!(self.holders.giving(id) as usize, copies, "I11: {id:?}");
        }
    }

    /// I13, I14 and I15.
    fn check_spills(&self) {
        let Some(spilling) = &self.spilling else { return };
        let Spilling { eviction, transit } = &**spilling;
        let mut pins: HashMap<TaskId, u32> = HashMap::new();
        let next = self.admission.held().filter(|_| eviction.has_claimed());
        let positions = (0..self.tasks.table.len()).filter(|at| self.tasks.table.state(*at).is_pending());
        for task in positions.map(|at| self.tasks.program.at_position(at)).chain(next) {
            for input in self.tasks.blocks_read(task) {
                *pins.entry(input).or_default() += 1;
                let is_out = self.tasks.state(input) == TaskState::Spilled && !transit.is_coming(input);
                // An assigned one whose input fell back to disk with a lost worker comes back by itself.
                let waits = matches!(self.tasks.state(task), TaskState::Waiting | TaskState::Ready);
                assert!(!is_out || !waits, "I15: {task:?} waits for {input:?}");
            }
        }
        let mut idle_bytes = 0;
        for at in 0..self.tasks.table.len() {
            let block = self.tasks.program.at_position(at);
            let state = self.tasks.table.state(at);
            let pinned = pins.get(&block).copied().unwrap_or(0);
            assert_eq!(eviction.pins(block), pinned, "I13: {block:?}");
            let may_go = self.tasks.location(block).is_some() && pinned == 0;
            assert_eq!(eviction.is_idle(block), may_go, "I14: {block:?} {state:?}");
            idle_bytes += if may_go { self.tasks.size(block) } else { 0 };
            let leaves = transit.leaves_from(block).is_some();
            let is_out = matches!(state, TaskState::Spilled | TaskState::Released);
            assert!(!leaves || is_out, "I15: {block:?} {state:?}");
        }
        assert_eq!(eviction.idle_bytes(), idle_bytes, "I14");
    }

    /// Blocks that `worker` writes or reads back.
    fn moving_at(&self, worker: WorkerId) -> u32 {
        let Some(spilling) = &self.spilling else { return 0 };
        let coming = spilling.transit.coming().filter(|(_, at)| *at == Some(worker)).count();
        let leaving = spilling.transit.leaving().filter(|(_, at)| *at == worker).count();
        (coming + leaving) as u32
    }

    /// I6.
    fn check_loads(&self) {
        let mut assigned: HashMap<WorkerId, [u32; 2]> = HashMap::new();
        for at in 0..self.tasks.table.len() {
            if let TaskState::Assigned(worker) = self.tasks.table.state(at) {
                let is_io = self.tasks.lane(self.tasks.program.at_position(at)) == Lane::Io;
                assigned.entry(worker).or_default()[usize::from(is_io)] += 1;
            }
        }
        for worker in assigned.keys() {
            assert!(self.fleet.get(*worker).is_some(), "I6: tasks at {worker:?}, which is not there");
        }
        for (id, queue) in self.fleet.iter() {
            let [compute, io] = assigned.get(&id).copied().unwrap_or_default();
            let all = [compute, io + self.moving_at(id)];
            assert_eq!([queue.compute.assigned, queue.io.assigned], all, "I6: {id:?}");
        }
    }
}
