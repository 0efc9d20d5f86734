//! Several requests in flight for one task: its bytes are cut into pieces, which a few threads move.

use super::depth::{Active, Depth};
use super::device::{Device, PAGE, aligned, scratch_for};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Blocks of fewer bytes are moved by one thread: starting others would take as long.
pub const WORTH_THREADS: u64 = 256 << 10;
/// Bytes of a request: with fewer than the least a device is slow, more than the most make it no faster. Whole pages.
const LEAST: u64 = 64 << 10;
const MOST: u64 = 512 << 10;
/// Pieces of scratch for a block: as many requests can be in flight for it.
const PIECES: u64 = 16;

/// How the scratch of a block is cut: one piece for each request in flight. Together the pieces are as long as the
/// block at the most, but for two pages each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pieces {
    count: u64,
    /// Bytes that a piece can take wherever they begin in their page.
    room: u64,
}

impl Pieces {
    /// For a block of so many bytes in the file.
    pub fn of_block(bytes: u64) -> Pieces {
        let room = (bytes / PIECES / PAGE as u64 * PAGE as u64).clamp(LEAST, MOST).min(bytes);
        Pieces { count: (bytes / room.max(1)).clamp(1, PIECES), room }
    }

    /// Bytes of scratch for all of them. Small blocks go through the page cache and need no pages around them.
    pub fn scratch_len(self) -> u64 {
        if self.room < LEAST { self.room } else { self.count * scratch_for(self.room) + PAGE as u64 }
    }

    /// Bytes that one request may have.
    pub fn room(self) -> usize {
        self.room as usize
    }

    /// The pieces of a scratch: fewer if it is shorter than announced, one at least.
    fn cut(self, scratch: &mut [u8]) -> Vec<&mut [u8]> {
        let len = scratch_for(self.room) as usize;
        if scratch.len() < len + PAGE {
            return vec![scratch];
        }
        aligned(scratch).chunks_exact_mut(len).take(self.count as usize).collect()
    }
}

/// Does all `jobs`, as many at once as there are pieces and threads and as `depth` has to share. Each gets a piece of
/// `scratch` and returns the bytes that it moved; the first error ends it all. The threads are kept.
pub fn in_flight<J: Send>(
    jobs: impl Iterator<Item = J> + Send,
    pieces: Pieces,
    scratch: &mut [u8],
    depth: &Depth,
    work: impl Fn(J, &mut [u8]) -> io::Result<u64> + Sync,
) -> io::Result<u64> {
    let active = depth.enter();
    let share = active.share();
    let crew = Crew {
        jobs: Mutex::new(jobs),
        work,
        active,
        failed: AtomicBool::new(false),
        total: Mutex::new(Ok(0)),
    };
    let mut pieces = pieces.cut(scratch);
    pieces.truncate(share);
    let Some(own) = pieces.pop() else { return Ok(0) };
    if pieces.is_empty() {
        crew.toil(0, own);
    } else {
        let hands = pieces.len();
        let pieces = Mutex::new(pieces);
        let work = |number| {
            let piece = pieces.lock().unwrap_or_else(PoisonError::into_inner).pop();
            crew.toil(number, piece.expect("there is one for each that helps"));
        };
        depth.threads().help(hands, &work, || crew.toil(0, own));
    }
    crew.total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Threads at work on the same jobs.
struct Crew<'d, I, W> {
    jobs: Mutex<I>,
    work: W,
    active: Active<'d>,
    failed: AtomicBool,
    /// Bytes moved, or the first error.
    total: Mutex<io::Result<u64>>,
}

