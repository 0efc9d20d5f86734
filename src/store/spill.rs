//! The place where blocks go that memory has no room for: one file for each in a folder of this process, under a limit.

use super::block::Block;
use super::choice::{Choice, Decision, Measured, Thresholds};
use super::codec::{Codec, CodecError, Encoding};
use super::spill_file::{ReadError, Scratch, SpillFile, Written, file_bytes, most_file_bytes, scratch_len};
use super::spill_header::{HEADER, SpillHeader};
use super::spill_key::SpillKey;
use super::spill_sample::sample;
use crate::files::TemporaryFolder;
use crate::ids::{BlockId, RunId};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Folders of spill files are called this, then host, process and a number.
const PREFIX: &str = "dolmen-spill";

/// How a block has been stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Of the file, header and padding included.
    pub file_bytes: u64,
    /// Of the block in memory.
    pub raw_bytes: u64,
    pub encoding: Encoding,
}

#[derive(Debug, thiserror::Error)]
pub enum SpillError {
    #[error(
        "spilling {needed} bytes more would exceed --spill-limit {limit} ({used} in use): raise it, give more --memory, or choose a --spill-dir with more room"
    )]
    Full { limit: u64, used: u64, needed: u64 },
    #[error("no space is left in {} to spill {needed} bytes: free some, or choose another --spill-dir", folder.display())]
    NoSpace { folder: PathBuf, needed: u64 },
    #[error("cannot make a folder for spilled blocks in {}: {error}; choose another --spill-dir", parent.display())]
    Folder { parent: PathBuf, error: io::Error },
    #[error("cannot spill to {}: {error}; choose another --spill-dir", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("cannot spill: {0}")]
    Codec(#[from] CodecError),
    #[error("spilled block {block:?} is lost: {why}")]
    Lost { block: BlockId, why: String },
}

impl SpillError {
    /// True if a block is gone and can be made again, false if there is nowhere to spill.
    pub fn is_lost(&self) -> bool {
        matches!(self, SpillError::Lost { .. })
    }
}

/// What a place has been used for. All but `in_use` are counted from the last [`SpillPlace::begin`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SpillUse {
    /// Bytes of all files now, and the most there were at once.
    pub in_use: u64,
    pub peak: u64,
    /// Bytes written to and read from files.
    pub written: u64,
    pub read: u64,
    /// Bytes that the written blocks have in memory.
    pub raw_written: u64,
}

#[derive(Default)]
struct Account {
    files: HashMap<SpillKey, u64>,
    /// For files that are being written.
    reserved: u64,
    /// Runs whose blocks nobody wants any more: a thread may still be writing one.
    over: HashSet<RunId>,
    usage: SpillUse,
}

/// Where blocks are spilled. Clones share it; when the last one is dropped, its folder goes with all files.
///
/// Calls for different keys may come from any number of threads at once; the caller sees to it that those for one key
/// come one after the other.
#[derive(Clone)]
pub struct SpillPlace {
    shared: Arc<Shared>,
}

struct Shared {
    parent: PathBuf,
    limit: Option<u64>,
    /// Instead of the choice by measurement.
    forced: Option<Encoding>,
    /// Made with the first spill.
    folder: Mutex<Option<TemporaryFolder>>,
    account: Mutex<Account>,
    choice: Mutex<Choice>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// I/O threads are few; each keeps its contexts, see [`Codec`].
    static CODEC: RefCell<Option<Codec>> = const { RefCell::new(None) };
}

fn with_codec<T>(run: impl FnOnce(&mut Codec) -> T) -> Result<T, CodecError> {
    CODEC.with_borrow_mut(|slot| {
        let codec = match slot {
            Some(codec) => codec,
            empty => empty.insert(Codec::new()?),
        };
        Ok(run(codec))
    })
}

impl SpillPlace {
    /// A place in the folder `parent` for at most `limit` bytes of files. Nothing is made before the first block comes.
    pub fn new(parent: PathBuf, limit: Option<u64>) -> SpillPlace {
        SpillPlace::build(parent, limit, None)
    }

    /// As [`SpillPlace::new`], with one encoding for all blocks.
    pub fn with_encoding(parent: PathBuf, limit: Option<u64>, encoding: Encoding) -> SpillPlace {
        SpillPlace::build(parent, limit, Some(encoding))
    }

    fn build(parent: PathBuf, limit: Option<u64>, forced: Option<Encoding>) -> SpillPlace {
        let choice = Mutex::new(Choice::new(Thresholds::default()));
        let (folder, account) = (Mutex::default(), Mutex::default());
        SpillPlace { shared: Arc::new(Shared { parent, limit, forced, folder, account, choice }) }
    }

    /// Refuses a place in which no folder can be made, before a run finds out.
    pub fn check(&self) -> Result<(), SpillError> {
        self.make_folder().map(drop)
    }

