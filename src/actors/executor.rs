//! The threads that run tasks: compute threads, one for each core that the worker has, and I/O threads,
//! which hold memory but not a core.

use super::panics::guard;
use super::run::Run;
use crate::exec;
use crate::ids::{BlockId, RunId, TaskId};
use crate::sched::{Blame, Failure};
use crate::store::{Block, Buffer};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// Tasks shorter than this are taken several at a time.
const SHORT_SECONDS: f64 = 2e-5;
/// At most so many.
const MOST_AT_ONCE: usize = 256;

/// A task with all it needs.
pub struct Job {
    pub run: Arc<Run>,
    pub task: TaskId,
    pub ids: Vec<BlockId>,
    pub inputs: Vec<Arc<Block>>,
    pub taken: Option<Arc<Block>>,
}

/// What became of a task.
pub struct Done {
    pub run: RunId,
    pub task: TaskId,
    pub seconds: f64,
    pub block: Result<Option<Block>, Failure>,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    filled: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Queue {
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
                jobs = self.filled.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// Called with each batch of finished tasks, on the thread that ran them.
pub type Report = Arc<dyn Fn(Vec<Done>) + Send + Sync>;

/// The threads of one worker.
pub struct Executor {
    compute: Arc<Queue>,
    io: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Executor {
    pub fn start(name: &str, compute: usize, io: usize, report: Report) -> std::io::Result<Executor> {
        let mut executor = Executor { compute: Arc::default(), io: Arc::default(), threads: Vec::new() };
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
            let is_io = job.run.program.stage(job.task.stage).kind.is_io();
            if is_io { io.waiting.push_back(job) } else { compute.waiting.push_back(job) }
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

    /// Takes up to `count` compute jobs back that no thread has begun.
    pub fn take_back(&self, count: usize) -> Vec<Job> {
        let mut jobs = self.compute.lock();
        let keep = jobs.waiting.len().saturating_sub(count);
        jobs.waiting.split_off(keep).into()
    }

    /// Drops all jobs that have not begun.
    pub fn clear(&self) {
        self.compute.lock().waiting.clear();
        self.io.lock().waiting.clear();
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
    let mut room: Option<(RunId, Buffer)> = None;
    loop {
        let jobs = queue.take(threads, short, || room = None);
        if jobs.is_empty() {
            return;
        }
        let (count, began) = (jobs.len(), Instant::now());
        let done: Vec<Done> = jobs.into_iter().map(|job| perform(job, &mut room)).collect();
        short = began.elapsed().as_secs_f64() < SHORT_SECONDS * count as f64;
        report(done);
    }
}

fn perform(job: Job, room: &mut Option<(RunId, Buffer)>) -> Done {
    let (run, task, began) = (job.run.id, job.task, Instant::now());
    let block = guard(|| attempt(job, room));
    let block = block.unwrap_or_else(|message| Err(Failure { blame: Blame::Run, message }));
    Done { run, task, seconds: began.elapsed().as_secs_f64(), block }
}

fn attempt(job: Job, room: &mut Option<(RunId, Buffer)>) -> Result<Option<Block>, Failure> {
    let broken = |e: crate::store::PoolError| Failure { blame: Blame::Run, message: e.to_string() };
    let Job { run, task, ids, inputs, taken } = job;
    if room.as_ref().is_none_or(|(of, _)| *of != run.id) {
        *room = None;
        let io = run.program.stage(task.stage).kind.is_io();
        let bytes = if io { run.workspace.io } else { run.workspace.compute };
        *room = Some((run.id, run.pool.take(bytes).map_err(broken)?));
    }
    let Some((_, work)) = room else { unreachable!("made above") };
    let taken = match taken.map(Arc::try_unwrap) {
        None => None,
        Some(Ok(block)) => Some(block),
        // Someone else still holds the block of the step before: work on a copy.
        Some(Err(shared)) => Some(shared.duplicate(&run.pool).map_err(broken)?),
    };
    exec::run(&run.program, &run.bindings, task, (&ids, &inputs), taken, &run.pool, work)
}
