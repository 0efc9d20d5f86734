//! The scheduler, from a client's side.

use super::address::{Attempt, Found, SchedulerAt, Search};
use super::client_part::{AtWork, OwnPart};
use super::depot::BlockDepot;
use super::identity::{introduction, own_name};
use super::line::Line;
use super::network::holder;
use super::workplace::KeptRun;
use crate::failure::Failure;
use crate::graph::Program;
use crate::ids::{BlockId, RunId, TaskId};
use crate::protocol::{
    BlockKey, ClientPart, Depot, Ended, FleetMember, FromClient, NotShared, RunSpec, Status, ToClient,
    ToWorkerProcess, decode, encode,
};
use crate::store::{Block, Pool};
use cluster::endpoint::{Config, Endpoint};
use cluster::limits::Limits;
use cluster::peer::{Connection, Event};
use cluster::role::Role;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Blocks of results that are asked for at once.
const FETCHED_AT_ONCE: usize = 16;

/// What a client says that had something to do.
const STOPPED: &str = "the scheduler was stopped: start it again, and repeat what it was to do";

/// What the scheduler has told.
#[derive(Default)]
struct Told {
    fleet: Vec<FleetMember>,
    /// What keeps workers away; empty if nothing does.
    trouble: String,
    /// The cluster's provider gives no others until somebody changes something.
    hopeless: bool,
    /// The runs that this client waits for, by its own numbers.
    runs: HashMap<u64, ToldOfRun>,
    status: Option<Status>,
    explained: Option<Result<Vec<String>, Failure>>,
    drained: Option<Result<(), Failure>>,
    /// Why nothing more will be told.
    gone: Option<String>,
    /// The connection has ended.
    closed: bool,
    /// If the scheduler is lost it may come back so soon.
    grace: Option<Duration>,
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunStanding {
    /// So many others come first.
    Waits { before: u64 },
    /// So many of all its tasks are done.
    Goes { done: u64, total: u64 },
}

/// What it has told of one run.
#[derive(Default)]
struct ToldOfRun {
    standing: Option<RunStanding>,
    /// How it ended, until somebody has looked.
    end: Option<Result<Ended, RunError>>,
    /// The client's part in the run hears what is said to it as a worker.
    part: Option<mpsc::Sender<ToWorkerProcess>>,
}

impl Told {
    /// What is about a run that nobody waits for any more changes nothing.
    fn hear(&mut self, said: ToClient) {
        match said {
            ToClient::Welcome { grace } => {
                self.grace = grace.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            }
            ToClient::Fleet { members, trouble, hopeless } => {
                (self.fleet, self.trouble, self.hopeless) = (members, trouble, hopeless);
            }
            ToClient::Status(status) => self.status = Some(status),
            ToClient::Explained(lines) => self.explained = Some(lines),
            ToClient::Drained(result) => self.drained = Some(result),
            ToClient::Stopped => {
                self.grace = None;
                self.end(STOPPED.into());
            }
            ToClient::Waits { number, before } => {
                self.about(number, |run| run.standing = Some(RunStanding::Waits { before }));
            }
            ToClient::Progress { number, done, total } => {
                self.about(number, |run| run.standing = Some(RunStanding::Goes { done, total }));
            }
            ToClient::Ended { number, result } => {
                self.about(number, |run| run.end = Some(result.map_err(RunError::Failed)));
            }
            ToClient::NotShared { number, not_shared, failure } => {
                let error = RunError::NotShared { not_shared, failure };
                self.about(number, |run| run.end = Some(Err(error)));
            }
            ToClient::AsWorker { number, message } => self.about(number, |run| {
                if let Some(part) = &run.part {
                    // One that has ended need not hear it.
                    let _ = part.send(message);
                }
            }),
        }
    }

    fn about(&mut self, number: u64, note: impl FnOnce(&mut ToldOfRun)) {
        if let Some(run) = self.runs.get_mut(&number) {
            note(run);
        }
    }

