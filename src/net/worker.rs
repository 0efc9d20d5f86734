//! A worker process: the actor that every worker is, and what it takes to be one elsewhere.

use super::address::{Found, SchedulerAt, connect};
use super::depot::BlockDepot;
use super::identity::introduction;
use super::line::Line;
use super::network::Neighbours;
use super::opened::opened;
use crate::actors::{Activity, FromWorkers, Lost, Peers, Run, Stalls, ToWorkers, Worker, WorkerThreads};
use crate::exec::Functions;
use crate::failure::Failure;
use crate::files::Depth;
use crate::ids::{RunId, WorkerId};
use crate::protocol::{
    BlockKey, Figures, FromWorker, FromWorkerProcess, RunSpec, ToWorker, ToWorkerProcess, decode,
};
use crate::sched::{Seat, Threads, Workspace};
use crate::store::{Budget, Pool, SpillPlace, default_spill_folder};
use actix::{Actor, Addr, Context, Handler};
use cluster::endpoint::{Config, Endpoint};
use cluster::limits::Limits;
use cluster::peer::Event;
use cluster::role::Role;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Threads that wait for files, beside the compute threads.
const IO_THREADS: usize = 4;

/// What a worker process is told.
#[derive(Clone)]
pub struct WorkerOptions {
    pub scheduler: SchedulerAt,
    pub name: String,
    /// Compute threads.
    pub threads: usize,
    /// Bytes of blocks and workspaces; none: what SLURM, the cgroup and the machine allow.
    pub memory: Option<u64>,
    pub spill_folder: Option<PathBuf>,
    /// Bytes on disk; 0 forbids it.
    pub spill_limit: Option<u64>,
    /// How long to wait for a scheduler that is not there yet.
    pub patience: Duration,
    pub functions: Functions,
}

type SharedLine = Arc<Mutex<Line>>;

/// What a worker process waits for.
enum Happening {
    Network(Event),
    /// It is to hand over what only it has, and go.
    Drain,
}

/// Tells a worker to hand over what only it has, and to go then.
#[derive(Clone)]
pub struct Drainer(mpsc::Sender<Happening>);

impl Drainer {
    pub fn drain(&self) {
        // It may have ended already.
        let _ = self.0.send(Happening::Drain);
    }
}

fn lock(line: &SharedLine) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The scheduler, from inside: what the worker's actor says goes over the wire.
struct SchedulerElsewhere(SharedLine);

impl Actor for SchedulerElsewhere {
    type Context = Context<Self>;
}

impl Handler<FromWorkers> for SchedulerElsewhere {
    type Result = ();

    fn handle(&mut self, FromWorkers { messages, .. }: FromWorkers, _: &mut Self::Context) {
        lock(&self.0).send(&FromWorkerProcess::Tell { messages });
    }
}

impl Handler<Lost> for SchedulerElsewhere {
    type Result = ();

    fn handle(&mut self, Lost { why, .. }: Lost, _: &mut Self::Context) {
        lock(&self.0).send(&FromWorkerProcess::Broken { why });
    }
}

/// What lasts as long as the process.
struct Process {
    options: WorkerOptions,
    line: SharedLine,
    neighbours: Arc<Neighbours>,
    depot: BlockDepot,
    pool: Pool,
    budget: u64,
    spill: SpillPlace,
    depth: Arc<Depth>,
    activity: Arc<Activity>,
    actor: Option<Addr<Worker>>,
    run: Option<Arc<Run>>,
    /// Its results count as written only when their data is on the disk.
    sync: bool,
    /// Before it.
    stalls: Stalls,
}

