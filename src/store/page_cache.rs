//! What the page cache can hold beside our own memory.

use super::budget::{cgroup_memory, free_memory, read_limit};
use std::fs;
use std::path::Path;

/// Bytes of files that the page cache can keep for us while blocks and workspaces take `budget` bytes; 0 where the
/// system does not tell.
pub fn page_cache_room(budget: u64) -> u64 {
    let cgroup = fs::read_to_string("/proc/self/cgroup").ok();
    room(free_memory(), cgroup.and_then(|text| cgroup_memory(&text, room_below)), budget)
}

/// Cached pages count as available to the machine and to the cgroup: they go where memory is wanted.
fn room(available: Option<u64>, cgroup: Option<u64>, budget: u64) -> u64 {
    [available, cgroup].into_iter().flatten().min().unwrap_or(0).saturating_sub(budget)
}

/// Bytes that a cgroup lets us have beside what it holds already, given the file with its limit.
fn room_below(limit_file: &Path) -> Option<u64> {
    let limit = read_limit(limit_file)?;
    let folder = limit_file.parent()?;
    let usage = ["memory.current", "memory.usage_in_bytes"];
    let usage = usage.iter().find_map(|name| read_limit(&folder.join(name)))?;
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    Some(limit.saturating_sub(usage.saturating_sub(reclaimable(&stat))))
}

/// Bytes of files in the cache by a cgroup's `memory.stat`, v1 or v2: they are dropped before the limit is felt. Shared
/// memory is counted in them there, and is not.
fn reclaimable(stat: &str) -> u64 {
    let number = |names: [&str; 2]| {
        let mut words = stat.lines().filter_map(|line| line.split_once(' '));
        let found = words.find(|(name, _)| names.contains(name));
        found.and_then(|(_, bytes)| bytes.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    number(["total_cache", "file"]).saturating_sub(number(["total_shmem", "shmem"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_of_machine_and_cgroup_counts_less_our_own() {
        assert_eq!(room(Some(10), Some(7), 3), 4);
        assert_eq!(room(Some(10), None, 3), 7);
        assert_eq!(room(Some(10), Some(2), 3), 0);
        assert_eq!(room(None, None, 3), 0);
    }

    #[test]
    fn cached_files_are_room_and_shared_memory_is_not() {
        assert_eq!(reclaimable("cache 1\nrss 5\ntotal_cache 100\ntotal_rss 7\ntotal_shmem 30\n"), 70);
        assert_eq!(reclaimable("anon 5\nfile 100\nkernel 7\nshmem 30\nfile_mapped 4\n"), 70);
        assert_eq!(reclaimable(""), 0);
    }

    #[test]
    fn a_cgroup_with_a_limit_has_what_it_does_not_hold() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("memory.current", "300\n");
        write("memory.stat", "file 100\nshmem 20\n");
        write("memory.max", "max\n");
        assert_eq!(room_below(&folder.path().join("memory.max")), None);
        write("memory.max", "1000\n");
        assert_eq!(room_below(&folder.path().join("memory.max")), Some(1000 - (300 - 80)));
    }
}
