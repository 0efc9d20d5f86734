//! Disks: files read and written past the page cache or through it, and how many requests a device gets at once.

mod depth;
mod device;
mod flight;
mod meter;
mod processors;
mod space;
mod threads;

pub use depth::Depth;
pub use device::{Device, PAGE, WORTH_DIRECT, exceeds_cache, is_whole_pages, scratch_for};
pub use flight::{Pieces, WORTH_THREADS, in_flight};
pub use meter::{Change, Meter};
pub use space::{allocate, file_system, free_space};
