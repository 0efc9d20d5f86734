//! The worker: hears the scheduler, fetches blocks, tells what its threads have done. What can begin and what waits its
//! desk knows.

use super::activity::{Activity, WorkClass};
use super::executor::{Executor, Queues, WorkerThreads};
use super::messages::{Fetch, Fetched, FromWorkers, GoOn, Lost, Release, Settle, ToWorkers};
use super::pulls::Pulls;
use super::run::Run;
use super::work_item::{Done, Received, WorkItem, WorkKind, WorkOutcome};
use super::workbench::{Gathered, RunInHand, Workbench};
use crate::ids::{BlockId, RunId, StageId, TaskList, WorkerId};
use crate::protocol::{FromWorker, ToWorker};
use crate::sched::{Orders, Timing, Unbegun};
use crate::store::Block;
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, Recipient,
    ResponseFuture, WrapFuture,
};
use futures_channel::oneshot;
use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

/// Messages that a worker's mailbox holds. Those in one process are batches, so few; none may be dropped.
const MAILBOX: usize = 1024;
/// So many tasks are put on the desk first, and each time twice as many: the threads begin early, and are woken seldom.
const ASSIGNED_FIRST: usize = 128;

/// Where to find the other workers of this process.
pub type Peers = Arc<Mutex<HashMap<WorkerId, Addr<Worker>>>>;

pub struct Worker {
    id: WorkerId,
    threads: WorkerThreads,
    scheduler: Recipient<FromWorkers>,
    /// Hears of it if this worker cannot work.
    lost: Recipient<Lost>,
    peers: Peers,
    executor: Option<Executor>,
    queues: Arc<Queues>,
    bench: Arc<Workbench>,
    /// Blocks on their way off leaving workers. One that is freed meanwhile is not kept.
    copying: HashSet<BlockId>,
    pulls: Pulls,
    /// Other workers that wait for blocks which are on their way here.
    awaited: HashMap<BlockId, Vec<oneshot::Sender<Option<Arc<Block>>>>>,
}

impl Worker {
    pub fn new(
        id: WorkerId,
        threads: WorkerThreads,
        scheduler: Recipient<FromWorkers>,
        lost: Recipient<Lost>,
        peers: Peers,
        activity: Arc<Activity>,
    ) -> Self {
        let queues = Arc::new(Queues::new(threads.io_place, activity));
        let bench = Arc::new(Workbench::new(queues.clone()));
        Worker {
            id,
            threads,
            scheduler,
            lost,
            peers,
            executor: None,
            queues,
            bench,
            copying: HashSet::new(),
            pulls: Pulls::default(),
            awaited: HashMap::new(),
        }
    }

    fn tell(&self, message: FromWorker) {
        self.scheduler.do_send(FromWorkers { worker: self.id, messages: vec![message] });
    }

    /// Tasks are to be done here. Many at once, none of which needs a block from elsewhere, are taken in part by part:
    /// the threads begin with the first ones and do not wait for the desk.
    fn assign(&mut self, tasks: &TaskList, fetch: &[(BlockId, WorkerId)], ctx: &mut Context<Self>) {
        if !fetch.is_empty() || tasks.len() <= ASSIGNED_FIRST {
            return self.assign_part(tasks, fetch, ctx);
        }
        let mut tasks = tasks.iter();
        let mut length = ASSIGNED_FIRST;
        loop {
            let part: TaskList = tasks.by_ref().take(length).collect();
            if part.is_empty() {
                return;
            }
            self.assign_part(&part, fetch, ctx);
            length *= 2;
        }
    }

    fn assign_part(&mut self, tasks: &TaskList, fetch: &[(BlockId, WorkerId)], ctx: &mut Context<Self>) {
        let Some(orders) = self.bench.order(|here| here.desk.assign(tasks, fetch)) else { return };
        let Some(run) = self.bench.run() else { return };
        for (block, from) in &orders.fetch {
            self.fetch(&run, *block, *from, ctx);
        }
        self.tell_of(&run, orders);
    }

