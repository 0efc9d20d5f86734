//! Gives blocks to others.

use crate::blocks::{Blocks, Kind, LONGEST_REQUEST, Payload, ReadAt, Reply, Request};
use crate::codec::PIECE;
use crate::coding::{Coder, Travel};
use crate::frame::Flags;
use crate::framed::{Ending, FrameReader, FrameWriter};
use crate::handshake::Met;
use crate::hello::shown;
use crate::limits::{
    LONGEST_LOOK, PART, PULLS_IN_FLIGHT, STORED_AT_ONCE, STORED_PER_CONNECTION, WAITING_PER_CONNECTION, beat,
};
use crate::stream::Stream;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

/// Gives the blocks of this process to whoever asks.
pub(crate) struct BlockServer {
    blocks: Arc<dyn Blocks>,
    /// Each stored block that is being sent has a buffer.
    buffers: Arc<Semaphore>,
    coder: Coder,
    /// See [`crate::limits::Limits`].
    longest_wait: Duration,
}

/// A block that is wanted, and what it is wanted as.
struct Wish {
    number: u32,
    array: Option<u64>,
    /// See [`Request`].
    pace: u32,
}

/// Those who answer share it, and take turns after each part.
type Writer = Arc<Mutex<FrameWriter<WriteHalf<Stream>>>>;

/// What the answers on one connection share.
#[derive(Clone)]
struct Way {
    writer: Writer,
    /// Stored blocks that may be sent over it at once.
    stored: Arc<Semaphore>,
    /// Blocks wanted over it that may be on their way to this process.
    waiting: Arc<Semaphore>,
}

impl BlockServer {
    pub fn new(blocks: Arc<dyn Blocks>, longest_wait: Duration) -> BlockServer {
        let buffers = Arc::new(Semaphore::new(STORED_AT_ONCE));
        BlockServer { blocks, buffers, coder: Coder::default(), longest_wait }
    }

    /// Answers until the connection ends.
    pub async fn serve(self: Arc<Self>, met: Met) -> Ending {
        let Met { mut stream, lost_after, .. } = met;
        if let Err(error) = stream.move_here() {
            return error.into();
        }
        let (reader, writer) = tokio::io::split(stream);
        let writer: Writer = Arc::new(Mutex::new(FrameWriter::new(writer, lost_after)));
        let way = Way {
            writer: writer.clone(),
            stored: Arc::new(Semaphore::new(STORED_PER_CONNECTION)),
            waiting: Arc::new(Semaphore::new(WAITING_PER_CONNECTION)),
        };
        let (failed, mut failures) = mpsc::channel(PULLS_IN_FLIGHT);
        let reader = FrameReader::new(reader, lost_after);
        tokio::select! {
            why = self.answer(reader, way, failed) => why,
            why = beats(&writer, lost_after) => why,
            Some(why) = failures.recv() => why,
        }
    }

    async fn answer(
        self: &Arc<Self>,
        mut reader: FrameReader<ReadHalf<Stream>>,
        way: Way,
        failed: mpsc::Sender<Ending>,
    ) -> Ending {
        let under_way = Arc::new(Semaphore::new(PULLS_IN_FLIGHT));
        // Those who answer end with this.
        let mut answers = JoinSet::new();
        loop {
            let request = match next_request(&mut reader).await {
                Ok(Some(request)) => request,
                Ok(None) => continue,
                Err(why) => return why,
            };
            let Ok(place) = under_way.clone().acquire_owned().await else { return Ending::ClosedHere };
            while answers.try_join_next().is_some() {}
            let server = self.clone();
            let way = way.clone();
            let failed = failed.clone();
            answers.spawn(async move {
                if let Err(why) = server.give_or_fail(&way, request, place).await {
                    // One reason is enough.
                    let _ = failed.try_send(why);
                }
            });
        }
    }

    /// Gives a block, or says why it does not come. A panic costs this block only.
    async fn give_or_fail(
        &self,
        way: &Way,
        request: Request,
        place: OwnedSemaphorePermit,
    ) -> Result<(), Ending> {
        let number = request.number;
        match unless_it_panics(self.give(way, request, place)).await {
            Some(given) => given,
            None => refuse(&way.writer, number, "a panic while the block was looked for or sent").await,
        }
    }

