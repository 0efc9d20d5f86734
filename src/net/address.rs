//! Where the scheduler is, and whom to trust there.

use crate::failure::Failure;
use cluster::ConnectError;
use cluster::endpoint::Endpoint;
use cluster::keys::Keys;
use cluster::peer::Connection;
use cluster::role::Role;
use cluster::scheduler_file::{SchedulerAddress, SchedulerFileError};
use cluster::tls::Trust;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// So often it is tried again to find a scheduler that may still be starting.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// How a user says where the scheduler is.
#[derive(Clone, Debug)]
pub enum SchedulerAt {
    /// The file that it wrote.
    File(PathBuf),
    /// Host and port, and the folder of keys.
    Address { address: String, keys: PathBuf },
}

/// What somebody knows who looks for a scheduler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Search {
    /// It may not have begun yet.
    First,
    /// It was lost, and may be started anew.
    Again,
}

impl Search {
    /// May waiting help?
    fn goes_on(self, error: &SchedulerFileError) -> bool {
        match error {
            SchedulerFileError::Missing(_) => true,
            SchedulerFileError::Stale { .. } => self == Search::Again,
            _ => false,
        }
    }

    /// May another attempt to connect help?
    fn may_help(self, error: &ConnectError) -> bool {
        match error {
            ConnectError::Unreachable { .. } => true,
            // It may be lost once more in this very moment.
            ConnectError::Broken { .. } | ConnectError::Late(_) => self == Search::Again,
            _ => false,
        }
    }
}

/// Where it is.
pub struct Found {
    pub address: String,
    pub trust: Trust,
}

impl SchedulerAt {
    /// Where it is, for a process of `role`. Waits until `deadline` for a scheduler file that is not there yet, and
    /// when searching again for one of a scheduler that is alive.
    fn find(&self, role: Role, deadline: Instant, search: Search) -> Result<Found, Failure> {
        match self {
            SchedulerAt::Address { address, keys } => {
                let keys = Keys::load(keys, role).map_err(Failure::of_request)?;
                Ok(Found { address: address.clone(), trust: Trust::Keys(keys) })
            }
            SchedulerAt::File(path) => loop {
                match SchedulerAddress::read(path) {
                    Ok(found) => return found_in(found, role),
                    Err(error) if search.goes_on(&error) && Instant::now() < deadline => {
                        std::thread::sleep(TRY_AGAIN);
                    }
                    Err(error) => return Err(Failure::of_request(error)),
                }
            },
        }
    }
}

fn found_in(found: SchedulerAddress, role: Role) -> Result<Found, Failure> {
    let trust = match found.keys {
        Some(folder) => Trust::Keys(Keys::load(&folder, role).map_err(Failure::of_request)?),
        None => Trust::InsecurePlain,
    };
    Ok(Found { address: found.address, trust })
}

/// An attempt to find the scheduler, and to connect to it.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    pub scheduler: &'a SchedulerAt,
    pub role: Role,
    pub deadline: Instant,
    pub search: Search,
}

impl Attempt<'_> {
    pub fn find(&self) -> Result<Found, Failure> {
        self.scheduler.find(self.role, self.deadline, self.search)
    }

    /// Connects to the scheduler at `address`. Tries until the deadline where nobody listens yet. One that was lost is
    /// looked for anew each time.
    pub fn connect(&self, endpoint: &Endpoint, address: &str) -> Result<Connection, Failure> {
        let mut address = address.to_owned();
        loop {
            match endpoint.connect(&address) {
                Ok(connection) => return Ok(connection),
                Err(error) if self.search.may_help(&error) && Instant::now() < self.deadline => {
                    std::thread::sleep(TRY_AGAIN);
                }
                Err(error) => return Err(Failure::of_request(error)),
            }
            if self.search == Search::Again {
                address = self.find()?.address;
            }
        }
    }
}
