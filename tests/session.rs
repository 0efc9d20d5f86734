//! Real kernels in one process: results against independent arithmetic and the sequential interpreter.

use dolmen::array::{Array, Axis, BlockGrid, BlockSize, Element};
use dolmen::exec;
use dolmen::graph::{Access, Lowering, ProgramBuilder, Tall};
use dolmen::session::{Error, Operation, RsvdOptions, Session};
use ndarray::{Array2, s};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

fn session(threads: usize, workers: usize, block: BlockSize) -> Session {
    Session::builder().threads(threads).workers(workers).memory(1 << 30).block(block).build().unwrap()
}

fn max_abs(a: &Array2<f64>) -> f64 {
    a.iter().fold(0.0, |m: f64, x| m.max(x.abs()))
}

fn random(rows: usize, cols: usize, seed: u64) -> Array2<f64> {
    let mut a = Array2::zeros((rows, cols));
    kernels::random::fill_normal(seed, 0, 0, a.view_mut());
    a
}

/// The textbook product, one dot product after the other.
fn product(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        a.row(i).iter().zip(b.column(j)).map(|(x, y)| x * y).sum()
    })
}

#[test]
fn transpose_add_is_exact() {
    for block in [BlockSize::Auto, BlockSize::Square(7), BlockSize::RowsCols(5, 9), BlockSize::Square(1000)] {
        let session = session(2, 1, block);
        let a = random(53, 53, 1);
        let b = session.transpose_add::<f64>(&session.from_array(a.clone())).unwrap();
        assert_eq!(b, &a + &a.t(), "{block:?}");
    }
}

#[test]
fn products_meet_their_bound() {
    for (m, k, n, block) in [(50, 40, 30, 16), (1, 1, 1, 4), (33, 100, 7, 10), (64, 3, 64, 64)] {
        let session = session(2, 2, BlockSize::Square(block));
        let (a, b) = (random(m, k, 2), random(k, n, 3));
        let (la, lb) = (session.from_array(a.clone()), session.from_array(b.clone()));
        let c = session.matmul::<f64>(&la, &lb).unwrap();
        let bound = 4.0 * k as f64 * f64::EPSILON * max_abs(&a) * max_abs(&b);
        assert!(max_abs(&(&c - &product(&a, &b))) <= bound);
        let ct = session.compute::<f64>(&lb.t().dot(&la.t())).unwrap();
        assert!(max_abs(&(&ct.t() - &c)) <= bound);
    }
}

#[test]
fn expressions_are_what_they_say() {
    let session = session(2, 1, BlockSize::Square(8));
    let a = random(30, 20, 4);
    let x = session.from_array(a.clone());
    let y = session.compute::<f64>(&((&x * 2.0 - &x) * &x + 1.0).rows(3..28)).unwrap();
    assert_eq!(y, a.mapv(|v| (v * 2.0 + -v) * v + 1.0).slice(s![3..28, ..]).to_owned());
    let total = session.compute::<f64>(&x.sum()).unwrap()[(0, 0)];
    assert!((total - a.sum()).abs() < 1e-12 * 600.0);
    let norm = session.compute::<f64>(&x.t().norm()).unwrap()[(0, 0)];
    assert!((norm - a.iter().map(|v| v * v).sum::<f64>().sqrt()).abs() < 1e-12);
    assert!(session.compute::<f32>(&x).is_err());
    assert!(session.compute::<f64>(&(&x + &x.t())).is_err());
}

#[test]
fn qr_and_svd_meet_their_bounds() {
    for (m, n, rows) in [(200, 12, 50), (200, 12, 5), (37, 37, 10), (100, 1, 9), (1, 1, 1), (64, 8, 1000)] {
        let session = session(2, 1, BlockSize::Square(rows));
        let a = random(m, n, 5);
        let x = session.from_array(a.clone());
        let tol = 10.0 * n as f64 * f64::EPSILON / 2.0;
        let scale = a.iter().map(|v| v * v).sum::<f64>().sqrt();
        let qr = session.qr::<f64>(&x).unwrap();
        assert!(max_abs(&(product(&qr.q.t().to_owned(), &qr.q) - Array2::<f64>::eye(n))) <= tol);
        assert!(max_abs(&(product(&qr.q, &qr.r) - &a)) <= tol * scale, "{m}x{n} by {rows}");
        assert!(qr.r.diag().iter().all(|d| *d >= 0.0));
        let svd = session.svd::<f64>(&x).unwrap();
        let us = &svd.u * &svd.s;
        assert!(max_abs(&(product(&us, &svd.vt) - &a)) <= tol * scale);
        assert!(max_abs(&(product(&svd.u.t().to_owned(), &svd.u) - Array2::<f64>::eye(n))) <= tol);
        assert!(svd.s.windows(2).into_iter().all(|w| w[0] >= w[1]));
        let values = session.singular_values::<f64>(&x).unwrap();
        assert!((&values - &svd.s).iter().all(|d| d.abs() <= tol * svd.s[0]));
        if m > n {
            let fat = session.svd::<f64>(&x.t()).unwrap();
            assert_eq!(fat.s, svd.s);
            assert_eq!(fat.u, svd.vt.t());
            let wide = session.qr::<f64>(&x.t()).unwrap();
            assert!(max_abs(&(product(&wide.q, &wide.r) - a.t())) <= tol * scale);
            assert!(max_abs(&(product(&wide.q.t().to_owned(), &wide.q) - Array2::<f64>::eye(n))) <= tol);
        }
    }
}

