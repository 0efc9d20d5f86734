//! The scheduler process: workers and clients come and go, and two runs may go on at once: a large one and a small one.
//!
//! This file is who says what. `members` are the workers, `offers` what they have kept of an earlier scheduler's runs,
//! `turns` is whose run is next, `run` is the run that goes on, `status` is what can be seen of all, `scaling` what an
//! autoscaler sees and does.

mod drains;
mod members;
mod offers;
mod run;
mod scaling;
mod status;
mod turns;

use super::line::Line;
use crate::graph::Program;
use crate::ids::{RunId, WorkerId};
use crate::protocol::{
    FleetMember, FromClient, FromWorkerProcess, RunIdentity, RunSpec, ToClient, ToWorkerProcess, decode,
};
use crate::sched::Holding;
use actix::{Actor, Context, Handler};
use cluster::peer::{Connection, Event, Message, PeerId};
use cluster::role::Role;
use drains::AskedDrain;
use futures_channel::oneshot;
use members::{Member, Members, are_possible};
use run::Current;
use scaling::Scaled;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// A client and what it asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    client: PeerId,
    /// The client's number of the run.
    number: u64,
}

/// A run that waits for its turn.
struct Request {
    asker: Asker,
    spec: Box<RunSpec>,
    /// None if it has none that means anything to workers.
    identity: Option<RunIdentity>,
    /// What the client has kept of its part.
    holding: Option<Holding>,
    submitted: Instant,
    program: Arc<Program>,
    /// It does not fit the small portion of the workers' memory.
    is_large: bool,
}

struct Client {
    line: Line,
    watches: bool,
    /// So many workers it waits for, or has waited for and counts on.
    needs: u64,
}

/// The scheduler of a cluster.
pub struct Hub {
    /// Workers that have not said yet what they bring along.
    arriving: HashMap<PeerId, Line>,
    members: Members,
    clients: HashMap<PeerId, Client>,
    waiting: VecDeque<Request>,
    drains: Vec<AskedDrain>,
    /// A run whose core is being made.
    preparing: Option<Asker>,
    /// One for each portion at most.
    runs: BTreeMap<RunId, Current>,
    /// How many have begun.
    begun_runs: u64,
    began: Instant,
    scaled: Scaled,
    /// Told when somebody wants the scheduler to end.
    stop: Option<oneshot::Sender<()>>,
}

impl Hub {
    /// `stop` is told when somebody wants the scheduler to end. If it is lost it may come back within the seconds of
    /// `grace`.
    pub fn new(stop: oneshot::Sender<()>, grace: Option<f64>) -> Hub {
        Hub {
            arriving: HashMap::new(),
            members: Members::new(grace),
            clients: HashMap::new(),
            waiting: VecDeque::new(),
            drains: Vec::new(),
            preparing: None,
            runs: BTreeMap::new(),
            begun_runs: 0,
            began: Instant::now(),
            scaled: Scaled::default(),
            stop: Some(stop),
        }
    }

    fn connected(&mut self, connection: Connection) {
        let peer = connection.peer().id;
        let name = &connection.peer().from.name;
        match connection.peer().from.role {
            Role::Worker => drop(self.arriving.insert(peer, Line::new(connection))),
            Role::Client => {
                tracing::info!("client {name} is here");
                let line = Line::new(connection);
                line.send(&ToClient::Welcome { grace: self.members.grace() });
                self.clients.insert(peer, Client { line, watches: false, needs: 0 });
            }
            // The handshake lets no second scheduler in.
            Role::Scheduler => connection.close(),
        }
    }

    fn heard(&mut self, peer: PeerId, message: &Message, ctx: &mut Context<Self>) {
        let understood = if self.clients.contains_key(&peer) {
            decode(message).map(|message| self.heard_client(peer, message, ctx))
        } else {
            decode(message).map(|message| self.heard_worker(peer, message, ctx))
        };
        if let Err(error) = understood {
            self.turn_away(peer, &error.to_string());
        }
    }

