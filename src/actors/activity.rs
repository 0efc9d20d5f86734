//! What the threads of all workers wait for: measured where they wait.

use super::io_tasks::IoTasks;
use crate::files::Depth;
use crate::graph::Kind;
use crate::graph::kinds::Io;
use cluster::device::FileUse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What a work item holds up others for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkClass {
    Compute,
    Read,
    Write,
    Spill,
    Load,
}

impl WorkClass {
    pub fn of(kind: &Kind) -> WorkClass {
        match kind.io() {
            Some(Io::Read) => WorkClass::Read,
            Some(Io::Write) => WorkClass::Write,
            None => WorkClass::Compute,
        }
    }

    pub fn is_io(self) -> bool {
        self != WorkClass::Compute
    }
}

/// Seconds that compute threads stood idle, all threads together, by what they waited for.
#[derive(Clone, Copy, PartialEq, Debug, Default, serde::Serialize)]
pub struct Stalls {
    /// Inputs being read.
    pub read: f64,
    /// Spilled blocks being read back.
    pub load: f64,
    /// Blocks being written to make room.
    pub spill: f64,
    /// Results being written.
    pub write: f64,
    /// No task was ready, and no I/O under way: too little parallelism, or the scheduler.
    pub tasks: f64,
}

impl Stalls {
    pub fn since(self, before: Stalls) -> Stalls {
        Stalls {
            read: self.read - before.read,
            load: self.load - before.load,
            spill: self.spill - before.spill,
            write: self.write - before.write,
            tasks: self.tasks - before.tasks,
        }
    }

    pub fn plus(self, other: Stalls) -> Stalls {
        other.since(Stalls::default().since(self))
    }
}

/// Shared by all workers of a process.
pub struct Activity {
    /// A run is on: idle threads wait for something.
    running: AtomicBool,
    /// I/O items queued or in work, by class.
    items: [AtomicU32; 4],
    /// Idle nanoseconds by cause, and at the end those without one.
    idle: [AtomicU64; 5],
    depth: Arc<Depth>,
    pub io_tasks: IoTasks,
}

/// In the order in which they are blamed: what computing waits for directly comes first.
const BLAMED: [WorkClass; 4] = [WorkClass::Load, WorkClass::Read, WorkClass::Spill, WorkClass::Write];

fn slot(class: WorkClass) -> Option<usize> {
    BLAMED.iter().position(|blamed| *blamed == class)
}

impl Activity {
    pub fn new(depth: Arc<Depth>) -> Self {
        Activity {
            running: AtomicBool::default(),
            items: Default::default(),
            idle: Default::default(),
            depth,
            io_tasks: IoTasks::default(),
        }
    }

    /// A run begins, in which each worker may run so many I/O tasks at once.
    pub fn begin(&self, io_tasks: usize) {
        self.depth.count_anew();
        self.io_tasks.begin(io_tasks);
        self.running.store(true, Ordering::Relaxed);
    }

    /// It is over.
    pub fn end(&self) {
        self.running.store(false, Ordering::Relaxed);
    }

    /// Most requests in flight to files at once since the run began.
    pub fn most_in_flight(&self) -> u64 {
        self.depth.most() as u64
    }

    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    pub fn queued(&self, class: WorkClass) {
        if let Some(at) = slot(class) {
            self.items[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn finished(&self, class: WorkClass) {
        if let Some(at) = slot(class) {
            self.items[at].fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A compute thread has waited for so long.
    pub fn waited(&self, time: Duration) {
        if !self.is_running() {
            return;
        }
        let cause = self.items.iter().position(|items| items.load(Ordering::Relaxed) > 0);
        self.idle[cause.unwrap_or(BLAMED.len())].fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        if cause.is_some() {
            self.depth.add_idle(time.as_secs_f64());
            self.io_tasks.add_idle(time.as_secs_f64());
        }
    }

    /// What has been done with files since this began.
    pub fn file_use(&self) -> FileUse {
        let Stalls { read, load, spill, write, .. } = self.stalls();
        FileUse { bytes: self.io_tasks.bytes() as f64, waited: read + load + spill + write }
    }

    pub fn stalls(&self) -> Stalls {
        let seconds = |at: usize| self.idle[at].load(Ordering::Relaxed) as f64 * 1e-9;
        Stalls { load: seconds(0), read: seconds(1), spill: seconds(2), write: seconds(3), tasks: seconds(4) }
    }
}
