//! Control connections: messages, lives, losses, and peers that do not take what they are given.

use crate::support::{Keyring, Node, Raw, anywhere, claim, me, named, plain};
use cluster::endpoint::Config;
use cluster::hello::Introduction;
use cluster::life::Life;
use cluster::limits::Limits;
use cluster::peer::Event;
use cluster::role::Role;
use cluster::{ConnectError, SendError};
use std::net::TcpListener;
use std::time::Duration;

#[test]
fn messages_come_whole_and_in_order_both_ways_with_tls() {
    let ring = Keyring::new();
    let (scheduler, address) = Node::listening(ring.config(Role::Scheduler, "s"));
    let worker = Node::new(ring.config(Role::Worker, "n3"));
    let to_scheduler = worker.endpoint.connect(&address.to_string()).unwrap();
    let to_worker = scheduler.connected();
    assert_eq!(to_worker.peer().from, worker.config.me);
    assert_eq!(to_scheduler.peer().from, scheduler.config.me);
    assert_eq!(worker.connected().peer().id, to_scheduler.peer().id);
    assert_eq!(to_scheduler.peer().address, address);
    assert_eq!(to_worker.peer().address, to_scheduler.peer().local);
    let sent: Vec<Vec<u8>> = (0..2000).map(|n: usize| vec![n as u8; 1 + n * 7 % 5000]).collect();
    for message in &sent {
        to_scheduler.send(message.clone()).unwrap();
        to_worker.send(message.clone()).unwrap();
    }
    for message in &sent {
        assert_eq!(scheduler.message(), (to_worker.peer().id, message.clone()));
        assert_eq!(worker.message(), (to_scheduler.peer().id, message.clone()));
    }
    let long = vec![5; 20 << 20];
    to_scheduler.send(long.clone()).unwrap();
    assert!(scheduler.message().1 == long);
}

#[test]
fn what_was_said_before_a_close_arrives() {
    let ring = Keyring::new();
    let (scheduler, address) = Node::listening(ring.config(Role::Scheduler, "s"));
    let client = Node::new(ring.config(Role::Client, "c"));
    let to_scheduler = client.endpoint.connect(&address.to_string()).unwrap();
    for n in 0..100 {
        to_scheduler.send(vec![n; 1000]).unwrap();
    }
    client.endpoint.close();
    let peer = scheduler.connected().peer().id;
    for n in 0..100 {
        assert_eq!(scheduler.message(), (peer, vec![n; 1000]));
    }
    assert_eq!(scheduler.lost().1, "the other side closed the connection");
    assert_eq!(to_scheduler.send(vec![1]), Err(SendError::Ended));
}

#[test]
fn a_close_is_heard_at_once() {
    // Silence would be noticed after an hour.
    let mut config = plain(Role::Scheduler, "s");
    config.limits.lost_after = Duration::from_secs(3600);
    let (scheduler, address) = Node::listening(config);
    let mut raw = Raw::welcomed(address, &me(Role::Worker, "n3"), "control");
    let connection = scheduler.connected();
    assert!(raw.read_frame().expect("a heartbeat at the beginning").1.is_empty());
    for message in [b"first", b"later"] {
        connection.send(message.to_vec()).unwrap();
        assert_eq!(raw.read_frame().expect("no heartbeat before its time").1, message);
    }
    connection.close();
    raw.until_closed();
    drop(raw);
    assert_eq!(scheduler.lost().1, "closed on this side");
}

#[test]
fn a_peer_that_dies_is_lost_at_once() {
    // Silence would be noticed after an hour.
    let mut config = plain(Role::Scheduler, "s");
    config.limits.lost_after = Duration::from_secs(3600);
    let (scheduler, address) = Node::listening(config);
    let raw = Raw::welcomed(address, &me(Role::Worker, "n3"), "control");
    let peer = scheduler.connected().peer().id;
    drop(raw);
    assert_eq!(scheduler.lost(), (peer, "the other side closed the connection".into()));
}

