//! Peers of whom nothing is known yet: what they say is refused, what they cost is bounded.

use crate::support::{Keyring, Node, Raw, claim, hello, logged, me, plain, record_log};
use cluster::hello::Introduction;
use cluster::role::Role;
use std::time::Duration;

/// What the scheduler says, and what it logs, when it hears this instead of a good hello.
#[track_caller]
fn refusal(bytes: &[u8]) -> (String, String) {
    refusal_within(bytes, Duration::from_secs(5))
}

#[track_caller]
fn refusal_within(bytes: &[u8], deadline: Duration) -> (String, String) {
    record_log();
    let mut config = plain(Role::Scheduler, "s");
    config.limits.handshake = deadline;
    let (scheduler, address) = Node::listening(config);
    let mut raw = Raw::from_its_own_address(address);
    raw.bytes(bytes);
    let said = String::from_utf8_lossy(&raw.until_closed()).into_owned();
    let line = logged(raw.0.local_addr().unwrap());
    assert!(scheduler.events.try_recv().is_err(), "it was let in: {line}");
    (said, line)
}

fn framed(message: &str) -> Vec<u8> {
    [&claim(message.len() as u32, 0)[..], message.as_bytes()].concat()
}

#[test]
fn garbage_is_refused_as_soon_as_it_is_known_to_be() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0x16, 3, 1, 0, 9]] {
        let (said, line) = refusal(garbage);
        assert!(said.is_empty() && line.contains("not a dolmen frame"), "{line}");
    }
    for nonsense in ["", "{}", "[3]", "null", r#"{"protocol":-1}"#, &"[".repeat(4000), "\u{0}\u{0}"] {
        let (said, line) = refusal(&framed(nonsense));
        assert!(said.contains("refused") && line.contains("malformed hello"), "{nonsense}: {said}, {line}");
    }
    let (_, line) = refusal(&framed(r#"{"protocol":3,"purpose":"control"}"#));
    assert!(line.contains("malformed hello"), "{line}");
}

#[test]
fn garbage_where_tls_should_be_is_refused() {
    record_log();
    let (_scheduler, address) = Node::listening(Keyring::new().config(Role::Scheduler, "s"));
    let mut raw = Raw::from_its_own_address(address);
    raw.bytes(b"GET / HTTP/1.1\r\n\r\n");
    raw.until_closed();
    let line = logged(raw.0.local_addr().unwrap());
    assert!(line.contains("it does not speak TLS"), "{line}");
}

#[test]
fn headers_that_claim_much_are_refused_before_anything_is_read() {
    for (header, why) in [
        (claim(10, 1 << 63), "a payload before the handshake is over"),
        (claim(4097, 0), "a message that is too long"),
        (claim(64 << 20, 0), "a message that is too long"),
        (claim(u32::MAX, 0), "more than the 67108864 allowed"),
        (claim(0, u64::MAX), "cannot exist"),
    ] {
        let (_, line) = refusal(&header);
        assert!(line.contains(why), "{line}");
    }
}

#[test]
fn half_a_hello_and_then_silence_is_given_up() {
    let whole = framed(&hello(&me(Role::Worker, "n3"), "control"));
    let given_up = |len: usize| {
        let (_, line) = refusal_within(&whole[..len], Duration::from_secs(1));
        assert!(line.contains("no handshake within 1s"), "{len}: {line}");
    };
    // All at once: each takes a second.
    std::thread::scope(|scope| {
        for len in [0, 1, 20, 32, 33, whole.len() - 1] {
            scope.spawn(move || given_up(len));
        }
    });
}

#[test]
fn other_versions_operations_and_kernels_are_refused_with_the_reason() {
    let good = hello(&me(Role::Worker, "n3"), "control");
    let (said, line) = refusal(&framed(&good.replace(r#""protocol":3"#, r#""protocol":4"#)));
    for text in [said, line] {
        assert!(text.contains("protocol 4, here 3"), "{text}");
    }
    let changed = |change: fn(&mut Introduction)| {
        let (_scheduler, address) = Node::listening(plain(Role::Scheduler, "s"));
        let mut config = plain(Role::Worker, "n3");
        change(&mut config.me);
        Node::new(config).endpoint.connect(&address.to_string()).err().expect("a refusal").to_string()
    };
    let why = changed(|me| me.release = "0.2.0".into());
    assert!(why.contains("refused this process: release 0.2.0, here 0.1.0"), "{why}");
    let why = changed(|me| me.operations = "4567".into());
    assert!(why.contains("its operations are others than here"), "{why}");
    let why = changed(|me| me.kernels = "blas".into());
    assert!(why.contains("other bits (blas, here faer avx2)"), "{why}");
    let mut mixed = plain(Role::Scheduler, "s");
    mixed.mixed_machines = true;
    let (_scheduler, address) = Node::listening(mixed);
    let mut config = plain(Role::Worker, "n3");
    config.me.kernels = "blas".into();
    Node::new(config).endpoint.connect(&address.to_string()).unwrap();
}

#[test]
fn names_that_would_be_seen_in_a_log_are_names() {
    for name in ["", "a\nb", "../x", &"x".repeat(65)] {
        let (_, line) = refusal(&framed(&hello(&me(Role::Worker, name), "control")));
        assert!(line.contains("a name has 1 to 64") && !line.contains('\n'), "{line}");
    }
}

#[test]
fn a_connection_for_something_else_is_refused() {
    let (said, _) = refusal(&framed(&hello(&me(Role::Worker, "n3"), "blocks")));
    assert!(said.contains("a scheduler takes no blocks connection of a worker"), "{said}");
    let (said, _) = refusal(&framed(&hello(&me(Role::Scheduler, "n3"), "control")));
    assert!(said.contains("a scheduler takes no control connection of a scheduler"), "{said}");
    let (said, _) = refusal(&framed(&hello(&me(Role::Worker, "n3"), "gossip")));
    assert!(said.contains("malformed hello"), "{said}");
}

#[test]
fn the_number_of_peers_is_bounded() {
    let mut config = plain(Role::Scheduler, "s");
    config.limits.connections = 2;
    let (scheduler, address) = Node::listening(config);
    let first = Raw::welcomed(address, &me(Role::Worker, "n1"), "control");
    let _second = Raw::welcomed(address, &me(Role::Worker, "n2"), "control");
    scheduler.connected();
    scheduler.connected();
    let worker = Node::new(plain(Role::Worker, "n3"));
    let why = worker.endpoint.connect(&address.to_string()).err().expect("a refusal").to_string();
    assert!(why.contains("2 connections are open here already"), "{why}");
    drop(first);
    scheduler.lost();
    // Its place is free a moment after it is lost.
    while worker.endpoint.connect(&address.to_string()).is_err() {}
}

#[test]
fn silent_connections_make_room_for_new_ones_oldest_first() {
    let mut config = plain(Role::Scheduler, "s");
    config.limits.unauthenticated = 8;
    config.limits.handshake = Duration::from_secs(3600);
    let (scheduler, address) = Node::listening(config);
    let mut early = Raw::welcomed(address, &me(Role::Worker, "early"), "control");
    scheduler.connected();
    let mut silent: Vec<_> = (0..300).map(|_| Raw::connect(address)).collect();
    // Those who are known are not disturbed, and those who make themselves known come in.
    early.frame(b"here");
    assert_eq!(scheduler.message().1, b"here");
    let _friend = Raw::welcomed(address, &me(Role::Worker, "friend"), "control");
    scheduler.connected();
    for raw in &mut silent[..292] {
        raw.until_closed();
    }
    // Whoever has come in is no stranger any more, and the others still are.
    let _later: Vec<_> = (0..8).map(|_| Raw::connect(address)).collect();
    for raw in &mut silent[292..] {
        raw.until_closed();
    }
}

#[test]
fn one_stranger_comes_in_where_no_more_than_one_may_be() {
    let mut config = plain(Role::Scheduler, "s");
    config.limits.unauthenticated = 1;
    let (scheduler, address) = Node::listening(config);
    let _friend = Raw::welcomed(address, &me(Role::Worker, "friend"), "control");
    scheduler.connected();
}
