//! One pool of aligned buffers, recycled: a fresh page costs ten times more than touching a warm one.

use crate::array::footprint;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Buffers of this size and more are mapped on their own, aligned to huge pages.
const HUGE: u64 = 4 << 20;
const HUGE_PAGE: usize = 2 << 20;
/// Alignment of small buffers: a cache line.
const LINE: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PoolError {
    #[error("a buffer of {wanted} bytes does not fit a memory limit of {limit} bytes")]
    TooLarge { wanted: u64, limit: u64 },
    #[error("its run is over")]
    Over,
}

/// Memory from the system: always initialised, at first with zeros.
struct Raw {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a Raw is owned memory and nothing else.
unsafe impl Send for Raw {}
// SAFETY: shared access only reads, see `Buffer::bytes`.
unsafe impl Sync for Raw {}

impl Raw {
    fn new(bytes: usize) -> Raw {
        if bytes as u64 >= HUGE { Raw::map(bytes) } else { Raw::allocate(bytes) }
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, LINE).expect("footprints are far from overflow")
    }

    fn allocate(bytes: usize) -> Raw {
        let layout = Raw::layout(bytes);
        // SAFETY: footprints of buffers are never zero.
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { handle_alloc_error(layout) };
        Raw { start, bytes }
    }

    /// Pages from the system, aligned so that huge pages fit: the rest on both sides goes back at once.
    fn map(bytes: usize) -> Raw {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let len = bytes + HUGE_PAGE;
        // SAFETY: an anonymous mapping at a place of the system's choice touches no other memory.
        let whole = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if whole == libc::MAP_FAILED {
            handle_alloc_error(Raw::layout(bytes));
        }
        let ahead = whole.cast::<u8>().align_offset(HUGE_PAGE);
        let start = whole.cast::<u8>().wrapping_add(ahead);
        if ahead > 0 {
            // SAFETY: these are the first pages of the mapping, and nobody uses them.
            unsafe { libc::munmap(whole, ahead) };
        }
        if HUGE_PAGE > ahead {
            // SAFETY: these are the last pages of the mapping, behind `bytes`, and nobody uses them.
            unsafe { libc::munmap(start.wrapping_add(bytes).cast(), HUGE_PAGE - ahead) };
        }
        // SAFETY: the pages between are mapped. Advice changes no contents; a kernel without huge pages refuses it.
        unsafe { libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE) };
        Raw { start: NonNull::new(start).expect("a mapping is not at zero"), bytes }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if self.bytes as u64 >= HUGE {
            // SAFETY: mapped in `map` with this size, and nobody refers to it any more.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        } else {
            // SAFETY: allocated in `allocate` with this layout, and nobody refers to it any more.
            unsafe { dealloc(self.start.as_ptr(), Raw::layout(self.bytes)) };
        }
    }
}

#[derive(Default)]
struct Shelves {
    /// Number of the run that may take buffers.
    run: u64,
    limit: u64,
    in_use: u64,
    cached: u64,
    peak: u64,
    /// Blocks in use and their peak: what tests of liveness look at.
    buffers: u64,
    most_buffers: u64,
    free: HashMap<usize, Vec<Raw>>,
}

impl Shelves {
    /// Gives cached buffers back to the system until `bytes` more fit, if they can.
    fn make_room(&mut self, bytes: u64) {
        while self.in_use + self.cached + bytes > self.limit && self.cached > 0 {
            let Some(size) = self.free.iter().find(|(_, list)| !list.is_empty()).map(|(size, _)| *size)
            else {
                return;
            };
            self.free.get_mut(&size).map(Vec::pop);
            self.cached -= size as u64;
        }
    }

    fn account(&mut self, bytes: u64) {
        self.in_use += bytes;
        self.buffers += 1;
        self.peak = self.peak.max(self.in_use + self.cached);
        self.most_buffers = self.most_buffers.max(self.buffers);
    }
}

/// What a pool has been used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolUse {
    pub in_use: u64,
    /// The most bytes taken from the system at once, recycled buffers included.
    pub peak: u64,
    /// The most buffers in use at once.
    pub most_buffers: u64,
}

/// A pool of buffers that together never exceed a limit. Clones share it.
#[derive(Clone, Default)]
pub struct Pool {
    shared: Arc<Shared>,
    run: u64,
}

#[derive(Default)]
struct Shared {
    shelves: Mutex<Shelves>,
    returned: Condvar,
}

