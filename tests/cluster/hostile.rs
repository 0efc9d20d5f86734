//! Peers that have a key and say what they should not. The run beside them goes on.

use crate::peer::{Peer, enlist, null_stages, seat, spec};
use crate::processes::{Cluster, ended, result};
use cluster::role::Role;
use dolmen::failure::Failure;
use dolmen::graph::{Order, ProgramBuilder};
use dolmen::ids::{RunId, StageId, TaskId, TaskList, WorkerId};
use dolmen::protocol::{
    Figures, FileReport, FromWorker, FromWorkerProcess, NotShared, Seats, ToWorkerProcess, decode, encode,
};
use dolmen::sched::{Pull, Seat, Threads, Timing};

#[test]
fn who_breaks_the_protocol_is_turned_away_and_told_of_once() {
    let cluster = Cluster::with_options("");
    let peer = Peer::of(&cluster, Role::Worker, "garbage");
    peer.send(vec![0xFF; 100]);
    peer.is_turned_away();
    let peer = Peer::of(&cluster, Role::Worker, "hasty");
    peer.say(&FromWorkerProcess::Drain);
    peer.is_turned_away();
    let peer = Peer::of(&cluster, Role::Client, "chatter");
    peer.send(vec![7; 3]);
    peer.is_turned_away();
    let absurd = |compute, budget| Seat { threads: Threads { compute, io: 4 }, budget, may_spill: true };
    for (number, seat) in [absurd(u64::MAX, 1 << 30), absurd(1, u64::MAX)].into_iter().enumerate() {
        let peer = Peer::of(&cluster, Role::Worker, &format!("giant{number}"));
        peer.say(&enlist(seat));
        peer.is_turned_away();
    }
    let peer = Peer::of(&cluster, Role::Worker, "twin");
    let seats = Seats { large: seat(), small: Some(absurd(u64::MAX, 1)) };
    peer.say(&FromWorkerProcess::Enlist { seats, depot: ([127, 0, 0, 1], 9).into(), offers: Vec::new() });
    peer.is_turned_away();
    for name in ["garbage", "hasty", "chatter", "giant0", "giant1", "twin"] {
        assert_eq!(cluster.log().matches(&format!("{name} at ")).count(), 1, "{}", cluster.log());
    }
}

/// What a worker may make up: tasks that it was not given or that do not exist, figures before the end, odd times.
fn lies(run: RunId, last: StageId) -> Vec<FromWorkerProcess> {
    let no_such = TaskId::new(StageId(4_000_000), 7);
    let all: TaskList = (0..5000).map(|index| TaskId::new(StageId(0), index)).collect();
    let timing = |seconds| Timing { stage: StageId(0), tasks: 3, seconds };
    let timings = [f64::NAN, f64::INFINITY, -1.0].map(timing).to_vec();
    let block = TaskId::new(last, 0);
    let pull = |from| Pull { from: WorkerId(from), blocks: 0, bytes: u64::MAX, seconds: f64::NAN };
    let failure = || Failure::of_run("made up");
    let messages = vec![
        FromWorker::Finished { run, tasks: all.clone(), timings: timings.clone() },
        FromWorker::Finished { run, tasks: [no_such].into_iter().collect(), timings },
        FromWorker::Returned { run, tasks: all },
        FromWorker::Copied { run, block: no_such },
        FromWorker::CopyFailed { run, block },
        FromWorker::Spilled { run, block: no_such },
        FromWorker::Vanished { run, block },
        FromWorker::Failed { run, task: block, failure: failure() },
        FromWorker::MoveFailed { run, block, failure: failure() },
        FromWorker::Pulled { run, pulls: (0..5000).map(pull).collect() },
    ];
    vec![
        FromWorkerProcess::Tell { messages },
        FromWorkerProcess::Files {
            run,
            report: FileReport { bytes: u64::MAX, waited: f64::NAN, io_tasks: 0 },
        },
        FromWorkerProcess::Files { run, report: FileReport { io_tasks: u64::MAX, ..FileReport::default() } },
        FromWorkerProcess::Files { run: RunId(99), report: FileReport::default() },
        FromWorkerProcess::Concluded { run, figures: Ok(Figures::default()) },
        FromWorkerProcess::Concluded { run: RunId(99), figures: Ok(Figures::default()) },
        FromWorkerProcess::CannotBegin {
            run: RunId(99),
            failure: failure(),
            not_shared: NotShared::default(),
        },
    ]
}

