//! The blocks of this process, for others.

use crate::actors::{Fetch, Run, Worker};
use crate::ids::RunId;
use crate::protocol::{BlockKey, decode};
use crate::store::{Block, SpillFiles, SpillReader};
use actix::Addr;
use actix::clock::sleep;
use cluster::blocks::{Blocks, Finding, Payload, ReadAt};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whoever asks may have heard from the scheduler that a block comes here before this worker has: it is looked for once
/// more after each of these times.
const LOOK_AGAIN_MILLISECONDS: [u64; 6] = [2, 4, 8, 16, 32, 64];

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

/// Those of a block in a file, which is opened when the first are read.
struct InFile {
    files: SpillFiles,
    key: BlockKey,
    len: u64,
    reader: Option<SpillReader>,
    tell_vanished: TellVanished,
}

impl InFile {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.files.reader(self.key.block).map_err(io::Error::other)?),
        };
        if reader.bytes() != self.len {
            return Err(io::Error::other("its file is of another length"));
        }
        reader.fill(bytes)
    }
}

impl ReadAt for InFile {
    fn read_at(&mut self, _: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.fill(bytes).inspect_err(|_| (self.tell_vanished)(self.key))
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

    async fn payload(self, key: &[u8]) -> Result<Payload, String> {
        let key: BlockKey = decode(key).map_err(|error| error.to_string())?;
        let askable = self.lock().get(&key.run).cloned();
        let askable = askable.ok_or_else(|| format!("nothing of {:?} is here", key.run))?;
        for milliseconds in LOOK_AGAIN_MILLISECONDS {
            if let Some(payload) = askable.find(key).await? {
                return Ok(payload);
            }
            sleep(Duration::from_millis(milliseconds)).await;
        }
        askable.find(key).await?.ok_or_else(|| format!("{:?} is not here", key.block))
    }
}

impl Askable {
    /// The block, if it is in memory, on its way there, or in a file.
    async fn find(&self, key: BlockKey) -> Result<Option<Payload>, String> {
        let BlockKey { run, block } = key;
        let in_memory = self.worker.send(Fetch { run, block }).await;
        if let Some(found) = in_memory.map_err(|_| "this worker is about to end")? {
            return Ok(Some(Payload::Memory(Box::new(Bytes(found)))));
        }
        let Some(files) = self.run.spill.clone().filter(|files| files.has(block)) else { return Ok(None) };
        let len = self.run.program.stage(block.stage).bytes(block.index);
        let source = InFile { files, key, len, reader: None, tell_vanished: self.tell_vanished.clone() };
        Ok(Some(Payload::Stored { len, source: Box::new(source) }))
    }
}

impl Blocks for BlockDepot {
    fn find(&self, key: Vec<u8>) -> Finding {
        let depot = self.clone();
        Box::pin(async move { depot.payload(&key).await })
    }

    /// The blocks of one stage resemble each other.
    fn array(&self, key: &[u8]) -> Option<u64> {
        let BlockKey { run, block } = decode(key).ok()?;
        Some(run.0 << 32 | u64::from(block.stage.0))
    }
}
