//! Where blocks live: one pool of buffers under a budget, and the blocks made of them.

mod block;
mod budget;
mod page_cache;
mod pool;

pub use block::{Block, Numbers, NumbersMut, Real};
pub use budget::default_memory;
pub use page_cache::page_cache_room;
pub use pool::{Buffer, Pool, PoolError, PoolUse};
