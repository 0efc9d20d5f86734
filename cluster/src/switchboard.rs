//! All control connections of a process, and their pumps.
//!
//! Everything here but sending happens on one thread, which does nothing else. So heartbeats go out whatever the
//! kernels do, and events come one after the other.

use crate::frame::MAX_MESSAGE;
use crate::framed::{Ending, FrameReader, FrameWriter};
use crate::handshake::Met;
use crate::hello::Introduction;
use crate::life::Life;
use crate::limits::{Limits, beat};
use crate::peer::{Connection, Event, Message, Peer, PeerId};
use crate::queue::Queue;
use crate::role::Role;
use crate::stream::Stream;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// What is told of a control connection goes here, on the thread of all control connections: it must not block.
pub type OnEvent = Box<dyn Fn(Event) + Send + Sync>;

/// An open connection.
struct Open {
    role: Role,
    name: String,
    life: Life,
    queue: Arc<Queue>,
    pump: AbortHandle,
}

#[derive(Default)]
struct Directory {
    given: u64,
    open: HashMap<PeerId, Open>,
}

impl Directory {
    fn named(&self, name: &str) -> Option<(PeerId, &Open)> {
        let mut named = self.open.iter().filter(|(_, open)| open.name == name);
        named.next().map(|(id, open)| (*id, open))
    }
}

impl Open {
    /// A life is no secret, but nobody has the key of another role.
    fn is_of(&self, process: &Introduction) -> bool {
        (self.role, self.life) == (process.role, process.life)
    }
}

pub(crate) struct Switchboard {
    directory: Mutex<Directory>,
    /// A connection has ended.
    ended: Condvar,
    on_event: OnEvent,
    limits: Limits,
}

