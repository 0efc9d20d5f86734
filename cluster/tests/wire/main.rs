//! Processes that meet over loopback: friends, and peers that are hostile, broken or late.

#[path = "../support/mod.rs"]
mod support;

mod control;
mod holders;
mod keys;
mod pulls;
mod strangers;
