//! Scheduler and workers without a session.

use super::IoPlace;
use super::autoscaler::DrainWorkers;
use super::deaf::Deaf;
use super::messages::{self, Fetch, ToWorkers};
use super::run::{Network, Progress, Pulled, Run};
use super::scheduler::{CallRoll, Recruit, Scheduler, Submit};
use super::threads::ThreadProvider;
use super::work_item::{Report, Stopwatch, WorkItem, WorkKind, WorkOutcome};
use super::worker::{Peers, Worker};
use super::{Activity, FromWorkers, Lost, WorkerThreads};
use crate::array::{BlockGrid, Element, Fill};
use crate::exec::Bindings;
use crate::graph::{Program, ProgramBuilder};
use crate::ids::{BlockId, RunId, StageId, TaskList, WorkerId};
use crate::protocol::{FromWorker, ToWorker};
use crate::sched::{Core, Plan, Pull, Threads, plan};
use crate::store::{Block, Encoding, Pool, SpillFiles, SpillPlace};
use actix::{Actor, Addr, Context, Handler, Recipient, System};
use cluster::provider::{End, PlaceState, Provider, Release};
use futures_channel::oneshot;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MEMORY: u64 = 64 << 20;
const BLOCK: BlockId = BlockId { stage: StageId(0), index: 0 };

/// Passes on the first thing that a worker has to say.
struct FirstWord(Option<oneshot::Sender<FromWorker>>);

impl Actor for FirstWord {
    type Context = Context<Self>;
}

impl Handler<FromWorkers> for FirstWord {
    type Result = ();
    fn handle(&mut self, heard: FromWorkers, _: &mut Self::Context) {
        for message in heard.messages {
            if let Some(listener) = self.0.take() {
                listener.send(message).expect("somebody listens");
            }
        }
    }
}

fn activity() -> Arc<Activity> {
    Arc::new(Activity::new(Arc::default()))
}

/// A worker by itself with so many I/O threads.
fn worker(
    name: u32,
    io: usize,
    scheduler: Recipient<FromWorkers>,
    peers: &Peers,
    activity: &Arc<Activity>,
) -> Addr<Worker> {
    let threads = WorkerThreads { compute: 1, io, io_place: IoPlace::BesideCompute };
    let lost = Deaf.start().recipient();
    Worker::new(WorkerId(name), threads, scheduler, lost, peers.clone(), activity.clone()).start()
}

fn empty_tasks(count: u32) -> Arc<Program> {
    let mut builder = ProgramBuilder::default();
    builder.null_wide(count);
    Arc::new(builder.finish())
}

fn plan_of(program: &Program) -> Plan {
    plan(program, Threads { compute: 2, io: 2 }, MEMORY).expect("it fits")
}

/// A run of one block, which has been spilled.
fn spilled(files: SpillFiles) -> Arc<Run> {
    let (program, pool) = (empty_tasks(1), Pool::new(MEMORY));
    let block = Block::new(&pool, (10, 10), Element::F64).expect("room");
    let mut scratch = pool.take(SpillPlace::scratch_len(800)).expect("room");
    files.write(BLOCK, &block, scratch.bytes_mut()).expect("a file");
    let workspace = plan_of(&program).workspace;
    Arc::new(Run {
        id: RunId(1),
        program,
        bindings: Arc::default(),
        workspace,
        pool,
        spill: Some(files),
        network: None,
    })
}

#[test]
fn the_actor_thread_removes_no_file_and_an_io_thread_does() {
    let folder = tempfile::tempdir().unwrap();
    let place = SpillPlace::with_encoding(folder.path().into(), None, Encoding::Raw);
    let run = spilled(place.begin(RunId(1)));
    let bytes = place.in_use();
    assert!(bytes > 0);
    System::new().block_on(async {
        // No I/O thread: what is removed all the same is removed by the actor.
        let worker = worker(0, 0, Deaf.start().recipient(), &Peers::default(), &activity());
        let messages = vec![ToWorker::Free { run: run.id, blocks: [BLOCK].into_iter().collect() }];
        worker.send(ToWorkers { run: run.clone(), messages }).await.expect("an answer");
        assert_eq!(place.in_use(), bytes);
    });
    let report: Report = Arc::new(|_, _| {});
    let done = WorkItem { run, task: BLOCK, kind: WorkKind::Sweep }.perform(
        &mut None,
        &mut Stopwatch::start(),
        &report,
    );
    assert!(matches!(done.unwrap().outcome, WorkOutcome::Swept));
    assert_eq!(place.in_use(), 0);
}

