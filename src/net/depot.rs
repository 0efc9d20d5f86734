//! The blocks of this process, for others.

use crate::actors::{Fetch, Fetched, Run, Worker};
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

/// Whoever asks may have heard from the scheduler that a block comes here before this worker has, or before the run has
/// begun here: it is looked for once more after each of these times.
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
        let mut pauses = LOOK_AGAIN_MILLISECONDS.into_iter();
        loop {
            let found = self.look(key).await?;
            let Some(milliseconds) = pauses.next().filter(|_| found.is_none()) else {
                return found.ok_or_else(|| format!("{:?} of {:?} is not here", key.block, key.run));
            };
            sleep(Duration::from_millis(milliseconds)).await;
        }
    }

    /// None if nothing is known of the block.
    async fn look(&self, key: BlockKey) -> Result<Option<Payload>, String> {
        let askable = self.lock().get(&key.run).cloned();
        match askable {
            Some(askable) => askable.find(key).await,
            None => Ok(None),
        }
    }
}

impl Askable {
    /// The block, if it is in memory, on its way there, or in a file. None if nothing is known of it.
    ///
    /// One that was on its way and has not come is refused. It is not looked for again: the next time it is on its way
    /// here it may come from whoever asks, and each would wait for the other. For the same reason nobody waits for one
    /// that is in a file here.
    async fn find(&self, key: BlockKey) -> Result<Option<Payload>, String> {
        let BlockKey { run, block } = key;
        let is_in_file = || self.run.spill.as_ref().is_some_and(|files| files.has(block));
        let in_memory = self.worker.send(Fetch { run, block, waits: !is_in_file() }).await;
        let in_memory = in_memory.map_err(|_| "this worker is about to end")?;
        let files = self.run.spill.clone().filter(|_| is_in_file());
        let files = match (in_memory, files) {
            (Fetched::Found(found), _) => return Ok(Some(Payload::Memory(Box::new(Bytes(found))))),
            (_, Some(files)) => files,
            (Fetched::Failed, None) => return Err(format!("{block:?} has not come here")),
            (Fetched::Nowhere, None) => return Ok(None),
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::{Activity, Deaf, IoPlace, Network, Peers, Pulled, ToWorkers, WorkerThreads};
    use crate::array::{BlockGrid, Element, Fill};
    use crate::graph::ProgramBuilder;
    use crate::ids::{BlockId, StageId, TaskList, WorkerId};
    use crate::protocol::{ToWorker, encode};
    use crate::sched::{Threads, plan};
    use crate::store::{Pool, SpillPlace};
    use actix::clock::timeout;
    use actix::{Actor, System};
    use std::sync::mpsc;
    use std::task;

    const BLOCK: BlockId = BlockId { stage: StageId(0), index: 0 };
    const RUN: RunId = RunId(1);
    const MEMORY: u64 = 64 << 20;
    const LONG: Duration = Duration::from_secs(180);

    /// A block that was asked for: it comes, or does not, when the test says so.
    struct Asked {
        block: Block,
        done: Box<dyn FnOnce(Option<Pulled>) + Send>,
    }

    struct ByHand(mpsc::Sender<Asked>);

    impl Network for ByHand {
        fn pull(
            &self,
            _: RunId,
            _: BlockId,
            _: WorkerId,
            block: Block,
            done: Box<dyn FnOnce(Option<Pulled>) + Send>,
        ) {
            self.0.send(Asked { block, done }).expect("the test listens");
        }
    }

    /// A depot, the worker behind it, and what that one asks others for.
    struct Scene {
        depot: BlockDepot,
        worker: Addr<Worker>,
        run: Arc<Run>,
        reader: TaskList,
        asked: mpsc::Receiver<Asked>,
    }

    impl Scene {
        /// The run has not begun.
        fn new() -> Scene {
            Scene::with_files(None)
        }

        fn with_files(spill: Option<SpillFiles>) -> Scene {
            let mut builder = ProgramBuilder::default();
            let ones = builder.fill(Fill::Constant(1.0), 0, 0, BlockGrid::whole(10, 10), Element::F64);
            let product = builder.gemm(ones, ones);
            let program = Arc::new(builder.finish());
            let workspace = plan(&program, Threads { compute: 1, io: 1 }, MEMORY).expect("it fits").workspace;
            let (tell, asked) = mpsc::channel();
            let network: Option<Arc<dyn Network>> = Some(Arc::new(ByHand(tell)));
            let (bindings, pool) = (Arc::default(), Pool::new(MEMORY));
            let run = Arc::new(Run { id: RUN, program, bindings, workspace, pool, spill, network });
            let threads = WorkerThreads { compute: 1, io: 1, io_place: IoPlace::BesideCompute };
            let (hears, lost) = (Deaf.start().recipient(), Deaf.start().recipient());
            let activity = Arc::new(Activity::new(Arc::default()));
            let worker = Worker::new(WorkerId(0), threads, hears, lost, Peers::default(), activity).start();
            let reader = [BlockId { stage: product.stage, index: 0 }].into_iter().collect();
            Scene { depot: BlockDepot::default(), worker, run, reader, asked }
        }

        fn begin(&self) {
            self.depot.begin(self.run.clone(), self.worker.clone(), |_| {});
        }

        /// Another process asks for the block, and nobody has answered yet.
        fn ask(&self) -> Finding {
            let key = BlockKey { run: RUN, block: BLOCK };
            let mut finding = self.depot.find(encode(&key).expect("it is short"));
            let mut context = task::Context::from_waker(task::Waker::noop());
            assert!(finding.as_mut().poll(&mut context).is_pending());
            finding
        }

        /// The worker is told of a task that reads the block.
        fn assign(&self) {
            let (tasks, fetch) = (self.reader.clone(), vec![(BLOCK, WorkerId(1))]);
            let assign = ToWorker::Assign { run: RUN, tasks, fetch, suspects: TaskList::default() };
            self.worker.do_send(ToWorkers { run: self.run.clone(), messages: vec![assign] });
        }

        /// The worker has taken up all that was sent to it.
        async fn settled(&self) {
            let nothing = ToWorkers { run: self.run.clone(), messages: Vec::new() };
            self.worker.send(nothing).await.expect("an answer");
        }

        fn pulled(&self) -> Asked {
            self.asked.recv_timeout(LONG).expect("the worker asks for the block")
        }

        fn comes(&self) {
            let Asked { block, done } = self.pulled();
            done(Some(Pulled { block, since: None }));
        }
    }

    async fn answer(finding: Finding) -> Result<Payload, String> {
        timeout(LONG, finding).await.expect("nobody waits for ever")
    }

    #[test]
    fn who_waits_for_a_block_that_does_not_come_is_refused_and_does_not_wait_for_it_to_come_again() {
        System::new().block_on(async {
            let scene = Scene::new();
            scene.begin();
            scene.assign();
            scene.settled().await;
            let finding = scene.ask();
            scene.settled().await;
            (scene.pulled().done)(None);
            // It is on its way again, this time from whoever asked.
            scene.assign();
            scene.settled().await;
            let _never_comes = scene.pulled();
            let refusal = answer(finding).await.err();
            assert_eq!(refusal, Some(format!("{BLOCK:?} has not come here")));
        });
    }

    #[test]
    fn nobody_waits_for_a_block_on_its_way_that_is_in_a_file_here() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = SpillPlace::new(folder.path().into(), None).begin(RUN);
        let written = Block::new(&Pool::new(MEMORY), (10, 10), Element::F64).expect("room");
        let mut scratch = vec![0; SpillPlace::scratch_len(written.bytes().len() as u64) as usize];
        System::new().block_on(async {
            let scene = Scene::with_files(Some(files.clone()));
            scene.begin();
            scene.assign();
            scene.settled().await;
            let _never_comes = scene.pulled();
            files.write(BLOCK, &written, &mut scratch).expect("it is written");
            assert!(matches!(answer(scene.ask()).await, Ok(Payload::Stored { .. })));
        });
    }

    #[test]
    fn a_block_is_looked_for_again_of_which_this_worker_has_not_heard_yet() {
        System::new().block_on(async {
            let scene = Scene::new();
            scene.begin();
            let finding = scene.ask();
            scene.settled().await;
            scene.assign();
            scene.settled().await;
            scene.comes();
            assert!(matches!(answer(finding).await, Ok(Payload::Memory(_))));
        });
    }

    #[test]
    fn a_block_is_looked_for_again_whose_run_has_not_begun_here_yet() {
        System::new().block_on(async {
            let scene = Scene::new();
            let finding = scene.ask();
            scene.begin();
            scene.assign();
            scene.settled().await;
            scene.comes();
            assert!(matches!(answer(finding).await, Ok(Payload::Memory(_))));
        });
    }
}