#[test]
fn a_peer_that_is_silent_is_lost_even_within_a_frame_and_one_that_beats_is_not() {
    let mut config = plain(Role::Scheduler, "s");
    config.limits.lost_after = Duration::from_secs(2);
    let (scheduler, address) = Node::listening(config);
    // Left to itself it would beat every three seconds: the side that listens says when a silence is a loss.
    let worker = Node::new(plain(Role::Worker, "good"));
    let good = worker.endpoint.connect(&address.to_string()).unwrap();
    let good_there = scheduler.connected().peer().id;
    let parts = [&b""[..], &claim(100, 0)[..20], &[&claim(100, 0)[..], b"half"].concat()];
    let silent = parts.map(|part| {
        let name = format!("bad{}", part.len());
        let mut raw = Raw::welcomed(address, &me(Role::Worker, &name), "control");
        raw.bytes(part);
        (scheduler.connected().peer().id, raw)
    });
    let mut lost = silent.each_ref().map(|_| scheduler.lost());
    lost.sort();
    assert_eq!(lost, silent.each_ref().map(|(peer, _)| (*peer, "silent for 2s".to_string())));
    // Longer than the silence that was allowed has passed.
    good.send(b"here".to_vec()).unwrap();
    assert_eq!(scheduler.message(), (good_there, b"here".to_vec()));
}

#[test]
fn messages_of_an_earlier_connection_are_not_heard_and_other_lives_have_to_wait() {
    let (scheduler, address) = Node::listening(plain(Role::Scheduler, "s"));
    let from = me(Role::Worker, "n3");
    let mut earlier = Raw::welcomed(address, &from, "control");
    let first = scheduler.connected().peer().id;
    earlier.frame(b"first");
    assert_eq!(scheduler.message(), (first, b"first".to_vec()));
    // Another process of the same name.
    let other = Node::new(plain(Role::Worker, "n3"));
    let refused = other.endpoint.connect(&address.to_string());
    let refused = refused.err().expect("a refusal").to_string();
    assert!(refused.contains("another worker is connected as n3"), "{refused}");
    // One of another role that has found out its life.
    let client =
        Config { me: Introduction { role: Role::Client, ..from.clone() }, ..plain(Role::Client, "c") };
    let refused = Node::new(client).endpoint.connect(&address.to_string());
    let refused = refused.err().expect("a refusal").to_string();
    assert!(refused.contains("a worker is connected as n3"), "{refused}");
    // The same process once more.
    let mut later = Raw::welcomed(address, &from, "control");
    assert_eq!(scheduler.lost(), (first, "the same process connected once more".into()));
    let second = scheduler.connected().peer().id;
    assert_ne!(first, second);
    earlier.frame(b"late");
    earlier.until_closed();
    later.frame(b"second");
    assert_eq!(scheduler.message(), (second, b"second".to_vec()));
    drop(later);
    assert_eq!(scheduler.lost().0, second);
    // Its name is free again.
    other.endpoint.connect(&address.to_string()).unwrap();
    assert_eq!(scheduler.connected().peer().from.life, other.config.me.life);
}

#[test]
fn what_may_not_be_on_a_control_connection_ends_it() {
    let (scheduler, address) = Node::listening(plain(Role::Scheduler, "s"));
    let cases = [
        (claim(0, 1 << 63), "a payload on a control connection"),
        (claim(0, u64::MAX), "cannot exist"),
        (claim((64 << 20) + 1, 0), "more than the 67108864 allowed"),
        ([0x16; 32], "not a dolmen frame"),
    ];
    for (bytes, why) in cases {
        let mut raw = Raw::welcomed(address, &me(Role::Worker, "n3"), "control");
        let peer = scheduler.connected().peer().id;
        raw.bytes(&bytes);
        raw.until_closed();
        let (lost, reason) = scheduler.lost();
        assert_eq!(lost, peer);
        assert!(reason.contains(why), "{reason}");
    }
}

