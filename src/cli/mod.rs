//! The command line: a request in words becomes an operation, its outcome an exit code.

mod args;
mod cluster;
mod console;
mod elastic;
mod keygen;
mod log;
mod place;
mod plan;
mod progress;
mod report;
mod run;
mod signals;
mod sizes;
mod walltime;

pub use args::{Command, parse};
pub use run::main;
