//! Lets others in: strangers cost bounded bytes, seconds and connections, and a line in the log when they are refused.

use crate::handshake::Door;
use crate::hello::{Hello, Purpose, shown};
use crate::log_limit::LogLimit;
use crate::serve::BlockServer;
use crate::switchboard::Switchboard;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// After the system had no room for one more connection.
const BREATH: Duration = Duration::from_millis(100);

/// Somebody of whom nothing is known yet.
struct Stranger {
    number: u64,
    address: SocketAddr,
    handshake: AbortHandle,
}

#[derive(Default)]
struct Strangers {
    given: u64,
    /// Oldest first.
    waiting: VecDeque<Stranger>,
}

pub(crate) struct Entrance {
    pub door: Arc<Door>,
    pub board: Arc<Switchboard>,
    pub blocks: Arc<BlockServer>,
    /// Where control connections are driven.
    pub control: Handle,
    places: Arc<Semaphore>,
    strangers: Mutex<Strangers>,
    log: Mutex<LogLimit>,
}

impl Entrance {
    pub fn new(
        door: Arc<Door>,
        board: Arc<Switchboard>,
        blocks: Arc<BlockServer>,
        control: Handle,
    ) -> Arc<Entrance> {
        let places = Arc::new(Semaphore::new(door.limits.connections));
        let (strangers, log) = Default::default();
        Arc::new(Entrance { door, board, blocks, control, places, strangers, log })
    }

    /// Takes connections for ever.
    pub async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((tcp, address)) => self.receive(tcp, address),
                // One that is gone already, or no file left for one more: the next may do better.
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    fn receive(self: &Arc<Self>, tcp: TcpStream, address: SocketAddr) {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.given += 1;
        let number = strangers.given;
        let handshake = tokio::spawn(self.clone().meet(number, tcp, address)).abort_handle();
        strangers.waiting.push_back(Stranger { number, address, handshake });
        // The oldest goes, not the newest: a friend needs milliseconds, and would never get in among silent ones.
        let most = self.door.limits.unauthenticated;
        let gone = if strangers.waiting.len() > most { strangers.waiting.pop_front() } else { None };
        drop(strangers);
        if let Some(Stranger { address, handshake, .. }) = gone {
            handshake.abort();
            self.refused(address, "too many connections that do not say who they are");
        }
    }

    async fn meet(self: Arc<Self>, number: u64, tcp: TcpStream, address: SocketAddr) {
        let met = self.door.greet(tcp, |hello| self.admit(hello)).await;
        self.strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .waiting
            .retain(|stranger| stranger.number != number);
        let (met, place) = match met {
            Ok(met) => met,
            Err(reason) => return self.refused(address, &reason),
        };
        match met.purpose {
            Purpose::Control => {
                let entrance = self.clone();
                self.control.spawn(async move {
                    if let Err(why) = entrance.board.attach(met, Some(place)) {
                        entrance.refused(address, &why.to_string());
                    }
                });
            }
            Purpose::Blocks => {
                let why = self.blocks.clone().serve(met).await;
                tracing::debug!("{address} takes no more blocks: {why}");
                drop(place);
            }
        }
    }

    fn admit(&self, hello: &Hello) -> Result<tokio::sync::OwnedSemaphorePermit, String> {
        if hello.purpose == Purpose::Control {
            self.board.admit(&hello.from)?;
        }
        let most = self.door.limits.connections;
        self.places
            .clone()
            .try_acquire_owned()
            .map_err(|_| format!("{most} connections are open here already: stop some processes first"))
    }

    fn refused(&self, address: SocketAddr, reason: &str) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = shown(reason);
        match log.allow(address.ip(), Instant::now()) {
            None => {}
            Some(0) => tracing::warn!("refused {address}: {reason}"),
            Some(more) => tracing::warn!("refused {address}: {reason} (and {more} more before it)"),
        }
    }
}