#[test]
fn rsvd_is_exact_for_low_rank_and_wide_ranges() {
    let session = session(2, 1, BlockSize::Square(64));
    let a = product(&random(300, 5, 6), &random(5, 80, 7));
    let x = session.from_array(a.clone());
    let reference = session.svd::<f64>(&x).unwrap();
    for power_iters in [0, 2] {
        let options = RsvdOptions { power_iters, ..RsvdOptions::new(5) };
        let low = session.rsvd::<f64>(&x, options).unwrap();
        assert!((&low.s - &reference.s.slice(s![..5])).iter().all(|d| d.abs() < 1e-11 * reference.s[0]));
        let wide = session.rsvd::<f64>(&x.t(), options).unwrap();
        assert!((&wide.s - &low.s).iter().all(|d| d.abs() < 1e-11 * reference.s[0]));
    }
    // σᵢ = 10⁻ⁱ: below the square root of eps only half steps find the directions.
    let (q1, q2) = (
        session.qr::<f64>(&Array::normal(300, 12, 8, Element::F64)).unwrap().q,
        session.qr::<f64>(&Array::normal(80, 12, 9, Element::F64)).unwrap().q,
    );
    let sigma = Array2::from_shape_fn((1, 12), |(_, j)| 10.0_f64.powi(-(j as i32)));
    let steep = product(&(&q1 * &sigma), &q2.t().to_owned());
    let found = session.rsvd::<f64>(&session.from_array(steep), RsvdOptions::new(8)).unwrap();
    for i in 0..8 {
        let truth = sigma[(0, i)];
        assert!((found.s[i] - truth).abs() < 0.01 * truth, "σ{i}: {} for {truth}", found.s[i]);
    }
}

#[test]
fn bits_do_not_depend_on_threads_or_workers() {
    let a = random(400, 30, 10);
    let mut seen = Vec::new();
    for (threads, workers) in [(1, 1), (2, 1), (4, 1), (1, 3), (2, 2)] {
        let session = session(threads, workers, BlockSize::Square(32));
        let x = session.from_array(a.clone());
        let svd = session.svd::<f64>(&x).unwrap();
        let c = session.compute::<f64>(&x.dot(&x.t())).unwrap();
        let r = session.rsvd::<f64>(&x, RsvdOptions::new(3)).unwrap();
        let sum = session.compute::<f64>(&(&x * 3.0).sum()).unwrap();
        seen.push((svd, c, r, sum));
    }
    assert!(seen.windows(2).all(|w| w[0] == w[1]));
}

#[test]
fn random_matrices_do_not_depend_on_blocks() {
    let x = Array::normal(101, 57, 11, Element::F64);
    let whole = session(2, 1, BlockSize::Square(1000)).compute::<f64>(&x).unwrap();
    assert_eq!(session(2, 1, BlockSize::RowsCols(7, 13)).compute::<f64>(&x).unwrap(), whole);
}

#[test]
fn few_blocks_live_in_a_symmetric_sum() {
    let session = session(2, 1, BlockSize::Square(64));
    let x = session.from_array(random(640, 640, 12));
    session.compute::<f64>(&(&x + &x.t()).sum()).unwrap();
    let stats = session.stats();
    let block = 64 * 64 * 8;
    assert!(stats.peak_memory <= 12 * block, "{} blocks of 100", stats.peak_memory as f64 / block as f64);
    assert!(stats.peak_memory <= stats.memory_bound);
}

