//! What can be asked of a session, and the program that does it.

use super::error::Error;
use crate::array::{Array, Axis, BlockGrid, BlockSize, Element, Fill, Law};
use crate::graph::{Access, Builder, Lowering, Program, Tall};
use kernels::tsqr::factor_len;

/// Length of a square block unless the user says otherwise, at most: 16 MB of f64, a tenth of a second
/// in a product.
const LARGEST_SQUARE: u64 = 1400;
/// A matrix is cut into so many pieces in its longer direction, at least: work for several threads.
const PIECES: u64 = 4;
/// A row of a block is an odd number of cache lines: rows a power of two apart evict each other
/// (gemm at 2048: 91 GFLOP/s on two cores here; at 2040: 99).
const LINE_ELEMENTS: u64 = 8;
/// Elements of a row block of a tall matrix: 8 MB of f64, small enough for many blocks, large enough
/// that the tree above costs nothing.
const TALL_ELEMENTS: u64 = 1 << 20;
/// Elements of a row block for the randomized SVD, whose partial results are as long as A is wide.
const SKETCH_ELEMENTS: u64 = 1 << 22;

/// Options of the randomized SVD (Halko, Martinsson, Tropp 2011).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RsvdOptions {
    pub rank: u64,
    pub oversample: u64,
    pub power_iters: u32,
    pub seed: u64,
}

impl RsvdOptions {
    pub fn new(rank: u64) -> Self {
        RsvdOptions { rank, oversample: 10, power_iters: 2, seed: 0 }
    }
}

/// A result's name and shape.
pub type Named = (&'static str, (u64, u64));

#[derive(Clone, Debug)]
pub enum Operation {
    Compute(Array),
    Qr(Array),
    Svd { a: Array, values_only: bool },
    Rsvd { a: Array, options: RsvdOptions },
}

/// Choices that change how an operation is done, not what it gives (up to rounding for `half_steps`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Ways {
    /// Read A again in each pass, instead of holding it.
    pub read_again: bool,
    /// Orthonormalise after A·X too: for spectra that fall by more than the square root of eps.
    pub half_steps: bool,
}

