//! The workers that are there.

use crate::ids::RunId;
use crate::ids::WorkerId;
use crate::net::line::Line;
use crate::protocol::{Depot, ToWorker, ToWorkerProcess};
use crate::sched::Seat;
use cluster::peer::PeerId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

/// A worker process.
pub struct Member {
    pub name: String,
    pub seat: Seat,
    pub line: Line,
    /// It wants to go.
    pub draining: bool,
    depot: Depot,
    /// The other workers whose depots it knows.
    met: HashSet<WorkerId>,
}

impl Member {
    pub fn depot(&self) -> Depot {
        self.depot
    }
}

/// More threads and bytes than any machine has: nobody brings them along.
const MOST_THREADS: u64 = 1 << 16;
const MOST_BYTES: u64 = 1 << 50;

/// Can a process have so much?
pub fn is_possible(seat: &Seat) -> bool {
    seat.threads.compute <= MOST_THREADS && seat.threads.io <= MOST_THREADS && seat.budget <= MOST_BYTES
}

#[derive(Default)]
pub struct Members {
    by_id: BTreeMap<WorkerId, Member>,
    by_peer: HashMap<PeerId, WorkerId>,
    /// Numbers that have been given. None is given twice, so that a late message betrays itself.
    given: u32,
}

impl Members {
    /// A worker is there, and gets its number.
    pub fn enlist(&mut self, mut line: Line, seat: Seat, depot: SocketAddr) -> WorkerId {
        let worker = WorkerId(self.given);
        self.given += 1;
        let about = line.connection().peer();
        let (peer, name, life) = (about.id, about.from.name.clone(), about.from.life.0);
        let Seat { threads, budget, .. } = seat;
        tracing::info!("worker {name} joins: {} threads, {budget} bytes, blocks at {depot}", threads.compute);
        line.send(&ToWorkerProcess::Enlisted { worker });
        let depot = Depot { address: depot, life };
        let member = Member { name, seat, line, draining: false, depot, met: HashSet::new() };
        self.by_id.insert(worker, member);
        self.by_peer.insert(peer, worker);
        worker
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
        self.by_peer.remove(&member.line.connection().peer().id);
        Some(member)
    }

    pub fn all(&self) -> impl Iterator<Item = (WorkerId, &Member)> {
        self.by_id.iter().map(|(worker, member)| (*worker, member))
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
            member.line.send(&ToWorkerProcess::Meet { worker: other, depot });
        }
        member.line.send(&ToWorkerProcess::Tell { run, messages });
    }
}
