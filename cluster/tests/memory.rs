//! What peers cost in memory: bytes are counted as they are allocated, so this program has one test.

mod support;

use cluster::limits::Limits;
use cluster::role::Role;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::VecDeque;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Keyring, Node, Raw, claim, me, plain};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn count(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: all calls go to the system's allocator as they come.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are those that are asked for here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are those that are asked for here.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those that are asked for here.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were allocated at once while this ran, beyond those before it.
fn peak(run: impl FnOnce()) -> usize {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    run();
    PEAK.load(Ordering::Relaxed) - before
}

#[test]
fn peers_cost_what_they_send_and_not_what_they_claim() {
    silent_strangers();
    claims_of_strangers();
    claims_of_friends();
}

fn silent_strangers() {
    let mut config = Keyring::new().config(Role::Scheduler, "s");
    config.limits = Limits { unauthenticated: 16, handshake: Duration::from_secs(3600), ..config.limits };
    let (_scheduler, address) = Node::listening(config);
    // This program keeps some hundred open, which it may without asking the system for more.
    let most = peak(|| {
        let mut silent = VecDeque::new();
        for _ in 0..10_000 {
            silent.push_back(Raw::connect(address));
            if silent.len() > 400 {
                silent.pop_front().unwrap().until_closed();
            }
        }
    });
    assert!(most < 1 << 20, "10 000 silent connections, 16 allowed, cost {most} bytes");
}

fn claims_of_strangers() {
    let (_scheduler, address) = Node::listening(plain(Role::Scheduler, "s"));
    let most = peak(|| {
        for header in [claim(64 << 20, 0), claim(10, 1 << 63), claim(u32::MAX, u64::MAX)] {
            let mut raw = Raw::connect(address);
            raw.bytes(&header);
            raw.until_closed();
        }
    });
    assert!(most < 1 << 20, "claims of strangers cost {most} bytes");
}

fn claims_of_friends() {
    const PEERS: usize = 32;
    let mut config = plain(Role::Scheduler, "s");
    config.limits.lost_after = Duration::from_secs(3600);
    config.limits.inbox_bytes = 64 << 20;
    let (scheduler, address) = Node::listening(config);
    let most = peak(|| {
        let peers: Vec<_> = (0..PEERS)
            .map(|n| {
                let mut raw = Raw::welcomed(address, &me(Role::Worker, &format!("n{n}")), "control");
                raw.bytes(&claim(64 << 20, 0));
                raw.bytes(b"and nothing more");
                raw
            })
            .collect();
        // What they said is read before it is seen that they say no more.
        for raw in &peers {
            raw.0.shutdown(Shutdown::Write).unwrap();
        }
        let mut lost = 0;
        while lost < PEERS {
            lost += usize::from(matches!(scheduler.event(), cluster::peer::Event::Lost { .. }));
        }
    });
    assert!(
        most < PEERS * (256 << 10),
        "{PEERS} messages that were announced and never sent cost {most} bytes"
    );
}
