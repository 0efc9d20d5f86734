//! Where blocks live: one pool of buffers under a budget, the blocks made of them, and the place on disk for those
//! that memory has no room for.

mod block;
mod budget;
mod choice;
mod limits;
mod page_cache;
mod pool;
mod slurm;
mod spill;
mod spill_file;
mod spill_files;
mod spill_folder;
mod spill_header;
mod spill_key;
mod spill_reader;
#[cfg(test)]
mod testing;

pub use block::Block;
pub use budget::{Budget, Limit, MOST_MEMORY};
pub use cluster::codec::{Codec, Encoding, FRAME_HEADER, PIECE};
pub use limits::{is_bounded, own_process};
pub use page_cache::page_cache_room;
pub use pool::{Buffer, Pool, PoolError, PoolUse};
pub use slurm::own_cores;
pub use spill::{SpillError, SpillPlace};
pub use spill_files::{SpillFiles, SpillUse, Stored};
pub use spill_folder::default_spill_folder;
#[cfg(any(test, fuzzing))]
pub(crate) use spill_header::{HEADER as SPILL_HEADER, SpillHeader, seal};
pub use spill_reader::SpillReader;
