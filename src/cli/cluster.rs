//! The processes of a cluster: scheduler and workers, and how they are ended.

use super::args::{ClusterArgs, SchedulerArgs, WorkerArgs};
use super::console::{complain, say};
use super::log::log;
use super::{signals, walltime};
use crate::ids::TaskId;
use crate::session::cluster::{
    self, AutoscalerStatus, Client, Drainer, SchedulerOptions, Status, Stopper, WorkerOptions, own_name,
};
use crate::session::{Error, SchedulerAt, counted, human, own_cores};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a command that only asks or tells something looks for the scheduler.
const LOOK_FOR: Duration = Duration::from_secs(5);

fn named(args: &ClusterArgs) -> Result<SchedulerAt, Error> {
    let missing = "which cluster? Give --scheduler-file FILE, or --scheduler HOST:PORT and --keys DIR";
    args.scheduler().ok_or_else(|| Error::Request(missing.into()))
}

fn connect(args: &ClusterArgs) -> Result<Client, Error> {
    Ok(Client::connect(&named(args)?, Instant::now() + LOOK_FOR)?)
}

pub fn scheduler(args: SchedulerArgs) -> Result<(), Error> {
    log();
    let SchedulerArgs { listen, scheduler_file, keys, state_dir, lost_after, elastic } = args;
    let elastic = elastic.asked()?;
    if let Some(elastic) = elastic.as_ref().filter(|elastic| elastic.dry_run) {
        return say(&elastic.options.script(scheduler_file.as_deref())?);
    }
    let elastic = elastic.map(|elastic| elastic.options);
    let options = SchedulerOptions { listen, file: scheduler_file, keys, state_dir, lost_after, elastic };
    let begun = |address: SocketAddr, keys: &Path, stopper: Stopper| {
        signals::on_signal_to_leave(move || stopper.stop());
        if let Err(error) = say(&format!("scheduler at {address}, keys in {}\n", keys.display())) {
            complain(&error.to_string());
        }
    };
    // What there is to say of its workers is in the log.
    Ok(cluster::run_scheduler(&options, begun).map(drop)?)
}

pub fn worker(args: WorkerArgs) -> Result<(), Error> {
    log();
    let options = WorkerOptions {
        scheduler: named(&args.cluster)?,
        name: args.name.unwrap_or_else(own_name),
        threads: args.threads.map_or_else(own_cores, usize::from),
        memory: args.memory,
        spill_folder: args.spill_dir,
        spill_limit: args.spill_limit,
        interface: args.interface,
        patience: args.wait,
        functions: Default::default(),
    };
    let begun = |drainer: Drainer| {
        let leaving = drainer.clone();
        walltime::before_its_end(move || leaving.drain());
        signals::on_signal_to_leave(move || drainer.drain());
    };
    Ok(cluster::run_worker(options, begun)?)
}

pub fn status(args: &ClusterArgs, json: bool) -> Result<(), Error> {
    let status = connect(args)?.status()?;
    if json {
        let text = serde_json::to_string_pretty(&status).map_err(|error| Error::Run(error.to_string()))?;
        return say(&format!("{text}\n"));
    }
    say(&described(&status))
}

/// A line for each worker and each run.
fn described(status: &Status) -> String {
    let mut text = String::new();
    for worker in &status.workers {
        let leaving = if worker.leaving { ", leaving" } else { "" };
        let queue = worker.queue_seconds.map_or("-".into(), |seconds| format!("{seconds:.2} s"));
        text += &format!(
            "worker {} at {}: {}, {} computing, {} reading or writing, queue {queue}, holds {} of {}{leaving}\n",
            worker.name,
            worker.address,
            counted(worker.threads, "thread"),
            worker.computing,
            worker.io,
            human(worker.held_bytes),
            human(worker.most_held_bytes.max(worker.memory_bytes)),
        );
    }
    if status.workers.is_empty() {
        text += "no workers\n";
    }
    for run in &status.runs {
        text += &format!(
            "run of {}: {}, {} of {} tasks, {} again, {:.1} s\n",
            run.client, run.state, run.done, run.tasks, run.recomputed, run.seconds
        );
    }
    if status.runs.is_empty() {
        text += "no runs\n";
    }
    text + &status.autoscaler.as_ref().map(scaling).unwrap_or_default()
}

/// A line, and another one if something does not go well.
fn scaling(status: &AutoscalerStatus) -> String {
    let AutoscalerStatus { provider, wanted, asked_for, leaving, max_workers, decision, .. } = status;
    let last = match decision.is_empty() {
        true => String::new(),
        false => format!(", {:.0} s ago: {decision} ({})", status.seconds_ago, status.reason),
    };
    let now = if status.now.is_empty() { String::new() } else { format!("; now: {}", status.now) };
    let mut text = format!(
        "autoscaler: {provider}, {wanted} of at most {max_workers} workers wanted, {asked_for} to come, {leaving} leaving{last}{now}\n"
    );
    if !status.words.is_empty() {
        let again = status.asked_again_in.map(|wait| format!("; tried again in {wait:.0} s"));
        text += &format!("autoscaler: {provider} says: {}{}\n", status.words, again.unwrap_or_default());
    }
    text
}

pub fn explain(task: TaskId, args: &ClusterArgs) -> Result<(), Error> {
    let lines = connect(args)?.explain(task)?;
    say(&format!("{}\n", lines.join("\n")))
}

pub fn drain(name: &str, args: &ClusterArgs) -> Result<(), Error> {
    Ok(connect(args)?.drain(name)?)
}

pub fn stop(args: &ClusterArgs) -> Result<(), Error> {
    Ok(connect(args)?.stop()?)
}
