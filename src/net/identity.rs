//! Who a process says it is.

use crate::exec;
use cluster::hello::Introduction;
use cluster::life::Life;
use cluster::role::Role;
use sysinfo::System;

/// Longest name that is made here, in bytes: others add to it.
const LONGEST_HOST: usize = 24;

/// An introduction of this process under a name.
pub fn introduction(role: Role, name: String) -> Introduction {
    Introduction {
        role,
        name,
        life: Life::random(),
        release: env!("CARGO_PKG_VERSION").into(),
        operations: exec::operations(),
        kernels: exec::kernel_fingerprint(),
    }
}

/// A number for a run that no other run has.
pub fn draw() -> u64 {
    Life::random().0
}

/// A name that no other process has: of the machine, the process, and a number of it.
pub fn own_name(number: u64) -> String {
    let host = System::host_name().unwrap_or_else(|_| "host".into());
    let host: String = host.chars().map(allowed).take(LONGEST_HOST).collect();
    match number {
        0 => format!("{host}-{}", std::process::id()),
        _ => format!("{host}-{}-{number}", std::process::id()),
    }
}

fn allowed(character: char) -> char {
    if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '_' }
}