    /// Nothing more will be told, to a part of a run neither.
    fn end(&mut self, why: String) {
        self.gone.get_or_insert(why);
        self.runs.values_mut().for_each(|run| run.part = None);
    }
}

/// Why a run came to nothing.
#[derive(Debug)]
pub enum RunError {
    Failed(Failure),
    /// Workers cannot open these; the client can do it itself. If it cannot either, the failure says why.
    NotShared {
        not_shared: NotShared,
        failure: Failure,
    },
    /// The scheduler is lost with all that it knew of the run. It may come back within this time, and the run goes on
    /// with what is kept of it.
    SchedulerLost {
        failure: Failure,
        grace: Duration,
        kept: Option<Box<KeptRun>>,
    },
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> RunError {
        RunError::Failed(failure)
    }
}

#[derive(Default)]
struct Inbox {
    told: Mutex<Told>,
    changed: Condvar,
    /// What the client says as a worker, once it is connected.
    line: OnceLock<Line>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, event: Event) {
        match event {
            Event::Connected(_) => {}
            Event::Room { .. } => self.line.get().into_iter().for_each(Line::go_on),
            Event::Lost { why, .. } => {
                let mut told = self.lock();
                told.closed = true;
                told.end(format!("the scheduler is lost: {why}"));
            }
            Event::Message { message, .. } => match decode(&message) {
                Ok(said) => self.lock().hear(said),
                Err(error) => self.lock().end(format!("the scheduler says what cannot be read: {error}")),
            },
        }
        self.changed.notify_all();
    }

    fn wait<'a>(&'a self, told: MutexGuard<'a, Told>, most: Duration) -> MutexGuard<'a, Told> {
        let (told, _) = self.changed.wait_timeout(told, most).unwrap_or_else(PoisonError::into_inner);
        told
    }
}

/// A connection to a scheduler.
pub struct Client {
    endpoint: Arc<Endpoint>,
    connection: Connection,
    line: Line,
    /// Its blocks, and where others get them once it takes part in a run.
    depot: BlockDepot,
    listens: Mutex<Option<SocketAddr>>,
    /// Held by the run in which it takes part: each part may fill the memory that this process has for all.
    taking_part: Mutex<()>,
    inbox: Arc<Inbox>,
    numbers: AtomicU64,
    /// Nobody else will start workers if the cluster's provider cannot.
    is_alone: bool,
}

/// Somebody waits for a run. When that is over nothing more is heard of it. This ends the client's part, whose end is
/// waited for.
struct Waiter<'a> {
    inbox: &'a Inbox,
    number: u64,
    at_work: Option<AtWork>,
}

impl<'a> Waiter<'a> {
    fn new(inbox: &'a Inbox, number: u64) -> Waiter<'a> {
        inbox.lock().runs.insert(number, ToldOfRun::default());
        Waiter { inbox, number, at_work: None }
    }

    /// The scheduler is lost: what the client's part in the run has kept of it.
    fn end_part(&mut self) -> Option<KeptRun> {
        // It may have begun when nothing more could be told.
        self.inbox.lock().about(self.number, |run| run.part = None);
        self.at_work.take().and_then(AtWork::end)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.inbox.lock().runs.remove(&self.number);
    }
}

/// How a run at the cluster has ended.
pub struct RemoteEnd {
    /// The blocks of the stages that are kept.
    pub blocks: HashMap<BlockId, Arc<Block>>,
    pub ended: Ended,
}

/// A shorter wait for workers is not worth a word.
const WORTH_A_WORD: Duration = Duration::from_secs(3);
/// That the scheduler is lost is told within such a time.
const TOLD_SOON: Duration = Duration::from_secs(1);
/// Results that are lost before they are fetched are made again as soon as the scheduler knows. If nothing gets on for
/// so long, it does not.
const MADE_AGAIN: Duration = Duration::from_secs(60);
/// So often somebody who waits looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

impl Client {
    /// Connects to a scheduler; waits until `deadline` where it is not there yet.
    pub fn connect(scheduler: &SchedulerAt, deadline: Instant) -> Result<Client, Failure> {
        Client::find(scheduler, deadline, Search::First)
    }

    /// Connects once more to a scheduler that was lost, when it is there again.
    pub fn connect_again(scheduler: &SchedulerAt, deadline: Instant) -> Result<Client, Failure> {
        Client::find(scheduler, deadline, Search::Again)
    }

