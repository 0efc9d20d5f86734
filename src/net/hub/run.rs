//! The run that is going on, from its place in line to the last block of its results.

use super::members::Member;
use super::{Asker, Hub};
use crate::actors::{Conduct, Letters};
use crate::failure::Failure;
use crate::graph::Program;
use crate::ids::{BlockId, MemoryId, RunId, TaskId, WorkerId};
use crate::protocol::{
    Depot, Ended, Figures, FromWorker, NotShared, RunSpec, ToClient, ToWorker, ToWorkerProcess, WorkerFigures,
};
use crate::sched::{Core, Event, FleetPlan};
use actix::Context;
use std::collections::BTreeSet;
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
    pub spec: Box<RunSpec>,
    pub program: Arc<Program>,
    pub plan: FleetPlan,
    pub conduct: Conduct,
    pub phase: Phase,
    /// Workers that take part.
    pub begun: BTreeSet<WorkerId>,
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

    pub fn since_submitted(&self) -> Duration {
        self.began.elapsed() + self.waited
    }
}

impl Hub {
    /// A worker that has just come takes part in what goes on.
    pub(super) fn begin_at(&mut self, worker: WorkerId, ctx: &mut Context<Self>) {
        if matches!(&self.current, Some(current) if matches!(current.phase, Phase::Going)) {
            let join = self.begin(worker);
            self.feed(join.into_iter().collect(), ctx);
        }
    }

    /// Tells a worker of the run; what the core has to know of it. None if the run has no room there.
    pub(super) fn begin(&mut self, worker: WorkerId) -> Option<Event> {
        let current = self.current.as_mut()?;
        let member = self.members.get_mut(worker).filter(|member| !member.draining)?;
        let bytes = current.plan.bytes_of(member.seat);
        if bytes == 0 && current.program.stages().iter().any(|stage| stage.leaves_blocks()) {
            tracing::warn!("worker {} has too little memory for run {}", member.name, current.id.0);
            return None;
        }
        let (run, workspace) = (current.id, current.plan.plan.workspace);
        member.send(ToWorkerProcess::Begin { run, spec: current.spec.clone(), workspace });
        current.begun.insert(worker);
        let threads = member.seat.threads.compute as u32;
        Some(Event::Join { worker, threads, memory: MemoryId(worker.0), bytes })
    }

    pub(super) fn hear(&mut self, worker: WorkerId, messages: Vec<FromWorker>, ctx: &mut Context<Self>) {
        let Some(current) = self.current.as_mut().filter(|current| current.begun.contains(&worker)) else {
            return;
        };
        let loses = messages.iter().any(|message| matches!(message, FromWorker::Vanished { .. }));
        let was_complete = !matches!(current.phase, Phase::Going);
        let letters = current.conduct.hear(worker, messages);
        self.follow(letters, ctx);
        if loses && was_complete {
            self.conclude_again(ctx);
        }
    }

    /// Results of a complete run may lie elsewhere now, and who was to tell figures may be gone.
    fn conclude_again(&mut self, ctx: &mut Context<Self>) {
        if self.current.as_ref().is_some_and(|current| current.core().is_over()) {
            self.conclude(ctx);
        }
    }

    pub(super) fn feed(&mut self, events: Vec<Event>, ctx: &mut Context<Self>) {
        let Some(current) = &mut self.current else { return };
        let letters = current.conduct.feed(events);
        self.follow(letters, ctx);
    }

    /// Does what follows from events. What was complete may not be any more: results were lost that nobody has fetched.
    fn follow(&mut self, letters: Letters, ctx: &mut Context<Self>) {
        let Some(current) = &mut self.current else { return };
        let resumes = !matches!(current.phase, Phase::Going) && !current.core().is_over();
        if resumes {
            tracing::info!("run {} goes on: results were lost before they were fetched", current.id.0);
            current.phase = Phase::Going;
        }
        self.deliver(letters, ctx);
        if resumes {
            self.catch_up(ctx);
        }
    }

