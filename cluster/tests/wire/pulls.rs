//! Blocks that are pulled from friends.

use crate::support::{HANGS, Keyring, Node, Raw, anywhere, claim, me, plain};
use cluster::blocks::{Blocks, Finding, Payload, ReadAt};
use cluster::limits::{LONGEST_KEY, PART, PULLS_IN_FLIGHT, STORED_AT_ONCE};
use cluster::role::Role;
use cluster::{Holder, PullError};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Blocks that follow from their keys: "m3-1000" is block 3 in memory, with 1000 bytes; "s3-1000" the same, read in
/// parts; "f…" fails on the way, "p…" panics.
pub struct Made;

fn byte(block: u64, at: u64) -> u8 {
    (block.wrapping_mul(31) ^ at ^ (at >> 8) ^ (at >> 16)) as u8
}

pub fn block(key: &str) -> Vec<u8> {
    let (number, len) = key[1..].split_once('-').unwrap();
    let number = number.parse().unwrap();
    (0..len.parse().unwrap()).map(|at| byte(number, at)).collect()
}

struct Parts {
    number: u64,
    fails_at: u64,
}

impl ReadAt for Parts {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        for (at, out) in (offset..).zip(bytes) {
            if at == self.fails_at {
                return Err(io::Error::other("the disk is gone"));
            }
            *out = byte(self.number, at);
        }
        Ok(())
    }
}

impl Blocks for Made {
    fn find(&self, key: Vec<u8>) -> Finding {
        Box::pin(async move { made(&key) })
    }
}

fn made(key: &[u8]) -> Result<Payload, String> {
    let key = std::str::from_utf8(key).map_err(|error| error.to_string())?;
    let (number, len) = key.get(1..).and_then(|rest| rest.split_once('-')).ok_or("no\nsuch block")?;
    let number = number.parse().map_err(|_| "no such block")?;
    let len = len.parse().map_err(|_| "no such block")?;
    let stored = |fails_at| Ok(Payload::Stored { len, source: Box::new(Parts { number, fails_at }) });
    match &key[..1] {
        "m" => Ok(Payload::Memory(Box::new(block(key)))),
        "s" => stored(u64::MAX),
        "f" => stored(len / 2),
        "p" => panic!("no block of this kind"),
        _ => Err("no such block".into()),
    }
}

/// Blocks whose key begins with "w" are on their way until the gate is opened. The others are those of [`Made`].
struct OnTheirWay {
    asked: Sender<()>,
    gate: Arc<Semaphore>,
}

impl Blocks for OnTheirWay {
    fn find(&self, mut key: Vec<u8>) -> Finding {
        if key[0] != b'w' {
            return Made.find(key);
        }
        self.asked.send(()).unwrap();
        let gate = self.gate.clone();
        Box::pin(async move {
            assert!(gate.acquire().await.is_err(), "it is opened by closing it");
            key[0] = b'm';
            made(&key)
        })
    }
}

pub fn pull(node: &Node, holder: Holder, key: &str, len: usize) -> Result<Vec<u8>, PullError> {
    let (tell, told) = channel();
    node.endpoint.pull(holder, key.as_bytes(), vec![0; len], move |buffer, result| {
        tell.send(result.map(|_| buffer)).unwrap();
    });
    told.recv_timeout(HANGS).expect("told once")
}

fn holding(config: cluster::endpoint::Config) -> (Node, Holder) {
    holding_these(config, Arc::new(Made))
}

fn holding_these(config: cluster::endpoint::Config, blocks: Arc<dyn Blocks>) -> (Node, Holder) {
    let node = Node::with(config, blocks);
    let address = node.endpoint.listen(anywhere()).unwrap();
    let holder = Holder { address, role: node.config.me.role, life: node.config.me.life };
    (node, holder)
}

#[test]
fn blocks_of_all_lengths_from_memory_and_from_files_come_whole() {
    let ring = Keyring::new();
    let (_worker, holder) = holding(ring.config(Role::Worker, "w"));
    let (_client, at_client) = holding(ring.config(Role::Client, "c"));
    let node = Node::new(ring.config(Role::Worker, "n"));
    for len in [0, 1, 7, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 5] {
        for kind in ["m", "s"] {
            let key = format!("{kind}{len}-{len}");
            for holder in [holder, at_client] {
                assert!(pull(&node, holder, &key, len) == Ok(block(&key)), "{key}");
            }
        }
    }
}

