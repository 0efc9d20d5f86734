//! A run that goes on, from its first task to the last block of its results.

use super::members::Member;
use super::{Asker, Hub};
use crate::actors::{Conduct, Letters, MOST_IO_TASKS};
use crate::failure::Failure;
use crate::graph::Program;
use crate::ids::{BlockId, MemoryId, RunId, TaskId, WorkerId};
use crate::protocol::{
    Depot, Ended, Figures, FileReport, FromWorker, NotShared, Portion, RunSpec, ToClient, ToWorker,
    ToWorkerProcess, WorkerFigures,
};
use crate::sched::{Allotment, Core, Event, FleetPlan, IO_TASKS};
use actix::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So often a client hears how far its run is.
const TELL_PROGRESS: Duration = Duration::from_millis(100);

/// How far a run has come.
pub enum Phase {
    Going,
    /// All tasks are done; these have not told their figures yet.
    Concluding(BTreeSet<WorkerId>),
    /// The client fetches its results.
    Fetching,
}

pub struct Current {
    pub asker: Asker,
    /// Under this number the client takes part, if it does.
    pub client_worker: Option<WorkerId>,
    pub id: RunId,
    /// The part of each worker's memory that it has.
    pub portion: Portion,
    pub spec: Box<RunSpec>,
    pub program: Arc<Program>,
    pub plan: FleetPlan,
    pub conduct: Conduct,
    pub phase: Phase,
    /// Workers that take part.
    pub begun: BTreeSet<WorkerId>,
    /// What they have done with files, as they have told last.
    pub files: BTreeMap<WorkerId, FileReport>,
    pub figures: Vec<WorkerFigures>,
    pub waited: Duration,
    pub began: Instant,
    pub told_progress: Instant,
}

impl Current {
    /// The number under which a client takes part in this run of its own.
    pub fn worker_of(&self, asker: Asker) -> Option<WorkerId> {
        self.client_worker.filter(|_| self.asker == asker)
    }

    pub fn program(&self) -> &Program {
        &self.program
    }

    pub fn core(&self) -> &Core {
        self.conduct.core()
    }

    pub fn state(&self) -> &'static str {
        match self.phase {
            Phase::Going => "runs",
            Phase::Concluding(_) => "concludes",
            Phase::Fetching => "hands out results",
        }
    }

    /// I/O tasks that all workers run together beyond those that any may run.
    fn more_io(&self) -> u64 {
        let more =
            |report: &FileReport| report.io_tasks.min(MOST_IO_TASKS as u64).saturating_sub(IO_TASKS as u64);
        self.files.values().map(more).sum()
    }

    /// Are all tasks done?
    fn is_complete(&self) -> bool {
        !matches!(self.phase, Phase::Going)
    }

    pub fn since_submitted(&self) -> Duration {
        self.began.elapsed() + self.waited
    }
}

impl Hub {
    fn run(&mut self, id: RunId) -> Option<&mut Current> {
        self.runs.get_mut(&id)
    }

    /// The runs in which a worker takes part.
    pub(super) fn runs_of(&self, worker: WorkerId) -> Vec<RunId> {
        let runs = self.runs.values().filter(|run| run.begun.contains(&worker));
        runs.map(|run| run.id).collect()
    }

    /// A worker that has just come takes part in what goes on.
    pub(super) fn begin_at(&mut self, worker: WorkerId, ctx: &mut Context<Self>) {
        let going = self.runs.values().filter(|run| !run.is_complete());
        let going: Vec<RunId> = going.map(|run| run.id).collect();
        for id in going {
            let join = self.begin_empty(id, worker);
            self.feed(id, join.into_iter().collect(), ctx);
        }
    }

    /// A worker comes when the run goes on already: what it may have kept of it goes.
    fn begin_empty(&mut self, id: RunId, worker: WorkerId) -> Option<Event> {
        let portion = self.runs.get(&id)?.portion;
        self.take_offer(worker, portion, None);
        self.begin(id, worker, false)
    }

