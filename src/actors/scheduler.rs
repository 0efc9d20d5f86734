//! The scheduler actor of one process: its workers share memory, and its caller waits for one run at a time.

use super::activity::{Activity, Stalls};
use super::autoscaler::{Changed, DrainWorkers, LookAround, TellChanges};
use super::conduct::{Conduct, Letters};
use super::demand;
use super::executor::WorkerThreads;
use super::messages::{Fetch, Fetched, FromWorkers, Lost, Release, ToWorkers};
use super::run::{Progress, Run, RunOutcome};
use super::worker::{Peers, Worker};
use crate::exec::Bindings;
use crate::failure::Failure;
use crate::graph::Program;
use crate::ids::{MemoryId, RunId, TaskId, WorkerId};
use crate::protocol::ToWorker;
use crate::sched::{Core, Event, IO_TASKS, Plan};
use crate::store::{Pool, SpillFiles};
use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, MessageResult, Recipient,
    WrapFuture,
};
use cluster::device::FileUse;
use cluster::scaling::{Present, Survey};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Receives the result of a run. The sender is dropped if the scheduler goes.
type Reply = futures_channel::oneshot::Sender<Result<RunOutcome, Failure>>;

struct Member {
    name: String,
    address: Addr<Worker>,
    joined: Instant,
    /// It has been told to hand over what it has and go.
    leaving: bool,
}

/// The memory of this process, which all of its workers share.
const SHARED: MemoryId = MemoryId(0);

struct Current {
    run: Arc<Run>,
    conduct: Conduct,
    /// Bytes of blocks that it may hold.
    bytes: u64,
    progress: Arc<Progress>,
    reply: Reply,
    waited: Duration,
    /// Before it.
    stalls: Stalls,
    /// Workers that have taken part: the core does not take a number twice.
    seen: BTreeSet<WorkerId>,
    most_workers: usize,
    /// All is done, and what is kept is being collected from those who hold it.
    is_collected: bool,
    /// I/O tasks beyond the usual ones that the core knows of.
    more_io: u64,
}

impl Current {
    fn join(&mut self, worker: WorkerId, threads: WorkerThreads) -> Event {
        self.seen.insert(worker);
        Event::Join { worker, threads: threads.compute as u32, memory: SHARED, bytes: self.bytes }
    }
}

/// One run at a time; others wait in line.
pub struct Scheduler {
    pool: Pool,
    activity: Arc<Activity>,
    /// Of each worker.
    threads: WorkerThreads,
    peers: Peers,
    members: BTreeMap<WorkerId, Member>,
    current: Option<Current>,
    line: VecDeque<Submit>,
    /// Why the last worker that was lost is gone.
    lost: String,
    /// Workers whose threads could not be started, and why, until somebody has asked.
    failed: BTreeMap<String, String>,
    /// Hears that there is more or less to do.
    hears: Option<Recipient<Changed>>,
}

impl Actor for Scheduler {
    type Context = Context<Self>;
}

impl Scheduler {
    /// The scheduler of the workers that share `pool`, each with so many threads. There are none yet.
    pub fn new(pool: Pool, threads: WorkerThreads, peers: Peers, activity: Arc<Activity>) -> Self {
        Scheduler {
            pool,
            activity,
            threads,
            peers,
            members: BTreeMap::new(),
            current: None,
            line: VecDeque::new(),
            lost: "none has joined".into(),
            failed: BTreeMap::new(),
            hears: None,
        }
    }

    fn changed(&self) {
        if let Some(hears) = &self.hears {
            hears.do_send(Changed);
        }
    }

    /// The lowest number that nobody has or had in this run.
    fn new_number(&self) -> WorkerId {
        let seen = self.current.as_ref().map(|current| &current.seen);
        let is_free =
            |id: &WorkerId| !self.members.contains_key(id) && !seen.is_some_and(|seen| seen.contains(id));
        (0..).map(WorkerId).find(is_free).expect("there are more numbers than workers")
    }