#[test]
fn many_are_under_way_at_once_and_each_gets_its_own() {
    let ring = Keyring::new();
    let (_worker, holder) = holding(ring.config(Role::Worker, "w"));
    let node = Node::new(ring.config(Role::Worker, "n"));
    let (tell, told) = channel();
    let keys: Vec<String> = (0..100).map(|n| format!("{}{n}-{}", ["m", "s"][n % 2], n * 10_007)).collect();
    for key in keys.clone() {
        let tell = tell.clone();
        node.endpoint.pull(
            holder,
            key.clone().as_bytes(),
            vec![0; block(&key).len()],
            move |buffer, result| {
                tell.send((key, buffer, result)).unwrap();
            },
        );
    }
    for _ in &keys {
        let (key, buffer, result) = told.recv().unwrap();
        assert!(result.is_ok(), "{key}: {result:?}");
        assert!(buffer == block(&key), "{key}");
    }
}

/// They used to hold a thread each, of which there were twice as many as blocks are read from files at once.
#[test]
fn blocks_on_their_way_keep_nobody_from_those_that_are_there() {
    let (asked, was_asked) = channel();
    let gate = Arc::new(Semaphore::new(0));
    let blocks = Arc::new(OnTheirWay { asked, gate: gate.clone() });
    let (_worker, holder) = holding_these(plain(Role::Worker, "w"), blocks);
    let (tell, told) = channel();
    let receivers = 2 * STORED_AT_ONCE / PULLS_IN_FLIGHT + 1;
    let nodes: Vec<Node> = (0..receivers).map(|n| Node::new(plain(Role::Worker, &format!("n{n}")))).collect();
    let mut waiting = 0;
    for node in &nodes {
        for n in 0..PULLS_IN_FLIGHT {
            let (key, tell) = (format!("w{n}-100"), tell.clone());
            node.endpoint.pull(holder, key.clone().as_bytes(), vec![0; 100], move |buffer, result| {
                tell.send((key, buffer, result)).unwrap();
            });
            waiting += 1;
        }
    }
    (0..waiting).for_each(|_| was_asked.recv_timeout(HANGS).expect("all are looked for at once"));
    // Over a connection of their own, and over one on which many others are waited for.
    for node in [&Node::new(plain(Role::Worker, "n")), &nodes[0]] {
        for kind in ["m", "s"] {
            let key = format!("{kind}1-{}", 3 * PART);
            assert!(pull(node, holder, &key, 3 * PART) == Ok(block(&key)), "{key}");
        }
    }
    assert!(told.try_recv().is_err(), "nothing has come before it was there");
    let opened = Instant::now();
    gate.close();
    for _ in 0..waiting {
        let (key, buffer, result) = told.recv().unwrap();
        assert_eq!(buffer, block(&key), "{key}");
        let since = result.expect("it came").since;
        assert!(since.is_some_and(|since| since >= opened), "it counts from when it was there");
    }
}

#[test]
fn one_that_does_not_come_to_its_holder_is_refused_in_the_end() {
    let (asked, _was_asked) = channel();
    let blocks = Arc::new(OnTheirWay { asked, gate: Arc::new(Semaphore::new(0)) });
    let mut config = plain(Role::Worker, "w");
    config.limits.longest_wait = Duration::from_secs(1);
    let (_worker, holder) = holding_these(config, blocks);
    let node = Node::new(plain(Role::Worker, "n"));
    let refusal = PullError::Refused("it has not come here for 1 s".into());
    assert_eq!(pull(&node, holder, "w1-100", 100), Err(refusal));
    assert_eq!(pull(&node, holder, "m1-100", 100), Ok(block("m1-100")));
}

#[test]
fn one_that_cannot_be_had_leaves_the_others_alone() {
    let (_worker, holder) = holding(plain(Role::Worker, "w"));
    let node = Node::new(plain(Role::Worker, "n"));
    let refused = |key: &str, len| match pull(&node, holder, key, len) {
        Err(PullError::Refused(reason)) => reason,
        other => panic!("{key}: {other:?}"),
    };
    for n in 0..40 {
        assert_eq!(refused("?", 10), "no such block");
        assert_eq!(refused("m", 10), "no such block", "one line");
        let reason = refused(&format!("m{n}-100"), 101);
        assert_eq!(reason, "it has 100 bytes, not the 101 that were asked for");
        assert_eq!(refused(&format!("f{n}-{}", 4 * PART), 4 * PART), "the disk is gone");
        assert!(refused("p1-1", 1).contains("panic"));
        let key = format!("s{n}-1000");
        assert_eq!(pull(&node, holder, &key, 1000), Ok(block(&key)));
    }
    let long = "x".repeat(257);
    assert_eq!(pull(&node, holder, &long, 1), Err(PullError::KeyTooLong(257)));
}