#[test]
fn a_product_in_pieces_has_the_same_bits_and_keeps_its_bound() {
    let (a, b) = (random(300, 200, 21), random(200, 260, 22));
    let ample = session(2, 1, BlockSize::Square(32));
    let whole = ample.matmul::<f64>(&ample.from_array(a.clone()), &ample.from_array(b.clone())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = [folder.path().join("c.npy")];
    for memory in [200 << 10, 350 << 10, 600 << 10] {
        let block = BlockSize::Square(32);
        let tight = Session::builder().threads(2).memory(memory).block(block).build().unwrap();
        let c = tight.from_array(a.clone()).dot(&tight.from_array(b.clone()));
        tight.run_to_files(&Operation::Compute(c), &path).unwrap();
        let stats = tight.stats();
        assert!(stats.peak_memory <= memory && stats.memory_bound <= memory, "{stats:?}");
        let back = tight.from_files(&path).unwrap();
        let written = ample.compute::<f64>(&ample.from_files(&path).unwrap()).unwrap();
        assert_eq!(back.shape().unwrap(), (300, 260));
        assert_eq!(written, whole, "{memory}");
    }
}

#[test]
fn an_input_is_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(1, 1, BlockSize::Auto);
    let path = [folder.path().join("a.npy")];
    session.run_to_files(&Operation::Compute(Array::normal(9, 9, 1, Element::F64)), &path).unwrap();
    let a = session.from_files(&path).unwrap();
    let before = std::fs::read(&path[0]).unwrap();
    let other = [folder.path().join("./../").join(folder.path().file_name().unwrap()).join("a.npy")];
    for outputs in [&path, &other] {
        let error = session.run_to_files(&Operation::Compute(&a + &a.t()), outputs).unwrap_err();
        assert!(matches!(error, Error::Request(_)) && error.to_string().contains("reads"), "{error}");
    }
    assert_eq!(std::fs::read(&path[0]).unwrap(), before);
    session.run_to_files(&Operation::Compute(&a + &a.t()), &[folder.path().join("b.npy")]).unwrap();
}

#[test]
fn a_run_that_cannot_fit_is_refused_with_what_would() {
    let session =
        Session::builder().threads(2).memory(1 << 20).block(BlockSize::Square(512)).build().unwrap();
    let x = Array::normal(2048, 2048, 1, Element::F64);
    let message = session.compute::<f64>(&(&x + &x.t()).sum()).unwrap_err().to_string();
    assert!(message.contains("--memory") && message.contains("--block"), "{message}");
    let small = Array::normal(20, 20, 1, Element::F64);
    assert!(session.compute::<f64>(&small.sum()).is_ok(), "the session stays usable");
}

#[test]
fn failures_are_one_clear_error_and_the_session_stays_usable() {
    let session = session(2, 1, BlockSize::Square(4));
    let mut a = random(20, 10, 13);
    a[(13, 7)] = f64::NAN;
    let message = session.singular_values::<f64>(&session.from_array(a)).unwrap_err().to_string();
    assert!(message.contains("row 13, column 7"), "{message}");
    session.functions(|f| f.register("boom", |x: f64| if x > 0.0 { panic!("too warm") } else { x }));
    let mut graph = dolmen::graph::Graph::new();
    let one = dolmen::graph::Graph::value(&1.0).unwrap();
    let call = graph.call("boom", [one]);
    let message = session.run_graph::<f64>(&graph, call).unwrap_err().to_string();
    assert!(message.contains("too warm") && message.contains("delayed") && message.contains("block (0, 0)"));
    let x = session.from_array(random(8, 8, 14));
    assert!(session.transpose_add::<f64>(&x).is_ok());
}

/// More workers than cores steal and fetch from each other all the time; each run has a tight limit of its own.
#[test]
fn many_workers_and_runs_at_once_get_on() {
    let session =
        Session::builder().threads(1).workers(3).memory(1 << 28).block(BlockSize::Square(17)).build();
    let session = session.unwrap();
    let tall = session.from_array(random(211, 30, 31));
    let expected = product(&random(211, 30, 31), &random(211, 30, 31).t().to_owned());
    let runs: Vec<_> = (0..60)
        .map(|turn| {
            let tall = tall.clone();
            session.spawn(move |session| match turn % 3 {
                0 => session.compute::<f64>(&tall.dot(&tall.t())),
                1 => session.compute::<f64>(&(&tall.t().dot(&tall) * 0.5).sum()),
                _ => session.qr::<f64>(&tall).map(|qr| qr.r),
            })
        })
        .collect();
    for (turn, run) in runs.into_iter().enumerate() {
        let result = run.wait().unwrap();
        if turn % 3 == 0 {
            assert!(max_abs(&(result - &expected)) < 1e-12);
        }
    }
}

#[test]
fn a_factor_out_of_range_is_an_error() {
    let session = session(2, 1, BlockSize::Square(16));
    let x = session.from_array(Array2::from_elem((100, 3), f64::MAX));
    for message in [session.qr::<f64>(&x).unwrap_err(), session.svd::<f64>(&x).unwrap_err()] {
        assert!(message.to_string().contains("too large"), "{message}");
    }
    assert!(session.rsvd::<f64>(&x, RsvdOptions::new(1)).is_err());
}

