//! Blocks between processes: what is asked, and what is answered.
//!
//! Whoever wants a block sends a request: a frame whose message is the request's number (4 bytes, little-endian), the
//! block's length (8 bytes), the picoseconds that a byte takes over this connection (4 bytes; 0 if the block is to come
//! as it is) and its key. The answer is the block in parts: frames whose message is the request's
//! number and one byte, its kind, with bytes of the block as payload. Parts of several blocks may alternate, those
//! of one are in order. An empty frame is a heartbeat.

use crate::hello::shown;
use crate::limits::{LONGEST_KEY, LONGEST_REASON};
use std::future::ready;
use std::io;
use std::pin::Pin;

const NUMBER: usize = 4;
const LENGTH: usize = 8;
const PACE: usize = 4;

/// Longest message of a request, in bytes.
pub(crate) const LONGEST_REQUEST: u32 = (NUMBER + LENGTH + PACE + LONGEST_KEY) as u32;
/// Longest message of an answer, in bytes.
pub(crate) const LONGEST_REPLY: u32 = (NUMBER + 1 + LONGEST_REASON) as u32;

/// A block that is looked for: its bytes, or the reason in one line why there are none. The reason is told to whoever
/// asked.
pub type Finding = Pin<Box<dyn Future<Output = Result<Payload, String>> + Send>>;

/// Where the blocks of this process are found, for others.
pub trait Blocks: Send + Sync + 'static {
    /// Looks for the block of this key, which comes from another process. Done on a thread of the network, which
    /// neither this call nor the future may block: no disk is read. The future may take as long as the block is on its
    /// way here.
    fn find(&self, key: Vec<u8>) -> Finding;

    /// The array of which this block is a part, as a number. Its blocks resemble each other, and may be compressed.
    /// None if nothing is known of that.
    fn array(&self, _key: &[u8]) -> Option<u64> {
        None
    }
}

/// The bytes of a block.
pub enum Payload {
    /// They lie in memory, and stay until they have been sent.
    Memory(Box<dyn AsRef<[u8]> + Send + Sync>),
    /// They lie elsewhere, and are read part by part.
    Stored {
        /// How many they are.
        len: u64,
        /// How to get them.
        source: Box<dyn ReadAt>,
    },
}

impl Payload {
    /// Bytes of the block.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Payload::Memory(bytes) => (**bytes).as_ref().len() as u64,
            Payload::Stored { len, .. } => *len,
        }
    }
}

/// Bytes that are read part by part.
pub trait ReadAt: Send + 'static {
    /// Fills `bytes` with those from `offset` on. Called with rising offsets, on a thread that may block. Nothing of
    /// the block need be open or in memory before the first call.
    ///
    /// # Errors
    /// Whoever wants the block is told.
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// For a process that has none.
pub struct NoBlocks;

impl Blocks for NoBlocks {
    fn find(&self, _key: Vec<u8>) -> Finding {
        Box::pin(ready(Err("this process holds no blocks".into())))
    }
}

/// Somebody wants a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub number: u32,
    pub len: u64,
    /// Picoseconds that a byte takes, or 0 if the block is to come as it is.
    pub pace: u32,
    pub key: Vec<u8>,
}

impl Request {
    pub fn encode(&self) -> Vec<u8> {
        let Request { number, len, pace, key } = self;
        [&number.to_le_bytes()[..], &len.to_le_bytes(), &pace.to_le_bytes(), key].concat()
    }

    /// None if the message is too short to be a request.
    pub fn decode(message: &[u8]) -> Option<Request> {
        let (number, rest) = message.split_first_chunk::<NUMBER>()?;
        let (len, rest) = rest.split_first_chunk::<LENGTH>()?;
        let (pace, key) = rest.split_first_chunk::<PACE>()?;
        let number = u32::from_le_bytes(*number);
        let (len, pace) = (u64::from_le_bytes(*len), u32::from_le_bytes(*pace));
        Some(Request { number, len, pace, key: key.to_vec() })
    }
}

/// What a frame of an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// More follows.
    Part,
    /// The block's last bytes.
    Last,
    /// There will be no (more) bytes, for this reason.
    Failed(String),
    /// The block is on its way to its holder.
    Waits,
}

