//! What goes on, and why a task is where it is.

use super::members::Member;
use super::run::Current;
use super::{Asker, Hub};
use crate::failure::Failure;
use crate::graph::Stage;
use crate::ids::{TaskId, WorkerId};
use crate::protocol::{RunStatus, StageStatus, Status, WorkerStatus};
use crate::sched::{Whereabouts, WorkerView};
use std::time::Duration;

impl Hub {
    pub(super) fn status(&self) -> Status {
        let workers = self.members.all().map(|(worker, member)| self.worker_status(worker, member)).collect();
        let waits = |asker: Asker, state: &str, seconds: Duration| RunStatus {
            client: self.client_name(asker),
            state: state.into(),
            seconds: seconds.as_secs_f64(),
            done: 0,
            tasks: 0,
            recomputed: 0,
            stages: Vec::new(),
        };
        let going = self.runs.values().map(|run| self.run_status(run));
        let planned = self.preparing.map(|asker| waits(asker, "is planned", Duration::ZERO));
        let others = self.waiting.iter();
        let others = others.map(|request| waits(request.asker, "waits", request.submitted.elapsed()));
        let runs = going.chain(planned).chain(others).collect();
        Status { workers, runs, autoscaler: self.scaled.status.clone() }
    }

    pub(super) fn client_name(&self, asker: Asker) -> String {
        let client = self.clients.get(&asker.client);
        client.map_or_else(String::new, |client| client.line.connection().peer().from.name.clone())
    }

    fn worker_status(&self, worker: WorkerId, member: &Member) -> WorkerStatus {
        let views: Vec<WorkerView> =
            self.runs.values().filter_map(|run| run.core().look_at(worker)).collect();
        let seat = member.seats.all();
        let queue = views.iter().map(|view| view.queue_seconds).fold(0.0, f64::max);
        WorkerStatus {
            name: member.name.clone(),
            address: member.depot().address,
            threads: seat.threads.compute,
            memory_bytes: seat.budget,
            leaving: member.draining,
            computing: views.iter().map(|view| view.computing).sum(),
            io: views.iter().map(|view| view.io).sum(),
            queue_seconds: Some(queue).filter(|seconds| seconds.is_finite()),
            held_bytes: views.iter().map(|view| view.reserved).sum(),
            most_held_bytes: views.iter().map(|view| view.limit).sum(),
        }
    }

    fn run_status(&self, current: &Current) -> RunStatus {
        let core = current.core();
        let program = current.program();
        let (done, tasks) = core.progress();
        let stage = |id| {
            let stage: &Stage = program.stage(id);
            StageStatus {
                name: stage.kind.name().into(),
                tasks: u64::from(stage.space.tasks()),
                seconds_per_task: core.seconds_of(id),
            }
        };
        RunStatus {
            client: self.client_name(current.asker),
            state: current.state().into(),
            seconds: current.since_submitted().as_secs_f64(),
            done: done as u64,
            tasks: tasks as u64,
            recomputed: core.recomputed(),
            stages: program.stage_ids().map(stage).collect(),
        }
    }

    /// What the scheduler knows of a task of the run that goes on, of the oldest if there are two, line by line.
    pub(super) fn explained(&self, task: TaskId) -> Result<Vec<String>, Failure> {
        let current = self.runs.values().next().ok_or_else(|| Failure::of_request("no run goes on"))?;
        let program = current.program();
        if !program.has_task(task) {
            return Err(Failure::of_request(format!(
                "the run has no task {task:?}: dolmen status --json lists its stages, s0 first"
            )));
        }
        let explain = current.core().explain(task);
        let stage = program.stage(task.stage);
        let place = stage.space.coords(task.index);
        let kind = stage.kind.name();
        let mut lines =
            vec![format!("task {task:?} is {kind} of block ({}, {}): {}", place.i, place.j, explain.state)];
        let mut inputs = Vec::new();
        program.inputs(task, &mut inputs);
        for input in inputs {
            let bytes = program.stage(input.stage).bytes(input.index);
            let at = self.place_of(current.core().whereabouts(input));
            lines.push(format!("  reads {input:?}, {bytes} bytes: {at}"));
        }
        for (worker, member) in self.members.all() {
            if let Some(view) = current.core().look_at(worker).filter(|view| !view.is_leaving) {
                let free = view.limit.saturating_sub(view.reserved);
                lines.push(format!(
                    "  {} could start another task in {:.3} s and has room for {free} bytes",
                    member.name, view.queue_seconds
                ));
            }
        }
        Ok(lines)
    }

    fn place_of(&self, place: Whereabouts) -> String {
        let name = |worker: WorkerId| {
            self.members.get(worker).map_or_else(|| worker.to_string(), |member| member.name.clone())
        };
        match place {
            Whereabouts::Memory(worker) => format!("in the memory of {}", name(worker)),
            Whereabouts::Leaving(worker) => format!("being written by {}", name(worker)),
            Whereabouts::Written(memory) => format!("in a file of {}", name(WorkerId(memory.0))),
            Whereabouts::Source => "to be read or made again".into(),
            Whereabouts::Nowhere => "not made yet".into(),
        }
    }
}
