//! Programs: short lists of stages from which every task, edge and cost is computed, not stored. Pure.

mod build;
mod builders;
mod check;
mod check_kinds;
mod fuse;
pub mod kinds;
mod lower;
mod pattern;
mod program;
mod space;
mod stage;
#[cfg(test)]
pub(crate) mod testing;

pub use build::{Access, ProgramBuilder};
pub use builders::{Delayed, Graph, GraphError, Tall};
pub use check::ProgramError;
pub use kinds::Kind;
pub use lower::{LowerError, Lowering};
pub use pattern::{Edges, Pattern, Pick};
pub use program::Program;
pub use space::{Coords, Order, Space};
pub use stage::{Blocks, Read, Stage, Work};
