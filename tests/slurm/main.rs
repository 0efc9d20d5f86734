//! A real SLURM of four nodes on this machine (`slurm/testbed`), and the scripts of `slurm/` in it. Passes where there
//! is no SLURM, and says so.

mod bed;
mod elastic;
mod job;
mod own;
mod phases;
mod provider;
mod run;
mod scheduler;
mod small_job;
#[path = "../support/mod.rs"]
mod support;
mod svd;
mod testbed;
mod world;
