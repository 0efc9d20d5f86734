//! Before a run: the program of an operation, and the way in which it fits the memory.

use super::error::Error;
use super::operation::Operation;
use super::recipe::{Care, Piece, Recipe, Spread, Ways};
use crate::array::{BlockSize, Node, Origin};
use crate::data::Chunks;
use crate::exec::{self, Bindings};
use crate::graph::kinds::Io;
use crate::graph::{Program, Stage};
use crate::net::{counted, whole_for};
use crate::protocol::FleetMember;
use crate::sched::{Plan, PlanError, Seat, Swapped, Threads, forecast, plan, plan_fleet, plan_spilling};
use crate::store::{Limit, SpillPlace};
use std::sync::Arc;

/// The search for blocks that would fit ends where programs get longer than this.
const LONGEST_SEARCH: usize = 1 << 20;
/// Beyond so many tasks a way that fits is taken without asking whether one that spills would move less.
const LONGEST_COMPARED: usize = 1 << 17;
/// What ways are compared by: rough rates of one disk and one core, of which only the ratio matters.
const DISK_BYTES_PER_SECOND: f64 = 1e9;
const CORE_FLOPS_PER_SECOND: f64 = 2e10;

#[cfg(test)]
thread_local! {
    /// How often an operation has been prepared on this thread.
    pub(super) static PREPARED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// An operation, and what it is done with.
#[derive(Clone, Copy)]
pub(super) struct PlanRequest<'a> {
    pub operation: &'a Operation,
    pub bindings: &'a Bindings,
    pub to_files: bool,
    pub care: Care,
}

/// A program that fits.
pub(super) struct Ready {
    pub program: Arc<Program>,
    pub results: Vec<Piece>,
    pub spreads: Vec<Spread>,
    pub plan: Plan,
    /// The most bytes that one process will hold, proven.
    pub bound: u64,
    pub blocks: (u64, u64),
    /// What will leave memory and come back, about.
    pub swapped: Swapped,
}

/// May blocks leave memory?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    All,
    Spill,
}

impl Ready {
    /// Rows and columns of the blocks in which a result is written, the largest ones.
    pub fn written_blocks(&self, result: usize) -> (u64, u64) {
        let pieces = self.results.iter().filter(|piece| piece.result == result);
        pieces.map(|piece| piece.access.grid.block_shape()).max().unwrap_or((1, 1))
    }
}

/// Where a run is to be done.
#[derive(Clone)]
pub(super) enum RunPlace {
    /// On these threads, all workers' together, in a memory that they share.
    Here {
        threads: Threads,
        /// I/O threads that there may be at the most, if the budget pays for them.
        most_io: u64,
        budget: u64,
        /// May blocks leave memory when it is short?
        may_spill: bool,
    },
    /// By processes with a memory each.
    Fleet(Vec<FleetMember>),
}

/// A process whose memory is too small, as a refusal names it.
struct TooSmall<'a> {
    worker: &'a FleetMember,
    /// All of them have to be large enough, since one may not spill. Else one has to be.
    of_all: bool,
}

impl RunPlace {
    fn threads(&self) -> Threads {
        match self {
            RunPlace::Here { threads, .. } => *threads,
            RunPlace::Fleet(workers) => Threads {
                compute: workers.iter().map(|worker| worker.seat.threads.compute).sum(),
                io: workers.iter().map(|worker| worker.seat.threads.io).sum(),
            },
        }
    }

    /// Bytes of all memories together.
    fn bytes(&self) -> u64 {
        match self {
            RunPlace::Here { budget, .. } => *budget,
            RunPlace::Fleet(workers) => workers.iter().map(|worker| worker.seat.budget).sum(),
        }
    }

    /// The most bytes that one process will hold under this plan.
    fn bound(&self, plan: &Plan) -> u64 {
        match self {
            RunPlace::Here { .. } => plan.bound(),
            // Each may be filled up to its budget, and not beyond.
            RunPlace::Fleet(workers) => workers.iter().map(|worker| worker.seat.budget).max().unwrap_or(0),
        }
    }

