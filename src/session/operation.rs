//! What can be asked of a session, and the program that does it.

use super::error::Error;
use super::randomized::{RsvdOptions, check_rank, rsvd};
use super::recipe::{Care, Piece, Recipe, Ways, row_blocks};
use crate::array::{Array, Axis, BlockGrid, BlockSize, Element, Fill, Node};
use crate::data::Chunks;
use crate::graph::{Access, Lowering, ProgramBuilder, Tall};
use kernels::tsqr::factor_len;

/// Length of a square block unless the user says otherwise, at most: 16 MB of f64, a tenth of a second
/// in a product.
const LARGEST_SQUARE: u64 = 1400;
/// A matrix is cut into so many pieces in its longer direction, at least: work for several threads.
const PIECES: u64 = 4;
/// A row of a block is an odd number of cache lines: rows a power of two apart evict each other
/// (gemm at 2048: 91 GFLOP/s on two cores here; at 2040: 99).
const LINE_ELEMENTS: u64 = 8;
/// Blocks of whole chunks may be so many times larger than the usual ones.
const MUCH_LARGER: u64 = 16;
/// Elements of a row block of a tall matrix: 8 MB of f64, small enough for many blocks, large enough
/// that the tree above costs nothing.
const TALL_ELEMENTS: u64 = 1 << 20;
/// Elements of a row block for the randomized SVD, whose partial results are as long as A is wide.
const SKETCH_ELEMENTS: u64 = 1 << 22;

/// Blocks of an elementwise expression that are in memory at once if it has them: two pairs being read, one computed,
/// two written.
const BLOCKS_AT_ONCE: u64 = 10;
/// Bytes of a row of a block beyond which a disk is no faster.
const LONGEST_PIECE: u64 = 64 << 10;
const PAGE: u64 = 4096;

/// A product is cut into so many pieces in each direction at most.
const MOST_PIECES: u64 = 16;

