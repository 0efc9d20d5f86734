//! A session: actors and threads, what they may use, and how an operation is put through them.

use super::bound::{Inputs, SessionId, bind, inputs_of};
use super::error::Error;
use super::handle::Handle;
use super::inputs::{Opened, Planned, open};
use super::operation::Operation;
use super::prepare::{Ready, Request};
use super::randomized::{SKETCH_SHIFT, care_for};
use super::recipe::{Care, Piece, Range};
use super::results::{Results, assemble};
use crate::actors::{Activity, Joined, Outcome, Peers, Progress, Scheduler, Stalls, Submit, Worker};
use crate::array::{Array, BlockSize, Element};
use crate::data::{self, InMemory, Real, Sink};
use crate::exec::{self, Bindings, Functions};
use crate::failure::Failure;
use crate::files::{Depth, Format, NpyOutput, Outputs, ZarrOutput};
use crate::graph::{Graph, Program};
use crate::ids::{RunId, StageId, TaskId, WorkerId};
use crate::sched::{Core, Plan};
use crate::store::{Bound, Budget, Pool, SpillPlace, SpillUse, default_spill_folder, page_cache_room};
use actix::{Actor, Addr};
use futures_channel::oneshot;
use ndarray::Array2;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

/// Threads of a worker that wait for files, beside its compute threads.
/// Two read while two write; how many requests each has in flight is measured.
pub(super) const IO_THREADS: usize = 4;
/// Compute threads of all workers together.
const MOST_THREADS: usize = 1 << 12;

/// What a session may use.
#[derive(Clone, Debug)]
pub struct Builder {
    workers: usize,
    threads: usize,
    memory: Option<u64>,
    block: BlockSize,
    spill_folder: Option<PathBuf>,
    spill_limit: Option<u64>,
    sync_results: bool,
}

impl Builder {
    /// Workers in this process, each an actor with its own threads. Default 1.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Compute threads of each worker. Default: the machine's cores.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Bytes that blocks and workspaces may take together, as far as `ulimit` lets the process have them. Default: 80 % of
    /// the least of what SLURM, the cgroup, `ulimit` and the machine's free memory allow.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    pub fn block(mut self, block: BlockSize) -> Self {
        self.block = block;
        self
    }

    /// Where blocks go when memory is short. Default: the first of SLURM's and the system's folders for temporary files
    /// and the current folder that is on a disk.
    pub fn spill_folder(mut self, folder: PathBuf) -> Self {
        self.spill_folder = Some(folder);
        self
    }

    /// Bytes on disk that they may take together; 0 forbids it. Default: what is free.
    pub fn spill_limit(mut self, bytes: u64) -> Self {
        self.spill_limit = Some(bytes);
        self
    }

    /// Whether result files get their names only when their data is on the disk, not just with the operating system.
    /// Default: true. Without it a run need not wait for the disk, but a power failure soon after it may take its results.
    pub fn sync_results(mut self, sync: bool) -> Self {
        self.sync_results = sync;
        self
    }

    /// Starts the actors and threads.
    pub fn build(self) -> Result<Session, Error> {
        if self.workers == 0 || self.threads == 0 {
            return Err(Error::Request("a session needs at least one worker with one thread".into()));
        }
        if self.workers.saturating_mul(self.threads) > MOST_THREADS {
            let message = format!("a session has at most {MOST_THREADS} threads");
            return Err(Error::Request(message));
        }
        if matches!(self.block, BlockSize::Square(0) | BlockSize::RowsCols(0, _) | BlockSize::RowsCols(_, 0))
        {
            return Err(Error::Request("a block has at least one row and one column".into()));
        }
        Session::start(self)
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub seconds: f64,
    pub tasks: u64,
    pub flops: f64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub peak_memory: u64,
    pub memory_bound: u64,
    pub most_buffers: u64,
    pub recomputed: u64,
    pub blocks: (u64, u64),
    pub spilled: Spilled,
    /// Thread-seconds that computing stood still.
    pub stalls: Stalls,
    /// Most requests in flight to files at once.
    pub io_in_flight: u64,
}

/// What left memory, and what it took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spilled {
    /// Bytes written to disk.
    pub bytes: u64,
    /// The same before compression.
    pub raw_bytes: u64,
    pub read_back_bytes: u64,
    /// The most bytes on disk at once.
    pub peak_bytes: u64,
}

