//! Before a run: the program of an operation, the way in which it fits the memory, and what it would do.

use super::error::Error;
use super::operation::Operation;
use super::recipe::{Care, Piece, Range, Recipe, Ways};
use super::runtime::{IO_THREADS, Session};
use crate::array::{Node, Source};
use crate::exec::{self, Bindings};
use crate::graph::{Kind, Program, Stage};
use crate::ids::StageId;
use crate::sched::{Plan, PlanError, plan};

/// What an operation would do.
#[derive(Clone, Debug)]
pub struct Preview {
    pub tasks: u64,
    pub flops: f64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// The most bytes that the run will hold, proven.
    pub memory_bound: u64,
    /// What any product of matrices in files has to move with as much memory.
    pub least_bytes: Option<f64>,
    /// The least memory with which it could run.
    pub smallest_memory: u64,
    pub shape: (u64, u64),
    pub blocks: (u64, u64),
    /// Name, tasks and largest block of each stage.
    pub stages: Vec<(&'static str, u64, (u64, u64))>,
}
pub(super) struct Ready {
    pub program: Program,
    pub results: Vec<Piece>,
    pub ranges: Vec<Range>,
    pub plan: Plan,
    pub blocks: (u64, u64),
}

impl Ready {
    /// Rows and columns of the blocks in which a result is written, the largest ones.
    pub fn written_blocks(&self, result: usize) -> (u64, u64) {
        let pieces = self.results.iter().filter(|piece| piece.result == result);
        pieces.map(|piece| piece.access.grid.block_shape()).max().unwrap_or((1, 1))
    }
}

/// The search for blocks that would fit ends where programs get longer than this.
const LONGEST_SEARCH: usize = 1 << 20;

impl Session {
    /// What `operation` would do, and whether it fits; nothing is run.
    pub fn preview(&self, operation: &Operation, to_files: bool) -> Result<Preview, Error> {
        let bindings = self.bindings(Vec::new());
        let ready = self.prepare(operation, &bindings, to_files, Care::default())?;
        let program = &ready.program;
        let bytes = |wanted: fn(&Kind) -> bool| -> u64 {
            let stages = program.stage_ids().filter(|id| wanted(&program.stage(*id).kind));
            stages.map(|id| stage_bytes(program, id)).sum()
        };
        let shape = |s: &Stage| match s.kind {
            Kind::Write { grid, .. } => grid.block_shape(),
            _ => s.largest_shape(),
        };
        let stage = |s: &Stage| (s.kind.name(), u64::from(s.space.tasks()), shape(s));
        Ok(Preview {
            tasks: program.tasks() as u64,
            flops: program.flops(),
            bytes_read: bytes(|k| matches!(k, Kind::Read { .. })),
            bytes_written: bytes(|k| matches!(k, Kind::Write { .. })),
            least_bytes: operation.least_bytes(ready.plan.bound())?,
            memory_bound: ready.plan.bound(),
            smallest_memory: ready.plan.smallest_budget,
            shape: operation.shape()?,
            blocks: ready.blocks,
            stages: program.stages().iter().map(stage).collect(),
        })
    }
    pub(super) fn fit(&self, program: &Program) -> Result<Plan, PlanError> {
        let threads = self.workers() * (self.threads() + IO_THREADS);
        plan(program, threads as u64, self.memory())
    }

    /// The program of an operation and the proof that it fits: as it is best, or with A read again.
    pub(super) fn prepare(
        &self,
        operation: &Operation,
        bindings: &Bindings,
        to_files: bool,
        care: Care,
    ) -> Result<Ready, Error> {
        operation.check()?;
        let blocks = operation.blocks(self.block(), chunk_of(operation, bindings)?)?;
        operation.check_blocks(blocks)?;
        let mut refused = None;
        let all = operation.ways(blocks, care)?;
        // The first or the last way needs the least: if neither fits, the many between need not be tried.
        if let [first, .., last] = all[..]
            && let Err(one) = self.attempt(operation, bindings, blocks, to_files, first)?
            && let Err(other) = self.attempt(operation, bindings, blocks, to_files, last)?
        {
            return Err(self.refusal(operation, bindings, blocks, to_files, one.min(other)));
        }
        for ways in all {
            if operation.held_by(ways)? > self.memory() {
                continue;
            }
            match self.attempt(operation, bindings, blocks, to_files, ways)? {
                Ok(ready) => return Ok(ready),
                Err(needed) => refused = Some(refused.map_or(needed, |least: u64| least.min(needed))),
            }
        }
        Err(self.refusal(operation, bindings, blocks, to_files, refused.unwrap_or_default()))
    }

