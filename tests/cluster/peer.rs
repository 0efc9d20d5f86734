//! Peers that are no processes of their own and do what a test wants.

use crate::processes::Cluster;
use cluster::blocks::NoBlocks;
use cluster::endpoint::{Config, Endpoint};
use cluster::hello::Introduction;
use cluster::keys::Keys;
use cluster::life::Life;
use cluster::limits::Limits;
use cluster::peer::{Connection, Event};
use cluster::role::Role;
use cluster::scheduler_file::SchedulerAddress;
use cluster::tls::Trust;
use dolmen::array::{Axis, BlockGrid, Element, Fill};
use dolmen::exec;
use dolmen::graph::{ProgramBuilder, Stage};
use dolmen::ids::WorkerId;
use dolmen::protocol::{
    ClientPart, Ended, FromClient, FromWorkerProcess, RunSpec, Seats, ToClient, ToWorkerProcess, decode,
    encode,
};
use dolmen::sched::{Seat, Threads};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const HANGS: Duration = Duration::from_secs(60);

/// Somebody with the right key and bad manners.
pub struct Peer {
    connection: Connection,
    events: Receiver<Event>,
    _endpoint: Endpoint,
}

impl Peer {
    pub fn of(cluster: &Cluster, role: Role, name: &str) -> Peer {
        cluster.wait_until_it_listens();
        let found = SchedulerAddress::read(&cluster.folder.path("cluster.json")).unwrap();
        let trust = Trust::Keys(Keys::load(&found.keys.unwrap(), role).unwrap());
        let me = Introduction {
            role,
            name: name.into(),
            life: Life::random(),
            release: env!("CARGO_PKG_VERSION").into(),
            operations: exec::operations(),
            kernels: exec::kernel_fingerprint(),
        };
        let (tell, events) = channel();
        let config = Config { me, trust, mixed_machines: false, limits: Limits::default() };
        let endpoint =
            Endpoint::start(config, Arc::new(NoBlocks), move |event| drop(tell.send(event))).unwrap();
        let connection = endpoint.connect(&found.address).unwrap();
        let peer = Peer { connection, events, _endpoint: endpoint };
        if role == Role::Client {
            assert!(matches!(peer.hear(), Some(ToClient::Welcome { .. })));
        }
        peer
    }

    /// A worker that does nothing, whatever it is given.
    pub fn enlisted(cluster: &Cluster, name: &str, seat: Seat) -> Peer {
        let peer = Peer::of(cluster, Role::Worker, name);
        peer.say(&enlist(seat));
        let Some(ToWorkerProcess::Enlisted { .. }) = peer.hear() else { panic!("{name} is not enlisted") };
        peer
    }

    pub fn send(&self, bytes: Vec<u8>) {
        self.connection.send(bytes).unwrap();
    }

    pub fn say(&self, message: &impl serde::Serialize) {
        self.send(encode(message).unwrap());
    }

    /// The next message; none if the scheduler has closed the connection.
    pub fn hear<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        loop {
            match self.events.recv_timeout(HANGS).expect("an event") {
                Event::Message { message, .. } => return Some(decode(&message).unwrap()),
                Event::Lost { .. } => return None,
                Event::Connected(_) | Event::Room { .. } => {}
            }
        }
    }

    /// A client asks for a matrix of ones, of so many blocks in each direction, and leaves it at the workers.
    pub fn ask_for_ones(&self, blocks: u64) {
        let mut builder = ProgramBuilder::default();
        let axis = || Axis::new(100 * blocks, 100);
        let ones = builder.fill(Fill::Constant(1.0), 0, 0, BlockGrid::new(axis(), axis()), Element::F64);
        builder.keep(ones.stage);
        self.submit(1, spec(builder.finish().stages().to_vec()));
    }

    /// A client asks for a run.
    pub fn submit(&self, number: u64, spec: RunSpec) {
        self.say(&FromClient::Submit { number, spec: Box::new(spec), holding: None });
    }

    /// A client's run 1 is refused.
    pub fn hears_that_it_is_no_program(&self) {
        let Some(ToClient::Ended { number: 1, result: Err(failure) }) = self.hear() else {
            panic!("not refused")
        };
        assert!(failure.message.contains("no program"), "{failure}");
    }

    /// A client that takes part asks for a task that makes nothing, hears its number as a worker, and gives the run up.
    pub fn number_in_a_run(&self, number: u64) -> WorkerId {
        let seat = Seat { threads: Threads { compute: 0, io: 4 }, ..seat() };
        let depot = ([127, 0, 0, 1], 9).into();
        let own = ClientPart { seat, depot, inputs: Default::default(), outputs: Default::default() };
        self.submit(number, RunSpec { own: Some(own), drawn: number, ..spec(null_stages(1)) });
        loop {
            match self.hear() {
                Some(ToClient::AsWorker { message: ToWorkerProcess::Enlisted { worker, .. }, .. }) => {
                    self.say(&FromClient::Release { number });
                    return worker;
                }
                Some(_) => {}
                None => panic!("the scheduler is gone"),
            }
        }
    }

    /// How a client's run has ended.
    pub fn ended(&self) -> Ended {
        loop {
            match self.hear() {
                Some(ToClient::Ended { result, .. }) => return result.expect("a run that succeeds"),
                Some(_) => {}
                None => panic!("the scheduler is gone"),
            }
        }
    }

    #[track_caller]
    pub fn is_turned_away(&self) {
        assert!(self.hear::<ToWorkerProcess>().is_none(), "it is still listened to");
    }
}

/// What a client says of a run of these stages, without files.
pub fn spec(stages: Vec<Stage>) -> RunSpec {
    RunSpec { stages, inputs: Vec::new(), outputs: Vec::new(), sync: false, own: None, drawn: 0 }
}

/// So many tasks that make nothing.
pub fn null_stages(tasks: u32) -> Vec<Stage> {
    let mut builder = ProgramBuilder::default();
    builder.null_wide(tasks);
    builder.finish().stages().to_vec()
}

pub fn enlist(seat: Seat) -> FromWorkerProcess {
    FromWorkerProcess::Enlist {
        seats: Seats { large: seat, small: None },
        depot: ([127, 0, 0, 1], 9).into(),
        offers: Vec::new(),
    }
}

pub fn seat() -> Seat {
    Seat { threads: Threads { compute: 1, io: 4 }, budget: 100 << 20, may_spill: true }
}
