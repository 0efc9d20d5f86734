//! A cluster for this process alone: a scheduler in it, and workers that come and go with it.
//!
//! If the process is killed, its scheduler goes with it. Workers lose it and end by themselves, and what still waits in
//! a queue is found by the next one for the same result.

use super::address::SchedulerAt;
use super::elastic::{ElasticOptions, WorkerSource};
use super::interface::{address_of, address_towards};
use super::scheduler::{SchedulerOptions, Stopper, run_scheduler};
use crate::actors::autoscaler::WorkersEnd;
use crate::failure::Failure;
use crate::files::TemporaryFolder;
use cluster::keys::generate;
use cluster::limits::Limits;
use cluster::slurm::{Programs, nodes};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

/// The names of the folders for what its processes have to tell each other begin so.
const FOLDER: &str = ".dolmen-cluster";
const KEYS: &str = "keys";
const LOGS: &str = "logs";
/// Logs that stay, of the workers that failed last: others will hardly say anything else.
const MOST_LOGS: usize = 3;
const SCHEDULER_FILE: &str = "cluster.json";

/// What is to become of the logs of workers that have failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailedLogs {
    /// They stay, beside the result.
    Keep,
    Remove,
}

/// What is left of such a cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClusterEnd {
    /// The logs that stay.
    pub logs: Vec<PathBuf>,
    /// Why jobs may be left in the queue, in SLURM's words.
    pub may_be_left: Option<String>,
}

/// A scheduler at work in this process. It and its workers end when this is dropped, or with [`end_own_clusters`].
pub struct OwnCluster {
    scheduler: Arc<OwnScheduler>,
    /// Where clients of this process find it.
    at: SchedulerAt,
    /// For keys, the scheduler's file and logs. It is the last to go.
    folder: TemporaryFolder,
    /// Where logs are kept.
    beside: PathBuf,
}

struct OwnScheduler {
    stopper: Stopper,
    thread: Mutex<Option<JoinHandle<Result<WorkersEnd, Failure>>>>,
}

impl OwnScheduler {
    /// Ends it and its workers, and waits until they have ended. What there was to say of them is said once.
    fn end(&self) -> WorkersEnd {
        self.stopper.stop();
        // Whoever comes second waits here.
        let mut thread = lock(&self.thread);
        // A panic was told, and what else it failed with when it began.
        thread.take().and_then(|thread| thread.join().ok()?.ok()).unwrap_or_default()
    }
}

/// The schedulers that are to end with this process.
struct Live {
    /// No other may begin.
    is_over: bool,
    schedulers: Vec<Arc<OwnScheduler>>,
}

static LIVE: Mutex<Live> = Mutex::new(Live { is_over: false, schedulers: Vec::new() });

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// It ends with this process. False if that is ending.
fn register(scheduler: &Arc<OwnScheduler>) -> bool {
    let mut live = lock(&LIVE);
    if !live.is_over {
        live.schedulers.push(scheduler.clone());
    }
    !live.is_over
}

/// Ends all workers that this process has started: for when it is told to end. No other cluster begins after it.
/// Returns why some may be left.
pub fn end_own_clusters() -> Option<String> {
    let schedulers = {
        let mut live = lock(&LIVE);
        live.is_over = true;
        std::mem::take(&mut live.schedulers)
    };
    let may_be_left: Vec<String> =
        schedulers.iter().filter_map(|scheduler| scheduler.end().may_be_left).collect();
    (!may_be_left.is_empty()).then(|| may_be_left.join("; "))
}

impl OwnCluster {
    /// Begins without workers; they are started when somebody waits for them. `result` is what they are to make: jobs
    /// are named after it, and all nodes see the folder that it is in.
    ///
    /// # Errors
    /// If the options are wrong, if there is no place for keys, or if SLURM does not say where its nodes are.
    pub fn start(elastic: &ElasticOptions, result: &Path) -> Result<OwnCluster, Failure> {
        let result = std::path::absolute(result).map_err(Failure::of_request)?;
        if let WorkerSource::Slurm(_) = elastic.source {
            // What is wrong with the options is said before SLURM is asked anything.
            own_script(elastic, &result)?;
        }
        let listen = listen_at(&elastic.source)?;
        let beside = folder_for(&elastic.source, &result)?;
        let failed = |error: &dyn std::fmt::Display| {
            Failure::of_run(format!("cannot make a folder for keys in {}: {error}", beside.display()))
        };
        let folder = TemporaryFolder::create(&beside, FOLDER).map_err(|error| failed(&error))?;
        let [keys, logs, file] = [KEYS, LOGS, SCHEDULER_FILE].map(|name| folder.path().join(name));
        generate(&keys).map_err(Failure::of_run)?;
        fs::create_dir(&logs).map_err(|error| failed(&error))?;
        let options = SchedulerOptions {
            listen: (listen, 0).into(),
            file: Some(file.clone()),
            keys: Some(keys),
            state_dir: None,
            lost_after: Limits::default().lost_after,
            elastic: Some(ElasticOptions { logs: Some(logs), owner: Some(result), ..elastic.clone() }),
        };
        let scheduler = Arc::new(run_beside(options)?);
        let cluster = OwnCluster { scheduler, at: SchedulerAt::File(file), folder, beside };
        if register(&cluster.scheduler) { Ok(cluster) } else { Err(Failure::of_run("told to end")) }
    }

