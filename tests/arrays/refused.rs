//! Arguments that a user can write and nobody can compute with: each is one clear error, before any work.

use super::session;
use dolmen::array::{Array, ArrayError, BlockSize, Element};
use dolmen::graph::Graph;
use dolmen::session::{Error, Operation, RsvdOptions, Session};

fn refused<T>(result: Result<T, Error>, word: &str) {
    match result {
        Err(Error::Request(message)) => assert!(message.contains(word), "{message}"),
        Err(other) => panic!("not a refusal: {other}"),
        Ok(_) => panic!("not refused: {word}"),
    }
}

#[test]
fn blocks_without_elements() {
    for block in [BlockSize::Square(0), BlockSize::RowsCols(0, 4), BlockSize::RowsCols(4, 0)] {
        refused(Session::builder().block(block).build().map(|_| ()), "block");
    }
}

#[test]
fn more_threads_than_any_machine_has() {
    refused(Session::builder().threads(usize::MAX).build().map(|_| ()), "threads");
    refused(Session::builder().threads(2).workers(usize::MAX).build().map(|_| ()), "threads");
}

#[test]
fn blocks_that_make_too_many_tasks() {
    let session = session(BlockSize::RowsCols(1 << 20, 1));
    let x = Array::constant(1 << 20, 1 << 20, 1.0, Element::F64);
    for array in [x.sum(), x.norm(), x.dot(&x), (&x.rows(0..1 << 19) * 2.0).sum()] {
        refused(session.compute::<f64>(&array), "use a larger --block");
    }
    let tiny = super::session(BlockSize::Square(1));
    refused(tiny.compute::<f64>(&Array::constant(1 << 40, 0, 1.0, Element::F64)), "use a larger --block");
    refused(tiny.qr::<f64>(&Array::normal(1 << 40, 2, 1, Element::F64)), "use a larger --block");
}

#[test]
fn blocks_larger_than_any_matrix_are_the_matrix() {
    for block in
        [BlockSize::Square(u64::MAX), BlockSize::RowsCols(u64::MAX, 1), BlockSize::RowsCols(2, u64::MAX)]
    {
        let session = session(block);
        let x = Array::constant(5, 5, 2.0, Element::F64);
        assert_eq!(session.compute::<f64>(&x.dot(&x).sum()).unwrap()[(0, 0)], 500.0);
        let tight = Session::builder().threads(1).memory(1 << 12).block(block).build().unwrap();
        let big = Array::constant(100, 100, 2.0, Element::F64);
        assert!(tight.compute::<f64>(&big.dot(&big)).is_err());
    }
}

#[test]
fn matrices_larger_than_numbers_can_tell() {
    let session = session(BlockSize::Auto);
    for (rows, cols) in
        [(u64::MAX, u64::MAX), (u64::MAX, 1), (1, u64::MAX), (u64::MAX, 0), (1 << 40, 1 << 40)]
    {
        let x = Array::normal(rows, cols, 1, Element::F64);
        refused(session.compute::<f64>(&x.sum()), "larger than any disk");
        refused(session.compute::<f64>(&(&x.t() * 2.0)), "larger than any disk");
        refused(session.qr::<f64>(&x), "larger than any disk");
        refused(session.svd::<f64>(&x), "larger than any disk");
        refused(session.rsvd::<f64>(&x, RsvdOptions::new(1)), "");
        refused(session.preview(&Operation::Compute(x.clone()), None), "larger than any disk");
    }
    // What is asked for counts, not what it is a part of.
    let x = Array::constant(1 << 40, 1, 3.0, Element::F64);
    let part = x.dot(&x.t()).rows(5..7).cols(1 << 30..(1 << 30) + 2);
    assert_eq!(session.compute::<f64>(&part).unwrap()[(1, 1)], 9.0);
}

#[test]
#[allow(clippy::reversed_empty_ranges)]
fn slices_that_lie_outside() {
    let x = Array::constant(4, 3, 1.0, Element::F64);
    assert_eq!(x.rows(3..5).shape(), Err(ArrayError::Slice { side: "rows", range: 3..5, len: 4 }));
    assert_eq!(x.cols(2..4).shape(), Err(ArrayError::Slice { side: "columns", range: 2..4, len: 3 }));
    assert!(x.rows(3..2).check().is_err());
    assert!(x.cols(u64::MAX..u64::MAX).t().sum().check().is_err());
}

#[test]
fn too_few_or_too_many_paths() {
    let session = session(BlockSize::Auto);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let svd = Operation::Svd { a: Array::normal(20, 3, 1, Element::F64), values_only: false };
    refused(session.run_to_files(&svd, &[]), "u, s, vt");
    refused(session.run_to_files(&svd, &[path("u.npy"), path("s.npy")]), "u, s, vt");
    let many: Vec<_> = ["u.npy", "s.npy", "vt.npy", "more.npy"].map(path).to_vec();
    refused(session.run_to_files(&svd, &many), "u, s, vt");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing was made");
    assert!(session.from_files(&[]).is_err());
}

fn with_functions() -> Session {
    let session = session(BlockSize::Auto);
    session.functions(|functions| functions.register("next", |x: f64| x + 1.0));
    session
}

#[test]
fn calls_of_another_graph() {
    let session = with_functions();
    let (mut here, mut there) = (Graph::new(), Graph::new());
    let mine = here.call("next", [Graph::value(&1.0).unwrap()]);
    let theirs = there.call("next", [mine.into()]);
    refused(session.run_graph::<f64>(&there, theirs), "another graph");
    refused(session.run_graph::<f64>(&here, theirs), "another graph");
    assert_eq!(session.run_graph::<f64>(&here, mine).unwrap(), 2.0);
    // A call that would wait for itself, or for one that comes later.
    let (mut long, mut short) = (Graph::new(), Graph::new());
    let first = long.call("next", [Graph::value(&1.0).unwrap()]);
    let later = long.call("next", [first.into()]);
    let circle = short.call("next", [first.into()]);
    let ahead = short.call("next", [later.into()]);
    refused(session.run_graph::<f64>(&short, circle), "another graph");
    refused(session.run_graph::<f64>(&short, ahead), "another graph");
}

#[test]
fn results_of_any_size() {
    let session = with_functions();
    // Rounded up to whole numbers.
    for bytes in [0, 1, 8, 1 << 10] {
        let mut graph = Graph::new().result_bytes(bytes);
        let call = graph.call("next", [Graph::value(&1.0).unwrap()]);
        match session.run_graph::<f64>(&graph, call) {
            Ok(value) => assert!(bytes > 0 && value == 2.0),
            Err(error) => assert!(bytes == 0 && error.to_string().contains("result_bytes"), "{error}"),
        }
    }
    let mut graph = Graph::new().result_bytes(u64::MAX);
    let call = graph.call("next", [Graph::value(&1.0).unwrap()]);
    refused(session.run_graph::<f64>(&graph, call), "too large");
    let empty = Graph::new();
    refused(session.run_graph::<f64>(&empty, call), "another graph");
}
