//! Gets blocks from others. Each of them has one connection, opened when it is first needed; what is wanted goes into
//! buffers that the caller has taken, so nobody can make this process allocate.

use crate::blocks::{Kind, LONGEST_REPLY, Reply, Request};
use crate::codec::PIECE;
use crate::coding::decompress;
use crate::frame::{Flags, FrameError, FrameHeader};
use crate::framed::{Ending, FrameReader, FrameWriter};
use crate::handshake::{Door, Met, Wanted};
use crate::hello::Purpose;
use crate::life::Life;
use crate::limits::{LONGEST_KEY, PART, PULLS_IN_FLIGHT, beat};
use crate::pace::Pace;
use crate::role::Role;
use crate::stream::Stream;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, ReadHalf, WriteHalf};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// A timer that fires more often would only cost.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

const NOT_COMPRESSED: &str = "a compressed part that is none";

/// Who has a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Where it listens.
    pub address: SocketAddr,
    /// Worker or client.
    pub role: Role,
    /// Its life: another process at the same address is refused.
    pub life: Life,
}

/// Why a block did not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// The holder gives its reason.
    #[error("the holder has it not: {0}")]
    Refused(String),
    /// It was damaged on its way.
    #[error(transparent)]
    Damaged(FrameError),
    /// A compressed part that is none, or stands for more or fewer bytes than it should.
    #[error("a compressed part of it cannot be read")]
    Undecodable,
    /// It ended early.
    #[error("{got} bytes came, not {len}")]
    Short {
        /// Bytes that came.
        got: usize,
        /// Bytes of the buffer.
        len: usize,
    },
    /// No connection.
    #[error("{0}")]
    Unreachable(String),
    /// The connection ended.
    #[error("the connection to the holder ended: {0}")]
    Lost(Ending),
    /// A key longer than [`LONGEST_KEY`].
    #[error("a key of {0} bytes, more than the {LONGEST_KEY} allowed")]
    KeyTooLong(usize),
}

/// A block that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// When its first bytes came, if its holder had to wait for it.
    pub since: Option<Instant>,
    /// Bytes of it that went over the wire: fewer than it has if it came compressed.
    pub wire_bytes: u64,
}

/// A buffer that waits for its bytes, and who is to be told. Told once, whatever happens.
struct Pull {
    key: Vec<u8>,
    wait: Option<Box<dyn Wait>>,
    got: usize,
    wire_bytes: u64,
    damaged: Option<PullError>,
    /// It is on its way to its holder, or was, and takes no place.
    waits: bool,
    /// When its first bytes came, if it was waited for.
    since: Option<Instant>,
}

/// A buffer of some type and what happens to it.
trait Wait: Send {
    fn bytes(&mut self) -> &mut [u8];
    fn done(self: Box<Self>, result: Result<Came, PullError>);
}

struct Filling<B, F> {
    buffer: B,
    done: F,
}

impl<B, F> Wait for Filling<B, F>
where
    B: AsMut<[u8]> + Send,
    F: FnOnce(B, Result<Came, PullError>) + Send,
{
    fn bytes(&mut self) -> &mut [u8] {
        self.buffer.as_mut()
    }

    fn done(self: Box<Self>, result: Result<Came, PullError>) {
        (self.done)(self.buffer, result);
    }
}

impl Pull {
    fn new(key: &[u8], wait: impl Wait + 'static) -> Pull {
        Pull {
            key: key.to_vec(),
            wait: Some(Box::new(wait)),
            got: 0,
            wire_bytes: 0,
            damaged: None,
            waits: false,
            since: None,
        }
    }

    fn len(&mut self) -> usize {
        self.wait.as_mut().map_or(0, |wait| wait.bytes().len())
    }

    /// The next `len` bytes of the buffer, or none if it has not so many left.
    fn next_bytes(&mut self, len: u64) -> Option<&mut [u8]> {
        let got = self.got;
        let left = self.wait.as_mut()?.bytes().get_mut(got..)?;
        left.get_mut(..usize::try_from(len).ok()?)
    }

