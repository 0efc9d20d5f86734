//! The spilled blocks of one run: a file for each.

use super::block::Block;
use super::choice::EncodingDecision;
use super::spill::{SpillError, SpillPlace, Sweep, locked};
use super::spill_file::{ReadError, Scratch, SpillFile, Written, file_bytes, most_file_bytes};
use super::spill_header::{HEADER, SpillHeader};
use super::spill_key::SpillKey;
use super::spill_reader::SpillReader;
use crate::ids::{BlockId, RunId};
use cluster::codec::{Codec, Encoding, with_codec};
use cluster::sample::{Measured, sample};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

/// How a block has been stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Of the file, header and padding included.
    pub file_bytes: u64,
    /// Of the block in memory.
    pub raw_bytes: u64,
    pub encoding: Encoding,
}

/// What a run has written to its files and read from them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SpillUse {
    /// Bytes of its files now, and the most there were at once.
    pub in_use: u64,
    pub peak: u64,
    /// Bytes written to and read from files.
    pub written: u64,
    pub read: u64,
    /// Bytes that the written blocks have in memory.
    pub raw_written: u64,
}

/// A file in the folder. A block that is made again gets another one, so that an old one can be removed meanwhile.
#[derive(Clone, Copy)]
struct FileOf {
    block: BlockId,
    number: u64,
    bytes: u64,
}

#[derive(Default)]
struct Contents {
    files: HashMap<BlockId, FileOf>,
    /// Nobody wants these any more; they are still there.
    released: Vec<FileOf>,
    /// Files so far.
    count: u64,
    /// What a thread still writes is not wanted either.
    over: bool,
    usage: SpillUse,
}

/// Where the blocks of a run are spilled. Clones share it; with the last one all of its files go.
///
/// Calls for different blocks may come from any number of threads at once; the caller sees to it that those for one
/// block come one after the other.
#[derive(Clone)]
pub struct SpillFiles(Arc<Files>);

struct Files {
    place: SpillPlace,
    run: RunId,
    contents: Mutex<Contents>,
    /// Held while released files are removed: whoever comes second finds them gone.
    sweeping: Mutex<()>,
}

impl SpillPlace {
    /// Room for the blocks of a run.
    pub fn begin(&self, run: RunId) -> SpillFiles {
        let place = self.clone();
        let files = Arc::new(Files { place, run, contents: Mutex::default(), sweeping: Mutex::default() });
        let weak: Weak<Files> = Arc::downgrade(&files);
        self.register(weak);
        SpillFiles(files)
    }
}

impl SpillFiles {
    pub fn usage(&self) -> SpillUse {
        locked(&self.0.contents).usage
    }

    /// Writes a block to its file, which must not be there. On an error nothing is left of it.
    ///
    /// # Errors
    /// All but [`SpillError::Lost`].
    ///
    /// # Panics
    /// If the scratch is shorter than [`SpillPlace::scratch_len`] or the block has been written already.
    pub fn write(&self, block: BlockId, data: &Block, scratch: &mut [u8]) -> Result<Stored, SpillError> {
        let mut scratch = Scratch::new(scratch, data.bytes().len());
        let most = most_file_bytes(data.bytes().len()) as u64;
        let files = &*self.0;
        let number = files.next_number(block);
        files.place.reserve(most)?;
        let written = files.choose(block, data, &mut scratch).and_then(|encoding| {
            match files.write_file(block, number, data, encoding, &mut scratch) {
                Err(SpillError::NoSpace { .. }) => {
                    files.place.sweep();
                    files.write_file(block, number, data, encoding, &mut scratch)
                }
                written => written,
            }
        });
        let bytes = written.as_ref().map_or(0, |stored| stored.file_bytes);
        files.place.settle(most, bytes);
        let stored = written?;
        files.add(FileOf { block, number, bytes }, stored.raw_bytes);
        Ok(stored)
    }

