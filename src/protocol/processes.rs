//! Messages between processes, named by direction: scheduler, workers, clients.

use super::{FromWorker, MessageError, ToWorker, encode};
use crate::array::InputId;
use crate::data::{InputSpec, OutputSpec};
use crate::failure::Failure;
use crate::graph::Stage;
use crate::ids::{BlockId, RunId, TaskId, WorkerId};
use crate::sched::{Holding, Seat, Workspace};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use xxhash_rust::xxh3::xxh3_64;

/// Where others get the blocks of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Depot {
    pub address: SocketAddr,
    /// Of the process that listens there.
    pub life: u64,
    /// It is the client that asked for the run, not a worker.
    pub is_client: bool,
}

/// A part of every worker's memory. Each is one run's at a time, so that a small run need not wait for a large one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Portion {
    Large,
    Small,
}

/// What a worker process brings along, by portion. Threads are those of each portion: the system divides the cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seats {
    pub large: Seat,
    /// None if its memory is not worth dividing.
    pub small: Option<Seat>,
}

impl Seats {
    pub fn of(&self, portion: Portion) -> Option<Seat> {
        match portion {
            Portion::Large => Some(self.large),
            Portion::Small => self.small,
        }
    }

    /// Both together.
    pub fn all(&self) -> Seat {
        let small = self.small.map_or(0, |small| small.budget);
        Seat { budget: self.large.budget.saturating_add(small), ..self.large }
    }
}

/// What is to be computed, as data: a program, and what its inputs and outputs are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RunSpec {
    pub stages: Vec<Stage>,
    /// Those that every worker can open.
    pub inputs: Vec<(InputId, InputSpec)>,
    /// By their numbers; none where only the client can write.
    pub outputs: Vec<Option<OutputSpec>>,
    /// What only the client can read and write, if there is anything.
    pub own: Option<ClientPart>,
    /// Results count as written only when their data is on the disk.
    pub sync: bool,
    /// A number that the client has drawn for this run. It is submitted to the next scheduler under the same.
    pub drawn: u64,
}

/// A run, whoever is its scheduler. What was done of one is done of the other if these are equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunIdentity {
    /// See [`RunSpec::drawn`].
    pub drawn: u64,
    /// Of all that its tasks follow from.
    pub digest: u64,
}

impl RunSpec {
    pub fn identity(&self) -> Result<RunIdentity, MessageError> {
        let RunSpec { stages, inputs, outputs, own, sync, drawn } = self;
        let own = own.as_ref().map(|own| (&own.inputs, &own.outputs));
        let digest = xxh3_64(&encode(&(stages, inputs, outputs, own, sync))?);
        Ok(RunIdentity { drawn: *drawn, digest })
    }
}

/// What a worker has kept of a run whose scheduler it has lost.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Offer {
    pub portion: Portion,
    pub run: RunIdentity,
    pub holding: Holding,
}

/// The client's part in a run: it is a worker without threads that compute, and does what nobody else can.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClientPart {
    pub seat: Seat,
    /// Where others get its blocks.
    pub depot: SocketAddr,
    pub inputs: Vec<InputId>,
    /// Numbers of outputs.
    pub outputs: Vec<u32>,
}

/// What a worker could not open: its folder may not be shared.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NotShared {
    pub inputs: Vec<InputId>,
    /// Numbers of outputs.
    pub outputs: Vec<u32>,
}

