//! The C and Fortran routines of OpenBLAS for each element type, behind one trait.

use super::layout::{Lines, LinesMut, int};
use crate::{NoConvergence, NotPositiveDefinite};
use cblas_sys::{CBLAS_LAYOUT, CBLAS_TRANSPOSE};
use ndarray::ArrayViewMut2;
use ndarray_linalg::cholesky::{CholeskyInplace, UPLO};
use ndarray_linalg::error::LinalgError;
use std::ffi::{CStr, c_char, c_int};

// Makes cargo link the library.
use openblas_src as _;

unsafe extern "C" {
    fn openblas_set_num_threads(threads: c_int);
    fn openblas_get_corename() -> *const c_char;
}

/// Holds OpenBLAS to the calling thread, once for the process.
pub(super) fn single_threaded() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    // SAFETY: no argument is a pointer, and `Once` keeps calls apart.
    ONCE.call_once(|| unsafe { openblas_set_num_threads(1) });
}

/// The type of core whose kernels OpenBLAS has chosen.
pub(super) fn core_name() -> String {
    // SAFETY: takes nothing.
    let name = unsafe { openblas_get_corename() };
    assert!(!name.is_null(), "the library knows its core");
    // SAFETY: a text of the library that ends in a zero and lives as long as the process.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// Column-major output of an SVD: U (m×n) and Vᵀ (n×n), or neither.
pub struct Vectors<'a, T> {
    pub(super) u: &'a mut [T],
    pub(super) vt: &'a mut [T],
}

fn flag(transposed: bool) -> CBLAS_TRANSPOSE {
    if transposed { CBLAS_TRANSPOSE::CblasTrans } else { CBLAS_TRANSPOSE::CblasNoTrans }
}

/// What OpenBLAS does for an element type. All matrices are row-major lines; see [`super::layout`].
pub trait Native: Sized {
    fn gemm(alpha: Self, a: &Lines<Self>, b: &Lines<Self>, beta: Self, c: &mut LinesMut<Self>);
    fn syrk(a: &Lines<Self>, beta: Self, c: &mut LinesMut<Self>);
    fn trsm(r: &Lines<Self>, x: &mut LinesMut<Self>);
    fn potrf(a: ArrayViewMut2<Self>) -> Result<(), NotPositiveDefinite>;
    fn gesdd(
        m: usize,
        a: &mut [Self],
        s: &mut [Self],
        vectors: Option<Vectors<Self>>,
        work: &mut [Self],
    ) -> Result<(), NoConvergence>;
    fn gesdd_work(m: usize, n: usize, vectors: bool) -> usize;
}