    /// Tells a worker of the run; what the core has to know of it. None if the run has no room there. With `goes_on`
    /// the worker begins with what it has kept.
    pub(super) fn begin(&mut self, id: RunId, worker: WorkerId, goes_on: bool) -> Option<Event> {
        let run = self.runs.get_mut(&id)?;
        let member = self.members.get(worker).filter(|member| !member.draining)?;
        let seat = member.seats.of(run.portion)?;
        let Allotment { bytes, io_tasks } = run.plan.allot(seat, MOST_IO_TASKS as u64);
        if bytes == 0 && run.program.stages().iter().any(|stage| stage.leaves_blocks()) {
            tracing::warn!("worker {} has too little memory for run {}", member.name, id.0);
            return None;
        }
        let workspace = run.plan.plan.workspace;
        member.send(ToWorkerProcess::Begin {
            run: id,
            portion: run.portion,
            spec: run.spec.clone(),
            workspace,
            io_tasks,
            goes_on,
        });
        run.begun.insert(worker);
        let threads = seat.threads.compute as u32;
        Some(Event::Join { worker, threads, memory: MemoryId(worker.0), bytes })
    }

    /// What a worker says of its runs.
    pub(super) fn hear(&mut self, worker: WorkerId, messages: Vec<FromWorker>, ctx: &mut Context<Self>) {
        let mut by_run: BTreeMap<RunId, Vec<FromWorker>> = BTreeMap::new();
        for message in messages {
            by_run.entry(message.run()).or_default().push(self.with_name(worker, message));
        }
        for (id, messages) in by_run {
            self.hear_of(id, worker, messages, ctx);
        }
    }

    /// The core goes as far ahead as the workers can read.
    pub(super) fn note_files(
        &mut self,
        worker: WorkerId,
        id: RunId,
        report: FileReport,
        ctx: &mut Context<Self>,
    ) {
        // A time that is none would make others none.
        let is_sound = report.waited.is_finite() && report.waited >= 0.0;
        let Some(run) = self.run(id).filter(|run| is_sound && run.begun.contains(&worker)) else { return };
        let before = run.more_io();
        run.files.insert(worker, report);
        let tasks = run.more_io();
        if tasks != before {
            self.feed(id, vec![Event::MoreIo { tasks }], ctx);
        }
    }

    /// A full disk is one worker's.
    fn with_name(&self, worker: WorkerId, message: FromWorker) -> FromWorker {
        match (self.members.get(worker).filter(|member| !member.is_client()), message) {
            (Some(member), FromWorker::MoveFailed { run, block, failure }) => {
                FromWorker::MoveFailed { run, block, failure: member.blamed(failure) }
            }
            (_, message) => message,
        }
    }

    fn hear_of(&mut self, id: RunId, worker: WorkerId, messages: Vec<FromWorker>, ctx: &mut Context<Self>) {
        let Some(run) = self.run(id).filter(|run| run.begun.contains(&worker)) else { return };
        let loses = messages.iter().any(|message| matches!(message, FromWorker::Vanished { .. }));
        let was_complete = run.is_complete();
        let letters = run.conduct.hear(worker, messages);
        self.follow(id, letters, ctx);
        if loses && was_complete {
            self.conclude_again(id, ctx);
        }
    }

    /// Results of a complete run may lie elsewhere now, and who was to tell figures may be gone.
    fn conclude_again(&mut self, id: RunId, ctx: &mut Context<Self>) {
        if self.run(id).is_some_and(|run| run.core().is_over()) {
            self.conclude(id, ctx);
        }
    }

    pub(super) fn feed(&mut self, id: RunId, events: Vec<Event>, ctx: &mut Context<Self>) {
        let Some(run) = self.run(id) else { return };
        let letters = run.conduct.feed(events);
        self.follow(id, letters, ctx);
    }

    /// Does what follows from events. What was complete may not be any more: results were lost that nobody has fetched.
    fn follow(&mut self, id: RunId, letters: Letters, ctx: &mut Context<Self>) {
        let Some(run) = self.run(id) else { return };
        let resumes = run.is_complete() && !run.core().is_over();
        if resumes {
            tracing::info!("run {} goes on: results were lost before they were fetched", id.0);
            run.phase = Phase::Going;
        }
        self.deliver(id, letters, ctx);
        if resumes {
            self.catch_up(id, ctx);
        }
    }

