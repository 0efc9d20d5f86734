//! Frames over a stream. Whoever does not send or take a byte for too long is given up.

use crate::frame::{Flags, FrameError, FrameHeader};
use crate::tls::explained;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

const HEADER: usize = FrameHeader::required_bytes();
/// Small frames are read many at once; a part of a block goes past this buffer.
const READ_AHEAD: usize = 16 << 10;
/// A message's buffer grows with what has come, not with what was announced.
const FIRST_STEP: usize = 64 << 10;
/// What is written under one timeout.
const WRITE_STEP: usize = 64 << 10;

const COMPRESSED: &str = "a compressed payload where there are none";

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// The other side closed it, or its process ended.
    #[error("the other side closed the connection")]
    Closed,
    /// This side closed it.
    #[error("closed on this side")]
    ClosedHere,
    /// Nothing came.
    #[error("silent for {0:?}")]
    Silent(Duration),
    /// Nothing was taken.
    #[error("took nothing for {0:?}")]
    Stalled(Duration),
    /// The same process connected once more.
    #[error("the same process connected once more")]
    Superseded,
    /// A key that does not fit.
    #[error("{0}")]
    Untrusted(String),
    /// What the system says.
    #[error("the connection failed: {0}")]
    Failed(String),
    /// Bytes that are no frame.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A frame that should not be there.
    #[error("it broke the protocol: {0}")]
    Protocol(&'static str),
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Ending {
        if let Some(reason) = explained(&error) {
            return Ending::Untrusted(reason);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Ending::Closed
            }
            _ => Ending::Failed(error.to_string()),
        }
    }
}

/// Reads frames.
pub(crate) struct FrameReader<R> {
    inner: BufReader<R>,
    patience: Duration,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub fn new(inner: R, patience: Duration) -> FrameReader<R> {
        FrameReader { inner: BufReader::with_capacity(READ_AHEAD, inner), patience }
    }

    /// Takes no byte more than it is asked for: what follows may be for another reader.
    pub fn unbuffered(inner: R, patience: Duration) -> FrameReader<R> {
        FrameReader { inner: BufReader::with_capacity(1, inner), patience }
    }

    /// The next frame's header. What follows it must be read before the next.
    pub async fn header(&mut self) -> Result<FrameHeader, Ending> {
        let header = self.header_with_flags().await?;
        if header.flags == Flags::NONE { Ok(header) } else { Err(Ending::Protocol(COMPRESSED)) }
    }

    /// The same, of a frame whose payload may be compressed.
    pub async fn header_with_flags(&mut self) -> Result<FrameHeader, Ending> {
        let mut bytes = [0; HEADER];
        let mut have = 0;
        loop {
            have += self.some(&mut bytes[have..]).await?;
            if let Some(header) = FrameHeader::try_read(&bytes[..have])? {
                return Ok(header);
            }
        }
    }

    /// The message of a frame, at most `most` bytes.
    pub async fn message(&mut self, header: &FrameHeader, most: u32) -> Result<Vec<u8>, Ending> {
        if header.message_len > most {
            return Err(Ending::Protocol("a message that is too long"));
        }
        let len = header.message_len as usize;
        let mut message = Vec::new();
        while message.len() < len {
            let have = message.len();
            message.resize(len.min(have + FIRST_STEP.max(have)), 0);
            self.fill(&mut message[have..]).await?;
        }
        Ok(message)
    }

    /// Fills `bytes` to the end.
    pub async fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Ending> {
        let mut have = 0;
        while have < bytes.len() {
            have += self.some(&mut bytes[have..]).await?;
        }
        Ok(())
    }

    async fn some(&mut self, bytes: &mut [u8]) -> Result<usize, Ending> {
        match timeout(self.patience, self.inner.read(bytes)).await {
            Err(_) => Err(Ending::Silent(self.patience)),
            Ok(Ok(0)) => Err(Ending::Closed),
            Ok(read) => Ok(read?),
        }
    }
}

/// Writes frames.
pub(crate) struct FrameWriter<W> {
    inner: W,
    patience: Duration,
    /// Headers and messages on their way.
    buffer: Vec<u8>,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub fn new(inner: W, patience: Duration) -> FrameWriter<W> {
        FrameWriter { inner, patience, buffer: Vec::new() }
    }

    /// Puts a frame without payload behind those that are to be [sent](Self::send).
    pub fn add(&mut self, message: &[u8]) -> Result<(), FrameError> {
        let header = FrameHeader::new(Flags::NONE, message.len(), &[])?;
        self.add_headed(&header, message);
        Ok(())
    }

    fn add_headed(&mut self, header: &FrameHeader, message: &[u8]) {
        let mut bytes = [0; HEADER];
        header.write_to(&mut bytes);
        self.buffer.extend_from_slice(&bytes);
        self.buffer.extend_from_slice(message);
    }

    /// Sends what was added.
    pub async fn send(&mut self) -> Result<(), Ending> {
        self.write_added().await?;
        self.flush().await
    }

