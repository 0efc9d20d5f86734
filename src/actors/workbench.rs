//! What a worker's actor and its threads share: the desk of the run. So a task that is done lets the next one begin,
//! and nobody has to be asked.

use super::activity::WorkClass;
use super::executor::Queues;
use super::messages::KeptOfRun;
use super::run::Run;
use super::work_item::{Done, WorkItem, WorkKind, WorkOutcome};
use crate::ids::{RunId, TaskList};
use crate::sched::{Desk, Orders, Unbegun};
use crate::store::Block;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The run that the worker is in.
pub struct RunInHand {
    pub run: Arc<Run>,
    pub desk: Desk<Arc<Block>>,
}

/// What lies there.
#[derive(Default)]
struct Bench {
    here: Option<RunInHand>,
    /// Finished items, gathered until the actor comes to look. Blocks of tasks are on the desk already.
    tray: Vec<Done>,
    /// Tasks that are to be given back.
    returned: TaskList,
    /// Tasks that the scheduler is to be asked about.
    ask: TaskList,
}

/// What the threads have left for the actor.
pub struct Gathered {
    pub run: Arc<Run>,
    pub done: Vec<Done>,
    pub returned: TaskList,
    pub ask: TaskList,
}

pub struct Workbench {
    queues: Arc<Queues>,
    bench: Mutex<Bench>,
}

impl Workbench {
    pub fn new(queues: Arc<Queues>) -> Workbench {
        Workbench { queues, bench: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Bench> {
        self.bench.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run that goes on here.
    pub fn run(&self) -> Option<Arc<Run>> {
        self.lock().here.as_ref().map(|here| here.run.clone())
    }

    /// Is the worker in this run?
    pub fn is_in(&self, run: RunId) -> bool {
        self.lock().here.as_ref().is_some_and(|here| here.run.id == run)
    }

    /// A run begins; what there was of another one is forgotten.
    pub fn begin(&self, run: Arc<Run>) {
        let desk = Desk::new(run.program.clone());
        self.change_to(Some(RunInHand { run, desk }));
    }

    /// It goes on with what was held of it for an earlier scheduler.
    pub fn go_on(&self, run: Arc<Run>, held: KeptOfRun) {
        self.begin(run);
        self.with(|here| here.desk.take_up(held.blocks, &held.done));
    }

    /// The scheduler is lost: what no thread has in hand is forgotten, and nothing more is begun.
    pub fn settle(&self) {
        self.with(|RunInHand { desk, .. }| {
            let mut unbegun = Vec::new();
            for item in self.queues.take_all() {
                match item.kind {
                    WorkKind::Task(prepared) => unbegun.push(prepared),
                    // It is still in memory.
                    WorkKind::Spill(block) => desk.keep(item.task, block),
                    _ => {}
                }
            }
            desk.settle(unbegun);
        });
    }

    /// What is held of the run, which is forgotten here.
    pub fn leave(&self) -> Option<KeptOfRun> {
        let here = std::mem::take(&mut *self.lock()).here?;
        Some(KeptOfRun { done: here.desk.done(), blocks: here.desk.into_blocks() })
    }

    pub fn forget(&self) {
        self.change_to(None);
    }

    fn change_to(&self, here: Option<RunInHand>) {
        let mut bench = self.lock();
        self.queues.clear();
        *bench = Bench { here, ..Bench::default() };
    }

    /// Does something with the desk, if there is a run.
    pub fn with<T>(&self, act: impl FnOnce(&mut RunInHand) -> T) -> Option<T> {
        self.lock().here.as_mut().map(act)
    }

    /// The same; what can begin then is handed to the threads. What is left to do.
    pub fn order(
        &self,
        act: impl FnOnce(&mut RunInHand) -> Orders<Arc<Block>>,
    ) -> Option<Orders<Arc<Block>>> {
        let mut bench = self.lock();
        let here = bench.here.as_mut()?;
        let mut orders = act(here);
        self.start(here, None, &mut orders);
        Some(orders)
    }

    /// Hands what can begin to the threads.
    fn start(&self, here: &RunInHand, by: Option<WorkClass>, orders: &mut Orders<Arc<Block>>) {
        if orders.begin.is_empty() {
            return;
        }
        let item = |prepared| WorkItem::task(&here.run, prepared);
        self.queues.add(by, orders.begin.drain(..).map(item));
    }

    /// A thread has finished items. True if the actor is to come and look.
    pub fn finished(&self, by: Option<WorkClass>, done: Vec<Done>) -> bool {
        let mut bench = self.lock();
        let Bench { here, tray, returned, ask } = &mut *bench;
        let Some(here) = here else { return false };
        let is_first = tray.is_empty();
        let mut orders = Orders::default();
        for mut done in done.into_iter().filter(|done| done.run == here.run.id) {
            if let WorkOutcome::Made(block) = &mut done.outcome {
                here.desk.made(done.task, block.take().map(Arc::new), &mut orders);
            }
            tray.push(done);
        }
        self.start(here, by, &mut orders);
        orders.returned.iter().for_each(|task| returned.push(task));
        orders.ask.iter().for_each(|task| ask.push(task));
        is_first && !tray.is_empty()
    }

    /// What the threads have left.
    pub fn gather(&self) -> Option<Gathered> {
        let mut bench = self.lock();
        let run = bench.here.as_ref()?.run.clone();
        let done = std::mem::take(&mut bench.tray);
        let returned = std::mem::take(&mut bench.returned);
        let ask = std::mem::take(&mut bench.ask);
        Some(Gathered { run, done, returned, ask })
    }

    /// Tasks that no thread has begun.
    pub fn take_back(&self, share: Unbegun) -> TaskList {
        let mut returned = TaskList::default();
        self.with(|RunInHand { desk, .. }| {
            for item in self.queues.take_back(share, |task| desk.may_give_back(task)) {
                if let WorkKind::Task(prepared) = item.kind {
                    desk.unprepare(prepared, &mut returned);
                }
            }
            if share == Unbegun::All {
                desk.give_back_held(&mut returned);
                desk.give_back_waiting(&mut returned);
            }
        });
        returned
    }
}
