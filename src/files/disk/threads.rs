//! Threads that are kept from block to block, and help those who read or write one.
//!
//! Whoever asks for help works too, and waits only for threads that have begun: what no thread has begun when its own
//! part is over is taken back. On a machine whose cores are busy nobody waits for a thread to get one.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Threads that sleep until their help is asked for. They end with this.
pub struct Threads {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

/// What is asked for, first come first served.
#[derive(Default)]
struct Queue {
    errands: Mutex<Errands>,
    wanted: Condvar,
}

#[derive(Default)]
struct Errands {
    waiting: VecDeque<Errand>,
    /// The threads are to end.
    over: bool,
}

/// A call of somebody's work, with a number of its own.
struct Errand {
    number: usize,
    /// Lives until nobody is at it: [`Asker`] sees to that.
    work: &'static (dyn Fn(usize) + Sync),
    group: Arc<Group>,
}

/// The errands of one that asks.
#[derive(Default)]
struct Group {
    helpers: Mutex<Helpers>,
    left: Condvar,
}

#[derive(Default)]
struct Helpers {
    /// Threads that have begun and are not done.
    at_it: usize,
    /// What the first of them that panicked said.
    panic: Option<Box<dyn Any + Send>>,
}

impl Threads {
    /// Starts so many, or as many as the system has to give.
    pub fn start(count: usize) -> Threads {
        let queue = Arc::<Queue>::default();
        let start = |number| {
            let queue = queue.clone();
            let thread = std::thread::Builder::new().name(format!("dolmen-request-{number}"));
            thread.spawn(move || queue.serve()).ok()
        };
        let threads = (0..count).map_while(start).collect();
        Threads { queue, threads }
    }

    /// Does `own` here, while as many threads as are free, `hands` at most, call `work`, each with another number from
    /// one on. Returns when nobody is at it; a panic of any of them goes on here.
    pub fn help<R>(&self, hands: usize, work: &(dyn Fn(usize) + Sync), own: impl FnOnce() -> R) -> R {
        // SAFETY: only the lifetime changes. The reference is used by errands alone, and `Asker` takes those back that
        // have not begun and waits for the others, before this function returns or unwinds.
        let work: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(work) };
        let asker = Asker { queue: &self.queue, group: Arc::default() };
        let errand = |number| Errand { number, work, group: asker.group.clone() };
        let hands = hands.min(self.threads.len());
        self.queue.lock().waiting.extend((1..=hands).map(errand));
        (0..hands).for_each(|_| self.queue.wanted.notify_one());
        let result = own();
        let group = asker.group.clone();
        drop(asker);
        if let Some(panic) = group.lock().panic.take() {
            resume_unwind(panic);
        }
        result
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue.lock().over = true;
        self.queue.wanted.notify_all();
        for thread in self.threads.drain(..) {
            thread.join().expect("a thread catches what its errands throw");
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Errands> {
        self.errands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs errands until all is over.
    fn serve(&self) {
        while let Some(errand) = self.next() {
            let end = catch_unwind(AssertUnwindSafe(|| (errand.work)(errand.number)));
            errand.group.leave(end.err());
        }
    }

    /// Waits for an errand and begins it.
    fn next(&self) -> Option<Errand> {
        let mut errands = self.lock();
        loop {
            if errands.over {
                return None;
            }
            if let Some(errand) = errands.waiting.pop_front() {
                // While the queue is locked: whoever takes errands back must not miss it.
                errand.group.lock().at_it += 1;
                return Some(errand);
            }
            errands = self.wanted.wait(errands).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, Helpers> {
        self.helpers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, panic: Option<Box<dyn Any + Send>>) {
        let mut helpers = self.lock();
        helpers.at_it -= 1;
        helpers.panic = helpers.panic.take().or(panic);
        self.left.notify_one();
    }
}

/// Nobody is at its errands any more when it is dropped.
struct Asker<'q> {
    queue: &'q Queue,
    group: Arc<Group>,
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        self.queue.lock().waiting.retain(|errand| !Arc::ptr_eq(&errand.group, &self.group));
        let mut helpers = self.group.lock();
        while helpers.at_it > 0 {
            helpers = self.group.left.wait(helpers).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
#[path = "threads_tests.rs"]
mod tests;