    fn find(scheduler: &SchedulerAt, deadline: Instant, search: Search) -> Result<Client, Failure> {
        let attempt = Attempt::new(scheduler, Role::Client, deadline, search);
        let Found { address, trust, grace } = attempt.find()?;
        let me = introduction(Role::Client, own_name());
        let inbox = Arc::new(Inbox::default());
        inbox.lock().grace = grace;
        let config = Config { me, trust, mixed_machines: false, limits: Limits::default() };
        let heard = inbox.clone();
        let depot = BlockDepot::default();
        let endpoint = Endpoint::start(config, Arc::new(depot.clone()), move |event| heard.take(event));
        let endpoint = Arc::new(endpoint.map_err(Failure::of_request)?);
        let connection = attempt.connect(&endpoint, &address, grace)?;
        let line = Line::new(connection.clone());
        // It is connected once.
        let _ = inbox.line.set(line.clone());
        let (listens, taking_part) = (Mutex::default(), Mutex::default());
        let numbers = AtomicU64::new(0);
        let is_alone = false;
        let client =
            Client { endpoint, connection, line, depot, listens, taking_part, inbox, numbers, is_alone };
        // If it cannot be said the scheduler is lost again, which whoever asks for something hears.
        let _ = client.say(&FromClient::WatchFleet);
        Ok(client)
    }

    /// A client of a cluster that nobody else knows: it gives up where the provider does.
    pub fn alone(self) -> Client {
        Client { is_alone: true, ..self }
    }

    /// Why there will never be `wanted` workers, if so.
    fn despairs(&self, told: &Told, wanted: usize) -> Option<Failure> {
        let has_hope = !self.is_alone || !told.hopeless || told.fleet.len() >= wanted;
        (!has_hope).then(|| Failure::of_run(format!("no worker can come: {}", told.trouble)))
    }

    fn say(&self, message: &FromClient) -> Result<(), Failure> {
        let bytes = encode(message).map_err(Failure::of_run)?;
        self.connection.send(bytes).map_err(|error| {
            let gone = self.wait_for_loss();
            Failure::of_run(gone.unwrap_or_else(|| format!("the scheduler: {error}")))
        })
    }

    /// What cannot be said may be due to the loss of the scheduler, which is told soon: in these words.
    fn wait_for_loss(&self) -> Option<String> {
        let began = Instant::now();
        let mut told = self.inbox.lock();
        while told.gone.is_none() && began.elapsed() < TOLD_SOON {
            told = self.inbox.wait(told, LOOK);
        }
        told.gone.clone()
    }

    /// The workers that are there.
    pub fn fleet(&self) -> Vec<FleetMember> {
        self.inbox.lock().fleet.clone()
    }

    /// Waits until so many workers are there, and returns them. `waiting` is told how many are, and what keeps
    /// others away, now and then.
    ///
    /// # Errors
    /// If there are fewer at `deadline`, or if the scheduler is lost.
    pub fn wait_for_workers(
        &self,
        count: usize,
        deadline: Instant,
        mut waiting: impl FnMut(usize, &str),
    ) -> Result<Vec<FleetMember>, Failure> {
        let began = Instant::now();
        self.say(&FromClient::NeedWorkers { count: count as u64 })?;
        let mut told = self.inbox.lock();
        loop {
            if let Some(why) = &told.gone {
                return Err(Failure::of_run(why));
            }
            if told.fleet.len() >= count {
                return Ok(told.fleet.clone());
            }
            if let Some(failure) = self.despairs(&told, count) {
                return Err(failure);
            }
            if Instant::now() >= deadline {
                let advice = match told.trouble.as_str() {
                    "" if self.is_alone => "wait longer with --wait",
                    "" => "start more with dolmen worker, or wait longer with --wait",
                    trouble => trouble,
                };
                let there = told.fleet.len();
                let there = match count {
                    1 => "no worker is there".into(),
                    _ => format!("{there} of {count} workers are there"),
                };
                return Err(Failure::of_run(format!("{there}: {advice}")));
            }
            if began.elapsed() >= WORTH_A_WORD {
                waiting(told.fleet.len(), &told.trouble);
            }
            told = self.inbox.wait(told, LOOK);
        }
    }

