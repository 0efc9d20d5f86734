//! Lazy arrays: what is to be computed, written down as in NumPy. Nothing here touches data.

use super::Element;
use super::origin::{Fill, Input, Law, Origin};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::ops::{Add, Mul, Neg, Range, Sub};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Unary {
    Neg,
    Plus(f64),
    Times(f64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Binary {
    Add,
    Sub,
    Mul,
}

/// From many numbers one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Reduction {
    Sum,
    /// Frobenius norm, safe against overflow.
    Norm,
}

/// One operation over lazy arrays.
#[derive(Clone, Debug)]
pub enum Node {
    /// Element (i, j) is element (row + i, col + j) of the origin.
    Source {
        origin: Origin,
        row: u64,
        col: u64,
    },
    Unary(Unary, Array),
    Binary(Binary, Array, Array),
    Transpose(Array),
    Dot(Array, Array),
    Reduce(Reduction, Array),
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ArrayError {
    #[error("{op} needs equal shapes, got {}x{} and {}x{}", left.0, left.1, right.0, right.1)]
    Shapes { op: &'static str, left: (u64, u64), right: (u64, u64) },
    #[error(
        "the inner dimensions of a product must agree, got {}x{} times {}x{}",
        left.0, left.1, right.0, right.1
    )]
    Inner { left: (u64, u64), right: (u64, u64) },
    #[error("{op} needs equal element types, got {left} and {right}: convert one of them")]
    Elements { op: &'static str, left: Element, right: Element },
    #[error("rows {}..{} lie outside of a matrix with {rows} rows", range.start, range.end)]
    Slice { range: Range<u64>, rows: u64 },
}

#[derive(Debug)]
struct Expr {
    shape: (u64, u64),
    element: Element,
    node: Node,
}

/// A lazy matrix. Cheap to clone. A wrong operation (shapes that do not fit) is kept and told
/// when the array is computed, so that formulas stay formulas.
///
/// ```
/// use dolmen::array::{Array, Element};
/// let x = Array::normal(1000, 1000, 7, Element::F64);
/// let y = (&x + &x.t()) * 0.5;
/// assert_eq!(y.shape().unwrap(), (1000, 1000));
/// assert!((&x + &Array::normal(3, 4, 0, Element::F64)).shape().is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Array(Result<Arc<Expr>, ArrayError>);

impl Array {
    fn new(shape: (u64, u64), element: Element, node: Node) -> Self {
        Array(Ok(Arc::new(Expr { shape, element, node })))
    }

    pub fn source(origin: Origin, rows: u64, cols: u64, element: Element) -> Self {
        Array::new((rows, cols), element, Node::Source { origin, row: 0, col: 0 })
    }

    /// Independent standard normal elements: element (i, j) depends on the seed, i and j only.
    pub fn normal(rows: u64, cols: u64, seed: u64, element: Element) -> Self {
        Array::source(Origin::Fill(Fill::Random { law: Law::Normal, seed }), rows, cols, element)
    }

    /// Independent elements, uniform on [0, 1).
    pub fn uniform(rows: u64, cols: u64, seed: u64, element: Element) -> Self {
        Array::source(Origin::Fill(Fill::Random { law: Law::Uniform, seed }), rows, cols, element)
    }

    pub fn constant(rows: u64, cols: u64, value: f64, element: Element) -> Self {
        Array::source(Origin::Fill(Fill::Constant(value)), rows, cols, element)
    }

    pub fn check(&self) -> Result<(), ArrayError> {
        self.expr().map(|_| ())
    }

    /// (rows, columns).
    pub fn shape(&self) -> Result<(u64, u64), ArrayError> {
        self.expr().map(|e| e.shape)
    }

    pub fn element(&self) -> Result<Element, ArrayError> {
        self.expr().map(|e| e.element)
    }

    pub fn node(&self) -> Result<&Node, ArrayError> {
        self.expr().map(|e| &e.node)
    }

    /// Equal for clones of one array: lets the lowering see that a part is used twice.
    pub(crate) fn identity(&self) -> Option<usize> {
        self.0.as_ref().ok().map(|e| Arc::as_ptr(e) as usize)
    }

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
            match array.node()? {
                Node::Source { .. } => {}
                Node::Unary(_, a) | Node::Transpose(a) | Node::Reduce(_, a) => rest.push(a),
                Node::Binary(_, a, b) | Node::Dot(a, b) => rest.extend([a, b]),
            }
        }
        Ok(())
    }

    fn expr(&self) -> Result<&Expr, ArrayError> {
        self.0.as_ref().map(|e| e.as_ref()).map_err(Clone::clone)
    }

    fn failed(error: ArrayError) -> Self {
        Array(Err(error))
    }

    /// The transpose: a way of reading, no copy.
    pub fn t(&self) -> Array {
        match self.expr() {
            Err(e) => Array::failed(e),
            Ok(Expr { node: Node::Transpose(inner), .. }) => inner.clone(),
            Ok(e) => Array::new((e.shape.1, e.shape.0), e.element, Node::Transpose(self.clone())),
        }
    }

    /// Matrix product.
    pub fn dot(&self, other: &Array) -> Array {
        let (l, r) = match both("dot", self, other) {
            Ok(pair) => pair,
            Err(e) => return Array::failed(e),
        };
        if l.shape.1 != r.shape.0 {
            return Array::failed(ArrayError::Inner { left: l.shape, right: r.shape });
        }
        Array::new((l.shape.0, r.shape.1), l.element, Node::Dot(self.clone(), other.clone()))
    }

    /// The sum of all elements, as a 1×1 array.
    pub fn sum(&self) -> Array {
        self.reduce(Reduction::Sum)
    }

    /// The Frobenius norm, as a 1×1 array.
    pub fn norm(&self) -> Array {
        self.reduce(Reduction::Norm)
    }

    fn reduce(&self, reduction: Reduction) -> Array {
        match self.expr() {
            Err(e) => Array::failed(e),
            Ok(e) => Array::new((1, 1), e.element, Node::Reduce(reduction, self.clone())),
        }
    }

    fn unary(&self, op: Unary) -> Array {
        match self.expr() {
            Err(e) => Array::failed(e),
            Ok(e) => Array::new(e.shape, e.element, Node::Unary(op, self.clone())),
        }
    }

    fn binary(&self, op: Binary, name: &'static str, other: &Array) -> Array {
        match both(name, self, other) {
            Err(e) => Array::failed(e),
            Ok((l, r)) if l.shape != r.shape => {
                Array::failed(ArrayError::Shapes { op: name, left: l.shape, right: r.shape })
            }
            Ok((l, _)) => Array::new(l.shape, l.element, Node::Binary(op, self.clone(), other.clone())),
        }
    }

    /// Rows `range` of the matrix. Pushed down to the sources, so it costs nothing when it runs.
    pub fn rows(&self, range: Range<u64>) -> Array {
        let (rows, cols) = match self.shape() {
            Err(e) => return Array::failed(e),
            Ok(shape) => shape,
        };
        if range.start > range.end || range.end > rows {
            return Array::failed(ArrayError::Slice { range, rows });
        }
        self.window(range, 0..cols)
    }

    /// Columns `range` of the matrix, at no cost either.
    pub fn cols(&self, range: Range<u64>) -> Array {
        self.t().rows(range).t()
    }

    /// The part `rows × cols`; both ranges lie inside.
    fn window(&self, rows: Range<u64>, cols: Range<u64>) -> Array {
        let shape = (rows.end - rows.start, cols.end - cols.start);
        let Ok(expr) = self.expr() else { return self.clone() };
        let node = match &expr.node {
            Node::Source { origin, row, col } => {
                Node::Source { origin: origin.clone(), row: row + rows.start, col: col + cols.start }
            }
            Node::Unary(op, a) => Node::Unary(*op, a.window(rows, cols)),
            Node::Binary(op, a, b) => {
                Node::Binary(*op, a.window(rows.clone(), cols.clone()), b.window(rows, cols))
            }
            Node::Transpose(a) => Node::Transpose(a.window(cols, rows)),
            Node::Dot(a, b) => {
                let inner = a.expr().map_or(0, |e| e.shape.1);
                Node::Dot(a.window(rows, 0..inner), b.window(0..inner, cols))
            }
            Node::Reduce(..) if shape == (1, 1) => return self.clone(),
            Node::Reduce(op, a) => Node::Reduce(*op, a.window(0..0, 0..0)),
        };
        Array::new(shape, expr.element, node)
    }
}

