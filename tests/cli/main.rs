//! The program as a user meets it: DESIGN's command line, held to NUMERICS' bounds by code that shares nothing with it.

#[path = "../support/mod.rs"]
mod support;

mod console;
mod contract;
mod keys;
mod limits;
mod names;
mod outputs;
mod owners;
mod reference;
mod refused;
mod results;
mod same_bits;
mod signals;
mod workers;
