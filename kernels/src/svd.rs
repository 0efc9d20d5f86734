//! SVD of a matrix that fits in cache many times over, and the sign conventions.

use crate::{Backend, NoConvergence, Scalar, reduce, transpose, workspace};
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut2, Axis};

/// Why a matrix has no SVD here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SvdError {
    #[error(transparent)]
    NoConvergence(#[from] NoConvergence),
    /// Entries are finite, but the largest singular value is above the largest number of the type.
    #[error("the largest singular value is too large for the element type: divide the matrix by a constant")]
    Overflow,
}

/// Elements of workspace for [`small`] of an r×c matrix.
pub fn small_workspace<B: Backend, T: Scalar>(r: usize, c: usize) -> usize {
    let (m, n) = (r.max(c), r.min(c));
    2 * m * n + n * n + B::svd_tall_workspace::<T>(m, n, true)
}

/// Flops of [`small`], about `4m²n + 22n³` with n ≤ m (Golub, Van Loan 2013, fig. 8.6.1).
pub fn small_flops(r: usize, c: usize) -> f64 {
    let (m, n) = (r.max(c) as f64, r.min(c) as f64);
    6.0 * m * n * n + 20.0 * n * n * n
}

/// `A = U·diag(s)·Vᵀ` for `A` r×c: `u` r×k, `s` k, `vt` k×c, with k = min(r, c).
///
/// `s` is descending and ≥ 0. U and V are orthonormal for any rank. In each row of `vt` the entry of largest
/// magnitude, the first of equals, is positive. The matrix is scaled by a power of two to entries of about 1
/// first, so its size does not matter as long as the singular values are numbers of the type.
///
/// # Errors
/// [`SvdError::NoConvergence`], in practice for NaN or Inf in the input only; [`SvdError::Overflow`] if a singular
/// value is above the largest number.
///
/// # Panics
/// If shapes do not fit or `work` is shorter than [`small_workspace`].
pub fn small<B: Backend, T: Scalar>(
    a: ArrayView2<T>,
    u: ArrayViewMut2<T>,
    s: &mut [T],
    vt: ArrayViewMut2<T>,
    mut work: &mut [T],
) -> Result<(), SvdError> {
    let (r, c) = a.dim();
    let k = r.min(c);
    assert_eq!((u.dim(), s.len(), vt.dim()), ((r, k), k, (k, c)), "shapes of the SVD of a {r}×{c} matrix");
    let flipped = r < c;
    let (mut tall, exponent) = scaled_tall(a, &mut work)?;
    let mut left = workspace::take_columns(&mut work, r.max(c), k);
    let mut right = workspace::take_columns(&mut work, k, k);
    if k > 0 {
        B::svd_tall(tall.view_mut(), s, Some((left.view_mut(), right.view_mut())), work)?;
    }
    scale_back(s, exponent)?;
    let (mut left, mut right) = if flipped { (right, left) } else { (left, right) };
    fix_signs(left.view_mut(), right.view_mut());
    transpose::copy(left.view(), u);
    transpose::copy(right.t(), vt);
    Ok(())
}

/// Elements of workspace for [`values`] of an r×c matrix.
pub fn values_workspace<B: Backend, T: Scalar>(r: usize, c: usize) -> usize {
    let (m, n) = (r.max(c), r.min(c));
    m * n + B::svd_tall_workspace::<T>(m, n, false)
}

/// Flops of [`values`], about `4mn² − 4n³/3` with n ≤ m.
pub fn values_flops(r: usize, c: usize) -> f64 {
    let (m, n) = (r.max(c) as f64, r.min(c) as f64);
    4.0 * m * n * n - 4.0 / 3.0 * n * n * n
}

/// The singular values alone, as [`small`] orders and scales them.
///
/// # Errors
/// As of [`small`].
pub fn values<B: Backend, T: Scalar>(
    a: ArrayView2<T>,
    s: &mut [T],
    mut work: &mut [T],
) -> Result<(), SvdError> {
    assert_eq!(s.len(), a.nrows().min(a.ncols()), "as many singular values as the shorter side");
    let (tall, exponent) = scaled_tall(a, &mut work)?;
    if !s.is_empty() {
        B::svd_tall(tall, s, None, work)?;
    }
    scale_back(s, exponent)
}

/// Takes the singular values back to the size of the matrix.
fn scale_back<T: Scalar>(s: &mut [T], exponent: i32) -> Result<(), SvdError> {
    s.iter_mut().for_each(|x| *x = x.times_pow2(exponent));
    if s.iter().all(|x| x.is_finite()) { Ok(()) } else { Err(SvdError::Overflow) }
}

/// A column-major copy of A or Aᵀ with no fewer rows than columns and entries up to 1, and the exponent taken out.
fn scaled_tall<'a, T: Scalar>(
    a: ArrayView2<T>,
    work: &mut &'a mut [T],
) -> Result<(ArrayViewMut2<'a, T>, i32), NoConvergence> {
    if reduce::first_nonfinite(a).is_some() {
        return Err(NoConvergence);
    }
    let a = if a.nrows() < a.ncols() { a.reversed_axes() } else { a };
    let exponent = reduce::max_abs(a).exponent();
    let mut tall = workspace::take_columns(work, a.nrows(), a.ncols());
    transpose::copy(a, tall.view_mut());
    tall.mapv_inplace(|x| x.times_pow2(-exponent));
    Ok((tall, exponent))
}

/// Is the entry of largest magnitude, the first of equals, negative? Singular vectors are turned so that it is not.
/// Magnitudes are equal if they differ by no more than √ε of themselves: what another order of sums makes of them must
/// not decide.
pub fn points_back<T: Scalar>(vector: ArrayView1<T>) -> bool {
    let least = reduce::max_abs(vector.insert_axis(Axis(1))) * (T::ONE - T::EPS.sqrt());
    vector.iter().find(|x| x.abs() >= least).is_some_and(|x| *x < T::ZERO)
}

/// Flips pairs of columns so that the largest entry of each right one is positive.
fn fix_signs<T: Scalar>(mut left: ArrayViewMut2<T>, mut right: ArrayViewMut2<T>) {
    for (mut u, mut v) in left.columns_mut().into_iter().zip(right.columns_mut()) {
        if points_back(v.view()) {
            u.mapv_inplace(|x| -x);
            v.mapv_inplace(|x| -x);
        }
    }
}

/// Makes the diagonal of the upper trapezoidal `r` ≥ 0 by flipping rows; `signs[i]` is the factor of row i, by
/// which column i of Q must be multiplied too.
pub fn fix_diagonal<T: Scalar>(mut r: ArrayViewMut2<T>, signs: &mut [T]) {
    assert_eq!(r.nrows(), signs.len(), "one sign for each row");
    for (i, (mut row, sign)) in r.rows_mut().into_iter().zip(signs).enumerate() {
        *sign = if row[i] < T::ZERO { -T::ONE } else { T::ONE };
        if *sign < T::ZERO {
            row.slice_mut(ndarray::s![i..]).mapv_inplace(|x| -x);
        }
    }
}
