//! The backend that links the site's OpenBLAS: BLAS by `cblas-sys`, LAPACK by `ndarray-linalg` and `lapack-sys`.

mod layout;
mod native;

pub(crate) use native::Native;

use crate::Scalar;
use crate::backend::{
    Backend, NoConvergence, NotPositiveDefinite, check_gemm, check_gram, check_pivots, check_svd_tall,
    check_trsm, mirror, scale, zero_strict_lower,
};
use layout::{leading, lines, readable, write};
use native::{Vectors, single_threaded};
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

/// Linear algebra by OpenBLAS, held to the calling thread. Views whose strides are neither row- nor
/// column-major are copied.
#[derive(Debug, Clone, Copy)]
pub struct OpenBlas;

impl Backend for OpenBlas {
    const NAME: &'static str = "openblas";

    fn variant() -> String {
        native::core_name()
    }

    fn gemm<T: Scalar>(alpha: T, a: ArrayView2<T>, b: ArrayView2<T>, beta: T, c: ArrayViewMut2<T>) {
        check_gemm(&a, &b, &c);
        single_threaded();
        if c.is_empty() || a.ncols() == 0 {
            return scale(beta, c);
        }
        if leading(c.dim(), c.strides()).is_none() && leading(c.t().dim(), c.t().strides()).is_some() {
            return Self::gemm(alpha, b.reversed_axes(), a.reversed_axes(), beta, c.reversed_axes());
        }
        let (a, b) = (readable(a), readable(b));
        write(c, |c| <T as Native>::gemm(alpha, &lines(&a), &lines(&b), beta, c));
    }

    fn gram<T: Scalar>(a: ArrayView2<T>, beta: T, mut c: ArrayViewMut2<T>) {
        check_gram(&a, &c);
        single_threaded();
        if c.is_empty() || a.nrows() == 0 {
            return scale(beta, c);
        }
        let a = readable(a);
        write(c.view_mut(), |c| T::syrk(&lines(&a), beta, c));
        mirror(c);
    }

    fn trsm_right_upper<T: Scalar>(r: ArrayView2<T>, x: ArrayViewMut2<T>) {
        check_trsm(&r, &x);
        single_threaded();
        if x.is_empty() {
            return;
        }
        let r = readable(r);
        write(x, |x| T::trsm(&lines(&r), x));
    }

    fn cholesky<T: Scalar>(mut a: ArrayViewMut2<T>) -> Result<(), NotPositiveDefinite> {
        assert!(a.is_square(), "Cholesky of a square matrix");
        single_threaded();
        if a.is_empty() {
            return Ok(());
        }
        if a.is_standard_layout() {
            T::potrf(a.view_mut())?;
        } else {
            let mut copy = Array2::from_shape_fn(a.dim(), |at| a[at]);
            T::potrf(copy.view_mut())?;
            a.assign(&copy);
        }
        check_pivots(a.view())?;
        zero_strict_lower(a);
        Ok(())
    }

    fn svd_tall<T: Scalar>(
        mut a: ArrayViewMut2<T>,
        s: &mut [T],
        vectors: Option<(ArrayViewMut2<T>, ArrayViewMut2<T>)>,
        work: &mut [T],
    ) -> Result<(), NoConvergence> {
        check_svd_tall::<Self, T>(&a, s, vectors.as_ref(), work);
        single_threaded();
        if s.is_empty() {
            return Ok(());
        }
        let m = a.nrows();
        let a = column_major(&mut a);
        match vectors {
            None => T::gesdd(m, a, s, None, work),
            Some((mut u, mut v)) => {
                let vectors = Vectors { u: column_major(&mut u), vt: column_major(&mut v) };
                T::gesdd(m, a, s, Some(vectors), work)?;
                transpose_square(v);
                Ok(())
            }
        }
    }

    fn svd_tall_workspace<T: Scalar>(m: usize, n: usize, vectors: bool) -> usize {
        if n == 0 { 0 } else { T::gesdd_work(m, n, vectors) }
    }
}

fn column_major<'a, T: Scalar>(a: &'a mut ArrayViewMut2<T>) -> &'a mut [T] {
    let dim = a.dim();
    // Not through `t_mut`, which ndarray does not have: the memory order is what matters.
    assert!(a.t().is_standard_layout(), "a column-major matrix, {}×{}", dim.0, dim.1);
    a.as_slice_memory_order_mut().expect("contiguous")
}

fn transpose_square<T: Scalar>(mut a: ArrayViewMut2<T>) {
    for i in 0..a.nrows() {
        for j in 0..i {
            a.swap((i, j), (j, i));
        }
    }
}