/// A program with its results in order.
pub(super) struct Recipe {
    pub builder: Builder,
    pub results: Vec<(&'static str, Access)>,
    /// Small triangles whose diagonals tell the range of the spectrum.
    pub ranges: Vec<Access>,
}

impl Recipe {
    fn new(builder: Builder, results: Vec<(&'static str, Access)>) -> Self {
        Recipe { builder, results, ranges: Vec::new() }
    }

    /// The program with all results kept in memory.
    pub fn kept(mut self) -> (Program, Vec<(&'static str, Access)>, Vec<Access>) {
        for (_, access) in &self.results {
            self.builder.keep(access.stage);
        }
        self.finish()
    }

    /// The program with result number i written to output number i.
    pub fn written(mut self) -> (Program, Vec<(&'static str, Access)>, Vec<Access>) {
        for (at, (_, access)) in self.results.iter().enumerate() {
            self.builder.write(*access, at as u32);
        }
        self.finish()
    }

    fn finish(mut self) -> (Program, Vec<(&'static str, Access)>, Vec<Access>) {
        for range in &self.ranges {
            self.builder.keep(range.stage);
        }
        (self.builder.finish(), self.results, self.ranges)
    }
}

impl Operation {
    /// The array that is worked on.
    fn array(&self) -> &Array {
        match self {
            Operation::Compute(a) | Operation::Qr(a) => a,
            Operation::Svd { a, .. } | Operation::Rsvd { a, .. } => a,
        }
    }

    pub fn element(&self) -> Result<Element, Error> {
        Ok(self.array().element()?)
    }

    /// Shape of the matrix that is worked on.
    pub fn shape(&self) -> Result<(u64, u64), Error> {
        Ok(self.array().shape()?)
    }

    /// Names and shapes of the results, in the order of the recipe. A vector is a column here.
    pub fn result_shapes(&self) -> Result<Vec<Named>, Error> {
        let (m, n) = self.array().shape()?;
        let k = m.min(n);
        Ok(match self {
            Operation::Compute(_) => vec![("result", (m, n))],
            Operation::Qr(_) => vec![("q", (m, k)), ("r", (k, n))],
            Operation::Svd { values_only: true, .. } => vec![("s", (k, 1))],
            Operation::Svd { .. } => vec![("u", (m, k)), ("s", (k, 1)), ("vt", (k, n))],
            Operation::Rsvd { options, .. } => {
                let k = options.rank;
                vec![("u", (m, k)), ("s", (k, 1)), ("vt", (k, n))]
            }
        })
    }

    /// Refuses what cannot be computed, before anything is planned.
    pub fn check(&self) -> Result<(), Error> {
        let (m, n) = self.array().shape()?;
        match self {
            Operation::Compute(_) => Ok(()),
            Operation::Rsvd { options, .. } => check_rank(options, m, n),
            Operation::Qr(_) | Operation::Svd { .. } => Ok(()),
        }
    }

    /// Rows and columns of blocks for this operation.
    pub fn blocks(&self, asked: BlockSize) -> Result<(u64, u64), Error> {
        let (m, n) = self.array().shape()?;
        let (long, short) = (m.max(n), m.min(n).max(1));
        let tall = |elements: u64, floor: u64| {
            let rows = match asked {
                BlockSize::Auto => (elements / short).max(floor).max(1).next_power_of_two(),
                BlockSize::Square(rows) | BlockSize::RowsCols(rows, _) => rows,
            };
            (rows.min(long.max(1)), short)
        };
        Ok(match self {
            Operation::Compute(_) => match asked {
                BlockSize::Square(b) => (b, b),
                BlockSize::RowsCols(r, c) => (r, c),
                BlockSize::Auto => (square(long), square(long)),
            },
            Operation::Qr(_) if m < n => (tall(TALL_ELEMENTS, 4 * short).0.min(short), long),
            Operation::Qr(_) | Operation::Svd { .. } => tall(TALL_ELEMENTS, 4 * short),
            Operation::Rsvd { .. } => tall(SKETCH_ELEMENTS, 1),
        })
    }

    /// The program's stages.
    pub(super) fn recipe(&self, blocks: (u64, u64), ways: Ways) -> Result<Recipe, Error> {
        let (m, n) = self.array().shape()?;
        let mut builder = Builder::default();
        if m.min(n) == 0 && !matches!(self, Operation::Compute(_)) {
            return self.empty(builder);
        }
        match self {
            Operation::Compute(a) => {
                let grid = BlockGrid::new(Axis::new(m, blocks.0), Axis::new(n, blocks.1));
                let inner = blocks.0.min(blocks.1);
                let access = Lowering::new(&mut builder, inner).lower(a, grid)?;
                Ok(Recipe::new(builder, vec![("result", access)]))
            }
            Operation::Qr(a) => {
                let (q, r) = tall(&mut builder, a, blocks.0, ways)?.qr(&mut builder);
                Ok(Recipe::new(builder, vec![("q", q), ("r", r)]))
            }
            Operation::Svd { a, values_only } => svd(builder, a, blocks.0, *values_only, ways),
            Operation::Rsvd { a, options } => rsvd(builder, a, blocks.0, options, ways),
        }
    }

    /// Results of a matrix without rows or without columns: empty ones.
    fn empty(&self, mut builder: Builder) -> Result<Recipe, Error> {
        let element = self.element()?;
        let mut results = Vec::new();
        for (name, (rows, cols)) in self.result_shapes()? {
            let grid = BlockGrid::whole(rows, cols);
            results.push((name, builder.fill(Fill::Constant(0.0), 0, 0, grid, element)));
        }
        Ok(Recipe::new(builder, results))
    }
}

/// The length of square blocks for a matrix whose longer side is `long`.
fn square(long: u64) -> u64 {
    let pieces = PIECES.max(long.div_ceil(LARGEST_SQUARE));
    let lines = long.div_ceil(pieces).div_ceil(LINE_ELEMENTS);
    (lines | 1) * LINE_ELEMENTS
}

fn check_rank(options: &RsvdOptions, m: u64, n: u64) -> Result<(), Error> {
    if options.rank == 0 || options.rank > m.min(n) {
        let message = format!("rank {} of a {m}x{n} matrix: choose 1 to {}", options.rank, m.min(n));
        return Err(Error::Request(message));
    }
    Ok(())
}

/// The matrix in row blocks over its whole width.
fn row_blocks(builder: &mut Builder, a: &Array, rows: u64) -> Result<Access, Error> {
    let (m, n) = a.shape()?;
    let grid = BlockGrid::new(Axis::new(m, rows), Axis::whole(n));
    Ok(Lowering::new(builder, rows).lower(a, grid)?)
}

fn tall(builder: &mut Builder, a: &Array, rows: u64, ways: Ways) -> Result<Tall, Error> {
    let access = row_blocks(builder, a, rows)?;
    let tall = Tall::new(builder, access, factor_len);
    Ok(if ways.read_again { tall.with_second_read(row_blocks(builder, a, rows)?) } else { tall })
}

/// SVD of A, or of Aᵀ if A is short and fat: A = (U' S V'ᵀ)ᵀ.
fn svd(mut builder: Builder, a: &Array, rows: u64, values_only: bool, ways: Ways) -> Result<Recipe, Error> {
    let (m, n) = a.shape()?;
    let fat = m < n;
    let upright = if fat { a.t() } else { a.clone() };
    let tree = tall(&mut builder, &upright, rows, ways)?;
    let keep = m.min(n);
    if values_only {
        let s = tree.values(&mut builder, keep);
        return Ok(Recipe::new(builder, vec![("s", s)]));
    }
    let (u, s, vt) = tree.svd(&mut builder, keep);
    let (u, vt) = if fat { (vt.t(), u.t()) } else { (u, vt) };
    Ok(Recipe::new(builder, vec![("u", u), ("s", s), ("vt", vt)]))
}

/// Randomized SVD with one pass over A for each power iteration: `X ← orth(Aᵀ(A·X))`, then
/// `Q = orth(A·X)`, `Bᵀ = AᵀQ`, SVD of Bᵀ. With half steps `X ← orth(Aᵀ·orth(A·X))`.
fn rsvd(
    mut builder: Builder,
    a: &Array,
    rows: u64,
    options: &RsvdOptions,
    ways: Ways,
) -> Result<Recipe, Error> {
    let (m, n) = a.shape()?;
    let fat = m < n;
    let upright = if fat { a.t() } else { a.clone() };
    let b = &mut builder;
    let mut held = None;
    let mut pass = |b: &mut Builder| -> Result<Access, Error> {
        match held {
            Some(access) if !ways.read_again => Ok(access),
            _ => Ok(*held.insert(row_blocks(b, &upright, rows)?)),
        }
    };
    let width = (options.rank + options.oversample).min(m.min(n));
    let sketch = Fill::Random { law: Law::Normal, seed: options.seed };
    let short = m.min(n);
    let element = a.element()?;
    let mut ranges = Vec::new();
    let mut x = None;
    for _ in 0..options.power_iters {
        let z = if ways.half_steps {
            let start = match x {
                Some(x) => x,
                None => b.fill(sketch, 0, 0, BlockGrid::whole(short, width), element),
            };
            let a = pass(b)?;
            let y = b.gemm(a, start);
            let (q, _) = Tall::new(b, y, factor_len).qr(b);
            let a = pass(b)?;
            b.tall_product(a, q)
        } else {
            let a = pass(b)?;
            b.gram_apply(a, x.ok_or((sketch, width)))
        };
        let (q, r) = Tall::new(b, z, factor_len).qr(b);
        ranges.push(r);
        x = Some(q);
    }
    let x = match x {
        Some(x) => x,
        None => b.fill(sketch, 0, 0, BlockGrid::whole(short, width), element),
    };
    let first = pass(b)?;
    let y = b.gemm(first, x);
    let (q, _) = Tall::new(b, y, factor_len).qr(b);
    let second = pass(b)?;
    let bt = b.tall_product(second, q);
    let (v, s, wt) = Tall::new(b, bt, factor_len).svd(b, options.rank);
    let u = b.gemm(q, wt.t());
    let (u, vt) = if fat { (v, u.t()) } else { (u, v.t()) };
    Ok(Recipe { builder, results: vec![("u", u), ("s", s), ("vt", vt)], ranges })
}