    /// Starts a worker. What it says finds its way here by its number.
    fn recruit(&mut self, name: String, me: &Addr<Scheduler>) -> WorkerId {
        let worker = self.new_number();
        let (hears, hears_of_loss) = (me.clone().recipient(), me.clone().recipient());
        let (peers, activity) = (self.peers.clone(), self.activity.clone());
        let address = Worker::new(worker, self.threads, hears, hears_of_loss, peers, activity).start();
        self.members.insert(worker, Member { name, address, joined: Instant::now(), leaving: false });
        worker
    }

    fn start_next(&mut self, ctx: &mut Context<Self>) {
        if self.current.is_some() {
            return;
        }
        let Some(submit) = self.line.pop_front() else { return };
        let Submit { id, core, program, bindings, plan, spill, progress, submitted, reply } = submit;
        if self.members.is_empty() {
            // Nobody may be waiting any more.
            let _ = reply.send(Err(self.nobody()));
            return self.start_next(ctx);
        }
        progress.set(0, program.tasks());
        let pool = self.pool.begin(plan.bound());
        let run =
            Arc::new(Run { id, program, bindings, workspace: plan.workspace, pool, spill, network: None });
        let workers = plan.threads.compute / self.threads.compute.max(1) as u64;
        self.activity.begin((plan.threads.io / workers.max(1)) as usize);
        let stalls = self.activity.stalls();
        let bytes = plan.blocks_limit;
        let mut current = Current {
            run,
            conduct: Conduct::new(id, core),
            bytes,
            progress,
            reply,
            waited: submitted.elapsed(),
            stalls,
            seen: BTreeSet::new(),
            most_workers: self.members.len(),
            is_collected: false,
            more_io: 0,
        };
        let joins: Vec<Event> = self.members.keys().map(|id| current.join(*id, self.threads)).collect();
        self.current = Some(current);
        self.feed(joins, ctx);
        self.changed();
    }

    /// Tells the core if workers run more I/O tasks than before, or fewer: it goes as far ahead as these can read.
    fn follow_io(&mut self, ctx: &mut Context<Self>) {
        let more = self.activity.io_tasks.now().saturating_sub(IO_TASKS) * self.members.len();
        let tasks = more as u64;
        let Some(current) = self.current.as_mut().filter(|current| !current.is_collected) else { return };
        if std::mem::replace(&mut current.more_io, tasks) != tasks {
            self.feed(vec![Event::MoreIo { tasks }], ctx);
        }
    }

    fn nobody(&self) -> Failure {
        Failure::of_run(format!("no worker is left: {}", self.lost))
    }

    fn feed(&mut self, events: Vec<Event>, ctx: &mut Context<Self>) {
        let Some(current) = &mut self.current else { return };
        let letters = current.conduct.feed(events);
        self.deliver(letters, ctx);
    }

    /// What the core wants, to the workers.
    fn deliver(&mut self, Letters { to, released, end }: Letters, ctx: &mut Context<Self>) {
        let Some(current) = &mut self.current else { return };
        let (done, total) = current.conduct.core().progress();
        current.progress.set(done, total);
        let run = current.run.clone();
        for (worker, messages) in to {
            self.post(worker, &run, messages);
        }
        released.into_iter().for_each(|worker| self.release(worker));
        match end {
            None if self.members.is_empty() => self.finish(Err(self.nobody()), ctx),
            None => {}
            Some(Ok(())) => self.gather(ctx),
            Some(Err(failure)) => self.finish(Err(failure), ctx),
        }
    }

    fn post(&mut self, worker: WorkerId, run: &Arc<Run>, messages: Vec<ToWorker>) {
        // `do_send` passes the mailbox limit; a worker that is gone is noticed by its own message.
        if let Some(member) = self.members.get(&worker) {
            member.address.do_send(ToWorkers { run: run.clone(), messages });
        }
    }

