//! What must hold of a program that comes from elsewhere, so that nothing which is asked of it later panics, runs on
//! without end or needs memory without bound. Formulas are checked as formulas: only edges wired by hand are walked.

use super::check_kinds::check_holdings;
use super::kinds::{Kind, Share};
use super::pattern::{Edges, Pattern, Pick};
use super::program::Program;
use super::space::{Order, Space};
use super::stage::{Blocks, Read, Stage};
use crate::array::{Axis, BlockGrid};

/// A scheduler has a few bytes for each task. Arrays are not lowered to more either.
const MOST_TASKS: u64 = 1 << 30;
const MOST_STAGES: usize = 1 << 16;
const MOST_READS: usize = 256;
/// Sums of two lengths or places are still numbers.
pub(super) const LONGEST: u64 = 1 << 48;
/// Bytes of all blocks of a program, and of a workspace: sums of them are still numbers.
const MOST_BYTES: u128 = 1 << 60;
const MOST_FLOPS: f64 = 1e30;

/// Why a program is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("a program of {0} stages is too long: at most {MOST_STAGES}")]
    Stages(usize),
    #[error("a program of {0} tasks is too large: at most {MOST_TASKS}, so use larger blocks")]
    Tasks(u64),
    #[error("the blocks of a program take {0} bytes: no machine has so many")]
    Bytes(u128),
    #[error("stage {stage} ({kind}): {why}")]
    Stage { stage: usize, kind: &'static str, why: &'static str },
}

pub(super) type Checked = Result<(), &'static str>;

pub(super) fn ensure(holds: bool, why: &'static str) -> Checked {
    if holds { Ok(()) } else { Err(why) }
}

impl Program {
    /// A program of stages that come from elsewhere. Takes time for each stage and each edge wired by hand, not for
    /// each task.
    ///
    /// # Errors
    /// If something does not hold that all who use programs rely on.
    pub fn try_new(stages: Vec<Stage>) -> Result<Program, ProgramError> {
        if stages.len() > MOST_STAGES {
            return Err(ProgramError::Stages(stages.len()));
        }
        let (mut tasks, mut bytes) = (0, 0);
        for (at, stage) in stages.iter().enumerate() {
            let wrong = |why| ProgramError::Stage { stage: at, kind: stage.kind.name(), why };
            check_stage(&stages, at).map_err(wrong)?;
            tasks += u64::from(stage.space.tasks());
            if tasks > MOST_TASKS {
                return Err(ProgramError::Tasks(tasks));
            }
            // A page more, as the pool rounds.
            bytes += u128::from(stage.space.tasks()) * (u128::from(stage.largest_bytes()) + 4096);
        }
        if bytes > MOST_BYTES {
            return Err(ProgramError::Bytes(bytes));
        }
        check_all_are_read(&stages)?;
        Ok(Program::new(stages))
    }
}

/// The walk over a program goes back from the stages that no other reads: it comes to all tasks only if all blocks of
/// the others are read. One of the reads has to do that alone.
fn check_all_are_read(stages: &[Stage]) -> Result<(), ProgramError> {
    let mut is_read = vec![false; stages.len()];
    let mut is_covered = vec![false; stages.len()];
    for (at, stage) in stages.iter().enumerate() {
        for read in stage.reads.iter().filter(|read| read.source.at() != at) {
            let source = read.source.at();
            is_read[source] = true;
            is_covered[source] |= covers(&stage.space, &read.pattern, &stages[source].space);
        }
    }
    match (0..stages.len()).find(|at| is_read[*at] && !is_covered[*at]) {
        Some(stage) => {
            let why = "its blocks are not all read";
            Err(ProgramError::Stage { stage, kind: stages[stage].kind.name(), why })
        }
        None => Ok(()),
    }
}

/// Are all blocks of the source read? Of a pattern that is right otherwise.
fn covers(reader: &Space, pattern: &Pattern, source: &Space) -> bool {
    let (tasks, sources) = (u64::from(reader.tasks()), u64::from(source.tasks()));
    if tasks == 0 || sources == 0 {
        return sources == 0;
    }
    let all = source.extents();
    match pattern {
        Pattern::Block(row, col) => {
            let is_free = row != col || (all.i, all.j) == (1, 1);
            is_free && extent(*row, reader) == all.i && extent(*col, reader) == all.j
        }
        Pattern::Gather { fan } => tasks * u64::from(*fan) >= sources,
        Pattern::Spread { fan } => tasks.div_ceil(u64::from(*fan)) >= sources,
        Pattern::Previous | Pattern::Edges(_) => false,
    }
}

