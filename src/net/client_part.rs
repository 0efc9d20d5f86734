//! The client's part in a run: it reads and writes what no worker can.

use super::depot::BlockDepot;
use super::workplace::{KeptRun, Means, Say, Workplace};
use crate::actors::{IoPlace, WorkerThreads};
use crate::array::InputId;
use crate::exec::Bindings;
use crate::failure::Failure;
use crate::files::Depth;
use crate::graph::Program;
use crate::protocol::ToWorkerProcess;
use crate::sched::{Holding, IO_TASKS, Seat, Threads};
use crate::store::SpillPlace;
use cluster::endpoint::Endpoint;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// What the client does itself, and with what.
pub struct OwnPart {
    /// All that the names of the run stand for here.
    pub bindings: Arc<Bindings>,
    /// Inputs and numbers of outputs that no worker can reach.
    pub inputs: Vec<InputId>,
    pub outputs: Vec<u32>,
    /// Bytes of blocks and workspaces that it may hold.
    pub budget: u64,
    pub spill: SpillPlace,
    /// How many requests its files get at once.
    pub depth: Arc<Depth>,
    /// What it has kept of the run, if that goes on at another scheduler.
    pub kept: Option<KeptRun>,
}

impl OwnPart {
    pub fn seat(&self) -> Seat {
        let threads = Threads { compute: 0, io: IO_TASKS as u64 };
        Seat { threads, budget: self.budget, may_spill: true }
    }

    /// What it begins with.
    pub fn holding(&self) -> Option<Holding> {
        self.kept.as_ref().map(KeptRun::holding)
    }

    /// Takes part in the run of `program`. What the scheduler says to it comes through `told`.
    pub fn start(
        self,
        program: Arc<Program>,
        say: Say,
        depot: BlockDepot,
        endpoint: Arc<Endpoint>,
        told: mpsc::Receiver<ToWorkerProcess>,
    ) -> Result<AtWork, Failure> {
        let thread = std::thread::Builder::new().name("dolmen-client".into());
        let thread = thread.spawn(move || self.work(program, say, depot, endpoint, told));
        let thread = thread.map_err(|error| Failure::of_run(format!("cannot start a thread: {error}")))?;
        Ok(AtWork(Some(thread)))
    }

    /// Until nothing more can be told. What is held of the run then, if it is not over.
    fn work(
        self,
        program: Arc<Program>,
        say: Say,
        depot: BlockDepot,
        endpoint: Arc<Endpoint>,
        told: mpsc::Receiver<ToWorkerProcess>,
    ) -> Option<KeptRun> {
        let system = actix::System::new();
        let OwnPart { bindings, budget, spill, depth, kept, .. } = self;
        let threads = WorkerThreads { compute: 0, io: IO_TASKS, io_place: IoPlace::BesideCompute };
        let means = Means { threads, budget, spill, depth };
        // The client knows the run already.
        let open = move |_, _| Ok((program.clone(), bindings.clone()));
        let workplace =
            Workplace::new(means, Box::new(open), say, actix::Arbiter::current(), depot, endpoint);
        let mut workplace = workplace.keeping(kept);
        let actors = actix::System::current();
        let worked = std::thread::spawn(move || {
            let _ = told.into_iter().try_for_each(|message| workplace.heed(message));
            let kept = workplace.settle();
            actors.stop();
            kept
        });
        // Its exit code says nothing.
        let _ = system.run();
        // One that has panicked has kept nothing.
        worked.join().ok().flatten()
    }
}

/// A client that takes part. Waits for its end when dropped, which comes when nothing more can be told.
pub struct AtWork(Option<JoinHandle<Option<KeptRun>>>);

impl AtWork {
    /// Waits for the end. What is kept of a run that is not over.
    pub fn end(mut self) -> Option<KeptRun> {
        self.0.take()?.join().ok().flatten()
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // It has nothing left to say.
            let _ = thread.join();
        }
    }
}
