//! What does a session's work: threads of this process, or a cluster.

use super::error::Error;
use super::options::{ClusterAt, SessionBuilder, Waiting, WhileWaiting, Workers};
use super::prepare::RunPlace;
use super::runtime::lock;
use crate::actors::autoscaler::{Running, Scaled, Terms};
use crate::actors::{
    Activity, IoPlace, MOST_IO_TASKS, Peers, Scheduler, ThreadProvider, WorkerThreads, autoscaler,
};
use crate::failure::Failure;
use crate::files::Depth;
use crate::net::{Client, ClusterEnd, FailedLogs, OwnCluster, SchedulerAt};
use crate::protocol::FleetMember;
use crate::sched::{IO_TASKS, Threads};
use crate::store::{Budget, Limit, Pool, SpillPlace, default_spill_folder, is_bounded};
use actix::{Actor, Addr};
use cluster::policy::{ScalingPolicy, Start};
use cluster::provider::Provider;
use cluster::scaling::Rules;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So often it is looked whether there should be more workers or fewer, without being told that something has changed.
const PERIOD: Duration = Duration::from_millis(100);
/// Seconds until the threads of a worker are there, until that is measured.
const BOOT: f64 = 0.001;

/// What does the work.
pub(super) enum Engine {
    Here(LocalActors),
    Cluster(Cluster),
}

/// Actors and threads of this process. They end when this is dropped.
pub(super) struct LocalActors {
    workers: Workers,
    of_each: WorkerThreads,
    may_spill: bool,
    memory: Budget,
    pub scheduler: Addr<Scheduler>,
    /// Has workers come and go, if they do.
    autoscaler: Option<Running>,
    system: actix::System,
    thread: Mutex<Option<JoinHandle<()>>>,
    pub spill: SpillPlace,
}

/// Workers elsewhere.
pub(super) struct Cluster {
    scheduler: SchedulerAt,
    /// Another one once the scheduler was lost and came back.
    client: Mutex<Arc<Client>>,
    /// Workers that a run waits for, and how long.
    wait_workers: usize,
    patience: Duration,
    /// The first wait for workers ends then, if it has not been yet.
    first_deadline: Mutex<Option<Instant>>,
    while_waiting: WhileWaiting,
    /// Its scheduler, if that is in this process. Ends after the client has gone.
    own: Option<OwnCluster>,
}

/// How long a session waits for the workers of a cluster that others have started.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for workers of its own: until it is known that none can come.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

impl Engine {
    /// Starts what `options` ask for. `depth` is how many requests the files of this process get at once.
    pub fn start(options: &SessionBuilder, depth: Arc<Depth>) -> Result<Engine, Error> {
        match &options.cluster {
            None => LocalActors::start(options, depth).map(Engine::Here),
            Some(ClusterAt::Known(scheduler)) => Cluster::join(options, scheduler).map(Engine::Cluster),
            Some(ClusterAt::Own { elastic, result }) => {
                let own = OwnCluster::start(elastic, result)?;
                Cluster::of_own(options, own).map(Engine::Cluster)
            }
        }
    }

    /// Ends the workers that the session has started itself.
    pub fn end_workers(&self, logs: FailedLogs) -> ClusterEnd {
        match self {
            Engine::Cluster(Cluster { own: Some(own), .. }) => own.end(logs),
            _ => ClusterEnd::default(),
        }
    }

    pub fn workers(&self) -> Workers {
        match self {
            Engine::Here(here) => here.workers,
            Engine::Cluster(cluster) => cluster.client().fleet().len().into(),
        }
    }

    /// Compute threads of each worker; of the one with most where they differ.
    pub fn threads(&self) -> usize {
        match self {
            Engine::Here(here) => here.of_each.compute,
            Engine::Cluster(cluster) => {
                let threads = |member: &FleetMember| member.seat.threads.compute as usize;
                cluster.client().fleet().iter().map(threads).max().unwrap_or(0)
            }
        }
    }

    /// Bytes that a process may hold, and what limits them; of a cluster, the worker with most.
    pub fn memory(&self) -> Budget {
        match self {
            Engine::Here(here) => here.memory,
            Engine::Cluster(cluster) => {
                let largest = cluster.client().fleet().iter().map(|member| member.seat.budget).max();
                Budget { bytes: largest.unwrap_or(0), limit: Limit::Worker }
            }
        }
    }

