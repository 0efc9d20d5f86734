//! The scheduler actor of one process: its workers share memory, and its caller waits for one run at a time.

use super::activity::{Activity, Stalls};
use super::conduct::{Conduct, Letters};
use super::messages::{Fetch, FromWorkers, Lost, Release, ToWorkers};
use super::run::{Progress, Run, RunOutcome};
use super::worker::Worker;
use crate::exec::Bindings;
use crate::failure::Failure;
use crate::graph::Program;
use crate::ids::{MemoryId, RunId, TaskId, WorkerId};
use crate::protocol::ToWorker;
use crate::sched::{Core, Event, Plan};
use crate::store::{Pool, SpillFiles};
use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Receives the result of a run. The sender is dropped if the scheduler goes.
type Reply = futures_channel::oneshot::Sender<Result<RunOutcome, Failure>>;

struct Member {
    address: Addr<Worker>,
    threads: u32,
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
}

impl Current {
    fn join(&self, worker: WorkerId, threads: u32) -> Event {
        Event::Join { worker, threads, memory: SHARED, bytes: self.bytes }
    }
}

/// One run at a time; others wait in line.
pub struct Scheduler {
    pool: Pool,
    activity: Arc<Activity>,
    members: BTreeMap<WorkerId, Member>,
    current: Option<Current>,
    line: VecDeque<Submit>,
    /// Why the last worker that was lost is gone.
    lost: String,
}

impl Actor for Scheduler {
    type Context = Context<Self>;
}

impl Scheduler {
    /// The scheduler of the workers that share `pool`.
    pub fn new(pool: Pool, activity: Arc<Activity>) -> Self {
        Scheduler {
            pool,
            activity,
            members: BTreeMap::new(),
            current: None,
            line: VecDeque::new(),
            lost: "none has joined".into(),
        }
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
        self.activity.begin();
        let stalls = self.activity.stalls();
        let bytes = plan.blocks_limit;
        let conduct = Conduct::new(id, core);
        let current = Current { run, conduct, bytes, progress, reply, waited: submitted.elapsed(), stalls };
        let join = |(id, member): (&WorkerId, &Member)| current.join(*id, member.threads);
        let joins: Vec<Event> = self.members.iter().map(join).collect();
        self.current = Some(current);
        self.feed(joins, ctx);
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
            self.lost = format!("{worker} has left");
            member.address.do_send(Release);
        }
    }

    /// Collects the kept blocks from the workers that hold them.
    fn gather(&mut self, ctx: &mut Context<Self>) {
        let Some(current) = &self.current else { return };
        let (run, program) = (current.run.id, &current.run.program);
        let mut asked = Vec::new();
        for stage in program.stage_ids().filter(|id| program.stage(*id).keep) {
            for index in 0..program.stage(stage).space.tasks() {
                let block = TaskId::new(stage, index);
                let holder = current.conduct.core().location(block).and_then(|id| self.members.get(&id));
                if let Some(member) = holder {
                    asked.push((block, member.address.send(Fetch { run, block })));
                }
            }
        }
        let mut outcome = RunOutcome {
            blocks: HashMap::new(),
            recomputed: current.conduct.core().recomputed(),
            memory: self.pool.usage(),
            stalls: self.activity.stalls().since(current.stalls),
            io_in_flight: self.activity.most_in_flight(),
            waited: current.waited,
        };
        let collected = async move {
            for (id, request) in asked {
                if let Ok(Some(block)) = request.await {
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

/// A worker is there.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Joined {
    pub worker: WorkerId,
    pub threads: u32,
    pub address: Addr<Worker>,
}

impl Handler<Joined> for Scheduler {
    type Result = ();

    fn handle(&mut self, Joined { worker, threads, address }: Joined, ctx: &mut Self::Context) {
        self.members.insert(worker, Member { address, threads, leaving: false });
        let join = self.current.as_ref().map(|current| current.join(worker, threads));
        self.feed(join.into_iter().collect(), ctx);
    }
}

/// A worker is to hand over what it has and go.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave(pub WorkerId);

impl Handler<Leave> for Scheduler {
    type Result = ();

    fn handle(&mut self, Leave(worker): Leave, ctx: &mut Self::Context) {
        if self.current.is_none() {
            return self.release(worker);
        }
        // If the run ends first, it goes with that.
        if let Some(member) = self.members.get_mut(&worker) {
            member.leaving = true;
        }
        self.feed(vec![Event::Leave { worker }], ctx);
    }
}

impl Handler<Lost> for Scheduler {
    type Result = ();

    fn handle(&mut self, Lost { worker, why }: Lost, ctx: &mut Self::Context) {
        self.members.remove(&worker);
        self.lost = why;
        self.feed(vec![Event::Lost { worker }], ctx);
    }
}

impl Handler<FromWorkers> for Scheduler {
    type Result = ();

    fn handle(&mut self, FromWorkers { worker, messages }: FromWorkers, ctx: &mut Self::Context) {
        let Some(current) = &mut self.current else { return };
        let letters = current.conduct.hear(worker, messages);
        self.deliver(letters, ctx);
    }
}
