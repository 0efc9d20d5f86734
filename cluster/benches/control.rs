//! What a message costs on a control connection over loopback with TLS: a round trip, and one of many in a stream.
//!
//! `cargo bench -p cluster --bench control`. Both sides share the machine.

use cluster::authority::Authority;
use cluster::blocks::NoBlocks;
use cluster::endpoint::{Config, Endpoint};
use cluster::hello::Introduction;
use cluster::keys::Keys;
use cluster::life::Life;
use cluster::limits::Limits;
use cluster::peer::{Connection, Event};
use cluster::role::Role;
use cluster::tls::Trust;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

const ROUND_TRIPS: usize = 20_000;
const MESSAGES: usize = 1_000_000;
const MESSAGE: usize = 64;

fn endpoint(authority: &Authority, role: Role) -> (Endpoint, Receiver<Event>) {
    let own = authority.issue(role, Authority::usual_validity()).expect("a key");
    let keys = Keys::from_pem(role, &authority.certificate(), &own).expect("keys");
    let me = Introduction {
        role,
        name: role.name().into(),
        life: Life::random(),
        release: "0".into(),
        operations: "0".into(),
        kernels: "0".into(),
    };
    let config = Config { me, trust: Trust::Keys(keys), mixed_machines: false, limits: Limits::default() };
    let (tell, events) = channel();
    let on_event = move |event| drop(tell.send(event));
    (Endpoint::start(config, Arc::new(NoBlocks), on_event).expect("an endpoint"), events)
}

fn connected(events: &Receiver<Event>) -> Connection {
    match events.recv() {
        Ok(Event::Connected(connection)) => connection,
        _ => unreachable!("the first event"),
    }
}

fn message(events: &Receiver<Event>) -> usize {
    match events.recv() {
        Ok(Event::Message { message, .. }) => message.len(),
        _ => unreachable!("only messages are sent"),
    }
}

fn main() {
    let authority = Authority::new().expect("an authority");
    let (scheduler, at_scheduler) = endpoint(&authority, Role::Scheduler);
    let (worker, at_worker) = endpoint(&authority, Role::Worker);
    let address = scheduler.listen(([127, 0, 0, 1], 0).into()).expect("a port");
    let to_scheduler = worker.connect(&address.to_string()).expect("a connection");
    let to_worker = connected(&at_scheduler);
    connected(&at_worker);

    let start = Instant::now();
    for _ in 0..ROUND_TRIPS {
        to_worker.send(vec![1; MESSAGE]).expect("a connection");
        message(&at_worker);
        to_scheduler.send(vec![1; MESSAGE]).expect("a connection");
        message(&at_scheduler);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("round trip: {:.1} µs", seconds / ROUND_TRIPS as f64 * 1e6);

    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..MESSAGES {
                to_worker.send(vec![1; MESSAGE]).expect("a connection");
            }
        });
        for _ in 0..MESSAGES {
            message(&at_worker);
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    println!("in a stream: {:.2} µs for a message of {MESSAGE} bytes", seconds / MESSAGES as f64 * 1e6);
}
