//! The workers that are there.

use crate::failure::Failure;
use crate::ids::RunId;
use crate::ids::WorkerId;
use crate::net::counted::counted;
use crate::net::line::Line;
use crate::protocol::{Depot, Offer, Seats, ToClient, ToWorker, ToWorkerProcess};
use crate::sched::{MOST_THREADS, Seat};
use crate::store::MOST_MEMORY;
use cluster::peer::PeerId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Instant;

/// A worker process.
pub struct Member {
    pub name: String,
    pub seats: Seats,
    pub line: Line,
    /// It wants to go.
    pub draining: bool,
    pub joined: Instant,
    /// What it has kept of the time of an earlier scheduler.
    pub offers: Vec<Offer>,
    /// It is a client, which takes part in this run of its own only.
    own_run: Option<u64>,
    depot: Depot,
    /// The other workers whose depots it knows.
    met: HashSet<WorkerId>,
}

impl Member {
    pub fn send(&self, message: ToWorkerProcess) {
        match self.own_run {
            Some(number) => self.line.send(&ToClient::AsWorker { number, message }),
            None => self.line.send(&message),
        }
    }

    pub fn is_client(&self) -> bool {
        self.own_run.is_some()
    }

    /// What went wrong there, with its name: the client has to know where to look.
    pub fn blamed(&self, failure: Failure) -> Failure {
        let Failure { blame, message } = failure;
        Failure { blame, message: format!("worker {}: {message}", self.name) }
    }

    pub fn depot(&self) -> Depot {
        self.depot
    }
}

/// Can a process bring along so much?
pub fn are_possible(seats: &Seats) -> bool {
    [Some(seats.all()), Some(seats.large), seats.small].iter().flatten().all(is_possible)
}

/// Can a process have so much?
pub fn is_possible(seat: &Seat) -> bool {
    seat.threads.compute.max(seat.threads.io) <= u64::from(MOST_THREADS) && seat.budget <= MOST_MEMORY
}

#[derive(Default)]
pub struct Members {
    by_id: BTreeMap<WorkerId, Member>,
    by_peer: HashMap<PeerId, WorkerId>,
    /// Numbers that have been given. None is given twice, so that a late message betrays itself.
    given: u32,
    /// But those of clients, whose runs are over: what comes late is of these.
    free: Vec<WorkerId>,
    /// See [`ToWorkerProcess::Enlisted`].
    grace: Option<f64>,
}

impl Members {
    pub fn new(grace: Option<f64>) -> Members {
        Members { grace, ..Members::default() }
    }

    pub fn grace(&self) -> Option<f64> {
        self.grace
    }

    /// A number that nobody has.
    pub fn next_number(&mut self) -> WorkerId {
        self.free.pop().unwrap_or_else(|| {
            self.given += 1;
            WorkerId(self.given - 1)
        })
    }

    /// A client takes no part under this number any more. Where its blocks were is forgotten.
    pub fn free_number(&mut self, client: WorkerId) {
        for member in self.by_id.values_mut() {
            member.met.remove(&client);
        }
        self.free.push(client);
    }

    /// A worker is there, and gets its number.
    pub fn enlist(&mut self, line: Line, seats: Seats, depot: SocketAddr, offers: Vec<Offer>) -> WorkerId {
        let worker = self.next_number();
        let about = line.connection().peer();
        let name = &about.from.name;
        let Seat { threads, budget, .. } = seats.all();
        let threads = counted(threads.compute, "thread");
        tracing::info!("worker {name} joins: {threads}, {budget} bytes, blocks at {depot}");
        self.by_peer.insert(about.id, worker);
        self.add(worker, line, seats, depot, None);
        if let Some(member) = self.by_id.get_mut(&worker) {
            member.offers = offers;
        }
        worker
    }

    /// A client takes part as this worker in a run that it calls `own_run`.
    pub fn add_client(&mut self, worker: WorkerId, line: Line, seat: Seat, depot: SocketAddr, own_run: u64) {
        self.add(worker, line, Seats { large: seat, small: Some(seat) }, depot, Some(own_run));
    }

    fn add(&mut self, worker: WorkerId, line: Line, seats: Seats, depot: SocketAddr, own_run: Option<u64>) {
        let about = line.connection().peer();
        let depot = Depot { address: depot, life: about.from.life.0, is_client: own_run.is_some() };
        let name = about.from.name.clone();
        let (joined, offers, met) = (Instant::now(), Vec::new(), HashSet::new());
        let member = Member { name, seats, line, draining: false, joined, offers, own_run, depot, met };
        member.send(ToWorkerProcess::Enlisted { worker, grace: self.grace });
        self.by_id.insert(worker, member);
    }

    pub fn of_peer(&self, peer: PeerId) -> Option<WorkerId> {
        self.by_peer.get(&peer).copied()
    }

    pub fn get(&self, worker: WorkerId) -> Option<&Member> {
        self.by_id.get(&worker)
    }

    pub fn get_mut(&mut self, worker: WorkerId) -> Option<&mut Member> {
        self.by_id.get_mut(&worker)
    }

    pub fn remove(&mut self, worker: WorkerId) -> Option<Member> {
        let member = self.by_id.remove(&worker)?;
        if member.is_client() {
            self.free_number(worker);
        } else {
            self.by_peer.remove(&member.line.connection().peer().id);
        }
        Some(member)
    }

    /// The workers, without clients.
    pub fn all(&self) -> impl Iterator<Item = (WorkerId, &Member)> {
        self.by_id.iter().filter(|(_, member)| !member.is_client()).map(|(worker, member)| (*worker, member))
    }

    /// Those of them that do not want to go.
    pub fn staying(&self) -> impl Iterator<Item = &Member> {
        self.all().map(|(_, member)| member).filter(|member| !member.draining)
    }

    /// Messages about a run, and before them where those are that they name.
    pub fn tell(&mut self, worker: WorkerId, run: RunId, messages: Vec<ToWorker>) {
        let mut depots: Vec<(WorkerId, Depot)> = Vec::new();
        if let Some(member) = self.by_id.get(&worker) {
            let named = messages.iter().flat_map(ToWorker::names);
            let unknown = named.filter(|other| *other != worker && !member.met.contains(other));
            depots.extend(unknown.filter_map(|other| Some((other, self.by_id.get(&other)?.depot))));
            depots.sort_unstable_by_key(|(other, _)| *other);
            depots.dedup();
        }
        let Some(member) = self.by_id.get_mut(&worker) else { return };
        for (other, depot) in depots {
            member.met.insert(other);
            member.send(ToWorkerProcess::Meet { worker: other, depot });
        }
        member.send(ToWorkerProcess::Tell { run, messages });
    }
}
