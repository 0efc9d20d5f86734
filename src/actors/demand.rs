//! What an autoscaler has to know of the runs of a scheduler. Pure.

use crate::graph::Stage;
use crate::ids::WorkerId;
use crate::sched::{Core, Remaining, RemainingPhase, first_guess};
use cluster::policy::{Demand, Phase};

/// What is left of runs that go on, and so many core-seconds of each that waits.
pub fn of_runs<'a>(going: impl Iterator<Item = &'a Core>, waiting: impl Iterator<Item = f64>) -> Demand {
    let mut demand = Demand::default();
    going.for_each(|core| demand.beside(&of_run(core.remaining())));
    demand.phases.extend(waiting.map(|work| Phase { work, path: 0.0, width: f64::INFINITY }));
    demand
}

fn of_run(Remaining { phases, longest }: Remaining) -> Demand {
    let phase = |RemainingPhase { work, path, width }| Phase { work, path, width };
    Demand { phases: phases.into_iter().map(phase).collect(), longest, ..Demand::default() }
}

/// Core-seconds of a run that nobody has looked at yet. O(stages).
pub fn guessed(stages: &[Stage]) -> f64 {
    let computing = stages.iter().filter(|stage| !stage.kind.is_io());
    computing.map(|stage| f64::from(stage.space.tasks()) * first_guess(stage)).sum()
}

/// Has a worker nothing to do in a run?
pub fn is_idle(core: &Core, worker: WorkerId) -> bool {
    core.look_at(worker).is_none_or(|view| view.computing + view.io == 0)
}
