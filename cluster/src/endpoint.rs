//! A process in the cluster: it listens, connects, and gets blocks from others.

use crate::accept::Entrance;
use crate::blocks::Blocks;
use crate::handshake::{ConnectError, Door, Wanted, is_loopback};
use crate::hello::{Introduction, Purpose, encode, is_name};
use crate::limits::{LONGEST_NAME, Limits, STORED_AT_ONCE};
use crate::peer::{Connection, Event};
use crate::pull::{Came, Holder, Links, PullError};
use crate::role::Role;
use crate::serve::BlockServer;
use crate::switchboard::Switchboard;
use crate::tls::{Tls, Trust};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// Threads that move blocks and meet strangers.
const BLOCK_THREADS: usize = 2;
/// Threads that read blocks from files for others.
const DISK_THREADS: usize = STORED_AT_ONCE;

/// Who a process is and whom it trusts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub me: Introduction,
    /// Whom it trusts.
    pub trust: Trust,
    /// Takes peers whose kernels may give other bits.
    pub mixed_machines: bool,
    /// What a peer may cost.
    pub limits: Limits,
}

/// Why an endpoint could not be made, or does not listen.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// A name that no process may have.
    #[error("{0:?} is no name: 1 to {LONGEST_NAME} letters, digits, dots, dashes and underlines")]
    Name(String),
    /// The keys are of another role.
    #[error("a {process} needs the key of a {process}, not of a {key}")]
    Role {
        /// Of the process.
        process: Role,
        /// Of the key.
        key: Role,
    },
    /// An introduction that no peer would read.
    #[error("{0}")]
    Introduction(String),
    /// Keys that cannot be used.
    #[error("the keys cannot be used ({0}): make new ones with dolmen keygen")]
    Keys(rustls::Error),
    /// Plain text would leave this machine.
    #[error("{0} is not on this machine: without TLS only loopback is allowed, make keys with dolmen keygen")]
    PlainOffLoopback(SocketAddr),
    /// No thread or socket.
    #[error("cannot start the network: {0}")]
    Io(io::Error),
    /// An address that cannot be listened on.
    #[error(
        "cannot listen on {address}: {error}; choose another address of this machine, or port 0 for any free port"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's words.
        error: io::Error,
    },
}

/// A process in the cluster. Its threads end with it, and what was to be told then is not told any more.
pub struct Endpoint {
    door: Arc<Door>,
    board: Arc<Switchboard>,
    entrance: Arc<Entrance>,
    links: Arc<Links>,
    /// One thread, for control connections only: gigabytes never delay a heartbeat.
    control: Option<Runtime>,
    blocks: Option<Runtime>,
}

