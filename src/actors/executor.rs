//! The threads that run jobs: compute threads, one for each core that the worker has, and I/O threads,
//! which hold memory but not a core.

use super::activity::{Activity, Class};
use super::job::{Done, Job, Room, Work};
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
    class: Class,
    jobs: Mutex<Jobs>,
    filled: Condvar,
    activity: Arc<Activity>,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    fn new(class: Class, activity: Arc<Activity>) -> Arc<Self> {
        Arc::new(Queue { class, jobs: Mutex::default(), filled: Condvar::new(), activity })
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, or several if they are `short`; none when the queue is closed. `idle` is called
    /// before waiting.
    fn take(&self, threads: usize, short: bool, mut idle: impl FnMut()) -> Vec<Job> {
        let mut jobs = self.lock();
        loop {
            if jobs.closed {
                return Vec::new();
            }
            if !jobs.waiting.is_empty() {
                let share = (jobs.waiting.len() / (2 * threads)).clamp(1, MOST_AT_ONCE);
                let count = if short { share } else { 1 };
                return jobs.waiting.drain(..count).collect();
            }
            drop(jobs);
            idle();
            jobs = self.lock();
            if jobs.waiting.is_empty() && !jobs.closed {
                jobs = self.wait(jobs);
            }
        }
    }

    fn wait<'a>(&'a self, jobs: MutexGuard<'a, Jobs>) -> MutexGuard<'a, Jobs> {
        if self.class.is_io() || !self.activity.is_running() {
            return self.filled.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
        let began = Instant::now();
        let (jobs, _) = self.filled.wait_timeout(jobs, LOOK).unwrap_or_else(PoisonError::into_inner);
        self.activity.waited(began.elapsed());
        jobs
    }
}

/// Called with each batch of finished jobs, on the thread that ran them.
pub type Report = Arc<dyn Fn(Vec<Done>) + Send + Sync>;

/// The threads of one worker.
pub struct Executor {
    compute: Arc<Queue>,
    io: Arc<Queue>,
    activity: Arc<Activity>,
    threads: Vec<JoinHandle<()>>,
}

impl Executor {
    pub fn start(
        name: &str,
        (compute, io): (usize, usize),
        activity: Arc<Activity>,
        report: Report,
    ) -> std::io::Result<Executor> {
        let mut executor = Executor {
            compute: Queue::new(Class::Compute, activity.clone()),
            io: Queue::new(Class::Read, activity.clone()),
            activity,
            threads: Vec::new(),
        };
        for (queue, count, class) in [(&executor.compute, compute, "compute"), (&executor.io, io, "io")] {
            for at in 0..count {
                let (queue, report) = (queue.clone(), report.clone());
                let builder = std::thread::Builder::new().name(format!("{name}-{class}-{at}"));
                executor.threads.push(builder.spawn(move || work(&queue, count, &report))?);
            }
        }
        Ok(executor)
    }

    pub fn add(&self, jobs: impl IntoIterator<Item = Job>) {
        let (mut compute, mut io) = (self.compute.lock(), self.io.lock());
        let (c, i) = (compute.waiting.len(), io.waiting.len());
        for job in jobs {
            let class = job.class();
            self.activity.queued(class);
            if class.is_io() { io.waiting.push_back(job) } else { compute.waiting.push_back(job) }
        }
        let (c, i) = (compute.waiting.len() - c, io.waiting.len() - i);
        drop((compute, io));
        for (queue, added) in [(&self.compute, c), (&self.io, i)] {
            match added {
                0 => {}
                1 => queue.filled.notify_one(),
                _ => queue.filled.notify_all(),
            }
        }
    }

    /// Takes up to `count` compute tasks back that no thread has begun.
    pub fn take_back(&self, count: usize) -> Vec<Job> {
        let mut jobs = self.compute.lock();
        let mut back = Vec::new();
        let mut at = jobs.waiting.len();
        while at > 0 && back.len() < count {
            at -= 1;
            // A block that is made again is waited for here.
            if matches!(jobs.waiting[at].work, Work::Task { .. }) {
                back.extend(jobs.waiting.remove(at));
            }
        }
        back
    }

    /// Drops all jobs that have not begun.
    pub fn clear(&self) {
        self.compute.lock().waiting.clear();
        let dropped = std::mem::take(&mut self.io.lock().waiting);
        dropped.iter().for_each(|job| self.activity.finished(job.class()));
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        for queue in [&self.compute, &self.io] {
            let mut jobs = queue.lock();
            jobs.closed = true;
            jobs.waiting.clear();
            queue.filled.notify_all();
        }
        for thread in self.threads.drain(..) {
            // A thread ends by itself after the job in hand; its panics are caught per job.
            let _ = thread.join();
        }
    }
}

fn work(queue: &Queue, threads: usize, report: &Report) {
    let mut short = false;
    let mut room: Room = None;
    loop {
        let jobs = queue.take(threads, short, || room = None);
        if jobs.is_empty() {
            return;
        }
        let (count, began) = (jobs.len(), Instant::now());
        let done: Vec<Done> = jobs.into_iter().map(|job| perform(queue, job, &mut room)).collect();
        short = began.elapsed().as_secs_f64() < SHORT_SECONDS * count as f64;
        report(done);
    }
}

fn perform(queue: &Queue, job: Job, room: &mut Room) -> Done {
    let class = job.class();
    let done = job.perform(room);
    queue.activity.finished(class);
    done
}
