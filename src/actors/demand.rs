//! What an autoscaler has to know of the runs of a scheduler. Pure.

use crate::graph::Stage;
use crate::ids::WorkerId;
use crate::sched::{Core, Remaining, RemainingPhase, first_guess};
use cluster::policy::{Demand, Phase};

/// What is left of runs.
#[derive(Default)]
pub struct Outlook {
    pub demand: Demand,
    /// One of them has too little memory for its blocks.
    pub is_short_of_room: bool,
}

/// What is left of runs that go on, and so many core-seconds of each that waits.
pub fn of_runs<'a>(going: impl Iterator<Item = &'a Core>, waiting: impl Iterator<Item = f64>) -> Outlook {
    let Outlook { mut demand, mut is_short_of_room } = Outlook::default();
    for remaining in going.map(|core| core.remaining()) {
        is_short_of_room |= remaining.is_short_of_room;
        demand.beside(&of_run(remaining));
    }
    demand.phases.extend(waiting.map(|work| Phase { work, width: f64::INFINITY, ..Phase::default() }));
    Outlook { demand, is_short_of_room }
}

fn of_run(Remaining { phases, longest, wanted, .. }: Remaining) -> Demand {
    let phase = |RemainingPhase { work, path, width, bytes, holds }| {
        let holds = holds as f64;
        Phase { work, path, width, bytes, holds }
    };
    let phases = phases.into_iter().map(phase).collect();
    Demand { phases, longest, wanted: wanted as f64, ..Demand::default() }
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
