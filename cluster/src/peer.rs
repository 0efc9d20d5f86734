//! Somebody at the other end of a control connection, and how to speak to them.

use crate::framed::Ending;
use crate::hello::Introduction;
use crate::queue::{Queue, SendError};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// The number of a control connection. None is given twice, so what is said about one never means a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// Who is at the other end of a control connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The connection's number.
    pub id: PeerId,
    /// What the peer says of itself. With TLS its role is proven.
    pub from: Introduction,
    /// Its end.
    pub address: SocketAddr,
    /// This end. On the machine of a worker, it is the address at which the scheduler's network finds it.
    pub local: SocketAddr,
}

/// A control connection. Copies are the same connection, which stays open without them, too.
#[derive(Clone)]
pub struct Connection {
    pub(crate) peer: Arc<Peer>,
    pub(crate) queue: Arc<Queue>,
}

impl Connection {
    /// Who is there.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Puts a message in line. Never waits.
    ///
    /// # Errors
    /// [`SendError::Full`] gives the message back if the line is too long: [`Event::Room`] tells when to try again.
    /// Else if the connection has ended, or if the message is empty or longer than
    /// [`MAX_MESSAGE`](crate::frame::MAX_MESSAGE).
    pub fn try_send(&self, message: Vec<u8>) -> Result<(), SendError> {
        self.queue.try_push(message)
    }

    /// Puts a message in line, and waits for room if need be. Not for threads that answer others.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but never [`SendError::Full`].
    pub fn send(&self, message: Vec<u8>) -> Result<(), SendError> {
        self.queue.push(message)
    }

    /// Sends what is in line and closes the connection. [`Event::Lost`] still comes.
    pub fn close(&self) {
        self.queue.close();
    }
}

/// A message that was received. Its bytes count as the peer's until it is dropped: with too many of them, nothing more
/// is read from that peer. One that could send nothing for as long as a silence may last takes us for lost, so messages
/// are to be dealt with, not kept.
pub struct Message {
    pub(crate) bytes: Vec<u8>,
    pub(crate) _held: OwnedSemaphorePermit,
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What happens on control connections. For each peer one `Connected` comes first and one `Lost` last, unless the
/// endpoint is dropped before.
pub enum Event {
    /// A peer is there.
    Connected(Connection),
    /// A peer said something.
    Message {
        /// Which.
        peer: PeerId,
        /// What: at least one byte.
        message: Message,
    },
    /// There is room again in a line that was [`SendError::Full`].
    Room {
        /// Whose.
        peer: PeerId,
    },
    /// A peer is gone.
    Lost {
        /// Which.
        peer: PeerId,
        /// Why.
        why: Ending,
    },
}
