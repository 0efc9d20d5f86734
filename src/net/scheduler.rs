//! The scheduler's process.

use super::elastic::{ElasticOptions, Reached};
use super::hub::{Dismiss, FromNetwork, Hub, Stop};
use super::identity::{introduction, own_name};
use super::state_dir::StateDir;
use crate::actors::autoscaler::{Running, WorkersEnd};
use crate::failure::Failure;
use crate::files::TemporaryFolder;
use actix::{Actor, Addr};
use cluster::blocks::NoBlocks;
use cluster::endpoint::{Config, Endpoint};
use cluster::keys::{Keys, generate};
use cluster::limits::Limits;
use cluster::role::Role;
use cluster::scheduler_file::{SchedulerAddress, SchedulerFile};
use cluster::tls::Trust;
use futures_channel::oneshot;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The names of folders of keys that go with their scheduler begin so.
const KEYS: &str = "dolmen-keys";

/// What a scheduler is told.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where it writes how it is reached.
    pub file: Option<PathBuf>,
    /// The folder of keys. None: it makes its own, which are good on this machine only.
    pub keys: Option<PathBuf>,
    /// A folder by which a scheduler that was killed is found again when it is started anew.
    pub state_dir: Option<PathBuf>,
    /// A worker that was silent for so long is lost. With a state dir, workers and clients look for a scheduler that is
    /// lost for so long.
    pub lost_after: Duration,
    /// None: workers are somebody else's to start.
    pub elastic: Option<ElasticOptions>,
}

/// Ends a scheduler in an orderly way.
#[derive(Clone)]
pub struct Stopper(Addr<Hub>);

impl Stopper {
    pub fn stop(&self) {
        self.0.do_send(Stop);
    }
}

/// The scheduler's keys.
enum KeyFolder {
    Given(PathBuf),
    /// Its own ones go with it.
    Own(TemporaryFolder),
}

impl KeyFolder {
    fn of(options: &SchedulerOptions, state: Option<&StateDir>) -> Result<KeyFolder, Failure> {
        match (&options.keys, state) {
            (Some(folder), _) => {
                Ok(KeyFolder::Given(std::path::absolute(folder).map_err(Failure::of_request)?))
            }
            (None, Some(state)) if options.listen.ip().is_loopback() => state.keys().map(KeyFolder::Given),
            (None, None) if options.listen.ip().is_loopback() => make_keys().map(KeyFolder::Own),
            (None, _) => Err(Failure::of_request(format!(
                "{} is not on this machine only: make keys with dolmen keygen DIR and give --keys DIR",
                options.listen
            ))),
        }
    }

    fn path(&self) -> &Path {
        match self {
            KeyFolder::Given(folder) => folder,
            KeyFolder::Own(folder) => folder.path(),
        }
    }
}

/// Runs a scheduler until a client stops it. When it listens, `begun` hears its address and the folder of its keys, and
/// gets what stops it from here. Returns what is left to say of the workers that it has started.
///
/// # Errors
/// If it cannot listen, or its keys or its file are not to be had.
pub fn run_scheduler(
    options: &SchedulerOptions,
    begun: impl FnOnce(SocketAddr, &Path, Stopper),
) -> Result<WorkersEnd, Failure> {
    let state = options.state_dir.as_deref().map(StateDir::open).transpose()?;
    let keys = KeyFolder::of(options, state.as_ref())?;
    let folder = keys.path();
    let trust = Trust::Keys(Keys::load(folder, Role::Scheduler).map_err(Failure::of_request)?);
    let limits = Limits { lost_after: options.lost_after, ..Limits::default() };
    let me = introduction(Role::Scheduler, own_name());
    let config = Config { me, trust, mixed_machines: false, limits };
    let system = actix::System::new();
    let (tell_stop, stop) = oneshot::channel();
    system.block_on(async move {
        let grace = state.as_ref().map(|_| options.lost_after);
        let hub = Hub::new(tell_stop, grace.map(|grace| grace.as_secs_f64())).start();
        let heard = hub.clone();
        // The hub takes events as they come; what a peer may send ahead is bounded by its connection.
        let on_event = move |event| heard.do_send(FromNetwork(event));
        let endpoint = Endpoint::start(config, Arc::new(NoBlocks), on_event).map_err(Failure::of_request)?;
        let address = listen(&endpoint, options.listen, state.as_ref())?;
        let grace_ms = grace.map(|grace| grace.as_millis() as u64);
        let here = SchedulerAddress::of_this_process(address.to_string(), Some(folder.to_path_buf()));
        let content = SchedulerAddress { grace_ms, ..here };
        let write = |path: &PathBuf| SchedulerFile::write(path, content.clone());
        let file = options.file.as_ref().map(write).transpose().map_err(Failure::of_request)?;
        let reached = Reached { address, keys: folder, file: options.file.as_deref() };
        let elastic = options.elastic.as_ref().map(|elastic| elastic.start(hub.clone(), &reached));
        let elastic = elastic.transpose()?;
        begun(address, folder, Stopper(hub.clone()));
        // Told, or the hub is gone: both are the end.
        let _ = stop.await;
        let _ = hub.send(Dismiss).await;
        let workers = elastic.map(Running::end).unwrap_or_default();
        if let Some(state) = state {
            state.clear();
        }
        drop(file);
        // The last thing: by it whoever wanted this knows that the next scheduler may begin.
        endpoint.close();
        Ok(workers)
    })
}

/// Listens where the scheduler before this one did, if any port will do and that one is free.
fn listen(endpoint: &Endpoint, wanted: SocketAddr, state: Option<&StateDir>) -> Result<SocketAddr, Failure> {
    let before = state.and_then(StateDir::address);
    let again = before.filter(|before| wanted.port() == 0 && before.ip() == wanted.ip());
    let listened = again.and_then(|address| endpoint.listen(address).ok());
    let address = match listened {
        Some(address) => address,
        None => endpoint.listen(wanted).map_err(Failure::of_request)?,
    };
    if let Some(state) = state {
        state.set_address(address)?;
    }
    Ok(address)
}

fn make_keys() -> Result<TemporaryFolder, Failure> {
    let parent = std::path::absolute(std::env::temp_dir()).map_err(Failure::of_request)?;
    let failed = |error: &dyn std::fmt::Display| {
        Failure::of_run(format!("cannot make keys in {}: {error}", parent.display()))
    };
    let folder = TemporaryFolder::create(&parent, KEYS).map_err(|error| failed(&error))?;
    generate(folder.path()).map_err(|error| failed(&error))?;
    Ok(folder)
}
