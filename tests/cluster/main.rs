//! Schedulers, workers and clients as real processes on this machine.

#[path = "../support/mod.rs"]
mod support;

mod bits;
mod bound;
mod chaos;
mod contained;
mod crashes;
mod cut;
mod elastic;
mod full;
mod hostile;
mod io_tasks;
mod killer;
mod leaving;
mod line;
mod memory_group;
mod networks;
mod own;
mod peer;
mod processes;
mod refused;
mod resumed;
mod several;
mod status;
mod unshared;
mod wire;
