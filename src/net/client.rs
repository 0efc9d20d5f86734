//! The scheduler, from a client's side.

use super::address::{Found, SchedulerAt, connect};
use super::identity::{introduction, own_name};
use super::network::holder;
use crate::failure::Failure;
use crate::graph::Program;
use crate::ids::{BlockId, RunId, TaskId};
use crate::protocol::{
    BlockKey, Depot, Ended, FleetMember, FromClient, RunSpec, Status, ToClient, decode, encode,
};
use crate::store::{Block, Pool};
use cluster::blocks::NoBlocks;
use cluster::endpoint::{Config, Endpoint};
use cluster::limits::Limits;
use cluster::peer::{Connection, Event};
use cluster::role::Role;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Blocks of results that are asked for at once.
const FETCHED_AT_ONCE: usize = 16;

/// What the scheduler has told.
#[derive(Default)]
struct Told {
    fleet: Vec<FleetMember>,
    progress: HashMap<u64, (u64, u64)>,
    ended: HashMap<u64, Result<Ended, Failure>>,
    status: Option<Status>,
    explained: Option<Result<Vec<String>, Failure>>,
    /// Why nothing more will be told.
    gone: Option<String>,
}

#[derive(Default)]
struct Inbox {
    told: Mutex<Told>,
    changed: Condvar,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, event: Event) {
        let mut told = self.lock();
        match event {
            Event::Connected(_) | Event::Room { .. } => return,
            Event::Lost { why, .. } => told.gone = Some(format!("the scheduler is lost: {why}")),
            Event::Message { message, .. } => match decode(&message) {
                Ok(ToClient::Fleet { members }) => told.fleet = members,
                Ok(ToClient::Progress { number, done, total }) => {
                    told.progress.insert(number, (done, total));
                }
                Ok(ToClient::Ended { number, result }) => {
                    told.progress.remove(&number);
                    told.ended.insert(number, result);
                }
                Ok(ToClient::Status(status)) => told.status = Some(status),
                Ok(ToClient::Explained(lines)) => told.explained = Some(lines),
                Err(error) => told.gone = Some(format!("the scheduler says what cannot be read: {error}")),
            },
        }
        drop(told);
        self.changed.notify_all();
    }

    fn wait<'a>(&'a self, told: MutexGuard<'a, Told>, most: Duration) -> MutexGuard<'a, Told> {
        let (told, _) = self.changed.wait_timeout(told, most).unwrap_or_else(PoisonError::into_inner);
        told
    }
}

/// A connection to a scheduler.
pub struct Client {
    endpoint: Endpoint,
    connection: Connection,
    inbox: Arc<Inbox>,
    numbers: AtomicU64,
}

/// How a run at the cluster has ended.
pub struct RemoteEnd {
    /// The blocks of the stages that are kept.
    pub blocks: HashMap<BlockId, Arc<Block>>,
    pub ended: Ended,
}

/// A shorter wait is not worth a word.
const SAY_SO: Duration = Duration::from_secs(1);
/// So often somebody who waits looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

impl Client {
    /// Connects to a scheduler; waits until `deadline` where it is not there yet.
    pub fn connect(scheduler: &SchedulerAt, deadline: Instant) -> Result<Client, Failure> {
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        let Found { address, trust } = scheduler.find(Role::Client, deadline)?;
        let me = introduction(Role::Client, own_name(CLIENTS.fetch_add(1, Ordering::Relaxed)));
        let inbox = Arc::new(Inbox::default());
        let config = Config { me, trust, mixed_machines: false, limits: Limits::default() };
        let heard = inbox.clone();
        let endpoint = Endpoint::start(config, Arc::new(NoBlocks), move |event| heard.take(event));
        let endpoint = endpoint.map_err(Failure::of_request)?;
        let connection = connect(&endpoint, &address, deadline)?;
        let client = Client { endpoint, connection, inbox, numbers: AtomicU64::new(0) };
        client.say(&FromClient::WatchFleet)?;
        Ok(client)
    }

    fn say(&self, message: &FromClient) -> Result<(), Failure> {
        let bytes = encode(message).map_err(Failure::of_run)?;
        self.connection.send(bytes).map_err(|error| Failure::of_run(format!("the scheduler: {error}")))
    }

    /// The workers that are there.
    pub fn fleet(&self) -> Vec<FleetMember> {
        self.inbox.lock().fleet.clone()
    }

    /// Waits until so many workers are there, and returns them. `waiting` is told how many are, now and then.
    ///
    /// # Errors
    /// If there are fewer at `deadline`, or if the scheduler is lost.
    pub fn wait_for_workers(
        &self,
        count: usize,
        deadline: Instant,
        mut waiting: impl FnMut(usize),
    ) -> Result<Vec<FleetMember>, Failure> {
        let began = Instant::now();
        let mut told = self.inbox.lock();
        loop {
            if let Some(why) = &told.gone {
                return Err(Failure::of_run(why));
            }
            if told.fleet.len() >= count {
                return Ok(told.fleet.clone());
            }
            if Instant::now() >= deadline {
                return Err(Failure::of_run(format!(
                    "{} of {count} workers are there: start more with dolmen worker, or wait longer with --wait",
                    told.fleet.len()
                )));
            }
            if began.elapsed() >= SAY_SO {
                waiting(told.fleet.len());
            }
            told = self.inbox.wait(told, LOOK);
        }
    }

    /// Has the cluster do a run, and fetches the blocks that `program`, which is the run's, keeps. `progress` hears the
    /// number of tasks that are done and of all.
    pub fn run(
        &self,
        program: &Program,
        spec: RunSpec,
        progress: impl Fn(u64, u64),
    ) -> Result<RemoteEnd, Failure> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.say(&FromClient::Submit { number, spec: Box::new(spec) })?;
        let ended = self.wait_for_end(number, progress)?;
        let blocks = self.fetch_all(program, &ended);
        // If it cannot be told the scheduler is gone, and nothing of the run is left there.
        let _ = self.say(&FromClient::Release { number });
        Ok(RemoteEnd { blocks: blocks?, ended })
    }

    fn wait_for_end(&self, number: u64, progress: impl Fn(u64, u64)) -> Result<Ended, Failure> {
        let mut told = self.inbox.lock();
        loop {
            if let Some(result) = told.ended.remove(&number) {
                return result;
            }
            if let Some(why) = &told.gone {
                return Err(Failure::of_run(why));
            }
            if let Some((done, total)) = told.progress.get(&number) {
                progress(*done, *total);
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
                self.fetch(program, RunId(ended.run), (*id, *depot), &pool, tell.clone())?;
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
        (id, depot): (BlockId, Depot),
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
            let fetched = result.map(|()| block);
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

    /// Ends the scheduler and its workers, and waits until it is gone.
    pub fn stop(&self) -> Result<(), Failure> {
        self.say(&FromClient::Stop)?;
        let mut told = self.inbox.lock();
        while told.gone.is_none() {
            told = self.inbox.wait(told, LOOK);
        }
        Ok(())
    }
}