/// From the scheduler to a worker process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ToWorkerProcess {
    /// The answer to [`FromWorkerProcess::Enlist`].
    Enlisted {
        worker: WorkerId,
        /// If the scheduler is lost it may come back within so many seconds.
        grace: Option<f64>,
    },
    /// A run begins, or goes on with what the worker has offered of it. What it has kept of another one in this portion
    /// goes. Messages about the run follow.
    Begin {
        run: RunId,
        portion: Portion,
        spec: Box<RunSpec>,
        workspace: Workspace,
        /// I/O tasks that it may run at once, if it has as many threads for them.
        io_tasks: u64,
        goes_on: bool,
    },
    /// Nobody wants what the worker has offered and still keeps.
    LetGo,
    /// Where the blocks of another worker are. Comes before the first message that names it.
    Meet {
        worker: WorkerId,
        depot: Depot,
    },
    Tell {
        run: RunId,
        messages: Vec<ToWorker>,
    },
    /// All tasks are done. Blocks stay; the answer is [`FromWorkerProcess::Concluded`].
    Conclude {
        run: RunId,
    },
    /// Go: nothing here is needed any more.
    Leave,
}

/// From a worker process to the scheduler.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum FromWorkerProcess {
    /// The first message.
    Enlist {
        seats: Seats,
        depot: SocketAddr,
        /// Of runs whose scheduler was lost.
        offers: Vec<Offer>,
    },
    Tell {
        messages: Vec<FromWorker>,
    },
    /// Its inputs or outputs are not there.
    CannotBegin {
        run: RunId,
        failure: Failure,
        not_shared: NotShared,
    },
    Concluded {
        run: RunId,
        figures: Result<Figures, Failure>,
    },
    /// It wants to go, once others have what only it has.
    Drain,
    /// It has no threads.
    Broken {
        why: String,
    },
    /// What it has done with files in a run, now and then.
    Files {
        run: RunId,
        report: FileReport,
    },
}

/// What a worker has done with files since it began.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct FileReport {
    /// Read and written.
    pub bytes: u64,
    /// Core-seconds in which nothing could be computed until files had been read or written.
    pub waited: f64,
    /// I/O tasks that it runs at once now.
    pub io_tasks: u64,
}

/// What a run took at one worker.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Of blocks that came from other workers, as they travelled.
    pub bytes_received: u64,
    /// Bytes that these have and that did not travel, since they came compressed.
    pub bytes_saved: u64,
    pub peak_memory: u64,
    pub most_buffers: u64,
    pub io_in_flight: u64,
    pub io_tasks_most: u64,
    pub spilled: u64,
    /// The same before compression.
    pub spilled_raw: u64,
    pub read_back: u64,
    pub peak_spilled: u64,
    /// Thread-seconds that computing stood still: for reads, loads, spills, writes, and for tasks.
    pub stalls: [f64; 5],
}

/// From a client to the scheduler. Numbers are the client's own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum FromClient {
    /// Tell now, and whenever somebody comes or goes, who is there.
    WatchFleet,
    /// So many workers are waited for, and counted on as long as the client is there.
    NeedWorkers { count: u64 },
    Submit {
        number: u64,
        spec: Box<RunSpec>,
        /// What it has kept of its part in this run, if its scheduler was lost.
        holding: Option<Holding>,
    },
    /// Nothing of this run is wanted any more. If it is still going on it is cancelled.
    Release { number: u64 },
    /// What it says as a worker in its run.
    AsWorker { number: u64, message: FromWorkerProcess },
    /// What goes on? Answered by [`ToClient::Status`].
    Status,
    /// Why is this task of the run that goes on where it is? Answered by [`ToClient::Explained`].
    Explain { task: TaskId },
    /// Let the worker of this name go, once others have what only it has. Answered by [`ToClient::Drained`].
    Drain { name: String },
    /// End the scheduler and all workers.
    Stop,
}

/// A worker and what it has.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FleetMember {
    pub name: String,
    pub seat: Seat,
}