    /// Whose memory a run lacks that fits nowhere. None if all is one memory.
    fn too_small(&self) -> Option<TooSmall<'_>> {
        let RunPlace::Fleet(workers) = self else { return None };
        let of_all = !self.all_may_spill();
        let budget = |worker: &&FleetMember| worker.seat.budget;
        let worker =
            if of_all { workers.iter().min_by_key(budget) } else { workers.iter().max_by_key(budget) };
        worker.map(|worker| TooSmall { worker, of_all })
    }

    fn may_spill(&self) -> bool {
        match self {
            RunPlace::Here { may_spill, .. } => *may_spill,
            RunPlace::Fleet(workers) => workers.iter().any(|worker| worker.seat.may_spill),
        }
    }

    fn all_may_spill(&self) -> bool {
        match self {
            RunPlace::Here { may_spill, .. } => *may_spill,
            RunPlace::Fleet(workers) => workers.iter().all(|worker| worker.seat.may_spill),
        }
    }

    /// A proof that `program` fits, or the bytes that it needs.
    fn fit(&self, program: &Program, hold: Hold) -> Result<Plan, PlanError> {
        let scratch = spill_scratch(program);
        match (self, hold) {
            (RunPlace::Here { threads, most_io, budget, .. }, Hold::All) => {
                let least = plan(program, *threads, *budget)?;
                Ok(least.with_more_io(program, *most_io, *budget))
            }
            (RunPlace::Here { threads, budget, .. }, Hold::Spill) => {
                plan_spilling(program, *threads, *budget, scratch)
            }
            (RunPlace::Fleet(workers), hold) => {
                if hold == Hold::All {
                    // Together they would hold it. Each of them is still planned as one that may spill.
                    plan(program, self.threads(), self.bytes())?;
                }
                plan_fleet(program, &seats(workers), None, scratch).map(|fleet| fleet.plan)
            }
        }
    }
}

/// What these workers bring along.
pub(super) fn seats(workers: &[FleetMember]) -> Vec<Seat> {
    workers.iter().map(|worker| worker.seat).collect()
}

/// What a run may use, as far as planning has to know.
#[derive(Clone)]
pub(super) struct Planner {
    pub place: RunPlace,
    /// Bytes of blocks and workspaces that one process may hold.
    pub memory: u64,
    /// What limits them.
    pub limit: Limit,
    /// As asked for.
    pub block: BlockSize,
}

impl Planner {
    /// A proof that `program` fits, spilling if it must and may.
    pub(super) fn fit(&self, program: &Program) -> Result<Plan, PlanError> {
        let held = self.place.fit(program, Hold::All);
        match held {
            Err(error) if self.place.may_spill() => {
                let spilling = self.place.fit(program, Hold::Spill);
                spilling.map_err(|other| PlanError { needed: other.needed.min(error.needed), ..error })
            }
            held => held,
        }
    }

    /// The program of an operation and the proof that it fits. If a spectrum may ask for more care, that has to fit
    /// too: a run that has begun is not refused.
    pub(super) fn prepare(&self, request: &PlanRequest) -> Result<Ready, Error> {
        #[cfg(test)]
        PREPARED.set(PREPARED.get() + 1);
        let mut ready = self.prepare_with_care(request)?;
        if matches!(request.operation, Operation::Rsvd { .. }) && request.care == Care::default() {
            let careful = self.prepare_with_care(&PlanRequest { care: Care::MOST, ..*request })?;
            let smallest = &mut ready.plan.smallest_budget;
            *smallest = careful.plan.smallest_budget.max(*smallest);
        }
        Ok(ready)
    }

