//! Runs that wait for their turn, and how the next one begins.

use super::members::is_possible;
use super::run::{Current, Phase};
use super::{Asker, Hub, Request};
use crate::actors::Conduct;
use crate::failure::Failure;
use crate::graph::{Kind, Program};
use crate::ids::{RunId, StageId, WorkerId};
use crate::net::counted::counted;
use crate::net::opened::not_a_program;
use crate::protocol::{ClientPart, Portion, RunSpec, ToClient};
use crate::sched::{ClientSeat, Core, Event, FleetPlan, Holding, Seat, plan_fleet};
use crate::store::SpillPlace;
use actix::{AsyncContext, Context, Handler};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// The plan of a program and its core.
struct Prepared {
    plan: FleetPlan,
    core: Core,
}

/// Proves that a program fits. O(tasks).
fn prepare(request: &Request, seats: &[Seat], client: Option<WorkerId>) -> Result<Prepared, Failure> {
    let Request { spec, program, .. } = request;
    if spec.own.as_ref().is_some_and(|own| !is_possible_part(own)) {
        return Err(Failure::of_request("no client has what this one says it brings along"));
    }
    let largest = program.stages().iter().map(|stage| stage.largest_bytes()).max().unwrap_or(0);
    let scratch = SpillPlace::scratch_len(largest);
    let pinned = spec.own.as_ref().map_or_else(Vec::new, |own| pinned(program, own));
    let own = spec.own.as_ref().map(|own| ClientSeat { seat: own.seat, pinned: &pinned });
    let plan = plan_fleet(program, seats, own, scratch).map_err(Failure::of_request)?;
    let core = Core::for_fleet(program.clone(), &plan, client);
    Ok(Prepared { plan, core })
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

/// A core has been made, or cannot be.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Ready {
    request: Request,
    portion: Portion,
    client_worker: Option<WorkerId>,
    prepared: Result<Prepared, Failure>,
}

impl Handler<Ready> for Hub {
    type Result = ();

    fn handle(&mut self, ready: Ready, ctx: &mut Self::Context) {
        let Ready { request, portion, client_worker, prepared } = ready;
        // Given up meanwhile; another one may be prepared by now.
        if self.preparing != Some(request.asker) {
            self.free_number(client_worker);
            return self.start_next(ctx);
        }
        self.preparing = None;
        match prepared {
            Ok(prepared) => self.start(request, portion, client_worker, prepared, ctx),
            Err(failure) => {
                self.free_number(client_worker);
                self.refuse(request, portion, failure);
            }
        }
        self.start_next(ctx);
    }
}

impl Hub {
    /// Somebody asks for a run. What is no program is refused before anything is asked of it.
    pub(super) fn stand_in_line(
        &mut self,
        asker: Asker,
        spec: Box<RunSpec>,
        holding: Option<Holding>,
        ctx: &mut Context<Self>,
    ) {
        let program = match Program::try_new(spec.stages.clone()) {
            Ok(program) => Arc::new(program),
            Err(error) => return self.tell_ended(asker, Err(not_a_program(error))),
        };
        let identity = spec.identity().ok();
        let (submitted, is_large) = (Instant::now(), false);
        self.waiting.push_back(Request { asker, spec, program, identity, holding, submitted, is_large });
        self.start_next(ctx);
        self.tell_place_in_line(asker);
        self.changed();
    }

    fn free_number(&mut self, client_worker: Option<WorkerId>) {
        client_worker.into_iter().for_each(|client| self.members.free_number(client));
    }

    /// It does not fit. The next larger portion may have room, or says better why not.
    fn refuse(&mut self, mut request: Request, portion: Portion, failure: Failure) {
        let asker = request.asker;
        if portion == Portion::Large {
            return self.tell_ended(asker, Err(failure));
        }
        let name = self.client_name(asker);
        tracing::info!("what {name} asks for does not fit the small portion: {failure}");
        request.is_large = true;
        let before = self.waiting.partition_point(|other| other.submitted < request.submitted);
        self.waiting.insert(before, request);
        self.tell_place_in_line(asker);
    }

