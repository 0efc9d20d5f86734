//! What the tests of this module share.

use super::options::{SlurmOptions, SlurmRequest};

/// Two threads, and nothing else out of the ordinary.
pub fn options() -> SlurmOptions {
    SlurmOptions {
        request: SlurmRequest::default(),
        threads: 2,
        memory: None,
        program: "/opt/dolmen".into(),
        scheduler_file: "/home/me/cluster.json".into(),
        logs: None,
        most: 8,
    }
}

/// The same for somebody who asks for this.
pub fn asking(request: SlurmRequest) -> SlurmOptions {
    SlurmOptions { request, ..options() }
}