    /// Has the cluster do a run, and fetches the blocks that `program`, which is the run's, keeps. `tell` hears how far
    /// it is. A client takes part in one run at a time: another in which it has a part waits here.
    pub fn run(
        &self,
        program: &Arc<Program>,
        mut spec: RunSpec,
        own: Option<OwnPart>,
        tell: impl Fn(RunStanding),
    ) -> Result<RemoteEnd, RunError> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let taking_part = || self.taking_part.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropped after the waiter, which waits for the end of the part.
        let _only_one = own.as_ref().map(|_| taking_part());
        let mut waiter = Waiter::new(&self.inbox, number);
        let holding = own.as_ref().and_then(OwnPart::holding);
        if let Some(own) = own {
            waiter.at_work = Some(self.take_part(number, own, program, &mut spec)?);
        }
        let submitted = self.say(&FromClient::Submit { number, spec: Box::new(spec), holding });
        let submitted = submitted.map_err(|failure| self.lost_or(failure));
        let end = submitted.and_then(|()| self.finished(number, program, tell));
        // If it cannot be told the scheduler is gone, and nothing of the run is left there.
        let _ = self.say(&FromClient::Release { number });
        end.map_err(|error| match error {
            RunError::SchedulerLost { failure, grace, .. } => {
                RunError::SchedulerLost { failure, grace, kept: waiter.end_part().map(Box::new) }
            }
            other => other,
        })
    }

    /// Waits for the end of a run and fetches its results. Some may be lost with a worker just then: they are made
    /// again, and the run ends once more.
    fn finished(
        &self,
        number: u64,
        program: &Program,
        tell: impl Fn(RunStanding),
    ) -> Result<RemoteEnd, RunError> {
        let mut lost = None;
        loop {
            let ended = self.wait_for_end(number, &tell, lost)?;
            match self.fetch_all(program, &ended) {
                Ok(blocks) => return Ok(RemoteEnd { blocks, ended }),
                Err(failure) => lost = Some(failure),
            }
        }
    }

    /// Why nothing more will be told, and how soon the scheduler may come back, if it may.
    pub fn lost(&self) -> Option<(Failure, Duration)> {
        let told = self.inbox.lock();
        Some((Failure::of_run(told.gone.as_ref()?), told.grace?))
    }

    fn lost_or(&self, failure: Failure) -> RunError {
        match self.lost() {
            Some((failure, grace)) => RunError::SchedulerLost { failure, grace, kept: None },
            None => failure.into(),
        }
    }

    /// Does itself what no worker can, from the run's beginning to its end.
    fn take_part(
        &self,
        number: u64,
        own: OwnPart,
        program: &Arc<Program>,
        spec: &mut RunSpec,
    ) -> Result<AtWork, Failure> {
        let depot = self.listen()?;
        let (inputs, outputs) = (own.inputs.clone(), own.outputs.clone());
        spec.own = Some(ClientPart { seat: own.seat(), depot, inputs, outputs });
        let (tell, told) = mpsc::channel();
        let line = self.line.clone();
        let say = Arc::new(move |message| line.send(&FromClient::AsWorker { number, message }));
        let at_work = own.start(program.clone(), say, self.depot.clone(), self.endpoint.clone(), told)?;
        self.inbox.lock().about(number, |run| run.part = Some(tell));
        Ok(at_work)
    }

    /// Where others get the blocks of this process.
    fn listen(&self) -> Result<SocketAddr, Failure> {
        let mut listens = self.listens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = *listens {
            return Ok(address);
        }
        let mut here = self.connection.peer().local;
        here.set_port(0);
        let address = self.endpoint.listen(here).map_err(Failure::of_run)?;
        Ok(*listens.insert(address))
    }