/// Works for a scheduler until that lets it go. `begun` gets what makes it leave earlier, once it is connected.
///
/// # Errors
/// If there is no scheduler, if it refuses this worker, or if it is lost.
pub fn run_worker(options: WorkerOptions, begun: impl FnOnce(Drainer)) -> Result<(), Failure> {
    let threads = Threads { compute: options.threads as u64, io: IO_THREADS as u64 };
    let budget = Budget::new(options.memory, threads).map_err(Failure::of_request)?.bytes;
    let folder = options.spill_folder.clone().unwrap_or_else(default_spill_folder);
    let spill = SpillPlace::new(folder, options.spill_limit);
    let may_spill = options.spill_limit != Some(0);
    if may_spill {
        spill.check().map_err(Failure::of_request)?;
    }
    let deadline = Instant::now() + options.patience;
    let Found { address, trust } = options.scheduler.find(Role::Worker, deadline)?;
    let me = introduction(Role::Worker, options.name.clone());
    let depot = BlockDepot::default();
    let (tell, events) = mpsc::channel();
    let config = Config { me, trust, mixed_machines: false, limits: Limits::default() };
    // Nobody listens any more when this process ends.
    let drainer = Drainer(tell.clone());
    let on_event = move |event| drop(tell.send(Happening::Network(event)));
    let endpoint = Endpoint::start(config, Arc::new(depot.clone()), on_event);
    let endpoint = Arc::new(endpoint.map_err(Failure::of_request)?);
    let connection = connect(&endpoint, &address, deadline)?;
    let mut here = connection.peer().local;
    here.set_port(0);
    let here = endpoint.listen(here).map_err(Failure::of_request)?;
    let mut line = Line::new(connection);
    line.send(&FromWorkerProcess::Enlist { seat: Seat { threads, budget, may_spill }, depot: here });
    let neighbours = Arc::new(Neighbours::default());
    neighbours.speak_through(endpoint);
    let depth = Arc::new(Depth::default());
    let process = Process {
        options,
        line: Arc::new(Mutex::new(line)),
        neighbours,
        depot,
        pool: Pool::new(budget),
        budget,
        spill,
        activity: Arc::new(Activity::new(depth.clone())),
        depth,
        actor: None,
        run: None,
        sync: false,
        stalls: Stalls::default(),
    };
    begun(drainer);
    let system = actix::System::new();
    let arbiter = actix::Arbiter::current();
    let worked = std::thread::Builder::new().name("dolmen-worker".into()).spawn({
        let system = actix::System::current();
        move || {
            let worked = process.work(&events, &arbiter);
            system.stop();
            worked
        }
    });
    let worked = worked.map_err(|error| Failure::of_run(format!("cannot start the worker: {error}")))?;
    system.run().map_err(|error| Failure::of_run(format!("the actors ended: {error}")))?;
    worked.join().unwrap_or_else(|_| Err(Failure::of_run("the worker panicked")))
}

impl Process {
    /// Does what the scheduler says until it says go.
    fn work(
        mut self,
        happenings: &mpsc::Receiver<Happening>,
        arbiter: &actix::ArbiterHandle,
    ) -> Result<(), Failure> {
        for happening in happenings {
            let event = match happening {
                Happening::Network(event) => event,
                Happening::Drain => {
                    self.say(&FromWorkerProcess::Drain);
                    continue;
                }
            };
            match event {
                Event::Connected(_) => {}
                Event::Room { .. } => lock(&self.line).go_on(),
                Event::Lost { why, .. } => {
                    return Err(Failure::of_run(format!("the scheduler is lost: {why}")));
                }
                Event::Message { message, .. } => {
                    let told = decode(&message).map_err(|error| {
                        Failure::of_run(format!("the scheduler says what cannot be read: {error}"))
                    })?;
                    if matches!(told, ToWorkerProcess::Leave) {
                        return Ok(());
                    }
                    self.told(told, arbiter);
                }
            }
        }
        Err(Failure::of_run("the network has ended"))
    }

    fn say(&self, message: &FromWorkerProcess) {
        lock(&self.line).send(message);
    }