    /// Has the core of the next run made, if there are workers and a portion is free.
    pub(super) fn start_next(&mut self, ctx: &mut Context<Self>) {
        if self.preparing.is_none()
            && let Some((portion, request)) = self.next_in_line()
        {
            self.prepare(portion, request, ctx);
        }
    }

    /// The first in line has the large portion. Beside it goes the first that fits the small one. A run of which
    /// workers have kept something goes where that is.
    fn next_in_line(&mut self) -> Option<(Portion, Request)> {
        let mut free = [Portion::Large, Portion::Small].into_iter().filter(|portion| self.is_free(*portion));
        let (portion, first) = free.find_map(|portion| Some((portion, self.first_for(portion)?)))?;
        Some((portion, self.waiting.remove(first)?))
    }

    /// Does no run have this portion, though there are workers with one?
    fn is_free(&self, portion: Portion) -> bool {
        let has_one = self.members.staying().any(|member| member.seats.of(portion).is_some());
        has_one && self.runs.values().all(|run| run.portion != portion)
    }

    fn prepare(&mut self, portion: Portion, request: Request, ctx: &mut Context<Self>) {
        let seats = self.members.staying().filter_map(|member| member.seats.of(portion));
        let seats: Vec<Seat> = seats.collect();
        self.preparing = Some(request.asker);
        let client_worker = request.spec.own.as_ref().map(|_| self.members.next_number());
        let hub = ctx.address();
        std::thread::spawn(move || {
            let prepared = prepare(&request, &seats, client_worker);
            hub.do_send(Ready { request, portion, client_worker, prepared });
        });
    }

    fn start(
        &mut self,
        request: Request,
        portion: Portion,
        client_worker: Option<WorkerId>,
        prepared: Prepared,
        ctx: &mut Context<Self>,
    ) {
        let Request { asker, spec, program, identity, holding, submitted, .. } = request;
        let Prepared { plan, core } = prepared;
        let id = RunId(self.begun_runs);
        self.begun_runs += 1;
        let name = self.client_name(asker);
        tracing::info!("run {} of {name} begins: {}", id.0, counted(program.tasks() as u64, "task"));
        let client = self.clients.get(&asker.client).map(|client| client.line.clone());
        if let (Some(worker), Some(own), Some(line)) = (client_worker, &spec.own, client) {
            self.members.add_client(worker, line, own.seat, own.depot, asker.number);
        }
        let standing = ToClient::Progress { number: asker.number, done: 0, total: program.tasks() as u64 };
        self.tell_client(asker.client, &standing);
        let run = Current {
            asker,
            client_worker,
            id,
            portion,
            spec,
            program,
            plan,
            conduct: Conduct::new(id, core),
            phase: Phase::Going,
            begun: BTreeSet::new(),
            files: BTreeMap::new(),
            figures: Vec::new(),
            waited: submitted.elapsed(),
            began: Instant::now(),
            told_progress: Instant::now(),
        };
        self.runs.insert(id, run);
        let workers = self.members.all().map(|(worker, _)| worker);
        let workers: Vec<WorkerId> = client_worker.into_iter().chain(workers).collect();
        let mut events = Vec::new();
        for worker in workers {
            let of_client = holding.clone().filter(|_| Some(worker) == client_worker);
            let holding = of_client.or_else(|| self.take_offer(worker, portion, identity));
            let Some(join) = self.begin(id, worker, holding.is_some()) else { continue };
            events.push(join);
            events.extend(holding.map(|holding| Event::Holds { worker, holding }));
        }
        let goes_on = events.iter().any(|event| matches!(event, Event::Holds { .. }));
        self.feed(id, events, ctx);
        if let Some(run) = self.runs.get(&id).filter(|_| goes_on) {
            let (done, tasks) = (run.core().taken_up(), run.program.tasks());
            tracing::info!("run {} goes on: {done} of {tasks} tasks are done", id.0);
        }
    }
}