fn check_stage(stages: &[Stage], at: usize) -> Checked {
    let stage = &stages[at];
    check_space(&stage.space)?;
    check_blocks(stage)?;
    let flops = stage.work.flops;
    ensure(flops.is_finite() && (0.0..=MOST_FLOPS).contains(&flops), "its work is not a number of flops")?;
    ensure(u128::from(stage.work.workspace) <= MOST_BYTES, "its workspace is too large")?;
    ensure(stage.reads.len() <= MOST_READS, "it reads too much")?;
    for read in &stage.reads {
        let source = stages.get(read.source.at()).ok_or("it reads a stage that is not there")?;
        check_read(stage, read, source, at)?;
    }
    let of_itself = stage.reads.iter().filter(|read| read.source.at() == at).count();
    ensure(of_itself <= 1, "it reads itself twice")?;
    let is_chain = stage.space.extents().k > 1;
    let reads_previous = stage.reads.iter().any(|read| read.pattern == Pattern::Previous);
    ensure(!is_chain || reads_previous, "the steps of its chains do not read each other")?;
    check_kind(stage, stages)
}

fn check_space(space: &Space) -> Checked {
    let all = space.extents();
    ensure(all.k > 0, "its chains have no steps")?;
    ensure(space.order() == Order::Rows || all.i == all.j, "pairs need a square grid")?;
    let tasks = u128::from(all.i) * u128::from(all.j) * u128::from(all.k);
    ensure(tasks <= u128::from(MOST_TASKS), "it has too many tasks: use larger blocks")
}

pub(super) fn check_axis(axis: Axis) -> Checked {
    ensure(axis.len() <= LONGEST, "a matrix is too long")?;
    ensure(axis.block() > 0 && axis.block() <= axis.len().max(1), "the blocks of a matrix do not fit it")?;
    ensure(axis.count() <= MOST_TASKS, "a matrix has too many blocks")
}

fn check_grid(space: &Space, grid: BlockGrid) -> Checked {
    check_axis(grid.rows)?;
    check_axis(grid.cols)?;
    let all = space.extents();
    let is_same = (grid.rows.blocks(), grid.cols.blocks()) == (all.i, all.j);
    ensure(is_same, "its tasks are not those of its grid")?;
    let (rows, cols) = grid.block_shape();
    check_shape(rows, cols)
}

pub(super) fn check_shape(rows: u64, cols: u64) -> Checked {
    let is_a_number = rows <= LONGEST && cols <= LONGEST;
    let fits = is_a_number && u128::from(rows) * u128::from(cols) * 8 <= MOST_BYTES;
    ensure(fits, "its blocks are too large")
}

fn check_blocks(stage: &Stage) -> Checked {
    if let Some(grid) = stage.kind.grid() {
        check_grid(&stage.space, grid)?;
    }
    match stage.blocks {
        Blocks::Grid(grid) => check_grid(&stage.space, grid),
        Blocks::Each { rows, cols } => check_shape(rows, cols),
        Blocks::Trapezoid { panel, span, cap, cols } | Blocks::Pair { panel, span, cap, cols } => {
            check_axis(panel)?;
            check_shape(cap.saturating_mul(2), cols)?;
            check_nodes(&stage.space, span)
        }
        Blocks::Packed { panel, span, n } => {
            check_axis(panel)?;
            check_shape(n, n)?;
            check_nodes(&stage.space, span)
        }
        Blocks::Nothing => Ok(()),
    }
}

fn check_nodes(space: &Space, span: u32) -> Checked {
    let all = space.extents();
    ensure(span > 0 && all.j <= 1 && all.k == 1, "nodes of a tree are a column of tasks")
}

