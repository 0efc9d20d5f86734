//! The scheduler: a pure core that turns events into actions, and the plan made before a run. Pure.

mod core;
mod cursor;
mod events;
mod fleet;
mod forecast;
mod invariants;
mod moves;
mod place;
mod plan;
mod ready;
mod recovery;
mod spill;
mod swap;
mod table;

pub use core::Core;
pub use events::{Action, Event, Explain, Timing};
pub use forecast::{Swapped, forecast};
pub use plan::{Plan, PlanError, Threads, Workspace, plan, plan_spilling, serial_order};
pub use swap::Whereabouts;
