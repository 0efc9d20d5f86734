//! Numbers at rest and where they come from and go to: the element types as Rust types, and the traits of everything
//! that matrices are read from and written to.

mod in_memory;
mod numbers;
mod region;
mod source;
mod spec;

pub use in_memory::InMemory;
pub use numbers::{Matrix, Numbers, NumbersMut, Real};
pub use region::Region;
pub use source::{Chunks, ReadBlocks, Sink, Source, WriteBlocks};
pub use spec::{FileSpec, InputFormat, InputSpec, OutputFormat, OutputSpec};
