//! Scheduler, workers and clients as processes of their own, over the connections of `cluster/`.
//!
//! - `line.rs`: messages of one connection, none lost and none waited for
//! - `identity.rs`: who a process says it is
//! - `address.rs`: where the scheduler is, and whom to trust there
//! - `scheduler.rs`, `hub/`: the scheduler process
//! - `worker.rs`, `opened.rs`: a worker process, and what a run's names stand for there
//! - `depot.rs`, `network.rs`: the blocks that it gives, and those that it gets
//! - `client.rs`: the scheduler, from a client's side

mod address;
mod client;
mod depot;
mod hub;
mod identity;
mod line;
mod network;
mod opened;
mod scheduler;
mod worker;

pub use address::SchedulerAt;
pub use client::{Client, RemoteEnd};
pub use identity::own_name;
pub use scheduler::{SchedulerOptions, run_scheduler};
pub use worker::{Drainer, WorkerOptions, run_worker};
