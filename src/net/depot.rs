//! The blocks of this worker process, for others.

use crate::actors::{Fetch, Run, Worker};
use crate::protocol::{BlockKey, decode};
use crate::store::{Block, SpillReader};
use actix::Addr;
use cluster::blocks::{Blocks, Payload, ReadAt};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Hears of blocks that were written and cannot be read.
type TellVanished = Arc<dyn Fn(BlockKey) + Send + Sync>;

/// Whom to ask for blocks: the worker's actor for those in memory, the run for those that have been written.
#[derive(Default)]
struct Askable {
    worker: Option<(Addr<Worker>, TellVanished)>,
    run: Option<Arc<Run>>,
}

/// Where the blocks are.
#[derive(Clone, Default)]
pub struct BlockDepot(Arc<Mutex<Askable>>);

/// The bytes of a block.
struct Bytes(Arc<Block>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Those of a block in a file.
struct InFile {
    reader: SpillReader,
    key: BlockKey,
    tell_vanished: TellVanished,
}

impl ReadAt for InFile {
    fn read_at(&mut self, _: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.reader.fill(bytes).inspect_err(|_| (self.tell_vanished)(self.key))
    }
}

impl BlockDepot {
    fn lock(&self) -> MutexGuard<'_, Askable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker is there. `tell_vanished` hears of blocks that were written and cannot be read.
    pub fn serve(&self, worker: Addr<Worker>, tell_vanished: impl Fn(BlockKey) + Send + Sync + 'static) {
        self.lock().worker = Some((worker, Arc::new(tell_vanished)));
    }

    /// From now on blocks are of this run.
    pub fn set_run(&self, run: Option<Arc<Run>>) {
        self.lock().run = run;
    }
}

impl Blocks for BlockDepot {
    fn open(&self, key: &[u8]) -> Result<Payload, String> {
        let key: BlockKey = decode(key).map_err(|error| error.to_string())?;
        let BlockKey { run, block } = key;
        let (worker, tell_vanished) = self.lock().worker.clone().ok_or("this worker has not begun yet")?;
        let in_memory = futures_executor::block_on(worker.send(Fetch { run, block }));
        if let Some(found) = in_memory.map_err(|_| "this worker is about to end")? {
            return Ok(Payload::Memory(Box::new(Bytes(found))));
        }
        let current = self.lock().run.clone().filter(|current| current.id == run);
        let files = current.as_ref().and_then(|current| current.spill.as_ref());
        match files.map(|files| files.reader(block)) {
            Some(Ok(Some(reader))) => {
                let len = reader.bytes();
                Ok(Payload::Stored { len, source: Box::new(InFile { reader, key, tell_vanished }) })
            }
            Some(Err(error)) => {
                tell_vanished(key);
                Err(error.to_string())
            }
            Some(Ok(None)) | None => Err(format!("{block:?} is not here")),
        }
    }
}
