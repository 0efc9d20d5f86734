use super::*;
use crate::array::{Array, Axis, BlockGrid, Element, Fill, Input, InputId, Origin};
use crate::graph::testing::{column, nulls};
use crate::graph::{Lowering, ProgramBuilder};
use crate::sched::{Swapped, forecast};
use std::sync::Arc;

const PLENTY: u64 = 1 << 40;
const TWO: Threads = Threads { compute: 2, io: 3 };

/// Bytes of a block in the pool.
fn block() -> u64 {
    footprint(100 * 100 * 8)
}

/// The product of two matrices of `side`² blocks, written to a file.
fn product(side: u64) -> Program {
    let grid = BlockGrid::new(Axis::new(100 * side, 100), Axis::new(100 * side, 100));
    let mut builder = ProgramBuilder::default();
    let a = builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64);
    let b = builder.fill(Fill::Constant(2.0), 0, 0, grid, Element::F64);
    let product = builder.gemm(a, b);
    builder.write(product, 0, (0, 0));
    let mut program = builder.finish();
    for stage in program.stages_mut() {
        stage.work.workspace = if stage.kind.is_io() { 30_000 } else { 50_000 };
    }
    program
}

#[test]
fn each_thread_has_the_largest_workspace_of_its_kind() {
    let workspace = workspace(&product(2));
    assert_eq!(workspace, Workspace { compute: footprint(50_000), io: footprint(30_000) });
    assert_eq!(workspace.of(TWO), 2 * footprint(50_000) + 3 * footprint(30_000));
    assert_eq!(spilling_workspace(&product(2), 1 << 20).io, footprint(1 << 20));
    assert_eq!(spilling_workspace(&product(2), 1), workspace);
}

#[test]
fn steps_of_a_chain_are_one_block() {
    let program = product(3);
    assert_eq!(largest_total(&program), 3 * 9 * block());
    assert_eq!(largest_task(&program), 3 * block());
}

#[test]
fn a_run_goes_ahead_by_a_task_for_each_thread() {
    let program = product(9);
    let plan = plan(&program, TWO, PLENTY).unwrap();
    let beside = plan.workspace.of(TWO);
    assert_eq!(plan.smallest_budget, plan.least_blocks + beside);
    assert_eq!(plan.blocks_limit, plan.least_blocks + 5 * 3 * block());
    assert_eq!(plan.bound(), plan.blocks_limit + beside);
    let stride = plan.stride(&program);
    assert_eq!((stride.least, stride.per_io_task), (plan.least_blocks, 3 * block()));
    assert_eq!(stride.per_thread, (15 * block()).div_ceil(2));
}

#[test]
fn a_budget_is_enough_or_it_is_not() {
    let program = product(3);
    let needed = plan(&program, TWO, PLENTY).unwrap().smallest_budget;
    let tight = plan(&program, TWO, needed).unwrap();
    assert_eq!((tight.blocks_limit, tight.bound()), (tight.least_blocks, needed));
    let error = PlanError { needed, budget: needed - 1, whose: Whose::Process };
    assert_eq!(plan(&program, TWO, needed - 1), Err(error));
}

#[test]
fn a_run_that_spills_needs_one_task_and_goes_two_further_ahead() {
    let program = product(9);
    let workspace = spilling_workspace(&program, 1 << 20);
    let least = 3 * block();
    let needed = least + workspace.of(TWO);
    let tight = plan_spilling(&program, TWO, needed, 1 << 20).unwrap();
    assert_eq!((tight.blocks_limit, tight.smallest_budget), (least, needed));
    assert_eq!(tight.spill.map(|spill| (spill.window, spill.least)), Some((least, least)));
    assert!(plan_spilling(&program, TWO, needed - 1, 1 << 20).is_err());
    let wide = plan_spilling(&program, TWO, PLENTY, 1 << 20).unwrap();
    assert_eq!(wide.blocks_limit, PLENTY - workspace.of(TWO));
    assert_eq!(wide.spill.map(|spill| spill.window), Some(least + 4 * 3 * block()));
}

