//! Where the work is done: in this process, by the workers of a cluster, or by workers that come for it.

use super::args::{Common, Work, first_given};
use super::console::complain;
use super::elastic::Elastic;
use crate::session::{Error, Session, SessionBuilder, Waiting};

/// A session for a command.
pub fn session(work: &Work, own_workers: Option<Elastic>) -> Result<Session, Error> {
    let common = work.common();
    let builder = Session::builder().block(common.block).sync_results(!common.no_sync);
    if let Some(Elastic { options, .. }) = own_workers {
        let why = "is for work in this process: workers of --provider have --max-workers, --worker-threads and \
                   --worker-memory";
        refuse_own_resources(common, why)?;
        let named = [
            ("--scheduler-file", common.cluster.place.scheduler_file.is_some()),
            ("--scheduler", common.cluster.place.scheduler.is_some()),
        ];
        if let Some(option) = first_given(&named) {
            return Err(Error::Request(format!(
                "--provider has workers of its own, and {option} names others: leave out one of them"
            )));
        }
        if let Some(wanted) = common.cluster.wait_workers.filter(|wanted| usize::from(*wanted) > options.most)
        {
            return Err(Error::Request(format!(
                "--wait-workers {wanted} is more than there will be: give --max-workers {wanted}"
            )));
        }
        return waiting(builder.own_workers(options, work.out()), common).build();
    }
    if let Some(scheduler) = common.cluster.place.scheduler() {
        let why = "is the workers' own: give it to dolmen worker, not to a command that has a cluster work";
        refuse_own_resources(common, why)?;
        return waiting(builder.connect_to(scheduler).waiting_late(), common).build();
    }
    if common.cluster.wait_workers.is_some() || common.cluster.wait.is_some() {
        return Err(Error::Request(
            "--wait-workers and --wait are for a cluster: name it with --scheduler-file".into(),
        ));
    }
    here(builder, common).build()
}

/// What only a run in this process is told: workers elsewhere have been told when they began.
fn refuse_own_resources(common: &Common, why: &str) -> Result<(), Error> {
    let own = [
        ("--workers", common.workers.is_some()),
        ("--threads", common.threads.is_some()),
        ("--memory", common.memory.is_some()),
        ("--spill-dir", common.spill_dir.is_some()),
        ("--spill-limit", common.spill_limit.is_some()),
    ];
    match first_given(&own) {
        Some(option) => Err(Error::Request(format!("{option} {why}"))),
        None => Ok(()),
    }
}

/// How workers elsewhere are waited for.
fn waiting(builder: SessionBuilder, common: &Common) -> SessionBuilder {
    let mut builder = builder.while_waiting(|waiting| {
        complain(&match waiting {
            Waiting::Workers { there, wanted, trouble } => {
                let why = if trouble.is_empty() { "" } else { ": " };
                format!("waiting for workers: {there} of {wanted} are there{why}{trouble}")
            }
            Waiting::Scheduler { lost } => {
                format!("{lost}: waiting for it to come back, the run goes on then")
            }
        });
    });
    if let Some(workers) = common.cluster.wait_workers {
        builder = builder.wait_workers(usize::from(workers));
    }
    if let Some(patience) = common.cluster.wait {
        builder = builder.patience(patience);
    }
    builder
}

/// What this process may use.
fn here(mut builder: SessionBuilder, common: &Common) -> SessionBuilder {
    if let Some(workers) = common.workers {
        builder = builder.workers(workers);
    }
    if let Some(threads) = common.threads {
        builder = builder.threads(usize::from(threads));
    }
    if let Some(memory) = common.memory {
        builder = builder.memory(memory);
    }
    if let Some(folder) = &common.spill_dir {
        builder = builder.spill_folder(folder.clone());
    }
    if let Some(bytes) = common.spill_limit {
        builder = builder.spill_limit(bytes);
    }
    builder
}