#[test]
fn a_worker_that_makes_things_up_changes_nothing() {
    let mut cluster = Cluster::new(2, "--threads 1 --memory 200MiB");
    cluster.folder.ok("generate normal --shape 1000x1000 --seed 1 --out a.npy");
    cluster.folder.ok("matmul a.npy a.npy --block 64 --out here.npy --quiet");
    let liar = Peer::enlisted(&cluster, "liar", seat());
    let mut run = cluster.folder.command("matmul a.npy a.npy --block 64 --out there.npy --scheduler-file cluster.json --wait-workers 3 --quiet");
    let mut run = run.spawn().unwrap();
    let Some(ToWorkerProcess::Begin { run: id, spec, .. }) = liar.hear() else { panic!("it does not begin") };
    let last = StageId(spec.stages.len() as u32 - 1);
    // It works on nothing that it is given, and is lost in the end: what it was given is done by others.
    lies(id, last).iter().for_each(|lie| liar.say(lie));
    // Its messages are heard in order: when this one ends its connection, all others have been.
    liar.say(&enlist(seat()));
    cluster.wait_for("it enlists a second time");
    assert_eq!(ended(&mut run), Some(0), "{}", cluster.log());
    assert!(result(&cluster.folder, "here") == result(&cluster.folder, "there"));
    assert_eq!(cluster.stop().0, Some(0));
}

#[test]
fn a_program_that_is_none_is_refused_and_the_next_one_is_done() {
    let mut cluster = Cluster::new(1, "--threads 1 --memory 200MiB");
    let client = Peer::of(&cluster, Role::Client, "confused");
    let mut builder = ProgramBuilder::default();
    builder.null_tree(100);
    let mut stages = builder.finish().stages().to_vec();
    stages[0].reads = stages.last().unwrap().reads.clone();
    cluster.wait_for("n0 joins");
    client.submit(1, spec(stages));
    client.hears_that_it_is_no_program();
    cluster.ok("generate normal --shape 100x100 --out a.npy");
    assert_eq!(cluster.stop(), (Some(0), vec![Some(0)]));
}

/// How much there is to do is asked of what waits, too.
#[test]
fn a_program_that_is_none_disturbs_no_autoscaler() {
    let options = "--provider local --max-workers 1 --worker-threads 1 --worker-memory 100MiB";
    let mut cluster = Cluster::with_options(options);
    let client = Peer::of(&cluster, Role::Client, "confused");
    let mut stages = null_stages(1);
    // More tasks than can be counted.
    let (rows, cols, steps) = (1_u32 << 20, 1_u32 << 20, 1_u32);
    stages[0].space = decode(&encode(&(rows, cols, steps, Order::Rows)).unwrap()).unwrap();
    client.submit(1, spec(stages));
    client.hears_that_it_is_no_program();
    cluster.ask("generate normal --shape 10x10 --out a.npy");
    assert_eq!(cluster.stop().0, Some(0), "{}", cluster.log());
}

#[test]
fn who_takes_no_part_in_a_run_cannot_end_it() {
    let cluster = Cluster::with_options("");
    let _idle = Peer::enlisted(&cluster, "idle", seat());
    let tiny = Peer::enlisted(&cluster, "tiny", Seat { budget: 1, ..seat() });
    let client = Peer::of(&cluster, Role::Client, "c");
    client.ask_for_ones(1);
    cluster.wait_for("worker tiny has too little memory for run 0");
    let failure = Failure::of_run("made up");
    tiny.say(&FromWorkerProcess::CannotBegin { run: RunId(0), failure, not_shared: NotShared::default() });
    tiny.say(&enlist(seat()));
    cluster.wait_for("it enlists a second time");
    assert!(cluster.ask("status").stdout.contains("run of c: runs"), "{}", cluster.log());
}
