//! What a provider of dense linear algebra must offer.

use crate::Scalar;
use ndarray::{ArrayView2, ArrayViewMut2};

/// The leading minor of this order is not positive definite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("matrix is not positive definite: pivot {column} is not positive; use a Householder factorisation")]
pub struct NotPositiveDefinite {
    /// The column, counted from 0, whose pivot was zero, negative or NaN.
    pub column: usize,
}

/// The iteration for singular values did not converge; NaN in the input does this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("singular values did not converge; check the matrix for NaN")]
pub struct NoConvergence;

/// Single-threaded building blocks. Views may have any strides; a transposed view costs nothing extra.
///
/// [`Backend::gram`], [`Backend::trsm_right_upper`] and [`Backend::cholesky`] are for the normal equations and for
/// CholeskyQR. No operation of Dolmen uses them yet.
///
/// Bits depend on the operands, their strides and the machine's vector instructions, on nothing else.
/// Both backends pack panels into buffers of their own (at most a few MiB), which callers need not count.
///
/// # Panics
/// All of them, in release builds too, if shapes do not fit, a slice is too short or a layout is not the one asked for.
pub trait Backend: 'static {
    const NAME: &'static str;

    /// What the library has chosen for this machine, in a word.
    fn variant() -> String;

    /// `C ← α·A·B + β·C` for `A` m×k, `B` k×n. `2mnk` flops. With `β = 0`, `C` is not read.
    fn gemm<T: Scalar>(alpha: T, a: ArrayView2<T>, b: ArrayView2<T>, beta: T, c: ArrayViewMut2<T>);

    /// `C ← AᵀA + β·C` for `A` b×n, `C` n×n; `C` must be symmetric unless `β = 0`. The upper triangle is
    /// computed (`bn²` flops) and mirrored, so `C` is exactly symmetric.
    fn gram<T: Scalar>(a: ArrayView2<T>, beta: T, c: ArrayViewMut2<T>);

    /// `X ← X·R⁻¹` for `X` b×n and `R` n×n upper triangular, by substitution: each row of the result solves
    /// a system within `n·EPS·|R|` of `R` (Higham 2002, ch. 8). `bn²` flops. A zero on the diagonal gives Inf or NaN.
    fn trsm_right_upper<T: Scalar>(r: ArrayView2<T>, x: ArrayViewMut2<T>);

    /// `A ← R`, upper triangular with `RᵀR = A`, strict lower triangle zeroed. Reads the upper triangle only.
    /// `n³/3` flops. On error `A` is spoilt.
    fn cholesky<T: Scalar>(a: ArrayViewMut2<T>) -> Result<(), NotPositiveDefinite>;

    /// Singular values (descending) and, if wanted, vectors of `A` m×n, `m ≥ n`; `a` is column-major and spoilt.
    /// `u` is m×n and `v` n×n, both column-major; `s` has n elements, `work` those of [`Backend::svd_tall_workspace`].
    /// Entries should be of moderate size: see [`crate::svd::small`].
    fn svd_tall<T: Scalar>(
        a: ArrayViewMut2<T>,
        s: &mut [T],
        vectors: Option<(ArrayViewMut2<T>, ArrayViewMut2<T>)>,
        work: &mut [T],
    ) -> Result<(), NoConvergence>;

    /// Elements of `work` that [`Backend::svd_tall`] needs.
    fn svd_tall_workspace<T: Scalar>(m: usize, n: usize, vectors: bool) -> usize;
}

/// The backend chosen by the feature `openblas`.
#[cfg(feature = "openblas")]
pub type Active = crate::OpenBlas;
/// The backend chosen by the feature `openblas`.
#[cfg(not(feature = "openblas"))]
pub type Active = crate::Faer;

/// Shapes of `C ← A·B`.
pub(crate) fn check_gemm<T>(a: &ArrayView2<T>, b: &ArrayView2<T>, c: &ArrayViewMut2<T>) {
    assert_eq!((a.nrows(), a.ncols(), b.ncols()), (c.nrows(), b.nrows(), c.ncols()), "shapes of A·B");
}

/// Shapes of `C ← AᵀA`.
pub(crate) fn check_gram<T>(a: &ArrayView2<T>, c: &ArrayViewMut2<T>) {
    assert_eq!(c.dim(), (a.ncols(), a.ncols()), "shape of AᵀA");
}

/// Shapes of `X ← X·R⁻¹`.
pub(crate) fn check_trsm<T>(r: &ArrayView2<T>, x: &ArrayViewMut2<T>) {
    assert_eq!(r.dim(), (x.ncols(), x.ncols()), "shape of R in X·R⁻¹");
}

/// Shapes and lengths for [`Backend::svd_tall`].
pub(crate) fn check_svd_tall<B: Backend, T: Scalar>(
    a: &ArrayViewMut2<T>,
    s: &[T],
    vectors: Option<&(ArrayViewMut2<T>, ArrayViewMut2<T>)>,
    work: &[T],
) {
    let (m, n) = a.dim();
    assert!(m >= n, "the SVD of a tall matrix, not {m}×{n}");
    assert_eq!(s.len(), n, "singular values of a {m}×{n} matrix");
    if let Some((u, v)) = vectors {
        assert_eq!((u.dim(), v.dim()), ((m, n), (n, n)), "shapes of U and V of a {m}×{n} matrix");
    }
    let needed = B::svd_tall_workspace::<T>(m, n, vectors.is_some());
    assert!(work.len() >= needed, "workspace of the SVD: {} elements, {needed} are needed", work.len());
}

/// `C ← β·C`; with `β = 0` without reading `C`.
pub(crate) fn scale<T: Scalar>(beta: T, mut c: ArrayViewMut2<T>) {
    if beta == T::ZERO {
        c.fill(T::ZERO);
    } else if beta != T::ONE {
        c.mapv_inplace(|x| x * beta);
    }
}

/// Copies the upper triangle onto the lower one, in tiles.
pub(crate) fn mirror<T: Scalar>(mut c: ArrayViewMut2<T>) {
    const TILE: usize = 32;
    let n = c.nrows();
    for i0 in (0..n).step_by(TILE) {
        for j0 in (0..=i0).step_by(TILE) {
            for i in i0..(i0 + TILE).min(n) {
                for j in j0..(j0 + TILE).min(i) {
                    c[(i, j)] = c[(j, i)];
                }
            }
        }
    }
}

/// Zeroes what lies below the diagonal.
pub(crate) fn zero_strict_lower<T: Scalar>(mut a: ArrayViewMut2<T>) {
    for (i, mut row) in a.rows_mut().into_iter().enumerate() {
        let end = i.min(row.len());
        row.slice_mut(ndarray::s![..end]).fill(T::ZERO);
    }
}

/// Finds the NaN that providers may let through as a pivot.
pub(crate) fn check_pivots<T: Scalar>(r: ArrayView2<T>) -> Result<(), NotPositiveDefinite> {
    match r.diag().iter().position(|x| !(*x > T::ZERO && x.is_finite())) {
        Some(column) => Err(NotPositiveDefinite { column }),
        None => Ok(()),
    }
}
