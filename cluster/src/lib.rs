//! Machines: frames on the wire and the policy that decides how many workers there should be.
//!
//! A leaf of the workspace: it knows bytes, machines and seconds, and cannot name what is computed. Neither `dolmen`
//! nor `kernels` may be imported here; `tests/architecture.rs` holds that.
//!
//! - [`frame`]: the header of a frame. Pure.
//! - [`policy`]: how many workers there should be. Pure: the time is an argument.

#![warn(missing_docs)]

pub mod frame;
pub mod policy;

#[cfg(test)]
mod testing;
