//! A spilled block read from its file piece by piece, through a buffer of fixed size.

use super::spill_file::{Frames, Layout, ReadError, SpillFile, check_padding};
use super::spill_header::{HEADER, SpillHeader};
use super::spill_key::SpillKey;
use crate::files::disk::PAGE;
use cluster::codec::{Encoding, PIECE, with_codec};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// Bytes of one transfer: whole pages, and as many as a piece has.
const WINDOW: usize = PIECE;

/// Memory that begins at a page, as direct I/O wants it.
struct Pages {
    bytes: Vec<u8>,
    ahead: usize,
}

impl Pages {
    fn new(len: usize) -> Pages {
        let bytes = vec![0; len + PAGE];
        let ahead = bytes.as_ptr().addr().next_multiple_of(PAGE) - bytes.as_ptr().addr();
        Pages { bytes, ahead }
    }

    fn get(&mut self) -> &mut [u8] {
        &mut self.bytes[self.ahead..]
    }
}

/// The bytes of a block from its first to its last. About 1 MB of memory, whatever the block's size.
pub struct SpillReader {
    file: SpillFile,
    header: SpillHeader,
    frames: Frames,
    /// A window and a frame.
    buffer: Pages,
    /// For shuffled bytes.
    work: Vec<u8>,
    /// The piece that is given out, and how much of it has been.
    piece: Vec<u8>,
    given: usize,
    /// Bytes of the block ahead of the end of this piece.
    read: usize,
    raw: usize,
    hash: Xxh3,
}

impl SpillReader {
    pub(super) fn open(path: &Path, key: SpillKey) -> Result<SpillReader, ReadError> {
        let file = SpillFile::open(path)?;
        let mut page = Pages::new(HEADER);
        file.read(&mut page.get()[..HEADER], 0)?;
        let header = SpillHeader::read(&page.get()[..HEADER]).map_err(ReadError::Header)?;
        if header.key != key {
            return Err(ReadError::Header("it is another block's"));
        }
        let raw = header.raw_bytes().ok_or(ReadError::Header("its sizes contradict each other"))? as usize;
        let layout = Layout::with_window(raw, WINDOW);
        Ok(SpillReader {
            file,
            frames: Frames::new(layout, header.stored_bytes as usize),
            header,
            buffer: Pages::new(layout.window + layout.carry),
            work: vec![0; layout.work],
            piece: Vec::new(),
            given: 0,
            read: 0,
            raw,
            hash: Xxh3::new(),
        })
    }

    /// Bytes of the whole block.
    pub fn bytes(&self) -> u64 {
        self.raw as u64
    }

    /// Fills `out` with the bytes that follow those of the call before.
    ///
    /// # Errors
    /// If the file cannot be read, is not what was written, or has fewer bytes.
    pub fn fill(&mut self, mut out: &mut [u8]) -> std::io::Result<()> {
        while !out.is_empty() {
            if self.given == self.piece.len() {
                self.next_piece().map_err(|error| std::io::Error::other(error.to_string()))?;
            }
            let len = out.len().min(self.piece.len() - self.given);
            let (filled, rest) = out.split_at_mut(len);
            filled.copy_from_slice(&self.piece[self.given..self.given + len]);
            self.given += len;
            out = rest;
        }
        Ok(())
    }

    fn next_piece(&mut self) -> Result<(), ReadError> {
        let len = PIECE.min(self.raw - self.read);
        if len == 0 {
            return Err(ReadError::Header("it has fewer bytes than are asked for"));
        }
        self.piece.resize(len, 0);
        self.given = 0;
        match self.header.encoding {
            Encoding::Raw => self.read_raw(len)?,
            encoding => self.decode(encoding, len)?,
        }
        self.hash.update(&self.piece);
        self.read += len;
        if self.read < self.raw {
            return Ok(());
        }
        if self.header.encoding != Encoding::Raw {
            self.frames.finish(self.buffer.get())?;
        }
        if self.hash.digest() == self.header.checksum { Ok(()) } else { Err(ReadError::Changed) }
    }

    fn read_raw(&mut self, len: usize) -> Result<(), ReadError> {
        let whole = &mut self.buffer.get()[..len.next_multiple_of(PAGE)];
        self.file.read(whole, HEADER + self.read)?;
        let (bytes, padding) = whole.split_at(len);
        self.piece.copy_from_slice(bytes);
        check_padding(padding)
    }

    fn decode(&mut self, encoding: Encoding, len: usize) -> Result<(), ReadError> {
        let size = self.header.element.bytes() as usize;
        let body = self.frames.next_body(&self.file, len, self.buffer.get())?;
        with_codec(|codec| codec.decode(encoding, size, body, &mut self.work, &mut self.piece))??;
        Ok(())
    }
}
