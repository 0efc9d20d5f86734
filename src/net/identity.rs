//! Who a process says it is.

use crate::exec;
use cluster::hello::Introduction;
use cluster::life::Life;
use cluster::role::Role;
use sysinfo::System;

/// Longest name that is made here, in bytes: others add to it.
const LONGEST_HOST: usize = 24;
/// Digits of a random number in a name: enough for thousands of workers, and few enough to be typed.
const RANDOM_DIGITS: usize = 8;

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

/// A name that nobody else has, of the machine and a random number. A process number would not do: containers share
/// the name of the machine, and each has a process 1.
pub fn own_name() -> String {
    let host = System::host_name().unwrap_or_else(|_| "host".into());
    let host: String = host.chars().map(allowed).take(LONGEST_HOST).collect();
    let random = Life::random().to_string();
    format!("{host}-{}", &random[..RANDOM_DIGITS])
}

fn allowed(character: char) -> char {
    if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '_' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_another_and_begins_with_the_machine() {
        let names = [own_name(), own_name()];
        assert_ne!(names[0], names[1]);
        let host = System::host_name().unwrap();
        let (before, random) = names[0].rsplit_once('-').unwrap();
        assert!(host.starts_with(before) || !host.chars().all(|character| allowed(character) == character));
        assert!(random.len() == RANDOM_DIGITS && random.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
