//! The threads that do work items: compute threads, one for each core that the worker has, and I/O threads,
//! which hold memory but not a core.

use super::activity::{Activity, WorkClass};
use super::work_item::{Done, Report, Room, Stopwatch, WorkItem, WorkKind};
use crate::ids::TaskId;
use crate::sched::Unbegun;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Tasks shorter than this are taken several at a time.
const SHORT_SECONDS: f64 = 2e-5;
/// At most so many.
const MOST_AT_ONCE: usize = 256;
/// So often an idle thread looks what it waits for.
const LOOK: Duration = Duration::from_millis(5);

struct Queue {
    class: WorkClass,
    items: Mutex<Items>,
    filled: Condvar,
    activity: Arc<Activity>,
}

#[derive(Default)]
struct Items {
    waiting: VecDeque<WorkItem>,
    /// Threads that do I/O or still have the workspace for it. Those that compute are not counted.
    at_io: usize,
    closed: bool,
}

impl Queue {
    fn new(class: WorkClass, activity: Arc<Activity>) -> Self {
        Queue { class, items: Mutex::default(), filled: Condvar::new(), activity }
    }

    /// Wakes threads for so many new items.
    fn wake(&self, items: usize) {
        if self.class.is_io() {
            return (0..items.min(self.activity.io_tasks.now())).for_each(|_| self.filled.notify_one());
        }
        match items {
            0 => {}
            1 => self.filled.notify_one(),
            _ => self.filled.notify_all(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Items> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item, or several if they are `short`; none when the queue is closed. `idle` is called before waiting,
    /// and lets the workspace go. `at_io` says whether the thread counts as one at I/O.
    fn take(&self, threads: usize, short: bool, at_io: &mut bool, mut idle: impl FnMut()) -> Vec<WorkItem> {
        let mut items = self.lock();
        loop {
            if items.closed {
                self.leave(&mut items, at_io);
                return Vec::new();
            }
            if !items.waiting.is_empty() && self.may_take(&mut items, at_io) {
                let share = (items.waiting.len() / (2 * threads)).clamp(1, MOST_AT_ONCE);
                let count = if short { share } else { 1 };
                return items.waiting.drain(..count).collect();
            }
            drop(items);
            idle();
            items = self.lock();
            self.leave(&mut items, at_io);
            if !items.closed && (items.waiting.is_empty() || !self.has_place(&items)) {
                items = self.wait(items);
            }
        }
    }

    /// The thread is not at I/O any more.
    fn leave(&self, items: &mut Items, at_io: &mut bool) {
        if std::mem::take(at_io) {
            items.at_io -= 1;
            self.activity.io_tasks.leave();
        }
    }

    /// May one thread more be at I/O?
    fn has_place(&self, items: &Items) -> bool {
        !self.class.is_io() || items.at_io < self.activity.io_tasks.now()
    }

    /// May this thread do what waits? If it is not at I/O yet, it is from now on.
    fn may_take(&self, items: &mut Items, at_io: &mut bool) -> bool {
        if !self.class.is_io() {
            return true;
        }
        if *at_io {
            return items.at_io <= self.activity.io_tasks.now();
        }
        *at_io = self.has_place(items);
        if *at_io {
            items.at_io += 1;
            self.activity.io_tasks.enter(items.at_io);
        }
        *at_io
    }

    fn wait<'a>(&'a self, items: MutexGuard<'a, Items>) -> MutexGuard<'a, Items> {
        if self.class.is_io() || !self.activity.is_running() {
            return self.filled.wait(items).unwrap_or_else(PoisonError::into_inner);
        }
        let began = Instant::now();
        let (items, _) = self.filled.wait_timeout(items, LOOK).unwrap_or_else(PoisonError::into_inner);
        self.activity.waited(began.elapsed());
        items
    }
}

/// What a worker's threads are to do.
pub struct Queues {
    compute: Queue,
    io: Queue,
    io_place: IoPlace,
    activity: Arc<Activity>,
}

impl Queues {
    pub fn new(io_place: IoPlace, activity: Arc<Activity>) -> Queues {
        Queues {
            compute: Queue::new(WorkClass::Compute, activity.clone()),
            io: Queue::new(WorkClass::Read, activity.clone()),
            io_place,
            activity,
        }
    }

    /// Adds items and wakes threads for them. One less if a thread of class `by` adds them, which looks for an item
    /// itself then.
    pub fn add(&self, by: Option<WorkClass>, items: impl IntoIterator<Item = WorkItem>) {
        let beside = self.io_place == IoPlace::BesideCompute;
        // Made before the queues are locked: threads look for their next items meanwhile.
        let mut compute = Vec::new();
        let mut io = Vec::new();
        for item in items {
            let class = item.class();
            self.activity.queued(class);
            match beside && class.is_io() {
                true => io.push(item),
                false => compute.push(item),
            }
        }
        for (queue, items) in [(&self.compute, compute), (&self.io, io)] {
            if items.is_empty() {
                continue;
            }
            let comes_itself = by.is_some_and(|class| class.is_io() == queue.class.is_io());
            let count = items.len();
            queue.lock().waiting.extend(items);
            queue.wake(count - usize::from(comes_itself));
        }
    }

    /// Takes compute tasks back that no thread has begun, the last ones first: half of them, or all. Only those that
    /// `may` be.
    pub fn take_back(&self, share: Unbegun, may: impl Fn(TaskId) -> bool) -> Vec<WorkItem> {
        let mut items = self.compute.lock();
        // A block that is made again is waited for here.
        let is_task = |item: &WorkItem| matches!(item.kind, WorkKind::Task(_)) && !item.class().is_io();
        let tasks = items.waiting.iter().filter(|item| is_task(item)).count();
        let most = if share == Unbegun::Half { tasks.div_ceil(2) } else { tasks };
        let mut back = Vec::new();
        let mut at = items.waiting.len();
        while at > 0 && back.len() < most {
            at -= 1;
            let item = &items.waiting[at];
            if is_task(item) && may(item.task) {
                back.extend(items.waiting.remove(at));
            }
        }
        back
    }

    /// Takes all items that have not begun.
    pub fn take_all(&self) -> Vec<WorkItem> {
        let mut all = Vec::new();
        for queue in [&self.compute, &self.io] {
            all.extend(std::mem::take(&mut queue.lock().waiting));
        }
        all.iter().for_each(|item| self.activity.finished(item.class()));
        all
    }

    /// Drops all items that have not begun.
    pub fn clear(&self) {
        drop(self.take_all());
    }

    fn of(&self, class: WorkClass) -> &Queue {
        if class.is_io() { &self.io } else { &self.compute }
    }
}

/// Which threads do I/O.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoPlace {
    /// Threads of its own: a task that waits for a file holds no core.
    BesideCompute,
    /// Those that compute: what it costs to have no others can be measured.
    OnCompute,
}

/// How many threads a worker has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorkerThreads {
    pub compute: usize,
    /// They wait for files: as many as may ever do so at once.
    pub io: usize,
    pub io_place: IoPlace,
}

/// The threads of one worker.
pub struct Executor {
    queues: Arc<Queues>,
    threads: Vec<JoinHandle<()>>,
}

impl Executor {
    pub fn start(
        name: &str,
        threads: WorkerThreads,
        queues: Arc<Queues>,
        report: Report,
    ) -> std::io::Result<Executor> {
        let mut executor = Executor { queues, threads: Vec::new() };
        for at in 0..threads.compute {
            executor.start_thread(
                format!("{name}-compute-{at}"),
                WorkClass::Compute,
                threads.compute,
                &report,
            )?;
        }
        for at in 0..threads.io {
            executor.start_thread(format!("{name}-io-{at}"), WorkClass::Read, threads.io, &report)?;
        }
        Ok(executor)
    }