impl Switchboard {
    pub fn new(limits: Limits, on_event: OnEvent) -> Switchboard {
        Switchboard { directory: Mutex::default(), ended: Condvar::new(), on_event, limits }
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process may connect. It may do so again if it has noticed before us that its connection is broken;
    /// another process of the same name has to wait until the one that is here is lost.
    ///
    /// # Errors
    /// The reason for which it may not.
    pub fn admit(&self, from: &Introduction) -> Result<(), String> {
        match self.directory().named(&from.name) {
            Some((_, open)) if !open.is_of(from) => {
                let article = if open.role == from.role { "another" } else { "a" };
                let (role, name) = (open.role, &from.name);
                Err(format!("{article} {role} is connected as {name}: choose another name, or wait"))
            }
            _ => Ok(()),
        }
    }

    /// Takes a connection over, with what is kept for as long as it lasts. On the thread of control connections only.
    ///
    /// # Errors
    /// If the connection is broken, or its name has been taken meanwhile.
    pub fn attach(
        self: &Arc<Self>,
        met: Met,
        kept: Option<OwnedSemaphorePermit>,
    ) -> Result<Connection, Ending> {
        let Met { mut stream, address, local, from, lost_after, .. } = met;
        stream.move_here()?;
        let id = self.take_place(&from)?;
        let (role, name, life) = (from.role, from.name.clone(), from.life);
        let queue = Arc::new(Queue::new(self.limits.queue_bytes));
        let connection =
            Connection { peer: Arc::new(Peer { id, from, address, local }), queue: queue.clone() };
        (self.on_event)(Event::Connected(connection.clone()));
        let board = self.clone();
        let own = queue.clone();
        let mut directory = self.directory();
        let pump = tokio::spawn(async move {
            let why = board.pump(id, stream, &own, lost_after).await;
            board.lose(id, why);
            drop(kept);
        });
        directory.open.insert(id, Open { role, name, life, queue, pump: pump.abort_handle() });
        Ok(connection)
    }

    /// A number for a new connection. An earlier one of the same process has ended then: what it still brings is of an
    /// earlier time, and nobody hears it.
    fn take_place(&self, from: &Introduction) -> Result<PeerId, Ending> {
        let mut directory = self.directory();
        let earlier = match directory.named(&from.name) {
            Some((_, open)) if !open.is_of(from) => return Err(Ending::Superseded),
            earlier => earlier.map(|(id, _)| id),
        };
        directory.given += 1;
        let id = PeerId(directory.given);
        drop(directory);
        if let Some(earlier) = earlier {
            self.lose(earlier, Ending::Superseded);
        }
        Ok(id)
    }

    /// Ends a connection, if it has not ended yet.
    fn lose(&self, peer: PeerId, why: Ending) {
        let Some(open) = self.directory().open.remove(&peer) else { return };
        open.queue.close();
        open.pump.abort();
        (self.on_event)(Event::Lost { peer, why });
        self.ended.notify_all();
    }

    /// Closes all connections once their messages are sent. Waits for that, but not for ever.
    pub fn close(&self) {
        let directory = self.directory();
        for open in directory.open.values() {
            open.queue.close();
        }
        let some_left = |directory: &mut Directory| !directory.open.is_empty();
        let waited = self.ended.wait_timeout_while(directory, self.limits.handshake, some_left);
        drop(waited);
    }

    async fn pump(&self, id: PeerId, stream: Stream, queue: &Queue, lost_after: Duration) -> Ending {
        let (reader, writer) = tokio::io::split(stream);
        let why = tokio::select! {
            why = self.receive(id, reader, lost_after) => why,
            why = self.send(id, writer, queue, lost_after) => why,
        };
        match why {
            Ending::Closed if queue.is_closed() => Ending::ClosedHere,
            why => why,
        }
    }

    async fn receive(&self, peer: PeerId, reader: ReadHalf<Stream>, patience: Duration) -> Ending {
        let mut reader = FrameReader::new(reader, patience);
        let inbox = Arc::new(Semaphore::new(self.limits.inbox_bytes));
        loop {
            match self.received(&mut reader, &inbox).await {
                Ok(None) => {}
                Ok(Some(message)) => (self.on_event)(Event::Message { peer, message }),
                Err(why) => return why,
            }
        }
    }

    /// The next message, or nothing for a heartbeat.
    async fn received(
        &self,
        reader: &mut FrameReader<ReadHalf<Stream>>,
        inbox: &Arc<Semaphore>,
    ) -> Result<Option<Message>, Ending> {
        let header = reader.header().await?;
        if header.payload_len != 0 {
            return Err(Ending::Protocol("a payload on a control connection"));
        }
        if header.message_len == 0 {
            return Ok(None);
        }
        let held = header.message_len.min(u32::try_from(self.limits.inbox_bytes).unwrap_or(u32::MAX));
        let held = inbox.clone().acquire_many_owned(held).await;
        let held = held.map_err(|_| Ending::ClosedHere)?;
        let bytes = reader.message(&header, MAX_MESSAGE).await?;
        Ok(Some(Message { bytes, _held: held }))
    }

    async fn send(
        &self,
        peer: PeerId,
        writer: WriteHalf<Stream>,
        queue: &Queue,
        lost_after: Duration,
    ) -> Ending {
        match self.sent(peer, FrameWriter::new(writer, lost_after), queue, lost_after).await {
            Ok(()) => Ending::ClosedHere,
            Err(why) => why,
        }
    }

    async fn sent(
        &self,
        peer: PeerId,
        mut writer: FrameWriter<WriteHalf<Stream>>,
        queue: &Queue,
        lost_after: Duration,
    ) -> Result<(), Ending> {
        let mut next_beat = Instant::now();
        loop {
            let now = Instant::now();
            if next_beat <= now {
                writer.beat().await?;
                next_beat = now + beat(lost_after);
            }
            // Given up only while it waits: no message is lost then.
            let batch = match timeout(next_beat - now.min(next_beat), queue.next()).await {
                Err(_) => continue,
                Ok(None) => break,
                Ok(Some(batch)) => batch,
            };
            if batch.has_room {
                (self.on_event)(Event::Room { peer });
            }
            for message in &batch.messages {
                writer.add(message)?;
            }
            writer.send().await?;
        }
        writer.shutdown().await?;
        // Closed with bytes unread, TCP would drop what the other side has not taken yet. It closes when it has.
        tokio::time::sleep(beat(lost_after)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, life: u64) -> Introduction {
        let text = |text: &str| text.to_string();
        Introduction {
            role: Role::Worker,
            name: text(name),
            life: Life(life),
            release: text("0.1.0"),
            operations: text("ab"),
            kernels: text("faer"),
        }
    }

    fn board() -> Arc<Switchboard> {
        let limits = Limits { handshake: Duration::from_secs(60), ..Limits::default() };
        Arc::new(Switchboard::new(limits, Box::new(|_| {})))
    }

    /// A connection that ends so long after it was closed.
    fn open(board: &Arc<Switchboard>, from: &Introduction, ends_after: Duration) -> PeerId {
        let id = board.take_place(from).unwrap();
        let queue = Arc::new(Queue::new(1));
        let (its_board, its_queue) = (board.clone(), queue.clone());
        let pump = tokio::spawn(async move {
            assert!(its_queue.next().await.is_none());
            tokio::time::sleep(ends_after).await;
            its_board.lose(id, Ending::ClosedHere);
        });
        let Introduction { role, name, life, .. } = from.clone();
        board.directory().open.insert(id, Open { role, name, life, queue, pump: pump.abort_handle() });
        id
    }

    #[tokio::test]
    async fn a_name_that_was_taken_meanwhile_is_not_given_again() {
        let board = board();
        let id = open(&board, &of("n1", 1), Duration::ZERO);
        assert_eq!(board.take_place(&of("n1", 2)), Err(Ending::Superseded));
        assert!(board.directory().open.contains_key(&id));
        assert!(board.take_place(&of("n1", 1)).is_ok_and(|new| new != id), "the same process once more");
        assert!(board.directory().open.is_empty());
    }

    #[tokio::test]
    async fn who_closes_waits_until_the_last_connection_has_ended() {
        let board = board();
        open(&board, &of("n1", 1), Duration::from_millis(10));
        open(&board, &of("n2", 2), Duration::from_millis(200));
        let left = tokio::task::spawn_blocking(move || {
            board.close();
            board.directory().open.len()
        });
        assert_eq!(left.await.unwrap(), 0);
    }
}