impl Stats {
    /// Counts in an earlier run of the same operation.
    fn add(&mut self, first: &Stats) {
        self.seconds += first.seconds;
        self.tasks += first.tasks;
        self.flops += first.flops;
        self.bytes_read += first.bytes_read;
        self.bytes_written += first.bytes_written;
        self.recomputed += first.recomputed;
        self.peak_memory = self.peak_memory.max(first.peak_memory);
        self.memory_bound = self.memory_bound.max(first.memory_bound);
        self.most_buffers = self.most_buffers.max(first.most_buffers);
        self.spilled.bytes += first.spilled.bytes;
        self.spilled.raw_bytes += first.spilled.raw_bytes;
        self.spilled.read_back_bytes += first.spilled.read_back_bytes;
        self.spilled.peak_bytes = self.spilled.peak_bytes.max(first.spilled.peak_bytes);
        self.stalls = self.stalls.plus(first.stalls);
        self.io_in_flight = self.io_in_flight.max(first.io_in_flight);
    }
}

impl From<SpillUse> for Spilled {
    fn from(SpillUse { written, raw_written, read, peak, .. }: SpillUse) -> Self {
        Spilled { bytes: written, raw_bytes: raw_written, read_back_bytes: read, peak_bytes: peak }
    }
}

/// Where results go.
enum Target<'a> {
    Memory,
    Files(&'a [Arc<dyn Sink>]),
}

struct Inner {
    options: Builder,
    memory: Budget,
    scheduler: Addr<Scheduler>,
    system: actix::System,
    thread: Mutex<Option<JoinHandle<()>>>,
    id: SessionId,
    functions: Mutex<Functions>,
    next: AtomicU64,
    progress: Arc<Progress>,
    stats: Mutex<Stats>,
    depth: Arc<Depth>,
    activity: Arc<Activity>,
    spill: SpillPlace,
}