#[test]
fn for_what_a_worker_that_leaves_has_not_begun_nobody_waits() {
    let folder = tempfile::tempdir().unwrap();
    let run = spilled(SpillPlace::with_encoding(folder.path().into(), None, Encoding::Raw).begin(RunId(1)));
    let activity = activity();
    System::new().block_on(async {
        let worker = worker(0, 0, Deaf.start().recipient(), &Peers::default(), &activity);
        let messages = vec![ToWorker::Free { run: run.id, blocks: [BLOCK].into_iter().collect() }];
        worker.send(ToWorkers { run: run.clone(), messages }).await.expect("an answer");
        worker.send(messages::Release).await.expect("an answer");
    });
    activity.begin(1);
    activity.waited(Duration::from_secs(1));
    assert_eq!((activity.stalls().spill, activity.stalls().tasks), (0.0, 1.0));
}

#[test]
fn a_copy_that_fails_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = spilled(SpillPlace::with_encoding(folder.path().into(), None, Encoding::Raw).begin(RunId(1)));
    let (listener, first_word) = oneshot::channel();
    System::new().block_on(async {
        let ear = FirstWord(Some(listener)).start().recipient();
        let worker = worker(0, 1, ear, &Peers::default(), &activity());
        let gone = WorkerId(1);
        let messages = vec![ToWorker::Copy { run: run.id, from: gone, block: BLOCK }];
        worker.send(ToWorkers { run: run.clone(), messages }).await.expect("an answer");
        let failed = FromWorker::CopyFailed { run: run.id, block: BLOCK };
        assert_eq!(first_word.await, Ok(failed));
    });
}

/// A run with one block of ones, which is made where it is asked for.
fn ones() -> Arc<Run> {
    let mut builder = ProgramBuilder::default();
    builder.fill(Fill::Constant(1.0), 0, 0, BlockGrid::whole(10, 10), Element::F64);
    let (program, pool) = (Arc::new(builder.finish()), Pool::new(MEMORY));
    let workspace = plan_of(&program).workspace;
    Arc::new(Run {
        id: RunId(1),
        program,
        bindings: Arc::default(),
        workspace,
        pool,
        spill: None,
        network: None,
    })
}

/// What the second of two workers says when it is told `then` right after it was told to copy a block off the first.
async fn copied_and(then: ToWorker) -> FromWorker {
    let (run, peers) = (ones(), Peers::default());
    let (listener, made) = oneshot::channel();
    let holder = worker(0, 1, FirstWord(Some(listener)).start().recipient(), &peers, &activity());
    let tasks = [BLOCK].into_iter().collect();
    let messages =
        vec![ToWorker::Assign { run: run.id, tasks, fetch: Vec::new(), suspects: Default::default() }];
    holder.send(ToWorkers { run: run.clone(), messages }).await.expect("an answer");
    assert!(matches!(made.await, Ok(FromWorker::Finished { .. })));
    let (listener, first_word) = oneshot::channel();
    let taker = worker(1, 1, FirstWord(Some(listener)).start().recipient(), &peers, &activity());
    let messages = vec![ToWorker::Copy { run: run.id, from: WorkerId(0), block: BLOCK }, then];
    taker.send(ToWorkers { run, messages }).await.expect("an answer");
    first_word.await.expect("a word")
}

#[test]
fn a_copy_is_told_and_one_that_is_freed_on_its_way_comes_to_nothing() {
    System::new().block_on(async {
        let run = RunId(1);
        let nothing = ToWorker::Free { run, blocks: TaskList::default() };
        assert_eq!(copied_and(nothing).await, FromWorker::Copied { run, block: BLOCK });
        let it = ToWorker::Free { run, blocks: [BLOCK].into_iter().collect() };
        assert_eq!(copied_and(it).await, FromWorker::CopyFailed { run, block: BLOCK });
    });
}

