//! Scheduler, workers and clients as processes of their own, over the connections of `cluster/`.
//!
//! - `counted.rs`: numbers of things, for people
//! - `line.rs`: messages of one connection, none lost and none waited for
//! - `identity.rs`: who a process says it is
//! - `address.rs`: where the scheduler is, and whom to trust there
//! - `interface.rs`: the addresses of this machine
//! - `scheduler.rs`, `hub/`: the scheduler process
//! - `elastic.rs`: how it has workers started and ended
//! - `own_cluster.rs`: a scheduler with workers for this process alone
//! - `workplace.rs`: where a process does tasks, and what it keeps of them without a scheduler
//! - `worker.rs`, `opened.rs`: a worker process, and what a run's names stand for there
//! - `depot.rs`, `network.rs`: the blocks that it gives, and those that it gets
//! - `client.rs`, `client_part.rs`: the scheduler, from a client's side, and what a client does in its run itself

mod address;
mod client;
mod client_part;
mod counted;
mod depot;
mod elastic;
mod hub;
mod identity;
mod interface;
mod line;
mod network;
mod opened;
mod own_cluster;
mod portions;
mod scheduler;
mod state_dir;
mod worker;
mod workplace;

pub use crate::actors::autoscaler::WorkersEnd;
pub use address::SchedulerAt;
pub use client::{Client, RemoteEnd, RunError, RunStanding};
pub use client_part::OwnPart;
pub use counted::counted;
pub use elastic::{ElasticOptions, SlurmRequest, WorkerSource};
pub use identity::{draw, own_name};
pub use own_cluster::{ClusterEnd, FailedLogs, OwnCluster, end_own_clusters, own_script};
pub use portions::whole_for;
pub use scheduler::{SchedulerOptions, Stopper, run_scheduler};
pub use worker::{Drainer, WorkerOptions, run_worker};
pub use workplace::KeptRun;