#[test]
fn a_slow_reader_makes_the_sender_wait_or_be_told() {
    let mut config = plain(Role::Scheduler, "s");
    config.limits.queue_bytes = 1 << 20;
    let (scheduler, address) = Node::listening(config);
    let mut raw = Raw::welcomed(address, &me(Role::Worker, "slow"), "control");
    let to_slow = scheduler.connected();
    // What the system's buffers take, and no more than the line allows beyond that.
    let message = vec![7; 100_000];
    let mut sent = 0;
    let refused = loop {
        match to_slow.try_send(message.clone()) {
            Ok(()) => sent += 1,
            Err(refused) => break refused,
        }
        assert!(sent < 1000, "100 MB wait for a peer that takes nothing");
    };
    assert!(refused == SendError::Full(message.clone()), "{sent} messages were taken");
    for _ in 0..sent {
        assert_eq!(raw.read_message().unwrap(), message);
    }
    match scheduler.event() {
        Event::Room { peer } => assert_eq!(peer, to_slow.peer().id),
        other => panic!("{}", named(&other)),
    }
    to_slow.try_send(message).unwrap();
    // One that waits goes on when there is room.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| (0..300).all(|_| to_slow.send(vec![8; 100_000]).is_ok()));
        while !waiting.is_finished() {
            raw.read_message().unwrap();
        }
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn one_who_says_that_it_is_there_and_takes_nothing_is_lost() {
    let mut config = plain(Role::Scheduler, "s");
    config.limits.lost_after = Duration::from_secs(1);
    let (scheduler, address) = Node::listening(config);
    let mut raw = Raw::welcomed(address, &me(Role::Worker, "slow"), "control");
    let to_slow = scheduler.connected();
    while to_slow.try_send(vec![7; 100_000]).is_ok() {}
    let lost = loop {
        raw.frame(b"");
        match scheduler.events.try_recv() {
            Ok(Event::Lost { why, .. }) => break why.to_string(),
            Ok(Event::Room { .. }) | Err(_) => std::thread::yield_now(),
            Ok(other) => panic!("{}", named(&other)),
        }
    };
    assert_eq!(lost, "took nothing for 1s");
}

#[test]
fn messages_that_nobody_drops_stop_their_sender_and_no_other() {
    let mut config = plain(Role::Scheduler, "s");
    config.limits = Limits { inbox_bytes: 1 << 20, ..config.limits };
    let (scheduler, address) = Node::listening(config);
    let worker = Node::new(plain(Role::Worker, "loud"));
    let loud = worker.endpoint.connect(&address.to_string()).unwrap();
    let loud_id = scheduler.connected().peer().id;
    let mut held = Vec::new();
    let mut sent = 0;
    // The inbox, the line of the sender, and the system's buffers.
    while loud.try_send(vec![1; 100_000]).is_ok() {
        sent += 1;
        assert!(sent < 1000, "100 MB were taken from a peer whose messages nobody drops");
        while let Ok(event) = scheduler.events.try_recv() {
            held.push(event);
        }
    }
    let mut quiet = Raw::welcomed(address, &me(Role::Worker, "quiet"), "control");
    quiet.frame(b"psst");
    let mut heard = false;
    while !heard {
        let event = scheduler.event();
        heard = matches!(&event, Event::Message { peer, .. } if *peer != loud_id);
        held.push(event);
    }
    let of_loud = |event: &Event| matches!(event, Event::Message { peer, .. } if *peer == loud_id);
    let taken = held.iter().filter(|event| of_loud(event)).count();
    assert!(taken <= 10, "{taken} messages are held, of 1 MiB at most");
    held.clear();
    for _ in taken..sent {
        assert_eq!(scheduler.message().0, loud_id);
    }
}

#[test]
fn a_worker_where_the_scheduler_should_be_is_told() {
    let listener = TcpListener::bind(anywhere()).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        Raw::of_worker(&listener, Life(7)).until_closed();
    });
    let why = Node::new(plain(Role::Worker, "n3")).endpoint.connect(&address).err().expect("no scheduler");
    assert!(why.to_string().contains("a worker is there, not a scheduler"), "{why}");
    thread.join().unwrap();
}

#[test]
fn nobody_there_and_no_address_are_told() {
    let worker = Node::new(plain(Role::Worker, "n3"));
    let (scheduler, address) = Node::listening(plain(Role::Scheduler, "s"));
    drop(scheduler);
    let why = worker.endpoint.connect(&address.to_string()).err();
    assert!(matches!(why, Some(ConnectError::Unreachable { .. } | ConnectError::Broken { .. })), "{why:?}");
    for wrong in ["", "nowhere", "127.0.0.1:x", "127.0.0.1:99999"] {
        let why = worker.endpoint.connect(wrong).err();
        assert!(matches!(why, Some(ConnectError::Address(_))), "{wrong}: {why:?}");
    }
}