    /// The ready program, or the bytes that it would need.
    fn attempt(
        &self,
        operation: &Operation,
        bindings: &Bindings,
        blocks: (u64, u64),
        to_files: bool,
        ways: Ways,
    ) -> Result<Result<Ready, u64>, Error> {
        let recipe = operation.recipe(blocks, ways)?;
        let (mut program, results, ranges) = if to_files { recipe.written() } else { Recipe::kept(recipe) };
        exec::annotate(&mut program, bindings);
        Ok(match self.fit(&program) {
            Ok(plan) => Ok(Ready { program, results, ranges, plan, blocks }),
            Err(error) => Err(error.needed),
        })
    }

    /// Says what would fit: smaller blocks if some do, and how much memory these need.
    fn refusal(
        &self,
        operation: &Operation,
        bindings: &Bindings,
        blocks: (u64, u64),
        to_files: bool,
        needed: u64,
    ) -> Error {
        let mut smaller = blocks;
        let mut hint = String::new();
        while smaller.0 > 64 {
            smaller = (smaller.0 / 2, (smaller.1 / 2).max(1));
            let fits = |ways: &Ways| {
                matches!(self.attempt(operation, bindings, smaller, to_files, *ways), Ok(Ok(_)))
            };
            let ways = operation.ways(smaller, Care::default()).unwrap_or_default();
            let tasks =
                |ways: &Ways| operation.recipe(smaller, *ways).map_or(0, |r| Recipe::kept(r).0.tasks());
            let (first, last) = (ways.first(), ways.last());
            if operation.check_blocks(smaller).is_err() || last.is_none_or(|w| tasks(w) > LONGEST_SEARCH) {
                break;
            }
            if first.is_some_and(fits) || last.is_some_and(fits) {
                hint = format!(" or --block {}", smaller.0);
                break;
            }
        }
        Error::Request(format!(
            "this run needs {} of memory with blocks of {}x{} on {} threads, but {} are allowed: use --memory {}{hint}",
            human(needed),
            blocks.0,
            blocks.1,
            self.workers() * self.threads(),
            human(self.memory()),
            human_up(needed),
        ))
    }
}

/// Rows and columns of the pieces in which the largest of the inputs that are stored so is stored.
fn chunk_of(operation: &Operation, bindings: &Bindings) -> Result<Option<(u64, u64)>, Error> {
    let mut found: Option<(u64, (u64, u64))> = None;
    operation.array().visit(|array| {
        if let Node::Source { source: Source::Input(id), .. } = array.node()?
            && let Some(chunk) = bindings.inputs.get(id).and_then(|source| source.chunk())
        {
            let (rows, cols) = array.shape()?;
            let size = rows.saturating_mul(cols);
            if found.is_none_or(|(largest, _)| size > largest) {
                found = Some((size, chunk));
            }
        }
        Ok(())
    })?;
    Ok(found.map(|(_, chunk)| chunk))
}

fn stage_bytes(program: &Program, id: StageId) -> u64 {
    let stage = program.stage(id);
    let bytes = |index| match stage.kind {
        Kind::Write { grid, .. } => {
            let c = stage.space.coords(index);
            let (rows, cols) = grid.shape(c.i, c.j);
            rows * cols * stage.element.bytes()
        }
        _ => stage.bytes(index),
    };
    (0..stage.space.tasks()).map(bytes).sum()
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