    /// With everything held if possible, else in the way that takes the least time: by reading A again, piece by piece,
    /// or with blocks leaving memory.
    fn prepare_with_care(&self, request: &PlanRequest) -> Result<Ready, Error> {
        let operation = request.operation;
        operation.check()?;
        let chunks = chunks_of(operation, request.bindings)?;
        let mut blocks = operation.blocks(self.block, chunks)?;
        if self.block == BlockSize::Auto && chunks.is_none() {
            blocks = operation.blocks_for_disk(blocks, self.memory)?;
        }
        let mut all = operation.ways(blocks, request.care)?;
        if matches!(self.place, RunPlace::Fleet(_)) && all.iter().any(|ways| ways.pieces.is_some()) {
            // Its chains in lockstep are spread so that little goes from process to process.
            all.retain(|ways| ways.pieces.is_some());
        }
        let Some((first, others)) = all.split_first() else { unreachable!("there is always a way") };
        let mut needed = match self.attempt(request, blocks, *first, Hold::All)? {
            Ok(ready) => return Ok(ready),
            Err(needed) => needed,
        };
        let mut found = Vec::new();
        // If the last way, which needs the least, does not fit, those between need not be tried.
        if let Some((last, between)) = others.split_last() {
            match self.attempt(request, blocks, *last, Hold::All)? {
                Ok(ready) => found.push(self.first_that_fits(request, blocks, between)?.unwrap_or(ready)),
                Err(other) => needed = needed.min(other),
            }
        }
        let short = found.first().is_none_or(|ready| ready.program.tasks() <= LONGEST_COMPARED);
        for ways in
            [Some(first), others.last()].into_iter().flatten().filter(|_| self.place.may_spill() && short)
        {
            match self.attempt(request, blocks, *ways, Hold::Spill)? {
                Ok(ready) => found.push(ready),
                Err(other) => needed = needed.min(other),
            }
        }
        let quickest = found.into_iter().min_by(|a, b| self.seconds(a).total_cmp(&self.seconds(b)));
        quickest.ok_or_else(|| self.refusal(request, blocks, needed))
    }

    fn first_that_fits(
        &self,
        request: &PlanRequest,
        blocks: (u64, u64),
        all: &[Ways],
    ) -> Result<Option<Ready>, Error> {
        for ways in all {
            if request.operation.held_by(*ways)? > self.place.bytes() {
                continue;
            }
            if let Ok(ready) = self.attempt(request, blocks, *ways, Hold::All)? {
                return Ok(Some(ready));
            }
        }
        Ok(None)
    }

    /// A guess that is good enough to compare ways: computing and moving go on at the same time.
    fn seconds(&self, ready: &Ready) -> f64 {
        let (read, written) = traffic(&ready.program);
        let Swapped { written: spilled, read_back, read_again } = ready.swapped;
        let moved = (read + written + spilled + read_back + read_again) as f64 / DISK_BYTES_PER_SECOND;
        let cores = self.place.threads().compute as f64;
        moved.max(ready.program.flops() / (cores * CORE_FLOPS_PER_SECOND))
    }

    /// The ready program, or the bytes that it would need.
    fn attempt(
        &self,
        request: &PlanRequest,
        blocks: (u64, u64),
        ways: Ways,
        hold: Hold,
    ) -> Result<Result<Ready, u64>, Error> {
        let recipe = request.operation.recipe(blocks, ways)?;
        let (mut program, results, spreads) =
            if request.to_files { recipe.written() } else { Recipe::kept(recipe) };
        exec::annotate(&mut program, request.bindings);
        Ok(match self.place.fit(&program, hold) {
            Ok(plan) => {
                let program = Arc::new(program);
                let swapped = forecast(&program, &plan);
                let bound = self.place.bound(&plan);
                Ok(Ready { program, results, spreads, plan, bound, blocks, swapped })
            }
            Err(error) => Err(error.needed),
        })
    }

    /// Says what would fit: smaller blocks if some do, how much memory these need, and a method that needs less.
    fn refusal(&self, request: &PlanRequest, blocks: (u64, u64), needed: u64) -> Error {
        let operation = request.operation;
        // A block longer than every matrix is as long as the longest.
        let longest = operation.longest().unwrap_or(u64::MAX);
        let mut smaller = (blocks.0.min(longest), blocks.1.min(longest));
        let mut hint = String::new();
        // What cannot be asked for here is to be had elsewhere, or not at all.
        let (mend, use_it) = match self.limit {
            Limit::Ulimit(command) => (format!("raise {command}"), "use "),
            Limit::Worker => (self.larger_worker(needed), "use "),
            Limit::Slurm(_) => ("ask SLURM for more memory (--mem)".into(), "use "),
            Limit::Cgroup => ("give the cgroup more memory".into(), "use "),
            _ => (format!("use --memory {}", human_up(needed)), ""),
        };
        while smaller.0 > 64 {
            smaller = (smaller.0 / 2, (smaller.1 / 2).max(1));
            let fits = |ways: &Ways, hold| matches!(self.attempt(request, smaller, *ways, hold), Ok(Ok(_)));
            let ways = operation.ways(smaller, Care::default()).unwrap_or_default();
            let Some(last) = ways.last() else { break };
            let Ok(recipe) = operation.recipe(smaller, *last) else { break };
            if Recipe::kept(recipe).0.tasks() > LONGEST_SEARCH {
                break;
            }
            if fits(last, Hold::All) || self.place.may_spill() && fits(last, Hold::Spill) {
                hint = format!(" or {use_it}--block {}", smaller.0);
                break;
            }
        }
        if matches!(operation, Operation::Qr(_) | Operation::Svd { .. }) {
            hint += " or, if its leading singular triplets will do, rsvd";
        }
        let what = format!("blocks of {}x{}", blocks.0, blocks.1);
        Error::Request(format!("this run needs {}: {mend}{hint}", self.needed(needed, &what)))
    }

