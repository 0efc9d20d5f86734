//! What a run needs of a fleet: processes with a memory each.
//!
//! A run whose processes may spill keeps nothing for good in any memory, results neither: when nothing is under way,
//! everything can leave. So one process that computes must hold the blocks of the largest task, and the client those of
//! the largest task that only it can do. A run whose blocks stay is planned like that of one process, and each has to
//! hold all of it.

use super::plan::{
    COMING, HoldsAll, MORE_IO, Plan, PlanError, ResultsWhenShort, SpillPlan, Threads, Whose, Workspace,
    needs, spilling_workspace, workspace,
};
use crate::graph::Program;
use crate::ids::{StageId, TaskId};
use serde::{Deserialize, Serialize};

/// So many places of a tall matrix for each worker that is there: others may come.
const PLACES_FOR_EACH: u32 = 4;
const FEWEST_PLACES: u32 = 16;
/// At each place the blocks of one path of a tree may be held.
const MOST_PLACES: u32 = 1024;

/// What a process brings along.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seat {
    pub threads: Threads,
    /// Bytes of blocks and workspaces that it may hold.
    pub budget: u64,
    /// Has it a place for blocks that memory has no room for?
    pub may_spill: bool,
}

impl Seat {
    /// Bytes of blocks that it holds beside these workspaces.
    fn bytes(self, workspace: Workspace) -> u64 {
        self.budget.saturating_sub(workspace.of(self.threads))
    }

    /// The budget with which it holds so many bytes of blocks.
    fn budget_for(self, bytes: u64, workspace: Workspace) -> u64 {
        bytes.saturating_add(workspace.of(self.threads))
    }

    /// It holds so many bytes of blocks, or is refused.
    fn check(self, bytes: u64, workspace: Workspace, whose: Whose) -> Result<(), PlanError> {
        let needed = self.budget_for(bytes, workspace);
        if needed > self.budget {
            return Err(PlanError { needed, budget: self.budget, whose });
        }
        Ok(())
    }
}

/// The process that has asked for the run. It reads and writes what nobody else can, and computes nothing.
#[derive(Clone, Copy, Debug)]
pub struct ClientSeat<'a> {
    pub seat: Seat,
    /// Stages of reads and writes that are its own.
    pub pinned: &'a [StageId],
}

/// A run of a fleet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FleetPlan {
    /// Of all processes together: threads, and bytes of blocks.
    pub plan: Plan,
    /// Stages whose tasks only the client can do.
    pub pinned: Vec<StageId>,
}

/// What a process has for a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allotment {
    /// Bytes of blocks.
    pub bytes: u64,
    /// I/O tasks that it may run at once.
    pub io_tasks: u64,
}

impl FleetPlan {
    /// What this process has for the run. It may run more I/O tasks than its seat says, up to `most_io`, as far as a
    /// share of its budget pays for their workspaces and what is read with them.
    pub fn allot(&self, seat: Seat, most_io: u64) -> Allotment {
        let bytes = self.bytes_of(seat);
        let task = self.plan.spill.map_or(0, |spill| spill.window_per_thread);
        let each = task.saturating_add(self.plan.workspace.io).max(1);
        let room = bytes.saturating_sub(self.plan.least_blocks).min(seat.budget / MORE_IO);
        let more = (room / each).min(most_io.saturating_sub(seat.threads.io));
        // Runs of the small portion hold all blocks, and are over soon. A client computes nothing that could wait.
        let more = if self.plan.spill.is_none() || seat.threads.compute == 0 { 0 } else { more };
        Allotment { bytes: bytes - more * self.plan.workspace.io, io_tasks: seat.threads.io + more }
    }

    /// Bytes of blocks that the run may hold in this process. None at all if the run spills and the process cannot.
    pub fn bytes_of(&self, seat: Seat) -> u64 {
        if self.plan.spill.is_some() && !seat.may_spill {
            return 0;
        }
        seat.bytes(self.plan.workspace)
    }
}

/// Proves that `program` can be done by these processes, and by the client if that has a part in it, or refuses. I/O
/// threads want `scratch` bytes for blocks that leave memory. O(tasks).
///
/// # Errors
/// The budget that one of them would have to have. If one has no place to spill to, the blocks that a single thread
/// would hold have to fit each.
pub fn plan_fleet(
    program: &Program,
    workers: &[Seat],
    client: Option<ClientSeat>,
    scratch: u64,
) -> Result<FleetPlan, PlanError> {
    let pinned = client.map_or(&[][..], |client| client.pinned);
    let client = client.map(|client| client.seat);
    let mut all = workers.iter().copied().chain(client);
    let plan = match all.all(|seat| seat.may_spill) {
        true => plan_to_spill(program, workers, client, pinned, scratch)?,
        false => plan_to_hold(program, workers, client)?,
    };
    Ok(FleetPlan { plan, pinned: pinned.to_vec() })
}