/// From the scheduler to a client.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ToClient {
    /// The first message. If the scheduler is lost it may come back within so many seconds.
    Welcome {
        grace: Option<f64>,
    },
    Fleet {
        members: Vec<FleetMember>,
        /// What keeps others away, in the words of whoever should give them; empty if nothing does.
        trouble: String,
        /// They give no others until somebody changes something.
        hopeless: bool,
    },
    /// The run is in line: so many others come first.
    Waits {
        number: u64,
        before: u64,
    },
    Progress {
        number: u64,
        done: u64,
        total: u64,
    },
    Ended {
        number: u64,
        result: Result<Ended, Failure>,
    },
    /// The run is given up: a worker cannot open these. The client can do what is to be done with them itself.
    NotShared {
        number: u64,
        not_shared: NotShared,
        failure: Failure,
    },
    /// What is said to it as a worker in its run.
    AsWorker {
        number: u64,
        message: ToWorkerProcess,
    },
    Status(Status),
    /// Lines of text, or why there are none.
    Explained(Result<Vec<String>, Failure>),
    /// The worker has left, or why it has not.
    Drained(Result<(), Failure>),
    /// The last message: somebody has stopped the scheduler, which does not come back.
    Stopped,
}

/// What goes on at a cluster.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    pub workers: Vec<WorkerStatus>,
    /// The one that goes on, then those that wait.
    pub runs: Vec<RunStatus>,
    /// None if nobody starts workers by itself.
    pub autoscaler: Option<AutoscalerStatus>,
}

/// Who decides how many workers there are, and what it has done.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AutoscalerStatus {
    /// Where workers come from: "local" or "slurm".
    pub provider: String,
    pub min_workers: u64,
    pub max_workers: u64,
    /// So many workers are wanted.
    pub wanted: u64,
    /// So many of them were asked for and have not come yet.
    pub asked_for: u64,
    /// So many leave.
    pub leaving: u64,
    /// What was done last, and why; empty if nothing was.
    pub decision: String,
    pub reason: String,
    /// Seconds since then.
    pub seconds_ago: f64,
    /// Why nothing else is done now.
    pub now: String,
    /// The provider's own words if it cannot, if its workers fail, or why they have not begun; else empty.
    pub words: String,
    /// Seconds until it is asked again, if it has refused.
    pub asked_again_in: Option<f64>,
    /// Another worker is refused until somebody changes something, or would fail like those before it.
    pub hopeless: bool,
}

/// A worker, and what it holds and does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WorkerStatus {
    pub name: String,
    /// Where others get its blocks.
    pub address: SocketAddr,
    pub threads: u64,
    pub memory_bytes: u64,
    /// It hands over what it has and goes.
    pub leaving: bool,
    /// Tasks in its hands that compute, and tasks that wait for files.
    pub computing: u32,
    pub io: u32,
    /// Until a task that is handed over now would start; none if it gets no more.
    pub queue_seconds: Option<f64>,
    /// Bytes of blocks that it holds or is going to, and may hold.
    pub held_bytes: u64,
    pub most_held_bytes: u64,
}

/// A run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RunStatus {
    pub client: String,
    /// "waits", "is planned", "runs", "concludes" or "hands out results".
    pub state: String,
    /// Since it was asked for.
    pub seconds: f64,
    pub done: u64,
    pub tasks: u64,
    pub recomputed: u64,
    pub stages: Vec<StageStatus>,
}

/// A stage of the run that goes on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StageStatus {
    pub name: String,
    pub tasks: u64,
    /// Of one task, as measured so far.
    pub seconds_per_task: f64,
}

/// What a run that succeeded leaves.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// Its number at the scheduler, by which blocks are asked for.
    pub run: RunId,
    /// Where the blocks of results are.
    pub kept: Vec<(BlockId, Depot)>,
    pub recomputed: u64,
    /// Tasks that had been done for a scheduler that was lost, and were not done again.
    pub taken_up: u64,
    /// Seconds that it waited for its turn.
    pub waited: f64,
    /// Of each worker that was there at the end.
    pub workers: Vec<WorkerFigures>,
}

/// What a run took at one worker, and what that was allowed to take.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WorkerFigures {
    pub name: String,
    /// Bytes that it may hold at most in this run.
    pub bound: u64,
    pub figures: Figures,
}

/// The name of a block in a request for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlockKey {
    pub run: RunId,
    pub block: BlockId,
}
