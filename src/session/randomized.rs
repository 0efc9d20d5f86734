//! The randomized SVD as a program.

use super::error::Error;
use super::recipe::{Care, Recipe, Spread, Ways, row_blocks};
use crate::array::{Array, BlockGrid, Element, Fill, Law};
use crate::data::Matrix;
use crate::graph::{Access, Lowering, ProgramBuilder, Tall};
use kernels::tsqr::factor_len;

/// More power iterations only make rounding errors.
const MOST_POWER_ITERS: u32 = 100;
/// The power of two by which Ω is moved for extreme matrices: leaves room for any shape in f32 too.
pub(super) const SKETCH_SHIFT: i32 = 64;
/// Gram-type power iterations lose directions below the square root of this many eps: then half steps are taken.
const RANGE_IN_EPS: f64 = 1e3;

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

pub(super) fn check_rank(options: &RsvdOptions, m: u64, n: u64) -> Result<(), Error> {
    if options.rank == 0 || options.rank > m.min(n) {
        let message = format!("rank {} of a {m}x{n} matrix: choose 1 to {}", options.rank, m.min(n));
        return Err(Error::Request(message));
    }
    if options.power_iters > MOST_POWER_ITERS {
        let message = format!("{} power iterations: choose 0 to {MOST_POWER_ITERS}", options.power_iters);
        return Err(Error::Request(message));
    }
    Ok(())
}

/// Randomized SVD with one pass over A for each power iteration: `X ← orth(Aᵀ(A·X))`, then
/// `Q = orth(A·X)`, `Bᵀ = AᵀQ`, SVD of Bᵀ. With half steps `X ← orth(Aᵀ·orth(A·X))`.
pub(super) fn rsvd(
    mut builder: ProgramBuilder,
    a: &Array,
    rows: u64,
    options: &RsvdOptions,
    ways: Ways,
) -> Result<Recipe, Error> {
    let (m, n) = a.shape()?;
    let fat = m < n;
    let b = &mut builder;
    let mut passes =
        Passes { a: if fat { a.t() } else { a.clone() }, rows, again: ways.read_again, held: None };
    let sketch = Sketch {
        seed: options.seed,
        rows: m.min(n),
        width: options.rank.saturating_add(options.oversample).min(m.min(n)),
        element: a.element()?,
        exponent: ways.care.sketch_exponent,
    };
    let mut spreads = Vec::new();
    let mut x = None;
    for _ in 0..options.power_iters {
        let start = x.map_or_else(|| sketch.block(b), Ok)?;
        let z = if ways.care.half_steps {
            let a = passes.next(b)?;
            let y = b.gemm(a, start);
            let (q, _) = Tall::new(b, y, factor_len).qr(b);
            let a = passes.next(b)?;
            b.tall_product(a, q)
        } else {
            let a = passes.next(b)?;
            b.gram_apply(a, start)
        };
        let (q, triangle) = Tall::new(b, z, factor_len).qr(b);
        spreads.push(Spread { triangle, squared: true });
        x = Some(q);
    }
    let x = x.map_or_else(|| sketch.block(b), Ok)?;
    let a = passes.next(b)?;
    let y = b.gemm(a, x);
    let (q, triangle) = Tall::new(b, y, factor_len).qr(b);
    spreads.push(Spread { triangle, squared: false });
    let a = passes.next(b)?;
    let bt = b.tall_product(a, q);
    let (v, s, wt) = Tall::new(b, bt, factor_len).svd(b, options.rank);
    // As in `svd`, the vectors of the shorter side, which are V here, decide.
    let (v, w) = (b.fix_signs(v, v), b.fix_signs(v, wt.t()));
    let u = b.gemm(q, w);
    let (u, vt) = if fat { (v, u.t()) } else { (u, v.t()) };
    Ok(Recipe { spreads, ..Recipe::new(builder, &[u, s, vt]) })
}

/// A in row blocks for each pass: the same blocks, or read again.
struct Passes {
    a: Array,
    rows: u64,
    again: bool,
    held: Option<Access>,
}

impl Passes {
    fn next(&mut self, builder: &mut ProgramBuilder) -> Result<Access, Error> {
        match self.held {
            Some(access) if !self.again => Ok(access),
            _ => Ok(*self.held.insert(row_blocks(builder, &self.a, self.rows)?)),
        }
    }
}

/// Ω.
struct Sketch {
    seed: u64,
    rows: u64,
    width: u64,
    element: Element,
    exponent: i32,
}

impl Sketch {
    /// As one block.
    fn block(&self, builder: &mut ProgramBuilder) -> Result<Access, Error> {
        let whole = BlockGrid::whole(self.rows, self.width);
        if self.exponent == 0 {
            let fill = Fill::Random { law: Law::Normal, seed: self.seed };
            return Ok(builder.fill(fill, 0, 0, whole, self.element));
        }
        let moved = Array::normal(self.rows, self.width, self.seed, self.element) * 2_f64.powi(self.exponent);
        Ok(Lowering::new(builder, self.rows).lower(&moved, whole)?)
    }
}

/// What the diagonal of R asks for beside `care`: half steps if squaring has brought directions near rounding,
/// and a larger Ω if products with it are near the smallest numbers of the type.
pub(super) fn care_for(r: &Matrix, squared: bool, mut care: Care) -> Care {
    let (eps, smallest_normal) = match r.element() {
        Element::F32 => (f64::from(f32::EPSILON), f64::from(f32::MIN_POSITIVE)),
        Element::F64 => (f64::EPSILON, f64::MIN_POSITIVE),
    };
    let diagonal = r.to_f64().into_diag();
    let largest = diagonal.iter().fold(0.0_f64, |m, d| m.max(*d));
    let smallest = diagonal.iter().fold(f64::INFINITY, |m, d| m.min(*d));
    let wide = diagonal.iter().all(|d| d.is_finite()) && smallest > RANGE_IN_EPS * eps * largest;
    care.half_steps |= squared && !wide;
    if largest < smallest_normal / (eps * eps) {
        care = Care { half_steps: true, sketch_exponent: SKETCH_SHIFT };
    }
    care
}
