//! What always holds of a core, numbered; checked after every step in tests.

use super::Core;
use super::counting::ReservedBytes;
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
    /// - I4: what is reserved in a memory is what lies there or is on its way there, the outputs of tasks assigned
    ///   there and what is being written; how far the run is ahead is what the table says.
    /// - I5: no memory holds more than its limit, and no run goes further ahead than its own, but in one that spills by
    ///   the only task that is admitted.
    /// - I6: tasks are assigned to workers that are there, what is pinned to the client, everything else to those that
    ///   compute. A worker's load is the number of its tasks.
    /// - I7: blocks lie at workers that are there; a stage that leaves none has its tasks done nowhere.
    /// - I8: while a worker stays whose memory the run fits, and the client if it has a part in it, and the run is not
    ///   over, something is under way.
    /// - I9: what is not finished is a result, a sink, or has a consumer that is not finished.
    /// - I10: further holders of a block are there, each once, and are not the holder in the table. One that is not
    ///   known to have its copy has a reader.
    /// - I11: a copy is under way to a worker that is there, from one where the block lies, or that the
    ///   first can read, unless that one was lost.
    /// - I12: no input of what is not finished has been released.
    /// - I13: a block is pinned by just the assigned tasks that read it, in a run that spills.
    /// - I14: idle are just the blocks that may leave where they lie.
    /// - I15: what leaves is out of memory for all; what is out of memory can be read or made again.
    /// - I16: what an assigned task reads is at its worker, expected there or made there, unless it was lost, or was
    ///   given back and the task will be.
    /// - I17: a suspect that a worker was permitted to begin, or has asked about, is assigned to it.
    /// - I18: who gives copies is counted: each just as often as copies are on their way from it.
    pub fn check_invariants(&self) {
        if self.is_over() {
            return;
        }
        self.check_counts();
        (0..self.tasks.table.len()).for_each(|at| self.check_task(at));
        self.check_memories();
        self.check_loads();
        self.check_copies();
        self.check_spills();
        (0..self.tasks.table.len()).for_each(|at| self.check_promises(at));
        for (worker, task) in self.suspects.in_hand() {
            assert_eq!(self.tasks.state(task), TaskState::Assigned(worker), "I17: {task:?}");
        }
        let is_busy = self.counts.assigned() > 0 || self.holders.is_copying() || self.transit.is_moving();
        assert!(!self.can_go_on() || is_busy, "I8: nothing is under way");
    }

    /// I4 and I5.
    fn check_memories(&self) {
        let by_table = self.reserved_by_table();
        for (memory, ledger) in self.memories.ledgers() {
            let counted = ReservedBytes { all: ledger.reserved(), leaving: ledger.leaving() };
            assert_eq!(counted, by_table.get(&memory).copied().unwrap_or_default(), "I4: {memory:?}");
            assert!(ledger.reserved() <= ledger.limit(), "I5: {counted:?} of {}", ledger.limit());
        }
        let mut bytes = 0;
        let mut results = 0;
        for at in 0..self.tasks.table.len() {
            let task = self.tasks.program.at_position(at);
            let size = self.tasks.size(task);
            if self.tasks.table.state(at).is_pending() {
                bytes += self.admitted_output(task);
            } else if self.tasks.is_there(task) && !self.ahead.spills() {
                bytes += size;
            } else if self.tasks.is_there(task) && self.must_stay(task) {
                results += size;
            } else if self.tasks.is_there(task) && self.ahead.readers(task) > 0 {
                bytes += size;
            }
        }
        assert_eq!((self.ahead.bytes(), self.ahead.results()), (bytes, results), "I4");
        assert!(self.ahead.spills() || bytes <= self.ahead.limit(), "I5: {bytes} of {}", self.ahead.limit());
    }

    /// I16.
    fn check_promises(&self, at: usize) {
        let TaskState::Assigned(worker) = self.tasks.table.state(at) else { return };
        let task = self.tasks.program.at_position(at);
        for input in self.tasks.blocks_read(task) {
            let is_here = self.tasks.location(input) == Some(worker) || self.holders.expects(input, worker);
            let is_lost = !self.tasks.is_there(input) && self.counts.recomputed() > 0;
            let is_promised = is_here || self.is_made_at(worker, input) || is_lost;
            let is_astray = self.astray.contains(&(task, input));
            assert!(is_promised || is_astray, "I16: {task:?} at {worker:?} reads {input:?}");
        }
    }

    /// I1.
    fn check_counts(&self) {
        let states = || (0..self.tasks.table.len()).map(|at| self.tasks.table.state(at));
        let unfinished = states().filter(|state| !state.is_finished()).count();
        let admitted = states().filter(|state| state.is_pending()).count();
        let assigned = states().filter(|state| matches!(state, TaskState::Assigned(_))).count();
        assert_eq!(self.counts.unfinished(), unfinished, "I1");
        let program = &self.tasks.program;
        let mut left = vec![0; program.stages().len()];
        let pending = (0..self.tasks.table.len()).filter(|at| !self.tasks.table.state(*at).is_finished());
        pending.for_each(|at| left[program.at_position(at).stage.at()] += 1);
        program.stage_ids().for_each(|id| assert_eq!(self.counts.left(id), left[id.at()], "I1: {id:?}"));
        assert_eq!(self.counts.admitted(), admitted, "I1");
        assert_eq!(self.counts.assigned(), assigned, "I1");
    }

    /// I2, I3, I7, I9 and I12 of one task.
    fn check_task(&self, at: usize) {
        let Tasks { program, table, .. } = &self.tasks;
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
                assert!(left > 0 || program.keeps(task), "I3: {task:?} is held for nobody");
                assert!(!self.must_stay(task), "I15: {task:?} has left memory");
            }
            TaskState::Assigned(_) | TaskState::Idle | TaskState::Released => {}
        }
    }

    /// I10, I11 and I18.
    fn check_copies(&self) {
        for (block, copies) in self.holders.further() {
            assert!(copies.is_consistent(), "I18: {block:?} at {:?}", copies.all());
            let copies = copies.all();
            let distinct: HashSet<_> = copies.iter().map(|copy| copy.worker).collect();
            assert!(distinct.len() == copies.len() && !copies.is_empty(), "I10: {block:?} at {copies:?}");
            let state = self.tasks.state(block);
            for copy in copies {
                assert!(self.fleet.get(copy.worker).is_some(), "I10: {block:?} at {copies:?}");
                assert!(state != TaskState::Done(copy.worker), "I10: {block:?} twice");
                assert!(copy.known || copy.readers > 0, "I10: {block:?} comes for nobody");
            }
        }
        for (block, transfer) in self.holders.copies() {
            let lies_there = match self.tasks.state(block) {
                TaskState::Done(worker) => worker == transfer.from,
                _ => false,
            };
            let is_lost = self.fleet.get(transfer.from).is_none();
            let can_read = self.transit.file(block) == self.fleet.memory(transfer.from);
            let lies_there = lies_there || can_read || is_lost;
            assert!(lies_there, "I11: {block:?} from {:?}", transfer.from);
            assert!(self.fleet.get(transfer.to).is_some(), "I11: {block:?} to {:?}", transfer.to);
        }
        for (id, _) in self.fleet.iter() {
            let copies = self.holders.copies().filter(|(_, transfer)| transfer.from == id).count();
            assert_eq!(self.holders.giving(id) as usize, copies, "I11: {id:?}");
        }
    }

    /// I13, I14 and I15.
    fn check_spills(&self) {
        let mut pins: HashMap<TaskId, u32> = HashMap::new();
        let is_assigned = |at: &usize| matches!(self.tasks.table.state(*at), TaskState::Assigned(_));
        for at in (0..self.tasks.table.len()).filter(|_| self.ahead.spills()).filter(is_assigned) {
            for input in self.tasks.blocks_read(self.tasks.program.at_position(at)) {
                *pins.entry(input).or_default() += 1;
            }
        }
        for at in 0..self.tasks.table.len() {
            let block = self.tasks.program.at_position(at);
            let state = self.tasks.table.state(at);
            assert_eq!(self.eviction.pins(block), pins.get(&block).copied().unwrap_or(0), "I13: {block:?}");
            let holder = self.tasks.location(block);
            let home = holder.and_then(|holder| self.fleet.memory(holder));
            let mut idle: Vec<WorkerId> = holder.into_iter().filter(|_| self.may_leave(block)).collect();
            let far = self.holders.of(block).iter().filter(|copy| self.may_drop(block, copy, home));
            idle.extend(far.map(|copy| copy.worker));
            idle.sort_unstable();
            let mut counted: Vec<WorkerId> = self.eviction.idle_at(block).collect();
            counted.sort_unstable();
            assert_eq!(counted, idle, "I14: {block:?} {state:?}");
            let leaves = self.transit.leaves_from(block).is_some();
            assert!(!leaves || !matches!(state, TaskState::Done(_)), "I15: {block:?} {state:?}");
            let can_return = leaves || self.transit.file(block).is_some() || self.tasks.is_source(block);
            assert!(state != TaskState::Spilled || can_return, "I15: {block:?} {state:?}");
        }
    }

    /// Blocks that `worker` writes.
    fn moving_at(&self, worker: WorkerId) -> u32 {
        self.transit.leaving().filter(|(_, at)| *at == worker).count() as u32
    }

    /// I6.
    fn check_loads(&self) {
        let mut assigned: HashMap<WorkerId, [u32; 2]> = HashMap::new();
        for at in 0..self.tasks.table.len() {
            if let TaskState::Assigned(worker) = self.tasks.table.state(at) {
                let lane = self.tasks.lane(self.tasks.program.at_position(at));
                assert!(self.fleet.may_do(worker, lane), "I6: {lane:?} at {worker:?}");
                assigned.entry(worker).or_default()[usize::from(lane != Lane::Compute)] += 1;
            }
        }
        for worker in assigned.keys() {
            assert!(self.fleet.get(*worker).is_some(), "I6: tasks at {worker:?}, which is not there");
        }
        for (id, queue) in self.fleet.iter() {
            let [compute, io] = assigned.get(&id).copied().unwrap_or_default();
            let all = [compute, io + self.moving_at(id)];
            assert_eq!([queue.compute.tasks(), queue.io.tasks()], all, "I6: {id:?}");
        }
    }
}