    /// How a run has ended. If results of it were `lost`, that is the error as soon as nothing gets on for so long that
    /// nobody can be making them again.
    fn wait_for_end(
        &self,
        number: u64,
        tell: &impl Fn(RunStanding),
        lost: Option<Failure>,
    ) -> Result<Ended, RunError> {
        let mut last = None;
        let mut got_on = Instant::now();
        let mut told = self.inbox.lock();
        loop {
            let despair = self.despairs(&told, 1);
            let Told { runs, gone, grace, .. } = &mut *told;
            let run = runs.entry(number).or_default();
            if let Some(end) = run.end.take() {
                return end;
            }
            if let Some(why) = gone {
                let failure = Failure::of_run(why);
                return Err(match *grace {
                    Some(grace) => RunError::SchedulerLost { failure, grace, kept: None },
                    None => failure.into(),
                });
            }
            if let Some(failure) = despair {
                return Err(failure.into());
            }
            if let Some(standing) = run.standing.filter(|_| run.standing != last) {
                tell(standing);
                last = run.standing;
                got_on = Instant::now();
            }
            if let Some(lost) = lost.as_ref().filter(|_| got_on.elapsed() >= MADE_AGAIN) {
                return Err(lost.clone().into());
            }
            told = self.inbox.wait(told, LOOK);
        }
    }

    fn fetch_all(&self, program: &Program, ended: &Ended) -> Result<HashMap<BlockId, Arc<Block>>, Failure> {
        // Results are the caller's, and as large as they are.
        let pool = Pool::new(u64::MAX);
        let mut blocks = HashMap::new();
        let (tell, told) = mpsc::channel();
        let mut asked = ended.kept.iter();
        let mut under_way = 0;
        loop {
            while under_way < FETCHED_AT_ONCE
                && let Some((id, depot)) = asked.next()
            {
                self.fetch(program, ended.run, *id, *depot, &pool, tell.clone())?;
                under_way += 1;
            }
            if under_way == 0 {
                return Ok(blocks);
            }
            let (id, fetched) = told.recv().map_err(Failure::of_run)?;
            under_way -= 1;
            blocks.insert(id, Arc::new(fetched?));
        }
    }

    fn fetch(
        &self,
        program: &Program,
        run: RunId,
        id: BlockId,
        depot: Depot,
        pool: &Pool,
        tell: mpsc::Sender<(BlockId, Result<Block, Failure>)>,
    ) -> Result<(), Failure> {
        if !program.has_task(id) {
            return Err(Failure::of_run(format!("the scheduler names {id:?}, which is not of this run")));
        }
        let stage = program.stage(id.stage);
        let block = Block::new(pool, stage.shape(id.index), stage.element).map_err(Failure::of_run)?;
        let key = encode(&BlockKey { run, block: id }).map_err(Failure::of_run)?;
        self.endpoint.pull(holder(depot), &key, block, move |block, result| {
            let fetched = result.map(|_| block);
            let fetched = fetched.map_err(|why| Failure::of_run(format!("{id:?} of the result: {why}")));
            // Whoever waits may have given up.
            let _ = tell.send((id, fetched));
        });
        Ok(())
    }

    /// What goes on at the cluster.
    pub fn status(&self) -> Result<Status, Failure> {
        self.ask(&FromClient::Status, |told| told.status.take())
    }

    /// Why a task of the run that goes on is where it is, line by line.
    ///
    /// # Errors
    /// If no run goes on, or if it has no such task.
    pub fn explain(&self, task: TaskId) -> Result<Vec<String>, Failure> {
        self.ask(&FromClient::Explain { task }, |told| told.explained.take())?
    }

    /// Says something and waits for its answer.
    fn ask<T>(
        &self,
        message: &FromClient,
        mut answer: impl FnMut(&mut Told) -> Option<T>,
    ) -> Result<T, Failure> {
        self.say(message)?;
        let mut told = self.inbox.lock();
        loop {
            if let Some(answer) = answer(&mut told) {
                return Ok(answer);
            }
            if let Some(why) = &told.gone {
                return Err(Failure::of_run(why));
            }
            told = self.inbox.wait(told, LOOK);
        }
    }

    /// Lets the worker of this name go once others have what only it has, and waits until it has left.
    ///
    /// # Errors
    /// If there is none of that name, or if it is lost before it could leave.
    pub fn drain(&self, name: &str) -> Result<(), Failure> {
        self.ask(&FromClient::Drain { name: name.into() }, |told| told.drained.take())?
    }

    /// Ends the scheduler and its workers, and waits until it is gone.
    pub fn stop(&self) -> Result<(), Failure> {
        self.say(&FromClient::Stop)?;
        let mut told = self.inbox.lock();
        while !told.closed {
            told = self.inbox.wait(told, LOOK);
        }
        Ok(())
    }
}