    /// Sends one frame with a payload.
    pub async fn send_payload(&mut self, flags: Flags, message: &[u8], payload: &[u8]) -> Result<(), Ending> {
        let header = FrameHeader::new(flags, message.len(), payload)?;
        self.add_headed(&header, message);
        self.write_added().await?;
        self.write(payload).await?;
        self.flush().await
    }

    /// A heartbeat: an empty frame.
    pub async fn beat(&mut self) -> Result<(), Ending> {
        self.add(&[])?;
        self.send().await
    }

    /// Tells the other side that nothing more comes.
    pub async fn shutdown(&mut self) -> Result<(), Ending> {
        let stalled = Ending::Stalled(self.patience);
        Ok(timeout(self.patience, self.inner.shutdown()).await.map_err(|_| stalled)??)
    }

    async fn write_added(&mut self) -> Result<(), Ending> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer).await?;
        if buffer.capacity() <= FIRST_STEP {
            buffer.clear();
            self.buffer = buffer;
        }
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Ending> {
        while !bytes.is_empty() {
            let step = &bytes[..bytes.len().min(WRITE_STEP)];
            let written = timeout(self.patience, self.inner.write(step)).await;
            match written.map_err(|_| Ending::Stalled(self.patience))?? {
                0 => return Err(Ending::Closed),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Ending> {
        let flushed = timeout(self.patience, self.inner.flush()).await;
        Ok(flushed.map_err(|_| Ending::Stalled(self.patience))??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, for_seeds};
    use tokio::io::BufWriter;
    use tokio::runtime::Builder;

    const NO_HURRY: Duration = Duration::from_secs(3600);

    fn now<T>(future: impl Future<Output = T>) -> T {
        Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    fn head(header: &FrameHeader) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        header.write_to(&mut bytes);
        bytes
    }

    #[test]
    fn a_payload_that_is_compressed_is_refused_where_none_may_be() {
        for flags in [Flags::ZSTD, Flags::SHUFFLED, Flags::ZSTD.with(Flags::SHUFFLED)] {
            let bytes = head(&FrameHeader::new(flags, 5, b"abc").unwrap());
            let read = now(FrameReader::new(&bytes[..], NO_HURRY).header());
            assert_eq!(read, Err(Ending::Protocol(COMPRESSED)), "{flags:?}");
            let read = now(FrameReader::new(&bytes[..], NO_HURRY).header_with_flags());
            assert_eq!(read.map(|header| header.flags), Ok(flags));
        }
    }

    #[test]
    fn a_peer_that_is_gone_has_closed_however_the_system_says_it() {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
        for kind in [BrokenPipe, ConnectionReset, UnexpectedEof] {
            assert_eq!(Ending::from(io::Error::from(kind)), Ending::Closed, "{kind:?}");
        }
        assert!(matches!(Ending::from(io::Error::from(NotConnected)), Ending::Failed(_)));
    }

    #[test]
    fn what_is_sent_leaves_every_buffer_and_only_a_small_one_is_kept() {
        let mut writer = FrameWriter::new(BufWriter::new(Vec::new()), NO_HURRY);
        let mut sent = 0;
        for len in [1, 4 * FIRST_STEP] {
            writer.add(&vec![7; len]).unwrap();
            now(writer.send()).unwrap();
            sent += HEADER + len;
            assert_eq!(writer.inner.get_ref().len(), sent);
            assert_eq!(writer.buffer.capacity() > 0, len == 1, "{len} bytes");
        }
        now(writer.send_payload(Flags::NONE, b"message", b"payload")).unwrap();
        assert_eq!(writer.inner.get_ref().len(), sent + HEADER + 14);
    }

    /// A header that claims anything, with fewer or more bytes behind it, and now and then a bit that is wrong.
    fn any_stream(random: &mut Random) -> Vec<u8> {
        let message_len = random.between(1.0, 2e5) as u32;
        let payload_len = random.next() >> random.below(64).max(1);
        let header =
            FrameHeader { flags: Flags::NONE, message_len, payload_len, payload_checksum: random.next() };
        let mut bytes = head(&header).to_vec();
        if random.below(4) == 0 {
            bytes[random.below(HEADER as u64) as usize] ^= 1 << random.below(8);
        }
        bytes.resize(random.between(1.0, 2e5) as usize, 7);
        bytes
    }

    /// What one costs that never comes is counted in `tests/memory.rs`.
    #[test]
    fn any_bytes_are_a_message_of_bounded_length_or_an_ending() {
        for_seeds(300, |random| {
            let bytes = any_stream(random);
            let most = random.between(1.0, 2e5) as u32;
            let came = bytes.len().saturating_sub(HEADER);
            let mut reader = FrameReader::new(&bytes[..], NO_HURRY);
            let read = now(async {
                let header = reader.header().await?;
                let message = reader.message(&header, most).await?;
                Ok::<_, Ending>((header, message))
            });
            match read {
                Ok((header, message)) => {
                    assert_eq!(message.len(), header.message_len as usize);
                    assert!(message.len() <= came.min(most as usize));
                }
                Err(Ending::Closed | Ending::Protocol(_) | Ending::Frame(_)) => {}
                Err(other) => panic!("{other}"),
            }
        });
    }
}
