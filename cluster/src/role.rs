//! What a process is to the cluster.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a process is to the cluster. With TLS the certificate says it, and nobody can claim another role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Decides who computes what. There is one.
    Scheduler,
    /// Computes, and gives blocks to others.
    Worker,
    /// Asks for computations, and gives the blocks that only it has.
    Client,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 3] = [Role::Scheduler, Role::Worker, Role::Client];

    /// The role in one word.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Scheduler => "scheduler",
            Role::Worker => "worker",
            Role::Client => "client",
        }
    }

    /// The DNS name in the certificates of this role. It is no host's name: it says the role where TLS libraries
    /// check anyway. `.internal` is reserved for private use.
    pub const fn domain(self) -> &'static str {
        match self {
            Role::Scheduler => "scheduler.dolmen.internal",
            Role::Worker => "worker.dolmen.internal",
            Role::Client => "client.dolmen.internal",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}
