//! Programs as formulas: what holds of every program, tried on random ones. `DOLMEN_SEED=n` tries one seed.

mod sim;

use dolmen::array::{Array, ArrayError, Axis, BlockGrid, Element, Fill, Law, footprint};
use dolmen::graph::kinds::{Down, Gemm, Half, Map, Operand, ReadInput, WriteOutput};
use dolmen::graph::{
    Blocks, Edges, Kind, LowerError, Lowering, Order, Pattern, Pick, Program, ProgramBuilder, Read, Space,
    Stage, Tall, Work,
};
use dolmen::ids::{StageId, TaskId, TaskRange};
use dolmen::sched::Threads;
use dolmen::sched::{plan, serial_order};
use sim::programs;
use sim::rng::Rng;
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

const ONE: Threads = Threads { compute: 1, io: 0 };

/// Tries a property on programs of many seeds; tells the seed if it does not hold.
fn each_program(count: u64, property: impl Fn(&Program)) {
    let one = std::env::var("DOLMEN_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in one.map_or(0..count, |seed| seed..seed + 1) {
        let mut rng = Rng::new(seed);
        let size = 1 << rng.range(2, 6);
        let (name, program) = programs::random(&mut rng, size);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| property(&program))) {
            println!("{name} program: DOLMEN_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

fn tasks(program: &Program) -> impl Iterator<Item = TaskId> + '_ {
    (0..program.tasks()).map(|at| program.at_position(at))
}

fn inputs(program: &Program, task: TaskId) -> Vec<TaskId> {
    let mut out = Vec::new();
    program.inputs(task, &mut out);
    out
}

fn consumers(program: &Program, task: TaskId) -> Vec<TaskId> {
    let mut out = Vec::new();
    program.consumers(task, &mut out);
    out
}

#[test]
fn consumers_are_the_inverse_of_inputs() {
    each_program(2000, |program| {
        let mut by_inputs: HashMap<TaskId, BTreeSet<TaskId>> = HashMap::new();
        for task in tasks(program) {
            let inputs = inputs(program, task);
            let distinct: BTreeSet<TaskId> = inputs.iter().copied().collect();
            assert_eq!(distinct.len(), inputs.len(), "{task:?} reads a block twice: {inputs:?}");
            distinct.into_iter().for_each(|input| {
                by_inputs.entry(input).or_default().insert(task);
            });
        }
        for task in tasks(program) {
            let found = consumers(program, task);
            let distinct: BTreeSet<TaskId> = found.iter().copied().collect();
            assert_eq!(distinct.len(), found.len(), "{task:?} has a consumer twice: {found:?}");
            assert_eq!(distinct, by_inputs.remove(&task).unwrap_or_default(), "consumers of {task:?}");
        }
        assert!(by_inputs.is_empty(), "blocks that no task makes: {by_inputs:?}");
    });
}

#[test]
fn stages_read_earlier_ones_and_finished_blocks() {
    each_program(1000, |program| {
        for task in tasks(program) {
            for input in inputs(program, task) {
                assert!(input < task, "{task:?} reads {input:?}");
                let space = &program.stage(input.stage).space;
                assert!(input.index < space.tasks(), "{task:?} reads {input:?}");
                let own = input.stage == task.stage;
                assert!(
                    own || !space.is_partial(input.index),
                    "{task:?} reads {input:?}, which is not whole"
                );
            }
        }
    });
}

#[test]
fn operands_are_the_inputs() {
    each_program(500, |program| {
        for task in tasks(program) {
            let mut read = BTreeSet::new();
            for number in 0..program.stage(task.stage).reads.len() {
                program.operand(task, number, |block| {
                    read.insert(block);
                });
            }
            assert_eq!(read, inputs(program, task).into_iter().collect());
        }
    });
}

#[test]
fn the_walk_is_a_topological_order() {
    each_program(2000, |program| {
        let mut seen = BTreeSet::new();
        for task in serial_order(program) {
            let lacking = inputs(program, task).into_iter().find(|input| !seen.contains(input));
            assert_eq!(lacking, None, "{task:?} comes too early");
            assert!(seen.insert(task), "{task:?} comes twice");
        }
        assert_eq!(seen.len(), program.tasks(), "tasks that nobody asks for");
    });
}

#[test]
fn the_plan_needs_no_more_than_everything() {
    each_program(1000, |program| {
        let plan = plan(program, ONE, u64::MAX / 4).unwrap();
        let whole = |task: &TaskId| !program.stage(task.stage).space.is_partial(task.index);
        let bytes = |task: TaskId| footprint(program.stage(task.stage).bytes(task.index));
        let everything: u64 = tasks(program).filter(whole).map(bytes).sum();
        assert!(plan.smallest_budget <= everything, "{} of {everything}", plan.smallest_budget);
        let largest = tasks(program).map(bytes).max().unwrap_or(0);
        assert!(plan.smallest_budget >= largest);
    });
}

#[test]
fn reserves_and_releases_balance() {
    each_program(500, |program| {
        let reserved: u64 = tasks(program).map(|t| program.reserves(t)).sum();
        let released: u64 = tasks(program).map(|t| program.releases(t)).sum();
        assert_eq!(reserved, released);
    });
}

#[test]
fn the_largest_shape_is_the_largest() {
    each_program(500, |program| {
        for task in tasks(program) {
            let stage = program.stage(task.stage);
            let (shape, largest) = (stage.shape(task.index), stage.largest_shape());
            assert!(shape.0 <= largest.0 && shape.1 <= largest.1, "{task:?}: {shape:?} in {largest:?}");
        }
    });
}

/// Elementwise and product stages: the shapes of what is read fit what is made.
#[test]
fn shapes_fit() {
    each_program(1000, |program| {
        for task in tasks(program) {
            let stage = program.stage(task.stage);
            let shape = stage.shape(task.index);
            let of = |number: usize| {
                let mut shape = (0, 0);
                program.operand(task, number, |b| shape = program.stage(b.stage).shape(b.index));
                shape
            };
            let turn = |(r, c): (u64, u64), yes: bool| if yes { (c, r) } else { (r, c) };
            match &stage.kind {
                Kind::Map(Map { operands, .. }) => {
                    for operand in operands {
                        if let Operand::Block { read, transposed } = operand {
                            assert_eq!(turn(of(*read as usize), *transposed), shape, "{task:?}");
                        }
                    }
                }
                Kind::Gemm(Gemm { ta, tb }) => {
                    let (left, right) = (turn(of(0), *ta), turn(of(1), *tb));
                    assert_eq!((left.0, right.1, left.1), (shape.0, shape.1, right.0), "{task:?}");
                }
                Kind::Write(WriteOutput { grid, transposed, .. }) => {
                    let c = stage.space.coords(task.index);
                    assert_eq!(turn(of(0), *transposed), grid.shape(c.i, c.j), "{task:?}");
                }
                _ => {}
            }
        }
    });
}

#[test]
fn ten_million_tasks_are_a_few_hundred_bytes() {
    let mut builder = ProgramBuilder::default();
    let (n, block) = (216 * 1000, 1000);
    let a = Array::normal(n, n, 1, Element::F64);
    let formula = (&a + &a.t()).dot(&programs::input(0, n, n)) * 2.0;
    let grid = BlockGrid::new(Axis::new(n, block), Axis::new(n, block));
    let access = Lowering::new(&mut builder, block).lower(&formula, grid).unwrap();
    builder.write(access, 0, (0, 0));
    let program = builder.finish();
    assert!(program.tasks() > 10_000_000, "{}", program.tasks());
    let bytes = dolmen::protocol::encode(program.stages()).unwrap();
    assert!(bytes.len() < 1024, "{} bytes", bytes.len());
    let stages = dolmen::protocol::decode(&bytes).unwrap();
    assert_eq!(Program::try_new(stages).unwrap(), program);
}

#[test]
fn a_matrix_and_its_transpose_meet_early() {
    let (blocks, block) = (10, 64);
    let x = programs::input(0, blocks * block, blocks * block);
    let mut builder = ProgramBuilder::default();
    let sum = (&x + &x.t()).sum();
    let access = Lowering::new(&mut builder, block).lower(&sum, BlockGrid::whole(1, 1)).unwrap();
    builder.keep(access.stage);
    let plan = plan(&builder.finish(), ONE, u64::MAX / 4).unwrap();
    assert!(plan.smallest_budget <= 4 * block * block * 8, "{plan:?}");
}

#[test]
fn the_tree_of_a_tall_matrix_with_short_panels() {
    for blocks in 1..40 {
        let mut builder = ProgramBuilder::default();
        let panel = Axis::new(blocks * 3 - 1, 3);
        let n = (blocks * 3 - 1).min(5);
        let a = builder.fill(
            Fill::Random { law: Law::Normal, seed: 0 },
            0,
            0,
            BlockGrid::new(panel, Axis::whole(n)),
            Element::F64,
        );
        let (u, ..) = Tall::new(&mut builder, a, |r1, r2, _| r1 + r2).svd(&mut builder, n);
        builder.keep(u.stage);
        let program = builder.finish();
        for stage in program.stages() {
            let rows = |index| stage.shape(index).0;
            let below = |span: u32, at: u32| {
                let first = (u64::from(at) * u64::from(span) * 3).min(panel.len());
                let last = (u64::from(at + 1) * u64::from(span) * 3).min(panel.len());
                (last - first).min(n)
            };
            match (&stage.kind, stage.blocks) {
                (Kind::LeafR(_), _) => {
                    for at in 0..stage.space.tasks() {
                        let packed: u64 = (0..panel.size(at).min(n)).map(|row| n - row).sum();
                        assert_eq!(stage.shape(at), (1, packed));
                    }
                }
                // What goes down to a level is as long as what came up from it.
                (Kind::Down(Down { span, .. }), Blocks::Pair { .. }) => {
                    for at in 0..stage.space.tasks() {
                        let both = below(*span, 2 * at) + below(*span, 2 * at + 1);
                        assert_eq!(rows(at), both, "{blocks} blocks, node {at}");
                    }
                }
                (Kind::Half(Half { span, .. }), _) => {
                    for at in 0..stage.space.tasks() {
                        assert_eq!(rows(at), below(*span, at), "{blocks} blocks, child {at}");
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn rows_are_pushed_down_to_the_sources() {
    let x = programs::input(0, 10, 6);
    let y = programs::input(1, 6, 8);
    let cases = [
        (x.rows(2..5), (3, 6)),
        (x.rows(0..0), (0, 6)),
        ((&x + 1.0).rows(2..5).rows(1..3), (2, 6)),
        (x.dot(&y).rows(3..10), (7, 8)),
        (x.t().rows(1..4), (3, 10)),
        (x.t().rows(1..4).t(), (10, 3)),
        (y.t().dot(&x.t()).rows(0..8), (8, 10)),
        (x.sum().rows(0..1), (1, 1)),
        (x.norm().rows(1..1), (0, 1)),
    ];
    for (at, (array, shape)) in cases.into_iter().enumerate() {
        assert_eq!(array.shape(), Ok(shape), "case {at}");
        let mut builder = ProgramBuilder::default();
        let grid = BlockGrid::new(Axis::new(shape.0, 2), Axis::new(shape.1, 3));
        let access = Lowering::new(&mut builder, 4).lower(&array, grid).unwrap();
        builder.keep(access.stage);
        let program = builder.finish();
        assert_eq!(access.grid, grid, "case {at}");
        assert_eq!(serial_order(&program).len(), program.tasks(), "case {at}: tasks that nobody asks for");
    }
    assert!(matches!(x.rows(5..11).shape(), Err(ArrayError::Slice { len: 10, .. })));
    let late = programs::input(0, 10, 6).rows(4..9).t().rows(2..3);
    let mut builder = ProgramBuilder::default();
    let grid = BlockGrid::whole(1, 5);
    Lowering::new(&mut builder, 4).lower(&late, grid).unwrap();
    let program = builder.finish();
    assert!(matches!(program.stage(StageId(0)).kind, Kind::Read(ReadInput { row: 4, col: 2, .. })));
}

/// A product is a chain: its row blocks are found by their place, not by the numbers of tasks.
#[test]
fn work_on_the_last_short_row_block_of_a_product_is_less() {
    let mut builder = ProgramBuilder::default();
    let mut constant =
        |rows, cols| builder.fill(Fill::Constant(1.0), 0, 0, BlockGrid::new(rows, cols), Element::F64);
    let (rows, inner, cols) = (Axis::new(10, 4), Axis::new(8, 4), Axis::whole(3));
    let (a, b, x) = (constant(rows, inner), constant(inner, cols), constant(cols, Axis::whole(1)));
    let product = builder.gemm(a, b);
    builder.gram_apply(product, x);
    let mut program = builder.finish();
    let of_kind = |stage: &&mut Stage| stage.kind == Kind::GramApply;
    program.stages_mut().filter(of_kind).for_each(|stage| stage.work.flops = 1.0);
    assert_eq!(program.flops(), 2.5, "row blocks of 4, 4 and 2");
}

/// 2^30 tasks are allowed: either of two stages alone, not both.
#[test]
fn the_tasks_of_all_stages_count_together() {
    let lower = |array: &Array| {
        let (rows, cols) = array.shape().unwrap();
        let grid = BlockGrid::new(Axis::new(rows, 1), Axis::new(cols, 1));
        let mut builder = ProgramBuilder::default();
        Lowering::new(&mut builder, 4).lower(array, grid).map(|_| builder.finish().tasks())
    };
    let x = programs::input(0, 30_000, 30_000);
    assert!(matches!(lower(&x), Ok(900_000_000)));
    assert!(matches!(lower(&programs::input(0, 1 << 15, 1 << 15)), Ok(0x4000_0000)));
    let both = lower(&(&x + 1.0));
    assert!(matches!(both, Err(LowerError::TooManyTasks { tasks: 900_000_000, .. })), "{both:?}");
}

#[test]
fn shared_parts_are_made_once() {
    let x = programs::input(0, 20, 20);
    let shared = x.dot(&x);
    let formula = &shared + &shared.t();
    let mut builder = ProgramBuilder::default();
    let grid = BlockGrid::new(Axis::new(20, 5), Axis::new(20, 5));
    let access = Lowering::new(&mut builder, 5).lower(&formula, grid).unwrap();
    builder.keep(access.stage);
    let kinds: Vec<_> = builder.finish().stages().iter().map(|s| s.kind.name()).collect();
    assert_eq!(kinds, ["read", "gemm", "map"]);
}

/// A sum over a hundred thousand calls is a formula too: finding its inputs must not be quadratic.
#[test]
fn a_task_with_many_inputs() {
    let many = 100_000;
    let mut lists = vec![Vec::new(); many];
    lists.push((0..many as u32).collect());
    let read = Read { source: StageId(0), pattern: Pattern::Edges(Arc::new(Edges::new(&lists))) };
    let program = Program::new(vec![Stage {
        kind: Kind::Null,
        space: Space::new(many as u32 + 1, 1, 1, Order::Rows),
        blocks: Blocks::Each { rows: 1, cols: 1 },
        element: Element::F64,
        reads: vec![read],
        keep: true,
        lockstep: false,
        work: Work::default(),
    }]);
    assert_eq!(inputs(&program, TaskId::new(StageId(0), many as u32)).len(), many);
}

/// Tasks that do nothing, over so many rows, columns and steps.
fn nulls(rows: u32, cols: u32, steps: u32, reads: Vec<Read>) -> Stage {
    Stage {
        kind: Kind::Null,
        space: Space::new(rows, cols, steps, Order::Rows),
        blocks: Blocks::Each { rows: 1, cols: 1 },
        element: Element::F64,
        reads,
        keep: false,
        lockstep: false,
        work: Work::default(),
    }
}

#[test]
fn consumers_are_the_inverse_of_inputs_whatever_is_picked() {
    let picks = [Pick::Row, Pick::Col, Pick::Step, Pick::Zero];
    for (row, col) in picks.into_iter().flat_map(|row| picks.map(|col| (row, col))) {
        let read = Read { source: StageId(0), pattern: Pattern::Block(row, col) };
        let previous = Read { source: StageId(1), pattern: Pattern::Previous };
        let program = Program::new(vec![nulls(3, 3, 1, Vec::new()), nulls(2, 3, 2, vec![read, previous])]);
        for block in (0..9).map(|index| TaskId::new(StageId(0), index)) {
            let reads_it = |task: &TaskId| inputs(&program, *task).contains(&block);
            let mut found = consumers(&program, block);
            found.sort_unstable();
            assert_eq!(
                found,
                tasks(&program).filter(reads_it).collect::<Vec<_>>(),
                "{row:?} {col:?} {block:?}"
            );
        }
    }
}

#[test]
fn a_program_knows_which_tasks_it_has() {
    let program = Program::new(vec![nulls(2, 3, 1, Vec::new())]);
    let has_task = |stage, index| program.has_task(TaskId::new(StageId(stage), index));
    assert!(has_task(0, 5) && !has_task(0, 6) && !has_task(1, 0));
    let has = |stage, start, end| program.has_range(&TaskRange { stage: StageId(stage), start, end });
    assert!(has(0, 0, 6) && has(0, 6, 6) && !has(0, 0, 7) && !has(0, 4, 3) && !has(1, 0, 0));
}

/// Blocks of 4, 4 and 2 rows, 3 and 2 columns, and sums over 4 and 2.
#[test]
fn work_on_ragged_blocks_of_a_product_is_less() {
    let (rows, inner, cols) = (Axis::new(10, 4), Axis::new(6, 4), Axis::new(5, 3));
    let mut builder = ProgramBuilder::default();
    let mut constant =
        |rows, cols| builder.fill(Fill::Constant(1.0), 0, 0, BlockGrid::new(rows, cols), Element::F64);
    let (a, b) = (constant(rows, inner), constant(inner, cols));
    builder.gemm(a, b);
    let mut program = builder.finish();
    program.stages_mut().filter(|stage| stage.kind.name() == "gemm").for_each(|stage| stage.work.flops = 6.0);
    assert_eq!(program.flops(), 6.0 * 2.5 * 1.5 * 5.0 / 3.0);
}

#[test]
fn blocks_are_written_in_the_order_in_which_they_are_made() {
    let x = programs::input(0, 20, 20);
    let orders = |array: &Array, transposed: bool| {
        let grid = BlockGrid::new(Axis::new(20, 5), Axis::new(20, 5));
        let mut builder = ProgramBuilder::default();
        let access = Lowering::new(&mut builder, 5).lower(array, grid).unwrap();
        builder.write(if transposed { access.t() } else { access }, 0, (0, 0));
        let order = |stage: &Stage| stage.space.order();
        builder.finish().stages().iter().rev().take(2).map(order).collect::<Vec<_>>()
    };
    let both = &x + &x.t();
    assert_eq!(orders(&both, false), [Order::Pairs, Order::Pairs]);
    assert_eq!(orders(&both, true), [Order::Rows, Order::Pairs]);
    assert_eq!(orders(&(&x + &programs::input(1, 20, 20)), false), [Order::Rows, Order::Rows]);
}

/// The tree over 19 rows in blocks of 3, with 5 columns. The fewer rows a node has, the longer are its factors here.
fn tree(builder: &mut ProgramBuilder) -> Tall {
    let grid = BlockGrid::new(Axis::new(19, 3), Axis::whole(5));
    let a = builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64);
    Tall::new(builder, a, |above, below, cols| 1000 - 100 * above - 10 * below + cols)
}

#[test]
fn nodes_have_room_for_the_longest_factors() {
    let mut builder = ProgramBuilder::default();
    let tree = tree(&mut builder);
    tree.svd(&mut builder, 3);
    tree.qr(&mut builder);
    let (mut merges, mut roots) = (Vec::new(), Vec::new());
    for stage in builder.finish().stages() {
        let Blocks::Each { cols, .. } = stage.blocks else { continue };
        match &stage.kind {
            Kind::Merge(merge) => merges.push((merge.span, cols)),
            Kind::RootSvd(root) => roots.push((root.span, cols)),
            Kind::RootQr(root) => roots.push((root.span, cols)),
            _ => {}
        }
    }
    // Children of 1 and 0 rows; of 5 and 1; of 5 and 5.
    assert_eq!(merges, [(1, 905), (2, 495), (4, 455)]);
    assert_eq!(roots, [(8, 5 * 3 + 3 + 3 * 5), (8, 5 * 5 + 5)]);
}

#[test]
#[should_panic(expected = "the SVD of a 3x5 matrix is that of its transpose")]
fn a_wide_matrix_is_no_tall_one() {
    let mut builder = ProgramBuilder::default();
    let a = builder.fill(Fill::Constant(1.0), 0, 0, BlockGrid::whole(3, 5), Element::F64);
    Tall::new(&mut builder, a, |_, _, _| 0).values(&mut builder, 3);
}

#[test]
fn programs_of_nothing_have_the_edges_that_they_are_named_for() {
    let built = |build: fn(&mut ProgramBuilder)| {
        let mut builder = ProgramBuilder::default();
        build(&mut builder);
        builder.finish()
    };
    let reads = |program: &Program, index| {
        let read = inputs(program, TaskId::new(StageId(0), index));
        read.iter().map(|task| task.index).collect::<Vec<_>>()
    };
    let tree = built(|builder| builder.null_tree(8));
    assert_eq!(tree.stages().iter().map(|stage| stage.space.tasks()).collect::<Vec<_>>(), [4, 2, 1]);
    let grid = built(|builder| builder.null_grid(3));
    let wanted = [vec![], vec![0], vec![1], vec![0], vec![1, 3], vec![2, 4], vec![3], vec![4, 6], vec![5, 7]];
    assert_eq!((0..9).map(|index| reads(&grid, index)).collect::<Vec<_>>(), wanted);
    let chain = built(|builder| builder.null_chain(3));
    assert_eq!((0..3).map(|index| reads(&chain, index)).collect::<Vec<_>>(), [vec![], vec![0], vec![1]]);
}

#[test]
fn what_an_expression_makes_itself_needs_room() {
    let fill = Operand::Fill { fill: Fill::Constant(1.0), row: 0, col: 0, transposed: false };
    let converted = Operand::Converted { read: 0, transposed: false, from: Element::F32 };
    let block = Operand::Block { read: 0, transposed: true };
    let map = Map { ops: Vec::new(), operands: vec![block, fill, converted] };
    assert_eq!(map.made(), 2);
}
