//! Where blocks live: one pool of buffers under a budget, and the blocks made of them.

mod block;
mod budget;
mod codec;
mod pool;
mod shuffle;

pub use block::{Block, Numbers, NumbersMut, Real};
pub use budget::default_memory;
pub use codec::Encoding;
pub use pool::{Buffer, Pool, PoolError, PoolUse};
