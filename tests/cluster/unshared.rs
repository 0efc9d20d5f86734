//! What only the client has: matrices in its memory, and paths that no worker sees.

use crate::processes::{Cluster, after_mounting, can_mount, result};
use dolmen::array::Element;
use dolmen::data::{OutputFormat, OutputSpec};
use dolmen::graph::ProgramBuilder;
use dolmen::net::{Client, OwnPart, RunError, SchedulerAt};
use dolmen::protocol::RunSpec;
use dolmen::session::{Operation, RsvdOptions, Session};
use dolmen::store::SpillPlace;
use ndarray::Array2;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const HANGS: Duration = Duration::from_secs(60);

fn matrix(rows: usize, cols: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, cols), |(i, j)| ((i * 31 + j * 17) % 101) as f64 / 10.0 - 5.0)
}

#[test]
fn matrices_in_memory_go_there_and_results_come_back() {
    let cluster = Cluster::new(2, "--threads 1 --memory 100MiB");
    let here = Session::builder().threads(1).memory(100 << 20).build().unwrap();
    let there =
        Session::builder().connect(cluster.folder.path("cluster.json")).wait_workers(2).build().unwrap();
    let a = matrix(600, 500);
    let product = |session: &Session| {
        let a = session.from_array(a.clone());
        session.compute::<f64>(&(&a.t().dot(&a) + 1.0)).unwrap()
    };
    assert_eq!(product(&here), product(&there));
    let options = RsvdOptions::new(7);
    let leading = |session: &Session| session.rsvd::<f64>(&session.from_array(a.clone()), options).unwrap();
    let (one, other) = (leading(&here), leading(&there));
    assert!(one.u == other.u && one.s == other.s && one.vt == other.vt);
    // A result that nobody has computed with, and one from nowhere.
    let same = |session: &Session| session.compute::<f64>(&session.from_array(a.clone())).unwrap();
    assert_eq!(same(&there), a);
    let qr = |session: &Session| session.qr::<f64>(&session.from_array(matrix(2000, 30))).unwrap();
    assert_eq!(qr(&here), qr(&there));
}

/// Each run has its own part of the client, whichever comes first. Each part may fill the client's memory, so there is
/// one at a time, though the workers have room for two.
#[test]
fn runs_at_once_of_one_client_do_not_disturb_each_other() {
    let cluster = Cluster::new(2, "--threads 1 --memory 512MiB");
    let file = cluster.folder.path("cluster.json");
    let session = Session::builder().connect(file).wait_workers(2).build().unwrap();
    let matrices: Vec<Array2<f64>> = (1..=4).map(|factor| matrix(500, 300) * factor as f64).collect();
    let spawn = |a: &Array2<f64>| {
        let a = session.from_array(a.clone());
        let (tell, product) = channel();
        session.spawn(move |session| {
            tell.send(session.compute::<f64>(&a.t().dot(&a))).unwrap();
            Ok(())
        });
        product
    };
    let under_way: Vec<Receiver<_>> = matrices.iter().map(spawn).collect();
    let here = Session::builder().threads(1).memory(100 << 20).build().unwrap();
    for (there, a) in under_way.into_iter().zip(&matrices) {
        let a = here.from_array(a.clone());
        let there = there.recv_timeout(HANGS).expect("a run that ends");
        assert_eq!(there.unwrap(), here.compute::<f64>(&a.t().dot(&a)).unwrap());
    }
    let log = cluster.log();
    let lines = log.lines().filter(|line| line.contains(" begins: ") || line.contains(" is done "));
    let begins: Vec<bool> = lines.map(|line| line.contains(" begins: ")).collect();
    assert_eq!(begins, [true, false].repeat(matrices.len()), "{log}");
}

