//! A worker process: its connection to the scheduler, and the place where it works.

use super::address::{Attempt, Found, SchedulerAt, Search};
use super::counted::counted;
use super::depot::BlockDepot;
use super::identity::introduction;
use super::interface::own_address;
use super::line::Line;
use super::opened::opened;
use super::portions::{KeptRuns, Workplaces, divide};
use super::workplace::{Means, Say, Workplace};
use crate::actors::{IoPlace, MOST_IO_TASKS, WorkerThreads};
use crate::exec::Functions;
use crate::failure::Failure;
use crate::files::Depth;
use crate::protocol::{FromWorkerProcess, Seats, ToWorkerProcess, decode};
use crate::sched::{IO_TASKS, Seat, Threads};
use crate::store::{Budget, SpillPlace, default_spill_folder, is_bounded};
use cluster::endpoint::{Config, Endpoint};
use cluster::limits::Limits;
use cluster::peer::Event;
use cluster::role::Role;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

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
    /// The network interface whose address others get blocks at. None: the one by which it reaches the scheduler.
    pub interface: Option<String>,
    /// How long to wait for a scheduler that is not there yet.
    pub patience: Duration,
    pub functions: Functions,
}

/// What a worker process waits for.
enum Happening {
    Network(Event),
    /// It is to hand over what only it has, and go.
    Drain,
}

/// Tells a worker to hand over what only it has, and to go then.
#[derive(Clone, Default)]
pub struct Drainer(Arc<Mutex<Wish>>);

/// Does somebody want a worker to go?
#[derive(Default)]
struct Wish {
    is_said: bool,
    /// Hears of it while the worker is connected.
    worker: Option<mpsc::Sender<Happening>>,
}

impl Drainer {
    fn lock(&self) -> MutexGuard<'_, Wish> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn drain(&self) {
        let mut wish = self.lock();
        wish.is_said = true;
        if let Some(worker) = &wish.worker {
            // It may have ended already.
            let _ = worker.send(Happening::Drain);
        }
    }

    fn is_wished(&self) -> bool {
        self.lock().is_said
    }

    /// A connection has been made. What was wished before is heard there.
    fn connected(&self, worker: mpsc::Sender<Happening>) {
        let mut wish = self.lock();
        if wish.is_said {
            // It listens.
            let _ = worker.send(Happening::Drain);
        }
        wish.worker = Some(worker);
    }
}

/// How the work for one scheduler has ended.
enum Ending {
    /// It let the worker go.
    Left,
    /// It is lost, but may come back within some time, for which its runs are kept.
    Lost { why: String, grace: Option<Duration>, kept: Box<KeptRuns> },
}

/// Works for a scheduler until that lets it go. `begun` gets what makes it leave earlier, once it is connected. If the
/// scheduler is lost and said that it may come back, the worker ends what it is doing, looks for it again, and offers
/// what it holds.
///
/// # Errors
/// If there is no scheduler, if it refuses this worker, or if it is lost for good.
pub fn run_worker(options: WorkerOptions, begun: impl FnOnce(Drainer)) -> Result<(), Failure> {
    let drainer = Drainer::default();
    let seats = divide(seat(&options)?);
    let first =
        Attempt::new(&options.scheduler, Role::Worker, Instant::now() + options.patience, Search::First);
    let nothing = KeptRuns::default();
    let mut ending = work_until_lost(&options, seats, first, nothing, &drainer, || begun(drainer.clone()))?;
    while let Ending::Lost { why, grace, kept } = ending {
        let lost = Failure::of_run(format!("the scheduler is lost: {why}"));
        let Some(grace) = grace else { return Err(lost) };
        tracing::warn!("{}: looks for it for {} s", lost.message, grace.as_secs_f64());
        let again = Attempt::new(&options.scheduler, Role::Worker, Instant::now() + grace, Search::Again);
        ending = match work_until_lost(&options, seats, again, *kept, &drainer, || {}) {
            Ok(ending) => ending,
            // Nobody needs what it had.
            Err(_) if drainer.is_wished() => return Ok(()),
            Err(error) => {
                return Err(Failure::of_run(format!("{}, and does not come back: {error}", lost.message)));
            }
        };
    }
    Ok(())
}

/// What this process brings along.
fn seat(options: &WorkerOptions) -> Result<Seat, Failure> {
    let threads = Threads { compute: options.threads as u64, io: IO_TASKS as u64 };
    let budget = Budget::new(options.memory, threads).map_err(Failure::of_request)?.bytes;
    let may_spill = options.spill_limit != Some(0);
    if may_spill {
        spill_place(options, options.spill_limit).check().map_err(Failure::of_request)?;
    }
    Ok(Seat { threads, budget, may_spill })
}

/// I/O threads. Where `ulimit` bounds memory, the stacks of more of them would take it from blocks.
fn most_io() -> usize {
    if is_bounded() { IO_TASKS } else { MOST_IO_TASKS }
}