/// The message of a frame of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub number: u32,
    pub kind: Kind,
}

impl Reply {
    pub fn encode(&self) -> Vec<u8> {
        let (kind, reason) = match &self.kind {
            Kind::Part => (0, ""),
            Kind::Last => (1, ""),
            Kind::Failed(reason) => (2, reason.as_str()),
            Kind::Waits => (3, ""),
        };
        [&self.number.to_le_bytes()[..], &[kind], reason.as_bytes()].concat()
    }

    /// None if the message is no reply. A reason is made fit to be [shown].
    pub fn decode(message: &[u8]) -> Option<Reply> {
        let (number, rest) = message.split_first_chunk::<NUMBER>()?;
        let kind = match rest {
            [0] => Kind::Part,
            [1] => Kind::Last,
            [3] => Kind::Waits,
            [2, reason @ ..] => Kind::Failed(shown(&String::from_utf8_lossy(reason))),
            _ => return None,
        };
        Some(Reply { number: u32::from_le_bytes(*number), kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, for_seeds};

    #[test]
    fn who_says_nothing_of_arrays_has_blocks_of_none() {
        assert_eq!(NoBlocks.array(b"key"), None);
    }

    #[test]
    fn requests_and_replies_are_read_as_written_and_their_bytes_never_change() {
        let request = Request { number: 7, len: 258, pace: 513, key: b"key".to_vec() };
        assert_eq!(request.encode(), b"\x07\0\0\0\x02\x01\0\0\0\0\0\0\x01\x02\0\0key");
        assert_eq!(Request::decode(&request.encode()), Some(request));
        for (kind, bytes) in [
            (Kind::Part, &b"\x09\0\0\0\0"[..]),
            (Kind::Last, b"\x09\0\0\0\x01"),
            (Kind::Failed("why".into()), b"\x09\0\0\0\x02why"),
            (Kind::Waits, b"\x09\0\0\0\x03"),
        ] {
            let reply = Reply { number: 9, kind };
            assert_eq!(reply.encode(), bytes);
            assert_eq!(Reply::decode(bytes), Some(reply));
        }
    }

    #[test]
    fn what_is_too_short_too_long_or_unknown_is_neither() {
        for len in 0..16 {
            assert_eq!(Request::decode(&vec![1; len]), None, "{len}");
        }
        for message in [&[][..], &[0; 4], &[0, 0, 0, 0, 4], &[0, 0, 0, 0, 1, b'x'], &[0, 0, 0, 0, 3, 0]] {
            assert_eq!(Reply::decode(message), None, "{message:?}");
        }
    }

    /// A message of at most `most` bytes: noise, or text of some sort behind a head that is often right.
    fn any_message(random: &mut Random, most: u32) -> Vec<u8> {
        let mut message: Vec<u8> =
            (0..random.below(u64::from(most) + 1)).map(|_| random.next() as u8).collect();
        if random.below(2) == 0
            && let Some(kind) = message.get_mut(NUMBER)
        {
            *kind = random.below(5) as u8;
        }
        if random.below(2) == 0 {
            message.iter_mut().skip(NUMBER + 1).for_each(|byte| *byte &= 0x7F);
        }
        message
    }

    #[test]
    fn any_bytes_are_read_in_bounded_memory_and_back_the_same_or_refused() {
        for_seeds(5000, |random| {
            let message = any_message(random, LONGEST_REQUEST);
            match Request::decode(&message) {
                None => assert!(message.len() < NUMBER + LENGTH + PACE),
                Some(request) => {
                    assert!(request.key.capacity() <= LONGEST_KEY, "{}", request.key.capacity());
                    assert_eq!(request.encode(), message);
                }
            }
            let message = any_message(random, LONGEST_REPLY);
            let Some(reply) = Reply::decode(&message) else { return };
            if let Kind::Failed(reason) = &reply.kind {
                assert!(reason.len() <= LONGEST_REASON && reason.capacity() <= 2 * LONGEST_REASON);
                assert!(!reason.chars().any(char::is_control), "{reason:?}");
            }
            assert_eq!(Reply::decode(&reply.encode()), Some(reply), "what was shown is shown the same");
        });
    }
}
