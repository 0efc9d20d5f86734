//! How far a run goes ahead of the walk: the bytes of what has been admitted.

use super::plan::{ResultsWhenShort, SpillPlan};
use crate::ids::BlockId;
use std::collections::HashMap;

/// What admitted tasks read, in a run that spills.
struct Window {
    /// Bytes that admitted tasks may hold: so many, and more for each thread of the fleet and each more I/O task.
    base: u64,
    per_thread: u64,
    /// What that makes with the fleet as it is.
    limit: u64,
    results: ResultsWhenShort,
    /// More would be admitted if the fleet held more.
    is_bounded_by_memory: bool,
    /// How many admitted tasks are to read a block.
    readers: HashMap<BlockId, u32>,
}

/// How far a run whose blocks stay goes: so many bytes, which it needs whoever is there, more for each thread, and more
/// for each I/O task beyond those that any worker may run.
#[derive(Clone, Copy)]
pub(super) struct Stride {
    pub least: u64,
    pub per_thread: u64,
    pub per_io_task: u64,
}

/// Bytes of blocks that a run holds or has admitted, wherever they are.
///
/// In a run whose blocks stay these are all blocks that exist and the outputs of admitted tasks. In a run that spills
/// they are the outputs of admitted tasks and those existing blocks that admitted tasks are to read: all others can
/// leave memory, but for results that stay.
pub(super) struct Ahead {
    limit: u64,
    /// What is admitted with the fleet as it is; never more than the limit.
    reach: u64,
    stride: Option<Stride>,
    /// I/O tasks of all workers beyond those that any may run.
    more_io: u64,
    bytes: u64,
    /// Bytes of results that stay in memory, in a run that spills.
    results: u64,
    window: Option<Window>,
}

