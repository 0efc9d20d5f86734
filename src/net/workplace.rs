//! Where tasks are done in a process of a cluster: the actor that every worker is, and what it takes to be one
//! elsewhere.

use super::depot::BlockDepot;
use super::network::Neighbours;
use super::opened::CannotOpen;
use crate::actors::{
    Activity, FromWorkers, GoOn, KeptOfRun, Lost, Peers, Run, Settle, Stalls, ToWorkers, Worker,
    WorkerThreads,
};
use crate::exec::Bindings;
use crate::failure::Failure;
use crate::files::Depth;
use crate::graph::Program;
use crate::ids::{RunId, WorkerId};
use crate::protocol::{
    BlockKey, Figures, FileReport, FromWorker, FromWorkerProcess, RunIdentity, RunSpec, ToWorker,
    ToWorkerProcess,
};
use crate::sched::{Holding, Workspace};
use crate::store::{Pool, SpillFiles, SpillPlace};
use actix::{Actor, Addr, ArbiterHandle, Context, Handler};
use cluster::device::FileUse;
use cluster::endpoint::Endpoint;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// A thread that is in the middle of something when the scheduler is lost, and is not done after so long, may wait for
/// a buffer that nobody is told to free any more.
const STUCK: Duration = Duration::from_secs(10);

/// Says something to the scheduler. Never waits.
pub type Say = Arc<dyn Fn(FromWorkerProcess) + Send + Sync>;

/// The program of a run, and what its names stand for here.
pub type Open = Box<dyn Fn(RunSpec, Workspace) -> Result<(Arc<Program>, Arc<Bindings>), CannotOpen> + Send>;

/// The scheduler, from inside: what the worker's actor says goes over the wire.
struct SchedulerElsewhere {
    say: Say,
    activity: Arc<Activity>,
    /// When it was told last what has been done with files, and with how many I/O tasks.
    told_files: Option<(Instant, usize)>,
}

/// So seldom the scheduler is told what has been done with files, if the number of I/O tasks has not changed.
const TELL_FILES: Duration = Duration::from_millis(250);

impl SchedulerElsewhere {
    /// Says what has been done with files, if that has not been said just now.
    fn tell_files(&mut self, run: RunId) {
        let io_tasks = self.activity.io_tasks.now();
        let is_known = |(told, tasks): (Instant, usize)| told.elapsed() < TELL_FILES && tasks == io_tasks;
        if self.told_files.is_some_and(is_known) {
            return;
        }
        self.told_files = Some((Instant::now(), io_tasks));
        let FileUse { bytes, waited } = self.activity.file_use();
        let report = FileReport { bytes: bytes as u64, waited, io_tasks: io_tasks as u64 };
        (self.say)(FromWorkerProcess::Files { run, report });
    }
}

impl Actor for SchedulerElsewhere {
    type Context = Context<Self>;
}

impl Handler<FromWorkers> for SchedulerElsewhere {
    type Result = ();

    fn handle(&mut self, FromWorkers { messages, .. }: FromWorkers, _: &mut Self::Context) {
        let run = messages.first().map(FromWorker::run);
        (self.say)(FromWorkerProcess::Tell { messages });
        if let Some(run) = run {
            self.tell_files(run);
        }
    }
}

impl Handler<Lost> for SchedulerElsewhere {
    type Result = ();

    fn handle(&mut self, Lost { why, .. }: Lost, _: &mut Self::Context) {
        (self.say)(FromWorkerProcess::Broken { why });
    }
}

/// What a process has for tasks.
pub struct Means {
    pub threads: WorkerThreads,
    /// Bytes of blocks and workspaces.
    pub budget: u64,
    pub spill: SpillPlace,
    /// How many requests its files get at once.
    pub depth: Arc<Depth>,
}

/// What a process holds of a run whose scheduler it has lost.
pub struct KeptRun {
    identity: RunIdentity,
    held: KeptOfRun,
    /// Its blocks are of this pool.
    pool: Pool,
    /// Those of its blocks that have been written.
    files: Option<SpillFiles>,
}

impl fmt::Debug for KeptRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptRun").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl KeptRun {
    pub fn identity(&self) -> RunIdentity {
        self.identity
    }

    pub fn holding(&self) -> Holding {
        let mut written = self.files.as_ref().map(SpillFiles::blocks).unwrap_or_default();
        written.sort_unstable();
        Holding {
            in_memory: self.held.blocks.iter().map(|(block, _)| *block).collect(),
            written: written.into_iter().collect(),
            done: self.held.done.clone(),
        }
    }
}

