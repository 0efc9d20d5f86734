//! The process that asks for the run: a worker without threads that compute, which alone can read and write some of the
//! files. Nothing ever happens to it.

use super::memory::SimMemory;
use super::rng::Rng;
use super::worker::SimWorker;
use super::world::World;
use dolmen::graph::Program;
use dolmen::ids::{MemoryId, StageId, TaskList, WorkerId};
use dolmen::sched::Event;
use std::collections::BTreeSet;

pub struct Client {
    pub(super) id: WorkerId,
    /// Only it can do the tasks of these stages.
    pub(super) pinned: BTreeSet<StageId>,
}

/// Some of the stages that read or write, perhaps none.
pub fn some_io_stages(rng: &mut Rng, program: &Program) -> Vec<StageId> {
    program.stage_ids().filter(|id| program.stage(*id).kind.is_io() && rng.chance(60)).collect()
}

impl World {
    /// A client with so many bytes, before any worker.
    pub fn client(mut self, pinned: &[StageId], bytes: u64) -> Self {
        let id = self.next_name();
        self.client = Some(Client { id, pinned: pinned.iter().copied().collect() });
        self.core = self.new_core();
        let memory = MemoryId(id.0);
        self.memories.insert(memory, SimMemory { bytes, ..SimMemory::default() });
        self.workers.insert(id, SimWorker::new(0, memory, self.program.clone()));
        self.send_core(id, vec![Event::Join { worker: id, threads: 0, memory, bytes }]);
        self
    }

    pub(super) fn is_client(&self, worker: WorkerId) -> bool {
        self.client.as_ref().is_some_and(|client| client.id == worker)
    }

    /// Can only the client do the tasks of this stage?
    pub fn is_pinned(&self, stage: StageId) -> bool {
        self.client.as_ref().is_some_and(|client| client.pinned.contains(&stage))
    }

    /// The client gets just what is pinned to it, and nobody else does.
    pub(super) fn check_pins(&self, worker: WorkerId, tasks: &TaskList) {
        for task in tasks.iter() {
            let is_pinned = self.is_pinned(task.stage);
            assert_eq!(is_pinned, self.is_client(worker), "{task:?} for {worker:?}");
        }
    }
}
