//! The line of messages that wait to be sent over one connection, bounded in bytes.

use crate::frame::{FrameHeader, MAX_MESSAGE};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Sent at once, at most, but for one long message.
const BATCH: usize = 256 << 10;

/// Why a message was not put in line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer does not take as fast as it is given. Here is the message.
    #[error("the peer does not keep up: too many bytes wait for it")]
    Full(Vec<u8>),
    /// The connection has ended.
    #[error("the connection has ended")]
    Ended,
    /// An empty message would be a heartbeat.
    #[error("a message without bytes cannot be sent")]
    Empty,
    /// More than a frame may hold.
    #[error("a message of {0} bytes, more than the {MAX_MESSAGE} allowed: send it in parts")]
    TooLong(usize),
}

#[derive(Default)]
struct State {
    messages: VecDeque<Vec<u8>>,
    /// Of the messages in line and of those that are being written, with their headers.
    bytes: usize,
    being_written: usize,
    closed: bool,
    /// Somebody was sent away.
    told_full: bool,
}

/// What is to be written now.
pub(crate) struct Batch {
    pub messages: Vec<Vec<u8>>,
    /// There is room again, and somebody waits for that.
    pub has_room: bool,
}

pub(crate) struct Queue {
    limit: usize,
    state: Mutex<State>,
    filled: Notify,
    room: Condvar,
}

fn cost(message: &[u8]) -> usize {
    FrameHeader::required_bytes() + message.len()
}