    /// Takes the rest of a frame of the answer. Returns how the pull ended, if it has.
    async fn take(
        &mut self,
        reader: &mut FrameReader<impl AsyncRead + Unpin>,
        header: &FrameHeader,
        kind: Kind,
        pace: &Mutex<Pace>,
    ) -> Result<Option<Result<Came, PullError>>, Ending> {
        if header.flags != Flags::NONE && !matches!(kind, Kind::Part | Kind::Last) {
            return Err(Ending::Protocol(NOT_COMPRESSED));
        }
        if let Kind::Failed(reason) = kind {
            return match header.payload_len {
                0 => Ok(Some(Err(PullError::Refused(reason)))),
                _ => Err(Ending::Protocol("bytes of a block that failed")),
            };
        }
        if kind == Kind::Waits {
            let is_first = !std::mem::replace(&mut self.waits, true) && self.got == 0;
            return match header.payload_len {
                0 if is_first => Ok(None),
                _ => Err(Ending::Protocol("a block is waited for that is there")),
            };
        }
        if self.waits {
            self.since.get_or_insert_with(Instant::now);
        }
        let damaged = match header.flags == Flags::NONE {
            true => self.fill(reader, header, pace).await?,
            false => self.fill_from_compressed(reader, header, pace).await?,
        };
        // The stream is still in step: only this block is lost, once all of it has come.
        self.damaged = self.damaged.take().or(damaged);
        self.wire_bytes += header.payload_len;
        Ok((kind == Kind::Last).then(|| self.result()))
    }

    /// Takes the next bytes of the block as they are. Says if they are not what was sent.
    async fn fill(
        &mut self,
        reader: &mut FrameReader<impl AsyncRead + Unpin>,
        header: &FrameHeader,
        pace: &Mutex<Pace>,
    ) -> Result<Option<PullError>, Ending> {
        let bytes = self.next_bytes(header.payload_len);
        let bytes = bytes.ok_or(Ending::Protocol("more bytes than the block has"))?;
        fill_measured(reader, bytes, pace).await?;
        let taken = bytes.len();
        let damaged = header.verify(bytes).err().map(PullError::Damaged);
        self.got += taken;
        Ok(damaged)
    }

    /// Takes a compressed part, which stands for as many bytes as a piece has, or for all that are left. No more than
    /// these are ever written, and what comes is shorter.
    async fn fill_from_compressed(
        &mut self,
        reader: &mut FrameReader<impl AsyncRead + Unpin>,
        header: &FrameHeader,
        pace: &Mutex<Pace>,
    ) -> Result<Option<PullError>, Ending> {
        let stands_for = self.len().saturating_sub(self.got).min(PIECE);
        let is_shorter = header.payload_len > 0 && header.payload_len < stands_for as u64;
        if !is_shorter || !header.flags.contains(Flags::ZSTD) {
            return Err(Ending::Protocol(NOT_COMPRESSED));
        }
        let mut body = vec![0; header.payload_len as usize];
        fill_measured(reader, &mut body, pace).await?;
        let piece = self.next_bytes(stands_for as u64).ok_or(Ending::ClosedHere)?;
        let damaged = match header.verify(&body) {
            Err(error) => Some(PullError::Damaged(error)),
            Ok(()) if decompress(header.flags, &body, piece) => None,
            Ok(()) => Some(PullError::Undecodable),
        };
        self.got += stands_for;
        Ok(damaged)
    }

    /// After the last part.
    fn result(&mut self) -> Result<Came, PullError> {
        let got = self.got;
        let len = self.len();
        match self.damaged.take() {
            Some(error) => Err(error),
            None if got < len => Err(PullError::Short { got, len }),
            None => Ok(Came { since: self.since, wire_bytes: self.wire_bytes }),
        }
    }

    fn finish(mut self, result: Result<Came, PullError>) {
        if let Some(wait) = self.wait.take() {
            wait.done(result);
        }
    }
}

/// Fills `bytes` to the end, and learns how long that takes.
async fn fill_measured(
    reader: &mut FrameReader<impl AsyncRead + Unpin>,
    bytes: &mut [u8],
    pace: &Mutex<Pace>,
) -> Result<(), Ending> {
    let began = Instant::now();
    reader.fill(bytes).await?;
    let seconds = began.elapsed().as_secs_f64();
    pace.lock().unwrap_or_else(PoisonError::into_inner).measure(bytes.len() as u64, seconds);
    Ok(())
}

