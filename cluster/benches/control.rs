//! What a message costs on a control connection over loopback with TLS: a round trip, and one of many in a stream.
//!
//! `cargo bench -p cluster --bench control`. Both sides share the machine.

#[path = "../tests/support/mod.rs"]
mod support;

use cluster::peer::Event;
use cluster::role::Role;
use std::time::Instant;
use support::{Keyring, Node};

const ROUND_TRIPS: usize = 20_000;
const MESSAGES: usize = 1_000_000;
const MESSAGE: usize = 64;

fn message(node: &Node) -> usize {
    match node.events.recv() {
        Ok(Event::Message { message, .. }) => message.len(),
        _ => unreachable!("only messages are sent"),
    }
}

fn main() {
    let ring = Keyring::new();
    let (scheduler, address) = Node::listening(ring.config(Role::Scheduler, "s"));
    let worker = Node::new(ring.config(Role::Worker, "w"));
    let to_scheduler = worker.endpoint.connect(&address.to_string()).expect("a connection");
    let to_worker = scheduler.connected();
    worker.connected();

    let start = Instant::now();
    for _ in 0..ROUND_TRIPS {
        to_worker.send(vec![1; MESSAGE]).expect("a connection");
        message(&worker);
        to_scheduler.send(vec![1; MESSAGE]).expect("a connection");
        message(&scheduler);
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
            message(&worker);
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    println!("in a stream: {:.2} µs for a message of {MESSAGE} bytes", seconds / MESSAGES as f64 * 1e6);
}
