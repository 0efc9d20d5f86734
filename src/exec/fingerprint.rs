//! What processes have to have in common: what a program means to them, and the bits that their kernels give.

use crate::data::Real;
use kernels::{Active, Backend, random, svd, tsqr};
use ndarray::Array2;
use std::sync::OnceLock;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// What a program is encoded from. Any change of it makes another table of operations, be it a comment.
const SOURCES: [&str; 18] = [
    include_str!("../array/expr.rs"),
    include_str!("../array/grid.rs"),
    include_str!("../array/mod.rs"),
    include_str!("../array/origin.rs"),
    include_str!("../data/spec.rs"),
    include_str!("../graph/kinds/delayed.rs"),
    include_str!("../graph/kinds/elementwise.rs"),
    include_str!("../graph/kinds/fill.rs"),
    include_str!("../graph/kinds/io.rs"),
    include_str!("../graph/kinds/mod.rs"),
    include_str!("../graph/kinds/product.rs"),
    include_str!("../graph/kinds/reduction.rs"),
    include_str!("../graph/kinds/sketch.rs"),
    include_str!("../graph/kinds/tall.rs"),
    include_str!("../graph/pattern.rs"),
    include_str!("../graph/space.rs"),
    include_str!("../graph/stage.rs"),
    include_str!("../protocol/processes.rs"),
];

/// Names the operations that this build knows, and how programs are encoded: at most 40 bytes.
pub fn operations() -> String {
    format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), xxh3_64(SOURCES.concat().as_bytes()))
}

/// What the bits of kernels depend on, at most 200 bytes: the library that multiplies, what it has chosen for this
/// machine, and the bits of some results. How a library cuts a product follows from its caches, in ways that it does
/// not tell; where that changes the order of sums, these bits are others.
pub fn kernel_fingerprint() -> String {
    static FINGERPRINT: OnceLock<String> = OnceLock::new();
    let make = || {
        let variant: String = Active::variant().chars().take(LONGEST_VARIANT).collect();
        format!("{} {variant} {:016x}", Active::NAME, digest_of_results())
    };
    FINGERPRINT.get_or_init(make).clone()
}

/// Characters.
const LONGEST_VARIANT: usize = 32;
/// More terms of a sum than a library adds up in one go: faer 512, OpenBLAS some hundreds.
const TERMS: usize = 1500;
/// More than one tile of a product, and a part of one.
const ROWS: usize = 67;
const COLS: usize = 45;

fn digest_of_results() -> u64 {
    let mut digest = Xxh3::new();
    add_results::<f32>(&mut digest);
    add_results::<f64>(&mut digest);
    digest.digest()
}

/// Bits of a product, of one with itself, of a factorisation and of singular values.
fn add_results<T: Real>(digest: &mut Xxh3) {
    let (a, b) = (normal::<T>(1, ROWS, TERMS), normal::<T>(2, TERMS, COLS));
    let (turned_a, turned_b) = (turned(&a), turned(&b));
    let by_columns = (turned_a.view().reversed_axes(), turned_b.view().reversed_axes());
    for (a, b) in [(a.view(), b.view()), by_columns] {
        let mut product = Array2::zeros((ROWS, COLS));
        Active::gemm(T::ONE, a, b, T::ZERO, product.view_mut());
        add(digest, &product);
    }
    let mut gram = Array2::zeros((COLS, COLS));
    Active::gram(b.view(), T::ZERO, gram.view_mut());
    add(digest, &gram);
    let mut r = Array2::zeros((COLS, COLS));
    let mut room = vec![T::ZERO; tsqr::leaf_workspace::<T>(TERMS, COLS)];
    tsqr::leaf_r::<Active, T>(b.view(), &mut r.view_mut(), &mut room);
    add(digest, &r);
    let mut values = Array2::zeros((1, COLS));
    let mut room = vec![T::ZERO; svd::values_workspace::<Active, T>(COLS, COLS)];
    let found = values.as_slice_mut().expect("one row");
    if svd::values::<Active, T>(r.view(), found, &mut room).is_ok() {
        add(digest, &values);
    }
}

fn normal<T: Real>(seed: u64, rows: usize, cols: usize) -> Array2<T> {
    let mut matrix = Array2::zeros((rows, cols));
    random::fill_normal(seed, 0, 0, matrix.view_mut());
    matrix
}

/// The same matrix by columns.
fn turned<T: Real>(matrix: &Array2<T>) -> Array2<T> {
    matrix.t().as_standard_layout().into_owned()
}

fn add<T: Real>(digest: &mut Xxh3, matrix: &Array2<T>) {
    digest.update(T::bytes(matrix.as_slice().expect("row by row")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn fingerprints_are_a_line_and_stay() {
        assert_eq!(
            kernel_fingerprint(),
            format!("{} {} {:016x}", Active::NAME, Active::variant(), digest_of_results())
        );
        for text in [operations(), kernel_fingerprint()] {
            assert!(text.len() <= 200 && text.lines().count() == 1, "{text}");
        }
        assert!(operations().len() <= 40);
    }

    #[test]
    fn all_kinds_are_in_the_table_of_operations() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/graph/kinds");
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            // What a kind says of itself does not travel.
            if path.ends_with("properties.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            assert!(SOURCES.contains(&text.as_str()), "{} is missing", path.display());
        }
    }
}