/// A result's name and shape.
pub type Named = (&'static str, (u64, u64));

#[derive(Clone, Debug)]
pub enum Operation {
    Compute(Array),
    Qr(Array),
    Svd { a: Array, values_only: bool },
    Rsvd { a: Array, options: RsvdOptions },
}

impl Operation {
    fn given(&self) -> &Array {
        match self {
            Operation::Compute(a) | Operation::Qr(a) => a,
            Operation::Svd { a, .. } | Operation::Rsvd { a, .. } => a,
        }
    }

    /// The array that is worked on, without slices but at its sources. O(arrays in it).
    pub(super) fn array(&self) -> Result<Array, Error> {
        Ok(self.given().sliced_at_sources()?)
    }

    pub fn element(&self) -> Result<Element, Error> {
        Ok(self.given().element()?)
    }

    /// Shape of the matrix that is worked on.
    pub fn shape(&self) -> Result<(u64, u64), Error> {
        Ok(self.given().shape()?)
    }

    /// The longest side of a matrix in it.
    pub(super) fn longest(&self) -> Result<u64, Error> {
        Ok(self.array()?.largest()?.0)
    }

    /// Names and shapes of the results, in the order of the recipe. A vector is a column here.
    pub fn result_shapes(&self) -> Result<Vec<Named>, Error> {
        let (m, n) = self.shape()?;
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
        let (m, n) = self.shape()?;
        self.array()?.check_sizes()?;
        match self {
            Operation::Compute(_) | Operation::Qr(_) | Operation::Svd { .. } => Ok(()),
            Operation::Rsvd { options, .. } => check_rank(options, m, n),
        }
    }

    /// Rows and columns of blocks for this operation. Automatic ones do not cut what has to be read together of an
    /// input that is stored in chunks; square ones are whole chunks.
    pub(super) fn blocks(&self, asked: BlockSize, chunks: Option<Chunks>) -> Result<(u64, u64), Error> {
        let (m, n) = self.shape()?;
        let (long, short) = (m.max(n), m.min(n).max(1));
        let tall = |elements: u64, floor: u64| {
            let rows = match asked {
                BlockSize::Auto => {
                    let usual = (elements / short).max(floor).max(1).next_power_of_two();
                    even_rows(long, usual, floor).next_multiple_of(
                        chunks.map_or(1, |c| if m < n { c.shape.1 } else { c.rows_together }),
                    )
                }
                BlockSize::Square(rows) | BlockSize::RowsCols(rows, _) => rows,
            };
            (rows.min(long.max(1)), short)
        };
        Ok(match self {
            Operation::Compute(_) => match asked {
                BlockSize::Square(b) => (b, b),
                BlockSize::RowsCols(r, c) => (r, c),
                BlockSize::Auto => {
                    let largest = self.array()?.largest()?;
                    let side = square(largest).0;
                    let side = chunks.map_or(side, |c| whole_chunks(side, c.shape, largest));
                    (side, side)
                }
            },
            Operation::Qr(_) if m < n => (tall(TALL_ELEMENTS, 4 * short).0.min(short), long),
            Operation::Qr(_) | Operation::Svd { .. } => tall(TALL_ELEMENTS, 4 * short),
            Operation::Rsvd { .. } => tall(SKETCH_ELEMENTS, 1),
        })
    }

    /// Larger blocks for elementwise expressions of matrices that memory does not hold: their bits do not depend on the
    /// blocks, and a disk likes long pieces of rows. Whole pages of them, since direct I/O has to begin at one.
    pub(super) fn blocks_for_disk(&self, blocks: (u64, u64), memory: u64) -> Result<(u64, u64), Error> {
        if !matches!(self, Operation::Compute(_)) {
            return Ok(blocks);
        }
        let mut elementwise = true;
        self.array()?.visit(|array| {
            elementwise &= !matches!(array.node()?, Node::Dot(..) | Node::Reduce(..));
            Ok(())
        })?;
        let (m, n) = self.shape()?;
        let size = self.element()?.bytes();
        if !elementwise || m.saturating_mul(n).saturating_mul(size) < memory {
            return Ok(blocks);
        }
        let side = (memory / (BLOCKS_AT_ONCE * size)).isqrt().min(LONGEST_PIECE / size);
        let side = side - side % (PAGE / size);
        Ok((blocks.0.max(side), blocks.1.max(side)))
    }

    /// The inner length, if it is nothing but a product of two matrices.
    pub(super) fn inner_length(&self) -> Result<Option<u64>, Error> {
        let Operation::Compute(_) = self else { return Ok(None) };
        Ok(match self.array()?.node()? {
            Node::Dot(left, _) => Some(left.shape()?.1),
            _ => None,
        })
    }

    /// For a product of two matrices: the bytes that must be read and written with `memory` bytes at hand, `2mnk/√M +
    /// mn` words (Kwasniewski et al. 2019), or those of the three matrices if that is more.
    pub(super) fn least_bytes(&self, memory: u64) -> Result<Option<f64>, Error> {
        let Some(k) = self.inner_length()? else { return Ok(None) };
        let ((m, n), size) = (self.shape()?, self.element()?.bytes() as f64);
        let (m, n, k) = (m as f64, n as f64, k as f64);
        let words = 2.0 * m * n * k / (memory as f64 / size).sqrt() + m * n;
        Ok(Some(size * words.max(m * k + k * n + m * n)))
    }

    /// The bytes that `ways` needs at the least: a piece of a product is held whole while it is made.
    pub(super) fn held_by(&self, ways: Ways) -> Result<u64, Error> {
        let Some((p, q)) = ways.pieces else { return Ok(0) };
        let (m, n) = self.shape()?;
        Ok((m / p).saturating_mul(n / q).saturating_mul(self.element()?.bytes()))
    }

    /// The ways in which it can be done, best first: with everything held, then with less and less.
    pub(super) fn ways(&self, blocks: (u64, u64), care: Care) -> Result<Vec<Ways>, Error> {
        let held = Ways { care, ..Ways::default() };
        if !matches!(self, Operation::Compute(_)) {
            return Ok(vec![held, Ways { read_again: true, ..held }]);
        }
        let Some(inner) = self.inner_length()? else { return Ok(vec![held]) };
        let (m, n) = self.shape()?;
        let grids = cuts((m, n, inner), blocks);
        let streamed = grids.into_iter().map(|pieces| Ways { pieces: Some(pieces), ..held });
        Ok([held].into_iter().chain(streamed).collect())
    }

    /// The program's stages.
    pub(super) fn recipe(&self, blocks: (u64, u64), ways: Ways) -> Result<Recipe, Error> {
        let (m, n) = self.shape()?;
        let mut builder = ProgramBuilder::default();
        if m.min(n) == 0 && !matches!(self, Operation::Compute(_)) {
            return self.empty(builder);
        }
        match self {
            Operation::Compute(a) => match ways.pieces {
                Some(cuts) => pieces(builder, a, blocks, cuts),
                None => {
                    let access = in_blocks(&mut builder, a, blocks)?;
                    Ok(Recipe::new(builder, &[access]))
                }
            },
            Operation::Qr(a) => {
                let (q, r) = tall(&mut builder, a, blocks.0, ways)?.qr(&mut builder);
                Ok(Recipe::new(builder, &[q, r]))
            }
            Operation::Svd { a, values_only } => svd(builder, a, blocks.0, *values_only, ways),
            Operation::Rsvd { a, options } => rsvd(builder, a, blocks.0, options, ways),
        }
    }

    /// Results of a matrix without rows or without columns: empty ones.
    fn empty(&self, mut builder: ProgramBuilder) -> Result<Recipe, Error> {
        let element = self.element()?;
        let mut results = Vec::new();
        for (_, (rows, cols)) in self.result_shapes()? {
            let grid = BlockGrid::whole(rows, cols);
            results.push(builder.fill(Fill::Constant(0.0), 0, 0, grid, element));
        }
        Ok(Recipe::new(builder, &results))
    }
}

/// Rows of a block where `long` rows are cut into about as many blocks as with `usual` rows, but into a power of two,
/// all alike: then a tree over them can be halved as long as there are workers, and each has its share. No less than
/// `floor`.
fn even_rows(long: u64, usual: u64, floor: u64) -> u64 {
    let blocks = long.div_ceil(usual).next_power_of_two();
    let rows = |blocks: u64| long.div_ceil(blocks);
    if rows(blocks) >= floor.max(1) { rows(blocks) } else { usual }
}

/// Rows and columns of blocks for an expression whose largest matrix is `long` by `short`: square ones, longer
/// where the matrix is narrower than a block.
fn square((long, short): (u64, u64)) -> (u64, u64) {
    let longest = LARGEST_SQUARE.max(LARGEST_SQUARE * LARGEST_SQUARE / short.max(1));
    let pieces = PIECES.max(long.div_ceil(longest));
    let lines = long.div_ceil(pieces).div_ceil(LINE_ELEMENTS);
    let length = (lines | 1) * LINE_ELEMENTS;
    (length, length)
}

/// The multiple of a chunk's longer side that is nearest to `side`; the shorter side instead, where square blocks of
/// whole chunks would be far larger than both a chunk and the usual block.
fn whole_chunks(side: u64, chunk: (u64, u64), (long, short): (u64, u64)) -> u64 {
    let (longer, shorter) = (chunk.0.max(chunk.1), chunk.0.min(chunk.1));
    let area = |side: u64| side.min(long).saturating_mul(side.min(short));
    let bound = area(side).max(longer.min(long).saturating_mul(shorter.min(short)));
    let unit = if area(longer) <= bound.saturating_mul(MUCH_LARGER) { longer } else { shorter };
    unit.saturating_mul(((side + unit / 2) / unit).max(1))
}

/// Ways to cut an m×n product with inner length k into pieces of whole blocks, fewest words moved first:
/// A is read once for each column of pieces, B once for each row of them.
fn cuts((m, n, k): (u64, u64, u64), (rows, cols): (u64, u64)) -> Vec<(u64, u64)> {
    let most = |len: u64, block: u64| len.div_ceil(block.max(1)).clamp(1, MOST_PIECES);
    let mut grids: Vec<(u64, u64)> =
        (1..=most(m, rows)).flat_map(|p| (1..=most(n, cols)).map(move |q| (p, q))).collect();
    let words =
        |(p, q): &(u64, u64)| m.saturating_mul(k).saturating_mul(*q) + k.saturating_mul(n).saturating_mul(*p);
    grids.sort_by_key(words);
    grids
}

/// Pieces of whole blocks that an axis of `len` is cut into.
fn stretches(len: u64, block: u64, count: u64) -> Vec<std::ops::Range<u64>> {
    let stretch = len.div_ceil(block).div_ceil(count).saturating_mul(block);
    (0..count)
        .map(|at| at.saturating_mul(stretch).min(len)..(at + 1).saturating_mul(stretch).min(len))
        .filter(|r| !r.is_empty())
        .collect()
}

fn in_blocks(builder: &mut ProgramBuilder, a: &Array, blocks: (u64, u64)) -> Result<Access, Error> {
    let (m, n) = a.shape()?;
    let grid = BlockGrid::new(Axis::new(m, blocks.0), Axis::new(n, blocks.1));
    Ok(Lowering::new(builder, blocks.0.min(blocks.1)).lower(a, grid)?)
}

/// A product piece by piece: as much of C as fits is held, A and B stream past it in thin panels
/// (Kwasniewski et al. 2019). Blocks, and with them bits, are those of the product made at once.
fn pieces(
    mut builder: ProgramBuilder,
    c: &Array,
    blocks: (u64, u64),
    (p, q): (u64, u64),
) -> Result<Recipe, Error> {
    let (m, n) = c.shape()?;
    let mut results = Vec::new();
    for rows in stretches(m, blocks.0, p) {
        for cols in stretches(n, blocks.1, q) {
            let part = c.rows(rows.clone()).cols(cols.clone());
            let access = in_blocks(&mut builder, &part, blocks)?;
            builder.lockstep(access.stage);
            results.push(Piece { result: 0, place: (rows.start, cols.start), access });
        }
    }
    Ok(Recipe { builder, results, spreads: Vec::new() })
}

fn tall(builder: &mut ProgramBuilder, a: &Array, rows: u64, ways: Ways) -> Result<Tall, Error> {
    let access = row_blocks(builder, a, rows)?;
    let tall = Tall::new(builder, access, factor_len);
    Ok(if ways.read_again { tall.with_second_read(row_blocks(builder, a, rows)?) } else { tall })
}

/// SVD of A, or of Aᵀ if A is short and fat: A = (U' S V'ᵀ)ᵀ.
fn svd(
    mut builder: ProgramBuilder,
    a: &Array,
    rows: u64,
    values_only: bool,
    ways: Ways,
) -> Result<Recipe, Error> {
    let (m, n) = a.shape()?;
    let fat = m < n;
    let upright = if fat { a.t() } else { a.clone() };
    let tree = tall(&mut builder, &upright, rows, ways)?;
    let keep = m.min(n);
    if values_only {
        let s = tree.values(&mut builder, keep);
        return Ok(Recipe::new(builder, &[s]));
    }
    let (u, s, vt) = tree.svd(&mut builder, keep);
    let (u, vt) = if fat { (vt.t(), u.t()) } else { (u, vt) };
    Ok(Recipe::new(builder, &[u, s, vt]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_a_power_of_two_of_like_blocks_if_none_gets_too_short() {
        for (long, usual, floor, rows) in [
            (1_000_000, 16_384, 400, 15_625),
            (100_000, 8192, 1, 6250),
            (16_384, 16_384, 1, 16_384),
            (1000, 16_384, 400, 1000),
            (5000, 4096, 4000, 4096),
            (5000, 4096, 2500, 2500),
        ] {
            assert_eq!(even_rows(long, usual, floor), rows, "{long} rows");
        }
    }
}
