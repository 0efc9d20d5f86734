//! The place where blocks go that memory has no room for: a folder of this process, under a limit.

use super::choice::{Choice, CompressionThresholds};
use super::spill_file::scratch_len;
use crate::files::TemporaryFolder;
use crate::ids::BlockId;
use cluster::codec::{CodecError, Encoding};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The names of folders of spill files begin so.
const PREFIX: &str = "dolmen-spill";

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

/// Somebody who has files in a place.
pub(super) trait Sweep: Send + Sync {
    /// Removes those that nobody wants any more.
    fn sweep(&self);
}

/// Bytes of the limit that are taken.
#[derive(Default)]
struct Account {
    /// By files.
    in_use: u64,
    /// For files that are being written.
    reserved: u64,
}

/// Where blocks are spilled. Clones share it. Its folder goes with the last of them and of the `SpillFiles` in it.
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
    /// Those that have files here.
    runs: Mutex<Vec<Weak<dyn Sweep>>>,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let choice = Mutex::new(Choice::new(CompressionThresholds::default()));
        let (folder, account, runs) = (Mutex::default(), Mutex::default(), Mutex::default());
        SpillPlace { shared: Arc::new(Shared { parent, limit, forced, folder, account, choice, runs }) }
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

    /// From now on `run` is asked for room too.
    pub(super) fn register(&self, run: Weak<dyn Sweep>) {
        let mut runs = locked(&self.shared.runs);
        runs.retain(|run| run.strong_count() > 0);
        runs.push(run);
    }

    #[cfg(test)]
    fn runs(&self) -> usize {
        locked(&self.shared.runs).len()
    }

    /// Bytes of all files, those that are about to be removed included.
    pub fn in_use(&self) -> u64 {
        locked(&self.shared.account).in_use
    }

    /// Bytes per second that one write gets from the disk: average of those so far, at first a guess.
    pub fn disk_rate(&self) -> f64 {
        self.choice().disk_rate()
    }

    pub(super) fn choice(&self) -> MutexGuard<'_, Choice> {
        locked(&self.shared.choice)
    }

    pub(super) fn forced(&self) -> Option<Encoding> {
        self.shared.forced
    }

    pub(super) fn parent(&self) -> &PathBuf {
        &self.shared.parent
    }

    /// Room under the limit for a file, if need be where files were that nobody wants any more.
    pub(super) fn reserve(&self, needed: u64) -> Result<(), SpillError> {
        if self.try_reserve(needed).is_ok() {
            return Ok(());
        }
        self.sweep();
        self.try_reserve(needed)
    }

    fn try_reserve(&self, needed: u64) -> Result<(), SpillError> {
        let mut account = locked(&self.shared.account);
        let used = account.in_use + account.reserved;
        match self.shared.limit {
            Some(limit) if used + needed > limit => Err(SpillError::Full { limit, used, needed }),
            _ => {
                account.reserved += needed;
                Ok(())
            }
        }
    }

    /// A file of so many bytes is there, or none, instead of what was reserved for it.
    pub(super) fn settle(&self, reserved: u64, bytes: u64) {
        let mut account = locked(&self.shared.account);
        account.reserved -= reserved;
        account.in_use += bytes;
    }

    /// Files of so many bytes have been removed.
    pub(super) fn removed(&self, bytes: u64) {
        locked(&self.shared.account).in_use -= bytes;
    }

    /// Removes what nobody wants any more, of all runs.
    pub(super) fn sweep(&self) {
        let runs: Vec<Arc<dyn Sweep>> = locked(&self.shared.runs).iter().filter_map(Weak::upgrade).collect();
        runs.iter().for_each(|run| run.sweep());
    }

    /// The path of a file that is to be written; the folder is made if it is not there.
    pub(super) fn path_to_write(&self, name: &str) -> Result<PathBuf, SpillError> {
        let mut folder = locked(&self.shared.folder);
        let folder = match &mut *folder {
            Some(folder) => folder,
            empty => empty.insert(self.make_folder()?),
        };
        Ok(folder.path().join(name))
    }

    /// The path of a file that has been written.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let folder = locked(&self.shared.folder);
        folder.as_ref().expect("a folder with a file in it is there").path().join(name)
    }
}

#[cfg(test)]
#[path = "spill_tests.rs"]
mod tests;