    /// Reads a block back into `data`, which has its shape and element type. The file stays until
    /// [`SpillFiles::release`], unless it is of no use: then it is removed.
    ///
    /// # Errors
    /// [`SpillError::Lost`] if the file is not there, or not what was written; `data` then has unspecified contents.
    ///
    /// # Panics
    /// If the scratch is shorter than [`SpillPlace::scratch_len`].
    pub fn read(&self, block: BlockId, data: &mut Block, scratch: &mut [u8]) -> Result<(), SpillError> {
        let mut scratch = Scratch::new(scratch, data.bytes().len());
        let lost = |why: String| SpillError::Lost { block, why };
        let files = &*self.0;
        let (file, key, path) = self.file_of(block)?;
        match get(&path, key, data, &mut scratch) {
            Ok(decoded) => {
                locked(&files.contents).usage.read += file.bytes;
                if let Some((encoding, seconds)) = decoded {
                    let raw = data.bytes().len() as u64;
                    files.place.choice().decoded(key.array(), encoding, raw, seconds);
                }
                Ok(())
            }
            Err(why) => {
                self.release(block);
                self.sweep();
                Err(lost(format!("{}: {why}", path.display())))
            }
        }
    }

    /// The file of a block, what it is to have in it, and where it is.
    fn file_of(&self, block: BlockId) -> Result<(FileOf, SpillKey, PathBuf), SpillError> {
        let file = locked(&self.0.contents).files.get(&block).copied();
        let file = file.ok_or_else(|| SpillError::Lost { block, why: "it was not spilled here".into() })?;
        let key = self.0.key(block);
        Ok((file, key, self.0.place.path(&key.file_name(file.number))))
    }

    /// Has the block a file? Touches no disk.
    pub fn has(&self, block: BlockId) -> bool {
        locked(&self.0.contents).files.contains_key(&block)
    }

    /// The blocks that have a file, in no order.
    pub fn blocks(&self) -> Vec<BlockId> {
        locked(&self.0.contents).files.keys().copied().collect()
    }

    /// A block from its file, piece by piece, for whoever has no room here for all of it.
    ///
    /// # Errors
    /// [`SpillError::Lost`] if it has no file, or one that is not there, or not what was written.
    pub fn reader(&self, block: BlockId) -> Result<SpillReader, SpillError> {
        let (file, key, path) = self.file_of(block)?;
        let lost = |why| SpillError::Lost { block, why: format!("{}: {why}", path.display()) };
        let reader = SpillReader::open(&path, key).map_err(lost)?;
        locked(&self.0.contents).usage.read += file.bytes;
        Ok(reader)
    }

    /// Nobody wants the block any more. True if it has a file: that goes with the next [`SpillFiles::sweep`], or when
    /// another file needs its room. Touches no disk.
    pub fn release(&self, block: BlockId) -> bool {
        let mut contents = locked(&self.0.contents);
        let file = contents.files.remove(&block);
        contents.released.extend(file);
        file.is_some()
    }

    /// Removes the files of released blocks.
    pub fn sweep(&self) {
        self.0.sweep();
    }

    #[cfg(test)]
    pub(super) fn path(&self, block: BlockId) -> PathBuf {
        let file = locked(&self.0.contents).files[&block];
        self.0.place.path(&self.0.key(block).file_name(file.number))
    }

    /// The run is over: removes all its files, forgets what was learnt about its arrays, and tells what it did. What a
    /// thread is still writing goes as soon as it is written.
    pub fn end(&self) -> SpillUse {
        self.0.clear();
        self.usage()
    }
}

impl Sweep for Files {
    fn sweep(&self) {
        let _alone = locked(&self.sweeping);
        let released = std::mem::take(&mut locked(&self.contents).released);
        for file in &released {
            // If it cannot be removed now, it goes with the folder.
            let _ = fs::remove_file(self.place.path(&self.key(file.block).file_name(file.number)));
        }
        let bytes = released.iter().map(|file| file.bytes).sum();
        locked(&self.contents).usage.in_use -= bytes;
        self.place.removed(bytes);
    }
}

impl Files {
    fn key(&self, block: BlockId) -> SpillKey {
        SpillKey { run: self.run, block }
    }

    fn next_number(&self, block: BlockId) -> u64 {
        let mut contents = locked(&self.contents);
        assert!(!contents.files.contains_key(&block), "a block is spilled once");
        contents.count += 1;
        contents.count
    }

    /// A file has been written.
    fn add(&self, file: FileOf, raw_bytes: u64) {
        let mut contents = locked(&self.contents);
        let usage = &mut contents.usage;
        usage.in_use += file.bytes;
        usage.peak = usage.peak.max(usage.in_use);
        usage.written += file.bytes;
        usage.raw_written += raw_bytes;
        if !contents.over {
            contents.files.insert(file.block, file);
            return;
        }
        contents.released.push(file);
        drop(contents);
        self.clear();
    }

    fn clear(&self) {
        let mut contents = locked(&self.contents);
        contents.over = true;
        let all = std::mem::take(&mut contents.files);
        contents.released.extend(all.into_values());
        drop(contents);
        self.sweep();
        self.place.choice().forget(self.run);
    }

