//! Where the scheduler is, and whom to trust there.

use crate::failure::Failure;
use cluster::ConnectError;
use cluster::endpoint::Endpoint;
use cluster::keys::{self, Keys};
use cluster::peer::Connection;
use cluster::role::Role;
use cluster::scheduler_file::{SchedulerAddress, SchedulerFileError};
use cluster::tls::Trust;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// So often it is tried again to find a scheduler that may still be starting.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// A scheduler that is started again replaces its file. If there is none for so long it was stopped.
const REPLACED: Duration = Duration::from_secs(2);

/// How a user says where the scheduler is.
#[derive(Clone, Debug)]
pub enum SchedulerAt {
    /// The file that it wrote.
    File(PathBuf),
    /// Host and port, and the folder of keys.
    Address { address: String, keys: PathBuf },
}

impl SchedulerAt {
    /// The files by which it is found and met, as far as they are known.
    pub fn files(&self) -> Vec<PathBuf> {
        let (file, keys) = match self {
            SchedulerAt::File(file) => {
                (Some(file.clone()), SchedulerAddress::read(file).ok().and_then(|found| found.keys))
            }
            SchedulerAt::Address { keys, .. } => (None, Some(keys.clone())),
        };
        file.into_iter().chain(keys.iter().flat_map(|folder| keys::files(folder))).collect()
    }
}

/// What somebody knows who looks for a scheduler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Search {
    /// It may not have begun yet.
    First,
    /// It was lost, and may be started anew.
    Again,
}

/// Where it is.
pub struct Found {
    pub address: String,
    pub trust: Trust,
    /// If it is lost it may come back so soon.
    pub grace: Option<Duration>,
}

impl Found {
    fn in_file(file: SchedulerAddress, role: Role) -> Result<Found, Failure> {
        let grace = file.grace();
        let trust = match file.keys {
            Some(folder) => Trust::Keys(Keys::load(&folder, role).map_err(Failure::of_request)?),
            None => Trust::InsecurePlain,
        };
        Ok(Found { address: file.address, trust, grace })
    }
}

/// An attempt to find the scheduler, and to connect to it.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    scheduler: &'a SchedulerAt,
    role: Role,
    began: Instant,
    deadline: Instant,
    search: Search,
}

impl<'a> Attempt<'a> {
    /// Looks for a scheduler that is not there yet until `deadline`. One that is just being started again is waited
    /// for as long as it said, or, if it was lost, until `deadline`.
    pub fn new(scheduler: &'a SchedulerAt, role: Role, deadline: Instant, search: Search) -> Attempt<'a> {
        Attempt { scheduler, role, began: Instant::now(), deadline, search }
    }

    /// Where it is.
    ///
    /// # Errors
    /// If no file of a scheduler that is alive appears in time, or if its keys cannot be read.
    pub fn find(&self) -> Result<Found, Failure> {
        let path = match self.scheduler {
            SchedulerAt::Address { address, keys } => {
                let keys = Keys::load(keys, self.role).map_err(Failure::of_request)?;
                return Ok(Found { address: address.clone(), trust: Trust::Keys(keys), grace: None });
            }
            SchedulerAt::File(path) => path,
        };
        let began = Instant::now();
        loop {
            let error = match SchedulerAddress::read(path) {
                Ok(file) => return Found::in_file(file, self.role),
                Err(error) => error,
            };
            let until = match &error {
                SchedulerFileError::Missing(_) if self.search == Search::Again => {
                    Some((began + REPLACED).min(self.deadline))
                }
                SchedulerFileError::Missing(_) => Some(self.deadline),
                SchedulerFileError::Stale { grace, .. } => self.comes_back_until(*grace),
                _ => None,
            };
            if until.is_none_or(|until| Instant::now() >= until) {
                return Err(Failure::of_request(error));
            }
            std::thread::sleep(TRY_AGAIN);
        }
    }

    /// A scheduler that has ended is waited for until then, if it may come back at all.
    fn comes_back_until(&self, grace: Option<Duration>) -> Option<Instant> {
        match self.search {
            Search::Again => Some(self.deadline),
            Search::First => grace.map(|grace| (self.began + grace).min(self.deadline)),
        }
    }

    /// Connects to the scheduler at `address`, which may come back within `grace` if it is lost. Tries until the
    /// deadline where nobody listens yet. One that may come back is looked for anew each time.
    pub fn connect(
        &self,
        endpoint: &Endpoint,
        address: &str,
        grace: Option<Duration>,
    ) -> Result<Connection, Failure> {
        let comes_back_until = self.comes_back_until(grace);
        let mut address = address.to_owned();
        loop {
            let error = match endpoint.connect(&address) {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let until = match &error {
                ConnectError::Unreachable { .. } => Some(self.deadline),
                // It has taken this process before, and may not know yet that the connection of that time has ended.
                ConnectError::Refused { .. } if self.search == Search::Again => Some(self.deadline),
                // It may have been lost in this very moment.
                ConnectError::Broken { .. } | ConnectError::Late(_) => comes_back_until,
                _ => None,
            };
            if until.is_none_or(|until| Instant::now() >= until) {
                return Err(Failure::of_request(error));
            }
            std::thread::sleep(TRY_AGAIN);
            if comes_back_until.is_some() {
                address = self.find()?.address;
            }
        }
    }
}
