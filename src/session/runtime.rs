//! A session: what the user holds of the engine that does the work.

use super::bound::{Inputs, SessionId, bind, inputs_of};
use super::engine::Engine;
use super::error::Error;
use super::handle::Handle;
use super::operation::Operation;
use super::options::SessionBuilder;
use super::prepare::Planner;
use super::stats::Stats;
use crate::actors::Progress;
use crate::array::{Array, BlockSize, Element};
use crate::data::{self, InMemory, Real, Sink};
use crate::exec::{Bindings, Functions};
use crate::files::{Depth, Opened, open_paths};
use crate::net::{ClusterEnd, FailedLogs};
use crate::sched::MOST_THREADS;
use crate::store::{Budget, Limit, page_cache_room};
use futures_channel::oneshot;
use ndarray::Array2;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

struct Inner {
    options: SessionBuilder,
    engine: Engine,
    id: SessionId,
    functions: Mutex<Functions>,
    next: AtomicU64,
    depth: Arc<Depth>,
}

/// Computes lazy arrays and runs algorithms on the threads of this process or on a cluster. Clones share everything. A
/// program that is nothing but Dolmen calls [`own_process`](super::own_process) first.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
    record: Arc<Record>,
}

/// What is known of the runs of a session, or of those of a computation beside it.
#[derive(Default)]
pub(super) struct Record {
    progress: Arc<Progress>,
    /// The figures of the last run that ended.
    pub last: Mutex<Stats>,
}

