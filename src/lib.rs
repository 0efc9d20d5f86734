//! Dolmen: an actor-based elastic runtime for large dense linear algebra.
//!
//! Layers, lowest first. Each may import those above it in this list only; the first five are pure:
//! no actor, clock, file, thread or BLAS. `tests/architecture.rs` holds them to it.
//!
//! - [`ids`]: names of stages, tasks, workers
//! - [`failure`]: why a run came to nothing
//! - [`mod@array`]: shapes, block grids, lazy arrays
//! - [`graph`]: programs of stages; inputs, consumers and shares of work as formulas
//! - [`sched`]: the scheduler core and the plan
//! - [`data`]: numbers of either type, and what matrices are read from and written to
//! - [`files`]: `.npy`, Zarr and HDF5 in and out
//! - [`store`]: the pool of buffers and the blocks in it
//! - [`protocol`]: messages and their bytes
//! - [`exec`]: from a task to its kernel
//! - [`actors`]: scheduler, worker, executor
//! - [`net`]: scheduler, workers and clients as processes
//! - [`session`]: what the user holds
//! - `fuzzed`: what fuzz targets do, built for tests and fuzzing only
//! - [`cli`]: the command line

pub mod actors;
pub mod array;
pub mod cli;
pub mod data;
pub mod exec;
pub mod failure;
pub mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
pub mod graph;
pub mod ids;
pub mod net;
pub mod protocol;
pub mod sched;
pub mod session;
pub mod store;

// For files that tests of this crate share with those in `tests/`.
#[cfg(any(test, fuzzing))]
extern crate self as dolmen;

/// The README's example must compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
