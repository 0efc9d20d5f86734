//! Machines: keys, the wire between processes, and the policy that decides how many workers there should be.
//!
//! A leaf of the workspace: it knows bytes, machines and seconds, and cannot name what is computed. Neither `dolmen`
//! nor `kernels` may be imported here; `tests/architecture.rs` holds that.
//!
//! - [`role`]: what a process is to the cluster
//! - [`authority`], [`keys`]: certificates are made; they are kept in a folder
//! - [`scheduler_file`]: where the scheduler is
//! - [`frame`]: the header of a frame. Pure.
//! - [`policy`]: how many workers there should be. Pure: the time is an argument.

#![warn(missing_docs)]

pub mod authority;
pub mod frame;
pub mod keys;
pub mod policy;
mod random;
pub mod role;
pub mod scheduler_file;

#[cfg(test)]
mod testing;
