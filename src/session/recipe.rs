//! A program with its results, and the choices it was made by.

use super::error::Error;
use super::randomized::SKETCH_SHIFT;
use crate::array::{Array, Axis, BlockGrid};
use crate::graph::{Access, Lowering, Program, ProgramBuilder};

/// What the spectrum asks for; found out by running without.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Care {
    /// Orthonormalise after A·X too: for spectra that fall by more than the square root of eps.
    pub half_steps: bool,
    /// Multiply Ω by this power of two, so that A·Ω stays in range and keeps its accuracy: for matrices
    /// near overflow and subnormal ones.
    pub sketch_exponent: i32,
}

impl Care {
    /// For matrices whose products with Ω overflow.
    pub const MOST: Care = Care { half_steps: true, sketch_exponent: -SKETCH_SHIFT };
}

/// Choices that change how an operation is done, not what it gives (up to rounding for `care`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Ways {
    /// Read A again in each pass, instead of holding it.
    pub read_again: bool,
    pub care: Care,
    /// Make a product piece by piece, so many in each direction, reading the factors for each again and
    /// streaming them past it.
    pub pieces: Option<(u64, u64)>,
}

/// A part of a result, or all of it.
pub(super) struct Piece {
    /// Number of the result.
    pub result: usize,
    /// Where the piece begins in the result.
    pub place: (u64, u64),
    pub access: Access,
}

/// A program with its results in order.
pub(super) struct Recipe {
    pub builder: ProgramBuilder,
    pub results: Vec<Piece>,
    pub spreads: Vec<Spread>,
}

/// A small triangle whose diagonal tells how far a spectrum spreads.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    pub triangle: Access,
    /// Of AᵀA·X, not of A·X.
    pub squared: bool,
}

impl Recipe {
    /// Each result whole, in the order of the operation's result shapes.
    pub fn new(builder: ProgramBuilder, results: &[Access]) -> Self {
        let piece = |(result, access): (usize, &Access)| Piece { result, place: (0, 0), access: *access };
        Recipe { builder, results: results.iter().enumerate().map(piece).collect(), spreads: Vec::new() }
    }

    /// The program with all results kept in memory.
    pub fn kept(mut self) -> (Program, Vec<Piece>, Vec<Spread>) {
        for piece in &self.results {
            self.builder.keep(piece.access.stage);
        }
        self.finish()
    }

    /// The program with result number i written to output number i.
    pub fn written(mut self) -> (Program, Vec<Piece>, Vec<Spread>) {
        for piece in &self.results {
            self.builder.write(piece.access, piece.result as u32, piece.place);
        }
        self.finish()
    }

    fn finish(mut self) -> (Program, Vec<Piece>, Vec<Spread>) {
        for spread in &self.spreads {
            self.builder.keep(spread.triangle.stage);
        }
        (self.builder.finish(), self.results, self.spreads)
    }
}

/// The matrix in row blocks over its whole width.
pub(super) fn row_blocks(builder: &mut ProgramBuilder, a: &Array, rows: u64) -> Result<Access, Error> {
    let (m, n) = a.shape()?;
    let grid = BlockGrid::new(Axis::new(m, rows), Axis::whole(n));
    Ok(Lowering::new(builder, rows).lower(a, grid)?)
}
