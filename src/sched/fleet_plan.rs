//! What a run needs of a fleet: processes with a memory each.
//!
//! Every run of a fleet is planned as one that may spill. When nothing is assigned anywhere, all but results may leave
//! every memory. So the next task of the walk fits the memory of any process that holds `S`: all results and the blocks
//! of the task. One such process is all that the fleet has to have.

use super::plan::{COMING, Plan, PlanError, SpillPlan, Threads, largest_task, needs, spilling_workspace};
use crate::graph::Program;
use serde::{Deserialize, Serialize};

/// What a process brings along.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seat {
    pub threads: Threads,
    /// Bytes of blocks and workspaces that it may hold.
    pub budget: u64,
    /// Has it a place for blocks that memory has no room for?
    pub may_spill: bool,
}

/// A run of a fleet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FleetPlan {
    /// Of all processes together: threads, and bytes of blocks.
    pub plan: Plan,
}

impl FleetPlan {
    /// Bytes that the run may hold in this process, blocks and workspaces.
    pub fn bound_of(&self, seat: Seat) -> u64 {
        seat.budget
    }

    /// Bytes of blocks that the run may hold in this process.
    pub fn bytes_of(&self, seat: Seat) -> u64 {
        seat.budget.saturating_sub(self.plan.workspace.of(seat.threads))
    }
}

/// Proves that `program` can be done by these processes, or refuses. I/O threads want `scratch` bytes for blocks that
/// leave memory. O(tasks).
///
/// # Errors
/// The budget that one of them would have to have. Without a place to spill to, the blocks that a single thread would
/// hold have to fit the smallest.
pub fn plan_fleet(program: &Program, fleet: &[Seat], scratch: u64) -> Result<FleetPlan, PlanError> {
    let workspace = spilling_workspace(program, scratch);
    let needs = needs(program);
    let mut threads = Threads { compute: 0, io: 0 };
    let mut blocks_limit: u64 = 0;
    for seat in fleet {
        threads.compute += seat.threads.compute;
        threads.io += seat.threads.io;
        blocks_limit = blocks_limit.saturating_add(seat.budget.saturating_sub(workspace.of(seat.threads)));
    }
    let all_spill = fleet.iter().all(|seat| seat.may_spill);
    let least = if all_spill { needs.spilling } else { needs.serial };
    let needed = |seat: &Seat| least.saturating_add(workspace.of(seat.threads));
    let by_budget = |seat: &&Seat| seat.budget;
    // If all may spill one has to be large enough, else each.
    let asked =
        if all_spill { fleet.iter().max_by_key(by_budget) } else { fleet.iter().min_by_key(by_budget) };
    let Some(asked) = asked else { return Err(PlanError { needed: least, budget: 0 }) };
    let smallest_budget = needed(asked);
    if smallest_budget > asked.budget {
        return Err(PlanError { needed: smallest_budget, budget: asked.budget });
    }
    let ahead = (threads.compute + COMING).saturating_mul(largest_task(program));
    let window = least.saturating_add(ahead).min(blocks_limit);
    let spill = Some(SpillPlan { window, least });
    Ok(FleetPlan { plan: Plan { blocks_limit, workspace, threads, smallest_budget, spill } })
}
