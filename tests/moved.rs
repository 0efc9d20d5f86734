//! What goes from process to process in virtual time, beside the least that any method sends.

use dolmen::array::{Array, Axis, BlockGrid, Element, Input, InputId, Origin};
use dolmen::graph::{Lowering, Program, ProgramBuilder};
use dolmen::sched::{Seat, Threads, forecast_network, plan_fleet};
use std::sync::Arc;

/// Side of the matrices.
const SIDE: u64 = 6144;
const SCRATCH: u64 = 2 << 20;
const MIB: u64 = 1 << 20;

fn seats(workers: usize, compute: u64, budget: u64) -> Vec<Seat> {
    vec![Seat { threads: Threads { compute, io: 4 }, budget, may_spill: true }; workers]
}

fn input(number: u64) -> Array {
    let input = Input::new(InputId(number), Arc::new(()));
    Array::source(Origin::Input(input), SIDE, SIDE, Element::F64)
}

/// The product of two square matrices in files, to a file, as a cluster does it.
fn product(block: u64) -> Arc<Program> {
    let mut builder = ProgramBuilder::default();
    let grid = BlockGrid::new(Axis::new(SIDE, block), Axis::new(SIDE, block));
    let access = Lowering::new(&mut builder, block).lower(&input(0).dot(&input(1)), grid).unwrap();
    builder.lockstep(access.stage);
    builder.write(access, 0, (0, 0));
    let mut program = builder.finish();
    for stage in program.stages_mut().filter(|stage| stage.lockstep) {
        stage.work.flops = 2.0 * (block as f64).powi(3);
    }
    Arc::new(program)
}

/// In squares of a matrix: `P·3(n³/P)^⅔ − 3n²` elements.
fn least(workers: usize) -> f64 {
    let workers = workers as f64;
    3.0 * workers.cbrt() - 3.0
}

/// That is the contract. Without homes it is 3 to 5 times the least.
#[test]
fn a_product_sends_at_most_half_more_than_the_least() {
    for (workers, threads, budget, block) in [
        (2, 1, 4096, 1024),
        (4, 1, 4096, 1024),
        (4, 1, 200, 1024),
        (4, 2, 1024, 512),
        (9, 1, 512, 512),
        (16, 1, 256, 384),
    ] {
        let seats = seats(workers, threads, budget * MIB);
        let moved = forecast_network(&product(block), &seats, SCRATCH).unwrap();
        let ratio = moved as f64 / (SIDE * SIDE * 8) as f64 / least(workers);
        println!(
            "{workers} workers of {threads} threads and {budget} MiB, blocks of {block}: {ratio:.2} times the least"
        );
        assert!((1.0..1.5).contains(&ratio), "{workers} workers: {ratio} times the least");
    }
}

/// With a few tasks for each thread two chains would be under way, whatever the number of workers.
#[test]
fn what_memory_is_not_needed_otherwise_is_for_going_ahead() {
    let window = |budget| {
        let fleet = plan_fleet(&product(1024), &seats(4, 1, budget * MIB), None, SCRATCH).unwrap();
        fleet.plan.spill.expect("a fleet may spill").window
    };
    let all = 3 * SIDE * SIDE * 8;
    assert!(window(200) < all / 2);
    assert!(window(4096) > 2 * all);
}