/// A run as it is done here.
struct RunHere {
    run: Arc<Run>,
    /// None if it has none that means anything to another scheduler.
    identity: Option<RunIdentity>,
    /// Its results count as written only when their data is on the disk.
    sync: bool,
    /// Of the time before it.
    stalls: Stalls,
}

/// The tasks, threads and blocks of one process.
pub struct Workplace {
    means: Means,
    open: Open,
    say: Say,
    arbiter: ArbiterHandle,
    neighbours: Arc<Neighbours>,
    depot: BlockDepot,
    pool: Pool,
    activity: Arc<Activity>,
    actor: Option<Addr<Worker>>,
    /// Of the time of an earlier scheduler.
    kept: Option<KeptRun>,
    here: Option<RunHere>,
}

impl Workplace {
    /// A place whose actors live on `arbiter`. Runs are opened by `open`. Others get its blocks from `depot`, and it
    /// gets theirs through `endpoint`.
    pub fn new(
        means: Means,
        open: Open,
        say: Say,
        arbiter: ArbiterHandle,
        depot: BlockDepot,
        endpoint: Arc<Endpoint>,
    ) -> Workplace {
        let activity = Arc::new(Activity::new(means.depth.clone()));
        let pool = Pool::new(means.budget);
        let neighbours = Arc::new(Neighbours::new(endpoint));
        let (actor, kept, here) = (None, None, None);
        Workplace { means, open, say, arbiter, neighbours, depot, pool, activity, actor, kept, here }
    }

    /// Such a place that keeps something of the time of an earlier scheduler.
    pub fn keeping(mut self, kept: Option<KeptRun>) -> Workplace {
        if let Some(kept) = &kept {
            self.pool = kept.pool.clone();
        }
        self.kept = kept;
        self
    }

    pub fn say(&self, message: FromWorkerProcess) {
        (self.say)(message);
    }

