//! What the user holds: a session that computes lazy arrays and the algorithms above them.

mod algorithms;
mod bound;
mod engine;
mod error;
mod handle;
mod network;
mod operation;
mod options;
mod planned;
mod prepare;
mod preview;
mod randomized;
mod recipe;
mod results;
mod run;
mod runtime;
mod stats;
mod targets;
mod there;

pub use crate::actors::{Progress, Stalls, tell_panics};
pub use crate::data::{Matrix, Real};
/// The processes of a cluster, for whoever starts them.
pub mod cluster {
    pub use crate::net::{
        Client, ClusterEnd, Drainer, ElasticOptions, FailedLogs, SchedulerOptions, SlurmRequest, Stopper,
        WorkerOptions, WorkerSource, WorkersEnd, end_own_clusters, own_name, own_script, run_scheduler,
        run_worker,
    };
    pub use crate::protocol::{AutoscalerStatus, Status};
}

pub use crate::net::SchedulerAt;
pub(crate) use crate::net::counted;
pub use crate::store::{Limit, own_cores, own_process};
pub(crate) use crate::{sched::MOST_THREADS, store::MOST_MEMORY};
pub use algorithms::{Qr, Rsvd, Svd};
pub use error::Error;
pub use handle::Handle;
pub use operation::Operation;
pub use options::{SessionBuilder, Waiting, Workers};
pub use planned::{Planned, Target};
pub(crate) use prepare::human;
pub use preview::Preview;
pub use randomized::RsvdOptions;
pub use results::Results;
pub use runtime::Session;
pub use stats::{Spilled, Stats};