    /// Workers that came or wanted to go while the run was complete take part in it, or hand over.
    fn catch_up(&mut self, id: RunId, ctx: &mut Context<Self>) {
        let Some(run) = self.runs.get(&id) else { return };
        let mut came = Vec::new();
        let mut events = Vec::new();
        for (worker, member) in self.members.all() {
            if !run.begun.contains(&worker) {
                came.push(worker);
            } else if member.draining {
                events.push(Event::Leave { worker });
            }
        }
        events.extend(came.into_iter().filter_map(|worker| self.begin_empty(id, worker)));
        self.feed(id, events, ctx);
    }

    fn deliver(&mut self, id: RunId, Letters { to, released, end }: Letters, ctx: &mut Context<Self>) {
        let Some(run) = self.run(id) else { return };
        let asker = run.asker;
        run.begun.retain(|worker| !released.contains(worker));
        if run.told_progress.elapsed() >= TELL_PROGRESS {
            run.told_progress = Instant::now();
            let (done, total) = run.core().progress();
            let progress =
                ToClient::Progress { number: asker.number, done: done as u64, total: total as u64 };
            self.tell_client(asker.client, &progress);
        }
        for (worker, messages) in to {
            self.members.tell(worker, id, messages);
        }
        for worker in released {
            self.members.tell(worker, id, vec![ToWorker::Forget { run: id }]);
            self.let_go_if_idle(worker);
        }
        match end {
            None => {}
            Some(Ok(())) => self.conclude(id, ctx),
            Some(Err(failure)) => self.fail(id, failure, ctx),
        }
    }

    /// All tasks are done: the workers tell what that took.
    fn conclude(&mut self, id: RunId, ctx: &mut Context<Self>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        for member in run.begun.iter().filter_map(|worker| self.members.get(*worker)) {
            member.send(ToWorkerProcess::Conclude { run: id });
        }
        run.figures.clear();
        run.phase = Phase::Concluding(run.begun.clone());
        self.end_if_concluded(id, ctx);
    }