/// Computes lazy arrays and runs algorithms on the threads of this process. Clones share everything. A program that is
/// nothing but Dolmen calls [`own_process`](super::own_process) first.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub fn builder() -> Builder {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (memory, spill_folder, spill_limit) = (None, None, None);
        let block = BlockSize::Auto;
        Builder { workers: 1, threads, memory, block, spill_folder, spill_limit, sync_results: true }
    }

    /// One worker with a thread for each core.
    pub fn new() -> Result<Session, Error> {
        Session::builder().build()
    }

    fn start(options: Builder) -> Result<Session, Error> {
        let threads = options.workers * (options.threads + IO_THREADS);
        let memory =
            Budget::new(options.memory, threads as u64).map_err(|e| Error::Request(e.to_string()))?;
        let pool = Pool::new(memory.bytes);
        let (tell, hear) = mpsc::channel();
        let fleet = (options.workers, options.threads);
        let depth = Arc::new(Depth::default());
        let activity = Arc::new(Activity::new(depth.clone()));
        let busy = activity.clone();
        let folder = options.spill_folder.clone().unwrap_or_else(default_spill_folder);
        let spill = SpillPlace::new(folder, options.spill_limit);
        if options.spill_folder.is_some() {
            spill.check().map_err(|e| Error::Request(e.to_string()))?;
        }
        let thread = std::thread::Builder::new().name("dolmen-actors".into()).spawn(move || {
            let system = actix::System::new();
            let scheduler = system.block_on(async move { start_actors(fleet, pool, busy) });
            if tell.send((scheduler, actix::System::current())).is_ok() {
                // Runs until the session is dropped; its exit code says nothing.
                let _ = system.run();
            }
        });
        let broken = |e: &dyn std::fmt::Display| Error::Run(format!("cannot start the actors: {e}"));
        let thread = thread.map_err(|e| broken(&e))?;
        let (scheduler, system) = hear.recv().map_err(|e| broken(&e))?;
        Ok(Session(Arc::new(Inner {
            options,
            memory,
            scheduler,
            system,
            thread: Mutex::new(Some(thread)),
            id: SessionId::new(),
            functions: Mutex::default(),
            next: AtomicU64::new(0),
            progress: Arc::default(),
            stats: Mutex::default(),
            depth,
            activity,
            spill,
        })))
    }

    pub fn threads(&self) -> usize {
        self.0.options.threads
    }

    pub fn workers(&self) -> usize {
        self.0.options.workers
    }

    pub fn block(&self) -> BlockSize {
        self.0.options.block
    }

    /// Bytes that blocks and workspaces may take.
    pub fn memory(&self) -> u64 {
        self.0.memory.bytes
    }

    /// What bounds them.
    pub(super) fn memory_bound(&self) -> Bound {
        self.0.memory.bound
    }

    /// May blocks leave memory when it is short?
    pub(super) fn may_spill(&self) -> bool {
        self.0.options.spill_limit != Some(0)
    }

    /// The library that multiplies: `faer` or `openblas`.
    pub fn backend(&self) -> &'static str {
        <kernels::Active as kernels::Backend>::NAME
    }

    /// How many requests its files' devices get at once.
    pub fn depth(&self) -> Arc<Depth> {
        self.0.depth.clone()
    }

    /// How far the current run is.
    pub fn progress(&self) -> Arc<Progress> {
        self.0.progress.clone()
    }

    /// What the last run did.
    pub fn stats(&self) -> Stats {
        *lock(&self.0.stats)
    }

    pub(super) fn bind(&self, source: Arc<dyn data::Source>, shape: (u64, u64), element: Element) -> Array {
        bind(self.0.id, source, shape, element)
    }

    /// A matrix in memory as a lazy array.
    pub fn from_array<T: Real>(&self, array: Array2<T>) -> Array {
        let shape = (array.nrows() as u64, array.ncols() as u64);
        self.bind(Arc::new(InMemory(array)), shape, T::ELEMENT)
    }

    /// A Zarr array of version 3, that is its directory; a dataset of an HDF5 file, as `a.h5:/path/of/it` or the file
    /// alone if there is one matrix in it (with feature `hdf5`); or a `.npy` file, or several with equal columns as one
    /// tall matrix, in which vectors are rows; alone a vector is a column. Only headers are read here. An input that has
    /// changed since then is an error at the end of a run.
    pub fn from_files(&self, paths: &[PathBuf]) -> Result<Array, Error> {
        let Opened { source, shape, element } = open(paths, page_cache_room(self.memory()), self.depth())?;
        Ok(self.bind(source, shape, element))
    }

    /// Makes functions known to hand-wired graphs.
    pub fn functions(&self, register: impl FnOnce(&mut Functions)) {
        register(&mut lock(&self.0.functions));
    }

    /// Runs a blocking computation beside the caller. The answer can be waited for or awaited.
    ///
    /// ```
    /// # fn main() -> Result<(), dolmen::session::Error> {
    /// use dolmen::{array::{Array, Element}, session::Session};
    /// let session = Session::new()?;
    /// let a = Array::normal(500, 20, 1, Element::F64);
    /// let later = session.spawn(move |session| session.svd::<f64>(&a));
    /// assert_eq!(later.wait()?.s.len(), 20);
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn<R, F>(&self, work: F) -> Handle<R>
    where
        R: Send + 'static,
        F: FnOnce(&Session) -> Result<R, Error> + Send + 'static,
    {
        let (tell, answer) = oneshot::channel();
        let session = self.clone();
        std::thread::spawn(move || {
            // Nobody may be waiting any more.
            let _ = tell.send(work(&session));
        });
        Handle { answer }
    }

    /// Runs an operation; its results come as matrices in memory.
    pub fn run(&self, operation: &Operation) -> Result<Results, Error> {
        let results = self.run_to(operation, &Target::Memory)?;
        self.check_unchanged(operation)?;
        Ok(results)
    }

    /// Runs an operation with its results written to files, one path for each result: Zarr arrays in chunks of the
    /// run's blocks where the name ends in `.zarr`, else `.npy`. They appear under their names only when all are whole.
    pub fn run_to_files(&self, operation: &Operation, paths: &[PathBuf]) -> Result<(), Error> {
        operation.check()?;
        let shapes = operation.result_shapes()?;
        if shapes.len() != paths.len() {
            let names: Vec<&str> = shapes.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "{} results need a path each ({}), got {}",
                names.len(),
                names.join(", "),
                paths.len()
            );
            return Err(Error::Request(message));
        }
        // Refused before any file is made.
        let formats: Vec<Format> = paths.iter().map(|path| Format::of(path)).collect();
        let bindings = self.planned(operation, &formats)?;
        let request = Request { operation, bindings: &bindings, to_files: true, care: Care::default() };
        let ready = self.prepare(&request)?;
        let outputs = Outputs::new();
        let element = operation.element()?;
        let mut files: Vec<Arc<dyn Sink>> = Vec::new();
        for (number, ((name, (rows, cols)), path)) in
            operation.result_shapes()?.into_iter().zip(paths).enumerate()
        {
            let cols = (name != "s").then_some(cols);
            files.push(match Format::of(path) {
                Format::Npy => outputs.add(NpyOutput::create(path, rows, cols, element, self.depth())?),
                Format::Zarr => {
                    let chunk = ready.written_blocks(number);
                    outputs.add(ZarrOutput::create(path, rows, cols, chunk, element, self.depth())?)
                }
            });
        }
        self.run_to(operation, &Target::Files(&files))?;
        self.check_unchanged(operation)?;
        if self.0.options.sync_results {
            outputs.sync()?;
        }
        Ok(outputs.commit()?)
    }

    /// The paths of an operation's results in a directory: `u.npy`, `s.npy`, …
    pub fn paths_in(operation: &Operation, directory: &Path, format: Format) -> Result<Vec<PathBuf>, Error> {
        let ending = format.extension();
        let path = |(name, _): super::operation::Named| directory.join(format!("{name}.{ending}"));
        Ok(operation.result_shapes()?.into_iter().map(path).collect())
    }

    /// Runs a graph wired by hand and returns the value of one of its calls.
    pub fn run_graph<V: DeserializeOwned>(
        &self,
        graph: &Graph,
        result: crate::graph::Delayed,
    ) -> Result<V, Error> {
        graph.check(result).map_err(|e| Error::Request(e.to_string()))?;
        let missing = lock(&self.0.functions).missing(graph);
        if let Some(name) = missing.first() {
            return Err(Error::Request(format!("function {name:?} is not registered in this session")));
        }
        let bindings = self.bindings(Inputs::new(), Vec::new());
        let mut program = graph.program();
        exec::annotate(&mut program, &bindings);
        let plan = self.fit(&program).map_err(|e| Error::Request(format!("the graph {e}")))?;
        let outcome = self.execute(Arc::new(program), bindings, &plan, (0, 0))?;
        let block = outcome.1.blocks.get(&TaskId::new(StageId(0), result.index()));
        let block = block.ok_or_else(|| Error::Run("the result of the graph is missing".into()))?;
        Ok(exec::value(block)?)
    }

    /// Runs a program as it is: for benchmarks of the scheduler.
    pub fn run_program(&self, program: Program) -> Result<(), Error> {
        let plan = self.fit(&program).map_err(|e| Error::Request(format!("the program {e}")))?;
        self.execute(Arc::new(program), self.bindings(Inputs::new(), Vec::new()), &plan, (0, 0)).map(|_| ())
    }

    fn inputs(&self, operation: &Operation) -> Result<Inputs, Error> {
        inputs_of(&operation.array()?, self.0.id)
    }

    fn bindings(&self, inputs: Inputs, outputs: Vec<Arc<dyn Sink>>) -> Bindings {
        Bindings { inputs, outputs, functions: lock(&self.0.functions).clone(), ..Bindings::default() }
    }

    /// Bindings to plan with, before files are made.
    pub(super) fn planned(&self, operation: &Operation, formats: &[Format]) -> Result<Bindings, Error> {
        let sink = |format: &Format| Arc::new(Planned(*format)) as Arc<dyn Sink>;
        Ok(self.bindings(self.inputs(operation)?, formats.iter().map(sink).collect()))
    }

    fn run_to(&self, operation: &Operation, target: &Target) -> Result<Results, Error> {
        let care = match self.run_once(operation, target, Care::default()) {
            Ok((results, care)) if care == Care::default() => return Ok(results),
            Ok((_, care)) => care,
            Err(Error::Overflow(_)) if matches!(operation, Operation::Rsvd { .. }) => {
                Care { half_steps: true, sketch_exponent: -SKETCH_SHIFT }
            }
            Err(error) => return Err(error),
        };
        let first = self.stats();
        let results = self.run_once(operation, target, care)?.0;
        lock(&self.0.stats).add(&first);
        Ok(results)
    }

    /// Fails if an input is not what it was when it was opened.
    fn check_unchanged(&self, operation: &Operation) -> Result<(), Error> {
        Ok(self.inputs(operation)?.values().try_for_each(|input| input.check_unchanged())?)
    }

    /// Runs the operation once; also tells what care its spectrum asks for.
    fn run_once(&self, operation: &Operation, target: &Target, care: Care) -> Result<(Results, Care), Error> {
        let sinks: Vec<Arc<dyn Sink>> = match target {
            Target::Memory => Vec::new(),
            Target::Files(files) => files.to_vec(),
        };
        let bindings = self.bindings(self.inputs(operation)?, sinks);
        let to_files = matches!(target, Target::Files(..));
        let ready = self.prepare(&Request { operation, bindings: &bindings, to_files, care })?;
        let Ready { program, mut results, ranges, plan, blocks, .. } = ready;
        let (program, outcome) = self.execute(program, bindings, &plan, blocks)?;
        let mut wanted = care;
        for Range { triangle, squared } in ranges.into_iter().filter(|_| care == Care::default()) {
            let shape = (triangle.grid.rows.len(), triangle.grid.cols.len());
            let piece = Piece { result: 0, place: (0, 0), access: triangle };
            let element = program.stage(triangle.stage).element;
            let r = assemble(&program, (shape, element), &[piece], &outcome.blocks)?;
            wanted = care_for(&r, squared, wanted);
        }
        let enough = wanted == care;
        let mut taken = Results::default();
        if matches!(target, Target::Memory) && enough {
            let element = operation.element()?;
            for (number, (name, shape)) in operation.result_shapes()?.into_iter().enumerate() {
                let (pieces, others) = results.into_iter().partition(|piece| piece.result == number);
                results = others;
                taken.0.push((name, assemble(&program, (shape, element), &pieces, &outcome.blocks)?));
            }
        }
        Ok((taken, if enough { Care::default() } else { wanted }))
    }

    fn execute(
        &self,
        program: Arc<Program>,
        bindings: Bindings,
        plan: &Plan,
        blocks: (u64, u64),
    ) -> Result<(Arc<Program>, Outcome), Error> {
        let began = Instant::now();
        let id = RunId(self.0.next.fetch_add(1, Ordering::Relaxed));
        let bindings = Arc::new(bindings);
        self.0.depth.count_anew();
        let stalls = self.0.activity.stalls();
        let spill = plan.spill.map(|_| self.0.spill.begin(id));
        let (reply, answer) = oneshot::channel();
        let submit = Submit {
            id,
            core: Core::planned(program.clone(), plan),
            program: program.clone(),
            bindings: bindings.clone(),
            plan: *plan,
            spill: spill.clone(),
            progress: self.0.progress.clone(),
            reply,
        };
        // `do_send`: nothing else fills the scheduler's mailbox so far that it could refuse.
        self.0.scheduler.do_send(submit);
        let answer = futures_executor::block_on(answer).unwrap_or_else(|_| Err(broken()));
        let spilled = spill.map_or_else(Spilled::default, |files| files.end().into());
        let (bytes_read, bytes_written) = bindings.traffic.bytes();
        let outcome = answer?;
        *lock(&self.0.stats) = Stats {
            seconds: began.elapsed().as_secs_f64(),
            tasks: program.tasks() as u64,
            flops: program.flops(),
            bytes_read,
            bytes_written,
            peak_memory: outcome.memory.peak,
            memory_bound: plan.bound(),
            most_buffers: outcome.memory.most_buffers,
            recomputed: outcome.recomputed,
            blocks,
            spilled,
            stalls: self.0.activity.stalls().since(stalls),
            io_in_flight: self.0.depth.most() as u64,
        };
        Ok((program, outcome))
    }
}

fn broken() -> Failure {
    Failure::of_run("the scheduler ended before the run")
}

fn start_actors((workers, threads): (usize, usize), pool: Pool, activity: Arc<Activity>) -> Addr<Scheduler> {
    let scheduler = Scheduler::new(pool, activity.clone()).start();
    let peers = Peers::default();
    for at in 0..workers {
        let worker = WorkerId(at as u32);
        let hands = (threads, IO_THREADS);
        let ears = (scheduler.clone().recipient(), scheduler.clone().recipient());
        let address = Worker::new(worker, hands, ears, peers.clone(), activity.clone()).start();
        scheduler.do_send(Joined { worker, threads: threads as u32, address });
    }
    scheduler
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.system.stop();
        if let Some(thread) = lock(&self.thread).take() {
            // The actors' thread has nothing left to say.
            let _ = thread.join();
        }
    }
}
