//! Processes that meet over loopback: friends, and peers that are hostile, broken or late.

#[path = "../support/mod.rs"]
mod support;

mod compressed;
mod control;
mod holders;
mod keys;
mod pulls;
mod strangers;
