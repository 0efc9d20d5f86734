//! What scheduler and workers of one process say to each other.

use super::run::Run;
use crate::ids::{BlockId, RunId, TaskList, WorkerId};
use crate::protocol::{FromWorker, ToWorker};
use crate::store::Block;
use actix::Message;
use std::sync::{Arc, mpsc};

/// Messages of the scheduler, in order, with the run that they are about.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ToWorkers {
    pub run: Arc<Run>,
    pub messages: Vec<ToWorker>,
}

/// Go: nothing at this worker is needed any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Release;

/// What a worker holds of a run.
#[derive(Default)]
pub struct KeptOfRun {
    pub blocks: Vec<(BlockId, Arc<Block>)>,
    /// Tasks that leave no blocks and have been done there.
    pub done: TaskList,
}

/// The scheduler is lost: the worker ends what its threads have in hand, forgets the rest and says what it holds.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Settle {
    pub tell: mpsc::Sender<Option<KeptOfRun>>,
}

/// A run goes on of which this is held.
#[derive(Message)]
#[rtype(result = "()")]
pub struct GoOn {
    pub run: Arc<Run>,
    pub held: KeptOfRun,
}

/// What a worker has to say.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FromWorkers {
    pub worker: WorkerId,
    pub messages: Vec<FromWorker>,
}

/// A worker could not start its threads, or is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Lost {
    pub worker: WorkerId,
    pub why: String,
}

/// A block of a run, for another worker or for whoever asked for the run.
#[derive(Message)]
#[rtype(result = "Fetched")]
pub struct Fetch {
    pub run: RunId,
    pub block: BlockId,
    /// If it is on its way to the worker, the answer comes when it is there.
    pub waits: bool,
}

/// What comes of asking a worker for a block.
pub enum Fetched {
    Found(Arc<Block>),
    /// It was on its way to the worker and has not come.
    Failed,
    /// It is not at the worker, and not on its way there as far as that one has heard, or that is not waited for.
    Nowhere,
}

impl Fetched {
    pub fn found(self) -> Option<Arc<Block>> {
        match self {
            Fetched::Found(block) => Some(block),
            Fetched::Failed | Fetched::Nowhere => None,
        }
    }
}