/// An eighth of the budget, if that is free, for as many as asked for.
#[test]
fn more_io_threads_take_what_is_free() {
    let program = product(9);
    let each = 3 * block() + footprint(30_000);
    let needs = plan(&program, TWO, PLENTY).unwrap().bound();
    for (budget, more) in
        [(needs, 0), (needs + each - 1, 0), (needs + each, 1), (needs + 3 * each + 1, 3), (8 * 20 * each, 13)]
    {
        let before = plan(&program, TWO, budget).unwrap();
        let after = before.with_more_io(&program, 16, budget);
        assert_eq!((after.more_io, after.threads.io), (more, 3 + more), "{budget}");
        assert_eq!(after.threads.compute, 2);
        assert_eq!(after.blocks_limit, before.blocks_limit + more * 3 * block());
        assert!(after.bound() <= budget);
        assert_eq!(after.stride(&program).per_thread, before.stride(&program).per_thread);
    }
    let spilling = plan_spilling(&program, TWO, PLENTY, 0).unwrap();
    assert_eq!(spilling.with_more_io(&program, 16, 2 * PLENTY), spilling);
    let small = product(1);
    let all = plan(&small, TWO, PLENTY).unwrap().with_more_io(&small, 16, PLENTY);
    assert_eq!((all.more_io, all.blocks_limit), (13, largest_total(&small)));
}

/// A product of two matrices, the first of them from a file, written to a file.
fn product_of(first: impl FnOnce(Array) -> Array) -> Arc<Program> {
    let input = Input::new(InputId(0), Arc::new(()), false);
    let a = Array::source(Origin::Input(input), 300, 300, Element::F64);
    let mut builder = ProgramBuilder::default();
    let grid = BlockGrid::new(Axis::new(300, 100), Axis::new(300, 100));
    let product = first(a.clone()).dot(&a);
    let access = Lowering::new(&mut builder, 100).lower(&product, grid).unwrap();
    builder.write(access, 0, (0, 0));
    Arc::new(builder.finish())
}

#[test]
fn what_little_memory_makes_a_run_write_and_read_is_foretold() {
    const BYTES: u64 = 100 * 100 * 8;
    let told = |program: &Arc<Program>| {
        let needed = plan_spilling(program, TWO, PLENTY, 0).unwrap().smallest_budget;
        forecast(program, &plan_spilling(program, TWO, needed, 0).unwrap())
    };
    let of_file = told(&product_of(|a| a));
    assert_eq!((of_file.written, of_file.read_back), (0, 0), "it is read again instead");
    assert!(of_file.read_again >= 9 * BYTES && of_file.read_again.is_multiple_of(BYTES), "{of_file:?}");
    let made = told(&product_of(|a| {
        (a * 2.0).dot(&Array::source(Origin::Fill(Fill::Constant(1.0)), 300, 300, Element::F64))
    }));
    assert!(made.written >= BYTES && made.written.is_multiple_of(BYTES), "{made:?}");
    assert!(made.read_back >= made.written && made.read_back.is_multiple_of(BYTES), "{made:?}");
    let program = product_of(|a| a);
    for plan in [plan_spilling(&program, TWO, PLENTY, 0), plan(&program, TWO, PLENTY)] {
        assert_eq!(forecast(&program, &plan.unwrap()), Swapped::default(), "there is room for all");
    }
}

#[test]
fn blocks_that_nobody_reads_go_unless_they_are_results() {
    let needs_of = |keep| {
        let grid = BlockGrid::new(Axis::new(300, 100), Axis::whole(100));
        let mut builder = ProgramBuilder::default();
        let a = builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64);
        if keep {
            builder.keep(a.stage);
        }
        let Needs { serial, spilling } = needs(&builder.finish());
        (serial, spilling)
    };
    assert_eq!(needs_of(false), (block(), block()));
    assert_eq!(needs_of(true), (3 * block(), 3 * block()));
}

#[test]
fn a_walk_that_is_long_is_spared_where_all_blocks_fit_easily() {
    let long = LONG_WALK as u32 + 1;
    let program = |tasks: u32| Program::new(vec![nulls(column(tasks), Vec::new())]);
    let one = footprint(8);
    let least = |tasks: u32, budget: u64| plan(&program(tasks), TWO, budget).unwrap().least_blocks;
    let everything = u64::from(long) * one;
    assert_eq!(least(long, 2 * everything), everything);
    assert_eq!(least(long, 2 * everything - 1), one);
    assert_eq!(least(long - 1, PLENTY), one, "it is not long");
}

#[test]
fn more_io_threads_take_no_more_than_a_share_of_the_budget() {
    let program = product(9);
    let plan = plan(&program, TWO, PLENTY).unwrap();
    let each = 3 * block() + footprint(30_000);
    let budget = 8 * 7 * each;
    assert!(budget - plan.bound() > 7 * each);
    assert_eq!(plan.with_more_io(&program, 100, budget).threads.io, TWO.io + 7);
}

#[test]
fn a_run_that_spills_goes_ahead_by_a_task_for_each_thread_and_two_that_come() {
    let threads = Threads { compute: 3, io: 1 };
    let plan = plan_spilling(&product(9), threads, PLENTY, 0).unwrap();
    assert_eq!(plan.spill.unwrap().window, plan.least_blocks + 5 * 3 * block());
}