fn plan_to_spill(
    program: &Program,
    workers: &[Seat],
    client: Option<Seat>,
    pinned: &[StageId],
    scratch: u64,
) -> Result<Plan, PlanError> {
    let workspace = spilling_workspace(program, scratch);
    let least = largest_of(program, program.stage_ids().filter(|id| !pinned.contains(id)));
    let of_client = largest_of(program, pinned.iter().copied());
    let smallest_budget = check_one(workers, least, workspace)?;
    if let Some(client) = client {
        client.check(of_client, workspace, Whose::Client)?;
    }
    let blocks = workers.iter().copied().chain(client).map(|seat| seat.bytes(workspace));
    let blocks_limit = blocks.fold(0, u64::saturating_add);
    let step = least.max(of_client);
    // Half of what is not needed for anything else is for going ahead.
    let spare = blocks_limit.saturating_sub(needs(program).serial) / 2;
    let spill = SpillPlan {
        window: step.saturating_mul(1 + COMING).max(spare),
        window_per_thread: step,
        least,
        results: ResultsWhenShort::MayLeave,
        width: width_for(workers),
    };
    let threads = threads_of(workers, client);
    Ok(Plan {
        blocks_limit,
        workspace,
        threads,
        smallest_budget,
        least_blocks: least,
        more_io: 0,
        spill: Some(spill),
    })
}

/// So many places of a tall matrix at once that each worker has some of them, and those that come later too.
fn width_for(workers: &[Seat]) -> u32 {
    let places = (workers.len() as u32).saturating_mul(PLACES_FOR_EACH);
    places.clamp(FEWEST_PLACES, MOST_PLACES).next_power_of_two()
}

fn plan_to_hold(program: &Program, workers: &[Seat], client: Option<Seat>) -> Result<Plan, PlanError> {
    let workspace = workspace(program);
    let serial = needs(program).serial;
    let smallest_budget = check_one(workers, serial, workspace)?;
    for worker in workers {
        worker.check(serial, workspace, Whose::EachWorker)?;
    }
    if let Some(client) = client {
        client.check(serial, workspace, Whose::Client)?;
    }
    let smallest = workers.iter().copied().chain(client).map(|seat| seat.bytes(workspace)).min();
    let all = HoldsAll { serial, workspace, threads: threads_of(workers, client), smallest_budget };
    Ok(all.plan(program, smallest.unwrap_or(serial)))
}

/// One worker that computes must hold so many bytes of blocks. Returns the budget of the one that comes nearest.
fn check_one(workers: &[Seat], bytes: u64, workspace: Workspace) -> Result<u64, PlanError> {
    let computing = workers.iter().filter(|seat| seat.threads.compute > 0);
    let lacks = |seat: &&Seat| seat.budget_for(bytes, workspace).saturating_sub(seat.budget);
    let Some(nearest) = computing.min_by_key(lacks) else {
        return Err(PlanError { needed: bytes, budget: 0, whose: Whose::OneWorker });
    };
    nearest.check(bytes, workspace, Whose::OneWorker)?;
    Ok(nearest.budget_for(bytes, workspace))
}

fn threads_of(workers: &[Seat], client: Option<Seat>) -> Threads {
    let all = || workers.iter().copied().chain(client);
    Threads {
        compute: all().map(|seat| seat.threads.compute).sum(),
        io: all().map(|seat| seat.threads.io).sum(),
    }
}

/// Bytes that the largest task of these stages has in its hands: inputs and output. O(tasks).
fn largest_of(program: &Program, stages: impl Iterator<Item = StageId>) -> u64 {
    let mut inputs = Vec::new();
    let mut largest = 0;
    for id in stages {
        for index in 0..program.stage(id).space.tasks() {
            let task = TaskId::new(id, index);
            program.inputs(task, &mut inputs);
            let read: u64 = inputs.iter().map(|block| program.size(*block)).sum();
            largest = largest.max(read + program.reserves(task));
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::{Axis, BlockGrid, Element, Fill, footprint};
    use crate::graph::ProgramBuilder;

    #[test]
    fn a_walk_has_four_places_for_each_worker_and_some_more() {
        let seat = Seat { threads: Threads { compute: 1, io: 1 }, budget: 1, may_spill: true };
        for (workers, width) in [(1, 16), (4, 16), (5, 32), (256, 1024), (1000, 1024)] {
            assert_eq!(width_for(&vec![seat; workers]), width, "{workers} workers");
        }
    }

    #[test]
    fn a_run_that_spills_goes_ahead_by_a_task_and_two_that_come_or_by_half_of_what_is_spare() {
        let block = footprint(100 * 100 * 8);
        let mut builder = ProgramBuilder::default();
        let grid = BlockGrid::new(Axis::new(1000, 100), Axis::whole(100));
        let ten = builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64);
        builder.keep(ten.stage);
        let program = builder.finish();
        for (budget, window) in [(1, 3), (16, 3), (18, 4)] {
            let threads = Threads { compute: 1, io: 1 };
            let seat = Seat { threads, budget: budget * block, may_spill: true };
            let fleet = plan_fleet(&program, &[seat], None, 0).expect("the budget is enough");
            let spill = fleet.plan.spill.expect("it may spill");
            assert_eq!((spill.window_per_thread, spill.window), (block, window * block), "{budget} blocks");
        }
    }
}
