//! Workers as jobs of SLURM.
//!
//! - [`options`], [`script`]: what is submitted. Pure.
//! - [`job_name`]: by which a next start knows its own jobs. Pure.
//! - [`job_state`], [`listing`]: what `squeue` says, and what it means. Pure.
//! - [`refused`]: why SLURM did not do what it was asked. Pure.
//! - [`jobs`]: all jobs that are known. Pure.
//! - [`commands`]: the programs that are called, and for how long they are waited for.
//! - [`nodes`]: where nodes are in the network.
//! - [`walltime`]: when the job ends that a process is a part of.
//! - [`provider`]: [`SlurmProvider`], which calls them.
//!
//! One call of `squeue` tells the states of all jobs, those that have ended included, for as long as SLURM remembers
//! them. Workers are asked for as an array of jobs, with one call of `sbatch`.

pub mod commands;
pub mod job_name;
pub mod job_state;
pub mod jobs;
pub mod listing;
pub mod nodes;
pub mod options;
pub mod provider;
pub mod refused;
pub mod script;
pub mod walltime;

pub use commands::Programs;
pub use options::{OptionsError, SlurmOptions, SlurmRequest};
pub use provider::SlurmProvider;

#[cfg(test)]
mod testing;