impl Queue {
    pub fn new(limit: usize) -> Queue {
        Queue { limit, state: Mutex::default(), filled: Notify::new(), room: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fits(&self, state: &State, message: &[u8]) -> bool {
        state.bytes == 0 || state.bytes + cost(message) <= self.limit
    }

    pub fn try_push(&self, message: Vec<u8>) -> Result<(), SendError> {
        check(&message)?;
        let mut state = self.state();
        if !state.closed && !self.fits(&state, &message) {
            state.told_full = true;
            return Err(SendError::Full(message));
        }
        self.append(&mut state, message)
    }

    pub fn push(&self, message: Vec<u8>) -> Result<(), SendError> {
        check(&message)?;
        let must_wait = |state: &mut State| !state.closed && !self.fits(state, &message);
        let state = self.room.wait_while(self.state(), must_wait);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        self.append(&mut state, message)
    }

    fn append(&self, state: &mut State, message: Vec<u8>) -> Result<(), SendError> {
        if state.closed {
            return Err(SendError::Ended);
        }
        state.bytes += cost(&message);
        state.messages.push_back(message);
        self.filled.notify_one();
        Ok(())
    }

    /// Nothing more is put in line.
    pub fn close(&self) {
        self.state().closed = true;
        self.filled.notify_one();
        self.room.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// What is to be sent next, once there is something; the batch before it has been sent then. `None` after the last.
    pub async fn next(&self) -> Option<Batch> {
        self.state().written();
        self.room.notify_all();
        loop {
            let batch = {
                let mut state = self.state();
                let has_room = state.told_full && state.bytes <= self.limit / 2;
                if has_room {
                    state.told_full = false;
                }
                Batch { messages: state.take(), has_room }
            };
            if !batch.messages.is_empty() || batch.has_room {
                return Some(batch);
            }
            if self.is_closed() {
                return None;
            }
            self.filled.notified().await;
        }
    }
}

impl State {
    fn written(&mut self) {
        self.bytes -= self.being_written;
        self.being_written = 0;
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(message) = self.messages.front() {
            let cost = cost(message);
            if self.being_written > 0 && self.being_written + cost > BATCH {
                break;
            }
            self.being_written += cost;
            out.extend(self.messages.pop_front());
        }
        out
    }
}

fn check(message: &[u8]) -> Result<(), SendError> {
    match message.len() {
        0 => Err(SendError::Empty),
        len if len > MAX_MESSAGE as usize => Err(SendError::TooLong(len)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const HEADER: usize = FrameHeader::required_bytes();

    /// What is to be sent, or nothing if that has to be waited for.
    fn next(queue: &Queue) -> Option<Option<Batch>> {
        match pin!(queue.next()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(batch) => Some(batch),
            Poll::Pending => None,
        }
    }

    #[test]
    fn bytes_count_until_they_are_sent() {
        let queue = Queue::new(300);
        let message = vec![1; 100];
        assert!(next(&queue).is_none());
        queue.try_push(message.clone()).unwrap();
        queue.try_push(message.clone()).unwrap();
        assert_eq!(queue.try_push(message.clone()), Err(SendError::Full(message.clone())));
        let batch = next(&queue).unwrap().unwrap();
        assert_eq!((batch.messages.len(), batch.has_room), (2, false));
        assert_eq!(queue.try_push(message.clone()), Err(SendError::Full(message.clone())), "not sent yet");
        let batch = next(&queue).unwrap().unwrap();
        assert_eq!((batch.messages.len(), batch.has_room), (0, true));
        queue.try_push(message).unwrap();
        assert!(!next(&queue).unwrap().unwrap().has_room, "told once");
    }

    #[test]
    fn a_long_message_goes_alone() {
        let queue = Queue::new(10);
        queue.try_push(vec![1; 1000]).unwrap();
        assert!(matches!(queue.try_push(vec![2]), Err(SendError::Full(_))));
        assert_eq!(next(&queue).unwrap().unwrap().messages, [vec![1; 1000]]);
        assert_eq!(queue.try_push(vec![]), Err(SendError::Empty));
        let long = MAX_MESSAGE as usize + 1;
        assert_eq!(queue.try_push(vec![0; long]), Err(SendError::TooLong(long)));
    }

    #[test]
    fn what_is_in_line_is_sent_after_it_was_closed() {
        let queue = Queue::new(1000);
        queue.try_push(vec![1]).unwrap();
        queue.close();
        assert_eq!(queue.try_push(vec![2]), Err(SendError::Ended));
        assert_eq!(next(&queue).unwrap().unwrap().messages, [vec![1]]);
        assert!(next(&queue).unwrap().is_none());
    }

    #[test]
    fn who_waits_for_room_goes_on_when_there_is_some_or_when_it_is_over() {
        let queue = Queue::new(100);
        queue.push(vec![1; 60]).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.push(vec![2; 60]));
            while !waiting.is_finished() {
                let _ = next(&queue);
            }
            assert_eq!(waiting.join().unwrap(), Ok(()));
            let waiting = scope.spawn(|| (queue.push(vec![3; 60]), queue.push(vec![4; 60])));
            queue.close();
            assert_eq!(waiting.join().unwrap().1, Err(SendError::Ended));
        });
    }

    #[test]
    fn messages_go_together_up_to_the_length_of_a_batch() {
        let lengths = |first: usize| {
            let queue = Queue::new(10 * BATCH);
            for len in [first, BATCH / 2 - HEADER, 1] {
                queue.try_push(vec![0; len]).unwrap();
            }
            let mut batches = std::iter::from_fn(|| next(&queue).flatten());
            [0; 2].map(|_| batches.next().map_or(0, |batch| batch.messages.len()))
        };
        assert_eq!(lengths(BATCH / 2 - HEADER), [2, 1], "just as long");
        assert_eq!(lengths(BATCH / 2 - HEADER - 1), [2, 1], "one less, and no room for the third");
        assert_eq!(lengths(BATCH / 2 - HEADER + 1), [1, 2], "one more");
        assert_eq!(lengths(2 * BATCH), [1, 2], "a long one alone");
        assert_eq!(lengths(100), [3, 0]);
    }

    #[test]
    fn there_is_room_again_when_the_line_is_half_empty() {
        let queue = Queue::new(4 * BATCH);
        let message = vec![0; BATCH - HEADER];
        (0..4).for_each(|_| queue.try_push(message.clone()).unwrap());
        assert!(matches!(queue.try_push(message), Err(SendError::Full(_))));
        let batches: Vec<Batch> = (0..4).map(|_| next(&queue).unwrap().unwrap()).collect();
        let told: Vec<(usize, bool)> =
            batches.iter().map(|batch| (batch.messages.len(), batch.has_room)).collect();
        assert_eq!(told, [(1, false), (1, false), (1, true), (1, false)]);
    }

    #[test]
    fn the_longest_message_goes() {
        let queue = Queue::new(1);
        queue.try_push(vec![0; MAX_MESSAGE as usize]).unwrap();
    }
}
