//! Files that are open: as many as the process can well afford, the others are opened again when they are wanted.

use crate::files::disk::Device;
use lru::LruCache;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of the descriptors that the process may have, all inputs together keep half: a device has two.
const SHARE: u64 = 4;
/// Where the system does not tell how many those are, or has no bound.
const MOST: usize = 4096;

/// Devices that are kept open by all inputs of the process: they share its descriptors.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// The devices of one input by the numbers of their files, those used last.
pub(super) struct Kept {
    devices: Mutex<LruCache<usize, Arc<Device>>>,
    /// So many may be open in the process.
    most: usize,
}

impl Kept {
    pub fn new() -> Kept {
        let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let most = usize::try_from(limit / SHARE).map_or(MOST, |most| most.min(MOST));
        Kept { devices: Mutex::new(LruCache::unbounded()), most }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<usize, Arc<Device>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device of a file: the one that is kept, or what `open` gives.
    pub fn get<E>(&self, file: usize, open: impl FnOnce() -> Result<Device, E>) -> Result<Arc<Device>, E> {
        if let Some(device) = self.lock().get(&file) {
            return Ok(device.clone());
        }
        let device = Arc::new(open()?);
        let mut devices = self.lock();
        if devices.put(file, device.clone()).is_none() {
            OPEN.fetch_add(1, Ordering::Relaxed);
        }
        // Each input keeps one, whatever the others have.
        while OPEN.load(Ordering::Relaxed) > self.most && devices.len() > 1 {
            devices.pop_lru();
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(device)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        OPEN.fetch_sub(self.lock().len(), Ordering::Relaxed);
    }
}
