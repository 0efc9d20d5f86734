use super::super::scene::{FIRST, block, chain, task};
use crate::sched::table::TaskState;

#[test]
fn a_step_counts_for_nothing_while_the_step_before_it_does() {
    for (before, bytes) in [(TaskState::Done(FIRST), 0), (TaskState::Waiting, 0), (TaskState::Idle, block())]
    {
        let mut core = chain(2).with(&[0]);
        core.put(0, before);
        assert_eq!(core.admitted_output(task(1)), bytes, "{before:?}");
    }
}
