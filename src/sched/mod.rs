//! The scheduler: a pure core that turns events into actions, and the plan made before a run. Pure.
//!
//! - `core`: takes events, gives actions; the only place where the parts below meet
//! - `tasks`, `table`, `counts`: what has become of each task, and how many are where
//! - `walk`, `admission`: the order in which tasks are admitted
//! - `ready`, `lane`, `estimates`, `fleet`: which task is next, and what each worker has to do
//! - `leads`: which assigned tasks others may follow before they are done
//! - `ahead`: how far a run goes ahead of the walk
//! - `memories`, `ledger`: bytes that are reserved in each memory
//! - `holders`, `copies`: copies of blocks
//! - `homes`: where the blocks of a product are best made
//! - `eviction`, `transit`: which blocks leave memory; blocks on their way out, and where they have been written
//! - `sacrifice`: what is given up after a loss
//! - `suspects`: tasks that lost workers had in hand
//! - `outbox`: what is said to each worker
//! - `desk`, `task_map`: a worker's side of a run
//! - `concurrency`: how many I/O tasks or requests go on at once
//! - `plan`, `fleet_plan`, `forecast`, `network_forecast`: before a run, how much memory it needs and what it will move

mod admission;
mod ahead;
mod concurrency;
mod copies;
mod core;
mod counts;
mod desk;
mod estimates;
mod events;
mod eviction;
mod fleet;
mod fleet_plan;
mod forecast;
mod holders;
mod homes;
mod lane;
mod leads;
mod ledger;
mod links;
mod load;
mod memories;
mod network_forecast;
mod outbox;
mod plan;
mod ready;
mod sacrifice;
mod suspects;
mod table;
mod tall;
mod task_map;
mod tasks;
mod transit;
mod walk;

pub use concurrency::{Because, ConcurrencyPolicy, ConcurrencySample, ConcurrencyThresholds, IO_TASKS};
pub use core::{Core, Remaining, RemainingPhase, WorkerView};
pub use desk::{Desk, Orders, Prepared};
pub use estimates::first_guess;
pub use events::{Action, Event, Explain, Holding, Pull, Timing, Unbegun, Whereabouts};
pub use fleet::MOST_THREADS;
pub use fleet_plan::{Allotment, ClientSeat, FleetPlan, Seat, plan_fleet};
pub use forecast::{Swapped, forecast};
pub use network_forecast::forecast_network;
pub use plan::{
    Plan, PlanError, ResultsWhenShort, SpillPlan, Threads, Whose, Workspace, plan, plan_spilling,
    serial_order, workspace,
};
