//! Programs at the bounds of what is taken, and just beyond them.

use super::*;
use crate::array::Fill;
use crate::graph::check_kinds::MOST_COLUMNS;
use crate::graph::kinds::{FillBlock, LeafR, Map, MapOp, Merge, Operand};
use crate::graph::{Work, testing};
use crate::ids::StageId;
use serde_json::{from_value, json};

/// Tasks that read nothing so far.
fn nulls(space: Space) -> Stage {
    testing::nulls(space, Vec::new())
}

fn grid(rows: u32, cols: u32) -> Space {
    Space::new(rows, cols, 1, Order::Rows)
}

/// As it may arrive: `new` takes fewer.
fn claimed(rows: u32, cols: u32, steps: u32) -> Space {
    from_value(json!({ "rows": rows, "cols": cols, "steps": steps, "order": "Rows" })).unwrap()
}

impl Stage {
    fn reading(mut self, source: u32, pattern: Pattern) -> Stage {
        self.reads.push(Read { source: StageId(source), pattern });
        self
    }

    fn of(self, kind: Kind) -> Stage {
        Stage { kind, ..self }
    }

    fn leaving(self, blocks: Blocks) -> Stage {
        Stage { blocks, ..self }
    }
}

fn is_taken(stages: Vec<Stage>) -> bool {
    Program::try_new(stages).is_ok()
}

#[track_caller]
fn refused<const STAGES: usize>(stages: [Stage; STAGES], why: &str) {
    let error = Program::try_new(stages.to_vec()).expect_err(why).to_string();
    assert!(error.ends_with(why), "{error}");
}

#[test]
fn a_program_has_so_many_stages_at_most() {
    let stages = |count| vec![nulls(grid(1, 1)); count];
    assert!(is_taken(stages(MOST_STAGES)));
    assert_eq!(Program::try_new(stages(MOST_STAGES + 2)), Err(ProgramError::Stages(MOST_STAGES + 2)));
}

#[test]
fn a_program_has_so_many_tasks_at_most() {
    let tasks = |last| vec![nulls(grid(1 << 29, 1)), nulls(grid(1 << 29, 1)), nulls(grid(last, 1))];
    assert!(is_taken(tasks(0)));
    assert_eq!(Program::try_new(tasks(2)), Err(ProgramError::Tasks((1 << 30) + 2)));
    refused([nulls(claimed(1 << 10, 1 << 10, 1 << 11))], "it has too many tasks: use larger blocks");
}

#[test]
fn blocks_have_so_many_bytes_at_most() {
    let page = 4096;
    let large = Blocks::Each { rows: ((1 << 50) - page) / 8, cols: 1 };
    let stages = |tasks| vec![nulls(grid(512, 1)).leaving(large), nulls(grid(tasks, 1)).leaving(large)];
    assert!(is_taken(stages(512)));
    assert_eq!(Program::try_new(stages(514)), Err(ProgramError::Bytes((1 << 60) + (2 << 50))));
    for (rows, cols) in [(1 << 40, 1 << 18), (LONGEST + 1, 1), (1, LONGEST + 1)] {
        refused([nulls(grid(1, 1)).leaving(Blocks::Each { rows, cols })], "its blocks are too large");
    }
}

#[test]
fn work_is_a_number_that_is_not_negative() {
    for flops in [-1.0, 1e31, f64::NAN, f64::INFINITY] {
        let work = Work { flops, ..Work::default() };
        refused([Stage { work, ..nulls(grid(1, 1)) }], "its work is not a number of flops");
    }
}

#[test]
fn steps_read_each_other() {
    let chain = nulls(Space::new(2, 2, 3, Order::Rows));
    refused([chain.clone()], "the steps of its chains do not read each other");
    assert!(is_taken(vec![chain.reading(0, Pattern::Previous)]));
}

#[test]
fn nodes_of_a_tree_are_a_column() {
    let panel = Axis::new(8, 4);
    let nodes = |space, span| nulls(space).leaving(Blocks::Trapezoid { panel, span, cap: 2, cols: 2 });
    assert!(is_taken(vec![nodes(grid(2, 1), 1)]));
    for stage in [nodes(grid(2, 1), 0), nodes(grid(2, 2), 1), nodes(Space::new(2, 1, 2, Order::Rows), 1)] {
        refused([stage], "nodes of a tree are a column of tasks");
    }
}

/// A stage that reads another one, of so many tasks in two directions.
fn reads(space: Space, pattern: Pattern, source: Space) -> [Stage; 2] {
    [nulls(source), nulls(space).reading(0, pattern)]
}

#[test]
fn all_blocks_are_read_or_none_are_there() {
    let block = |rows, cols, row, col, source| reads(grid(rows, cols), Pattern::Block(row, col), source);
    assert!(is_taken(block(2, 3, Pick::Row, Pick::Col, grid(2, 3)).to_vec()));
    assert!(is_taken(block(0, 3, Pick::Row, Pick::Col, grid(0, 2)).to_vec()));
    refused(block(0, 3, Pick::Col, Pick::Zero, grid(3, 1)), "its blocks are not all read");
    refused(block(2, 2, Pick::Row, Pick::Col, grid(2, 3)), "its blocks are not all read");
    refused(block(3, 3, Pick::Row, Pick::Row, grid(3, 3)), "its blocks are not all read");
    refused(block(2, 3, Pick::Row, Pick::Col, grid(2, 2)), "it reads blocks that are not there");
}

