//! The backend in pure Rust: <https://docs.rs/faer>.

use crate::backend::{
    Backend, NoConvergence, NotPositiveDefinite, check_gemm, check_gram, check_pivots, check_svd_tall,
    check_trsm, mirror, scale, zero_strict_lower,
};
use crate::{Scalar, transpose};
use faer::diag::DiagMut;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltError, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::{matmul, triangular, triangular::BlockStructure};
use faer::linalg::svd::{ComputeSvdVectors, SvdParams, svd, svd_scratch};
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Accum, Auto, MatMut, MatRef, Par, Spec};
use ndarray::{ArrayView2, ArrayViewMut2, s};
use std::mem::MaybeUninit;
use std::ops::RangeInclusive;

/// Linear algebra by faer, on the calling thread.
#[derive(Debug, Clone, Copy)]
pub struct Faer;

/// As faer asks the machine.
#[cfg(target_arch = "x86_64")]
fn instructions() -> &'static str {
    let is_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    match (is_x86_feature_detected!("avx512f"), is_avx2) {
        (true, _) => "avx512f",
        (false, true) => "avx2+fma",
        (false, false) => "sse2",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn instructions() -> &'static str {
    std::env::consts::ARCH
}

/// The functions of the backend for one element type. They are compiled in this crate, once, and not again in each
/// crate and test that calls them.
pub trait Compiled: Sized {
    fn gemm(alpha: Self, a: ArrayView2<Self>, b: ArrayView2<Self>, beta: Self, c: ArrayViewMut2<Self>);
    fn gram(a: ArrayView2<Self>, beta: Self, c: ArrayViewMut2<Self>);
    fn trsm_right_upper(r: ArrayView2<Self>, x: ArrayViewMut2<Self>);
    fn cholesky(a: ArrayViewMut2<Self>) -> Result<(), NotPositiveDefinite>;
    fn svd_tall(
        a: ArrayViewMut2<Self>,
        s: &mut [Self],
        vectors: Option<(ArrayViewMut2<Self>, ArrayViewMut2<Self>)>,
        work: &mut [Self],
    ) -> Result<(), NoConvergence>;
    fn svd_tall_workspace(m: usize, n: usize, vectors: bool) -> usize;
}

macro_rules! compiled {
    ($type:ident) => {
        impl Compiled for $type {
            fn gemm(
                alpha: Self,
                a: ArrayView2<Self>,
                b: ArrayView2<Self>,
                beta: Self,
                c: ArrayViewMut2<Self>,
            ) {
                Faer::gemm_of(alpha, a, b, beta, c);
            }

            fn gram(a: ArrayView2<Self>, beta: Self, c: ArrayViewMut2<Self>) {
                Faer::gram_of(a, beta, c);
            }

            fn trsm_right_upper(r: ArrayView2<Self>, x: ArrayViewMut2<Self>) {
                Faer::trsm_right_upper_of(r, x);
            }

            fn cholesky(a: ArrayViewMut2<Self>) -> Result<(), NotPositiveDefinite> {
                Faer::cholesky_of(a)
            }

            fn svd_tall(
                a: ArrayViewMut2<Self>,
                s: &mut [Self],
                vectors: Option<(ArrayViewMut2<Self>, ArrayViewMut2<Self>)>,
                work: &mut [Self],
            ) -> Result<(), NoConvergence> {
                Faer::svd_tall_of(a, s, vectors, work)
            }

            fn svd_tall_workspace(m: usize, n: usize, vectors: bool) -> usize {
                Faer::svd_tall_workspace_of::<Self>(m, n, vectors)
            }
        }
    };
}

compiled!(f32);
compiled!(f64);

impl Backend for Faer {
    const NAME: &'static str = "faer";

    fn variant() -> String {
        instructions().into()
    }

    fn gemm<T: Scalar>(alpha: T, a: ArrayView2<T>, b: ArrayView2<T>, beta: T, c: ArrayViewMut2<T>) {
        <T as Compiled>::gemm(alpha, a, b, beta, c);
    }

    fn gram<T: Scalar>(a: ArrayView2<T>, beta: T, c: ArrayViewMut2<T>) {
        <T as Compiled>::gram(a, beta, c);
    }

    fn trsm_right_upper<T: Scalar>(r: ArrayView2<T>, x: ArrayViewMut2<T>) {
        <T as Compiled>::trsm_right_upper(r, x);
    }

