//! Programs: short lists of stages from which every task, edge and cost is computed, not stored. Pure.

mod build;
mod calls;
mod delayed;
mod fuse;
mod lower;
mod pattern;
mod program;
mod space;
mod stage;
mod tall;

pub use build::{Access, ProgramBuilder};
pub use calls::{CallInput, Calls};
pub(crate) use delayed::RESULT_HEADER;
pub use delayed::{Delayed, Graph, GraphError};
pub use lower::{LowerError, Lowering};
pub use pattern::{Edges, Pattern, Pick};
pub use program::Program;
pub use space::{Coords, Order, Space};
pub(crate) use stage::rows_below;
pub use stage::{Blocks, Kind, MapOp, Operand, Part, Read, Seed, Stage, Work};
pub use tall::Tall;