    /// Lets a worker go.
    fn release(&mut self, worker: WorkerId) {
        if let Some(member) = self.members.remove(&worker) {
            self.lost = format!("{} has left", member.name);
            member.address.do_send(Release);
            self.changed();
        }
    }

    /// Lets a worker go once it has handed over what it has.
    fn drain(&mut self, worker: WorkerId, ctx: &mut Context<Self>) {
        let Some(current) = &self.current else { return self.release(worker) };
        // If the run ends first, it goes with that.
        if let Some(member) = self.members.get_mut(&worker) {
            member.leaving = true;
        }
        if !current.is_collected {
            self.feed(vec![Event::Leave { worker }], ctx);
        }
    }

    /// What an autoscaler has to know. Runs in line do not count: they are done one after the other.
    fn survey(&self) -> Survey {
        let core = self.current.as_ref().map(|current| current.conduct.core());
        let demand = demand::of_runs(core.into_iter(), std::iter::empty()).demand;
        let files = self.file_use();
        let present = |(worker, member): (&WorkerId, &Member)| Present {
            name: member.name.clone(),
            cores: self.threads.compute as u32,
            is_idle: core.is_none_or(|core| demand::is_idle(core, *worker)),
            is_leaving: member.leaving,
            age: member.joined.elapsed().as_secs_f64(),
            // All share one memory.
            room: 0.0,
            files,
        };
        let workers = self.members.iter().map(present).collect();
        Survey { demand, session: true, workers, ..Survey::default() }
    }

    /// What each worker has done with files, as far as that can be told apart: they share what measures it.
    fn file_use(&self) -> FileUse {
        let used = self.activity.file_use();
        let workers = self.members.len().max(1) as f64;
        FileUse { bytes: used.bytes / workers, waited: used.waited / workers }
    }

    /// Collects the kept blocks from the workers that hold them.
    fn gather(&mut self, ctx: &mut Context<Self>) {
        let Some(current) = &mut self.current else { return };
        current.is_collected = true;
        let (run, program) = (current.run.id, &current.run.program);
        let mut asked = Vec::new();
        for stage in program.stage_ids().filter(|id| program.stage(*id).keep) {
            for index in 0..program.stage(stage).space.tasks() {
                let block = TaskId::new(stage, index);
                let holder = current.conduct.core().location(block).and_then(|id| self.members.get(&id));
                if let Some(member) = holder {
                    asked.push((block, member.address.send(Fetch { run, block, waits: true })));
                }
            }
        }
        let mut outcome = RunOutcome {
            blocks: HashMap::new(),
            recomputed: current.conduct.core().recomputed(),
            memory: self.pool.usage(),
            stalls: self.activity.stalls().since(current.stalls),
            io_in_flight: self.activity.most_in_flight(),
            io_tasks_most: self.activity.io_tasks.most() as u64,
            waited: current.waited,
            most_workers: current.most_workers,
        };
        let collected = async move {
            for (id, request) in asked {
                if let Ok(Fetched::Found(block)) = request.await {
                    outcome.blocks.insert(id, block);
                }
            }
            outcome
        };
        ctx.spawn(
            collected.into_actor(self).map(|outcome, scheduler, ctx| scheduler.finish(Ok(outcome), ctx)),
        );
    }

    fn finish(&mut self, result: Result<RunOutcome, Failure>, ctx: &mut Context<Self>) {
        let Some(Current { run, reply, conduct, .. }) = self.current.take() else { return };
        drop(conduct);
        self.activity.end();
        for member in self.members.values() {
            let messages = vec![ToWorker::Forget { run: run.id }];
            member.address.do_send(ToWorkers { run: run.clone(), messages });
        }
        let leaving = self.members.iter().filter(|(_, member)| member.leaving);
        let leaving: Vec<WorkerId> = leaving.map(|(worker, _)| *worker).collect();
        leaving.into_iter().for_each(|worker| self.release(worker));
        // Nobody waits any more: the caller gave up.
        let _ = reply.send(result);
        self.start_next(ctx);
        self.changed();
    }
}

