//! Blocks that are compressed on their way, and those that are not.

use crate::support::{HANGS, Node, Raw, anywhere, me, plain};
use cluster::blocks::{Blocks, Finding, Payload, ReadAt};
use cluster::codec::PIECE;
use cluster::frame::Flags;
use cluster::limits::PART;
use cluster::role::Role;
use cluster::{Came, Holder, PullError};
use std::future::ready;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::Duration;

/// Blocks that follow from their keys, each kind an array: "i3-1000" has 1000 bytes of small integers, "n3-1000" of
/// noise, "z3-1000" is zero. Those of "I…" are read in parts, and nobody can say of which array those of "p…" are.
struct Arrays;

fn noise(seed: u64) -> u64 {
    let z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z ^ (z >> 31)
}

fn block(key: &str) -> Vec<u8> {
    let (number, len) = key[1..].split_once('-').unwrap();
    let (number, len): (u64, usize) = (number.parse().unwrap(), len.parse().unwrap());
    let element = |at: u64| match &key[..1] {
        "i" | "I" => ((noise(at ^ number << 40) % 256) as f64).to_bits(),
        "n" => noise(at ^ number << 40),
        _ => 0,
    };
    (0..len as u64).map(|at| element(at / 8).to_le_bytes()[at as usize % 8]).collect()
}

struct Parts(Vec<u8>);

impl ReadAt for Parts {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
        Ok(())
    }
}

impl Blocks for Arrays {
    fn find(&self, key: Vec<u8>) -> Finding {
        let bytes = block(std::str::from_utf8(&key).unwrap());
        Box::pin(ready(Ok(match key[0] {
            b'I' => Payload::Stored { len: bytes.len() as u64, source: Box::new(Parts(bytes)) },
            _ => Payload::Memory(Box::new(bytes)),
        })))
    }

    fn array(&self, key: &[u8]) -> Option<u64> {
        assert!(key[0] != b'p', "an array that is none");
        Some(u64::from(key[0]))
    }
}

fn holding() -> (Node, Holder) {
    let node = Node::with(plain(Role::Worker, "w"), Arc::new(Arrays));
    let address = node.endpoint.listen(anywhere()).unwrap();
    let holder = Holder { address, role: Role::Worker, life: node.config.me.life };
    (node, holder)
}

fn pull(node: &Node, holder: Holder, key: &str) -> (Vec<u8>, Result<Came, PullError>) {
    let (tell, told) = channel();
    node.endpoint.pull(holder, key.as_bytes(), vec![0; block(key).len()], move |buffer, result| {
        tell.send((buffer, result)).unwrap();
    });
    told.recv_timeout(HANGS).expect("told once")
}

/// The frames in which a block comes over a link on which a byte takes so many picoseconds, as is said.
fn frames_of(raw: &mut Raw<TcpStream>, key: &str, pace: u32) -> Vec<(Flags, usize)> {
    let len = block(key).len() as u64;
    raw.frame(&[&[7, 0, 0, 0][..], &len.to_le_bytes(), &pace.to_le_bytes(), key.as_bytes()].concat());
    let mut frames = Vec::new();
    loop {
        let (header, message, payload) = raw.read_frame().expect("a part");
        if message.is_empty() {
            continue;
        }
        frames.push((header.flags, payload.len()));
        if message[4] == 1 {
            return frames;
        }
    }
}

#[test]
fn who_wants_a_block_says_how_slow_the_link_is_and_the_block_itself_how_small_it_gets() {
    let (_node, holder) = holding();
    let mut raw = Raw::welcomed(holder.address, &me(Role::Worker, "raw"), "blocks");
    let len = 3 * PART + 4096;
    let microsecond = 1_000_000;
    for kind in ["i", "I", "z"] {
        let frames = frames_of(&mut raw, &format!("{kind}1-{len}"), microsecond);
        assert_eq!(frames.len(), len.div_ceil(PIECE));
        assert!(frames.iter().all(|(flags, bytes)| flags.contains(Flags::ZSTD) && *bytes < PIECE / 4));
    }
    for (key, pace) in [("n1", microsecond), ("i2", 0), ("i3", 1000), ("z2", 0)] {
        let frames = frames_of(&mut raw, &format!("{key}-{len}"), pace);
        assert!(frames.iter().all(|(flags, _)| *flags == Flags::NONE), "{key} {pace}");
        assert_eq!(frames.iter().map(|(_, bytes)| bytes).sum::<usize>(), len);
    }
}

/// Passes bytes on, those for whoever connects at so many a second.
fn slow_link(to: SocketAddr, bytes_per_second: f64) -> SocketAddr {
    let listener = TcpListener::bind(anywhere()).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let mut near = near.unwrap();
            let mut far = TcpStream::connect(to).unwrap();
            let (mut asks, mut asked) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || io::copy(&mut asks, &mut asked));
            std::thread::spawn(move || {
                let mut bytes = vec![0; 32 << 10];
                while let Ok(read @ 1..) = far.read(&mut bytes) {
                    sleep(Duration::from_secs_f64(read as f64 / bytes_per_second));
                    if near.write_all(&bytes[..read]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn on_a_slow_link_what_shrinks_goes_compressed_and_noise_as_it_is() {
    let (_holding, holder) = holding();
    let link = Holder { address: slow_link(holder.address, 2e6), ..holder };
    let node = Node::new(plain(Role::Worker, "n"));
    let len = 2 * PIECE;
    let went = |key: &str| {
        let (bytes, result) = pull(&node, link, key);
        assert!(bytes == block(key), "{key}");
        result.expect("it came").wire_bytes as usize
    };
    for number in 0..2 {
        assert_eq!(went(&format!("i{number}-{len}")), len, "nothing is known of the link before");
    }
    for number in 2..5 {
        for (key, most) in [("i", len / 2), ("I", len / 2), ("z", len / 100)] {
            let bytes = went(&format!("{key}{number}-{len}"));
            assert!(bytes < most, "{key}: {bytes} of {len}");
        }
        assert_eq!(went(&format!("n{number}-{len}")), len);
        assert_eq!(went(&format!("i{number}-5")), 5);
    }
}

#[test]
fn a_block_alone_comes_whole_however_long_a_part_of_it_takes() {
    let (_holding, holder) = holding();
    let link = Holder { address: slow_link(holder.address, 4e6), ..holder };
    let mut config = plain(Role::Worker, "n");
    config.limits.idle_after = Duration::ZERO;
    let node = Node::new(config);
    let key = format!("n1-{}", 2 * PART);
    let (bytes, result) = pull(&node, link, &key);
    assert_eq!(result.expect("it came").wire_bytes as usize, bytes.len());
    assert!(bytes == block(&key));
}

#[test]
fn a_panic_while_a_block_is_given_costs_that_block_only() {
    let (_holding, holder) = holding();
    let node = Node::new(plain(Role::Worker, "n"));
    let (_, result) = pull(&node, holder, "p1-1000");
    assert!(matches!(result, Err(PullError::Refused(reason)) if reason.contains("panic")));
    let (bytes, result) = pull(&node, holder, "i1-1000");
    assert!(result.is_ok() && bytes == block("i1-1000"));
}