    fn make_folder(&self) -> Result<TemporaryFolder, SpillError> {
        let parent = &self.shared.parent;
        TemporaryFolder::create(parent, PREFIX)
            .map_err(|error| SpillError::Folder { parent: parent.clone(), error })
    }

    /// Bytes of scratch that a block of so many bytes is written and read with, at most 1.6 MB.
    pub fn scratch_len(block_bytes: u64) -> u64 {
        scratch_len(block_bytes as usize) as u64
    }

    /// Statistics from now on: for a new run.
    pub fn begin(&self) {
        let usage = &mut locked(&self.shared.account).usage;
        *usage = SpillUse { in_use: usage.in_use, peak: usage.in_use, ..SpillUse::default() };
    }

    pub fn usage(&self) -> SpillUse {
        locked(&self.shared.account).usage
    }

    /// Bytes per second that one write gets from the disk: average of those so far, at first a guess.
    pub fn disk_rate(&self) -> f64 {
        locked(&self.shared.choice).disk_rate()
    }

    /// Writes a block to its file, which must not be there. On an error nothing is left of it.
    ///
    /// # Errors
    /// All but [`SpillError::Lost`].
    ///
    /// # Panics
    /// If the scratch is shorter than [`SpillPlace::scratch_len`] or the block has been written already.
    pub fn write(&self, key: SpillKey, block: &Block, scratch: &mut [u8]) -> Result<Stored, SpillError> {
        let mut scratch = Scratch::new(scratch, block.bytes().len());
        let most = most_file_bytes(block.bytes().len()) as u64;
        self.reserve(key, most)?;
        let written = self
            .choose(key, block, &mut scratch)
            .and_then(|encoding| self.write_file(key, block, encoding, &mut scratch));
        let mut account = locked(&self.shared.account);
        account.reserved -= most;
        let stored = written?;
        account.files.insert(key, stored.file_bytes);
        let usage = &mut account.usage;
        usage.in_use += stored.file_bytes;
        usage.peak = usage.peak.max(usage.in_use);
        usage.written += stored.file_bytes;
        usage.raw_written += stored.raw_bytes;
        if account.over.contains(&key.run) {
            drop(account);
            self.remove(key);
        }
        Ok(stored)
    }

    /// Room for the largest that a file can become: what it will be is known only when it is there.
    fn reserve(&self, key: SpillKey, needed: u64) -> Result<(), SpillError> {
        let mut account = locked(&self.shared.account);
        assert!(!account.files.contains_key(&key), "a block is spilled once");
        let used = account.usage.in_use + account.reserved;
        match self.shared.limit {
            Some(limit) if used + needed > limit => Err(SpillError::Full { limit, used, needed }),
            _ => {
                account.reserved += needed;
                Ok(())
            }
        }
    }

    fn choose(&self, key: SpillKey, block: &Block, scratch: &mut Scratch) -> Result<Encoding, SpillError> {
        if let Some(encoding) = self.shared.forced {
            return Ok(encoding);
        }
        let decision = locked(&self.shared.choice).next(key.array());
        match decision {
            Decision::Use(encoding) => Ok(encoding),
            Decision::Sample => {
                let size = block.element().bytes() as usize;
                let samples = with_codec(|codec| sample(codec, size, block.bytes(), scratch))?;
                Ok(locked(&self.shared.choice).sampled(key.array(), &samples))
            }
        }
    }

    /// The file of a block; the folder is made if it is not there.
    fn path_to_write(&self, key: SpillKey) -> Result<PathBuf, SpillError> {
        let mut folder = locked(&self.shared.folder);
        let folder = match &mut *folder {
            Some(folder) => folder,
            empty => empty.insert(self.make_folder()?),
        };
        Ok(folder.path().join(key.file_name()))
    }

    fn path(&self, key: SpillKey) -> Option<PathBuf> {
        locked(&self.shared.folder).as_ref().map(|folder| folder.path().join(key.file_name()))
    }

    fn write_file(
        &self,
        key: SpillKey,
        block: &Block,
        encoding: Encoding,
        scratch: &mut Scratch,
    ) -> Result<Stored, SpillError> {
        let path = self.path_to_write(key)?;
        let written = with_codec(|codec| put(&path, key, block, encoding, codec, scratch))
            .map_err(SpillError::from)
            .and_then(|written| written.map_err(|error| self.write_error(&path, block, error)));
        let written = written.inspect_err(|_| {
            // It may never have been there.
            let _ = fs::remove_file(&path);
        })?;
        let file_bytes = file_bytes(written.stored) as u64;
        let stored = Stored { file_bytes, raw_bytes: block.bytes().len() as u64, encoding };
        let measured = Measured {
            encoding,
            raw_bytes: stored.raw_bytes,
            stored_bytes: written.stored as u64,
            encode_seconds: written.encoding.as_secs_f64(),
            decode_seconds: 0.0,
        };
        locked(&self.shared.choice).written(key.array(), &measured, written.transfer.as_secs_f64());
        Ok(stored)
    }

