//! Runs that wait for their turn, and how the next one begins.

use super::members::is_possible;
use super::run::{Current, Phase};
use super::{Hub, Request};
use crate::actors::Conduct;
use crate::failure::Failure;
use crate::graph::{Kind, Program};
use crate::ids::{RunId, StageId, WorkerId};
use crate::net::opened::not_a_program;
use crate::protocol::{ClientPart, RunSpec};
use crate::sched::{ClientSeat, Core, Event, FleetPlan, Seat, plan_fleet};
use crate::store::SpillPlace;
use actix::{AsyncContext, Context, Handler};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// A program with its plan and its core.
struct Prepared {
    program: Arc<Program>,
    plan: FleetPlan,
    core: Core,
}

/// Checks the program and proves that it fits. O(tasks).
fn prepare(spec: &RunSpec, seats: &[Seat], client: Option<WorkerId>) -> Result<Prepared, Failure> {
    if spec.own.as_ref().is_some_and(|own| !is_possible_part(own)) {
        return Err(Failure::of_request("no client has what this one says it brings along"));
    }
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
            self.members.add_client(worker, line, own.seat, own.depot, asker.number);
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
}
