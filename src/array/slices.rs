//! Slices, pushed down to the sources: nothing is computed or read that no slice wants.

use super::error::ArrayError;
use super::expr::{Array, Node};
use super::origin::{Fill, Origin};
use std::collections::HashMap;

/// An expression whose slices would make so many times more parts than it has now is refused.
const MOST_GROWTH: usize = 32;

/// A part of an array: element (i, j) is element (row + i, col + j) of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Window {
    row: u64,
    col: u64,
    rows: u64,
    cols: u64,
}

/// A part of an array that is wanted as an array of its own.
#[derive(Clone)]
struct Wanted {
    array: Array,
    window: Window,
}

impl Wanted {
    fn whole(array: &Array) -> Result<Wanted, ArrayError> {
        let (rows, cols) = array.shape()?;
        Ok(Wanted { array: array.clone(), window: Window { row: 0, col: 0, rows, cols } })
    }

    fn of(array: &Array, window: Window) -> Wanted {
        Wanted { array: array.clone(), window }
    }

    fn key(&self) -> (Option<usize>, Window) {
        (self.array.identity(), self.window)
    }

    fn is_empty(&self) -> bool {
        self.window.rows == 0 || self.window.cols == 0
    }

    /// The parts of the operands that this part is made of, from left to right.
    fn parts(&self) -> Result<Vec<Wanted>, ArrayError> {
        let window = self.window;
        if self.is_empty() {
            return Ok(Vec::new());
        }
        Ok(match self.array.node()? {
            Node::Source { .. } => Vec::new(),
            Node::Unary(_, a) | Node::Convert(a) => vec![Wanted::of(a, window)],
            Node::Binary(_, a, b) => vec![Wanted::of(a, window), Wanted::of(b, window)],
            Node::Transpose(a) => {
                let Window { row, col, rows, cols } = window;
                vec![Wanted::of(a, Window { row: col, col: row, rows: cols, cols: rows })]
            }
            Node::Dot(a, b) => {
                let inner = a.shape()?.1;
                vec![
                    Wanted::of(a, Window { col: 0, cols: inner, ..window }),
                    Wanted::of(b, Window { row: 0, rows: inner, ..window }),
                ]
            }
            Node::Reduce(_, a) => vec![Wanted::whole(a)?],
            Node::Slice { of, row, col } => {
                vec![Wanted::of(of, Window { row: window.row + row, col: window.col + col, ..window })]
            }
        })
    }

    /// This part as an array, of the parts that [`Wanted::parts`] lists.
    fn made_of(&self, parts: &[Array]) -> Result<Array, ArrayError> {
        let Window { row: first_row, col: first_col, rows, cols } = self.window;
        let element = self.array.element()?;
        if self.is_empty() {
            return Ok(Array::source(Origin::Fill(Fill::Constant(0.0)), rows, cols, element));
        }
        let node = match (self.array.node()?, parts) {
            (Node::Source { origin, row, col }, _) => {
                Node::Source { origin: origin.clone(), row: row + first_row, col: col + first_col }
            }
            (Node::Unary(op, _), [a]) => Node::Unary(*op, a.clone()),
            (Node::Binary(op, ..), [a, b]) => Node::Binary(*op, a.clone(), b.clone()),
            (Node::Transpose(_), [a]) => return Ok(a.t()),
            (Node::Dot(..), [a, b]) => Node::Dot(a.clone(), b.clone()),
            (Node::Reduce(op, _), [a]) => Node::Reduce(*op, a.clone()),
            (Node::Convert(_), [a]) => return Ok(a.as_type(element)),
            (Node::Slice { .. }, [a]) => return Ok(a.clone()),
            _ => unreachable!("the parts are those that were asked for"),
        };
        Ok(Array::new((rows, cols), element, node))
    }
}

impl Array {
    /// The same matrix without slices but at its sources. What is used twice is used twice there too.
    pub(crate) fn sliced_at_sources(&self) -> Result<Array, ArrayError> {
        let (mut arrays, mut slices) = (0, 0);
        self.visit(|array| {
            arrays += 1;
            slices += usize::from(matches!(array.node()?, Node::Slice { .. }));
            Ok(())
        })?;
        if slices == 0 { Ok(self.clone()) } else { push_down(self, MOST_GROWTH * arrays) }
    }
}

fn push_down(array: &Array, most: usize) -> Result<Array, ArrayError> {
    let mut made: HashMap<(Option<usize>, Window), Array> = HashMap::new();
    let wanted = Wanted::whole(array)?;
    let result = wanted.key();
    let mut rest = vec![wanted];
    while let Some(wanted) = rest.last().cloned() {
        if made.contains_key(&wanted.key()) {
            rest.pop();
            continue;
        }
        let parts = wanted.parts()?;
        let ready: Vec<Array> = parts.iter().map_while(|part| made.get(&part.key()).cloned()).collect();
        if ready.len() < parts.len() {
            rest.extend(parts.into_iter().rev().filter(|part| !made.contains_key(&part.key())));
            continue;
        }
        if made.len() == most {
            return Err(ArrayError::TooManySlices { parts: made.len() });
        }
        made.insert(wanted.key(), wanted.made_of(&ready)?);
        rest.pop();
    }
    Ok(made.remove(&result).expect("made last"))
}