impl<J, I: Iterator<Item = J>, W: Fn(J, &mut [u8]) -> io::Result<u64>> Crew<'_, I, W> {
    /// Does jobs until none is left; all but the first thread also end when other tasks want their share of the device.
    fn toil(&self, number: usize, piece: &mut [u8]) {
        while !self.failed.load(Ordering::Relaxed) && (number == 0 || number < self.active.share()) {
            let next = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(job) = next else { break };
            let request = self.active.request();
            let moved = (self.work)(job, piece);
            drop(request);
            self.count(moved);
        }
    }

    fn count(&self, moved: io::Result<u64>) {
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        match moved {
            Ok(bytes) => {
                self.active.moved(bytes);
                if let Ok(total) = &mut *total {
                    *total += bytes;
                }
            }
            Err(error) => {
                self.failed.store(true, Ordering::Relaxed);
                if total.is_ok() {
                    *total = Err(error);
                }
            }
        }
    }
}

impl Device {
    /// Fills `out` with the bytes at `offset`, several requests at a time. `scratch` is as long as
    /// [`Pieces::scratch_len`] says for as many bytes; with less it is done in fewer requests at a time.
    pub fn read_span(
        &self,
        offset: u64,
        out: &mut [u8],
        scratch: &mut [u8],
        depth: &Depth,
    ) -> io::Result<u64> {
        let total = out.len() as u64;
        if total < WORTH_THREADS || self.is_cached(offset, total) {
            return self.read_at(offset, out, scratch).map(|()| total);
        }
        let pieces = Pieces::of_block(total);
        // The others begin at pages then.
        let (head, rest) = out.split_at_mut(head_of(offset, pieces.room()).min(total as usize));
        let begin = offset + head.len() as u64;
        let jobs = std::iter::once((offset, head))
            .chain((begin..).step_by(pieces.room()).zip(rest.chunks_mut(pieces.room())));
        in_flight(jobs, pieces, scratch, depth, |(at, out), piece| {
            self.read_at(at, out, piece).map(|()| out.len() as u64)
        })
    }

    /// Writes `bytes` at `offset`, several requests at a time, with scratch as for [`Device::read_span`]. Spans that
    /// are written at the same time may share pages, but no bytes.
    pub fn write_span(
        &self,
        offset: u64,
        bytes: &[u8],
        scratch: &mut [u8],
        depth: &Depth,
    ) -> io::Result<u64> {
        let total = bytes.len() as u64;
        if total < WORTH_THREADS || !self.is_direct() {
            return self.write_at(offset, bytes, scratch).map(|()| total);
        }
        let pieces = Pieces::of_block(total);
        let (head, rest) = bytes.split_at(head_of(offset, pieces.room()).min(bytes.len()));
        let begin = offset + head.len() as u64;
        let jobs = std::iter::once((offset, head))
            .chain((begin..).step_by(pieces.room()).zip(rest.chunks(pieces.room())));
        in_flight(jobs, pieces, scratch, depth, |(at, bytes), piece| {
            self.write_at(at, bytes, piece).map(|()| bytes.len() as u64)
        })
    }

    /// Writes `lines` of `segment` bytes each, the first at `offset` and each `stride` bytes after the one before, as
    /// [`Device::write_span`] writes one.
    pub fn write_lines(
        &self,
        offset: u64,
        stride: u64,
        lines: &[u8],
        segment: usize,
        scratch: &mut [u8],
        depth: &Depth,
    ) -> io::Result<u64> {
        if segment == 0 {
            return Ok(0);
        }
        let pieces = Pieces::of_block(lines.len() as u64);
        let together = (pieces.room() / segment).max(1);
        let mut groups = (offset..).step_by(stride as usize * together).zip(lines.chunks(together * segment));
        let write = |(at, group): (u64, &[u8]), piece: &mut [u8]| {
            let mut each = (at..).step_by(stride as usize).zip(group.chunks_exact(segment));
            each.try_for_each(|(at, line)| self.write_at(at, line, piece)).map(|()| group.len() as u64)
        };
        // Writers through the page cache would wait for each other.
        if (lines.len() as u64) < WORTH_THREADS || !self.is_direct() {
            groups.try_fold(0, |sum, group| Ok(sum + write(group, scratch)?))
        } else {
            in_flight(groups, pieces, scratch, depth, write)
        }
    }
}

/// Bytes of a first piece after which the others begin at pages.
fn head_of(offset: u64, room: usize) -> usize {
    room - (offset % PAGE as u64) as usize
}
