//! How much memory a worker may use, and what bounds it: the user, SLURM, the cgroup, `ulimit`, or the machine.

use super::limits::room;
use crate::sched::Threads;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use sysinfo::System;

/// Share of what is allowed or free that is ours unless `--memory` says otherwise: the rest is for the
/// page cache, the program itself and others.
const SHARE: f64 = 0.8;
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
            Limit::Worker => f.write_str("--memory of the largest worker"),
            Limit::Unknown => f.write_str("the system does not say how much is free"),
        }
    }
}

/// A limit that nobody can read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{variable}={value} is not an amount of memory: correct it, or give --memory")]
pub struct BudgetError {
    variable: &'static str,
    value: String,
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
    /// `ulimit` and the machine's free memory allow.
    pub fn new(told: Option<u64>, threads: Threads) -> Result<Budget, BudgetError> {
        let share = |bytes: u64| (bytes as f64 * SHARE) as u64;
        let ulimit = room(threads).map(|room| Budget { bytes: room.bytes, limit: Limit::Ulimit(room.name) });
        let ulimit = ulimit.map(|budget| Budget { bytes: share(budget.bytes), ..budget });
        if let Some(bytes) = told {
            let told = Budget { bytes, limit: Limit::Told };
            return Ok(ulimit.filter(|other| other.bytes < bytes).unwrap_or(told));
        }
        let slurm = slurm_memory(|name| std::env::var(name).ok())?;
        let cgroups = fs::read_to_string("/proc/self/cgroup").ok();
        let cgroup = cgroups.and_then(|text| cgroup_memory(&text, read_limit));
        let others = [
            slurm,
            cgroup.map(|bytes| Budget { bytes, limit: Limit::Cgroup }),
            free_memory().map(|bytes| Budget { bytes, limit: Limit::Free }),
        ];
        let others =
            others.into_iter().flatten().map(|budget| Budget { bytes: share(budget.bytes), ..budget });
        let least = others.chain(ulimit).min_by_key(|budget| budget.bytes);
        Ok(least.unwrap_or(Budget { bytes: share(FALLBACK), limit: Limit::Unknown }))
    }
}

pub(super) fn free_memory() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    Some(system.available_memory())
}

/// What SLURM gave this job on this node; 0 is all that it has.
fn slurm_memory(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Budget>, BudgetError> {
    let (node, cpu) = ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU");
    let size = |name| match variable(name) {
        Some(value) => slurm_size(&value).map(Some).ok_or(BudgetError { variable: name, value }),
        None => Ok(None),
    };
    if let Some(bytes) = size(node)?.filter(|bytes| *bytes > 0) {
        return Ok(Some(Budget { bytes, limit: Limit::Slurm(node) }));
    }
    // Each task of a job has at least one.
    let cpus = variable("SLURM_CPUS_ON_NODE").and_then(|cpus| cpus.trim().parse::<u64>().ok()).unwrap_or(1);
    let bytes = size(cpu)?.map(|bytes| bytes.saturating_mul(cpus)).filter(|bytes| *bytes > 0);
    Ok(bytes.map(|bytes| Budget { bytes, limit: Limit::Slurm(cpu) }))
}

/// Bytes of a size as SLURM writes it: MiB, unless K, M, G or T is behind the number.
fn slurm_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "K" => 10,
        "" | "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
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

    /// What SLURM's variables come to: bytes and the one that bounds them.
    fn slurm(pairs: &[(&str, &str)]) -> Result<Option<(u64, Limit)>, BudgetError> {
        let found = slurm_memory(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()));
        found.map(|budget| budget.map(|budget| (budget.bytes, budget.limit)))
    }

    #[test]
    fn slurm_tells_by_node_or_by_cpu() {
        let node = Limit::Slurm("SLURM_MEM_PER_NODE");
        for (value, bytes) in [
            ("4000", 4000 << 20),
            ("4G", 4 << 30),
            ("4g", 4 << 30),
            ("512M", 512 << 20),
            ("2048K", 2 << 20),
            ("1T", 1 << 40),
        ] {
            assert_eq!(slurm(&[("SLURM_MEM_PER_NODE", value)]), Ok(Some((bytes, node))), "{value}");
        }
        let cpu = Limit::Slurm("SLURM_MEM_PER_CPU");
        let pairs = [("SLURM_MEM_PER_CPU", "500"), ("SLURM_CPUS_ON_NODE", "4")];
        assert_eq!(slurm(&pairs), Ok(Some((2000 << 20, cpu))));
        let pairs = [("SLURM_MEM_PER_CPU", "2G"), ("SLURM_CPUS_ON_NODE", "4")];
        assert_eq!(slurm(&pairs), Ok(Some((8 << 30, cpu))));
        assert_eq!(slurm(&[("SLURM_MEM_PER_CPU", "2G")]), Ok(Some((2 << 30, cpu))));
        assert_eq!(slurm(&[("SLURM_MEM_PER_NODE", "0")]), Ok(None));
        assert_eq!(slurm(&[]), Ok(None));
        for value in ["4X", "", "G", "-1", "99999999999999999999", "999999999T"] {
            assert!(slurm(&[("SLURM_MEM_PER_NODE", value)]).is_err(), "{value:?}");
        }
    }

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
