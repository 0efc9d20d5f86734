//! Blocks from workers of other processes.

use crate::actors::{Network, Pulled};
use crate::ids::{BlockId, RunId, WorkerId};
use crate::protocol::{BlockKey, Depot, encode};
use crate::store::Block;
use cluster::endpoint::Endpoint;
use cluster::life::Life;
use cluster::role::Role;
use cluster::{Came, Holder, PullError};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The endpoint of this process, and where the other workers are.
pub struct Neighbours {
    endpoint: Arc<Endpoint>,
    depots: Mutex<HashMap<WorkerId, Depot>>,
    /// Those that could not be reached.
    unreachable: Mutex<HashSet<WorkerId>>,
    received: AtomicU64,
    saved: AtomicU64,
}

/// The place of a depot, as `cluster` knows it.
pub fn holder(depot: Depot) -> Holder {
    let role = if depot.is_client { Role::Client } else { Role::Worker };
    Holder { address: depot.address, role, life: Life(depot.life) }
}

impl Neighbours {
    pub fn new(endpoint: Arc<Endpoint>) -> Neighbours {
        Neighbours {
            endpoint,
            depots: Mutex::default(),
            unreachable: Mutex::default(),
            received: AtomicU64::new(0),
            saved: AtomicU64::new(0),
        }
    }

    pub fn meet(&self, worker: WorkerId, depot: Depot) {
        self.depots.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, depot);
    }

    /// Counts anew.
    pub fn begin(&self) {
        self.received.store(0, Ordering::Relaxed);
        self.saved.store(0, Ordering::Relaxed);
    }

    /// Bytes that have come since then, of blocks as they travelled.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes that these blocks have and that did not travel.
    pub fn saved(&self) -> u64 {
        self.saved.load(Ordering::Relaxed)
    }

    /// It is tried again as long as the scheduler knows that worker. Said once.
    fn failed(&self, from: WorkerId, why: &PullError) {
        tracing::debug!("a block of {from}: {why}");
        let mut unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(why, PullError::Unreachable(_)) && unreachable.insert(from) {
            tracing::warn!("cannot get blocks: {why} Does a firewall keep workers apart?");
        }
    }

    fn holder_of(&self, worker: WorkerId) -> Option<Holder> {
        let depots = self.depots.lock().unwrap_or_else(PoisonError::into_inner);
        depots.get(&worker).map(|depot| holder(*depot))
    }
}

impl Network for Arc<Neighbours> {
    fn pull(
        &self,
        run: RunId,
        id: BlockId,
        from: WorkerId,
        block: Block,
        done: Box<dyn FnOnce(Option<Pulled>) + Send>,
    ) {
        let key = encode(&BlockKey { run, block: id });
        let (Some(holder), Ok(key)) = (self.holder_of(from), key) else { return done(None) };
        let neighbours = self.clone();
        self.endpoint.pull(holder, &key, block, move |block, result| match result {
            Ok(Came { since, wire_bytes }) => {
                let saved = block.bytes().len() as u64 - wire_bytes;
                neighbours.received.fetch_add(wire_bytes, Ordering::Relaxed);
                neighbours.saved.fetch_add(saved, Ordering::Relaxed);
                done(Some(Pulled { block, since }));
            }
            Err(why) => {
                neighbours.failed(from, &why);
                done(None);
            }
        });
    }
}
