//! The tasks of a TSQR tree: packing and unpacking around the kernels.

use crate::array::Axis;
use crate::data::Real;
use crate::exec::execute::{Execute, FullTask, kernel_work};
use crate::exec::job::{Job, transposed_panel, turn};
use crate::failure::{Blame, Failure};
use crate::graph::Work;
use crate::graph::kinds::{
    Down, Half, LeafApply, LeafR, Merge, Part, RootQr, RootSvd, Seed, Triangle, Unpack, rows_below,
};
use crate::store::{Block, Buffer};
use kernels::svd::SvdError;
use kernels::{Active, svd, tsqr};
use ndarray::{ArrayView2, ArrayViewMut2, s};

/// A small matrix at the start of a block.
fn leading<T: Real>(block: &Block, rows: usize, n: usize) -> ArrayView2<'_, T> {
    ArrayView2::from_shape((rows, n), &block.slice::<T>()[..rows * n]).expect("it comes first")
}

/// What a node sends up: its R row by row, without the zeros below the diagonal.
fn pack<T: Real>(r: ArrayView2<T>, out: &mut [T]) {
    let mut rest = out;
    for (i, row) in r.rows().into_iter().enumerate() {
        let (to, behind) = rest.split_at_mut(row.len() - i);
        to.iter_mut().zip(row.slice(s![i..])).for_each(|(to, from)| *to = *from);
        rest = behind;
    }
    assert!(rest.is_empty(), "a block is as long as the trapezoid in it");
}

/// The other way round.
fn unpack<T: Real>(block: &Block, mut r: ArrayViewMut2<T>) {
    let mut rest = block.slice::<T>();
    for (i, mut row) in r.rows_mut().into_iter().enumerate() {
        let (from, behind) = rest.split_at(row.len() - i);
        row.slice_mut(s![..i]).fill(T::ZERO);
        row.slice_mut(s![i..]).iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        rest = behind;
    }
    assert!(rest.is_empty(), "a block is as long as the trapezoid in it");
}

fn matrix<T>(rows: usize, cols: usize, room: &mut [T]) -> ArrayViewMut2<'_, T> {
    ArrayViewMut2::from_shape((rows, cols), room).expect("rows·cols elements")
}

fn panel<'a, T: Real>(job: &Job<'a>) -> ArrayView2<'a, T> {
    turn(job.operand(0).view(), transposed_panel(job))
}

/// Rows of the triangles of the two children of node `at`.
fn children(panel: Axis, n: u64, span: u32, at: u32) -> (usize, usize) {
    let below = |child| rows_below(panel, span, child, n) as usize;
    (below(2 * at), below(2 * at + 1))
}

impl<T: Real> Execute<T> for LeafR {
    fn work(&self, _: &FullTask) -> Work {
        let (b, n) = (self.panel.block() as usize, self.n as usize);
        kernel_work::<T>(tsqr::leaf_flops(b, n), b.min(n) * n + tsqr::leaf_workspace::<T>(b, n))
    }

    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let a = panel::<T>(job);
        let (b, n) = a.dim();
        let k = b.min(n);
        let (r, room) = workspace.reals_mut(k * n + tsqr::leaf_workspace::<T>(b, n)).split_at_mut(k * n);
        let mut r = matrix(k, n, r);
        tsqr::leaf_r::<Active, T>(a, &mut r, room);
        pack(r.view(), out.slice_mut());
        Ok(Some(out))
    }
}

impl<T: Real> Execute<T> for Merge {
    fn work(&self, _: &FullTask) -> Work {
        let n = self.n as usize;
        kernel_work::<T>(tsqr::merge_flops(n, n, n), 2 * n * n + tsqr::merge_workspace(n, n, n))
    }

    /// The factor of [`tsqr::merge`]. That of an only child is its R, as it would stand in a factor.
    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let (r1, r2) = children(self.panel, self.n, self.span, job.task.index);
        let blocks = job.operands(0);
        let n = self.n as usize;
        let factor = &mut out.slice_mut::<T>()[..tsqr::factor_len(r1, r2, n)];
        if r2 == 0 {
            unpack(blocks[0], matrix(n, r1, &mut factor[..r1 * n]).reversed_axes());
            return Ok(Some(out));
        }
        let room = workspace.reals_mut((r1 + r2) * n + tsqr::merge_workspace(r1, r2, n));
        let (top, room) = room.split_at_mut(r1 * n);
        let (bottom, room) = room.split_at_mut(r2 * n);
        let mut top = matrix(r1, n, top);
        let mut bottom = matrix(r2, n, bottom);
        unpack(blocks[0], top.view_mut());
        unpack(blocks[1], bottom.view_mut());
        tsqr::merge::<Active, T>(top.view(), bottom.view(), factor, room);
        Ok(Some(out))
    }
}