    /// What a cluster would have to have that this run needs.
    fn larger_worker(&self, needed: u64) -> String {
        let whom = match self.place.too_small() {
            Some(TooSmall { of_all: true, .. }) => "each worker",
            _ => "a worker",
        };
        format!("give {whom} --memory {}", human_up(whole_for(needed)))
    }

    /// How much memory is needed with such blocks, and how much there is, and whose.
    fn needed(&self, needed: u64, blocks: &str) -> String {
        let there = self.place.too_small().map_or(self.memory, |small| small.worker.seat.budget);
        // In bytes where both would read alike.
        let alike = human(needed) == human(there);
        let amount = |bytes| if alike { format!("{bytes} bytes") } else { human(bytes) };
        let (needed, there) = (amount(needed), amount(there));
        match self.place.too_small() {
            None => {
                let threads = counted(self.place.threads().compute, "thread");
                let limit = self.limit;
                format!("{needed} of memory with {blocks} on {threads}, but {there} are allowed ({limit})")
            }
            Some(TooSmall { worker, of_all: false }) => {
                format!(
                    "{needed} of memory at one worker with {blocks}, but {}, the largest, has {there}",
                    worker.name
                )
            }
            Some(TooSmall { worker, of_all: true }) => format!(
                "{needed} of memory at each worker with {blocks}, since one may not spill, but {} has {there}",
                worker.name
            ),
        }
    }
}

/// What an I/O thread needs to write and read any block of a program.
pub(super) fn spill_scratch(program: &Program) -> u64 {
    let largest = program.stages().iter().map(|stage| stage.largest_bytes()).max().unwrap_or(0);
    SpillPlace::scratch_len(largest)
}

/// Bytes that the stages of a program read from inputs and write to outputs.
pub(super) fn traffic(program: &Program) -> (u64, u64) {
    let bytes = |io: Io| -> u64 {
        let stages = program.stages().iter().filter(|stage| stage.kind.io() == Some(io));
        stages.map(moved_bytes).sum()
    };
    (bytes(Io::Read), bytes(Io::Write))
}

/// The chunks of the largest of the inputs that are stored in some.
fn chunks_of(operation: &Operation, bindings: &Bindings) -> Result<Option<Chunks>, Error> {
    let mut found: Option<(u64, Chunks)> = None;
    operation.array()?.visit(|array| {
        if let Node::Source { origin: Origin::Input(input), .. } = array.node()?
            && let Some(chunks) = bindings.inputs.get(&input.id()).and_then(|source| source.chunks())
        {
            let (rows, cols) = array.shape()?;
            let size = rows.saturating_mul(cols);
            if found.is_none_or(|(largest, _)| size > largest) {
                found = Some((size, chunks));
            }
        }
        Ok(())
    })?;
    Ok(found.map(|(_, chunks)| chunks))
}

/// The bytes of the matrix that a stage goes over.
fn moved_bytes(stage: &Stage) -> u64 {
    let elements = stage.grid().map_or(0, |grid| grid.rows.len() * grid.cols.len());
    elements * stage.element.bytes()
}
/// Bytes for a person: `1.5 GiB`.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit < 3 {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Whole MiB, rounded up, as the command line takes it.
fn human_up(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}
