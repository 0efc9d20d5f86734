//! The tasks of a TSQR tree: packing and unpacking around the kernels.

use super::job::{Job, transposed_panel, turn};
use crate::array::Axis;
use crate::data::Real;
use crate::failure::{Blame, Failure};
use crate::graph::{Kind, Part, Seed, rows_below};
use crate::store::{Block, Buffer};
use kernels::svd::SvdError;
use kernels::{Active, svd, tsqr};
use ndarray::{ArrayView2, ArrayViewMut2};

/// A triangle at the start of a block: R of a leaf, or of a merge, which keeps its factor behind it.
fn triangle<T: Real>(block: &Block, rows: usize, n: usize) -> ArrayView2<'_, T> {
    ArrayView2::from_shape((rows, n), &block.slice::<T>()[..rows * n]).expect("R comes first")
}

fn matrix<T>(rows: usize, cols: usize, room: &mut [T]) -> ArrayViewMut2<'_, T> {
    ArrayViewMut2::from_shape((rows, cols), room).expect("rows·cols elements")
}

pub(super) fn run<T: Real>(job: &Job, out: &mut Block, work: &mut Buffer) -> Result<(), Failure> {
    match &job.stage().kind {
        Kind::LeafR { .. } => {
            let a = panel::<T>(job);
            let room = work.reals_mut(tsqr::leaf_workspace::<T>(a.nrows(), a.ncols()));
            tsqr::leaf_r::<Active, T>(a, &mut out.view_mut(), room);
        }
        Kind::Merge { panel, n, span } => merge::<T>(job, *panel, *n, *span, out.slice_mut(), work),
        Kind::RootSvd { n, keep, values_only, .. } => {
            root_svd::<T>(job, *n as usize, *keep as usize, *values_only, out.slice_mut(), work)?;
        }
        Kind::RootQr { panel, n, span } => {
            let (k, n) = (rows_below(*panel, *span, 0, *n) as usize, *n as usize);
            let (r, signs) = out.slice_mut::<T>().split_at_mut(k * n);
            let mut r = matrix(k, n, r);
            r.assign(&triangle(job.operand(0), k, n));
            check_range(r.view())?;
            svd::fix_diagonal(r, signs);
        }
        Kind::Down { panel, n, span, width, seed } => {
            down::<T>(job, *panel, (*n, *width), *span, *seed, out.view_mut(), work);
        }
        Kind::LeafApply { panel: rows, n, width, seed } => {
            let a = panel::<T>(job);
            let (k, c) = (a.nrows().min(a.ncols()), *width as usize);
            let (room, rest) = work.reals_mut::<T>(workspace_of_apply::<T>(a.dim(), c)).split_at_mut(k * c);
            let mut start = matrix(k, c, room);
            seed_rows(job, *rows, *n, *seed, start.view_mut());
            tsqr::leaf_apply::<Active, T>(a, start.view(), out.view_mut(), rest);
        }
        Kind::Unpack { part, n, keep, .. } => {
            unpack::<T>(job, *part, *n as usize, *keep as usize, out.slice_mut())
        }
        other => unreachable!("{} is not a task of a tree", other.name()),
    }
    Ok(())
}

pub(super) fn workspace_of_apply<T: Real>((b, n): (usize, usize), c: usize) -> usize {
    b.min(n) * c + tsqr::leaf_apply_workspace::<T>(b, n, c)
}

fn panel<'a, T: Real>(job: &Job<'a>) -> ArrayView2<'a, T> {
    turn(job.operand(0).view(), transposed_panel(job))
}

/// Rows of the triangles of the two children of node `at`.
fn children(panel: Axis, n: u64, span: u32, at: u32) -> (usize, usize) {
    let below = |child| rows_below(panel, span, child, n) as usize;
    (below(2 * at), below(2 * at + 1))
}

/// Packs `[R | factor]`; an only child is passed on.
fn merge<T: Real>(job: &Job, panel: Axis, n: u64, span: u32, out: &mut [T], work: &mut Buffer) {
    let (r1, r2) = children(panel, n, span, job.task.index);
    let (blocks, n) = (job.operands(0), n as usize);
    let rows = (r1 + r2).min(n);
    let (r, factor) = out.split_at_mut(rows * n);
    let mut r = matrix(rows, n, r);
    if r2 == 0 {
        return r.assign(&triangle(blocks[0], r1, n));
    }
    let (top, bottom) = (triangle(blocks[0], r1, n), triangle(blocks[1], r2, n));
    let factor = &mut factor[..tsqr::factor_len(r1, r2, n)];
    tsqr::merge::<Active, T>(top, bottom, factor, work.reals_mut(tsqr::merge_workspace(r1, r2, n)));
    tsqr::factor_r(factor, r1, r2, n, r);
}