    /// Workers that came or wanted to go while the run was complete take part in it, or hand over.
    fn catch_up(&mut self, ctx: &mut Context<Self>) {
        let Some(current) = &self.current else { return };
        let members = || self.members.all();
        let came = members().map(|(worker, _)| worker).filter(|worker| !current.begun.contains(worker));
        let came: Vec<WorkerId> = came.collect();
        let draining = members().filter(|(worker, at)| at.draining && current.begun.contains(worker));
        let leaves: Vec<Event> = draining.map(|(worker, _)| Event::Leave { worker }).collect();
        let joins = came.into_iter().filter_map(|worker| self.begin(worker));
        let events: Vec<Event> = joins.chain(leaves).collect();
        self.feed(events, ctx);
    }

    fn deliver(&mut self, Letters { to, released, end }: Letters, ctx: &mut Context<Self>) {
        let Some(current) = &mut self.current else { return };
        let (id, asker) = (current.id, current.asker);
        if current.told_progress.elapsed() >= TELL_PROGRESS {
            current.told_progress = Instant::now();
            let (done, total) = current.conduct.core().progress();
            let progress =
                ToClient::Progress { number: asker.number, done: done as u64, total: total as u64 };
            self.tell_client(asker.client, &progress);
        }
        for (worker, messages) in to {
            self.members.tell(worker, id, messages);
        }
        for worker in released {
            if let Some(current) = &mut self.current {
                current.begun.remove(&worker);
            }
            self.let_go(worker);
        }
        match end {
            None => {}
            Some(Ok(())) => self.conclude(ctx),
            Some(Err(failure)) => self.fail(failure, ctx),
        }
    }

    /// All tasks are done: the workers tell what that took.
    fn conclude(&mut self, ctx: &mut Context<Self>) {
        let Some(current) = &mut self.current else { return };
        for worker in &current.begun {
            if let Some(member) = self.members.get_mut(*worker) {
                member.send(ToWorkerProcess::Conclude { run: current.id });
            }
        }
        current.figures.clear();
        current.phase = Phase::Concluding(current.begun.clone());
        self.end_if_concluded(ctx);
    }

    pub(super) fn concluded(
        &mut self,
        worker: WorkerId,
        run: RunId,
        figures: Result<Figures, Failure>,
        ctx: &mut Context<Self>,
    ) {
        let Some(current) = self.current.as_mut().filter(|current| current.id == run) else { return };
        let Some(member) = self.members.get(worker) else { return };
        let figures = match figures {
            Ok(figures) => figures,
            Err(failure) => return self.fail_at(worker, failure, ctx),
        };
        if let Phase::Concluding(missing) = &mut current.phase
            && missing.remove(&worker)
        {
            let bound = member.seat.budget;
            current.figures.push(WorkerFigures { name: member.name.clone(), bound, figures });
            self.end_if_concluded(ctx);
        }
    }

    /// The results are the client's to fetch, once all workers have told their figures.
    fn end_if_concluded(&mut self, ctx: &mut Context<Self>) {
        let Some(current) = &mut self.current else { return };
        if !matches!(&current.phase, Phase::Concluding(missing) if missing.is_empty()) {
            return;
        }
        current.phase = Phase::Fetching;
        let kept = kept(current, |worker| self.members.get(worker).map(Member::depot));
        let ended = Ended {
            run: current.id,
            recomputed: current.conduct.core().recomputed(),
            waited: current.waited.as_secs_f64(),
            workers: std::mem::take(&mut current.figures),
            kept,
        };
        let (asker, nothing_kept) = (current.asker, ended.kept.is_empty());
        tracing::info!("run {} is done", current.id.0);
        self.tell_ended(asker, Ok(ended));
        if nothing_kept {
            self.forget(ctx);
        }
    }

    pub(super) fn tell_ended(&mut self, asker: Asker, result: Result<Ended, Failure>) {
        self.tell_client(asker.client, &ToClient::Ended { number: asker.number, result });
    }

    fn fail(&mut self, failure: Failure, ctx: &mut Context<Self>) {
        let Some(current) = &self.current else { return };
        tracing::info!("run {} failed: {failure}", current.id.0);
        let asker = current.asker;
        self.tell_ended(asker, Err(failure));
        self.forget(ctx);
    }

