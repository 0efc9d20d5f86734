//! How much memory a session may use when the user does not say.

use sysinfo::System;

/// Share of the available memory that is ours unless `--memory` says otherwise: the rest is for the
/// page cache, the program itself and others.
const SHARE: f64 = 0.8;

/// Where not even the system can tell.
const FALLBACK: u64 = 1 << 30;

/// Bytes: a share of what is available to this process, by its cgroup if there is one, else by the machine.
pub fn default_memory() -> u64 {
    let Ok(mut system) = System::new() else { return FALLBACK };
    system.refresh_memory();
    let free = match system.cgroup_limits() {
        Some(limits) => limits.free_memory.min(system.available_memory()),
        None => system.available_memory(),
    };
    (free as f64 * SHARE) as u64
}
