//! The bound on memory holds for each process of a cluster: workers in memory cgroups that kill what takes more.
//! `DOLMEN_BOUND=large` is with gigabytes: minutes, and 8 GB of disk (`make bench-cluster`).

use crate::memory_group::MemoryGroup;
use crate::processes::{Cluster, result, until};
use dolmen::array::{Array, BlockSize, Element};
use dolmen::session::{Error, Session, Stats};
use ndarray::Array2;
use std::time::Instant;

const MIB: u64 = 1 << 20;
const WORKERS: usize = 4;
/// What a process may take beside its budget: code, stacks, sockets, the page cache of what it reads.
const BESIDE: u64 = 200 * MIB;

/// How large matrices are, and how little memory there is for them.
struct Scale {
    /// Of each worker.
    memory: u64,
    tall: (u64, u64),
    square: u64,
    /// A product of this shape and with so many columns between is used twice.
    dear: (u64, u64),
    /// More words for commands, and the same for sessions.
    block: &'static str,
    blocks: BlockSize,
}

const SMALL: Scale = Scale {
    memory: 12 * MIB,
    tall: (8000, 400),
    square: 1200,
    dear: (3200, 200),
    block: "--block 200",
    blocks: BlockSize::Square(400),
};

/// The matrix that is read has 3.2 GB, the dear one 2 GB.
const LARGE: Scale = Scale {
    memory: 300 * MIB,
    tall: (100_000, 4000),
    square: 8192,
    dear: (16_000, 1000),
    block: "",
    blocks: BlockSize::Auto,
};

/// Four workers in groups of their own, which outlive them.
struct Bounded {
    cluster: Cluster,
    groups: Vec<MemoryGroup>,
    memory: u64,
}

impl Bounded {
    /// None where cgroups cannot be made, which is said.
    fn new(memory: u64) -> Option<Bounded> {
        let group = |number| MemoryGroup::create(&format!("{memory}-{number}"), memory + BESIDE);
        let groups: Result<Vec<MemoryGroup>, String> = (0..WORKERS).map(group).collect();
        let groups = match groups {
            Ok(groups) => groups,
            Err(reason) => {
                eprintln!("SKIPPED: the bound on the memory of each worker (needs memory cgroups: {reason})");
                return None;
            }
        };
        let mut cluster = Cluster::with_options("");
        for (number, group) in groups.iter().enumerate() {
            let options = format!("--threads 1 --memory {}MiB --spill-dir .", memory / MIB);
            cluster.add_through(&group.through(), &format!("n{number}"), &options);
        }
        until(|| cluster.log().matches(" joins").count() == WORKERS, || cluster.log());
        Some(Bounded { cluster, groups, memory })
    }

    /// No worker was killed, none has taken more than it may, and all are there.
    fn check(&self, what: &str, peak: u64, bound: u64) {
        assert!(peak <= bound && bound <= self.memory, "{what}: a peak of {peak}, a bound of {bound}");
        let kills: Vec<u64> = self.groups.iter().map(MemoryGroup::kills).collect();
        assert_eq!(kills, [0; WORKERS], "{what}: workers were killed\n{}", self.cluster.log());
        assert!(!self.cluster.log().contains("is lost"), "{what}\n{}", self.cluster.log());
    }

    /// A command here and there: the same bytes. `OUT` in it stands for the name of the result.
    fn run(&self, words: &str) {
        self.cluster.folder.ok(&format!("{} --quiet", words.replace("OUT", "here")));
        let began = Instant::now();
        self.cluster.ok(&format!("{} --quiet --report report.json", words.replace("OUT", "there")));
        let seconds = began.elapsed().as_secs_f64();
        let folder = &self.cluster.folder;
        assert!(result(folder, "here") == result(folder, "there"), "{words}: other bits");
        let report = std::fs::read(folder.path("report.json")).expect("a report");
        let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
        let figure = |name: &str| report[name].as_u64().expect("a number");
        let (peak, bound) = (figure("peak_memory_bytes"), figure("memory_bound_bytes"));
        println!("{words}: {seconds:.1} s, peak {peak} of {bound}, {} spilled", figure("bytes_spilled"));
        self.check(words, peak, bound);
    }
}

/// A matrix that is dear to make, and that is wanted again when all of it has been used once.
fn twice((size, between): (u64, u64), session: &Session) -> Result<(Array2<f64>, Stats), Error> {
    let normal = |rows, cols, seed| Array::normal(rows, cols, seed, Element::F64);
    let dear = normal(size, between, 1).dot(&normal(between, size, 2));
    let once = dear.t().dot(&normal(size, 10, 3));
    let values = session.compute(&dear.dot(&once))?;
    Ok((values, session.stats()))
}

fn each_worker_keeps_to_its_bound(scale: &Scale) {
    let Some(bounded) = Bounded::new(scale.memory) else { return };
    let folder = &bounded.cluster.folder;
    let Scale { tall: (rows, cols), square, block, .. } = scale;
    folder.ok(&format!("generate normal --shape {rows}x{cols} --seed 1 --out tall.npy"));
    bounded.run(&format!("rsvd tall.npy --rank 20 --out OUT {block}"));
    std::fs::remove_file(folder.path("tall.npy")).expect("a file");
    folder.ok(&format!("generate normal --shape {square}x{square} --seed 2 --out a.npy"));
    bounded.run(&format!("matmul a.npy a.npy --out OUT.npy {block}"));
    let here = Session::builder().threads(1).block(scale.blocks).build().expect("a session");
    let there = Session::builder()
        .connect(folder.path("cluster.json"))
        .block(scale.blocks)
        .build()
        .expect("a session");
    let (expected, _) = twice(scale.dear, &here).expect("a result");
    let (values, stats) = twice(scale.dear, &there).expect("a result");
    assert!(values == expected, "other bits");
    let spilled = stats.spilled.raw_bytes;
    println!(
        "twice: {:.1} s, peak {} of {}, {spilled} spilled",
        stats.seconds, stats.peak_memory, stats.memory_bound
    );
    bounded.check("a dear matrix, twice", stats.peak_memory, stats.memory_bound);
    assert!(spilled > 0, "it fits their memory");
}

#[test]
fn each_worker_in_a_cgroup_keeps_to_its_bound() {
    let is_large = std::env::var("DOLMEN_BOUND").is_ok_and(|scale| scale == "large");
    each_worker_keeps_to_its_bound(if is_large { &LARGE } else { &SMALL });
}
