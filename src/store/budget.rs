//! How much memory a worker may use: what SLURM gave, what the cgroup allows, or a share of the machine.

use std::fs;
use std::path::{Path, PathBuf};
use sysinfo::System;

/// Share of what is allowed or free that is ours unless `--memory` says otherwise: the rest is for the
/// page cache, the program itself and others.
const SHARE: f64 = 0.8;
/// Where not even the system can tell.
const FALLBACK: u64 = 1 << 30;

/// Bytes for blocks and workspaces when the user does not say: a share of the least of what SLURM, the
/// cgroup (v1 or v2, with those above it) and the machine's free memory allow.
pub fn default_memory() -> u64 {
    let slurm = slurm_memory(|name| std::env::var(name).ok());
    let cgroup =
        fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| cgroup_memory(&text, read_limit));
    let least = [slurm, cgroup, free_memory()].into_iter().flatten().min();
    least.map_or(FALLBACK, |bytes| (bytes as f64 * SHARE) as u64)
}

pub(super) fn free_memory() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    Some(system.available_memory())
}

/// What SLURM gave this job on this node. Its variables count MiB.
fn slurm_memory(variable: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let number = |name: &str| variable(name)?.parse::<u64>().ok().filter(|n| *n > 0);
    let per_cpu = || Some(number("SLURM_MEM_PER_CPU")? * number("SLURM_CPUS_ON_NODE")?);
    number("SLURM_MEM_PER_NODE").or_else(per_cpu).map(|mib| mib << 20)
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
    fn slurm_tells_by_node_or_by_cpu() {
        let set = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string())
        };
        assert_eq!(slurm_memory(set(&[("SLURM_MEM_PER_NODE", "4000")])), Some(4000 << 20));
        assert_eq!(
            slurm_memory(set(&[("SLURM_MEM_PER_CPU", "500"), ("SLURM_CPUS_ON_NODE", "4")])),
            Some(2000 << 20)
        );
        assert_eq!(slurm_memory(set(&[("SLURM_MEM_PER_NODE", "0")])), None);
        assert_eq!(slurm_memory(set(&[])), None);
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