impl<T: Real> Execute<T> for Triangle {
    fn work(&self, _: &FullTask) -> Work {
        let n = self.n as usize;
        kernel_work::<T>(0.0, n * n)
    }

    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let (r1, r2) = children(self.panel, self.n, self.span, job.task.index);
        let n = self.n as usize;
        let k = (r1 + r2).min(n);
        let mut r = matrix(k, n, workspace.reals_mut(k * n));
        tsqr::factor_r(job.operand(0).slice::<T>(), r1, r2, n, r.view_mut());
        pack(r.view(), out.slice_mut());
        Ok(Some(out))
    }
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

fn workspace_of_root<T: Real>(n: usize, values_only: bool) -> usize {
    if values_only {
        n + svd::values_workspace::<Active, T>(n, n)
    } else {
        2 * n * n + n + svd::small_workspace::<Active, T>(n, n)
    }
}

impl<T: Real> Execute<T> for RootSvd {
    fn work(&self, _: &FullTask) -> Work {
        let n = self.n as usize;
        let flops = if self.values_only { svd::values_flops(n, n) } else { svd::small_flops(n, n) };
        kernel_work::<T>(flops, n * n + workspace_of_root::<T>(n, self.values_only))
    }

    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let (n, keep) = (self.n as usize, self.keep as usize);
        let room = workspace.reals_mut::<T>(n * n + workspace_of_root::<T>(n, self.values_only));
        let (r, room) = room.split_at_mut(n * n);
        let mut r = matrix(n, n, r);
        unpack(job.operand(0), r.view_mut());
        check_range(r.view())?;
        if self.values_only {
            values(r.view(), out.slice_mut(), room)?;
        } else {
            triplets(r.view(), keep, out.slice_mut(), room)?;
        }
        Ok(Some(out))
    }
}

/// The first singular values of a square matrix, as many as `out` is long.
fn values<T: Real>(r: ArrayView2<T>, out: &mut [T], room: &mut [T]) -> Result<(), Failure> {
    let (s, rest) = room.split_at_mut(r.nrows());
    svd::values::<Active, T>(r, s, rest).map_err(no_svd)?;
    out.copy_from_slice(&s[..out.len()]);
    Ok(())
}

/// The first `keep` singular triplets of a square matrix, packed `[U | s | Vᵀ]`.
fn triplets<T: Real>(r: ArrayView2<T>, keep: usize, out: &mut [T], room: &mut [T]) -> Result<(), Failure> {
    let n = r.nrows();
    let (u, rest) = room.split_at_mut(n * n);
    let (vt, rest) = rest.split_at_mut(n * n);
    let (s, rest) = rest.split_at_mut(n);
    svd::small::<Active, T>(r, matrix(n, n, u), s, matrix(n, n, vt), rest).map_err(no_svd)?;
    let (out_u, rest) = out.split_at_mut(n * keep);
    let (out_s, out_vt) = rest.split_at_mut(keep);
    matrix(n, keep, out_u).assign(&matrix(n, n, u).slice(s![.., ..keep]));
    out_s.copy_from_slice(&s[..keep]);
    out_vt.copy_from_slice(&vt[..keep * n]);
    Ok(())
}

impl<T: Real> Execute<T> for RootQr {
    fn work(&self, _: &FullTask) -> Work {
        Work::default()
    }

    fn run(&self, job: &mut Job, _: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let (k, n) = (rows_below(self.panel, self.span, 0, self.n) as usize, self.n as usize);
        let (r, signs) = out.slice_mut::<T>().split_at_mut(k * n);
        let mut r = matrix(k, n, r);
        unpack(job.operand(0), r.view_mut());
        check_range(r.view())?;
        svd::fix_diagonal(r, signs);
        Ok(Some(out))
    }
}