impl Pool {
    pub fn new(limit: u64) -> Self {
        Pool::default().begin(limit)
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shared.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool for a new run, with its limit and statistics of its own. What tasks of an earlier run still hold counts
    /// until they give it back; they get nothing more, or they could wait for each other for ever.
    pub fn begin(&self, limit: u64) -> Pool {
        let mut shelves = self.shelves();
        shelves.run += 1;
        shelves.limit = limit;
        shelves.make_room(0);
        self.shared.returned.notify_all();
        shelves.peak = shelves.in_use + shelves.cached;
        shelves.most_buffers = shelves.buffers;
        Pool { shared: self.shared.clone(), run: shelves.run }
    }

    pub fn usage(&self) -> PoolUse {
        let shelves = self.shelves();
        PoolUse { in_use: shelves.in_use, peak: shelves.peak, most_buffers: shelves.most_buffers }
    }

    /// A buffer of at least `bytes`, with unspecified contents. Waits while others have to give back first:
    /// the scheduler admits only what fits, so it is a matter of messages on their way.
    pub fn take(&self, bytes: u64) -> Result<Buffer, PoolError> {
        let size = footprint(bytes);
        let mut shelves = self.shelves();
        let raw = loop {
            // In the loop: the run may come to its end while this waits.
            if self.run != shelves.run {
                return Err(PoolError::Over);
            }
            if size > shelves.limit {
                return Err(PoolError::TooLarge { wanted: size, limit: shelves.limit });
            }
            if size == 0 {
                break None;
            }
            if let Some(raw) = shelves.free.get_mut(&(size as usize)).and_then(Vec::pop) {
                shelves.cached -= size;
                break Some(raw);
            }
            shelves.make_room(size);
            if shelves.in_use + size <= shelves.limit {
                break None;
            }
            shelves = self.shared.returned.wait(shelves).unwrap_or_else(PoisonError::into_inner);
        };
        shelves.account(size);
        drop(shelves);
        let raw = raw.or_else(|| (size > 0).then(|| Raw::new(size as usize)));
        Ok(Buffer { raw, pool: self.shared.clone() })
    }
}

/// Memory from a [`Pool`]; goes back to it when dropped.
pub struct Buffer {
    raw: Option<Raw>,
    pool: Arc<Shared>,
}

impl Buffer {
    pub fn len(&self) -> usize {
        self.raw.as_ref().map_or(0, |raw| raw.bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.raw.is_none()
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.raw {
            None => &[],
            // SAFETY: `bytes` initialised bytes are owned by self, which is borrowed.
            Some(raw) => unsafe { std::slice::from_raw_parts(raw.start.as_ptr(), raw.bytes) },
        }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.raw {
            None => &mut [],
            // SAFETY: `bytes` initialised bytes are owned by self, which is borrowed mutably.
            Some(raw) => unsafe { std::slice::from_raw_parts_mut(raw.start.as_ptr(), raw.bytes) },
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut shelves = self.pool.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.buffers -= 1;
        if let Some(raw) = self.raw.take() {
            let bytes = raw.bytes as u64;
            shelves.in_use -= bytes;
            shelves.cached += bytes;
            shelves.free.entry(raw.bytes).or_default().push(raw);
            shelves.make_room(0);
        }
        self.pool.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_recycled_and_aligned() {
        let pool = Pool::new(64 << 20);
        let mut first = pool.take(5 << 20).unwrap();
        first.bytes_mut()[0] = 7;
        let start = first.bytes().as_ptr();
        assert_eq!(start as usize % HUGE_PAGE, 0);
        drop(first);
        assert_eq!(pool.take(5 << 20).unwrap().bytes().as_ptr(), start);
        assert_eq!(pool.take(100).unwrap().bytes().as_ptr() as usize % LINE, 0);
    }

    #[test]
    fn the_limit_holds_and_cached_buffers_make_room() {
        let pool = Pool::new(1 << 20);
        drop(pool.take(600 << 10).unwrap());
        let held = pool.take(800 << 10).unwrap();
        assert_eq!(pool.usage().in_use, 800 << 10);
        assert!(pool.usage().peak <= 1 << 20);
        assert!(pool.take(2 << 20).is_err());
        drop(held);
        assert_eq!(pool.usage().in_use, 0);
    }

    #[test]
    fn who_waits_for_a_run_that_is_over_gets_nothing() {
        let old = Pool::new(1 << 20);
        let held = old.take(1 << 20).unwrap();
        let waiting = std::thread::spawn({
            let old = old.clone();
            move || old.take(1 << 19).map(|buffer| buffer.len())
        });
        let new = old.begin(1 << 19);
        assert_eq!(waiting.join().unwrap(), Err(PoolError::Over));
        drop(held);
        assert_eq!(new.take(1 << 19).unwrap().len(), 1 << 19);
        assert_eq!(old.take(1).map(|buffer| buffer.len()), Err(PoolError::Over));
    }

    #[test]
    fn a_full_pool_waits_for_what_comes_back() {
        let pool = Pool::new(1 << 20);
        let held = pool.take(1 << 20).unwrap();
        let waiting = std::thread::spawn({
            let pool = pool.clone();
            move || pool.take(1 << 19).unwrap().len()
        });
        drop(held);
        assert_eq!(waiting.join().unwrap(), 1 << 19);
    }
}