    /// Does what the scheduler says. It breaks if that is to go.
    pub fn heed(&mut self, told: ToWorkerProcess) -> ControlFlow<()> {
        match told {
            ToWorkerProcess::Enlisted { worker, .. } => self.enlisted(worker),
            ToWorkerProcess::Begin { run, spec, workspace, io_tasks, goes_on, .. } => {
                let kept = self.kept.take().filter(|_| goes_on);
                if goes_on && kept.is_none() {
                    self.say(FromWorkerProcess::Broken { why: "nothing of this run is kept here".into() });
                } else {
                    self.begin(run, *spec, workspace, io_tasks, kept);
                }
            }
            ToWorkerProcess::LetGo => self.kept = None,
            ToWorkerProcess::Meet { worker, depot } => self.neighbours.meet(worker, depot),
            ToWorkerProcess::Tell { run, messages } => self.told(run, messages),
            ToWorkerProcess::Conclude { run } => self.conclude(run),
            ToWorkerProcess::Leave => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// The scheduler has given it a number.
    fn enlisted(&mut self, worker: WorkerId) {
        let (say, activity, threads) = (self.say.clone(), self.activity.clone(), self.means.threads);
        let (tell, told) = mpsc::channel();
        self.arbiter.spawn_fn(move || {
            let scheduler = SchedulerElsewhere { say, activity: activity.clone(), told_files: None }.start();
            let hears = scheduler.clone().recipient();
            let worker =
                Worker::new(worker, threads, hears, scheduler.recipient(), Peers::default(), activity);
            // Whoever waits is just below.
            let _ = tell.send(worker.start());
        });
        self.actor = told.recv().ok();
    }

    /// A run begins, if what it reads and writes is here. What is `kept` of it is there from the beginning.
    fn begin(
        &mut self,
        id: RunId,
        spec: RunSpec,
        workspace: Workspace,
        io_tasks: u64,
        kept: Option<KeptRun>,
    ) {
        let (sync, identity) = (spec.sync, spec.identity().ok());
        let (program, bindings) = match (self.open)(spec, workspace) {
            Ok(opened) => opened,
            Err(CannotOpen { failure, not_shared }) => {
                tracing::info!("run {} cannot begin here: {failure}", id.0);
                return self.say(FromWorkerProcess::CannotBegin { run: id, failure, not_shared });
            }
        };
        let how = if kept.is_some() { "goes on" } else { "begins" };
        tracing::info!("run {} {how} here", id.0);
        let (held, files) = kept.map(|kept| (kept.held, kept.files)).unzip();
        self.neighbours.begin();
        self.activity.begin(self.means.threads.io.min(io_tasks as usize));
        let run = Arc::new(Run {
            id,
            program,
            bindings,
            workspace,
            pool: self.pool.begin(self.means.budget),
            spill: Some(files.flatten().unwrap_or_else(|| self.means.spill.begin(id))),
            network: Some(Arc::new(self.neighbours.clone())),
        });
        if let Some(actor) = &self.actor {
            if let Some(held) = held {
                actor.do_send(GoOn { run: run.clone(), held });
            }
            let say = self.say.clone();
            self.depot.begin(run.clone(), actor.clone(), move |BlockKey { run, block }| {
                say(FromWorkerProcess::Tell { messages: vec![FromWorker::Vanished { run, block }] });
            });
        }
        self.here = Some(RunHere { run, identity, sync, stalls: self.activity.stalls() });
    }

    /// Messages of the scheduler about a run, which may be over here.
    fn told(&mut self, id: RunId, messages: Vec<ToWorker>) {
        let here = self.here.as_ref().filter(|here| here.run.id == id);
        let (Some(here), Some(actor)) = (here, &self.actor) else { return };
        let is_over = messages.iter().any(|message| matches!(message, ToWorker::Forget { .. }));
        // It passes the mailbox limit: the scheduler says no more than what this worker can hold.
        actor.do_send(ToWorkers { run: here.run.clone(), messages });
        if is_over {
            tracing::info!("run {} is over here", id.0);
            self.activity.end();
            self.here = None;
            self.depot.end(id);
        }
    }

    /// The scheduler is lost. Waits for what is being done, and returns what is here of a run, of which nothing is left
    /// to the depot.
    pub fn settle(mut self) -> Option<KeptRun> {
        let Some(RunHere { run, identity, .. }) = self.here.take() else { return self.kept.take() };
        self.depot.end(run.id);
        let (tell, told) = mpsc::channel();
        self.actor.as_ref()?.do_send(Settle { tell });
        let held = told.recv_timeout(STUCK).or_else(|_| {
            // Whoever waits for a buffer gets none.
            self.pool.begin(self.means.budget);
            told.recv()
        });
        let (held, files) = (held.ok()??, run.spill.clone());
        Some(KeptRun { identity: identity?, held, pool: self.pool.clone(), files })
    }

    /// All tasks are done: what was written here goes to the disk if the run wants that, and what it took is told.
    fn conclude(&self, id: RunId) {
        if let Some(here) = self.here.as_ref().filter(|here| here.run.id == id) {
            let figures = here.written().map(|()| self.figures(here));
            self.say(FromWorkerProcess::Concluded { run: id, figures });
        }
    }

    /// What the run has taken here so far.
    fn figures(&self, here: &RunHere) -> Figures {
        let (bytes_read, bytes_written) = here.run.bindings.traffic.bytes();
        let memory = self.pool.usage();
        let spilled = here.run.spill.as_ref().map(|files| files.usage()).unwrap_or_default();
        let stalls = self.activity.stalls().since(here.stalls);
        Figures {
            bytes_read,
            bytes_written,
            bytes_received: self.neighbours.received(),
            bytes_saved: self.neighbours.saved(),
            peak_memory: memory.peak,
            most_buffers: memory.most_buffers,
            io_in_flight: self.activity.most_in_flight(),
            io_tasks_most: self.activity.io_tasks.most() as u64,
            spilled: spilled.written,
            spilled_raw: spilled.raw_written,
            read_back: spilled.read,
            peak_spilled: spilled.peak,
            stalls: [stalls.read, stalls.load, stalls.spill, stalls.write, stalls.tasks],
        }
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Some(here) = &self.here {
            self.depot.end(here.run.id);
        }
    }
}

impl RunHere {
    /// Nobody else can see to it that what was written here is on the disk of a network file system.
    fn written(&self) -> Result<(), Failure> {
        if self.sync { self.run.bindings.outputs.iter().try_for_each(|output| output.sync()) } else { Ok(()) }
    }
}
