//! The blocks of this process, for others.

use crate::actors::{Fetch, Run, Worker};
use crate::ids::RunId;
use crate::protocol::{BlockKey, decode};
use crate::store::{Block, SpillReader};
use actix::Addr;
use cluster::blocks::{Blocks, Payload, ReadAt};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Hears of blocks that were written and cannot be read.
type TellVanished = Arc<dyn Fn(BlockKey) + Send + Sync>;

/// Whom to ask for the blocks of a run: the worker's actor for those in memory, the run for those that were written.
#[derive(Clone)]
struct Askable {
    worker: Addr<Worker>,
    run: Arc<Run>,
    tell_vanished: TellVanished,
}

/// Where the blocks are of all runs that this process takes part in.
#[derive(Clone, Default)]
pub struct BlockDepot(Arc<Mutex<HashMap<RunId, Askable>>>);

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
    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Askable>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on others get the blocks of this run. `tell_vanished` hears of those that were written and cannot be
    /// read.
    pub fn begin(
        &self,
        run: Arc<Run>,
        worker: Addr<Worker>,
        tell_vanished: impl Fn(BlockKey) + Send + Sync + 'static,
    ) {
        let askable = Askable { worker, run: run.clone(), tell_vanished: Arc::new(tell_vanished) };
        self.lock().insert(run.id, askable);
    }

    /// Nobody wants blocks of this run any more.
    pub fn end(&self, run: RunId) {
        self.lock().remove(&run);
    }
}

impl Blocks for BlockDepot {
    fn open(&self, key: &[u8]) -> Result<Payload, String> {
        let key: BlockKey = decode(key).map_err(|error| error.to_string())?;
        let BlockKey { run, block } = key;
        let askable = self.lock().get(&run).cloned();
        let Askable { worker, run: here, tell_vanished } =
            askable.ok_or_else(|| format!("nothing of {run:?} is here"))?;
        let in_memory = futures_executor::block_on(worker.send(Fetch { run, block }));
        if let Some(found) = in_memory.map_err(|_| "this worker is about to end")? {
            return Ok(Payload::Memory(Box::new(Bytes(found))));
        }
        match here.spill.as_ref().map(|files| files.reader(block)) {
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