    /// A thread that shares a queue with `count` in all.
    fn start_thread(
        &mut self,
        name: String,
        class: WorkClass,
        count: usize,
        report: &Report,
    ) -> std::io::Result<()> {
        let (queues, report) = (self.queues.clone(), report.clone());
        let body = move || work(&queues, class, count, &report);
        self.threads.push(std::thread::Builder::new().name(name).spawn(body)?);
        Ok(())
    }

    /// Lets the threads end by themselves, and does not wait for what they have in hand.
    pub fn let_go(mut self) {
        self.threads.clear();
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.queues.clear();
        for queue in [&self.queues.compute, &self.queues.io] {
            queue.lock().closed = true;
            queue.filled.notify_all();
        }
        for thread in self.threads.drain(..) {
            // A thread ends by itself after the item in hand; its panics are caught per item.
            let _ = thread.join();
        }
    }
}

fn work(queues: &Queues, class: WorkClass, threads: usize, report: &Report) {
    let queue = queues.of(class);
    let mut short = false;
    let mut room: Room = None;
    let mut at_io = false;
    loop {
        let items = queue.take(threads, short, &mut at_io, || room = None);
        if items.is_empty() {
            return;
        }
        let count = items.len();
        let mut stopwatch = Stopwatch::start();
        let bytes = if class.is_io() { items.iter().map(WorkItem::io_bytes).sum() } else { 0 };
        let mut done: Vec<Done> = Vec::with_capacity(count);
        for item in items {
            done.extend(perform(queue, item, &mut room, &mut stopwatch, report));
        }
        if bytes > 0 && queue.activity.io_tasks.moved(bytes) {
            queue.filled.notify_all();
        }
        short = stopwatch.seconds() < SHORT_SECONDS * count as f64;
        if !done.is_empty() {
            report(Some(class), done);
        }
    }
}

fn perform(
    queue: &Queue,
    item: WorkItem,
    room: &mut Room,
    stopwatch: &mut Stopwatch,
    report: &Report,
) -> Option<Done> {
    let class = item.class();
    let done = item.perform(room, stopwatch, report);
    queue.activity.finished(class);
    done
}