    /// A peer that breaks the protocol: its connection ends, and with that it is lost.
    fn turn_away(&mut self, peer: PeerId, why: &str) {
        let of_member = self.members.of_peer(peer).and_then(|worker| self.members.get_mut(worker));
        let line = match (of_member, self.arriving.get_mut(&peer), self.clients.get_mut(&peer)) {
            (Some(member), _, _) => &mut member.line,
            (None, Some(line), _) => line,
            (None, None, Some(client)) => &mut client.line,
            (None, None, None) => return,
        };
        let about = line.connection().peer();
        tracing::warn!("{} {} at {} is turned away: {why}", about.from.role, about.from.name, about.address);
        line.connection().close();
    }

    fn heard_worker(&mut self, peer: PeerId, message: FromWorkerProcess, ctx: &mut Context<Self>) {
        let Some(worker) = self.members.of_peer(peer) else {
            return match message {
                FromWorkerProcess::Enlist { seats, .. } if !are_possible(&seats) => {
                    self.turn_away(peer, "no machine has what it says it brings along");
                }
                FromWorkerProcess::Enlist { seats, depot, offers } => {
                    let Some(line) = self.arriving.remove(&peer) else { return };
                    let worker = self.members.enlist(line, seats, depot, offers);
                    self.tell_fleet();
                    self.begin_at(worker, ctx);
                    self.await_clients_of(worker, ctx);
                    self.start_next(ctx);
                }
                _ => self.turn_away(peer, "its first message is not what it brings along"),
            };
        };
        self.heard_as_worker(peer, worker, message, ctx);
    }

    /// What a worker says, or a client in its run.
    fn heard_as_worker(
        &mut self,
        peer: PeerId,
        worker: WorkerId,
        message: FromWorkerProcess,
        ctx: &mut Context<Self>,
    ) {
        match message {
            FromWorkerProcess::Enlist { .. } => self.turn_away(peer, "it enlists a second time"),
            FromWorkerProcess::Tell { messages } => self.hear(worker, messages, ctx),
            FromWorkerProcess::CannotBegin { run, failure, not_shared } => {
                self.cannot_begin(worker, run, failure, not_shared, ctx);
            }
            FromWorkerProcess::Concluded { run, figures } => self.concluded(worker, run, figures, ctx),
            FromWorkerProcess::Drain => self.drain(worker, ctx),
            FromWorkerProcess::Broken { why } => self.turn_away(peer, &why),
            FromWorkerProcess::Files { run, report } => self.note_files(worker, run, report, ctx),
        }
    }

    fn heard_client(&mut self, client: PeerId, message: FromClient, ctx: &mut Context<Self>) {
        match message {
            FromClient::WatchFleet => {
                if let Some(known) = self.clients.get_mut(&client) {
                    known.watches = true;
                }
                self.tell_fleet();
            }
            FromClient::NeedWorkers { count } => {
                if let Some(known) = self.clients.get_mut(&client) {
                    known.needs = count;
                }
                self.changed();
            }
            FromClient::Submit { number, spec, holding } => {
                self.stand_in_line(Asker { client, number }, spec, holding, ctx);
            }
            FromClient::AsWorker { number, message } => {
                let asker = Asker { client, number };
                if let Some(worker) = self.runs.values().find_map(|run| run.worker_of(asker)) {
                    self.heard_as_worker(client, worker, message, ctx);
                }
            }
            FromClient::Release { number } => self.give_up(|asker| *asker == Asker { client, number }, ctx),
            FromClient::Status => {
                let status = ToClient::Status(self.status());
                self.tell_client(client, &status);
            }
            FromClient::Explain { task } => {
                let explained = ToClient::Explained(self.explained(task));
                self.tell_client(client, &explained);
            }
            FromClient::Drain { name } => self.drain_for(client, name, ctx),
            FromClient::Stop => self.stop(),
        }
    }

    /// A client whose run waits hears how many others come first.
    fn tell_place_in_line(&mut self, asker: Asker) {
        let Some(at) = self.waiting.iter().position(|request| request.asker == asker) else { return };
        let before = (at + self.runs.len() + usize::from(self.preparing.is_some())) as u64;
        self.tell_client(asker.client, &ToClient::Waits { number: asker.number, before });
    }