    pub(super) fn concluded(
        &mut self,
        worker: WorkerId,
        id: RunId,
        figures: Result<Figures, Failure>,
        ctx: &mut Context<Self>,
    ) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let Some(member) = self.members.get(worker) else { return };
        let Phase::Concluding(missing) = &mut run.phase else { return };
        if !missing.remove(&worker) {
            return;
        }
        match figures {
            Ok(figures) => {
                let bound = member.seats.of(run.portion).map_or(0, |seat| seat.budget);
                run.figures.push(WorkerFigures { name: member.name.clone(), bound, figures });
                self.end_if_concluded(id, ctx);
            }
            Err(failure) => self.fail_at(id, worker, failure, ctx),
        }
    }

    /// The results are the client's to fetch, once all workers have told their figures.
    fn end_if_concluded(&mut self, id: RunId, ctx: &mut Context<Self>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if !matches!(&run.phase, Phase::Concluding(missing) if missing.is_empty()) {
            return;
        }
        run.phase = Phase::Fetching;
        let kept = kept(run, |worker| self.members.get(worker).map(Member::depot));
        let nothing_kept = kept.is_empty();
        let (recomputed, taken_up) = (run.core().recomputed(), run.core().taken_up());
        let ended = Ended {
            run: id,
            recomputed,
            taken_up,
            waited: run.waited.as_secs_f64(),
            workers: std::mem::take(&mut run.figures),
            kept,
        };
        let asker = run.asker;
        let seconds = run.began.elapsed().as_secs_f64();
        tracing::info!("run {} is done after {seconds:.3} s, {recomputed} tasks were done again", id.0);
        self.tell_ended(asker, Ok(ended));
        if nothing_kept {
            self.forget(id, ctx);
        }
    }

    pub(super) fn tell_ended(&mut self, asker: Asker, result: Result<Ended, Failure>) {
        self.tell_client(asker.client, &ToClient::Ended { number: asker.number, result });
    }

    fn fail(&mut self, id: RunId, failure: Failure, ctx: &mut Context<Self>) {
        let Some(run) = self.run(id) else { return };
        tracing::info!("run {} failed: {failure}", id.0);
        let asker = run.asker;
        self.tell_ended(asker, Err(failure));
        self.forget(id, ctx);
    }

    /// Nothing of the run is wanted any more: the next one begins.
    fn forget(&mut self, id: RunId, ctx: &mut Context<Self>) {
        let Some(run) = self.runs.remove(&id) else { return };
        for worker in run.begun {
            self.members.tell(worker, id, vec![ToWorker::Forget { run: id }]);
            self.let_go_if_idle(worker);
        }
        if let Some(worker) = run.client_worker {
            self.members.remove(worker);
        }
        self.start_next(ctx);
    }

    /// A worker that wants to go goes when no run needs it any more.
    fn let_go_if_idle(&mut self, worker: WorkerId) {
        let wants = self.members.get(worker).is_some_and(|member| member.draining);
        if wants && self.runs_of(worker).is_empty() {
            self.let_go(worker);
        }
    }

    /// Nobody wants the runs of these askers any more.
    pub(super) fn give_up(&mut self, is_meant: impl Fn(&Asker) -> bool, ctx: &mut Context<Self>) {
        self.waiting.retain(|request| !is_meant(&request.asker));
        self.preparing = self.preparing.filter(|asker| !is_meant(asker));
        let runs = self.runs.values().filter(|run| is_meant(&run.asker));
        let runs: Vec<RunId> = runs.map(|run| run.id).collect();
        for id in runs {
            if self.run(id).is_some_and(|run| !run.is_complete()) {
                tracing::info!("run {} is cancelled", id.0);
            }
            self.forget(id, ctx);
        }
    }

    /// An input or output cannot be opened at a worker.
    pub(super) fn cannot_begin(
        &mut self,
        worker: WorkerId,
        id: RunId,
        failure: Failure,
        not_shared: NotShared,
        ctx: &mut Context<Self>,
    ) {
        let takes_part = |run: &&mut Current| !run.is_complete() && run.begun.contains(&worker);
        let Some(run) = self.run(id).filter(takes_part) else { return };
        let Asker { client, number } = run.asker;
        if not_shared == NotShared::default() {
            return self.fail_at(id, worker, failure, ctx);
        }
        let name = self.members.get(worker).map_or("", |member| member.name.as_str());
        tracing::info!("run {} is given up: worker {name}: {failure}", id.0);
        self.tell_client(client, &ToClient::NotShared { number, not_shared, failure });
        self.forget(id, ctx);
    }

    /// The run cannot go on, for a reason that a worker names.
    fn fail_at(&mut self, id: RunId, worker: WorkerId, failure: Failure, ctx: &mut Context<Self>) {
        let Some(member) = self.members.get(worker) else { return };
        self.fail(id, member.blamed(failure), ctx);
    }

    /// A worker is gone with all that it had.
    pub(super) fn lose(&mut self, worker: WorkerId, ctx: &mut Context<Self>) {
        for id in self.runs_of(worker) {
            let Some(run) = self.run(id) else { continue };
            run.begun.remove(&worker);
            run.files.remove(&worker);
            let was_complete = run.is_complete();
            self.feed(id, vec![Event::Lost { worker }], ctx);
            if was_complete {
                self.conclude_again(id, ctx);
            }
            if let Some(run) = self.run(id) {
                let (done, total) = run.core().progress();
                let again = run.core().recomputed();
                tracing::info!("run {}: {done} of {total} tasks are done, {again} again", id.0);
            }
        }
    }

    /// A worker is to hand over what it has. It goes with the end of a run if that comes first.
    pub(super) fn leave(&mut self, worker: WorkerId, ctx: &mut Context<Self>) {
        for id in self.runs_of(worker) {
            if self.run(id).is_some_and(|run| !run.is_complete()) {
                self.feed(id, vec![Event::Leave { worker }], ctx);
            }
        }
        self.let_go_if_idle(worker);
    }
}

/// Where the blocks of results are to be had, those that were written included.
fn kept(current: &Current, depot: impl Fn(WorkerId) -> Option<Depot>) -> Vec<(BlockId, Depot)> {
    let program = &current.program;
    let stages = program.stage_ids().filter(|id| program.stage(*id).keep);
    let blocks =
        stages.flat_map(|id| (0..program.stage(id).space.tasks()).map(move |at| TaskId::new(id, at)));
    blocks.filter_map(|block| Some((block, depot(current.conduct.core().giver(block)?)?))).collect()
}
