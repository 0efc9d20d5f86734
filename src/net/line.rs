//! What is said over one connection, in order.

use crate::protocol::encode;
use cluster::SendError;
use cluster::peer::Connection;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Messages to one peer. Never waits: what the connection has no room for stays here until it has. Clones are the same
/// line.
#[derive(Clone)]
pub struct Line {
    connection: Connection,
    waiting: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

impl Line {
    pub fn new(connection: Connection) -> Line {
        Line { connection, waiting: Arc::default() }
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn send(&self, message: &impl Serialize) {
        match encode(message) {
            Ok(bytes) => {
                let mut waiting = self.lock();
                waiting.push_back(bytes);
                self.push(&mut waiting);
            }
            Err(error) => {
                // Messages are plain data: it is too little memory, or a fault of ours. The peer must not go on.
                tracing::error!("{}: {error}", self.connection.peer().from.name);
                self.connection.close();
            }
        }
    }

    /// There is room again.
    pub fn go_on(&self) {
        self.push(&mut self.lock());
    }

    fn push(&self, waiting: &mut VecDeque<Vec<u8>>) {
        while let Some(message) = waiting.pop_front() {
            match self.connection.try_send(message) {
                Ok(()) => {}
                Err(SendError::Full(message)) => return waiting.push_front(message),
                // That it is lost is told as an event.
                Err(SendError::Ended) => return waiting.clear(),
                Err(error @ (SendError::Empty | SendError::TooLong(_))) => {
                    tracing::error!("{}: {error}", self.connection.peer().from.name);
                    return self.connection.close();
                }
            }
        }
    }
}
