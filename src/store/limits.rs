//! What the system lets this process have.

use rlimit::Resource;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of a thread's stack, as Rust's library makes it, and what the system puts beside it.
const STACK: u64 = (2 << 20) + (64 << 10);
/// Address space that the C library takes for a thread that allocates, unless threads share one heap.
const ARENA: u64 = 64 << 20;
/// Threads beside those of workers, which come and go: requests in flight, signals, the progress bar.
const OTHER_THREADS: u64 = 32;
/// Allocations of so many bytes and more go back to the system at once where memory is bounded.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 128 << 10;

/// Set where threads share one heap.
static ONE_HEAP: AtomicBool = AtomicBool::new(false);

/// What bounds a process's own memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Room {
    /// Bytes that are left.
    pub bytes: u64,
    pub name: &'static str,
}

/// For a program that is nothing but Dolmen: it may have as many files open as the system allows it at most, and
/// where its memory is bounded by `ulimit`, its threads share one heap, since each of their own would take 64 MiB of
/// address space. A library must leave both to whoever owns the process.
pub fn own_process() {
    // With fewer descriptors files are opened again and again: slower, but right.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    #[cfg(target_env = "gnu")]
    if bounds().next().is_some() {
        // SAFETY: sets a parameter of the allocator.
        let has_one_heap = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) } != 0;
        // SAFETY: sets another one.
        let maps_large_ones = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED) } != 0;
        ONE_HEAP.store(has_one_heap && maps_large_ones, Ordering::Relaxed);
    }
}

/// A resource that `ulimit` bounds.
struct Bounded {
    bytes: u64,
    /// The words that set it.
    name: &'static str,
    /// Where `/proc/self/statm` counts what is used of it.
    column: usize,
}

fn bounds() -> impl Iterator<Item = Bounded> {
    let all = [(Resource::AS, "ulimit -v", 0), (Resource::DATA, "ulimit -d", 5)];
    all.into_iter().filter_map(|(resource, name, column)| {
        let (bytes, _) = rlimit::getrlimit(resource).ok()?;
        (bytes < rlimit::INFINITY).then_some(Bounded { bytes, name, column })
    })
}

/// The least that is left of what `ulimit` bounds when so many threads have been started.
pub(super) fn room(threads: u64) -> Option<Room> {
    // Pages: all, resident, shared, text, nothing, data.
    let used = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let used: Vec<u64> = used.split_whitespace().filter_map(|pages| pages.parse().ok()).collect();
    let heaps = if ONE_HEAP.load(Ordering::Relaxed) { 0 } else { threads * ARENA };
    let beside = (threads + OTHER_THREADS) * STACK + heaps;
    let left = |bounded: Bounded| {
        let used = used.get(bounded.column).copied().unwrap_or(0) * page();
        Room { bytes: bounded.bytes.saturating_sub(used + beside), name: bounded.name }
    };
    bounds().map(left).min_by_key(|room| room.bytes)
}

fn page() -> u64 {
    // SAFETY: asks for a number.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.unsigned_abs()
}