/// Blocks of `access` as the interpreter makes them, which knows no scheduler, worker or limit.
fn interpreted(mut builder: ProgramBuilder, access: Access, (m, n): (u64, u64)) -> Array2<f64> {
    builder.keep(access.stage);
    let mut program = builder.finish();
    let bindings = exec::Bindings::default();
    exec::annotate(&mut program, &bindings);
    let mut whole = Array2::from_elem((m as usize, n as usize), f64::NAN);
    for (id, block) in exec::interpret(&program, &bindings).unwrap() {
        let c = program.stage(id.stage).space.coords(id.index);
        let part = |range: std::ops::Range<u64>| range.start as usize..range.end as usize;
        let (rows, cols) = (part(access.grid.rows.range(c.i)), part(access.grid.cols.range(c.j)));
        whole.slice_mut(ndarray::s![rows, cols]).assign(&block.view::<f64>());
    }
    whole
}

#[test]
fn the_interpreter_gives_the_same_bits() {
    let session = session(2, 2, BlockSize::Square(16));
    let x = Array::normal(61, 37, 5, Element::F64);
    for array in [x.dot(&x.t()), &x * 2.0 - &x, (&x + &x).sum(), x.norm(), &x.t().dot(&x) * 0.5] {
        let (m, n) = array.shape().unwrap();
        let grid = BlockGrid::new(Axis::new(m, 16), Axis::new(n, 16));
        let mut builder = ProgramBuilder::default();
        let access = Lowering::new(&mut builder, 16).lower(&array, grid).unwrap();
        assert_eq!(interpreted(builder, access, (m, n)), session.compute::<f64>(&array).unwrap());
    }
    let mut builder = ProgramBuilder::default();
    let grid = BlockGrid::new(Axis::new(61, 16), Axis::whole(37));
    let rows = Lowering::new(&mut builder, 16).lower(&x, grid).unwrap();
    let (q, _) = Tall::new(&mut builder, rows, kernels::tsqr::factor_len).qr(&mut builder);
    assert_eq!(interpreted(builder, q, (61, 37)), session.qr::<f64>(&x).unwrap().q);
}

#[test]
fn an_input_of_another_session_is_refused() {
    let (here, there) = (session(1, 1, BlockSize::Auto), session(1, 1, BlockSize::Auto));
    let mine = here.from_array(Array2::<f64>::ones((3, 3)));
    let theirs = there.from_array(Array2::<f64>::zeros((3, 3)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.npy");
    for array in [theirs.clone(), &mine + &theirs, theirs.t().dot(&mine).sum()] {
        let operation = Operation::Compute(array);
        let refused = [
            here.run(&operation).map(|_| ()),
            here.run_to_files(&operation, std::slice::from_ref(&path)).map(|_| ()),
            here.preview(&operation, None).map(|_| ()),
        ];
        for result in refused {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Request(_)) && error.to_string().contains("another session"));
        }
    }
    assert!(!path.exists());
    assert_eq!(here.clone().compute::<f64>(&mine).unwrap()[(0, 0)], 1.0, "clones are one session");
}

/// Something was written to it, it is another file, or there is none.
#[test]
fn an_input_that_has_changed_by_the_end_of_a_run_is_an_error() {
    let changes: [fn(&Path); 4] = [
        |file| File::options().write(true).open(file).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap(),
        |file| File::options().append(true).open(file).unwrap().write_all(b" ").unwrap(),
        |file| {
            let modified = fs::metadata(file).unwrap().modified().unwrap();
            let copy = file.with_extension("copy");
            fs::copy(file, &copy).unwrap();
            File::options().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
            fs::rename(&copy, file).unwrap();
        },
        |file| fs::remove_file(file).unwrap(),
    ];
    for (name, within) in [("a.npy", ""), ("a.zarr", "zarr.json")] {
        for change in changes {
            let folder = tempfile::tempdir().unwrap();
            let [input, q, r] = [name, "q.npy", "r.npy"].map(|name| folder.path().join(name));
            let session = session(1, 1, BlockSize::Square(8));
            let a = Operation::Compute(Array::normal(20, 5, 1, Element::F64));
            session.run_to_files(&a, std::slice::from_ref(&input)).unwrap();
            let a = Operation::Qr(session.from_files(std::slice::from_ref(&input)).unwrap());
            session.run(&a).unwrap();
            let file = if within.is_empty() { input } else { input.join(within) };
            change(&file);
            let errors = [session.run(&a).err(), session.run_to_files(&a, &[q.clone(), r.clone()]).err()];
            for error in errors {
                assert!(matches!(&error, Some(Error::Run(why)) if why.contains(name)), "{error:?}");
            }
            assert!(!q.exists() && !r.exists());
        }
    }
}