/// A client that takes part in a run which the scheduler never hears of does not wait for ever.
#[test]
fn a_run_that_cannot_be_submitted_ends_the_part_of_its_client() {
    let mut cluster = Cluster::new(1, "--threads 1 --memory 100MiB");
    let scheduler = SchedulerAt::File(cluster.folder.path("cluster.json"));
    let folder = cluster.folder.path("");
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let client = Client::connect(&scheduler, Instant::now() + HANGS).unwrap();
        let mut builder = ProgramBuilder::default();
        builder.null_tree(4);
        let program = Arc::new(builder.finish());
        // More than a message may be long.
        let path = PathBuf::from("x".repeat(1 << 26));
        let (partial, format) = (PathBuf::new(), OutputFormat::Npy);
        let output = OutputSpec { path, partial, format, cols: None, rows: 1, element: Element::F64 };
        let (stages, outputs) = (program.stages().to_vec(), vec![Some(output)]);
        let spec = RunSpec { stages, inputs: Vec::new(), outputs, own: None, sync: false, drawn: 0 };
        let own = OwnPart {
            bindings: Arc::default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            budget: 1 << 20,
            spill: SpillPlace::new(folder, None),
            depth: Arc::default(),
            kept: None,
        };
        tell.send(client.run(&program, spec, Some(own), |_| {}).err()).unwrap();
    });
    match told.recv_timeout(HANGS).expect("an answer") {
        Some(RunError::Failed(failure)) => assert!(failure.message.contains("bytes"), "{failure}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(cluster.stop().0, Some(0));
}

#[test]
fn a_matrix_in_memory_beside_one_in_a_file_to_a_file() {
    let cluster = Cluster::new(2, "--threads 1 --memory 100MiB");
    cluster.folder.ok("generate normal --shape 500x400 --seed 3 --out b.npy");
    let run = |session: &Session, out: &str| {
        let b = session.from_files(&[cluster.folder.path("b.npy")]).unwrap();
        let product = session.from_array(matrix(300, 500)).dot(&b);
        session.run_to_files(&Operation::Compute(product), &[cluster.folder.path(out)]).unwrap();
    };
    run(&Session::builder().threads(1).memory(100 << 20).build().unwrap(), "here.npy");
    let file = cluster.folder.path("cluster.json");
    run(&Session::builder().connect(file).wait_workers(2).build().unwrap(), "there.npy");
    assert!(result(&cluster.folder, "here") == result(&cluster.folder, "there"));
}

/// The workers see an empty folder where the client has its files.
#[test]
fn paths_that_only_the_client_has_do_as_well() {
    let mut cluster = Cluster::with_options("");
    let private = cluster.folder.path("private");
    std::fs::create_dir(&private).unwrap();
    let hidden = format!("mount -t tmpfs none {}", private.display());
    if !can_mount(&hidden, "paths that only the client has") {
        return;
    }
    for number in 0..2 {
        let through = after_mounting(&hidden);
        cluster.add_through(&through, &format!("n{number}"), "--threads 1 --memory 100MiB");
    }
    cluster.folder.ok("generate normal --shape 500x500 --seed 1 --out private/a.npy");
    cluster.folder.ok("generate normal --shape 3000x40 --seed 3 --out private/t.npy");
    cluster.folder.ok("generate normal --shape 500x500 --seed 2 --out shared.npy");
    for (number, command) in [
        "transpose-add private/a.npy --block 100 --out OUT.npy",
        "transpose-add private/a.npy --block 128 --out OUT.zarr",
        "matmul private/a.npy shared.npy --block 120 --out OUT.npy",
        "matmul shared.npy private/a.npy --block 120 --out OUT.npy",
        "svd private/t.npy --block 500 --out OUT",
        "rsvd shared.npy --rank 10 --block 100 --out OUT",
        "generate uniform --shape 300x200 --seed 9 --out OUT.npy",
    ]
    .iter()
    .enumerate()
    {
        for folder in ["", "private/"] {
            let (there, here) = (format!("{folder}there{number}"), format!("{folder}here{number}"));
            cluster.ok(&command.replace("OUT", &there));
            cluster.folder.ok(&command.replace("OUT", &here));
            assert!(
                result(&cluster.folder, &there) == result(&cluster.folder, &here),
                "{command} to {there}"
            );
        }
    }
    assert!(cluster.log().contains("is that folder shared?"), "{}", cluster.log());
    assert_eq!(cluster.stop(), (Some(0), vec![Some(0); 2]));
}
