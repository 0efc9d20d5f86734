//! Blocks put together to matrices.

use super::error::Error;
use super::recipe::Piece;
use super::stats::Stats;
use crate::array::Element;
use crate::data::{Matrix, Real};
use crate::graph::Program;
use crate::ids::{BlockId, TaskId};
use crate::store::Block;
use ndarray::{Array2, s};
use std::collections::HashMap;
use std::sync::Arc;

/// What a run gives.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The matrices by their names, in order; none if they went to files.
    pub named: Vec<(&'static str, Matrix)>,
    /// What the run did.
    pub stats: Stats,
}

impl Results {
    pub fn take(&mut self, name: &str) -> Result<Matrix, Error> {
        let at = self.named.iter().position(|(known, _)| *known == name);
        at.map(|at| self.named.remove(at).1)
            .ok_or_else(|| Error::Run(format!("the run left no result {name:?}")))
    }
}

/// The matrix as an array of the type that it has.
pub(super) fn into_array<T: Real>(matrix: Matrix) -> Result<Array2<T>, Error> {
    T::from_matrix(matrix).map_err(|other| {
        let is = other.element();
        Error::Request(format!("the result is {is}, not {}: ask for {is}", T::ELEMENT))
    })
}

/// The matrix of a `shape` that is made of pieces, from the kept blocks of their stages.
pub(super) fn assemble(
    program: &Program,
    shape: (u64, u64),
    element: Element,
    pieces: &[Piece],
    blocks: &HashMap<BlockId, Arc<Block>>,
) -> Result<Matrix, Error> {
    Ok(match element {
        Element::F32 => Matrix::F32(assemble_typed(program, shape, pieces, blocks)?),
        Element::F64 => Matrix::F64(assemble_typed(program, shape, pieces, blocks)?),
    })
}

fn assemble_typed<T: Real>(
    program: &Program,
    (rows, cols): (u64, u64),
    pieces: &[Piece],
    blocks: &HashMap<BlockId, Arc<Block>>,
) -> Result<Array2<T>, Error> {
    let mut whole = Array2::zeros((rows as usize, cols as usize));
    for Piece { access, place, .. } in pieces {
        let space = &program.stage(access.stage).space;
        for i in 0..access.grid.rows.blocks() {
            for j in 0..access.grid.cols.blocks() {
                let (p, q) = if access.transposed { (j, i) } else { (i, j) };
                let id = TaskId::new(access.stage, space.block_task(p, q));
                let block = blocks.get(&id);
                let block =
                    block.ok_or_else(|| Error::Run(format!("block {id:?} of the result is missing")))?;
                let (rows, cols) = (access.grid.rows.range(i), access.grid.cols.range(j));
                let at = |range: std::ops::Range<u64>, first: u64| {
                    (range.start + first) as usize..(range.end + first) as usize
                };
                let mut part = whole.slice_mut(s![at(rows, place.0), at(cols, place.1)]);
                let view = block.view::<T>();
                part.assign(&if access.transposed { view.reversed_axes() } else { view });
            }
        }
    }
    Ok(whole)
}
