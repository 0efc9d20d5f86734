//! A block's bytes to a file and back, through a scratch of fixed size, with direct I/O where the file system takes it.
//!
//! All transfers begin and end at multiples of a page, in the file and in memory, so that one path serves both kinds
//! of I/O; the last page is filled with zeros, which are checked when they are read.

use super::spill_header::HEADER;
use crate::files::disk::{Device, PAGE, is_whole_pages};
use cluster::codec::{Codec, CodecError, Encoding, FRAME_HEADER, PIECE, body_len};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::Xxh3;

/// Bytes of one transfer.
const WINDOW: usize = 1 << 20;

fn pages(bytes: usize) -> usize {
    bytes.next_multiple_of(PAGE)
}

/// The most bytes that a block of `raw` bytes takes in its file.
pub(super) fn most_file_bytes(raw: usize) -> usize {
    HEADER + pages(raw + raw.div_ceil(PIECE) * FRAME_HEADER)
}

/// Bytes of a file with `stored` bytes behind the header.
pub(super) fn file_bytes(stored: usize) -> usize {
    HEADER + pages(stored)
}

/// Parts of a scratch for a block of `raw` bytes.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// One transfer.
    pub window: usize,
    /// One frame, in whole pages.
    pub carry: usize,
    /// One piece.
    pub work: usize,
}

impl Layout {
    fn of(raw: usize) -> Layout {
        Layout::with_window(raw, WINDOW)
    }

    /// With transfers of at most `window` bytes, whole pages.
    pub fn with_window(raw: usize, window: usize) -> Layout {
        let work = raw.min(PIECE);
        Layout { window: window.min(most_file_bytes(raw)), carry: pages(work + FRAME_HEADER), work }
    }
}

/// Bytes of scratch for a block of `raw` bytes: at most 1.6 MB.
pub(super) fn scratch_len(raw: usize) -> usize {
    let Layout { window, carry, work } = Layout::of(raw);
    // Buffers of less than 4 MiB begin at a cache line, not at a page.
    PAGE + window + carry + work
}

/// A scratch, cut up.
pub(super) struct Scratch<'a> {
    /// A window and a frame, together: frames straddle windows. Begins at a page.
    pub buffer: &'a mut [u8],
    /// For shuffled bytes.
    pub work: &'a mut [u8],
    layout: Layout,
}

