//! What a task of each stage takes: guessed at first, then measured.

use super::events::Timing;
use crate::graph::{Program, Stage};
use crate::ids::{StageId, TaskId};
use std::ops::RangeInclusive;

/// First guess of what one core does, until it has been measured.
const FLOPS_PER_SECOND: f64 = 2e10;
const BYTES_PER_SECOND: f64 = 4e9;
const TASK_SECONDS: f64 = 1e-6;
/// Weight of the newest measurement in a moving average.
const NEWEST: f64 = 0.2;
/// Seconds that one task may take. What is told beyond is an error of somebody's clock.
const BELIEVED: RangeInclusive<f64> = 0.0..=1e9;

/// Seconds of a task, by stage.
pub(super) struct Estimates {
    seconds: Vec<f64>,
}

impl Estimates {
    pub fn new(program: &Program) -> Self {
        Estimates { seconds: program.stages().iter().map(first_guess).collect() }
    }

    pub fn of_stage(&self, stage: StageId) -> f64 {
        self.seconds[stage.at()]
    }

    pub fn of(&self, task: TaskId) -> f64 {
        self.of_stage(task.stage)
    }

    /// Learns from what was measured. What cannot be is passed over.
    pub fn measure(&mut self, timings: &[Timing]) {
        for timing in timings {
            let each = timing.seconds / f64::from(timing.tasks);
            let Some(average) = self.seconds.get_mut(timing.stage.at()) else { continue };
            if BELIEVED.contains(&each) {
                *average += NEWEST * (each - *average);
            }
        }
    }
}

/// Seconds of a task of this stage on one core, before anything is measured.
pub fn first_guess(stage: &Stage) -> f64 {
    let (rows, cols) = stage.largest_shape();
    let bytes = (rows * cols * stage.element.bytes()) as f64;
    TASK_SECONDS + stage.work.flops / FLOPS_PER_SECOND + bytes / BYTES_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ProgramBuilder;

    #[test]
    fn a_measurement_counts_by_the_task_and_for_a_fifth() {
        let mut builder = ProgramBuilder::default();
        builder.null_wide(10);
        let mut estimates = Estimates::new(&builder.finish());
        let stage = StageId(0);
        let guess = estimates.of_stage(stage);
        let timing = |tasks, seconds| Timing { stage, tasks, seconds };
        estimates.measure(&[timing(4, 8.0)]);
        assert!((estimates.of_stage(stage) - (0.8 * guess + 0.2 * 2.0)).abs() < 1e-12);
        let before = estimates.of_stage(stage);
        let elsewhere = Timing { stage: StageId(1), tasks: 1, seconds: 1.0 };
        estimates.measure(&[timing(0, 1.0), timing(0, 0.0), timing(1, -1.0), timing(1, f64::NAN), elsewhere]);
        assert_eq!(estimates.of_stage(stage), before, "what cannot be is passed over");
    }

    #[test]
    fn a_guess_is_of_flops_and_bytes() {
        use crate::graph::testing::{column, nulls};
        use crate::graph::{Blocks, Work};
        let stage = Stage {
            blocks: Blocks::Each { rows: 1_000_000, cols: 500 },
            work: Work { flops: 4e10, ..Work::default() },
            ..nulls(column(1), Vec::new())
        };
        assert!((first_guess(&stage) - 3.000_001).abs() < 1e-9, "{}", first_guess(&stage));
    }
}