    fn choose(&self, block: BlockId, data: &Block, scratch: &mut Scratch) -> Result<Encoding, SpillError> {
        if let Some(encoding) = self.place.forced() {
            return Ok(encoding);
        }
        let array = self.key(block).array();
        let decision = self.place.choice().next(array);
        match decision {
            EncodingDecision::Use(encoding) => Ok(encoding),
            EncodingDecision::Sample => {
                let size = data.element().bytes() as usize;
                let Scratch { buffer, work, .. } = scratch;
                let samples = with_codec(|codec| sample(codec, size, data.bytes(), buffer, work))?;
                Ok(self.place.choice().sampled(array, &samples))
            }
        }
    }

    fn write_file(
        &self,
        block: BlockId,
        number: u64,
        data: &Block,
        encoding: Encoding,
        scratch: &mut Scratch,
    ) -> Result<Stored, SpillError> {
        let key = self.key(block);
        let path = self.place.path_to_write(&key.file_name(number))?;
        let written = with_codec(|codec| put(&path, key, data, encoding, codec, scratch))
            .map_err(SpillError::from)
            .and_then(|written| written.map_err(|error| self.write_error(&path, data, error)));
        let written = written.inspect_err(|_| {
            // It may never have been there.
            let _ = fs::remove_file(&path);
        })?;
        let file_bytes = file_bytes(written.stored) as u64;
        let stored = Stored { file_bytes, raw_bytes: data.bytes().len() as u64, encoding };
        let measured = Measured {
            encoding,
            raw_bytes: stored.raw_bytes,
            stored_bytes: written.stored as u64,
            encode_seconds: written.encoding.as_secs_f64(),
            decode_seconds: 0.0,
        };
        self.place.choice().written(key.array(), &measured, written.transfer.as_secs_f64());
        Ok(stored)
    }

    fn write_error(&self, path: &Path, data: &Block, error: io::Error) -> SpillError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpillError::NoSpace {
                folder: self.place.parent().clone(),
                needed: most_file_bytes(data.bytes().len()) as u64,
            },
            _ => SpillError::Write { path: path.into(), error },
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Writes the file: what is behind the header first, so that a file that was not finished has none.
fn put(
    path: &Path,
    key: SpillKey,
    data: &Block,
    encoding: Encoding,
    codec: &mut Codec,
    scratch: &mut Scratch,
) -> io::Result<Written> {
    let file = SpillFile::create(path)?;
    let size = data.element().bytes() as usize;
    let written = match encoding {
        Encoding::Raw => file.write_raw(data.bytes(), scratch)?,
        _ => file.write_frames(codec, encoding, size, data.bytes(), scratch)?,
    };
    let (rows, cols) = data.shape();
    let header = SpillHeader {
        key,
        element: data.element(),
        rows: rows as u64,
        cols: cols as u64,
        encoding,
        stored_bytes: written.stored as u64,
        checksum: written.checksum,
    };
    let page = &mut scratch.buffer[..HEADER];
    header.write(page);
    file.write(page, 0)?;
    Ok(written)
}

/// Reads the file; says how long decoding took if there was any.
fn get(
    path: &Path,
    key: SpillKey,
    data: &mut Block,
    scratch: &mut Scratch,
) -> Result<Option<(Encoding, f64)>, ReadError> {
    let file = SpillFile::open(path)?;
    file.read(&mut scratch.buffer[..HEADER], 0)?;
    let header = SpillHeader::read(&scratch.buffer[..HEADER]).map_err(ReadError::Header)?;
    let (rows, cols) = data.shape();
    if (header.key, header.element, header.rows, header.cols)
        != (key, data.element(), rows as u64, cols as u64)
    {
        return Err(ReadError::Header("it is another block's"));
    }
    let size = data.element().bytes() as usize;
    let (checksum, decoding) = match header.encoding {
        Encoding::Raw => (file.read_raw(data.bytes_mut(), scratch)?, None),
        encoding => {
            let (stored, raw) = (header.stored_bytes as usize, data.bytes_mut());
            let read = with_codec(|codec| file.read_frames(codec, encoding, size, stored, raw, scratch))?;
            let (checksum, time) = read?;
            (checksum, Some((encoding, time.as_secs_f64())))
        }
    };
    if checksum == header.checksum { Ok(decoding) } else { Err(ReadError::Changed) }
}
