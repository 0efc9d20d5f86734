//! Blocks put together to matrices.

use super::error::Error;
use crate::array::Element;
use crate::graph::{Access, Program};
use crate::ids::{BlockId, TaskId};
use crate::store::{Block, Real};
use ndarray::{Array2, s};
use std::collections::HashMap;
use std::sync::Arc;

/// A result in memory, of either element type.
#[derive(Clone, PartialEq, Debug)]
pub enum Matrix {
    F32(Array2<f32>),
    F64(Array2<f64>),
}

impl Matrix {
    /// The matrix as f64, whatever it was computed in.
    pub fn to_f64(&self) -> Array2<f64> {
        match self {
            Matrix::F32(a) => a.mapv(f64::from),
            Matrix::F64(a) => a.clone(),
        }
    }

    pub fn element(&self) -> Element {
        match self {
            Matrix::F32(_) => Element::F32,
            Matrix::F64(_) => Element::F64,
        }
    }
}

/// Named results, in order.
#[derive(Clone, Debug, Default)]
pub struct Results(pub Vec<(&'static str, Matrix)>);

impl Results {
    pub fn take(&mut self, name: &str) -> Result<Matrix, Error> {
        let at = self.0.iter().position(|(known, _)| *known == name);
        at.map(|at| self.0.remove(at).1).ok_or_else(|| Error::Run(format!("the run left no result {name:?}")))
    }
}

/// Types that a result can be taken out as.
pub trait Take: Real {
    fn take(matrix: Matrix) -> Result<Array2<Self>, Error>;
}

fn wrong(asked: Element, is: Element) -> Error {
    Error::Request(format!("the result is {is}, not {asked}: ask for {is}"))
}

impl Take for f32 {
    fn take(matrix: Matrix) -> Result<Array2<f32>, Error> {
        match matrix {
            Matrix::F32(a) => Ok(a),
            Matrix::F64(_) => Err(wrong(Element::F32, Element::F64)),
        }
    }
}

impl Take for f64 {
    fn take(matrix: Matrix) -> Result<Array2<f64>, Error> {
        match matrix {
            Matrix::F64(a) => Ok(a),
            Matrix::F32(_) => Err(wrong(Element::F64, Element::F32)),
        }
    }
}

/// The matrix that `access` reads, from the kept blocks of its stage.
pub(super) fn assemble(
    program: &Program,
    access: Access,
    blocks: &HashMap<BlockId, Arc<Block>>,
) -> Result<Matrix, Error> {
    Ok(match program.stage(access.stage).element {
        Element::F32 => Matrix::F32(assemble_typed(program, access, blocks)?),
        Element::F64 => Matrix::F64(assemble_typed(program, access, blocks)?),
    })
}

fn assemble_typed<T: Real>(
    program: &Program,
    access: Access,
    blocks: &HashMap<BlockId, Arc<Block>>,
) -> Result<Array2<T>, Error> {
    let grid = if access.transposed { access.grid.transposed() } else { access.grid };
    let mut whole = Array2::zeros((grid.rows.len() as usize, grid.cols.len() as usize));
    let space = &program.stage(access.stage).space;
    for i in 0..grid.rows.blocks() {
        for j in 0..grid.cols.blocks() {
            let id = TaskId::new(access.stage, space.block_task(i, j));
            let block = blocks
                .get(&id)
                .ok_or_else(|| Error::Run(format!("block {id:?} of the result is missing")))?;
            let (rows, cols) = (grid.rows.range(i), grid.cols.range(j));
            let place = s![rows.start as usize..rows.end as usize, cols.start as usize..cols.end as usize];
            whole.slice_mut(place).assign(&block.view::<T>());
        }
    }
    Ok(if access.transposed { whole.reversed_axes().as_standard_layout().into_owned() } else { whole })
}