impl Drop for Pull {
    /// Whatever ended the connection while this one was at work.
    fn drop(&mut self) {
        if let Some(wait) = self.wait.take() {
            wait.done(Err(PullError::Lost(Ending::ClosedHere)));
        }
    }
}

/// All connections for blocks that this process has opened.
pub(crate) struct Links {
    door: Arc<Door>,
    runtime: Handle,
    open: Mutex<HashMap<Holder, mpsc::UnboundedSender<Pull>>>,
}

impl Links {
    pub fn new(door: Arc<Door>, runtime: Handle) -> Arc<Links> {
        Arc::new(Links { door, runtime, open: Mutex::default() })
    }

    /// Fills `buffer` with the block of this key, which must be as long, and then calls `done`.
    pub fn pull<B, F>(self: &Arc<Self>, holder: Holder, key: &[u8], buffer: B, done: F)
    where
        B: AsMut<[u8]> + Send + 'static,
        F: FnOnce(B, Result<Came, PullError>) + Send + 'static,
    {
        if key.len() > LONGEST_KEY {
            return done(buffer, Err(PullError::KeyTooLong(key.len())));
        }
        self.submit(holder, Pull::new(key, Filling { buffer, done }));
    }

    fn submit(self: &Arc<Self>, holder: Holder, pull: Pull) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let pull = match open.get(&holder) {
            None => pull,
            Some(link) => match link.send(pull) {
                Ok(()) => return,
                Err(mpsc::error::SendError(pull)) => pull,
            },
        };
        let (link, wanted) = mpsc::unbounded_channel();
        // The receiver is just below.
        let _ = link.send(pull);
        open.insert(holder, link);
        drop(open);
        self.runtime.spawn(self.clone().run(holder, wanted));
    }

    /// Closes the connection to a holder that is known to be gone. What was wanted from it fails.
    pub fn forget(&self, holder: &Holder) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(holder);
    }

    async fn run(self: Arc<Self>, holder: Holder, mut wanted: mpsc::UnboundedReceiver<Pull>) {
        let result = self.drive(holder, &mut wanted).await;
        wanted.close();
        while let Ok(pull) = wanted.try_recv() {
            match &result {
                Err(error) => pull.finish(Err(error.clone())),
                // It came just as nobody seemed to want anything.
                Ok(()) => self.submit(holder, pull),
            }
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&holder).is_some_and(mpsc::UnboundedSender::is_closed) {
            open.remove(&holder);
        }
    }

    /// Gets what is wanted until nothing is for a while.
    async fn drive(
        &self,
        holder: Holder,
        wanted: &mut mpsc::UnboundedReceiver<Pull>,
    ) -> Result<(), PullError> {
        let Holder { address, role, life } = holder;
        let whom = Wanted { address, role, life: Some(life), purpose: Purpose::Blocks };
        let met = match self.door.meet(&whom).await {
            Ok(met) => met,
            Err(error) => return Err(PullError::Unreachable(error.to_string())),
        };
        let Met { mut stream, lost_after, .. } = met;
        stream.move_here().map_err(|error| PullError::Lost(error.into()))?;
        let (reader, writer) = tokio::io::split(stream);
        let link = Link::new(self.door.limits.idle_after);
        let why = tokio::select! {
            result = link.ask(FrameWriter::new(writer, lost_after), wanted, lost_after) => match result {
                Ok(()) => return Ok(()),
                Err(why) => why,
            },
            why = link.take(FrameReader::new(reader, lost_after)) => why,
        };
        let error = PullError::Lost(why);
        let asked = std::mem::take(&mut *link.asked());
        for pull in asked.into_values() {
            pull.finish(Err(error.clone()));
        }
        Err(error)
    }
}

/// One connection for blocks.
struct Link {
    /// Asked for, but for the one that is being filled at this moment.
    asked: Mutex<HashMap<u32, Pull>>,
    /// Asked for and not ended.
    unfinished: AtomicUsize,
    /// Places for blocks that are under way, but for those that are on their way to their holder.
    places: Semaphore,
    /// How fast its bytes come.
    pace: Mutex<Pace>,
    idle_after: Duration,
}