    pub fn at(&self) -> &SchedulerAt {
        &self.at
    }

    /// Ends scheduler and workers, and waits until they have ended.
    pub fn end(&self, logs: FailedLogs) -> ClusterEnd {
        let WorkersEnd { failed, may_be_left } = self.scheduler.end();
        lock(&LIVE).schedulers.retain(|live| !Arc::ptr_eq(live, &self.scheduler));
        let most = if logs == FailedLogs::Keep { MOST_LOGS } else { 0 };
        let kept = failed.iter().rev().filter_map(|name| self.keep(name)).take(most);
        ClusterEnd { logs: kept.collect(), may_be_left }
    }

    /// Has the log of a worker outlive this cluster, if there is one.
    fn keep(&self, name: &str) -> Option<PathBuf> {
        let log = self.folder.path().join(LOGS).join(format!("{name}.log"));
        let kept = self.beside.join(format!("dolmen-{name}.log"));
        fs::rename(log, &kept).ok().map(|()| kept)
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        self.end(FailedLogs::Remove);
    }
}

/// What would be submitted to SLURM for all workers at once, if they were to make this result.
///
/// # Errors
/// If workers are not to be jobs of SLURM, or if the options cannot be written into a script.
pub fn own_script(elastic: &ElasticOptions, result: &Path) -> Result<String, Failure> {
    let result = std::path::absolute(result).map_err(Failure::of_request)?;
    let folder = folder_for(&elastic.source, &result)?.join(format!("{FOLDER}-BOOT-RANDOM"));
    let logs = Some(folder.join(LOGS));
    let elastic = ElasticOptions { logs, owner: Some(result), ..elastic.clone() };
    elastic.script(Some(&folder.join(SCHEDULER_FILE)))
}

/// Runs a scheduler on a thread of its own. Comes back when it listens.
fn run_beside(options: SchedulerOptions) -> Result<OwnScheduler, Failure> {
    let (tell, begun) = mpsc::channel();
    let run = move || run_scheduler(&options, |_, _, stopper| drop(tell.send(stopper)));
    let thread = std::thread::Builder::new().name("dolmen-scheduler".into()).spawn(run);
    let thread = thread.map_err(|error| Failure::of_run(format!("cannot start a scheduler: {error}")))?;
    match begun.recv() {
        Ok(stopper) => Ok(OwnScheduler { stopper, thread: Mutex::new(Some(thread)) }),
        Err(_) => Err(match thread.join() {
            Ok(Err(failure)) => failure,
            _ => Failure::of_run("the scheduler did not begin"),
        }),
    }
}

/// Where workers reach this process.
fn listen_at(source: &WorkerSource) -> Result<IpAddr, Failure> {
    let WorkerSource::Slurm(request) = source else { return Ok(Ipv4Addr::LOCALHOST.into()) };
    let nodes = nodes::addresses(&mut Programs::default(), request.partition.as_deref());
    let here = address_towards(&nodes.map_err(Failure::of_run)?)?;
    // Machines from which jobs are submitted may have other networks than nodes.
    let of_interface = request.interface.as_ref().and_then(|interface| address_of(interface, here).ok());
    Ok(of_interface.unwrap_or(here))
}

/// The folder for what the processes have to tell each other, which all of them see.
fn folder_for(source: &WorkerSource, result: &Path) -> Result<PathBuf, Failure> {
    if *source == WorkerSource::Local {
        return std::path::absolute(std::env::temp_dir()).map_err(Failure::of_request);
    }
    let mut parents = result.ancestors().skip(1);
    let there = parents.find(|parent| parent.is_dir()).unwrap_or(Path::new("/"));
    Ok(there.to_path_buf())
}
