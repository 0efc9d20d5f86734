//! A task that ends the process in which it is done.

use crate::processes::{Cluster, until};
use dolmen::exec::Functions;
use dolmen::graph::{Delayed, Graph};
use dolmen::session::cluster::{WorkerOptions, run_worker};
use dolmen::session::{SchedulerAt, Session};
use std::process::Command;
use std::time::Duration;

/// Says to this program that it is a worker, and of which cluster.
const FILE: &str = "DOLMEN_TEST_WORKER_OF";

fn register(functions: &mut Functions) {
    functions.register("one", |_: u64| 1_u64);
    functions.register("add", |a: u64, b: u64| a + b);
    functions.register("abort", |_: u64| -> u64 { std::process::abort() });
}

/// The process of a worker that has these functions. As a test it does nothing.
#[test]
fn worker_with_functions() {
    let Ok(file) = std::env::var(FILE) else { return };
    let mut functions = Functions::default();
    register(&mut functions);
    let options = WorkerOptions {
        scheduler: SchedulerAt::File(file.into()),
        name: format!("n{}", std::process::id()),
        threads: 2,
        memory: Some(64 << 20),
        spill_folder: None,
        spill_limit: Some(0),
        interface: None,
        patience: Duration::from_secs(60),
        functions,
    };
    run_worker(options, |_| {}).expect("it is told to leave");
}

fn add_worker(cluster: &mut Cluster, name: &str) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "killer::worker_with_functions", "--nocapture"]);
    command.env(FILE, cluster.folder.path("cluster.json"));
    cluster.add_command(name, command);
}

/// Calls among which one aborts or none, and their sum.
fn sum(session: &Session, aborts: Option<u64>) -> Result<u64, String> {
    let mut graph = Graph::new();
    let mut sum: Option<Delayed> = None;
    for call in 0..40_u64 {
        let name = if aborts == Some(call) { "abort" } else { "one" };
        let term = graph.call(name, [Graph::value(&call).unwrap()]);
        sum = Some(match sum {
            Some(sum) => graph.call("add", [term.into(), sum.into()]),
            None => term,
        });
    }
    session.run_graph(&graph, sum.expect("a sum")).map_err(|error| error.to_string())
}

#[test]
fn a_task_that_kills_three_workers_ends_its_run_and_leaves_the_others() {
    let mut cluster = Cluster::with_options("");
    let names = ["a", "b", "c", "d"];
    names.iter().for_each(|name| add_worker(&mut cluster, name));
    cluster.wait_until_it_listens();
    until(|| cluster.log().matches(" joins").count() == names.len(), || cluster.log());
    let file = cluster.folder.path("cluster.json");
    let session = Session::builder().connect(file).build().expect("a session");
    session.functions(register);
    assert_eq!(sum(&session, None), Ok(40));
    let message = sum(&session, Some(20)).unwrap_err();
    assert!(message.contains("three workers were lost with this task, s0.39, in hand"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert_eq!(cluster.log().matches("is lost").count(), 3, "{}", cluster.log());
    assert_eq!(sum(&session, None), Ok(40), "who is left goes on");
    drop(session);
    let (_, mut codes) = cluster.stop();
    codes.sort_unstable();
    assert_eq!(codes, [None, None, None, Some(0)], "three were ended by a signal");
}