impl Link {
    fn new(idle_after: Duration) -> Link {
        let (asked, pace) = (Mutex::default(), Mutex::default());
        let (places, unfinished) = (Semaphore::new(PULLS_IN_FLIGHT), AtomicUsize::new(0));
        Link { asked, unfinished, places, pace, idle_after }
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Pull>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, number: u32, pull: Pull) {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.asked().insert(number, pull);
    }

    /// Asks for what is wanted and says that it is there, until nothing is wanted for a while.
    async fn ask(
        &self,
        mut writer: FrameWriter<WriteHalf<Stream>>,
        wanted: &mut mpsc::UnboundedReceiver<Pull>,
        lost_after: Duration,
    ) -> Result<(), Ending> {
        let mut number = 0u32;
        let mut next_beat = Instant::now() + beat(lost_after);
        let mut last_busy = Instant::now();
        loop {
            let now = Instant::now();
            if number == 0 || self.unfinished.load(Ordering::Relaxed) > 0 {
                last_busy = now;
            } else if now - last_busy >= self.idle_after {
                return Ok(());
            }
            if next_beat <= now {
                next_beat = now + beat(lost_after);
                writer.beat().await?;
            }
            let wait = (next_beat - now).min(self.idle_after.max(SHORTEST_WAIT));
            let pull = match timeout(wait, self.next(wanted)).await {
                Err(_) => continue,
                Ok(None) => return Err(Ending::ClosedHere),
                Ok(Some(pull)) => pull,
            };
            number = number.wrapping_add(1);
            self.request(&mut writer, number, pull).await?;
        }
    }

    /// The next one that is wanted, with a place for it.
    async fn next(&self, wanted: &mut mpsc::UnboundedReceiver<Pull>) -> Option<Pull> {
        let place = self.places.acquire().await.ok()?;
        let pull = wanted.recv().await?;
        // Given back by `take_frame` when it has come, or is waited for.
        place.forget();
        Some(pull)
    }

    async fn request(
        &self,
        writer: &mut FrameWriter<WriteHalf<Stream>>,
        number: u32,
        mut pull: Pull,
    ) -> Result<(), Ending> {
        let pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner).of_request();
        let request = Request { number, len: pull.len() as u64, pace, key: std::mem::take(&mut pull.key) };
        self.begin(number, pull);
        writer.add(&request.encode())?;
        writer.send().await
    }

    /// Takes what comes.
    async fn take(&self, mut reader: FrameReader<ReadHalf<Stream>>) -> Ending {
        loop {
            if let Err(why) = self.take_frame(&mut reader).await {
                return why;
            }
        }
    }

    async fn take_frame(&self, reader: &mut FrameReader<impl AsyncRead + Unpin>) -> Result<(), Ending> {
        let header = reader.header_with_flags().await?;
        if header.message_len == 0 && header.payload_len == 0 && header.flags == Flags::NONE {
            return Ok(());
        }
        if header.payload_len > PART as u64 {
            return Err(Ending::Protocol("a part that is too long"));
        }
        let message = reader.message(&header, LONGEST_REPLY).await?;
        let reply = Reply::decode(&message).ok_or(Ending::Protocol("an answer that cannot be read"))?;
        let pull = self.asked().remove(&reply.number);
        let mut pull = pull.ok_or(Ending::Protocol("a block that nobody asked for"))?;
        let had_place = !pull.waits;
        let taken = pull.take(reader, &header, reply.kind, &self.pace).await;
        if had_place && (pull.waits || matches!(taken, Ok(Some(_)))) {
            self.places.add_permits(1);
        }
        if let Ok(Some(result)) = taken {
            self.unfinished.fetch_sub(1, Ordering::Relaxed);
            pull.finish(result);
            return Ok(());
        }
        // It goes on, or is told with all others that the connection has ended.
        self.asked().insert(reply.number, pull);
        taken.map(drop)
    }
}

/// Takes what comes for request 1, which is for a block of so many bytes.
#[cfg(any(test, fuzzing))]
pub(crate) async fn take_all(len: usize, bytes: &[u8]) {
    let link = Link::new(Duration::ZERO);
    link.begin(1, Pull::new(&[], Filling { buffer: vec![0; len], done: |_: Vec<u8>, _| {} }));
    let mut reader = FrameReader::new(bytes, Duration::from_secs(60));
    while link.take_frame(&mut reader).await.is_ok() {}
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
