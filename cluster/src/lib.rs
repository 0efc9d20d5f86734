//! Machines: keys, the wire between processes, and the policy that decides how many workers there should be.
//!
//! A leaf of the workspace: it knows bytes, machines and seconds, and cannot name what is computed. Neither `dolmen`
//! nor `kernels` may be imported here; `tests/architecture.rs` holds that.
//!
//! - [`role`], [`life`], [`hello`]: who a process is
//! - [`authority`], [`keys`], [`tls`]: certificates are made, kept in a folder, and believed
//! - [`scheduler_file`]: where the scheduler is
//! - [`endpoint`]: listens, connects, gets blocks
//! - [`peer`], [`blocks`], [`limits`]: what happens on control connections, what others may ask for, what they may cost
//! - [`frame`]: the header of a frame. Pure.
//! - [`codec`], [`sample`]: from bytes to fewer bytes and back, and what that costs
//! - [`provider`]: where workers come from
//! - [`local`], [`slurm`]: workers as processes of this machine, and as jobs of a batch system
//! - [`backoff`]: when to ask again after a refusal. Pure.
//! - [`device`]: what files give to workers, learnt from what was moved. Pure.
//! - [`policy`]: how many workers there should be. Pure: the time is an argument.
//! - [`scaling`]: what the policy is asked, and what follows from its answer. Pure.
//!
//! What goes over the wire is told in `docs/protocol.md`.

#![warn(missing_docs)]

mod accept;
pub mod authority;
pub mod backoff;
pub mod blocks;
pub mod codec;
mod coding;
mod compression;
pub mod device;
pub mod endpoint;
pub mod frame;
mod framed;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod handshake;
pub mod hello;
pub mod keys;
pub mod life;
pub mod limits;
pub mod local;
mod log_limit;
mod owner;
mod pace;
pub mod peer;
pub mod policy;
mod private_file;
pub mod provider;
mod pull;
mod queue;
mod random;
pub mod role;
pub mod sample;
pub mod scaling;
pub mod scheduler_file;
mod serve;
mod shuffle;
pub mod slurm;
mod stream;
mod switchboard;
pub mod tls;

pub use framed::Ending;
pub use handshake::ConnectError;
pub use private_file::FileError;
pub use pull::{Came, Holder, PullError};
pub use queue::SendError;

#[cfg(test)]
mod testing;
