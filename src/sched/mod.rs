//! The scheduler: a pure core that turns events into actions, and the plan made before a run. Pure.

mod core;
mod cursor;
mod fleet;
mod invariants;
mod moves;
mod plan;
mod ready;
mod recovery;
mod table;

pub use core::{Action, Blame, Core, Event, Explain, Failure, Timing};
pub use plan::{Plan, PlanError, plan, serial_order};
