//! What a peer may cost, and how long it may take.

use std::time::Duration;

/// Longest hello or answer, in bytes: the only message that is read from a peer that nobody knows.
pub const LONGEST_HELLO: u32 = 4096;
/// Bytes that are read from a connection before its peer is known, those of TLS included.
pub const UNAUTHENTICATED_BYTES: u64 = 128 << 10;
/// Longest name of a process, in bytes.
pub const LONGEST_NAME: usize = 64;
/// Longest key of a block, in bytes.
pub const LONGEST_KEY: usize = 256;
/// Longest reason that one side tells the other, in bytes.
pub const LONGEST_REASON: usize = 1024;
/// Blocks travel in parts of this many bytes, the last one shorter. A part is checked while it is still in the cache.
pub const PART: usize = 512 << 10;
/// Blocks that are under way on one connection at once, but for those that are on their way to their holder. Further
/// ones wait at the receiver.
pub const PULLS_IN_FLIGHT: usize = 16;
/// A block that is looked for longer than this is on its way to its holder. Whoever wants it is told, and others need
/// not wait for it.
pub(crate) const LONGEST_LOOK: Duration = Duration::from_millis(10);
/// So many blocks of one connection may be on their way to their holder.
pub const WAITING_PER_CONNECTION: usize = 4096;
/// Blocks that one process reads from files for others at once. Each takes a buffer of [`PART`] bytes.
pub const STORED_AT_ONCE: usize = 8;
/// Those of them that go over one connection: one is read while another is sent. A peer that takes nothing keeps few
/// buffers from others.
pub const STORED_PER_CONNECTION: usize = 2;

/// What a user may choose. Times are real time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A peer that was silent for so long is lost. Heartbeats are sent at a fifth of it. The side that listens decides
    /// for both.
    pub lost_after: Duration,
    /// Time from the first byte to the end of the handshake.
    pub handshake: Duration,
    /// Connections whose peer is not known yet. One more, and the oldest of them is closed.
    pub unauthenticated: usize,
    /// Connections whose peer is known. One more is refused.
    pub connections: usize,
    /// Bytes that wait to be sent on one control connection. One message may be longer if it is alone.
    pub queue_bytes: usize,
    /// Bytes of messages of one control connection that were received and are not dropped yet. As much waits in the
    /// network then. One message may be longer if it is alone.
    pub inbox_bytes: usize,
    /// A connection for blocks over which nothing was asked for so long is closed.
    pub idle_after: Duration,
    /// A block that is on its way to this process for longer is refused to those who wait for it. The plan lets nobody
    /// wait in a circle; if two do all the same, it ends with this.
    pub longest_wait: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            lost_after: Duration::from_secs(15),
            handshake: Duration::from_secs(5),
            unauthenticated: 256,
            connections: 4096,
            queue_bytes: 8 << 20,
            inbox_bytes: 8 << 20,
            idle_after: Duration::from_secs(60),
            longest_wait: Duration::from_secs(300),
        }
    }
}

/// How often a heartbeat is sent to a peer that gives us up after `lost_after` of silence.
pub(crate) fn beat(lost_after: Duration) -> Duration {
    lost_after / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_heartbeats_go_into_the_silence_after_which_a_peer_is_lost() {
        assert_eq!(beat(Duration::from_secs(15)), Duration::from_secs(3));
    }
}
