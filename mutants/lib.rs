//! The pure layers of `dolmen`, see `src/lib.rs`, and messages, in which programs arrive.

pub mod array;
pub mod data {
    mod spec;
    pub use spec::{InputSpec, OutputSpec};
}
pub mod failure;
pub mod graph;
pub mod ids;
pub mod protocol;
pub mod sched;