impl SessionBuilder {
    /// Starts the actors and threads.
    pub fn build(self) -> Result<Session, Error> {
        if self.workers.least == 0 || self.threads == Some(0) {
            return Err(Error::Request("a session needs at least one worker with one thread".into()));
        }
        if self.workers.least > self.workers.most {
            return Err(Error::Request("a session cannot have fewer workers at most than at least".into()));
        }
        if self.workers.most.saturating_mul(self.threads_of_each()) > MOST_THREADS as usize {
            return Err(Error::Request(format!("a session has at most {MOST_THREADS} threads")));
        }
        if matches!(self.block, BlockSize::Square(0) | BlockSize::RowsCols(0, _) | BlockSize::RowsCols(_, 0))
        {
            return Err(Error::Request("a block has at least one row and one column".into()));
        }
        Session::start(self)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub fn builder() -> SessionBuilder {
        SessionBuilder::new()
    }

    /// One worker with a thread for each core.
    pub fn new() -> Result<Session, Error> {
        Session::builder().build()
    }

    fn start(options: SessionBuilder) -> Result<Session, Error> {
        let depth = Arc::new(Depth::default());
        let engine = Engine::start(&options, depth.clone())?;
        let (functions, next) = (Mutex::default(), AtomicU64::new(0));
        let inner = Inner { options, engine, id: SessionId::new(), functions, next, depth };
        Ok(Session { inner: Arc::new(inner), record: Arc::default() })
    }

    /// Ends the workers that the session has started itself ([`SessionBuilder::own_workers`]), and waits until they
    /// have ended. The same happens when its last clone is dropped, and then no log stays.
    pub fn end_workers(&self, logs: FailedLogs) -> ClusterEnd {
        self.inner.engine.end_workers(logs)
    }

    pub fn threads(&self) -> usize {
        self.inner.engine.threads()
    }

    /// Workers of the cluster, or of this process; the most where they come and go.
    pub fn workers(&self) -> usize {
        self.inner.engine.workers().most
    }

    /// The fewest workers where they come and go.
    pub fn least_workers(&self) -> usize {
        self.inner.engine.workers().least
    }

    /// Do processes of a cluster do its work?
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.inner.engine, Engine::Cluster(_))
    }

    pub fn block(&self) -> BlockSize {
        self.inner.options.block
    }

    /// Bytes that blocks and workspaces may take; in a cluster, those of the worker with most.
    pub fn memory(&self) -> u64 {
        self.inner.engine.memory().bytes
    }

    /// What limits them.
    pub fn memory_limit(&self) -> Limit {
        self.inner.engine.memory().limit
    }

    pub(super) fn options(&self) -> &SessionBuilder {
        &self.inner.options
    }

    pub(super) fn id(&self) -> SessionId {
        self.inner.id
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(super) fn next_run(&self) -> u64 {
        self.inner.next.fetch_add(1, Ordering::Relaxed)
    }

    /// What planning has to know of this session.
    pub(super) fn planner(&self) -> Result<Planner, Error> {
        // Before they are there, the workers of a cluster have no memory.
        let place = self.inner.engine.place()?;
        let Budget { bytes, limit } = self.inner.engine.memory();
        Ok(Planner { place, memory: bytes, limit, block: self.options().block })
    }

    pub(super) fn inputs(&self, operation: &Operation) -> Result<Inputs, Error> {
        inputs_of(&operation.array()?, self.id())
    }

    pub(super) fn bindings(&self, inputs: Inputs, outputs: Vec<Arc<dyn Sink>>) -> Bindings {
        Bindings { inputs, outputs, functions: lock(&self.inner.functions).clone(), ..Bindings::default() }
    }

    /// The library that multiplies: `faer` or `openblas`.
    pub fn backend(&self) -> &'static str {
        <kernels::Active as kernels::Backend>::NAME
    }

    /// How many requests its files' devices get at once.
    pub fn depth(&self) -> Arc<Depth> {
        self.inner.depth.clone()
    }

    /// How far the current run is. Computations beside this one ([`Session::spawn`]) have their own.
    pub fn progress(&self) -> Arc<Progress> {
        self.record.progress.clone()
    }

    /// What the last run did that has ended. Computations beside this one ([`Session::spawn`]) have their own; where
    /// several threads share a session, [`Results::stats`](super::Results::stats) says which run is meant.
    pub fn stats(&self) -> Stats {
        *lock(&self.record.last)
    }

    /// An input whose numbers are those of `element`.
    pub(super) fn bind(&self, source: Arc<dyn data::Source>, shape: (u64, u64), element: Element) -> Array {
        bind(self.inner.id, source, shape, element, false)
    }

    /// A matrix in memory as a lazy array.
    pub fn from_array<T: Real>(&self, array: Array2<T>) -> Array {
        let shape = (array.nrows() as u64, array.ncols() as u64);
        self.bind(Arc::new(InMemory(array)), shape, T::ELEMENT)
    }

    /// A matrix that is read by code of the caller's, in blocks and from several threads at once. Other processes do
    /// not have it: in a cluster the caller's reads all of it.
    pub fn from_source(&self, source: Arc<dyn data::Source>, shape: (u64, u64), element: Element) -> Array {
        self.bind(source, shape, element)
    }

    /// A Zarr array of version 3, that is its directory; a dataset of an HDF5 file, as `a.h5:/path/of/it` or the file
    /// alone if there is one matrix in it (with feature `hdf5`); or a `.npy` file, or several with equal columns as
    /// one tall matrix, in which vectors are rows; alone a vector is a column. Only headers are read here. An input
    /// that has changed since then is an error at the end of a run.
    pub fn from_files(&self, paths: &[PathBuf]) -> Result<Array, Error> {
        let Opened { source, shape, element, narrow } =
            open_paths(paths, page_cache_room(self.memory()), self.depth())?;
        Ok(bind(self.inner.id, source, shape, element, narrow))
    }

    /// Makes functions known to hand-wired graphs.
    pub fn functions(&self, register: impl FnOnce(&mut Functions)) {
        register(&mut lock(&self.inner.functions));
    }

    /// Runs a blocking computation beside the caller. The answer can be waited for or awaited. The session that
    /// `work` gets shares all with this one but progress and figures.
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
        let session = Session { inner: self.inner.clone(), record: Arc::default() };
        let progress = session.progress();
        std::thread::spawn(move || {
            // Nobody may be waiting any more.
            let _ = tell.send(work(&session));
        });
        Handle { answer, progress }
    }
}
