//! What a scheduler asks of a program that comes from elsewhere.

use dolmen::graph::Program;
use dolmen::sched::serial_order;

/// Tasks of a program that are all looked at, and of one that is walked.
const MOST_TASKS: usize = 100_000;
const MOST_WALKED: usize = 2_000;
/// Visits of one program: an inner block may be read by all tasks.
const MOST_VISITS: usize = 400_000;

/// All that a scheduler asks of a program.
pub fn ask(program: &Program) {
    let tasks = program.tasks();
    let step = tasks.div_ceil(MOST_TASKS).max(1);
    let (mut inputs, mut consumers) = (Vec::new(), Vec::new());
    let mut visits = 0;
    for position in (0..tasks).step_by(step) {
        let task = program.at_position(position);
        assert_eq!(program.position(task), position);
        program.inputs(task, &mut inputs);
        program.consumers(task, &mut consumers);
        for other in inputs.iter().chain(&consumers) {
            assert!(program.has_task(*other), "{task:?} and {other:?}");
            assert!(program.position(*other) < tasks);
        }
        let stage = program.stage(task.stage);
        let (rows, cols) = stage.shape(task.index);
        assert!(rows.checked_mul(cols).is_some());
        let sizes = [program.size(task), program.reserves(task), program.releases(task)];
        assert!(sizes.iter().all(|bytes| *bytes <= program.size(task)));
        assert!(stage.bytes(task.index) <= stage.largest_bytes());
        let _ = (program.keeps(task), program.is_sink(task.stage));
        visits += inputs.len() + consumers.len();
        if visits > MOST_VISITS {
            return;
        }
    }
    assert!(program.flops() >= 0.0);
    if tasks <= MOST_WALKED {
        assert_eq!(serial_order(program).len(), tasks, "every task has its turn");
    }
}
