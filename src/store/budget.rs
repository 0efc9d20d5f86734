//! How much memory a worker may use, and what bounds it: the user, SLURM, the cgroup, `ulimit`, or the machine.

use super::limits::room;
use super::slurm::{self, NotAnAmount};
use crate::sched::Threads;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use sysinfo::System;

/// Share of what is allowed or free that is ours unless `--memory` says otherwise: the rest is for the
/// page cache, the program itself and others.
const SHARE: f64 = 0.8;
/// More than any machine has.
pub const MOST_MEMORY: u64 = 1 << 50;
/// Where not even the system can tell.
const FALLBACK: u64 = 1 << 30;

/// What bounds the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// Whoever asked for the run.
    Told,
    /// A variable of SLURM's.
    Slurm(&'static str),
    Cgroup,
    /// The words that set it.
    Ulimit(&'static str),
    Free,
    /// That of a worker elsewhere.
    Worker,
    Unknown,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Limit::Told => f.write_str("--memory"),
            Limit::Slurm(variable) => write!(f, "80 % of {variable}"),
            Limit::Cgroup => f.write_str("80 % of the cgroup's limit"),
            Limit::Ulimit(command) => write!(f, "80 % of what {command} leaves"),
            Limit::Free => f.write_str("80 % of what is free"),
            Limit::Worker => f.write_str("what the largest worker has for one run"),
            Limit::Unknown => f.write_str("the system does not say how much is free"),
        }
    }
}

/// Bytes for blocks and workspaces, and what bounds them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    pub bytes: u64,
    pub limit: Limit,
}

impl Budget {
    /// What the user says, but no more than `ulimit` leaves beside these threads, since the system does not give
    /// it. If the user does not say: a share of the least of what SLURM, the cgroup (v1 or v2, with those above it),
    /// `ulimit` and the machine's free memory allow, divided by the processes that `srun` started here with this one.
    pub fn new(told: Option<u64>, threads: Threads) -> Result<Budget, NotAnAmount> {
        let share = |bytes: u64| (bytes as f64 * SHARE) as u64;
        let ulimit = room(threads).map(|room| Budget { bytes: room.bytes, limit: Limit::Ulimit(room.name) });
        let ulimit = ulimit.map(|budget| Budget { bytes: share(budget.bytes), ..budget });
        if let Some(bytes) = told {
            let told = Budget { bytes, limit: Limit::Told };
            return Ok(ulimit.filter(|other| other.bytes < bytes).unwrap_or(told));
        }
        let variable = |name: &str| std::env::var(name).ok();
        let slurm = slurm::memory(variable)?;
        let slurm = slurm.map(|found| Budget { bytes: found.bytes, limit: Limit::Slurm(found.variable) });
        let cgroups = fs::read_to_string("/proc/self/cgroup").ok();
        let cgroup = cgroups.and_then(|text| cgroup_memory(&text, read_limit));
        let others = [
            slurm,
            cgroup.map(|bytes| Budget { bytes, limit: Limit::Cgroup }),
            free_memory().map(|bytes| Budget { bytes, limit: Limit::Free }),
        ];
        // Each of these is for all processes of the job on this machine.
        let of_each = |bytes| share(bytes) / slurm::processes_here(variable);
        let others =
            others.into_iter().flatten().map(|budget| Budget { bytes: of_each(budget.bytes), ..budget });
        let least = others.chain(ulimit).min_by_key(|budget| budget.bytes);
        Ok(least.unwrap_or(Budget { bytes: share(FALLBACK), limit: Limit::Unknown }))
    }
}

pub(super) fn free_memory() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    Some(system.available_memory())
}

/// The least `limit` on the way from this process's cgroup up to the root. `cgroups` is `/proc/self/cgroup`.
pub(super) fn cgroup_memory(cgroups: &str, limit: impl Fn(&Path) -> Option<u64>) -> Option<u64> {
    let mut least = None;
    for line in cgroups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = PathBuf::from(root).join(path.trim_start_matches('/'));
        let above = group.ancestors().take_while(|folder| folder.starts_with(root));
        least = above.filter_map(|folder| limit(&folder.join(file))).chain(least).min();
    }
    least
}

/// A limit in a file; none where there is no file or no limit (`max`, or in v1 a number beyond any memory).
pub(super) fn read_limit(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok().filter(|bytes| *bytes < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_cgroup_on_the_way_up_counts() {
        let limits = |path: &Path| match path.to_str()? {
            "/sys/fs/cgroup/a/b/memory.max" => Some(300),
            "/sys/fs/cgroup/a/memory.max" => Some(200),
            "/sys/fs/cgroup/memory/job/memory.limit_in_bytes" => Some(100),
            _ => None,
        };
        assert_eq!(cgroup_memory("0::/a/b\n", limits), Some(200));
        assert_eq!(cgroup_memory("5:cpu:/x\n4:memory:/job\n0::/a/b\n", limits), Some(100));
        assert_eq!(cgroup_memory("0::/\n", limits), None);
    }
}