    fn stop(&mut self) {
        tracing::info!("told to stop");
        if let Some(stop) = self.stop.take() {
            // Nobody waits: it ends already.
            let _ = stop.send(());
        }
    }

    fn lost(&mut self, peer: PeerId, why: &str, ctx: &mut Context<Self>) {
        self.arriving.remove(&peer);
        if let Some(client) = self.clients.remove(&peer) {
            tracing::info!("client {} is gone: {why}", client.line.connection().peer().from.name);
            self.changed();
            return self.give_up(|asker| asker.client == peer, ctx);
        }
        let worker = self.members.of_peer(peer);
        self.answer_drains(peer, worker.is_none());
        let Some(worker) = worker else { return };
        if let Some(member) = self.members.remove(worker) {
            tracing::info!("worker {} is lost: {why}", member.name);
            self.tell_fleet();
            self.lose(worker, ctx);
            // What it had kept may have held others up.
            self.start_next(ctx);
        }
    }

    /// Somebody has come or gone.
    fn tell_fleet(&mut self) {
        self.changed();
        self.tell_watchers();
    }

    /// Who is there and stays, and what keeps others away, to all clients that want to know.
    fn tell_watchers(&mut self) {
        let member = |member: &Member| FleetMember { name: member.name.clone(), seat: member.seats.large };
        let members = self.members.staying().map(member).collect();
        let fleet = ToClient::Fleet { members, trouble: self.trouble(), hopeless: self.is_hopeless() };
        self.clients.values_mut().filter(|client| client.watches).for_each(|client| client.line.send(&fleet));
    }

    fn tell_client(&mut self, client: PeerId, message: &ToClient) {
        if let Some(known) = self.clients.get_mut(&client) {
            known.line.send(message);
        }
    }

    /// A worker is to go. A client goes with its run.
    fn drain(&mut self, worker: WorkerId, ctx: &mut Context<Self>) {
        let stays = |member: &&mut Member| !member.is_client() && !member.draining;
        let Some(member) = self.members.get_mut(worker).filter(stays) else { return };
        tracing::info!("worker {} is to leave", member.name);
        member.draining = true;
        self.tell_fleet();
        self.leave(worker, ctx);
        self.start_next(ctx);
    }

    /// Nothing at this worker is needed any more.
    fn let_go(&mut self, worker: WorkerId) {
        if let Some(member) = self.members.remove(worker) {
            tracing::info!("worker {} leaves", member.name);
            member.send(ToWorkerProcess::Leave);
            self.tell_fleet();
        }
    }
}

impl Actor for Hub {
    type Context = Context<Self>;
}

/// Something happened on a connection.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct FromNetwork(pub Event);

impl Handler<FromNetwork> for Hub {
    type Result = ();

    fn handle(&mut self, FromNetwork(event): FromNetwork, ctx: &mut Self::Context) {
        match event {
            Event::Connected(connection) => self.connected(connection),
            Event::Message { peer, message } => self.heard(peer, &message, ctx),
            Event::Room { peer } => {
                let of_member = self.members.of_peer(peer).and_then(|worker| self.members.get(worker));
                let lines = of_member.map(|member| &member.line).into_iter();
                let lines = lines.chain(self.clients.get(&peer).map(|client| &client.line));
                lines.for_each(|line| line.go_on());
            }
            Event::Lost { peer, why } => self.lost(peer, &why.to_string(), ctx),
        }
    }
}

/// The scheduler is to end.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Handler<Stop> for Hub {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Self::Context) {
        self.stop();
    }
}

/// Tells all workers to go, and all clients that it is over. The answer comes when that is in line.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Dismiss;

impl Handler<Dismiss> for Hub {
    type Result = ();

    fn handle(&mut self, _: Dismiss, _: &mut Self::Context) {
        let workers: Vec<WorkerId> = self.members.all().map(|(worker, _)| worker).collect();
        workers.into_iter().for_each(|worker| self.let_go(worker));
        self.clients.values().for_each(|client| client.line.send(&ToClient::Stopped));
    }
}