/// Inputs are finite, so what is not has overflowed on the way.
fn check_range<T: Real>(r: ArrayView2<T>) -> Result<(), Failure> {
    if r.iter().all(|x| x.is_finite()) {
        return Ok(());
    }
    let message = "numbers too large for the element type: divide the matrix by a constant".into();
    Err(Failure { blame: Blame::Overflow, message })
}

fn no_svd(error: SvdError) -> Failure {
    match error {
        SvdError::NoConvergence(_) => Failure::of_run(error),
        SvdError::Overflow => Failure { blame: Blame::Overflow, message: error.to_string() },
    }
}

fn root_svd<T: Real>(
    job: &Job,
    n: usize,
    keep: usize,
    values_only: bool,
    out: &mut [T],
    work: &mut Buffer,
) -> Result<(), Failure> {
    let r = triangle::<T>(job.operand(0), n, n);
    check_range(r)?;
    if values_only {
        let (s, rest) = work.reals_mut(n + svd::values_workspace::<Active, T>(n, n)).split_at_mut(n);
        svd::values::<Active, T>(r, s, rest).map_err(no_svd)?;
        out.copy_from_slice(&s[..keep]);
        return Ok(());
    }
    let room = work.reals_mut(2 * n * n + n + svd::small_workspace::<Active, T>(n, n));
    let (u, rest) = room.split_at_mut(n * n);
    let (vt, rest) = rest.split_at_mut(n * n);
    let (s, rest) = rest.split_at_mut(n);
    svd::small::<Active, T>(r, matrix(n, n, u), s, matrix(n, n, vt), rest).map_err(no_svd)?;
    let (out_u, rest) = out.split_at_mut(n * keep);
    let (out_s, out_vt) = rest.split_at_mut(keep);
    matrix(n, keep, out_u).assign(&matrix(n, n, u).slice(ndarray::s![.., ..keep]));
    out_s.copy_from_slice(&s[..keep]);
    out_vt.copy_from_slice(&vt[..keep * n]);
    Ok(())
}

/// The coefficients with which this node or leaf starts: the root's small factor, or its rows of what
/// the level above made.
fn seed_rows<T: Real>(job: &Job, panel: Axis, n: u64, seed: Seed, mut to: ArrayViewMut2<T>) {
    let (rows, cols) = to.dim();
    let above = job.operand(1);
    match seed {
        Seed::Svd => to.assign(&triangle(above, rows, cols)),
        Seed::Qr => {
            let signs = &above.slice::<T>()[cols * n as usize..];
            to.fill(T::ZERO);
            to.diag_mut().iter_mut().zip(signs).for_each(|(d, sign)| *d = *sign);
        }
        Seed::Above { span } => {
            let at = job.task.index;
            let first = if at % 2 == 1 { rows_below(panel, span, at - 1, n) as usize } else { 0 };
            to.assign(&above.view::<T>().slice(ndarray::s![first..first + rows, ..]));
        }
    }
}

/// Q of a merge times its seed; an only child gets the seed itself.
fn down<T: Real>(
    job: &Job,
    panel: Axis,
    (n, width): (u64, u64),
    span: u32,
    seed: Seed,
    mut out: ArrayViewMut2<T>,
    work: &mut Buffer,
) {
    let (r1, r2) = children(panel, n, span, job.task.index);
    if r2 == 0 {
        return seed_rows(job, panel, n, seed, out);
    }
    let (k, c) = ((r1 + r2).min(n as usize), width as usize);
    let kernel = tsqr::merge_apply_workspace(r1, r2, n as usize, c);
    let (room, rest) = work.reals_mut::<T>(k * c + kernel).split_at_mut(k * c);
    let mut start = matrix(k, c, room);
    seed_rows(job, panel, n, seed, start.view_mut());
    let packed = &job.operand(0).slice::<T>()[k * n as usize..];
    let factor = &packed[..tsqr::factor_len(r1, r2, n as usize)];
    tsqr::merge_apply::<Active, T>(factor, r1, r2, n as usize, start.view(), out.view_mut(), rest);
}

fn unpack<T: Real>(job: &Job, part: Part, n: usize, keep: usize, out: &mut [T]) {
    let start = match part {
        Part::SingularValues => n * keep,
        Part::RightVectors => n * keep + keep,
        Part::Triangle => 0,
    };
    out.copy_from_slice(&job.operand(0).slice::<T>()[start..start + out.len()]);
}