fn both<'a>(op: &'static str, a: &'a Array, b: &'a Array) -> Result<(&'a Expr, &'a Expr), ArrayError> {
    let (l, r) = (a.expr()?, b.expr()?);
    if l.element != r.element {
        return Err(ArrayError::Elements { op, left: l.element, right: r.element });
    }
    Ok((l, r))
}

impl Neg for &Array {
    type Output = Array;
    fn neg(self) -> Array {
        self.unary(Unary::Neg)
    }
}

macro_rules! array_operator {
    ($trait:ident, $method:ident, $name:literal, $scalar:expr) => {
        impl $trait<&Array> for &Array {
            type Output = Array;
            fn $method(self, other: &Array) -> Array {
                self.binary(Binary::$trait, $name, other)
            }
        }
        impl $trait<Array> for Array {
            type Output = Array;
            fn $method(self, other: Array) -> Array {
                (&self).$method(&other)
            }
        }
        impl $trait<&Array> for Array {
            type Output = Array;
            fn $method(self, other: &Array) -> Array {
                (&self).$method(other)
            }
        }
        impl $trait<f64> for &Array {
            type Output = Array;
            fn $method(self, scalar: f64) -> Array {
                let op: fn(f64) -> Unary = $scalar;
                self.unary(op(scalar))
            }
        }
        impl $trait<f64> for Array {
            type Output = Array;
            fn $method(self, scalar: f64) -> Array {
                (&self).$method(scalar)
            }
        }
    };
}

array_operator!(Add, add, "+", Unary::Plus);
array_operator!(Sub, sub, "-", |s| Unary::Plus(-s));
array_operator!(Mul, mul, "*", Unary::Times);