macro_rules! native {
    ($t:ident, $gemm:ident, $syrk:ident, $trsm:ident, $gesdd:ident) => {
        impl Native for $t {
            fn gemm(alpha: $t, a: &Lines<$t>, b: &Lines<$t>, beta: $t, c: &mut LinesMut<$t>) {
                assert_eq!((a.rows, a.cols, b.cols), (c.rows, b.rows, c.cols), "shapes of A·B");
                let m = int(c.rows);
                let n = int(c.cols);
                let k = int(a.cols);
                // SAFETY: A is m×k, B k×n and C m×n, as was just checked, and `Lines` and `LinesMut` are theirs as they
                // promise. Nothing else is read or written.
                unsafe {
                    cblas_sys::$gemm(
                        CBLAS_LAYOUT::CblasRowMajor,
                        flag(a.transposed),
                        flag(b.transposed),
                        m,
                        n,
                        k,
                        alpha,
                        a.ptr,
                        a.ld,
                        b.ptr,
                        b.ld,
                        beta,
                        c.ptr,
                        c.ld,
                    );
                }
            }

            fn syrk(a: &Lines<$t>, beta: $t, c: &mut LinesMut<$t>) {
                assert_eq!((c.rows, c.cols), (a.cols, a.cols), "shape of AᵀA");
                // SAFETY: A has as many columns as C has rows and columns, as was just checked, and `Lines` and
                // `LinesMut` are theirs as they promise. Of C the upper triangle is written.
                unsafe {
                    cblas_sys::$syrk(
                        CBLAS_LAYOUT::CblasRowMajor,
                        cblas_sys::CBLAS_UPLO::CblasUpper,
                        flag(!a.transposed),
                        int(c.cols),
                        int(a.rows),
                        1.0,
                        a.ptr,
                        a.ld,
                        beta,
                        c.ptr,
                        c.ld,
                    );
                }
            }

            fn trsm(r: &Lines<$t>, x: &mut LinesMut<$t>) {
                use cblas_sys::CBLAS_UPLO::{CblasLower, CblasUpper};
                assert_eq!((r.rows, r.cols), (x.cols, x.cols), "shape of R in X·R⁻¹");
                // SAFETY: R has as many rows and columns as X has columns, as was just checked, and `Lines` and
                // `LinesMut` are theirs as they promise. A triangle of R is read.
                unsafe {
                    cblas_sys::$trsm(
                        CBLAS_LAYOUT::CblasRowMajor,
                        cblas_sys::CBLAS_SIDE::CblasRight,
                        if r.transposed { CblasLower } else { CblasUpper },
                        flag(r.transposed),
                        cblas_sys::CBLAS_DIAG::CblasNonUnit,
                        int(x.rows),
                        int(x.cols),
                        1.0,
                        r.ptr,
                        r.ld,
                        x.ptr,
                        x.ld,
                    );
                }
            }

            fn potrf(mut a: ArrayViewMut2<$t>) -> Result<(), NotPositiveDefinite> {
                match a.cholesky_inplace(UPLO::Upper) {
                    Ok(_) => Ok(()),
                    Err(LinalgError::Lapack(lax::error::Error::LapackComputationalFailure {
                        return_code,
                    })) => Err(NotPositiveDefinite { column: return_code as usize - 1 }),
                    Err(other) => unreachable!("a square contiguous matrix was refused: {other}"),
                }
            }

            fn gesdd(
                m: usize,
                a: &mut [$t],
                s: &mut [$t],
                vectors: Option<Vectors<$t>>,
                work: &mut [$t],
            ) -> Result<(), NoConvergence> {
                let len = s.len();
                assert!(0 < len && len <= m && a.len() == m * len, "shape of the matrix of gesdd");
                if let Some(Vectors { u, vt }) = &vectors {
                    assert!(u.len() == m * len && vt.len() == len * len, "shapes of the vectors of gesdd");
                }
                assert!(work.len() >= Self::gesdd_work(m, len, vectors.is_some()), "workspace of gesdd");
                let rows = int(m);
                let cols = int(len);
                let lwork = c_int::try_from(work.len()).unwrap_or(c_int::MAX);
                let job = if vectors.is_some() { b'S' } else { b'N' } as c_char;
                let (u, vt) = match vectors {
                    Some(Vectors { u, vt }) => (u.as_mut_ptr(), vt.as_mut_ptr()),
                    None => (std::ptr::null_mut(), std::ptr::null_mut()),
                };
                let mut integers = vec![0 as c_int; 8 * len];
                let mut info = 0;
                // SAFETY: A and U have m·n elements, Vᵀ n·n, S n and `work` no fewer than the query asked for, as was
                // just checked; without vectors their pointers are not used. There are 8·n integers, as LAPACK wants.
                unsafe {
                    lapack_sys::$gesdd(
                        &job,
                        &rows,
                        &cols,
                        a.as_mut_ptr(),
                        &rows,
                        s.as_mut_ptr(),
                        u,
                        &rows,
                        vt,
                        &cols,
                        work.as_mut_ptr(),
                        &lwork,
                        integers.as_mut_ptr(),
                        &mut info,
                    );
                }
                match info {
                    0 => Ok(()),
                    // Argument 4 is the matrix, which LAPACK looks through for NaN.
                    1.. | -4 => Err(NoConvergence),
                    _ => unreachable!("argument {} of gesdd was refused", -info),
                }
            }

            fn gesdd_work(m: usize, n: usize, vectors: bool) -> usize {
                let rows = int(m);
                let cols = int(n);
                let query = -1;
                let job = if vectors { b'S' } else { b'N' } as c_char;
                let mut answer = 0.0;
                let mut nothing = 0.0;
                let mut integer = 0;
                let mut info = 0;
                // SAFETY: all pointers are to single numbers; a query writes `answer` and `info` and reads sizes only.
                unsafe {
                    lapack_sys::$gesdd(
                        &job,
                        &rows,
                        &cols,
                        &mut nothing,
                        &rows,
                        &mut nothing,
                        &mut nothing,
                        &rows,
                        &mut nothing,
                        &cols,
                        &mut answer,
                        &query,
                        &mut integer,
                        &mut info,
                    );
                }
                assert_eq!(info, 0, "query of gesdd");
                // The answer is a float, and in f32 it may have been rounded down.
                (answer as f64 * (1.0 + f64::from(f32::EPSILON))) as usize + 1
            }
        }
    };
}

native!(f32, cblas_sgemm, cblas_ssyrk, cblas_strsm, sgesdd_);
native!(f64, cblas_dgemm, cblas_dsyrk, cblas_dtrsm, dgesdd_);
