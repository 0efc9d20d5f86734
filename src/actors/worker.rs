//! The worker: holds blocks, sees to it that a task's inputs are here, hands it to the executor.

use super::activity::Activity;
use super::executor::{Executor, WorkerThreads};
use super::fetches::Fetches;
use super::messages::{Fetch, FromWorkers, Lost, Release, ToWorkers};
use super::run::Run;
use super::work_item::{Done, WorkItem, WorkKind, WorkOutcome};
use crate::ids::{BlockId, RunId, StageId, TaskId, TaskList, WorkerId};
use crate::protocol::{FromWorker, ToWorker};
use crate::sched::Timing;
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

/// Where to find the other workers of this process.
pub type Peers = Arc<Mutex<HashMap<WorkerId, Addr<Worker>>>>;

/// Finished tasks, gathered until the actor comes to look.
#[derive(Default)]
struct Tray(Mutex<Vec<Done>>);

pub struct Worker {
    id: WorkerId,
    threads: WorkerThreads,
    scheduler: Recipient<FromWorkers>,
    /// Hears of it if this worker cannot work.
    lost: Recipient<Lost>,
    peers: Peers,
    activity: Arc<Activity>,
    executor: Option<Executor>,
    tray: Arc<Tray>,
    run: Option<Arc<Run>>,
    blocks: HashMap<BlockId, Arc<Block>>,
    fetches: Fetches,
    /// Fetched blocks that the scheduler does not know to be here yet, each with the tasks here that need it.
    /// It learns of them when the first of these is done; those that are given back instead take them along.
    unknown: HashMap<BlockId, usize>,
    /// Blocks on their way off leaving workers. One that is freed meanwhile is not kept.
    copying: HashSet<BlockId>,
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
        Worker {
            id,
            threads,
            scheduler,
            lost,
            peers,
            activity,
            executor: None,
            tray: Arc::default(),
            run: None,
            blocks: HashMap::new(),
            fetches: Fetches::default(),
            unknown: HashMap::new(),
            copying: HashSet::new(),
            awaited: HashMap::new(),
        }
    }

    fn tell(&self, message: FromWorker) {
        self.scheduler.do_send(FromWorkers { worker: self.id, messages: vec![message] });
    }

    fn assign(&mut self, tasks: &TaskList, fetch: &[(BlockId, WorkerId)], ctx: &mut Context<Self>) {
        let Some(run) = self.run.clone() else { return };
        if fetch.is_empty() {
            return self.begin(&run, tasks.iter());
        }
        let from: HashMap<BlockId, WorkerId> = fetch.iter().copied().collect();
        let mut inputs = Vec::new();
        let mut complete = Vec::new();
        for task in tasks.iter() {
            run.program.inputs(task, &mut inputs);
            inputs.retain(|id| from.contains_key(id));
            for id in &inputs {
                if self.unknown.contains_key(id) || !self.blocks.contains_key(id) {
                    *self.unknown.entry(*id).or_default() += 1;
                }
            }
            let missing: Vec<BlockId> =
                inputs.iter().copied().filter(|id| !self.blocks.contains_key(id)).collect();
            if missing.is_empty() {
                complete.push(task);
                continue;
            }
            for block in self.fetches.wait(task, missing) {
                self.fetch(&run, block, from[&block], ctx);
            }
        }
        self.begin(&run, complete.into_iter());
    }

    /// Hands tasks whose inputs are all here to the executor; gives those back that lack one.
    fn begin(&mut self, run: &Arc<Run>, tasks: impl Iterator<Item = TaskId>) {
        let mut returned = TaskList::default();
        let mut items = Vec::new();
        for task in tasks {
            match self.item(run, task) {
                Some(item) => items.push(item),
                None => returned.push(task),
            }
        }
        self.perform(items);
        if !returned.is_empty() {
            self.give_back(run, returned);
        }
    }

    /// Tells the scheduler of tasks that are not done here, and drops what was fetched for them alone.
    fn give_back(&mut self, run: &Run, tasks: TaskList) {
        let mut inputs = Vec::new();
        for task in tasks.iter() {
            run.program.inputs(task, &mut inputs);
            for id in &inputs {
                let Some(users) = self.unknown.get_mut(id) else { continue };
                *users -= 1;
                if *users == 0 {
                    self.unknown.remove(id);
                    self.blocks.remove(id);
                }
            }
        }
        self.tell(FromWorker::Returned { run: run.id, tasks });
    }

    fn item(&mut self, run: &Arc<Run>, task: TaskId) -> Option<WorkItem> {
        let mut ids = Vec::new();
        run.program.inputs(task, &mut ids);
        let has_block = |id: &BlockId| run.program.stage(id.stage).leaves_blocks();
        if ids.iter().any(|id| has_block(id) && !self.blocks.contains_key(id)) {
            return None;
        }
        ids.retain(has_block);
        let mut taken = None;
        if run.program.takes_over(task) && has_block(&task) {
            let previous = TaskId::new(task.stage, task.index - 1);
            ids.retain(|id| *id != previous);
            taken = self.blocks.remove(&previous);
        }
        let inputs = ids.iter().map(|id| self.blocks[id].clone()).collect();
        Some(WorkItem { run: run.clone(), task, kind: WorkKind::Task { ids, inputs, taken } })
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
        async move { peer?.send(Fetch { run, block }).await.ok().flatten() }
    }

    fn perform(&self, items: impl IntoIterator<Item = WorkItem>) {
        if let Some(executor) = &self.executor {
            executor.add(items);
        }
    }

    fn fetched(&mut self, run: &Arc<Run>, block: BlockId, found: Option<Arc<Block>>) {
        if self.run.as_ref().is_none_or(|current| current.id != run.id) {
            return;
        }
        for listener in self.awaited.remove(&block).unwrap_or_default() {
            // Whoever asked may be gone.
            let _ = listener.send(found.clone());
        }
        let Some(found) = found else {
            let returned: TaskList = self.fetches.failed(block).into_iter().collect();
            if !returned.is_empty() {
                self.give_back(run, returned);
            }
            return;
        };
        // Those it was for may have been given back meanwhile.
        if self.unknown.contains_key(&block) {
            self.blocks.insert(block, found);
        }
        let complete = self.fetches.arrived(block);
        self.begin(run, complete.into_iter());
    }

    fn take_back(&mut self, count: usize) {
        // What is finished is told before what is given back.
        self.collect();
        let (Some(run), Some(executor)) = (self.run.clone(), &self.executor) else { return };
        let mut tasks = TaskList::default();
        for item in executor.take_back(count) {
            if let WorkKind::Task { taken: Some(taken), .. } = item.kind {
                self.blocks.insert(TaskId::new(item.task.stage, item.task.index - 1), taken);
            }
            tasks.push(item.task);
        }
        self.give_back(&run, tasks);
    }

    fn copy(&mut self, from: WorkerId, block: BlockId, ctx: &mut Context<Self>) {
        let Some(run) = self.run.clone() else { return };
        self.copying.insert(block);
        if run.network.is_some() {
            return self.perform([WorkItem { run, task: block, kind: WorkKind::Copy { from } }]);
        }
        let answer = self.ask(from, run.id, block);
        ctx.spawn(answer.into_actor(self).map(move |found, worker, _| {
            if worker.run.as_ref().is_some_and(|current| current.id == run.id) {
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
        self.blocks.insert(block, found);
        // From now on the scheduler counts on it.
        self.unknown.remove(&block);
        self.tell(FromWorker::Copied { run: run.id, block });
    }

    fn forget(&mut self) {
        if let Some(executor) = &self.executor {
            executor.clear();
        }
        self.run = None;
        self.blocks.clear();
        self.fetches.clear();
        self.unknown.clear();
        self.copying.clear();
        self.awaited.clear();
    }

    /// The scheduler learns with a task that its inputs are here.
    fn known_from_now(&mut self, run: &Run, task: TaskId) {
        if self.unknown.is_empty() {
            return;
        }
        let mut inputs = Vec::new();
        run.program.inputs(task, &mut inputs);
        inputs.iter().for_each(|id| {
            self.unknown.remove(id);
        });
    }

    /// Blocks are freed: from memory, and what was written of them, which an I/O thread removes.
    fn free(&mut self, blocks: &TaskList) {
        let Some(run) = self.run.clone() else { return };
        let mut written = None;
        for block in blocks.iter() {
            self.blocks.remove(&block);
            self.copying.remove(&block);
            if run.spill.as_ref().is_some_and(|files| files.release(block)) {
                written = Some(block);
            }
        }
        if let Some(task) = written {
            self.perform([WorkItem { run, task, kind: WorkKind::Sweep }]);
        }
    }

    /// Blocks are to be written by the I/O threads.
    fn spill(&mut self, blocks: &TaskList) {
        let Some(run) = self.run.clone() else { return };
        let mut items = Vec::new();
        for task in blocks.iter() {
            let kind = self.blocks.remove(&task).map(WorkKind::Spill);
            items.extend(kind.map(|kind| WorkItem { run: run.clone(), task, kind }));
        }
        self.perform(items);
    }

    /// Takes what the executor has finished: blocks into the store, one message to the scheduler.
    fn collect(&mut self) {
        let done = std::mem::take(&mut *self.tray.0.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(run) = self.run.clone() else { return };
        let mut tasks = TaskList::default();
        let mut timings: Vec<Timing> = Vec::new();
        let mut messages = Vec::new();
        let mut came = Vec::new();
        let mut copied = Vec::new();
        for done in done.into_iter().filter(|done| done.run == run.id) {
            let (id, block) = (run.id, done.task);
            messages.push(match done.outcome {
                WorkOutcome::Made(made) => {
                    if let Some(made) = made {
                        self.blocks.insert(block, Arc::new(made));
                    }
                    tasks.push(block);
                    self.known_from_now(&run, block);
                    add_timing(&mut timings, block.stage, done.seconds);
                    continue;
                }
                WorkOutcome::Loaded(loaded) => {
                    came.push((block, Some(Arc::new(loaded))));
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
        if !messages.is_empty() {
            self.scheduler.do_send(FromWorkers { worker: self.id, messages });
        }
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
        let (tray, me) = (self.tray.clone(), ctx.address());
        let report = move |mut done: Vec<Done>| {
            let mut tray = tray.0.lock().unwrap_or_else(PoisonError::into_inner);
            let first = tray.is_empty();
            tray.append(&mut done);
            drop(tray);
            // One knock for all that gathers until the actor comes. `do_send` passes the mailbox limit,
            // and a worker that is gone wants no results.
            if first {
                me.do_send(Knock);
            }
        };
        let name = format!("dolmen-{}", self.id.0);
        match Executor::start(&name, self.threads, self.activity.clone(), Arc::new(report)) {
            Ok(executor) => self.executor = Some(executor),
            Err(error) => self.lost.do_send(Lost { worker: self.id, why: error.to_string() }),
        }
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).insert(self.id, ctx.address());
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
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
    type Result = ResponseFuture<Option<Arc<Block>>>;

    /// Answers when the block is here, if it is on its way.
    fn handle(&mut self, Fetch { run, block }: Fetch, _: &mut Self::Context) -> Self::Result {
        if self.run.as_ref().is_none_or(|current| current.id != run) {
            return Box::pin(ready(None));
        }
        if let Some(found) = self.blocks.get(&block) {
            return Box::pin(ready(Some(found.clone())));
        }
        if !self.fetches.is_coming(block) {
            return Box::pin(ready(None));
        }
        let (tell, hear) = oneshot::channel();
        self.awaited.entry(block).or_default().push(tell);
        Box::pin(async move { hear.await.ok().flatten() })
    }
}

impl Handler<Release> for Worker {
    type Result = ();

    fn handle(&mut self, _: Release, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<ToWorkers> for Worker {
    type Result = ();

    fn handle(&mut self, ToWorkers { run, messages }: ToWorkers, ctx: &mut Self::Context) {
        if self.run.as_ref().is_none_or(|current| current.id != run.id) {
            self.forget();
            self.run = Some(run);
        }
        for message in messages {
            match message {
                ToWorker::Assign { tasks, fetch, .. } => self.assign(&tasks, &fetch, ctx),
                ToWorker::Free { blocks, .. } => self.free(&blocks),
                ToWorker::Drop { blocks, .. } => blocks.iter().for_each(|block| {
                    self.blocks.remove(&block);
                }),
                ToWorker::Spill { blocks, .. } => self.spill(&blocks),
                ToWorker::TakeBack { tasks, .. } => self.take_back(tasks as usize),
                ToWorker::Copy { from, block, .. } => self.copy(from, block, ctx),
                ToWorker::Forget { .. } => self.forget(),
            }
        }
    }
}
