//! A run's core between messages: those of workers become events, its actions become messages to workers.

use crate::failure::Failure;
use crate::ids::{RunId, WorkerId};
use crate::protocol::{FromWorker, ToWorker};
use crate::sched::{Action, Core, Event};
use std::collections::BTreeMap;

/// The core of one run.
pub struct Conduct {
    run: RunId,
    core: Core,
    /// Room for actions, kept from call to call.
    actions: Vec<Action>,
}

/// What follows from some events.
#[derive(Default)]
pub struct Letters {
    /// Messages to workers, each worker's in order.
    pub to: BTreeMap<WorkerId, Vec<ToWorker>>,
    /// Workers that may go.
    pub released: Vec<WorkerId>,
    /// How the run ended, if it has.
    pub end: Option<Result<(), Failure>>,
}

impl Conduct {
    pub fn new(run: RunId, core: Core) -> Conduct {
        Conduct { run, core, actions: Vec::new() }
    }

    /// Takes events in.
    pub fn feed(&mut self, events: Vec<Event>) -> Letters {
        self.core.handle(events, &mut self.actions);
        let mut letters = Letters::default();
        for action in self.actions.drain(..) {
            match action {
                Action::Completed => letters.end = Some(Ok(())),
                Action::Failed(failure) => letters.end = Some(Err(failure)),
                Action::Release { worker } => letters.released.push(worker),
                action => {
                    let (worker, message) = letter(self.run, action);
                    letters.to.entry(worker).or_default().push(message);
                }
            }
        }
        letters
    }

    /// Takes in what a worker says. What is about a run that is over says nothing any more.
    pub fn hear(&mut self, worker: WorkerId, messages: Vec<FromWorker>) -> Letters {
        let messages = messages.into_iter().filter(|message| message.run() == self.run);
        let events = messages.map(|message| event(worker, message)).collect();
        self.feed(events)
    }

    /// To look at, not to tell anything.
    pub fn core(&self) -> &Core {
        &self.core
    }
}

/// The message that an action means, and to whom.
fn letter(run: RunId, action: Action) -> (WorkerId, ToWorker) {
    match action {
        Action::Assign { worker, tasks, fetch, suspects } => {
            (worker, ToWorker::Assign { run, tasks, fetch, suspects })
        }
        Action::Permit { worker, tasks } => (worker, ToWorker::Permit { run, tasks }),
        Action::Free { worker, blocks } => (worker, ToWorker::Free { run, blocks }),
        Action::Drop { worker, blocks } => (worker, ToWorker::Drop { run, blocks }),
        Action::Spill { worker, blocks } => (worker, ToWorker::Spill { run, blocks }),
        Action::TakeBack { worker, share } => (worker, ToWorker::TakeBack { run, share }),
        Action::Copy { from, to, block } => (to, ToWorker::Copy { run, from, block }),
        Action::Release { .. } | Action::Completed | Action::Failed(_) => {
            unreachable!("these are not about what a worker holds")
        }
    }
}

/// The event that a message means.
fn event(worker: WorkerId, message: FromWorker) -> Event {
    match message {
        FromWorker::Finished { tasks, timings, .. } => Event::Finished { worker, tasks, timings },
        FromWorker::Returned { tasks, .. } => Event::Returned { worker, tasks },
        FromWorker::Asks { tasks, .. } => Event::Asks { worker, tasks },
        FromWorker::Copied { block, .. } => Event::Copied { worker, block },
        FromWorker::CopyFailed { block, .. } => Event::CopyFailed { worker, block },
        FromWorker::Spilled { block, .. } => Event::Spilled { worker, block },
        FromWorker::Vanished { block, .. } => Event::Vanished { worker, block },
        FromWorker::MoveFailed { block, failure, .. } => Event::MoveFailed { worker, block, failure },
        FromWorker::Pulled { pulls, .. } => Event::Pulled { worker, pulls },
        FromWorker::Failed { task, failure, .. } => Event::Failed { worker, task, failure },
    }
}