    fn told(&mut self, message: ToWorkerProcess, arbiter: &actix::ArbiterHandle) {
        match message {
            ToWorkerProcess::Enlisted { worker } => self.start_actor(worker, arbiter),
            ToWorkerProcess::Begin { run, spec, workspace } => self.begin(run, *spec, workspace),
            ToWorkerProcess::Meet { worker, depot } => self.neighbours.meet(worker, depot),
            ToWorkerProcess::Tell { run, messages } => {
                let current = self.run.clone().filter(|current| current.id == run);
                if let (Some(run), Some(actor)) = (current, &self.actor) {
                    // It passes the mailbox limit: the scheduler says no more than what this worker can hold.
                    let is_over = messages.iter().any(|message| matches!(message, ToWorker::Forget { .. }));
                    actor.do_send(ToWorkers { run, messages });
                    if is_over {
                        self.activity.end();
                        self.run = None;
                        self.depot.set_run(None);
                    }
                }
            }
            ToWorkerProcess::Conclude { run } => {
                if let Some(current) = self.run.as_ref().filter(|current| current.id == run) {
                    let figures = self.written(current).map(|()| self.figures(current));
                    self.say(&FromWorkerProcess::Concluded { run, figures });
                }
            }
            ToWorkerProcess::Leave => {}
        }
    }

    fn start_actor(&mut self, worker: WorkerId, arbiter: &actix::ArbiterHandle) {
        let threads = WorkerThreads { compute: self.options.threads, io: IO_THREADS };
        let (line, activity) = (self.line.clone(), self.activity.clone());
        let (tell, told) = mpsc::channel();
        arbiter.spawn_fn(move || {
            let scheduler = SchedulerElsewhere(line).start();
            let hears = scheduler.clone().recipient();
            let worker =
                Worker::new(worker, threads, hears, scheduler.recipient(), Peers::default(), activity);
            // Whoever waits is just below.
            let _ = tell.send(worker.start());
        });
        if let Ok(actor) = told.recv() {
            let line = self.line.clone();
            self.depot.serve(actor.clone(), move |BlockKey { run, block }| {
                let messages = vec![FromWorker::Vanished { run, block }];
                lock(&line).send(&FromWorkerProcess::Tell { messages });
            });
            self.actor = Some(actor);
        }
    }

    /// Opens what the run reads and writes.
    fn begin(&mut self, id: RunId, spec: RunSpec, workspace: Workspace) {
        self.sync = spec.sync;
        match opened(spec, workspace, self.budget, &self.depth, &self.options.functions) {
            Err(failure) => self.say(&FromWorkerProcess::CannotBegin { run: id, failure }),
            Ok((program, bindings)) => {
                self.neighbours.take_received();
                self.activity.begin();
                self.stalls = self.activity.stalls();
                let run = Arc::new(Run {
                    id,
                    program: Arc::new(program),
                    bindings: Arc::new(bindings),
                    workspace,
                    pool: self.pool.begin(self.budget),
                    spill: Some(self.spill.begin(id)),
                    network: Some(Arc::new(self.neighbours.clone())),
                });
                self.depot.set_run(Some(run.clone()));
                self.run = Some(run);
            }
        }
    }

    /// What was written here goes to the disk, if the run wants that: nobody else can see to it on a network file
    /// system.
    fn written(&self, run: &Run) -> Result<(), Failure> {
        if self.sync { run.bindings.outputs.iter().try_for_each(|output| output.sync()) } else { Ok(()) }
    }

    /// What the run has taken here so far.
    fn figures(&self, run: &Run) -> Figures {
        let (bytes_read, bytes_written) = run.bindings.traffic.bytes();
        let memory = self.pool.usage();
        let spilled = run.spill.as_ref().map(|files| files.usage()).unwrap_or_default();
        let stalls = self.activity.stalls().since(self.stalls);
        Figures {
            bytes_read,
            bytes_written,
            bytes_received: self.neighbours.take_received(),
            peak_memory: memory.peak,
            most_buffers: memory.most_buffers,
            io_in_flight: self.activity.most_in_flight(),
            spilled: spilled.written,
            spilled_raw: spilled.raw_written,
            read_back: spilled.read,
            peak_spilled: spilled.peak,
            stalls: [stalls.read, stalls.load, stalls.spill, stalls.write, stalls.tasks],
        }
    }
}
