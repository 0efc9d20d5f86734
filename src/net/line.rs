//! What is said over one connection, in order.

use crate::protocol::encode;
use cluster::SendError;
use cluster::peer::Connection;
use serde::Serialize;
use std::collections::VecDeque;

/// Messages to one peer. Never waits: what the connection has no room for stays here until it has.
pub struct Line {
    connection: Connection,
    waiting: VecDeque<Vec<u8>>,
}

impl Line {
    pub fn new(connection: Connection) -> Line {
        Line { connection, waiting: VecDeque::new() }
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub fn send(&mut self, message: &impl Serialize) {
        match encode(message) {
            Ok(bytes) => self.waiting.push_back(bytes),
            Err(error) => {
                // Messages are plain data: it is too little memory, or a fault of ours. The peer must not go on.
                tracing::error!("{}: {error}", self.connection.peer().from.name);
                self.connection.close();
            }
        }
        self.go_on();
    }

    /// There is room again.
    pub fn go_on(&mut self) {
        while let Some(message) = self.waiting.pop_front() {
            match self.connection.try_send(message) {
                Ok(()) => {}
                Err(SendError::Full(message)) => return self.waiting.push_front(message),
                // That it is lost is told as an event.
                Err(SendError::Ended) => return self.waiting.clear(),
                Err(error @ (SendError::Empty | SendError::TooLong(_))) => {
                    tracing::error!("{}: {error}", self.connection.peer().from.name);
                    return self.connection.close();
                }
            }
        }
    }
}
