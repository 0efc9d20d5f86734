//! Holders of blocks who lie, break off or fall silent.

use crate::support::{Node, Raw, anywhere, head, plain};
use cluster::codec::{Codec, Encoding, FRAME_HEADER, PIECE};
use cluster::frame::{Flags, FrameHeader};
use cluster::life::Life;
use cluster::limits::PART;
use cluster::role::Role;
use cluster::{Came, Ending, Holder, PullError};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What one holder does with the connections that it gets, one after the other.
fn holder(does: impl FnMut(Raw<TcpStream>) + Send + 'static) -> (Holder, JoinHandle<()>) {
    let listener = TcpListener::bind(anywhere()).unwrap();
    let address = listener.local_addr().unwrap();
    let life = Life(7);
    let mut does = does;
    let thread = std::thread::spawn(move || {
        does(Raw::of_worker(&listener, life));
    });
    (Holder { address, role: Role::Worker, life }, thread)
}

fn node() -> Node {
    let mut config = plain(Role::Worker, "n");
    config.limits.idle_after = Duration::from_secs(3600);
    Node::new(config)
}

fn start(node: &Node, holder: Holder, len: usize) -> Receiver<(Vec<u8>, Result<Came, PullError>)> {
    let (tell, told) = channel();
    node.endpoint.pull(holder, b"key", vec![0; len], move |buffer, result| {
        tell.send((buffer, result)).unwrap();
    });
    told
}

/// The number of the next request.
fn request(raw: &mut Raw<TcpStream>) -> [u8; 4] {
    raw.read_message().expect("a request")[..4].try_into().unwrap()
}

fn reply(number: [u8; 4], kind: u8) -> Vec<u8> {
    [&number[..], &[kind]].concat()
}