/// Has every block at once.
struct AtOnce;

impl Network for AtOnce {
    fn pull(
        &self,
        _: RunId,
        _: BlockId,
        _: WorkerId,
        block: Block,
        done: Box<dyn FnOnce(Option<Pulled>) + Send>,
    ) {
        done(Some(Pulled { block, since: None }));
    }
}

/// Passes on the first letter of a worker.
struct FirstLetter(Option<oneshot::Sender<Vec<FromWorker>>>);

impl Actor for FirstLetter {
    type Context = Context<Self>;
}

impl Handler<FromWorkers> for FirstLetter {
    type Result = ();
    fn handle(&mut self, heard: FromWorkers, _: &mut Self::Context) {
        if let Some(listener) = self.0.take() {
            listener.send(heard.messages).expect("somebody listens");
        }
    }
}

#[test]
fn how_blocks_have_come_from_other_processes_is_told_behind_what_they_were_for() {
    let mut builder = ProgramBuilder::default();
    let ones = builder.fill(Fill::Constant(1.0), 0, 0, BlockGrid::whole(10, 10), Element::F64);
    let product = builder.gemm(ones, ones);
    let (program, pool) = (Arc::new(builder.finish()), Pool::new(MEMORY));
    let workspace = plan_of(&program).workspace;
    let network: Option<Arc<dyn Network>> = Some(Arc::new(AtOnce));
    let bindings = Arc::default();
    let run = Arc::new(Run { id: RunId(1), program, bindings, workspace, pool, spill: None, network });
    let tasks: TaskList = [BlockId { stage: product.stage, index: 0 }].into_iter().collect();
    let holder = WorkerId(1);
    let told = System::new().block_on(async {
        let (listener, first_letter) = oneshot::channel();
        let ear = FirstLetter(Some(listener)).start().recipient();
        let worker = worker(0, 1, ear, &Peers::default(), &activity());
        let fetch = vec![(BLOCK, holder)];
        let (tasks, suspects) = (tasks.clone(), TaskList::default());
        let messages = vec![ToWorker::Assign { run: run.id, tasks, fetch, suspects }];
        worker.send(ToWorkers { run: run.clone(), messages }).await.expect("an answer");
        first_letter.await.expect("a letter")
    });
    let [FromWorker::Finished { tasks: done, .. }, FromWorker::Pulled { pulls, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(*done, tasks);
    let [Pull { from, blocks, bytes, seconds }] = pulls[..] else { panic!("{pulls:?}") };
    assert_eq!((from, blocks, bytes), (holder, 1, 800));
    assert!(seconds >= 0.0);
}

/// A scheduler with so many workers of one compute and one I/O thread, and those by their numbers.
async fn fleet(workers: u32) -> (Addr<Scheduler>, Peers) {
    let peers = Peers::default();
    let threads = WorkerThreads { compute: 1, io: 1, io_place: IoPlace::BesideCompute };
    let scheduler = Scheduler::new(Pool::new(MEMORY), threads, peers.clone(), activity()).start();
    scheduler.send(Recruit((0..workers).map(name_of).collect())).await.expect("an answer");
    while peers.lock().unwrap().len() < workers as usize {
        scheduler.send(CallRoll).await.expect("an answer");
    }
    (scheduler, peers)
}

fn name_of(worker: u32) -> String {
    format!("worker-{worker}")
}

fn leave(worker: u32) -> DrainWorkers {
    DrainWorkers(vec![name_of(worker)])
}

fn address(peers: &Peers, worker: u32) -> Addr<Worker> {
    peers.lock().unwrap()[&WorkerId(worker)].clone()
}

async fn is_there(worker: &Addr<Worker>) -> bool {
    worker.send(Fetch { run: RunId(1), block: BLOCK, waits: true }).await.is_ok()
}

#[test]
fn a_worker_that_leaves_while_nothing_runs_is_let_go() {
    System::new().block_on(async {
        let (scheduler, peers) = fleet(2).await;
        let workers = [address(&peers, 0), address(&peers, 1)];
        scheduler.send(leave(0)).await.expect("an answer");
        assert!(!is_there(&workers[0]).await);
        assert!(is_there(&workers[1]).await);
    });
}

/// Runs empty tasks while `leave` happens right after the submission.
async fn run_while(scheduler: &Addr<Scheduler>, tasks: u32, leave: DrainWorkers) -> Result<(), String> {
    let program = empty_tasks(tasks);
    let (reply, answer) = oneshot::channel();
    let plan = plan_of(&program);
    let submit = Submit {
        id: RunId(1),
        core: Core::planned(program.clone(), &plan),
        program,
        bindings: Arc::new(Bindings::default()),
        plan,
        spill: None,
        progress: Arc::new(Progress::default()),
        submitted: Instant::now(),
        reply,
    };
    scheduler.send(submit).await.expect("an answer");
    scheduler.send(leave).await.expect("an answer");
    answer.await.expect("an answer").map(|_| ()).map_err(|failure| failure.message)
}

#[test]
fn a_worker_that_leaves_during_a_run_is_gone_after_it() {
    System::new().block_on(async {
        let (scheduler, peers) = fleet(2).await;
        let workers = [address(&peers, 0), address(&peers, 1)];
        run_while(&scheduler, 5000, leave(0)).await.expect("the other one does it");
        assert!(!is_there(&workers[0]).await);
        assert!(is_there(&workers[1]).await);
    });
}

#[test]
fn a_run_ends_when_its_last_worker_has_left() {
    System::new().block_on(async {
        let (scheduler, peers) = fleet(1).await;
        let worker = address(&peers, 0);
        let error = run_while(&scheduler, 1_000_000, leave(0)).await.expect_err("nobody is left");
        assert_eq!(error, "no worker is left: worker-0 has left");
        assert!(!is_there(&worker).await);
    });
}

/// So many places, and what became of each.
fn states(provider: &mut ThreadProvider) -> Vec<(String, PlaceState)> {
    let places = provider.state(1.0).expect("it knows");
    places.into_iter().map(|place| (place.name, place.state)).collect()
}

#[test]
fn a_provider_of_threads_tells_who_is_there_who_left_and_whose_threads_did_not_start() {
    // The provider waits for the scheduler, so they are on two threads.
    let (tell, hear) = std::sync::mpsc::channel();
    let actors = std::thread::spawn(move || {
        let system = System::new();
        let threads = WorkerThreads { compute: 1, io: 1, io_place: IoPlace::BesideCompute };
        let start =
            async { Scheduler::new(Pool::new(MEMORY), threads, Peers::default(), activity()).start() };
        tell.send((system.block_on(start), System::current())).expect("somebody listens");
        system.run().expect("it ends when told");
    });
    let (scheduler, system) = hear.recv().expect("a scheduler");
    let mut provider = ThreadProvider::new(scheduler.clone(), 3);
    let name = |number: u32| format!("threads-{number}");
    assert_eq!(provider.ask(2, 0.0).unwrap(), [name(0), name(1)]);
    assert_eq!(provider.ask(5, 0.0).unwrap(), [name(2)], "never more than the most");
    let running = |number| (name(number), PlaceState::Running);
    assert_eq!(states(&mut provider), [running(0), running(1), running(2)]);
    provider.release(Release::These(&[name(1)]), 1.0).unwrap();
    assert_eq!(states(&mut provider), [running(0), (name(1), PlaceState::Ended(End::Left)), running(2)]);
    assert_eq!(states(&mut provider), [running(0), running(2)], "an end is told once");
    scheduler.do_send(Lost { worker: WorkerId(2), why: "no room".into() });
    assert_eq!(states(&mut provider), [running(0), (name(2), PlaceState::Ended(End::Failed))]);
    let refusal = provider.ask(1, 2.0).expect_err("not at once again");
    assert_eq!(
        (refusal.words.as_str(), refusal.again),
        ("threads-2: cannot start its threads: no room", 16.0)
    );
    assert_eq!(provider.ask(1, 16.0).unwrap(), [name(3)]);
    provider.release(Release::All, 17.0).unwrap();
    assert!(states(&mut provider).iter().all(|(_, state)| !state.is_there()));
    system.stop();
    actors.join().expect("no panic");
}
