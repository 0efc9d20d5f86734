//! Where tasks are done in a process of a cluster: the actor that every worker is, and what it takes to be one
//! elsewhere.

use super::depot::BlockDepot;
use super::network::Neighbours;
use super::opened::CannotOpen;
use crate::actors::{Activity, FromWorkers, Lost, Peers, Run, Stalls, ToWorkers, Worker, WorkerThreads};
use crate::exec::Bindings;
use crate::failure::Failure;
use crate::files::Depth;
use crate::graph::Program;
use crate::ids::{RunId, WorkerId};
use crate::protocol::{BlockKey, Figures, FromWorker, FromWorkerProcess, RunSpec, ToWorker, ToWorkerProcess};
use crate::sched::Workspace;
use crate::store::{Pool, SpillPlace};
use actix::{Actor, Addr, ArbiterHandle, Context, Handler};
use cluster::endpoint::Endpoint;
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};

/// Says something to the scheduler. Never waits.
pub type Say = Arc<dyn Fn(FromWorkerProcess) + Send + Sync>;

/// The program of a run, and what its names stand for here.
pub type Open = Box<dyn Fn(RunSpec, Workspace) -> Result<(Arc<Program>, Arc<Bindings>), CannotOpen> + Send>;

/// The scheduler, from inside: what the worker's actor says goes over the wire.
struct SchedulerElsewhere(Say);

impl Actor for SchedulerElsewhere {
    type Context = Context<Self>;
}

impl Handler<FromWorkers> for SchedulerElsewhere {
    type Result = ();

    fn handle(&mut self, FromWorkers { messages, .. }: FromWorkers, _: &mut Self::Context) {
        (self.0)(FromWorkerProcess::Tell { messages });
    }
}

impl Handler<Lost> for SchedulerElsewhere {
    type Result = ();

    fn handle(&mut self, Lost { why, .. }: Lost, _: &mut Self::Context) {
        (self.0)(FromWorkerProcess::Broken { why });
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

/// A run as it is done here.
struct Here {
    run: Arc<Run>,
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
    here: Option<Here>,
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
        Workplace { means, open, say, arbiter, neighbours, depot, pool, activity, actor: None, here: None }
    }

    pub fn say(&self, message: FromWorkerProcess) {
        (self.say)(message);
    }

    /// Does what the scheduler says. It breaks if that is to go.
    pub fn heed(&mut self, told: ToWorkerProcess) -> ControlFlow<()> {
        match told {
            ToWorkerProcess::Enlisted { worker, .. } => self.enlisted(worker),
            ToWorkerProcess::Begin { run, spec, workspace, .. } => self.begin(run, *spec, workspace),
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
            let scheduler = SchedulerElsewhere(say).start();
            let hears = scheduler.clone().recipient();
            let worker =
                Worker::new(worker, threads, hears, scheduler.recipient(), Peers::default(), activity);
            // Whoever waits is just below.
            let _ = tell.send(worker.start());
        });
        self.actor = told.recv().ok();
    }

    /// A run begins, if what it reads and writes is here.
    fn begin(&mut self, id: RunId, spec: RunSpec, workspace: Workspace) {
        let sync = spec.sync;
        let (program, bindings) = match (self.open)(spec, workspace) {
            Ok(opened) => opened,
            Err(CannotOpen { failure, not_shared }) => {
                tracing::info!("run {} cannot begin here: {failure}", id.0);
                return self.say(FromWorkerProcess::CannotBegin { run: id, failure, not_shared });
            }
        };
        tracing::info!("run {} begins here", id.0);
        self.neighbours.begin();
        self.activity.begin(self.means.threads.io);
        let run = Arc::new(Run {
            id,
            program,
            bindings,
            workspace,
            pool: self.pool.begin(self.means.budget),
            spill: Some(self.means.spill.begin(id)),
            network: Some(Arc::new(self.neighbours.clone())),
        });
        if let Some(actor) = &self.actor {
            let say = self.say.clone();
            self.depot.begin(run.clone(), actor.clone(), move |BlockKey { run, block }| {
                say(FromWorkerProcess::Tell { messages: vec![FromWorker::Vanished { run, block }] });
            });
        }
        self.here = Some(Here { run, sync, stalls: self.activity.stalls() });
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

    /// All tasks are done: what was written here goes to the disk if the run wants that, and what it took is told.
    fn conclude(&self, id: RunId) {
        if let Some(here) = self.here.as_ref().filter(|here| here.run.id == id) {
            let figures = here.written().map(|()| self.figures(here));
            self.say(FromWorkerProcess::Concluded { run: id, figures });
        }
    }

    /// What the run has taken here so far.
    fn figures(&self, here: &Here) -> Figures {
        let (bytes_read, bytes_written) = here.run.bindings.traffic.bytes();
        let memory = self.pool.usage();
        let spilled = here.run.spill.as_ref().map(|files| files.usage()).unwrap_or_default();
        let stalls = self.activity.stalls().since(here.stalls);
        Figures {
            bytes_read,
            bytes_written,
            bytes_received: self.neighbours.received(),
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

impl Here {
    /// Nobody else can see to it that what was written here is on the disk of a network file system.
    fn written(&self) -> Result<(), Failure> {
        if self.sync { self.run.bindings.outputs.iter().try_for_each(|output| output.sync()) } else { Ok(()) }
    }
}