#[test]
fn a_holder_that_is_gone_or_another_process_is_told() {
    let (worker, holder) = holding(plain(Role::Worker, "w"));
    let node = Node::new(plain(Role::Worker, "n"));
    let other = Holder { life: cluster::life::Life::random(), ..holder };
    match pull(&node, other, "m1-1", 1) {
        Err(PullError::Unreachable(why)) => assert!(why.contains("an earlier process"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(pull(&node, holder, "m1-1", 1).is_ok());
    drop(worker);
    assert!(pull(&node, holder, "m1-1", 1).is_err());
    // By then the connection is known to be broken, and a new one is tried.
    let why = pull(&node, holder, "m1-1", 1);
    assert!(matches!(why, Err(PullError::Unreachable(_) | PullError::Lost(_))), "{why:?}");
}

#[test]
fn a_key_of_the_longest_length_goes_to_its_holder_and_a_longer_one_nowhere() {
    let (_worker, holder) = holding(plain(Role::Worker, "w"));
    let node = Node::new(plain(Role::Worker, "n"));
    let asked = |len: usize| pull(&node, holder, &"x".repeat(len), 1);
    assert!(matches!(asked(LONGEST_KEY), Err(PullError::Refused(_))));
    assert_eq!(asked(LONGEST_KEY + 1), Err(PullError::KeyTooLong(LONGEST_KEY + 1)));
}

#[test]
fn whoever_is_told_of_a_block_may_drop_the_endpoint() {
    let (_worker, holder) = holding(plain(Role::Worker, "w"));
    let Node { endpoint, events: _events, .. } = Node::new(plain(Role::Worker, "n"));
    let endpoint = Arc::new(endpoint);
    let last = endpoint.clone();
    let (others_are_gone, gate) = channel();
    let (tell, told) = channel();
    endpoint.pull(holder, b"m1-1", vec![0; 1], move |_, result| {
        let is_last = gate.recv().is_ok();
        drop(last);
        tell.send(result.is_ok() && is_last).unwrap();
    });
    drop(endpoint);
    others_are_gone.send(()).unwrap();
    assert!(told.recv_timeout(HANGS).expect("a thread of the network drops it without a panic"));
}

#[test]
fn a_connection_that_nobody_uses_is_closed_and_opened_again() {
    let (_worker, holder) = holding(plain(Role::Worker, "w"));
    let mut config = plain(Role::Worker, "n");
    config.limits.idle_after = std::time::Duration::ZERO;
    let node = Node::new(config);
    for n in 0..50 {
        let key = format!("m{n}-1000");
        assert!(pull(&node, holder, &key, 1000) == Ok(block(&key)), "{key}");
    }
}

#[test]
fn requests_that_are_none_end_the_connection_and_nothing_else() {
    let mut config = plain(Role::Worker, "w");
    // No silence ends a connection here.
    config.limits.lost_after = std::time::Duration::from_secs(3600);
    let (_worker, holder) = holding(config);
    let node = Node::new(plain(Role::Worker, "n"));
    let long = [0; 16 + 257];
    let cases = [
        [&claim(5, 0)[..], &[0; 5]].concat(),
        claim(0, 1 << 63).to_vec(),
        claim(20, 1 << 40).to_vec(),
        claim(64 << 20, 0).to_vec(),
        [&claim(long.len() as u32, 0)[..], &long].concat(),
        vec![9; 40],
    ];
    for bytes in cases {
        let mut raw = Raw::welcomed(holder.address, &me(Role::Worker, "raw"), "blocks");
        raw.bytes(&bytes);
        raw.until_closed();
        assert!(pull(&node, holder, "m1-1", 1).is_ok());
    }
}

#[test]
fn those_who_ask_for_much_and_take_nothing_keep_it_from_nobody_else() {
    let mut config = plain(Role::Worker, "w");
    config.limits.lost_after = std::time::Duration::from_secs(3600);
    let (_worker, holder) = holding(config);
    let node = Node::new(plain(Role::Worker, "n"));
    let len = 64 * PART;
    let greedy: Vec<_> = (0..3)
        .map(|_| {
            let mut raw = Raw::welcomed(holder.address, &me(Role::Worker, "raw"), "blocks");
            for n in 0..16u32 {
                let key = format!("s1-{len}");
                let head = [&n.to_le_bytes()[..], &(len as u64).to_le_bytes(), &[0; 4]].concat();
                raw.frame(&[&head, key.as_bytes()].concat());
            }
            // Something of it has come: it is being sent.
            raw.read_frame().unwrap();
            raw
        })
        .collect();
    for kind in ["m", "s"] {
        let key = format!("{kind}1-{}", 3 * PART);
        assert!(pull(&node, holder, &key, 3 * PART) == Ok(block(&key)), "{key}");
    }
    drop(greedy);
}
