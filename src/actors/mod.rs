//! The shells: actors around the pure core, and the threads that run kernels. An arbiter is one
//! thread, so nothing here computes, reads a file or waits.

mod activity;
pub mod autoscaler;
mod conduct;
#[cfg(test)]
mod deaf;
pub mod demand;
mod executor;
mod io_tasks;
mod messages;
mod panics;
mod pulls;
mod run;
mod scheduler;
#[cfg(test)]
mod tests;
mod threads;
mod work_item;
mod workbench;
mod worker;

pub use activity::{Activity, Stalls};
pub use conduct::{Conduct, Letters};
#[cfg(test)]
pub use deaf::Deaf;
pub use executor::{IoPlace, WorkerThreads};
pub use io_tasks::MOST_IO_TASKS;
pub use messages::{Fetch, Fetched, FromWorkers, GoOn, KeptOfRun, Lost, Settle, ToWorkers};
pub use panics::tell_panics;
pub use run::{Network, Progress, Pulled, Run, RunOutcome};
#[cfg(test)]
pub use scheduler::{CallRoll, Recruit, WorkerStanding};
pub use scheduler::{Scheduler, Submit};
pub use threads::ThreadProvider;
pub use worker::{Peers, Worker};