#[test]
fn a_damaged_part_costs_that_block_and_a_short_block_itself() {
    let (holder, thread) = holder(|mut raw| {
        let number = request(&mut raw);
        let mut header = FrameHeader::new(Flags::NONE, 5, b"abc").unwrap();
        header.payload_checksum ^= 1;
        raw.bytes(&[&head(&header), &reply(number, 0)[..], b"abc"].concat());
        raw.frame_with(&reply(number, 1), b"def");
        let number = request(&mut raw);
        raw.frame_with(&reply(number, 1), b"abc");
        let number = request(&mut raw);
        raw.frame_with(&reply(number, 0), b"");
        raw.frame_with(&reply(number, 0), b"abc");
        raw.frame_with(&reply(number, 1), b"xyz");
        raw.read_frame();
    });
    let node = node();
    let result = start(&node, holder, 6).recv().unwrap().1;
    assert!(matches!(result, Err(PullError::Damaged(_))), "{result:?}");
    let result = start(&node, holder, 6).recv().unwrap().1;
    assert_eq!(result, Err(PullError::Short { got: 3, len: 6 }));
    // On the same connection: there is no other.
    assert_eq!(
        start(&node, holder, 6).recv().unwrap(),
        (b"abcxyz".to_vec(), Ok(Came { since: None, wire_bytes: 6 }))
    );
    drop(node);
    thread.join().unwrap();
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_and_fails_all_that_was_to_come() {
    let long = PART as u64 + 1;
    type Lie = fn([u8; 4]) -> Vec<u8>;
    let lies: [(Lie, u64, &str); 9] = [
        (|number| reply(number, 1), 5, "more bytes than the block has"),
        (|number| reply(number, 0), 1 << 63, "a part that is too long"),
        (|number| reply(number, 0), long, "a part that is too long"),
        (|_| reply([9; 4], 1), 0, "a block that nobody asked for"),
        (|number| reply(number, 4), 0, "an answer that cannot be read"),
        (|number| reply(number, 3), 1, "a block is waited for that is there"),
        (|number| [reply(number, 1), vec![b'x']].concat(), 0, "an answer that cannot be read"),
        (|number| reply(number, 2), 3, "bytes of a block that failed"),
        (|number| [reply(number, 2), vec![b'x'; 1025]].concat(), 0, "a message that is too long"),
    ];
    for (message, payload_len, why) in lies {
        let (holder, thread) = holder(move |mut raw| {
            let number = request(&mut raw);
            request(&mut raw);
            let message = message(number);
            let message_len = message.len() as u32;
            let header = FrameHeader { flags: Flags::NONE, message_len, payload_len, payload_checksum: 0 };
            raw.bytes(&[&head(&header)[..], &message, b"12345"].concat());
            raw.until_closed();
        });
        let node = node();
        let both = [start(&node, holder, 4), start(&node, holder, 4)];
        for told in both {
            let (_, result) = told.recv().unwrap();
            assert_eq!(result, Err(PullError::Lost(Ending::Protocol(why))));
        }
        thread.join().unwrap();
    }
}

#[test]
fn a_block_that_has_begun_to_come_or_is_waited_for_is_not_waited_for_once_more() {
    for first in [0, 3] {
        let (holder, thread) = holder(move |mut raw| {
            let number = request(&mut raw);
            let payload: &[u8] = if first == 0 { b"1" } else { b"" };
            raw.frame_with(&reply(number, first), payload);
            raw.frame(&reply(number, 3));
            raw.until_closed();
        });
        let result = start(&node(), holder, 4).recv().unwrap().1;
        let why = "a block is waited for that is there";
        assert_eq!(result, Err(PullError::Lost(Ending::Protocol(why))), "after {first}");
        thread.join().unwrap();
    }
}

#[test]
fn who_waits_for_a_block_is_told_when_the_endpoint_is_dropped() {
    let (tell, has_begun) = channel();
    let (holder, thread) = holder(move |mut raw| {
        let number = request(&mut raw);
        let header = FrameHeader::new(Flags::NONE, 5, &[0; 10]).unwrap();
        raw.bytes(&[&head(&header)[..], &reply(number, 1), &[0; 3]].concat());
        // Once a heartbeat comes, it is at work on these.
        raw.read_frame();
        tell.send(()).unwrap();
        raw.until_closed();
    });
    let node = node();
    let told = start(&node, holder, 10);
    has_begun.recv().unwrap();
    drop(node);
    let result = told.recv().expect("told").1;
    assert!(matches!(result, Err(PullError::Lost(_))), "{result:?}");
    thread.join().unwrap();
}

#[test]
fn nothing_is_sent_before_the_first_request_and_a_second_one_takes_the_same_way() {
    let (holder, thread) = holder(|mut raw| {
        for _ in 0..2 {
            let (_, message, _) = raw.read_frame().expect("a request");
            assert!(!message.is_empty(), "a heartbeat long before its time");
            raw.frame_with(&reply(message[..4].try_into().unwrap(), 1), b"ab");
        }
    });
    let node = node();
    for _ in 0..2 {
        let (bytes, result) = start(&node, holder, 2).recv().unwrap();
        assert_eq!((bytes.as_slice(), result.is_ok()), (&b"ab"[..], true));
    }
    thread.join().unwrap();
}

#[test]
fn a_connection_is_kept_for_what_is_asked_later() {
    let (holder, thread) = holder(|mut raw| {
        let number = request(&mut raw);
        raw.frame_with(&reply(number, 1), b"ab");
        assert!(raw.read_frame().expect("a heartbeat").1.is_empty());
    });
    let node = node();
    assert!(start(&node, holder, 2).recv().unwrap().1.is_ok());
    thread.join().unwrap();
}

#[test]
fn a_connection_over_which_nothing_is_asked_is_closed() {
    let (holder, thread) = holder(|mut raw| {
        let number = request(&mut raw);
        raw.frame_with(&reply(number, 1), b"ab");
        // It is not for silence that it ends.
        while raw.read_frame().is_some() {
            raw.frame(b"");
        }
    });
    let mut config = plain(Role::Worker, "n");
    config.limits.idle_after = Duration::ZERO;
    let node = Node::new(config);
    assert!(start(&node, holder, 2).recv().unwrap().1.is_ok());
    thread.join().unwrap();
}

/// A block of this many bytes, in parts whose flags and bytes a holder chooses.
fn in_parts(len: usize, parts: Vec<(Flags, Vec<u8>)>) -> (Vec<u8>, Result<Came, PullError>) {
    let (holder, thread) = holder(move |mut raw| {
        let number = request(&mut raw);
        for (at, (flags, bytes)) in parts.iter().enumerate() {
            let message = reply(number, u8::from(at + 1 == parts.len()));
            let header = FrameHeader::new(*flags, message.len(), bytes).unwrap();
            raw.bytes(&[&head(&header)[..], &message, bytes].concat());
        }
        raw.until_closed();
    });
    let node = node();
    let result = start(&node, holder, len).recv().unwrap();
    drop(node);
    thread.join().unwrap();
    result
}

/// What a holder of the same release makes of a piece.
fn compressed(encoding: Encoding, piece: &[u8]) -> Vec<u8> {
    let (mut work, mut frame) = (vec![0; piece.len()], vec![0; piece.len() + FRAME_HEADER]);
    let stored = Codec::new().unwrap().encode(encoding, 8, piece, &mut work, &mut frame);
    frame[FRAME_HEADER..stored].to_vec()
}

const SHUFFLED: Flags = Flags::ZSTD.with(Flags::SHUFFLED);

#[test]
fn compressed_parts_stand_for_a_piece_each_and_come_as_they_were() {
    let block: Vec<u8> =
        (0..(2 * PIECE + 1000) / 8).flat_map(|at| ((at % 300) as f64).to_le_bytes()).collect();
    let pieces: Vec<&[u8]> = block.chunks(PIECE).collect();
    let parts = vec![
        (Flags::ZSTD, compressed(Encoding::Zstd, pieces[0])),
        (Flags::NONE, pieces[1].to_vec()),
        (SHUFFLED, compressed(Encoding::ShuffledZstd, pieces[2])),
    ];
    let wire_bytes = parts.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let (came, result) = in_parts(block.len(), parts);
    assert!(came == block);
    assert_eq!(result, Ok(Came { since: None, wire_bytes }));
}

#[test]
fn a_compressed_part_that_is_damaged_too_short_too_long_or_a_bomb_costs_its_block() {
    let whole = |bytes: usize| zstd::bulk::compress(&vec![0; bytes], 1).unwrap();
    let mut broken = compressed(Encoding::Zstd, &vec![7; PIECE]);
    broken[4] ^= 0xFF;
    for (name, flags, bytes) in [
        ("broken", Flags::ZSTD, broken),
        ("short", Flags::ZSTD, whole(PIECE - 1)),
        ("long", SHUFFLED, whole(PIECE + 1)),
        ("a bomb", Flags::ZSTD, whole(256 << 20)),
        ("noise", SHUFFLED, vec![0xA5; 1000]),
    ] {
        assert!(bytes.len() < PIECE, "{name}");
        let last = (Flags::NONE, vec![1; 100]);
        let (came, result) = in_parts(PIECE + 100, vec![(flags, bytes), last]);
        assert_eq!(result, Err(PullError::Undecodable), "{name}");
        assert_eq!(came[PIECE..], [1; 100], "{name}: what follows is where it should be");
    }
    let (_, result) = in_parts(100, vec![(Flags::ZSTD, whole(50)), (Flags::NONE, Vec::new())]);
    assert_eq!(result, Err(PullError::Undecodable), "it stands for all 100");
}

#[test]
fn a_compressed_part_that_cannot_be_ends_the_connection() {
    let small = compressed(Encoding::Zstd, &[0; 4096]);
    let cases = [
        vec![(Flags::ZSTD, vec![0; 4096])],
        vec![(Flags::ZSTD, vec![0; 5000])],
        vec![(Flags::ZSTD, Vec::new())],
        vec![(Flags::SHUFFLED, small.clone())],
        vec![(Flags::NONE, vec![0; 4096]), (Flags::ZSTD, small)],
    ];
    for parts in cases {
        let (_, result) = in_parts(4096, parts);
        let why = Ending::Protocol("a compressed part that is none");
        assert_eq!(result, Err(PullError::Lost(why)));
    }
}

#[test]
fn a_holder_that_breaks_off_or_falls_silent_fails_what_was_to_come() {
    for half in [&b""[..], &[0; 3]] {
        let (holder, thread) = holder(move |mut raw| {
            let number = request(&mut raw);
            let header = FrameHeader::new(Flags::NONE, 5, &[0; 10]).unwrap();
            raw.bytes(&[&head(&header)[..], &reply(number, 1), half].concat());
        });
        let result = start(&node(), holder, 10).recv().unwrap().1;
        assert_eq!(result, Err(PullError::Lost(Ending::Closed)));
        thread.join().unwrap();
    }
    let (holder, thread) = holder(|mut raw| {
        request(&mut raw);
        raw.until_closed();
    });
    let result = start(&node(), holder, 10).recv().unwrap().1;
    assert_eq!(result, Err(PullError::Lost(Ending::Silent(Duration::from_secs(2)))));
    thread.join().unwrap();
}

#[test]
fn a_slow_holder_that_beats_is_waited_for_until_it_is_forgotten() {
    let (tell, waited) = channel();
    let began = Instant::now();
    let (holder, thread) = holder(move |mut raw| {
        request(&mut raw);
        // The other side beats five times in the silence that is allowed.
        for _ in 0..10 {
            assert!(raw.read_frame().expect("a heartbeat").1.is_empty());
            raw.frame(b"");
        }
        // However late they come, they were not sent earlier.
        assert!(began.elapsed() >= Duration::from_secs(4), "heartbeats in a hurry");
        tell.send(()).unwrap();
        raw.until_closed();
    });
    let node = node();
    let told = start(&node, holder, 10);
    waited.recv().unwrap();
    assert!(told.try_recv().is_err(), "given up");
    node.endpoint.forget(&holder);
    assert_eq!(told.recv().unwrap().1, Err(PullError::Lost(Ending::ClosedHere)));
    thread.join().unwrap();
}