    /// Nothing of the run is wanted any more: the next one begins.
    fn forget(&mut self, ctx: &mut Context<Self>) {
        let Some(current) = self.current.take() else { return };
        for worker in current.begun {
            self.members.tell(worker, current.id, vec![ToWorker::Forget { run: current.id }]);
        }
        if let Some(worker) = current.client_worker {
            self.members.remove(worker);
        }
        let draining: Vec<WorkerId> =
            self.members.all().filter(|(_, member)| member.draining).map(|(worker, _)| worker).collect();
        draining.into_iter().for_each(|worker| self.let_go(worker));
        self.start_next(ctx);
    }

    /// Nobody wants the runs of these askers any more.
    pub(super) fn give_up(&mut self, is_meant: impl Fn(&Asker) -> bool, ctx: &mut Context<Self>) {
        self.waiting.retain(|request| !is_meant(&request.asker));
        self.preparing = self.preparing.filter(|asker| !is_meant(asker));
        if self.current.as_ref().is_some_and(|current| is_meant(&current.asker)) {
            self.forget(ctx);
        }
    }

    /// An input or output cannot be opened at a worker.
    pub(super) fn cannot_begin(
        &mut self,
        worker: WorkerId,
        run: RunId,
        failure: Failure,
        not_shared: NotShared,
        ctx: &mut Context<Self>,
    ) {
        let Some(current) = self.current.as_ref().filter(|current| current.id == run) else { return };
        if !matches!(current.phase, Phase::Going) {
            return;
        }
        if not_shared == NotShared::default() {
            return self.fail_at(worker, failure, ctx);
        }
        let Asker { client, number } = current.asker;
        let name = self.members.get(worker).map_or("", |member| member.name.as_str());
        tracing::info!("run {} is given up: worker {name}: {failure}", current.id.0);
        self.tell_client(client, &ToClient::NotShared { number, not_shared, failure });
        self.forget(ctx);
    }

    /// The run cannot go on, for a reason that a worker names.
    fn fail_at(&mut self, worker: WorkerId, failure: Failure, ctx: &mut Context<Self>) {
        let Some(member) = self.members.get(worker) else { return };
        let Failure { blame, message } = failure;
        let message = format!("worker {}: {message}", member.name);
        self.fail(Failure { blame, message }, ctx);
    }

    /// A worker is gone with all that it had.
    pub(super) fn lose(&mut self, worker: WorkerId, ctx: &mut Context<Self>) {
        let Some(current) = &mut self.current else { return };
        if !current.begun.remove(&worker) {
            return;
        }
        let was_complete = !matches!(current.phase, Phase::Going);
        self.feed(vec![Event::Lost { worker }], ctx);
        if was_complete {
            self.conclude_again(ctx);
        }
        if let Some(current) = &self.current {
            let (done, total) = current.core().progress();
            let again = current.core().recomputed();
            tracing::info!("run {}: {done} of {total} tasks are done, {again} again", current.id.0);
        }
    }

    /// A worker is to hand over what it has. False if it has nothing.
    pub(super) fn leave(&mut self, worker: WorkerId, ctx: &mut Context<Self>) -> bool {
        let Some(current) = self.current.as_ref().filter(|current| current.begun.contains(&worker)) else {
            return false;
        };
        // It goes with the end of the run if that comes first.
        if matches!(current.phase, Phase::Going) {
            self.feed(vec![Event::Leave { worker }], ctx);
        }
        true
    }
}

/// Where the blocks of results are.
fn kept(current: &Current, depot: impl Fn(WorkerId) -> Option<Depot>) -> Vec<(BlockId, Depot)> {
    let program = &current.program;
    let stages = program.stage_ids().filter(|id| program.stage(*id).keep);
    let blocks =
        stages.flat_map(|id| (0..program.stage(id).space.tasks()).map(move |at| TaskId::new(id, at)));
    blocks.filter_map(|block| Some((block, depot(current.conduct.core().location(block)?)?))).collect()
}