    /// What planning has to know. Waits for the workers of a cluster if they have gone.
    pub fn place(&self) -> Result<RunPlace, Error> {
        Ok(match self {
            Engine::Here(here) => RunPlace::Here {
                threads: all_threads(
                    here.workers.most,
                    WorkerThreads { io: here.least_io(), ..here.of_each },
                ),
                most_io: all_threads(here.workers.most, here.of_each).io,
                may_spill: here.may_spill,
                budget: here.memory.bytes,
            },
            Engine::Cluster(cluster) => {
                RunPlace::Fleet(cluster.wait(cluster.wait_workers, cluster.next_deadline())?)
            }
        })
    }
}

impl Cluster {
    /// Connects to a cluster, and waits for its workers unless that has time.
    fn join(options: &SessionBuilder, scheduler: &SchedulerAt) -> Result<Cluster, Error> {
        let patience = options.patience.unwrap_or(PATIENCE);
        let deadline = Instant::now() + patience;
        let client = Client::connect(scheduler, deadline)?;
        let cluster = Cluster::new(options, scheduler.clone(), client, patience, None);
        if options.waits_late {
            *lock(&cluster.first_deadline) = Some(deadline);
        } else {
            cluster.wait(cluster.wait_workers, deadline)?;
        }
        Ok(cluster)
    }

    /// The same for a scheduler of this process. Workers are waited for when there is something to do: what is wrong
    /// with it is found before any is started.
    fn of_own(options: &SessionBuilder, own: OwnCluster) -> Result<Cluster, Error> {
        let client = Client::connect(own.at(), Instant::now() + PATIENCE)?.alone();
        let patience = options.patience.unwrap_or(NO_LIMIT);
        Ok(Cluster::new(options, own.at().clone(), client, patience, Some(own)))
    }

    fn new(
        options: &SessionBuilder,
        scheduler: SchedulerAt,
        client: Client,
        patience: Duration,
        own: Option<OwnCluster>,
    ) -> Cluster {
        let client = Mutex::new(Arc::new(client));
        let while_waiting = options.while_waiting.clone();
        let first_deadline = Mutex::default();
        let wait_workers = options.wait_workers;
        Cluster { scheduler, client, wait_workers, patience, first_deadline, while_waiting, own }
    }

    /// Until when workers are waited for that are needed now.
    fn next_deadline(&self) -> Instant {
        lock(&self.first_deadline).take().unwrap_or_else(|| Instant::now() + self.patience)
    }

    pub fn client(&self) -> Arc<Client> {
        lock(&self.client).clone()
    }

    /// The scheduler is lost: waits until it and its workers are there again.
    pub fn begin_again(&self, lost: &Failure, grace: Duration) -> Result<(), Error> {
        let workers = self.client().fleet().len();
        self.come_back(lost, grace)?;
        // What is kept is kept within the grace: the run is submitted before that is over.
        self.gather(workers, Instant::now() + grace / 2)?;
        // A run that has begun goes on with whoever is there.
        self.wait(1, Instant::now() + self.patience).map(drop)
    }

    /// Waits for so many workers, which come back with what they hold. Those that do not come in time are done without.
    fn gather(&self, workers: usize, deadline: Instant) -> Result<(), Error> {
        let mut say = self.says_once(workers);
        loop {
            let client = self.client();
            if client.wait_for_workers(workers, deadline, &mut say).is_ok() {
                return Ok(());
            }
            let Some((lost, grace)) = client.lost() else { return Ok(()) };
            self.come_back(&lost, grace)?;
        }
    }

    /// Waits until the scheduler is there again.
    fn come_back(&self, lost: &Failure, grace: Duration) -> Result<(), Error> {
        (self.while_waiting)(Waiting::Scheduler { lost: &lost.message });
        let again = Client::connect_again(&self.scheduler, Instant::now() + grace).map_err(|error| {
            Error::Run(format!("{}, and does not come back: {}", lost.message, error.message))
        })?;
        *lock(&self.client) = Arc::new(again);
        Ok(())
    }

    /// Says how many workers are there of those that are wanted, whenever that changes.
    fn says_once(&self, wanted: usize) -> impl FnMut(usize, &str) {
        let mut told = None;
        move |there, trouble| {
            let now = Some((there, trouble.to_string()));
            if told != now {
                told = now;
                (self.while_waiting)(Waiting::Workers { there, wanted, trouble });
            }
        }
    }