    /// Tells the scheduler of tasks that cannot be done here, and asks it about those that it suspects.
    fn tell_of(&mut self, run: &Run, orders: Orders<Arc<Block>>) {
        if !orders.ask.is_empty() {
            self.tell(FromWorker::Asks { run: run.id, tasks: orders.ask });
        }
        if !orders.returned.is_empty() {
            self.tell(FromWorker::Returned { run: run.id, tasks: orders.returned });
        }
    }

    /// Asks for a block: an I/O thread reads it back or makes it again, or another worker of this process passes it as
    /// an `Arc`, so that nothing is copied.
    fn fetch(&mut self, run: &Arc<Run>, block: BlockId, from: WorkerId, ctx: &mut Context<Self>) {
        if from == self.id {
            return self.perform([WorkItem { run: run.clone(), task: block, kind: WorkKind::Load }]);
        }
        if run.network.is_some() {
            return self.perform([WorkItem {
                run: run.clone(),
                task: block,
                kind: WorkKind::Receive { from },
            }]);
        }
        let answer = self.ask(from, run.id, block);
        let run = run.clone();
        ctx.spawn(answer.into_actor(self).map(move |found, worker, _| worker.fetched(&run, block, found)));
    }

    /// Asks another worker of this process.
    fn ask(
        &self,
        from: WorkerId,
        run: RunId,
        block: BlockId,
    ) -> impl Future<Output = Option<Arc<Block>>> + use<> {
        let peer = self.peers.lock().unwrap_or_else(PoisonError::into_inner).get(&from).cloned();
        async move { peer?.send(Fetch { run, block, waits: true }).await.ok()?.found() }
    }

    fn perform(&self, items: impl IntoIterator<Item = WorkItem>) {
        self.queues.add(None, items);
    }

    fn fetched(&mut self, run: &Arc<Run>, block: BlockId, found: Option<Arc<Block>>) {
        if !self.bench.is_in(run.id) {
            return;
        }
        for listener in self.awaited.remove(&block).unwrap_or_default() {
            // Whoever asked may be gone.
            let _ = listener.send(found.clone());
        }
        let orders = self.bench.order(|RunInHand { desk, .. }| match found {
            Some(found) => desk.arrived(block, found),
            None => Orders { returned: desk.missed(block), ..Orders::default() },
        });
        self.tell_of(run, orders.unwrap_or_default());
    }

    fn take_back(&mut self, share: Unbegun) {
        let Some(run) = self.bench.run() else { return };
        let tasks = self.bench.take_back(share);
        // What is finished is told before what is given back.
        self.collect();
        self.tell(FromWorker::Returned { run: run.id, tasks });
    }

    fn copy(&mut self, from: WorkerId, block: BlockId, ctx: &mut Context<Self>) {
        let Some(run) = self.bench.run() else { return };
        self.copying.insert(block);
        if run.network.is_some() {
            return self.perform([WorkItem { run, task: block, kind: WorkKind::Copy { from } }]);
        }
        let answer = self.ask(from, run.id, block);
        ctx.spawn(answer.into_actor(self).map(move |found, worker, _| {
            if worker.bench.is_in(run.id) {
                worker.copied(&run, block, found);
            }
        }));
    }

    /// The copy that was asked for is here, or cannot be had.
    fn copied(&mut self, run: &Run, block: BlockId, found: Option<Arc<Block>>) {
        let is_wanted = self.copying.remove(&block);
        let Some(found) = found.filter(|_| is_wanted) else {
            return self.tell(FromWorker::CopyFailed { run: run.id, block });
        };
        // From now on the scheduler counts on it.
        self.bench.with(|here| here.desk.keep(block, found));
        self.tell(FromWorker::Copied { run: run.id, block });
    }

    fn forget(&mut self) {
        self.bench.forget();
        self.copying.clear();
        self.pulls.forget();
        self.awaited.clear();
    }

    /// Blocks are freed: from memory, and what was written of them, which an I/O thread removes.
    fn free(&mut self, blocks: &TaskList) {
        let Some(run) = self.bench.run() else { return };
        let mut written = None;
        self.drop_blocks(blocks);
        for block in blocks.iter() {
            self.copying.remove(&block);
            if run.spill.as_ref().is_some_and(|files| files.release(block)) {
                written = Some(block);
            }
        }
        if let Some(task) = written {
            self.perform([WorkItem { run, task, kind: WorkKind::Sweep }]);
        }
    }

