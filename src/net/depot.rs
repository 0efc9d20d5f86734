//! The blocks of this worker process, for others.

use crate::actors::{Fetch, Worker};
use crate::protocol::{BlockKey, decode};
use crate::store::Block;
use actix::Addr;
use cluster::blocks::{Blocks, Payload};
use std::sync::{Arc, OnceLock};

/// Where the blocks are asked for: the worker's actor, once it is there.
#[derive(Default)]
pub struct BlockDepot(OnceLock<Addr<Worker>>);

/// The bytes of a block.
struct Bytes(Arc<Block>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl BlockDepot {
    /// To be called once.
    pub fn serve(&self, worker: Addr<Worker>) {
        // There is one for each process.
        let _ = self.0.set(worker);
    }
}

/// For the endpoint.
pub struct Served(pub Arc<BlockDepot>);

impl Blocks for Served {
    fn open(&self, key: &[u8]) -> Result<Payload, String> {
        let BlockKey { run, block } = decode(key).map_err(|error| error.to_string())?;
        let worker = self.0.0.get().ok_or("this worker has not begun yet")?;
        let answer = futures_executor::block_on(worker.send(Fetch { run, block }));
        match answer {
            Ok(Some(found)) => Ok(Payload::Memory(Box::new(Bytes(found)))),
            Ok(None) => Err(format!("{block:?} is not here")),
            Err(_) => Err("this worker is about to end".into()),
        }
    }
}