    fn write_error(&self, path: &Path, block: &Block, error: io::Error) -> SpillError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpillError::NoSpace {
                folder: self.shared.parent.clone(),
                needed: most_file_bytes(block.bytes().len()) as u64,
            },
            _ => SpillError::Write { path: path.into(), error },
        }
    }

    /// Reads a block back into `block`, which has its shape and element type. The file stays until [`SpillPlace::remove`],
    /// unless it is of no use: then it is removed.
    ///
    /// # Errors
    /// [`SpillError::Lost`] if the file is not there, or not what was written; `block` then has unspecified contents.
    ///
    /// # Panics
    /// If the scratch is shorter than [`SpillPlace::scratch_len`].
    pub fn read(&self, key: SpillKey, block: &mut Block, scratch: &mut [u8]) -> Result<(), SpillError> {
        let mut scratch = Scratch::new(scratch, block.bytes().len());
        let lost = |why: String| SpillError::Lost { block: key.block, why };
        let Some(file_bytes) = locked(&self.shared.account).files.get(&key).copied() else {
            return Err(lost("it was not spilled here".into()));
        };
        let path = self.path(key).expect("a folder with a file in it is there");
        match get(&path, key, block, &mut scratch) {
            Ok(decoded) => {
                locked(&self.shared.account).usage.read += file_bytes;
                if let Some((encoding, seconds)) = decoded {
                    let raw = block.bytes().len() as u64;
                    locked(&self.shared.choice).decoded(key.array(), encoding, raw, seconds);
                }
                Ok(())
            }
            Err(why) => {
                self.remove(key);
                Err(lost(format!("{}: {why}", path.display())))
            }
        }
    }

    /// Removes a block's file, if there is one.
    pub fn remove(&self, key: SpillKey) {
        let mut account = locked(&self.shared.account);
        if let Some(bytes) = account.files.remove(&key) {
            account.usage.in_use -= bytes;
            drop(account);
            self.remove_file(key);
        }
    }

    /// Removes all files of a run that is over, and forgets what was learnt about its arrays.
    pub fn remove_run(&self, run: RunId) {
        locked(&self.shared.choice).forget(run);
        let mut account = locked(&self.shared.account);
        let of_run: Vec<(SpillKey, u64)> = account.files.extract_if(|key, _| key.run == run).collect();
        account.usage.in_use -= of_run.iter().map(|(_, bytes)| bytes).sum::<u64>();
        account.over.insert(run);
        drop(account);
        of_run.into_iter().for_each(|(key, _)| self.remove_file(key));
    }

    fn remove_file(&self, key: SpillKey) {
        if let Some(path) = self.path(key) {
            // If it cannot be removed now, it goes with the folder.
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes the file: what is behind the header first, so that a file that was not finished has none.
fn put(
    path: &Path,
    key: SpillKey,
    block: &Block,
    encoding: Encoding,
    codec: &mut Codec,
    scratch: &mut Scratch,
) -> io::Result<Written> {
    let file = SpillFile::create(path)?;
    let size = block.element().bytes() as usize;
    let written = match encoding {
        Encoding::Raw => file.write_raw(block.bytes(), scratch)?,
        _ => file.write_frames(codec, encoding, size, block.bytes(), scratch)?,
    };
    let (rows, cols) = block.shape();
    let header = SpillHeader {
        key,
        element: block.element(),
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
    block: &mut Block,
    scratch: &mut Scratch,
) -> Result<Option<(Encoding, f64)>, ReadError> {
    let file = SpillFile::open(path)?;
    file.read(&mut scratch.buffer[..HEADER], 0)?;
    let header = SpillHeader::read(&scratch.buffer[..HEADER]).map_err(ReadError::Header)?;
    let (rows, cols) = block.shape();
    if (header.key, header.element, header.rows, header.cols)
        != (key, block.element(), rows as u64, cols as u64)
    {
        return Err(ReadError::Header("it is another block's"));
    }
    let size = block.element().bytes() as usize;
    let (checksum, decoding) = match header.encoding {
        Encoding::Raw => (file.read_raw(block.bytes_mut(), scratch)?, None),
        encoding => {
            let what = (header.stored_bytes as usize, block.bytes_mut());
            let read = with_codec(|codec| file.read_frames(codec, encoding, size, what, scratch))?;
            let (checksum, time) = read?;
            (checksum, Some((encoding, time.as_secs_f64())))
        }
    };
    if checksum == header.checksum { Ok(decoding) } else { Err(ReadError::Changed) }
}

#[cfg(test)]
#[path = "spill_tests.rs"]
mod tests;
