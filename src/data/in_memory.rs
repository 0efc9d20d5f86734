//! A matrix in the user's memory as a source.

use super::numbers::Real;
use super::region::Region;
use super::source::ReadBlocks;
use crate::failure::Failure;
use ndarray::{Array2, ArrayViewMut2, s};

/// A matrix in the user's memory.
pub struct InMemory<T>(pub Array2<T>);

impl<T: Real> ReadBlocks for InMemory<T> {
    type Error = Failure;

    fn scratch_len(&self, _: u64, _: u64) -> u64 {
        0
    }

    fn read_block<U: Real>(&self, region: &Region, out: &mut [U], _: &mut [u8]) -> Result<u64, Failure> {
        let Region { rows, cols } = region;
        let part = s![rows.start as usize..rows.end as usize, cols.start as usize..cols.end as usize];
        let part = self.0.slice(part);
        let mut out = ArrayViewMut2::from_shape(part.dim(), out).expect("the block has the part's shape");
        out.zip_mut_with(&part, |to, from| *to = U::from_f64(from.to_f64()));
        Ok(0)
    }

    fn place_of(&self, row: u64, col: u64) -> String {
        format!("the array in memory: row {row}, column {col}")
    }

    fn check_same(&self) -> Result<(), Failure> {
        Ok(())
    }
}
