//! The run that is going on, from its place in line to the last block of its results.

use super::members::{Member, is_possible};
use super::{Asker, Hub, Request};
use crate::actors::{Conduct, Letters};
use crate::failure::Failure;
use crate::graph::{Kind, Program};
use crate::ids::{BlockId, MemoryId, RunId, StageId, TaskId, WorkerId};
use crate::net::opened::not_a_program;
use crate::protocol::{
    ClientPart, Depot, Ended, Figures, FromWorker, NotShared, RunSpec, ToClient, ToWorker, ToWorkerProcess,
    WorkerFigures,
};
use crate::sched::{ClientSeat, Core, Event, FleetPlan, Seat, plan_fleet};
use crate::store::SpillPlace;
use actix::{AsyncContext, Context, Handler};
use cluster::peer::PeerId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So often a client hears how far its run is.
const TELL_PROGRESS: Duration = Duration::from_millis(100);

/// How far a run has come.
enum Phase {
    Going,
    /// All tasks are done; these have not told their figures yet.
    Concluding(BTreeSet<WorkerId>),
    /// The client fetches its results.
    Fetching,
}

pub struct Current {
    asker: Asker,
    /// Under this number the client takes part, if it does.
    client_worker: Option<WorkerId>,
    id: RunId,
    spec: Box<RunSpec>,
    program: Arc<Program>,
    plan: FleetPlan,
    conduct: Conduct,
    phase: Phase,
    /// Workers that take part.
    begun: BTreeSet<WorkerId>,
    figures: Vec<WorkerFigures>,
    waited: Duration,
    began: Instant,
    told_progress: Instant,
}

impl Current {
    pub fn asker(&self) -> Asker {
        self.asker
    }

    /// The number under which this client takes part.
    pub fn worker_of(&self, client: PeerId) -> Option<WorkerId> {
        self.client_worker.filter(|_| self.asker.client == client)
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

/// A program with its plan and its core.
struct Prepared {
    program: Arc<Program>,
    plan: FleetPlan,
    core: Core,
}

/// Checks the program and proves that it fits. O(tasks).
fn prepare(spec: &RunSpec, seats: &[Seat], client: Option<WorkerId>) -> Result<Prepared, Failure> {
    let program = Program::try_new(spec.stages.clone()).map_err(not_a_program)?;
    let program = Arc::new(program);
    let largest = program.stages().iter().map(|stage| stage.largest_bytes()).max().unwrap_or(0);
    let scratch = SpillPlace::scratch_len(largest);
    let pinned = spec.own.as_ref().map_or_else(Vec::new, |own| pinned(&program, own));
    let own = spec.own.as_ref().map(|own| ClientSeat { seat: own.seat, pinned: &pinned });
    let plan = plan_fleet(&program, seats, own, scratch).map_err(Failure::of_request)?;
    let core = Core::for_fleet(program.clone(), &plan, client);
    Ok(Prepared { program, plan, core })
}

/// The stages whose tasks only the client can do.
fn pinned(program: &Program, own: &ClientPart) -> Vec<StageId> {
    let is_own = |id: &StageId| match &program.stage(*id).kind {
        Kind::Read(read) => own.inputs.contains(&read.input),
        Kind::Write(write) => own.outputs.contains(&write.output),
        _ => false,
    };
    program.stage_ids().filter(is_own).collect()
}

/// Can this be a client's part?
fn is_possible_part(own: &ClientPart) -> bool {
    is_possible(&own.seat) && own.seat.threads.compute == 0
}

/// A core has been made.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Ready {
    request: Request,
    client_worker: Option<WorkerId>,
    prepared: Result<Prepared, Failure>,
}

impl Handler<Ready> for Hub {
    type Result = ();