    /// `place` is one of those under way. It is given up while the block is still on its way here.
    async fn give(&self, way: &Way, request: Request, place: OwnedSemaphorePermit) -> Result<(), Ending> {
        let writer = &way.writer;
        let Request { number, len, pace, key } = request;
        let wish = Wish { number, array: self.blocks.array(&key), pace };
        let mut finding = self.blocks.find(key);
        let mut _place = place;
        let found = match timeout(LONGEST_LOOK, &mut finding).await {
            Ok(found) => found,
            Err(_) => {
                let Ok(waits) = way.waiting.clone().try_acquire_owned() else {
                    return refuse(writer, number, "too many blocks are waited for here").await;
                };
                tell(writer, &Reply { number, kind: Kind::Waits }).await?;
                // Others may come first.
                _place = waits;
                let seconds = self.longest_wait.as_secs();
                let late = || Err(format!("it has not come here for {seconds} s"));
                timeout(self.longest_wait, finding).await.unwrap_or_else(|_| late())
            }
        };
        match found {
            Err(reason) => refuse(writer, number, &reason).await,
            Ok(payload) if payload.len() != len => {
                let reason = format!("it has {} bytes, not the {len} that were asked for", payload.len());
                refuse(writer, number, &reason).await
            }
            Ok(Payload::Memory(bytes)) => self.give_memory(writer, &wish, (*bytes).as_ref()).await,
            Ok(Payload::Stored { len, source }) => {
                // In this order: whoever waits for its own connection keeps nothing from others.
                let Ok(_turn) = way.stored.acquire().await else { return Ok(()) };
                let Ok(_buffer) = self.buffers.acquire().await else { return Ok(()) };
                self.give_stored(writer, &wish, len, source).await
            }
        }
    }

    async fn give_memory(&self, writer: &Writer, wish: &Wish, bytes: &[u8]) -> Result<(), Ending> {
        let mut travel = self.coder.begin(wish.array, wish.pace, bytes);
        let (parts, last) = bytes.split_at(bytes.len().saturating_sub(1) / PART * PART);
        for part in parts.chunks(PART) {
            give_part(writer, wish.number, Kind::Part, part, &mut travel).await?;
        }
        give_part(writer, wish.number, Kind::Last, last, &mut travel).await?;
        travel.end();
        Ok(())
    }

    async fn give_stored(
        &self,
        writer: &Writer,
        wish: &Wish,
        len: u64,
        mut source: Box<dyn ReadAt>,
    ) -> Result<(), Ending> {
        let number = wish.number;
        let mut buffer = Vec::new();
        let mut offset = 0;
        let mut travel = None;
        loop {
            let bytes = usize::try_from(len - offset).map_or(PART, |left| left.min(PART));
            buffer.resize(bytes, 0);
            let read = spawn_blocking(move || {
                let read = source.read_at(offset, &mut buffer);
                (source, buffer, read)
            });
            let read = match read.await {
                Ok((same, filled, read)) => {
                    source = same;
                    buffer = filled;
                    read.map_err(|error| error.to_string())
                }
                Err(panic) => return refuse(writer, number, &panic.to_string()).await,
            };
            if let Err(reason) = read {
                return refuse(writer, number, &reason).await;
            }
            offset += bytes as u64;
            let travel = travel.get_or_insert_with(|| self.coder.begin(wish.array, wish.pace, &buffer));
            if offset < len {
                give_part(writer, number, Kind::Part, &buffer, travel).await?;
                continue;
            }
            give_part(writer, number, Kind::Last, &buffer, travel).await?;
            break;
        }
        travel.into_iter().for_each(Travel::end);
        Ok(())
    }
}

/// The next request, or nothing for a heartbeat.
async fn next_request(reader: &mut FrameReader<ReadHalf<Stream>>) -> Result<Option<Request>, Ending> {
    let header = reader.header().await?;
    if header.payload_len != 0 {
        return Err(Ending::Protocol("a payload in a request"));
    }
    if header.message_len == 0 {
        return Ok(None);
    }
    let message = reader.message(&header, LONGEST_REQUEST).await?;
    Request::decode(&message).map(Some).ok_or(Ending::Protocol("a request that is too short"))
}

/// What becomes of it, if it does not panic.
async fn unless_it_panics<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

async fn beats(writer: &Writer, lost_after: Duration) -> Ending {
    loop {
        tokio::time::sleep(beat(lost_after)).await;
        if let Err(why) = writer.lock().await.beat().await {
            return why;
        }
    }
}

async fn give_part(
    writer: &Writer,
    number: u32,
    kind: Kind,
    part: &[u8],
    travel: &mut Travel<'_>,
) -> Result<(), Ending> {
    if !travel.is_compressed() {
        return writer.lock().await.send_payload(Flags::NONE, &Reply { number, kind }.encode(), part).await;
    }
    let pieces = part.len().div_ceil(PIECE);
    for (at, piece) in part.chunks(PIECE).enumerate() {
        let kind = if at + 1 == pieces { kind.clone() } else { Kind::Part };
        let message = Reply { number, kind }.encode();
        // It comes first: of all that wait for it just one has a compressed piece.
        let mut writer = writer.lock().await;
        let coded = travel.compress(piece);
        let (flags, bytes) =
            coded.as_ref().map_or((Flags::NONE, piece), |coded| (coded.flags, &coded.bytes[..]));
        writer.send_payload(flags, &message, bytes).await?;
    }
    Ok(())
}

async fn refuse(writer: &Writer, number: u32, reason: &str) -> Result<(), Ending> {
    tell(writer, &Reply { number, kind: Kind::Failed(shown(reason)) }).await
}

/// A reply without bytes.
async fn tell(writer: &Writer, reply: &Reply) -> Result<(), Ending> {
    let mut writer = writer.lock().await;
    writer.add(&reply.encode())?;
    writer.send().await
}
