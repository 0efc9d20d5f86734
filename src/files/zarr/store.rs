//! The files of shards, as the crate `zarrs` asks for parts of them. It has a store of its own, which remembers each
//! file that it ever read and takes no folder whose name is not UTF-8.

use crate::files::unchanged;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator};
use zarrs::storage::{Bytes, MaybeBytesIterator, ReadableStorageTraits, StorageError, StoreKey};

/// An array's folder, of which no more than so many bytes are read at once: the index of a shard may ask for anything.
pub(super) struct Shards {
    pub root: PathBuf,
    /// Known when the array has been opened.
    pub most: OnceLock<u64>,
}

impl ReadableStorageTraits for Shards {
    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        ranges: ByteRangeIterator<'a>,
    ) -> Result<MaybeBytesIterator<'a>, StorageError> {
        let file = match unchanged::open(&self.root.join(key.as_str())) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let whole = file.metadata()?.len();
        let most = self.most.get().copied().unwrap_or(0);
        let read = move |range: ByteRange| {
            let (offset, length) = extent(range, whole);
            if length > most {
                return Err(StorageError::Other(format!(
                    "{length} bytes are too many for a chunk in a shard"
                )));
            }
            let mut bytes = vec![0; length as usize];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(Bytes::from(bytes))
        };
        Ok(Some(Box::new(ranges.map(read))))
    }

    fn size_key(&self, key: &StoreKey) -> Result<Option<u64>, StorageError> {
        match self.root.join(key.as_str()).metadata() {
            Ok(about) => Ok(Some(about.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn supports_get_partial(&self) -> bool {
        true
    }
}

/// Where a range begins in a file of `whole` bytes, and its length.
fn extent(range: ByteRange, whole: u64) -> (u64, u64) {
    match range {
        ByteRange::FromStart(start, Some(length)) => (start, length),
        ByteRange::FromStart(start, None) => (start, whole.saturating_sub(start)),
        ByteRange::Suffix(length) => (whole.saturating_sub(length), length),
    }
}
