//! Blocks from workers of other processes.

use crate::actors::Network;
use crate::ids::{BlockId, RunId, WorkerId};
use crate::protocol::{BlockKey, Depot, encode};
use crate::store::Block;
use cluster::Holder;
use cluster::endpoint::Endpoint;
use cluster::life::Life;
use cluster::role::Role;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The endpoint of this process, and where the other workers are.
#[derive(Default)]
pub struct Neighbours {
    endpoint: OnceLock<Arc<Endpoint>>,
    depots: Mutex<HashMap<WorkerId, Depot>>,
    received: AtomicU64,
}

/// The place of a depot, as `cluster` knows it.
pub fn holder(depot: Depot) -> Holder {
    Holder { address: depot.address, role: Role::Worker, life: Life(depot.life) }
}

impl Neighbours {
    /// To be called once, before the first block is asked for.
    pub fn speak_through(&self, endpoint: Arc<Endpoint>) {
        // There is one for each process.
        let _ = self.endpoint.set(endpoint);
    }

    pub fn meet(&self, worker: WorkerId, depot: Depot) {
        self.depots.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, depot);
    }

    /// Bytes of blocks that have come since the last call.
    pub fn take_received(&self) -> u64 {
        self.received.swap(0, Ordering::Relaxed)
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
        done: Box<dyn FnOnce(Option<Block>) + Send>,
    ) {
        let key = encode(&BlockKey { run, block: id });
        let (Some(endpoint), Some(holder), Ok(key)) = (self.endpoint.get(), self.holder_of(from), key) else {
            return done(None);
        };
        let neighbours = self.clone();
        endpoint.pull(holder, &key, block, move |block, result| match result {
            Ok(()) => {
                neighbours.received.fetch_add(block.bytes().len() as u64, Ordering::Relaxed);
                done(Some(block));
            }
            Err(why) => {
                tracing::debug!("{id:?} of {from}: {why}");
                done(None);
            }
        });
    }
}