/// The coefficients with which this node or leaf starts: the root's small factor, or its rows of what
/// the level above made.
fn seed_rows<T: Real>(job: &Job, n: u64, seed: Seed, mut to: ArrayViewMut2<T>) {
    let (rows, cols) = to.dim();
    let above = job.operand(1);
    match seed {
        Seed::Svd | Seed::Above => to.assign(&leading(above, rows, cols)),
        Seed::Qr => {
            let signs = &above.slice::<T>()[cols * n as usize..];
            to.fill(T::ZERO);
            to.diag_mut().iter_mut().zip(signs).for_each(|(d, sign)| *d = *sign);
        }
    }
}

impl<T: Real> Execute<T> for Down {
    fn work(&self, _: &FullTask) -> Work {
        let (n, c) = (self.n as usize, self.width as usize);
        let elements = n * c + tsqr::merge_apply_workspace(n, n, n, c);
        kernel_work::<T>(tsqr::merge_apply_flops(n, n, n, c), elements)
    }

    /// Q of a merge times its seed; an only child gets the seed itself.
    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let (r1, r2) = children(self.panel, self.n, self.span, job.task.index);
        if r2 == 0 {
            seed_rows::<T>(job, self.n, self.seed, out.view_mut());
            return Ok(Some(out));
        }
        let (n, c) = (self.n as usize, self.width as usize);
        let k = (r1 + r2).min(n);
        let kernel = tsqr::merge_apply_workspace(r1, r2, n, c);
        let (room, rest) = workspace.reals_mut::<T>(k * c + kernel).split_at_mut(k * c);
        let mut start = matrix(k, c, room);
        seed_rows(job, self.n, self.seed, start.view_mut());
        let factor = &job.operand(0).slice::<T>()[..tsqr::factor_len(r1, r2, n)];
        tsqr::merge_apply::<Active, T>(factor, r1, r2, n, start.view(), out.view_mut(), rest);
        Ok(Some(out))
    }
}

impl<T: Real> Execute<T> for Half {
    fn work(&self, _: &FullTask) -> Work {
        Work::default()
    }

    fn run(&self, job: &mut Job, _: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let at = job.task.index;
        let first = if at % 2 == 1 { rows_below(self.panel, self.span, at - 1, self.n) as usize } else { 0 };
        let mut to = out.view_mut::<T>();
        let rows = to.nrows();
        to.assign(&job.operand(0).view().slice(s![first..first + rows, ..]));
        Ok(Some(out))
    }
}

fn workspace_of_apply<T: Real>(b: usize, n: usize, c: usize) -> usize {
    b.min(n) * c + tsqr::leaf_apply_workspace::<T>(b, n, c)
}

impl<T: Real> Execute<T> for LeafApply {
    fn work(&self, _: &FullTask) -> Work {
        let (b, n, c) = (self.panel.block() as usize, self.n as usize, self.width as usize);
        kernel_work::<T>(tsqr::leaf_apply_flops(b, n, c), workspace_of_apply::<T>(b, n, c))
    }

    fn run(&self, job: &mut Job, workspace: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut out = job.output()?;
        let a = panel::<T>(job);
        let (b, n, c) = (a.nrows(), a.ncols(), self.width as usize);
        let k = b.min(n);
        let (room, rest) = workspace.reals_mut::<T>(workspace_of_apply::<T>(b, n, c)).split_at_mut(k * c);
        let mut start = matrix(k, c, room);
        seed_rows(job, self.n, self.seed, start.view_mut());
        tsqr::leaf_apply::<Active, T>(a, start.view(), out.view_mut(), rest);
        Ok(Some(out))
    }
}

impl<T: Real> Execute<T> for Unpack {
    fn work(&self, _: &FullTask) -> Work {
        Work::default()
    }

    fn run(&self, job: &mut Job, _: &mut Buffer) -> Result<Option<Block>, Failure> {
        let mut block = job.output()?;
        let (n, keep) = (self.n as usize, self.keep as usize);
        let start = match self.part {
            Part::SingularValues => n * keep,
            Part::RightVectors => n * keep + keep,
            Part::Triangle => 0,
        };
        let out = block.slice_mut::<T>();
        out.copy_from_slice(&job.operand(0).slice::<T>()[start..start + out.len()]);
        Ok(Some(block))
    }
}