/// A program to run; the answer comes through `reply`.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Submit {
    pub id: RunId,
    /// Made by the caller: in a run that spills that takes a walk over all tasks.
    pub core: Core,
    pub program: Arc<Program>,
    pub bindings: Arc<Bindings>,
    /// What it may hold.
    pub plan: Plan,
    /// Where blocks go when memory is short, if they may.
    pub spill: Option<SpillFiles>,
    pub progress: Arc<Progress>,
    pub submitted: Instant,
    pub reply: Reply,
}

impl Handler<Submit> for Scheduler {
    type Result = ();

    fn handle(&mut self, submit: Submit, ctx: &mut Self::Context) {
        self.line.push_back(submit);
        self.start_next(ctx);
    }
}

/// Workers of these names are to be started.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Recruit(pub Vec<String>);

impl Handler<Recruit> for Scheduler {
    type Result = ();

    fn handle(&mut self, Recruit(names): Recruit, ctx: &mut Self::Context) {
        let me = ctx.address();
        let new: Vec<WorkerId> = names.into_iter().map(|name| self.recruit(name, &me)).collect();
        let mut joins = Vec::new();
        if let Some(current) = &mut self.current {
            current.most_workers = current.most_workers.max(self.members.len());
            joins.extend(new.into_iter().map(|worker| current.join(worker, self.threads)));
        }
        self.feed(joins, ctx);
        self.changed();
    }
}

/// How it stands with a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkerStanding {
    Works,
    /// It hands over what it has, and goes.
    Leaves,
    /// Its threads could not be started. This is told once.
    Failed(String),
}

/// Who is there, by name?
#[derive(Message)]
#[rtype(result = "BTreeMap<String, WorkerStanding>")]
pub struct CallRoll;

impl Handler<CallRoll> for Scheduler {
    type Result = MessageResult<CallRoll>;

    fn handle(&mut self, _: CallRoll, _: &mut Self::Context) -> Self::Result {
        let standing =
            |member: &Member| if member.leaving { WorkerStanding::Leaves } else { WorkerStanding::Works };
        let there = self.members.values().map(|member| (member.name.clone(), standing(member)));
        let failed = std::mem::take(&mut self.failed).into_iter();
        MessageResult(there.chain(failed.map(|(name, why)| (name, WorkerStanding::Failed(why)))).collect())
    }
}

impl Handler<TellChanges> for Scheduler {
    type Result = ();

    fn handle(&mut self, TellChanges(hears): TellChanges, _: &mut Self::Context) {
        self.hears = Some(hears);
    }
}

impl Handler<LookAround> for Scheduler {
    type Result = MessageResult<LookAround>;

    fn handle(&mut self, _: LookAround, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.survey())
    }
}

impl Handler<DrainWorkers> for Scheduler {
    type Result = ();

    fn handle(&mut self, DrainWorkers(names): DrainWorkers, ctx: &mut Self::Context) {
        let meant = self.members.iter().filter(|(_, member)| names.contains(&member.name));
        let meant: Vec<WorkerId> = meant.map(|(worker, _)| *worker).collect();
        meant.into_iter().for_each(|worker| self.drain(worker, ctx));
    }
}

impl Handler<Lost> for Scheduler {
    type Result = ();

    fn handle(&mut self, Lost { worker, why }: Lost, ctx: &mut Self::Context) {
        if let Some(member) = self.members.remove(&worker) {
            member.address.do_send(Release);
            self.failed.insert(member.name, why.clone());
        }
        self.lost = why;
        self.changed();
        self.feed(vec![Event::Lost { worker }], ctx);
    }
}

impl Handler<FromWorkers> for Scheduler {
    type Result = ();

    fn handle(&mut self, FromWorkers { worker, messages }: FromWorkers, ctx: &mut Self::Context) {
        self.follow_io(ctx);
        let Some(current) = &mut self.current else { return };
        let letters = current.conduct.hear(worker, messages);
        self.deliver(letters, ctx);
    }
}