impl Ahead {
    /// At most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Ahead { limit, reach: limit, stride: None, more_io: 0, bytes: 0, results: 0, window: None }
    }

    /// What no admitted task reads may leave memory.
    pub fn spilling(&mut self, plan: &SpillPlan) {
        let &SpillPlan { window: base, window_per_thread: per_thread, results, .. } = plan;
        self.window = Some(Window {
            base,
            per_thread,
            limit: base,
            results,
            is_bounded_by_memory: false,
            readers: HashMap::new(),
        });
    }

    /// With fewer threads than the limit is for, less is admitted, but never less than what is needed.
    pub fn striding(&mut self, stride: Stride) {
        self.stride = Some(stride);
        self.reach = self.limit.min(stride.least);
    }

    /// The workers together run so many I/O tasks more than any may. Counts from the next [`Ahead::fit_to`] on.
    pub fn set_more_io(&mut self, tasks: u64) {
        self.more_io = tasks;
    }

    /// The fleet has so many threads, and holds so many bytes: what is admitted beyond would wait for a thread, or
    /// leave memory unread.
    pub fn fit_to(&mut self, threads: u64, bytes: u64) {
        if let Some(Stride { least, per_thread, per_io_task }) = self.stride {
            let of_threads = per_thread.saturating_mul(threads);
            let of_io = per_io_task.saturating_mul(self.more_io);
            self.reach = least.saturating_add(of_threads).saturating_add(of_io).min(self.limit);
        }
        let Some(window) = &mut self.window else { return };
        let takers = threads.saturating_add(self.more_io);
        let wide = window.per_thread.saturating_mul(takers).saturating_add(window.base);
        window.limit = wide.min(bytes);
        window.is_bounded_by_memory = bytes < wide;
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn results(&self) -> u64 {
        self.results
    }

    /// Would more be admitted if the fleet held more?
    pub fn is_bounded_by_memory(&self) -> bool {
        self.window.as_ref().is_some_and(|window| window.is_bounded_by_memory)
    }

    pub fn spills(&self) -> bool {
        self.window.is_some()
    }

    /// Must results stay in memory?
    pub fn results_stay(&self) -> bool {
        self.window.as_ref().is_none_or(|window| window.results == ResultsWhenShort::Stay)
    }

    /// May a task be admitted that adds so many bytes? When nothing is admitted, one may in a run that spills.
    pub fn has_room(&self, bytes: u64, nothing_admitted: bool) -> bool {
        let fits = self.bytes.saturating_add(self.results).saturating_add(bytes) <= self.reach;
        match &self.window {
            None => fits,
            Some(window) => nothing_admitted || (fits && self.bytes.saturating_add(bytes) <= window.limit),
        }
    }

    /// Admitted tasks that are to read `block`.
    pub fn readers(&self, block: BlockId) -> u32 {
        self.window.as_ref().and_then(|window| window.readers.get(&block)).copied().unwrap_or(0)
    }

    /// The output of an admitted task.
    pub fn add_output(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// One admitted reader more of a block that takes so many bytes, if it exists.
    pub fn add_reader(&mut self, block: BlockId, bytes: u64) {
        let Some(window) = &mut self.window else { return };
        let readers = window.readers.entry(block).or_default();
        *readers += 1;
        self.bytes += if *readers == 1 { bytes } else { 0 };
    }

    /// One admitted reader less of a block that takes so many bytes, if it exists.
    pub fn take_reader(&mut self, block: BlockId, bytes: u64) {
        let Some(window) = &mut self.window else { return };
        let Some(readers) = window.readers.get_mut(&block) else { return };
        *readers -= 1;
        if *readers == 0 {
            window.readers.remove(&block);
            self.bytes -= bytes;
        }
    }

    /// The block of a task exists, for which `reserved` bytes were added. Does it stay in memory whatever comes?
    pub fn made(&mut self, block: BlockId, reserved: u64, bytes: u64, stays: bool) {
        if self.window.is_none() {
            return;
        }
        self.bytes -= reserved;
        if stays {
            self.results += bytes;
        } else if self.readers(block) > 0 {
            self.bytes += bytes;
        }
    }

    /// A block that exists, in a new count. Does it stay in memory whatever comes?
    pub fn add_block(&mut self, bytes: u64, stays: bool) {
        if self.window.is_none() {
            self.bytes += bytes;
        } else if stays {
            self.results += bytes;
        }
    }

    /// A block is gone for good that was counted with so many bytes.
    pub fn released(&mut self, bytes: u64) {
        if self.window.is_none() {
            self.bytes -= bytes;
        }
    }

    /// For a new count.
    pub fn clear(&mut self) {
        self.bytes = 0;
        self.results = 0;
        if let Some(window) = &mut self.window {
            window.readers.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most bytes that may be admitted.
    fn reach(ahead: &Ahead) -> u64 {
        (0..=1000).rev().find(|bytes| ahead.has_room(*bytes, false)).expect("nothing always has room")
    }

    #[test]
    fn a_run_whose_blocks_stay_goes_further_with_each_thread_and_io_task() {
        let mut ahead = Ahead::new(100);
        assert_eq!(reach(&ahead), 100);
        ahead.striding(Stride { least: 10, per_thread: 20, per_io_task: 3 });
        assert_eq!(reach(&ahead), 10);
        ahead.fit_to(2, 0);
        assert_eq!(reach(&ahead), 50);
        ahead.set_more_io(5);
        ahead.fit_to(2, 0);
        assert_eq!(reach(&ahead), 65);
        ahead.fit_to(20, 0);
        assert_eq!(reach(&ahead), 100);
        assert!(!ahead.is_bounded_by_memory() && ahead.results_stay());
    }

    #[test]
    fn a_window_is_no_wider_than_the_memory_of_the_fleet() {
        let plan = |results| SpillPlan { window: 10, window_per_thread: 5, least: 0, results, width: 1 };
        let mut ahead = Ahead::new(u64::MAX);
        ahead.spilling(&plan(ResultsWhenShort::MayLeave));
        assert!(!ahead.results_stay());
        ahead.set_more_io(1);
        for (bytes, far, is_bounded) in [(100, 25, false), (25, 25, false), (24, 24, true)] {
            ahead.fit_to(2, bytes);
            assert_eq!((reach(&ahead), ahead.is_bounded_by_memory()), (far, is_bounded));
        }
        ahead.spilling(&plan(ResultsWhenShort::Stay));
        assert!(ahead.results_stay());
    }
}