    /// Waits until there are so many workers.
    fn wait(&self, workers: usize, deadline: Instant) -> Result<Vec<FleetMember>, Error> {
        let mut say = self.says_once(workers);
        loop {
            let client = self.client();
            match client.wait_for_workers(workers, deadline, &mut say) {
                Ok(fleet) => return Ok(fleet),
                Err(failure) => {
                    let (lost, grace) = client.lost().ok_or(failure)?;
                    self.come_back(&lost, grace)?;
                }
            }
        }
    }
}

/// Of so many workers. Where no threads do I/O beside those that compute, these have workspaces for it too.
fn all_threads(workers: usize, of_each: WorkerThreads) -> Threads {
    let io = if of_each.io_place == IoPlace::OnCompute { of_each.compute } else { of_each.io };
    Threads { compute: (workers * of_each.compute) as u64, io: (workers * io) as u64 }
}

impl LocalActors {
    fn start(options: &SessionBuilder, depth: Arc<Depth>) -> Result<LocalActors, Error> {
        let workers = options.workers;
        let io = match options.io_place {
            IoPlace::OnCompute => 0,
            // Where `ulimit` bounds memory, the stacks of more threads would take it from blocks.
            IoPlace::BesideCompute if is_bounded() => IO_TASKS,
            IoPlace::BesideCompute => MOST_IO_TASKS,
        };
        let of_each = WorkerThreads { compute: options.threads_of_each(), io, io_place: options.io_place };
        let memory = Budget::new(options.memory, all_threads(workers.most, of_each))
            .map_err(|e| Error::Request(e.to_string()))?;
        let pool = Pool::new(memory.bytes);
        let (tell, hear) = mpsc::channel();
        let activity = Arc::new(Activity::new(depth));
        let folder = options.spill_folder.clone().unwrap_or_else(default_spill_folder);
        let spill = SpillPlace::new(folder, options.spill_limit);
        if options.spill_folder.is_some() {
            spill.check().map_err(|e| Error::Request(e.to_string()))?;
        }
        let thread = std::thread::Builder::new().name("dolmen-actors".into()).spawn(move || {
            let system = actix::System::new();
            let actors = system.block_on(async move { Actors::start(workers, of_each, pool, activity) });
            if tell.send((actors, actix::System::current())).is_ok() {
                // Runs until the session is dropped; its exit code says nothing.
                let _ = system.run();
            }
        });
        let broken = |e: &dyn std::fmt::Display| Error::Run(format!("cannot start the actors: {e}"));
        let thread = thread.map_err(|e| broken(&e))?;
        let (actors, system) = hear.recv().map_err(|e| broken(&e))?;
        let Actors { scheduler, autoscaler } = actors.inspect_err(|_| system.stop())?;
        let may_spill = options.may_spill();
        let thread = Mutex::new(Some(thread));
        Ok(LocalActors { workers, of_each, may_spill, memory, scheduler, autoscaler, system, thread, spill })
    }

    /// I/O threads that each worker has to have memory for.
    fn least_io(&self) -> usize {
        self.of_each.io.min(IO_TASKS)
    }
}

/// The actors of a session that others speak to.
struct Actors {
    scheduler: Addr<Scheduler>,
    autoscaler: Option<Running>,
}

impl Actors {
    fn start(
        workers: Workers,
        of_each: WorkerThreads,
        pool: Pool,
        activity: Arc<Activity>,
    ) -> Result<Actors, Failure> {
        let scheduler = Scheduler::new(pool, of_each, Peers::default(), activity).start();
        let mut provider = ThreadProvider::new(scheduler.clone(), workers.most);
        provider.ask(workers.least, 0.0).map_err(Failure::of_run)?;
        let start =
            |provider| autoscaler::start(Scaled::new(&scheduler), provider, terms(workers, of_each.compute));
        let autoscaler = workers.vary().then(|| start(Box::new(provider))).transpose()?;
        Ok(Actors { scheduler, autoscaler })
    }
}

/// The policy is that of a cluster. A worker of this process starts at once.
fn terms(workers: Workers, threads: usize) -> Terms {
    // All share one memory.
    let start = Start { queue: 0.0, boot: BOOT, cores: threads as u32, room: 0.0, walltime: None };
    let Workers { least, most } = workers;
    let rules = Rules { policy: ScalingPolicy::default(), deadline: None, least, most, start };
    Terms { name: "threads", rules, period: PERIOD }
}

impl Drop for LocalActors {
    fn drop(&mut self) {
        // While there still is a scheduler that answers.
        drop(self.autoscaler.take());
        self.system.stop();
        if let Some(thread) = lock(&self.thread).take() {
            // The actors' thread has nothing left to say.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