    fn cholesky<T: Scalar>(a: ArrayViewMut2<T>) -> Result<(), NotPositiveDefinite> {
        <T as Compiled>::cholesky(a)
    }

    fn svd_tall<T: Scalar>(
        a: ArrayViewMut2<T>,
        s: &mut [T],
        vectors: Option<(ArrayViewMut2<T>, ArrayViewMut2<T>)>,
        work: &mut [T],
    ) -> Result<(), NoConvergence> {
        <T as Compiled>::svd_tall(a, s, vectors, work)
    }

    fn svd_tall_workspace<T: Scalar>(m: usize, n: usize, vectors: bool) -> usize {
        <T as Compiled>::svd_tall_workspace(m, n, vectors)
    }
}

/// The functions of the backend for any element type.
impl Faer {
    fn gemm_of<T: Scalar>(alpha: T, a: ArrayView2<T>, b: ArrayView2<T>, beta: T, mut c: ArrayViewMut2<T>) {
        check_gemm(&a, &b, &c);
        let accumulate = prepare(beta, a.ncols(), &mut c);
        if c.is_empty() || a.ncols() == 0 {
            return;
        }
        if evicts_itself(a) && NARROW.contains(&b.ncols()) {
            return gemm_in_tiles(accumulate, alpha, a, b, c);
        }
        matmul(mat_mut(c), accumulate, mat(a), mat(b), alpha, Par::Seq);
    }

    fn gram_of<T: Scalar>(a: ArrayView2<T>, beta: T, mut c: ArrayViewMut2<T>) {
        check_gram(&a, &c);
        let accumulate = prepare(beta, a.nrows(), &mut c);
        if c.is_empty() || a.nrows() == 0 {
            return;
        }
        triangular::matmul(
            mat_mut(c.view_mut()),
            BlockStructure::TriangularUpper,
            accumulate,
            mat(a.t()),
            BlockStructure::Rectangular,
            mat(a),
            BlockStructure::Rectangular,
            T::ONE,
            Par::Seq,
        );
        mirror(c);
    }

    fn trsm_right_upper_of<T: Scalar>(r: ArrayView2<T>, x: ArrayViewMut2<T>) {
        check_trsm(&r, &x);
        if x.is_empty() {
            return;
        }
        solve_lower_triangular_in_place(mat(r.reversed_axes()), mat_mut(x.reversed_axes()), Par::Seq);
    }

    fn cholesky_of<T: Scalar>(mut a: ArrayViewMut2<T>) -> Result<(), NotPositiveDefinite> {
        assert!(a.is_square(), "Cholesky of a square matrix");
        let n = a.nrows();
        if n == 0 {
            return Ok(());
        }
        let mut memory = MemBuffer::new(cholesky_in_place_scratch::<T>(n, Par::Seq, Default::default()));
        let lower = mat_mut(a.view_mut().reversed_axes());
        let stack = MemStack::new(&mut memory);
        cholesky_in_place(lower, Default::default(), Par::Seq, stack, Default::default())
            .map_err(|LltError::NonPositivePivot { index }| NotPositiveDefinite { column: index })?;
        check_pivots(a.view())?;
        zero_strict_lower(a);
        Ok(())
    }

    fn svd_tall_of<T: Scalar>(
        a: ArrayViewMut2<T>,
        s: &mut [T],
        vectors: Option<(ArrayViewMut2<T>, ArrayViewMut2<T>)>,
        work: &mut [T],
    ) -> Result<(), NoConvergence> {
        check_svd_tall::<Faer, T>(&a, s, vectors.as_ref(), work);
        let (u, v) = match vectors {
            Some((u, v)) => (Some(mat_mut(u)), Some(mat_mut(v))),
            None => (None, None),
        };
        let a = mat(a.view());
        svd(a, DiagMut::from_slice_mut(s), u, v, Par::Seq, stack_in(work), svd_params::<T>())
            .map_err(|_| NoConvergence)
    }

    fn svd_tall_workspace_of<T: Scalar>(m: usize, n: usize, vectors: bool) -> usize {
        let compute = if vectors { ComputeSvdVectors::Thin } else { ComputeSvdVectors::No };
        svd_scratch::<T>(m, n, compute, compute, Par::Seq, svd_params::<T>())
            .unaligned_bytes_required()
            .div_ceil(size_of::<T>())
    }
}