#[test]
fn nodes_have_children_that_are_there() {
    let gather = |tasks, fan, from| reads(grid(tasks, 1), Pattern::Gather { fan }, grid(from, 1));
    let spread = |tasks, fan, from| reads(grid(tasks, 1), Pattern::Spread { fan }, grid(from, 1));
    for taken in [gather(2, 2, 3), gather(0, 2, 0), spread(3, 2, 2), spread(0, 2, 0)] {
        assert!(is_taken(taken.to_vec()));
    }
    for refusal in [gather(1, 0, 1), gather(1, 1 << 31, 1), spread(1, 0, 1), spread(1, 1 << 31, 1)] {
        refused(refusal, "a tree has nodes without children");
    }
    for refusal in [gather(2, 2, 2), gather(1, 2, 0), spread(3, 2, 1), spread(1, 2, 0)] {
        refused(refusal, "it reads blocks that are not there");
    }
    for refusal in [gather(1, 2, 3), spread(2, 2, 2)] {
        refused(refusal, "its blocks are not all read");
    }
}

#[test]
fn kernels_take_as_many_blocks_as_they_read() {
    let sum = nulls(grid(1, 1)).of(Kind::AddUp);
    refused([sum.clone()], "it reads more or fewer blocks than its kernel takes");
    assert!(is_taken(vec![nulls(grid(2, 1)), sum.reading(0, Pattern::Gather { fan: 2 })]));
}

#[test]
fn a_matrix_begins_within_its_source() {
    let zeros = |row, col| {
        let fill = Kind::Fill(FillBlock { fill: Fill::Constant(0.0), row, col });
        let block = BlockGrid::whole(1, 1);
        nulls(grid(1, 1)).of(fill).leaving(Blocks::Grid(block))
    };
    assert!(is_taken(vec![zeros(LONGEST, LONGEST)]));
    for stage in [zeros(LONGEST + 1, 0), zeros(0, LONGEST + 1)] {
        refused([stage], "a matrix begins too far behind the start of its source");
    }
}

#[test]
fn a_tall_matrix_has_so_many_columns_at_most() {
    let panel = Axis::new(8, 4);
    let leaf = |n| {
        let leaves = nulls(grid(2, 1)).of(Kind::LeafR(LeafR { panel, n }));
        [nulls(grid(2, 1)), leaves.reading(0, Pattern::Block(Pick::Row, Pick::Zero))]
    };
    assert!(is_taken(leaf(MOST_COLUMNS).to_vec()));
    refused(leaf(MOST_COLUMNS + 1), "a tall matrix has too many columns");
    let merge = |span| {
        let node = nulls(grid(1, 1)).of(Kind::Merge(Merge { panel, n: 2, span }));
        [nulls(grid(2, 1)), node.reading(0, Pattern::Gather { fan: 2 })]
    };
    assert!(is_taken(merge(1).to_vec()));
    refused(merge(0), "no leaves lie below a node");
}

#[test]
fn an_expression_finds_what_it_takes_and_leaves_one_number() {
    let map = |ops: &[MapOp], operands: &[Operand]| {
        let map = Map { ops: ops.to_vec(), operands: operands.to_vec() };
        let block = BlockGrid::whole(1, 1);
        let stage = nulls(grid(1, 1)).of(Kind::Map(map)).leaving(Blocks::Grid(block));
        [nulls(grid(1, 1)), stage.reading(0, Pattern::Block(Pick::Row, Pick::Col))]
    };
    let block = Operand::Block { read: 0, transposed: false };
    let (load, one) = (MapOp::Load(0), MapOp::Scalar(1.0));
    assert!(is_taken(map(&[load, one, MapOp::Add, MapOp::Neg], &[block]).to_vec()));
    refused(map(&[MapOp::Load(1)], &[block]), "an operand is not there");
    refused(map(&[load, MapOp::Add], &[block]), "an operation lacks its operands");
    refused(map(&[load, one], &[block]), "an expression is not one number");
    refused(map(&[load], &[Operand::Block { read: 1, transposed: false }]), "an operand is not read");
    let long = vec![MapOp::Neg; 1 << 16];
    refused(map(&[&[load][..], &long].concat(), &[block]), "an expression is too long");
    refused(map(&[load], &vec![block; (1 << 16) + 1]), "an expression is too long");
}

#[test]
fn edges_go_to_later_tasks() {
    let wired = |inputs: &[Vec<u32>]| {
        let edges = Pattern::Edges(std::sync::Arc::new(Edges::new(inputs)));
        [nulls(grid(inputs.len() as u32, 1)).reading(0, edges)]
    };
    assert!(is_taken(wired(&[vec![], vec![0], vec![0, 1]]).to_vec()));
    for inputs in [[vec![], vec![1]], [vec![1], vec![]]] {
        refused(wired(&inputs), "its edges do not go together, or go in circles");
    }
}