    fn handle(&mut self, Ready { request, client_worker, prepared }: Ready, ctx: &mut Self::Context) {
        // Given up meanwhile.
        if self.preparing.take() != Some(request.asker) {
            return self.start_next(ctx);
        }
        match prepared {
            Ok(prepared) => self.start(request, client_worker, prepared, ctx),
            Err(failure) => {
                self.tell_ended(request.asker, Err(failure));
                self.start_next(ctx);
            }
        }
    }
}

impl Hub {
    /// Has the core of the next run made, if there are workers and no other run goes on.
    pub(super) fn start_next(&mut self, ctx: &mut Context<Self>) {
        let seats: Vec<Seat> = self.members.all().map(|(_, member)| member.seat).collect();
        if self.current.is_some() || self.preparing.is_some() || seats.is_empty() {
            return;
        }
        let Some(request) = self.waiting.pop_front() else { return };
        self.preparing = Some(request.asker);
        if request.spec.own.as_ref().is_some_and(|own| !is_possible_part(own)) {
            self.preparing = None;
            let failure = Failure::of_request("no client has what this one says it brings along");
            self.tell_ended(request.asker, Err(failure));
            return self.start_next(ctx);
        }
        let client_worker = request.spec.own.as_ref().map(|_| self.members.next_number());
        let hub = ctx.address();
        std::thread::spawn(move || {
            let prepared = prepare(&request.spec, &seats, client_worker);
            hub.do_send(Ready { request, client_worker, prepared });
        });
    }

    fn start(
        &mut self,
        request: Request,
        client_worker: Option<WorkerId>,
        prepared: Prepared,
        ctx: &mut Context<Self>,
    ) {
        let Request { asker, spec, submitted } = request;
        let Prepared { program, plan, core } = prepared;
        let id = RunId(self.runs);
        self.runs += 1;
        tracing::info!("run {} of {} tasks begins", id.0, program.tasks());
        let client = self.clients.get(&asker.client).map(|client| client.line.clone());
        if let (Some(worker), Some(own), Some(line)) = (client_worker, &spec.own, client) {
            self.members.add_client(worker, line, own.seat, own.depot);
        }
        self.current = Some(Current {
            asker,
            client_worker,
            id,
            spec,
            program,
            plan,
            conduct: Conduct::new(id, core),
            phase: Phase::Going,
            begun: BTreeSet::new(),
            figures: Vec::new(),
            waited: submitted.elapsed(),
            began: Instant::now(),
            told_progress: Instant::now(),
        });
        let workers = self.members.all().map(|(worker, _)| worker);
        let workers: Vec<WorkerId> = client_worker.into_iter().chain(workers).collect();
        let joins: Vec<Event> = workers.into_iter().filter_map(|worker| self.begin(worker)).collect();
        self.feed(joins, ctx);
    }

    /// A worker that has just come takes part in what goes on.
    pub(super) fn begin_at(&mut self, worker: WorkerId, ctx: &mut Context<Self>) {
        if matches!(&self.current, Some(current) if matches!(current.phase, Phase::Going)) {
            let join = self.begin(worker);
            self.feed(join.into_iter().collect(), ctx);
        }
    }

    /// Tells a worker of the run; what the core has to know of it. None if the run has no room there.
    fn begin(&mut self, worker: WorkerId) -> Option<Event> {
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
        let Some(current) = &mut self.current else { return };
        if matches!(current.phase, Phase::Going) && current.begun.contains(&worker) {
            let letters = current.conduct.hear(worker, messages);
            self.deliver(letters, ctx);
        }
    }

    fn feed(&mut self, events: Vec<Event>, ctx: &mut Context<Self>) {
        let Some(current) = &mut self.current else { return };
        let letters = current.conduct.feed(events);
        self.deliver(letters, ctx);
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
            let bound = current.plan.bound_of(member.seat);
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
            run: current.id.0,
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

    fn tell_ended(&mut self, asker: Asker, result: Result<Ended, Failure>) {
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
        // Results that nobody has fetched yet may be gone with it.
        if !matches!(current.phase, Phase::Going) {
            current.conduct.go_on();
            current.phase = Phase::Going;
        }
        self.feed(vec![Event::Lost { worker }], ctx);
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