fn check_read(stage: &Stage, read: &Read, source: &Stage, at: usize) -> Checked {
    let (reader, from) = (&stage.space, &source.space);
    let reads_itself = matches!(read.pattern, Pattern::Previous | Pattern::Edges(_));
    let is_right = if reads_itself { read.source.at() == at } else { read.source.at() < at };
    ensure(is_right, "a read is not of an earlier stage")?;
    let (tasks, sources) = (u64::from(reader.tasks()), u64::from(from.tasks()));
    let last = tasks.saturating_sub(1);
    match &read.pattern {
        Pattern::Previous => ensure(stage.leaves_blocks() || stage.kind == Kind::Null, "a chain of nothing"),
        Pattern::Edges(edges) => check_edges(stage, edges),
        Pattern::Block(_, _) if tasks == 0 => Ok(()),
        Pattern::Block(row, col) => {
            let all = from.extents();
            let is_inside = extent(*row, reader) <= all.i && extent(*col, reader) <= all.j;
            ensure(is_inside, "it reads blocks that are not there")
        }
        Pattern::Gather { fan } => {
            let fan = u64::from(*fan);
            ensure(fan > 0 && (tasks + 1) * fan <= u64::from(u32::MAX), "a tree has nodes without children")?;
            ensure(from.extents().k == 1, "a tree gathers steps of chains")?;
            ensure(tasks == 0 || last * fan < sources, "it reads blocks that are not there")
        }
        Pattern::Spread { fan } => {
            let fan = u64::from(*fan);
            ensure(
                fan > 0 && (sources + 1) * fan <= u64::from(u32::MAX),
                "a tree has nodes without children",
            )?;
            ensure(from.extents().k == 1, "a tree spreads steps of chains")?;
            ensure(tasks == 0 || last / fan < sources, "it reads blocks that are not there")
        }
    }
}

/// How many blocks of a source are picked from in one direction.
fn extent(pick: Pick, reader: &Space) -> u32 {
    let all = reader.extents();
    match pick {
        Pick::Row => all.i,
        Pick::Col => all.j,
        Pick::Step => all.k,
        Pick::Zero => 1,
    }
}

fn check_edges(stage: &Stage, edges: &Edges) -> Checked {
    ensure(stage.space.extents().k == 1, "edges are wired between steps of chains")?;
    ensure(edges.is_sound(stage.space.tasks()), "its edges do not go together, or go in circles")
}

/// What its tasks rely on where they are planned: a grid or a first block, of which their work is a share.
fn check_kind(stage: &Stage, stages: &[Stage]) -> Checked {
    let first = stage.reads.first().map(|read| (&read.pattern, &stages[read.source.at()]));
    match stage.kind.share() {
        Share::Whole => {}
        Share::Grid => ensure(stage.grid().is_some(), "it has no grid")?,
        Share::Input | Share::Product { .. } => {
            let reads_one = matches!(first, Some((Pattern::Block(_, _), _)));
            ensure(reads_one, "it has no first factor")?;
        }
    }
    ensure(stage.leaves_blocks() || matches!(stage.kind, Kind::Write(_) | Kind::Null), "it makes no blocks")?;
    ensure(stage.leaves_blocks() || !stage.keep, "there is nothing to keep")?;
    check_operands(stage, stages)?;
    check_holdings(stage, stages)
}

/// The number of reads that its kernel takes, and their element types. `None`: any.
fn reads_of(kind: &Kind) -> Option<usize> {
    match kind {
        Kind::Read(_) | Kind::Fill(_) => Some(0),
        Kind::Map(_) | Kind::Reduce(_) | Kind::Null => None,
        Kind::Combine(_) | Kind::Finish(_) | Kind::AddUp | Kind::LeafR(_) | Kind::Merge(_) => Some(1),
        Kind::Triangle(_) | Kind::Half(_) => Some(1),
        Kind::RootSvd(_) | Kind::RootQr(_) | Kind::Unpack(_) | Kind::Write(_) | Kind::Delayed(_) => Some(1),
        Kind::Gemm(_) | Kind::GramApply | Kind::Down(_) | Kind::LeafApply(_) | Kind::FixSigns(_) => Some(2),
    }
}

fn check_operands(stage: &Stage, stages: &[Stage]) -> Checked {
    let operands: Vec<&Read> = stage.reads.iter().filter(|read| read.pattern != Pattern::Previous).collect();
    let is_right = reads_of(&stage.kind).is_none_or(|count| count == operands.len());
    ensure(is_right, "it reads more or fewer blocks than its kernel takes")?;
    let has_edges = operands.iter().any(|read| matches!(read.pattern, Pattern::Edges(_)));
    ensure(
        has_edges == matches!(stage.kind, Kind::Delayed(_)) || stage.kind == Kind::Null,
        "edges are for calls",
    )?;
    if stage.kind == Kind::Null {
        return Ok(());
    }
    let may_be_chain = matches!(stage.kind, Kind::Gemm(_));
    ensure(may_be_chain || stage.space.extents().k == 1, "only products are chains")?;
    let sources = || operands.iter().map(|read| &stages[read.source.at()]);
    ensure(sources().all(Stage::leaves_blocks), "it reads what leaves no blocks")?;
    let converts = matches!(stage.kind, Kind::Map(_) | Kind::Reduce(_));
    ensure(converts || sources().all(|source| source.element == stage.element), "elements of two types")
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