    /// Blocks go out of memory.
    fn drop_blocks(&mut self, blocks: &TaskList) {
        let dropped: Option<Vec<Option<Arc<Block>>>> =
            self.bench.with(|here| blocks.iter().map(|block| here.desk.remove(block)).collect());
        drop(dropped);
    }

    /// Blocks are to be written by the I/O threads.
    fn spill(&mut self, blocks: &TaskList) {
        let items = self.bench.with(|RunInHand { run, desk }| {
            let found = blocks.iter().filter_map(|task| Some((task, desk.remove(task)?)));
            let item = |(task, block)| WorkItem { run: run.clone(), task, kind: WorkKind::Spill(block) };
            found.map(item).collect::<Vec<_>>()
        });
        self.perform(items.unwrap_or_default());
    }

    /// Tells the scheduler what has happened, and with it how blocks have come: that is not worth a message of its own.
    fn report(&mut self, run: &Run, mut messages: Vec<FromWorker>) {
        if messages.is_empty() {
            return;
        }
        let pulls = self.pulls.take();
        if !pulls.is_empty() {
            messages.push(FromWorker::Pulled { run: run.id, pulls });
        }
        self.scheduler.do_send(FromWorkers { worker: self.id, messages });
    }

    /// Tells the scheduler what the threads have done.
    fn collect(&mut self) {
        let Some(Gathered { run, done, returned, ask }) = self.bench.gather() else { return };
        let mut tasks = TaskList::default();
        let mut timings: Vec<Timing> = Vec::new();
        let mut messages = Vec::new();
        let mut came = Vec::new();
        let mut copied = Vec::new();
        for done in done {
            let (id, block) = (run.id, done.task);
            messages.push(match done.outcome {
                WorkOutcome::Made(_) => {
                    tasks.push(block);
                    add_timing(&mut timings, block.stage, done.seconds);
                    continue;
                }
                WorkOutcome::Loaded(loaded) => {
                    came.push((block, Some(Arc::new(loaded))));
                    continue;
                }
                WorkOutcome::Received(received) => {
                    let Received { block: received, from, began, came: at } = received;
                    self.pulls.add(from, received.bytes().len() as u64, began, at);
                    came.push((block, Some(Arc::new(received))));
                    continue;
                }
                WorkOutcome::Missed => {
                    came.push((block, None));
                    continue;
                }
                WorkOutcome::Copied(found) => {
                    copied.push((block, found.map(Arc::new)));
                    continue;
                }
                WorkOutcome::Swept => continue,
                WorkOutcome::Spilled => FromWorker::Spilled { run: id, block },
                WorkOutcome::Vanished => {
                    came.push((block, None));
                    FromWorker::Vanished { run: id, block }
                }
                WorkOutcome::MoveFailed(failure) => FromWorker::MoveFailed { run: id, block, failure },
                WorkOutcome::Failed(failure) => FromWorker::Failed { run: id, task: block, failure },
            });
        }
        if !tasks.is_empty() {
            // First what was done, then what follows from it.
            messages.insert(0, FromWorker::Finished { run: run.id, tasks, timings });
        }
        if !returned.is_empty() {
            messages.push(FromWorker::Returned { run: run.id, tasks: returned });
        }
        if !ask.is_empty() {
            messages.push(FromWorker::Asks { run: run.id, tasks: ask });
        }
        self.report(&run, messages);
        // What cannot be had is told before the tasks that are given back for it.
        came.into_iter().for_each(|(block, found)| self.fetched(&run, block, found));
        copied.into_iter().for_each(|(block, found)| self.copied(&run, block, found));
    }
}