impl Endpoint {
    /// Starts the network of a process. `blocks` are those that others may ask for; `on_event` is called on the thread
    /// of all control connections: it must not block, nor connect or close.
    ///
    /// # Errors
    /// If name, keys and role do not fit each other, or if the system gives no threads.
    pub fn start(
        config: Config,
        blocks: Arc<dyn Blocks>,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Endpoint, EndpointError> {
        let Config { me, trust, mixed_machines, limits } = config;
        if !is_name(&me.name) {
            return Err(EndpointError::Name(me.name));
        }
        encode(&me).map_err(EndpointError::Introduction)?;
        let tls = match trust {
            Trust::InsecurePlain => None,
            Trust::Keys(keys) if keys.role != me.role => {
                return Err(EndpointError::Role { process: me.role, key: keys.role });
            }
            Trust::Keys(keys) => Some(Tls::new(&keys).map_err(EndpointError::Keys)?),
        };
        let door = Arc::new(Door { me, tls, mixed_machines, limits });
        let control = runtime("dolmen-control", 1)?;
        let block_runtime = runtime("dolmen-net", BLOCK_THREADS)?;
        let board = Arc::new(Switchboard::new(limits, Box::new(on_event)));
        let server = Arc::new(BlockServer::new(blocks, limits.longest_wait));
        let entrance = Entrance::new(door.clone(), board.clone(), server, control.handle().clone());
        let links = Links::new(door.clone(), block_runtime.handle().clone());
        Ok(Endpoint { door, board, entrance, links, control: Some(control), blocks: Some(block_runtime) })
    }

    /// Listens on an address; port 0 is any free one. Returns the address with its port.
    ///
    /// # Errors
    /// If the address is in use or not of this machine, or without TLS not loopback.
    pub fn listen(&self, address: SocketAddr) -> Result<SocketAddr, EndpointError> {
        if self.door.tls.is_none() && !is_loopback(&address) {
            return Err(EndpointError::PlainOffLoopback(address));
        }
        let failed = |error| EndpointError::Listen { address, error };
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let runtime = self.blocks_runtime();
        let _inside = runtime.enter();
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        runtime.spawn(self.entrance.clone().accept(listener));
        Ok(local)
    }

    /// Connects to the scheduler at `address` (host and port), and waits for its answer.
    ///
    /// # Errors
    /// If nobody is there, or is no scheduler of this cluster, or refuses this process; then with its reason.
    pub fn connect(&self, address: &str) -> Result<Connection, ConnectError> {
        let unknown = || ConnectError::Address(address.to_string());
        let addresses = address.to_socket_addrs().map_err(|_| unknown())?;
        first_answer(addresses.map(|address| self.connect_to(address))).unwrap_or_else(|| Err(unknown()))
    }

    fn connect_to(&self, address: SocketAddr) -> Result<Connection, ConnectError> {
        let wanted = Wanted { address, role: Role::Scheduler, life: None, purpose: Purpose::Control };
        let (tell, told) = mpsc::sync_channel(1);
        let door = self.door.clone();
        let board = self.board.clone();
        let control = self.entrance.control.clone();
        self.blocks_runtime().spawn(async move {
            let met = door.meet(&wanted).await;
            control.spawn(async move {
                let broken = |why| ConnectError::Broken { address, why };
                // Whoever asked waits for it, or its process ends.
                let _ = tell.send(met.and_then(|met| board.attach(met, None).map_err(broken)));
            });
        });
        told.recv().unwrap_or(Err(ConnectError::Late(address)))
    }

    /// Fills `buffer` with a block that somebody else holds, then calls `done` with it on a thread of the network,
    /// where it must not block. The block must be as long as the buffer. Many may be under way at once; they share one
    /// connection for each holder.
    pub fn pull<B, F>(&self, holder: Holder, key: &[u8], buffer: B, done: F)
    where
        B: AsMut<[u8]> + Send + 'static,
        F: FnOnce(B, Result<Came, PullError>) + Send + 'static,
    {
        self.links.pull(holder, key, buffer, done);
    }

    /// Gives up a holder that is known to be gone: what was to come from it fails now, not after a silence.
    pub fn forget(&self, holder: &Holder) {
        self.links.forget(holder);
    }

    /// Sends what is in line on all control connections and closes them. Waits no longer than a handshake may take.
    pub fn close(self) {
        self.board.close();
    }

    fn blocks_runtime(&self) -> &Runtime {
        self.blocks.as_ref().expect("there until it is dropped")
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // A thread of the network may be the one that drops it, and cannot wait for itself.
        for runtime in [self.control.take(), self.blocks.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// What the first says of several addresses of one host who is there at all, or the last of those who are not.
fn first_answer<T>(
    answers: impl Iterator<Item = Result<T, ConnectError>>,
) -> Option<Result<T, ConnectError>> {
    let mut last = None;
    for answer in answers {
        let is_nobody_there = matches!(answer, Err(ConnectError::Unreachable { .. } | ConnectError::Late(_)));
        last = Some(answer);
        if !is_nobody_there {
            break;
        }
    }
    last
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, EndpointError> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name(name).max_blocking_threads(DISK_THREADS);
    builder.enable_io().enable_time();
    builder.build().map_err(EndpointError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_at_which_somebody_answers_counts() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let late = || Err(ConnectError::Late(address));
        let unknown = || Err(ConnectError::Address("n1".into()));
        let answer = |answers: Vec<Result<u32, ConnectError>>| first_answer(answers.into_iter());
        assert!(answer(vec![]).is_none());
        assert!(matches!(answer(vec![late(), Ok(1), Ok(2)]), Some(Ok(1))));
        assert!(matches!(answer(vec![late(), unknown(), Ok(2)]), Some(Err(ConnectError::Address(_)))));
        assert!(matches!(answer(vec![late(), late()]), Some(Err(ConnectError::Late(_)))));
    }
}
