//! Walks over the parts of an expression. None recurses: expressions can be deeper than a stack.

use super::error::ArrayError;
use super::expr::{Array, Node};
use super::origin::{Input, Origin};
use std::collections::HashSet;

/// Bytes of all matrices of an expression together, at most: far more than there is, far less than `u64` holds.
const LARGEST: u128 = 1 << 56;
/// Bytes of an element, at most.
const ELEMENT: u128 = 8;

impl Array {
    /// Longer and shorter side of the largest matrix in this expression: the one with the longest side, and
    /// among several the one with the longest other side.
    pub(crate) fn largest(&self) -> Result<(u64, u64), ArrayError> {
        let mut largest = (0, 0);
        self.visit(|array| {
            let (m, n) = array.shape()?;
            largest = largest.max((m.max(n), m.min(n)));
            Ok(())
        })?;
        Ok(largest)
    }

    /// Refuses matrices whose sizes in bytes cannot be counted with.
    pub(crate) fn check_sizes(&self) -> Result<(), ArrayError> {
        let mut bytes = 0_u128;
        self.visit(|array| {
            let shape = array.shape()?;
            // An empty matrix is as long as it is.
            let area = u128::from(shape.0.max(1)) * u128::from(shape.1.max(1));
            bytes = bytes.saturating_add(area.saturating_mul(ELEMENT));
            if bytes > LARGEST { Err(ArrayError::TooLarge { shape }) } else { Ok(()) }
        })
    }

    /// The inputs of this expression.
    pub fn inputs(&self) -> Result<Vec<Input>, ArrayError> {
        let mut inputs = Vec::new();
        self.visit(|array| {
            if let Node::Source { origin: Origin::Input(input), .. } = array.node()? {
                inputs.push(input.clone());
            }
            Ok(())
        })?;
        Ok(inputs)
    }

    /// Calls `look` once for each array of this expression, this one first.
    pub(crate) fn visit(
        &self,
        mut look: impl FnMut(&Array) -> Result<(), ArrayError>,
    ) -> Result<(), ArrayError> {
        let (mut seen, mut rest) = (HashSet::new(), vec![self]);
        while let Some(array) = rest.pop() {
            if !seen.insert(array.identity()) {
                continue;
            }
            look(array)?;
            rest.extend(array.node()?.operands());
        }
        Ok(())
    }

    /// All arrays of this expression, each once, after those it works on.
    pub(crate) fn in_order(&self) -> Result<Vec<&Array>, ArrayError> {
        let (mut seen, mut order, mut rest) = (HashSet::new(), Vec::new(), vec![(self, false)]);
        while let Some((array, operands_are_done)) = rest.pop() {
            if operands_are_done {
                order.push(array);
            } else if seen.insert(array.identity()) {
                rest.push((array, true));
                rest.extend(array.node()?.operands().rev().map(|operand| (operand, false)));
            }
        }
        Ok(order)
    }
}