fn add_timing(timings: &mut Vec<Timing>, stage: StageId, seconds: f64) {
    match timings.iter_mut().find(|t| t.stage == stage) {
        Some(timing) => {
            timing.tasks += 1;
            timing.seconds += seconds;
        }
        None => timings.push(Timing { stage, tasks: 1, seconds }),
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let (bench, me) = (self.bench.clone(), ctx.address());
        let report = move |by: Option<WorkClass>, done: Vec<Done>| {
            // One knock for all that gathers until the actor comes. `do_send` passes the mailbox limit,
            // and a worker that is gone wants no results.
            if bench.finished(by, done) {
                me.do_send(Knock);
            }
        };
        let name = format!("dolmen-{}", self.id.0);
        match Executor::start(&name, self.threads, self.queues.clone(), Arc::new(report)) {
            Ok(executor) => self.executor = Some(executor),
            Err(error) => self.lost.do_send(Lost { worker: self.id, why: error.to_string() }),
        }
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).insert(self.id, ctx.address());
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        // In another run another worker may have its number.
        if peers.get(&self.id) == Some(&ctx.address()) {
            peers.remove(&self.id);
        }
    }
}

/// The executor has put something into the tray.
#[derive(Message)]
#[rtype(result = "()")]
struct Knock;

impl Handler<Knock> for Worker {
    type Result = ();

    fn handle(&mut self, _: Knock, _: &mut Self::Context) {
        self.collect();
    }
}

impl Handler<Fetch> for Worker {
    type Result = ResponseFuture<Fetched>;

    /// Answers when the block is here, if it is on its way.
    fn handle(&mut self, Fetch { run, block, waits }: Fetch, _: &mut Self::Context) -> Self::Result {
        let at_once = |RunInHand { run: current, desk }: &mut RunInHand| match desk.get(block) {
            _ if current.id != run => Some(Fetched::Nowhere),
            Some(found) => Some(Fetched::Found(found.clone())),
            None if waits && desk.is_coming(block) => None,
            None => Some(Fetched::Nowhere),
        };
        if let Some(answer) = self.bench.with(at_once).unwrap_or(Some(Fetched::Nowhere)) {
            return Box::pin(ready(answer));
        }
        let (tell, hear) = oneshot::channel();
        self.awaited.entry(block).or_default().push(tell);
        Box::pin(async move { hear.await.ok().flatten().map_or(Fetched::Failed, Fetched::Found) })
    }
}

impl Handler<Release> for Worker {
    type Result = ();

    fn handle(&mut self, _: Release, ctx: &mut Self::Context) {
        // One of its threads may be removing files that nobody needs any more.
        if let Some(executor) = self.executor.take() {
            executor.let_go();
        }
        ctx.stop();
    }
}

impl Handler<Settle> for Worker {
    type Result = ();

    fn handle(&mut self, Settle { tell }: Settle, _: &mut Self::Context) {
        self.bench.settle();
        // Waits for what its threads have in hand.
        drop(self.executor.take());
        // Whoever asked may have given up.
        let _ = tell.send(self.bench.leave());
    }
}

impl Handler<GoOn> for Worker {
    type Result = ();

    fn handle(&mut self, GoOn { run, held }: GoOn, _: &mut Self::Context) {
        self.forget();
        self.bench.go_on(run, held);
    }
}

impl Handler<ToWorkers> for Worker {
    type Result = ();

    fn handle(&mut self, ToWorkers { run, messages }: ToWorkers, ctx: &mut Self::Context) {
        if !self.bench.is_in(run.id) {
            self.forget();
            self.bench.begin(run);
        }
        for message in messages {
            match message {
                ToWorker::Assign { tasks, fetch, suspects, .. } => {
                    self.bench.with(|here| here.desk.suspect(&suspects));
                    self.assign(&tasks, &fetch, ctx);
                }
                ToWorker::Permit { tasks, .. } => {
                    self.bench.order(|here| here.desk.permit(&tasks));
                }
                ToWorker::Free { blocks, .. } => self.free(&blocks),
                ToWorker::Drop { blocks, .. } => self.drop_blocks(&blocks),
                ToWorker::Spill { blocks, .. } => self.spill(&blocks),
                ToWorker::TakeBack { share, .. } => self.take_back(share),
                ToWorker::Copy { from, block, .. } => self.copy(from, block, ctx),
                ToWorker::Forget { .. } => self.forget(),
            }
        }
    }
}
