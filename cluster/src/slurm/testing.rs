//! What the tests of this module share.

use super::options::SlurmOptions;

/// Two threads, and nothing else out of the ordinary.
pub fn options() -> SlurmOptions {
    SlurmOptions {
        partition: None,
        account: None,
        qos: None,
        constraint: None,
        time: None,
        extra: Vec::new(),
        prologue: None,
        interface: None,
        threads: 2,
        memory: None,
        program: "/opt/dolmen".into(),
        scheduler_file: "/home/me/cluster.json".into(),
        logs: None,
        most: 8,
    }
}