impl<'a> Scratch<'a> {
    /// # Panics
    /// If `scratch` is shorter than [`scratch_len`].
    pub fn new(scratch: &'a mut [u8], raw: usize) -> Scratch<'a> {
        let layout = Layout::of(raw);
        let ahead = scratch.as_ptr().addr().next_multiple_of(PAGE) - scratch.as_ptr().addr();
        let (buffer, rest) = scratch[ahead..].split_at_mut(layout.window + layout.carry);
        Scratch { buffer, work: &mut rest[..layout.work], layout }
    }
}

/// What has been written.
pub(super) struct Written {
    pub stored: usize,
    /// xxh3 of the block.
    pub checksum: u64,
    /// Part of the time that went into the encoding, and into transfers.
    pub encoding: Duration,
    pub transfer: Duration,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Codec(#[from] CodecError),
    #[error("{0}")]
    Header(&'static str),
    #[error("its contents were changed")]
    Changed,
}

/// An open spill file.
pub(super) struct SpillFile {
    device: Device,
}

impl SpillFile {
    /// Makes the file, or makes it empty.
    pub fn create(path: &Path) -> io::Result<SpillFile> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(SpillFile { device: Device::buffered(file).past_cache(path) })
    }

    pub fn open(path: &Path) -> io::Result<SpillFile> {
        Ok(SpillFile { device: Device::open(path)?.past_cache(path) })
    }

    /// Writes whole pages.
    pub fn write(&self, bytes: &[u8], at: usize) -> io::Result<()> {
        self.device.write_pages(at as u64, bytes)
    }

    /// Reads whole pages.
    pub fn read(&self, bytes: &mut [u8], at: usize) -> io::Result<()> {
        self.device.read_pages(at as u64, bytes)
    }

    /// Writes a block as it is behind the header.
    pub fn write_raw(&self, raw: &[u8], scratch: &mut Scratch) -> io::Result<Written> {
        let mut hash = Xxh3::new();
        let mut transfer = Duration::ZERO;
        let mut at = HEADER;
        for part in raw.chunks(scratch.layout.window) {
            hash.update(part);
            let began = Instant::now();
            if is_whole_pages(part) {
                self.write(part, at)?;
            } else {
                scratch.buffer[..part.len()].copy_from_slice(part);
                self.write_padded(scratch.buffer, part.len(), at)?;
            }
            transfer += began.elapsed();
            at += part.len();
        }
        Ok(Written { stored: raw.len(), checksum: hash.digest(), encoding: Duration::ZERO, transfer })
    }

    fn write_padded(&self, buffer: &mut [u8], len: usize, at: usize) -> io::Result<()> {
        let end = pages(len);
        buffer[len..end].fill(0);
        self.write(&buffer[..end], at)
    }

    /// Writes a block in frames behind the header; elements have `size` bytes.
    pub fn write_frames(
        &self,
        codec: &mut Codec,
        encoding: Encoding,
        size: usize,
        raw: &[u8],
        scratch: &mut Scratch,
    ) -> io::Result<Written> {
        let window = scratch.layout.window;
        let mut hash = Xxh3::new();
        let (mut spent, mut transfer) = (Duration::ZERO, Duration::ZERO);
        let (mut filled, mut at) = (0, HEADER);
        for piece in raw.chunks(PIECE) {
            hash.update(piece);
            let began = Instant::now();
            filled += codec.encode(encoding, size, piece, scratch.work, &mut scratch.buffer[filled..]);
            let encoded = Instant::now();
            spent += encoded - began;
            if filled >= window {
                self.write(&scratch.buffer[..window], at)?;
                scratch.buffer.copy_within(window..filled, 0);
                filled -= window;
                at += window;
                transfer += encoded.elapsed();
            }
        }
        let began = Instant::now();
        self.write_padded(scratch.buffer, filled, at)?;
        transfer += began.elapsed();
        let stored = at - HEADER + filled;
        Ok(Written { stored, checksum: hash.digest(), encoding: spent, transfer })
    }

    /// Reads a block that was written as it is; returns its checksum.
    pub fn read_raw(&self, raw: &mut [u8], scratch: &mut Scratch) -> Result<u64, ReadError> {
        let mut hash = Xxh3::new();
        let mut at = HEADER;
        for part in raw.chunks_mut(scratch.layout.window) {
            if is_whole_pages(part) {
                self.read(part, at)?;
            } else {
                let whole = &mut scratch.buffer[..pages(part.len())];
                self.read(whole, at)?;
                let (bytes, padding) = whole.split_at(part.len());
                part.copy_from_slice(bytes);
                check_padding(padding)?;
            }
            hash.update(part);
            at += part.len();
        }
        Ok(hash.digest())
    }

    /// Reads a block from frames of `stored` bytes together; returns its checksum and the time that decoding took.
    pub fn read_frames(
        &self,
        codec: &mut Codec,
        encoding: Encoding,
        size: usize,
        stored: usize,
        raw: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<(u64, Duration), ReadError> {
        let layout = scratch.layout;
        let mut hash = Xxh3::new();
        let mut spent = Duration::ZERO;
        let mut frames = Frames::new(layout, stored);
        for piece in raw.chunks_mut(PIECE) {
            let body = frames.next_body(self, piece.len(), scratch.buffer)?;
            let began = Instant::now();
            codec.decode(encoding, size, body, scratch.work, piece)?;
            spent += began.elapsed();
            hash.update(piece);
        }
        frames.finish(scratch.buffer)?;
        Ok((hash.digest(), spent))
    }
}

pub(super) fn check_padding(bytes: &[u8]) -> Result<(), ReadError> {
    if bytes.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(ReadError::Changed) }
}

/// Reads ahead by windows and hands out consecutive bytes. The window lies behind the carry in the buffer: what is
/// left of one window is moved ahead of the next.
pub(super) struct Frames {
    layout: Layout,
    /// Where the next window begins in the file.
    at: usize,
    /// Bytes that have not been handed out.
    stored: usize,
    /// Those of them that are in the buffer, with what fills the last page.
    start: usize,
    end: usize,
}

impl Frames {
    /// Those behind the header of a file with `stored` bytes behind it.
    pub fn new(layout: Layout, stored: usize) -> Frames {
        Frames { layout, at: HEADER, stored, start: layout.carry, end: layout.carry }
    }

    /// The body of the next frame, which is that of a piece of `piece` bytes. `buffer` holds a window and a frame.
    pub fn next_body<'b>(
        &mut self,
        file: &SpillFile,
        piece: usize,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], ReadError> {
        let header = self.next(file, FRAME_HEADER, buffer)?;
        let header = header.try_into().expect("as long as asked for");
        let len = body_len(header, piece, self.stored)?;
        self.next(file, len, buffer)
    }

    /// Fails if anything but padding is left.
    pub fn finish(&self, buffer: &[u8]) -> Result<(), ReadError> {
        if self.stored != 0 {
            return Err(ReadError::Changed);
        }
        check_padding(&buffer[self.start..self.end])
    }

    /// The next `len` bytes, at most a frame.
    fn next<'b>(
        &mut self,
        file: &SpillFile,
        len: usize,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], ReadError> {
        let Layout { window, carry, .. } = self.layout;
        self.stored = self.stored.checked_sub(len).ok_or(ReadError::Changed)?;
        if self.end - self.start < len {
            let left = self.end - self.start;
            buffer.copy_within(self.start..self.end, carry - left);
            let missing = pages(self.stored + len - left).min(window);
            file.read(&mut buffer[carry..carry + missing], self.at)?;
            self.at += missing;
            (self.start, self.end) = (carry - left, carry + missing);
        }
        let bytes = &buffer[self.start..self.start + len];
        self.start += len;
        Ok(bytes)
    }
}