fn spill_place(options: &WorkerOptions, limit: Option<u64>) -> SpillPlace {
    SpillPlace::new(options.spill_folder.clone().unwrap_or_else(default_spill_folder), limit)
}

/// Finds the scheduler, offers it what was `kept` of an earlier one's time, and works for it. Beside what is kept then,
/// all that this takes has ended when it comes back.
fn work_until_lost(
    options: &WorkerOptions,
    seats: Seats,
    attempt: Attempt<'_>,
    kept: KeptRuns,
    drainer: &Drainer,
    begun: impl FnOnce(),
) -> Result<Ending, Failure> {
    let Found { address, trust, grace } = attempt.find()?;
    let me = introduction(Role::Worker, options.name.clone());
    let depot = BlockDepot::default();
    let (tell, happenings) = mpsc::channel();
    let config = Config { me, trust, mixed_machines: false, limits: Limits::default() };
    let wish = tell.clone();
    // Nobody listens any more when this ends.
    let on_event = move |event| drop(tell.send(Happening::Network(event)));
    let endpoint = Endpoint::start(config, Arc::new(depot.clone()), on_event);
    let endpoint = Arc::new(endpoint.map_err(Failure::of_request)?);
    let connection = attempt.connect(&endpoint, &address, grace)?;
    let here = own_address(connection.peer().local, options.interface.as_deref())?;
    let here = endpoint.listen(here).map_err(Failure::of_request)?;
    let line = Line::new(connection);
    line.send(&FromWorkerProcess::Enlist { seats, depot: here, offers: kept.offers() });
    let cores = counted(seats.all().threads.compute, "thread");
    let budget = seats.all().budget;
    tracing::info!("worker {} joins the scheduler at {address}: {cores}, {budget} bytes", options.name);
    drainer.connected(wish);
    begun();
    let system = actix::System::new();
    let depth = Arc::new(Depth::default());
    let say: Say = {
        let line = line.clone();
        Arc::new(move |message| line.send(&message))
    };
    let workplace = |budget: u64, spill: SpillPlace, io: usize| {
        let threads = WorkerThreads { compute: options.threads, io, io_place: IoPlace::BesideCompute };
        let means = Means { threads, budget, spill, depth: depth.clone() };
        let (depth, functions) = (depth.clone(), options.functions.clone());
        let open = move |spec, workspace| opened(spec, workspace, budget, &depth, &functions);
        let arbiter = actix::Arbiter::current();
        Workplace::new(means, Box::new(open), say.clone(), arbiter, depot.clone(), endpoint.clone())
    };
    let large = workplace(seats.large.budget, spill_place(options, options.spill_limit), most_io());
    let large = large.keeping(kept.large);
    let small = seats.small.map(|small| workplace(small.budget, spill_place(options, Some(0)), IO_TASKS));
    let small = small.map(|small| small.keeping(kept.small));
    let workplaces = Workplaces { large, small };
    let worked = std::thread::Builder::new().name("dolmen-worker".into()).spawn({
        let system = actix::System::current();
        move || {
            let worked = work(workplaces, &line, &happenings, grace);
            system.stop();
            worked
        }
    });
    let worked = worked.map_err(|error| Failure::of_run(format!("cannot start the worker: {error}")))?;
    system.run().map_err(|error| Failure::of_run(format!("the actors ended: {error}")))?;
    worked.join().unwrap_or_else(|_| Err(Failure::of_run("the worker panicked")))
}

/// Does what the scheduler says until it says go. If that is lost it may come back within `grace`, or what it says.
fn work(
    mut workplaces: Workplaces,
    line: &Line,
    happenings: &mpsc::Receiver<Happening>,
    mut grace: Option<Duration>,
) -> Result<Ending, Failure> {
    for happening in happenings {
        match happening {
            Happening::Drain => {
                tracing::info!("wants to leave: hands over what only it has");
                workplaces.say(FromWorkerProcess::Drain);
            }
            Happening::Network(Event::Connected(_)) => {}
            Happening::Network(Event::Room { .. }) => line.go_on(),
            Happening::Network(Event::Lost { why, .. }) => {
                let kept = grace.map(|_| workplaces.settle()).unwrap_or_default();
                return Ok(Ending::Lost { why: why.to_string(), grace, kept: Box::new(kept) });
            }
            Happening::Network(Event::Message { message, .. }) => {
                let told = decode(&message).map_err(|error| {
                    Failure::of_run(format!("the scheduler says what cannot be read: {error}"))
                })?;
                if let ToWorkerProcess::Enlisted { grace: told, .. } = &told {
                    grace = told.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                }
                if workplaces.heed(told).is_break() {
                    tracing::info!("told to leave");
                    return Ok(Ending::Left);
                }
            }
        }
    }
    Err(Failure::of_run("the network has ended"))
}