/// faer reads the left operand of a product with so few columns in place, four rows at a time; with fewer still, whole
/// columns of it.
const NARROW: RangeInclusive<usize> = 4..=256;
/// Rows and columns of a tile of it: half of a second-level cache.
const TILE_ROWS: usize = 128;
const TILE_COLUMNS: usize = 256;
/// Columns that are a multiple of so many bytes apart lie in the same few lines of a cache.
const SAME_LINES: usize = 4096;

/// Are the columns of A contiguous, and do the elements of a row drive each other out of the caches?
fn evicts_itself<T>(a: ArrayView2<T>) -> bool {
    let apart = a.strides()[1].unsigned_abs() * size_of::<T>();
    a.strides()[0] == 1 && apart.is_multiple_of(SAME_LINES) && a.len() >= TILE_ROWS * TILE_COLUMNS
}

/// `C ← α·A·B`, or that added to C, with A copied in tiles whose columns are not so far apart: Aᵀ·Y with rows of A of
/// 24576 f64 has 20 instead of 8 GFLOP/s.
fn gemm_in_tiles<T: Scalar>(
    accumulate: Accum,
    alpha: T,
    a: ArrayView2<T>,
    b: ArrayView2<T>,
    mut c: ArrayViewMut2<T>,
) {
    const PITCH: usize = TILE_ROWS + 8;
    let (m, k) = a.dim();
    #[allow(clippy::useless_vec)] // 280 KB are too much for a stack
    let mut room = vec![T::ZERO; PITCH * TILE_COLUMNS];
    for rows in (0..m).step_by(TILE_ROWS).map(|start| start..(start + TILE_ROWS).min(m)) {
        let mut accumulate = accumulate;
        for inner in (0..k).step_by(TILE_COLUMNS).map(|start| start..(start + TILE_COLUMNS).min(k)) {
            let part = a.slice(s![rows.clone(), inner.clone()]);
            let tile =
                ArrayViewMut2::from_shape((TILE_COLUMNS, PITCH), &mut room[..]).expect("room for a tile");
            let mut tile = tile.reversed_axes().slice_move(s![..part.nrows(), ..part.ncols()]);
            transpose::copy(part, tile.view_mut());
            let factor = b.slice(s![inner, ..]);
            let result = c.slice_mut(s![rows.clone(), ..]);
            matmul(mat_mut(result), accumulate, mat(tile.view()), mat(factor), alpha, Par::Seq);
            accumulate = Accum::Add;
        }
    }
}

/// Without the QR that faer puts before tall matrices: it drops columns below `16·m·EPS` of their norm, which is
/// more than our bounds allow.
fn svd_params<T: Scalar>() -> Spec<SvdParams, T> {
    SvdParams { qr_ratio_threshold: f64::INFINITY, ..<SvdParams as Auto<T>>::auto() }.into()
}

/// Brings `β·C` down to faer's two cases.
fn prepare<T: Scalar>(beta: T, inner: usize, c: &mut ArrayViewMut2<T>) -> Accum {
    if inner == 0 || (beta != T::ZERO && beta != T::ONE) {
        scale(beta, c.view_mut());
    }
    if beta == T::ZERO { Accum::Replace } else { Accum::Add }
}

fn mat<T>(a: ArrayView2<'_, T>) -> MatRef<'_, T> {
    let (m, n) = a.dim();
    // SAFETY: pointer, shape and strides are those of a live view, whose lifetime the result takes over.
    unsafe { MatRef::from_raw_parts(a.as_ptr(), m, n, a.strides()[0], a.strides()[1]) }
}

fn mat_mut<T>(mut a: ArrayViewMut2<'_, T>) -> MatMut<'_, T> {
    let (m, n) = a.dim();
    // SAFETY: pointer, shape and strides are those of a live view. It is consumed: the result is the only access.
    unsafe { MatMut::from_raw_parts_mut(a.as_mut_ptr(), m, n, a.strides()[0], a.strides()[1]) }
}

/// Lends the caller's workspace to faer.
fn stack_in<T: Scalar>(work: &mut [T]) -> &mut MemStack {
    // SAFETY: `MaybeUninit<T>` has T's layout. faer may leave bytes of it unwritten or write any bits,
    // and every bit pattern is a valid f32 or f64, so `work` holds valid values afterwards.
    let raw =
        unsafe { std::slice::from_raw_parts_mut(work.as_mut_ptr().cast::<MaybeUninit<T>>(), work.len()) };
    MemStack::new_any(raw)
}
