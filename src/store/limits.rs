//! What the system lets this process have.

use crate::sched::Threads;
use rlimit::Resource;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of a thread's stack, as Rust's library makes it, and what the system puts beside it.
const STACK: u64 = (2 << 20) + (64 << 10);
/// Address space that the C library takes for a thread that allocates, unless threads share one heap.
const ARENA: u64 = 64 << 20;
/// Threads beside those of workers, which come and go: requests in flight, signals, the progress bar.
const OTHER_THREADS: u64 = 32;
/// What OpenBLAS maps for each thread that calls it, once and for the life of the process: `BUFFER_SIZE` in its
/// `common_x86_64.h`, 32 MiB, and 128 MiB as Debian builds it. It asks for ever where it cannot have them.
const BLAS_BUFFER: u64 = if cfg!(feature = "openblas") { 128 << 20 } else { 0 };
/// Set to 1, OpenBLAS starts no threads of its own when it is loaded.
#[cfg(feature = "openblas")]
const BLAS_THREADS: &str = "OPENBLAS_NUM_THREADS";
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

/// For a program that is nothing but Dolmen, before it does anything: it may have as many files open as the system
/// allows it at most, and hears of it before its processor time is over. Where its memory is bounded by `ulimit`, its
/// threads share one heap, since each of their own would take 64 MiB of address space, and OpenBLAS has no threads of
/// its own. A library must leave all of this to whoever owns the process.
pub fn own_process() {
    #[cfg(feature = "openblas")]
    if bounds().next().is_some() {
        without_blas_threads();
    }
    // With fewer descriptors files are opened again and again: slower, but right.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    be_told_of_processor_time();
    #[cfg(target_env = "gnu")]
    if bounds().next().is_some() {
        // SAFETY: sets a parameter of the allocator.
        let has_one_heap = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) } != 0;
        // SAFETY: sets another one.
        let maps_large_ones = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED) } != 0;
        ONE_HEAP.store(has_one_heap && maps_large_ones, Ordering::Relaxed);
    }
}

/// `ulimit -t` sets both limits, and at the hard one the system kills at once. Before that there is a second left to
/// end in order, for each core, or half of the time if that is less.
fn be_told_of_processor_time() {
    let Ok((soft, hard)) = rlimit::getrlimit(Resource::CPU) else { return };
    if soft == hard && hard > 1 && hard < rlimit::INFINITY {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        // Where it cannot be set, the run is killed as any other program.
        let _ = rlimit::setrlimit(Resource::CPU, hard - cores.min(hard / 2), hard);
    }
}

/// Begins anew if OpenBLAS has started threads, which nobody uses: each holds a stack and a buffer, and one that waits
/// for a buffer keeps the process from ending. They start when the library is loaded, before any code of ours runs.
#[cfg(feature = "openblas")]
fn without_blas_threads() {
    use std::os::unix::process::CommandExt;
    if std::env::var_os(BLAS_THREADS).is_some_and(|threads| threads == "1") {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut words = std::env::args_os();
    let mut again = std::process::Command::new(program);
    again.arg0(words.next().unwrap_or_default()).args(words).env(BLAS_THREADS, "1");
    // Comes back only if it cannot: then the threads stay.
    let _ = again.exec();
}

/// A resource that `ulimit` bounds.
struct Bounded {
    bytes: u64,
    /// The words that set it.
    name: &'static str,
    /// Where `/proc/self/statm` counts what is used of it.
    column: usize,
}

/// Does `ulimit` bound the memory of this process?
pub fn is_bounded() -> bool {
    bounds().next().is_some()
}

fn bounds() -> impl Iterator<Item = Bounded> {
    let all = [(Resource::AS, "ulimit -v", 0), (Resource::DATA, "ulimit -d", 5)];
    all.into_iter().filter_map(|(resource, name, column)| {
        let (bytes, _) = rlimit::getrlimit(resource).ok()?;
        (bytes < rlimit::INFINITY).then_some(Bounded { bytes, name, column })
    })
}

/// The least that is left of what `ulimit` bounds when these threads have been started and have called BLAS.
pub(super) fn room(threads: Threads) -> Option<Room> {
    // Pages: all, resident, shared, text, nothing, data.
    let used = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let used: Vec<u64> = used.split_whitespace().filter_map(|pages| pages.parse().ok()).collect();
    let all = threads.compute + threads.io;
    let heaps = if ONE_HEAP.load(Ordering::Relaxed) { 0 } else { all * ARENA };
    let beside = (all + OTHER_THREADS) * STACK + heaps + threads.compute * BLAS_BUFFER;
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
