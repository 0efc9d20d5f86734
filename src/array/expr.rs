//! Lazy arrays: what is to be computed, written down as in NumPy. Nothing here touches data.

use super::Element;
use super::error::ArrayError;
use super::origin::{Fill, Law, Origin};
use serde::{Deserialize, Serialize};
use std::fmt;
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
    /// The same numbers as another element type.
    Convert(Array),
    /// Element (i, j) is element (row + i, col + j) of the array.
    Slice {
        of: Array,
        row: u64,
        col: u64,
    },
}

impl Node {
    /// The arrays that it works on, from left to right.
    pub(crate) fn operands(&self) -> impl DoubleEndedIterator<Item = &Array> {
        let (first, second) = match self {
            Node::Source { .. } => (None, None),
            Node::Unary(_, a)
            | Node::Transpose(a)
            | Node::Reduce(_, a)
            | Node::Convert(a)
            | Node::Slice { of: a, .. } => (Some(a), None),
            Node::Binary(_, a, b) | Node::Dot(a, b) => (Some(a), Some(b)),
        };
        first.into_iter().chain(second)
    }

    fn into_operands(self) -> impl Iterator<Item = Array> {
        let (first, second) = match self {
            Node::Source { .. } => (None, None),
            Node::Unary(_, a)
            | Node::Transpose(a)
            | Node::Reduce(_, a)
            | Node::Convert(a)
            | Node::Slice { of: a, .. } => (Some(a), None),
            Node::Binary(_, a, b) | Node::Dot(a, b) => (Some(a), Some(b)),
        };
        first.into_iter().chain(second)
    }

    fn name(&self) -> &'static str {
        match self {
            Node::Source { .. } => "source",
            Node::Unary(..) | Node::Binary(..) => "elementwise",
            Node::Transpose(_) => "transpose",
            Node::Dot(..) => "dot",
            Node::Reduce(..) => "reduce",
            Node::Convert(_) => "convert",
            Node::Slice { .. } => "slice",
        }
    }
}

struct Expr {
    shape: (u64, u64),
    element: Element,
    node: Node,
}

/// Frees one node after the other: dropping a deep expression by recursion would overflow the stack.
impl Drop for Expr {
    fn drop(&mut self) {
        let empty = || Node::Source { origin: Origin::Fill(Fill::Constant(0.0)), row: 0, col: 0 };
        let mut rest: Vec<Array> = std::mem::replace(&mut self.node, empty()).into_operands().collect();
        while let Some(array) = rest.pop() {
            if let Some(mut expr) = array.0.ok().and_then(Arc::into_inner) {
                rest.extend(std::mem::replace(&mut expr.node, empty()).into_operands());
            }
        }
    }
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
#[derive(Clone)]
pub struct Array(Result<Arc<Expr>, ArrayError>);

/// The operation, not what it works on: expressions can be very long.
impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expr() {
            Ok(e) => write!(f, "Array({} {}x{} {})", e.node.name(), e.shape.0, e.shape.1, e.element),
            Err(error) => write!(f, "Array({error})"),
        }
    }
}

impl Array {
    pub(super) fn new(shape: (u64, u64), element: Element, node: Node) -> Self {
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

    /// The same numbers as `element`. From f64 to f32 each is rounded to the nearest.
    pub fn as_type(&self, element: Element) -> Array {
        match self.expr() {
            Err(e) => Array::failed(e),
            Ok(e) if e.element == element => self.clone(),
            // Conversions stand at the sources where they can: files are read as what is wanted.
            Ok(Expr { node: Node::Transpose(inner), .. }) => inner.as_type(element).t(),
            Ok(e) => Array::new(e.shape, element, Node::Convert(self.clone())),
        }
    }

    /// Matrix product. A product of f32 and f64 is f64, and one of f32 and integers of 8 or 16 bits is f32.
    pub fn dot(&self, other: &Array) -> Array {
        match both(self, other) {
            Err(e) => Array::failed(e),
            Ok((l, r)) if l.shape.1 != r.shape.0 => {
                Array::failed(ArrayError::Inner { left: l.shape, right: r.shape })
            }
            Ok((l, r)) => {
                let element = common_element(l, r);
                let node = Node::Dot(self.as_type(element), other.as_type(element));
                Array::new((l.shape.0, r.shape.1), element, node)
            }
        }
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
        match both(self, other) {
            Err(e) => Array::failed(e),
            Ok((l, r)) if l.shape != r.shape => {
                Array::failed(ArrayError::Shapes { op: name, left: l.shape, right: r.shape })
            }
            Ok((l, r)) => {
                let element = common_element(l, r);
                let node = Node::Binary(op, self.as_type(element), other.as_type(element));
                Array::new(l.shape, element, node)
            }
        }
    }

    /// Rows `range` of the matrix. Only these are computed.
    pub fn rows(&self, range: Range<u64>) -> Array {
        match self.shape() {
            Err(e) => Array::failed(e),
            Ok((rows, _)) if range.start > range.end || range.end > rows => {
                Array::failed(ArrayError::Slice { side: "rows", range, len: rows })
            }
            Ok((_, cols)) => self.slice(range, 0..cols),
        }
    }

    /// Columns `range` of the matrix. Only these are computed.
    pub fn cols(&self, range: Range<u64>) -> Array {
        match self.shape() {
            Err(e) => Array::failed(e),
            Ok((_, cols)) if range.start > range.end || range.end > cols => {
                Array::failed(ArrayError::Slice { side: "columns", range, len: cols })
            }
            Ok((rows, _)) => self.slice(0..rows, range),
        }
    }

    /// The part `rows × cols`; both ranges lie inside. A slice of a slice is one slice.
    fn slice(&self, rows: Range<u64>, cols: Range<u64>) -> Array {
        let shape = (rows.end - rows.start, cols.end - cols.start);
        let Ok(expr) = self.expr() else { return self.clone() };
        if shape == expr.shape {
            return self.clone();
        }
        let (of, row, col) = match &expr.node {
            Node::Slice { of, row, col } => (of.clone(), row + rows.start, col + cols.start),
            _ => (self.clone(), rows.start, cols.start),
        };
        Array::new(shape, expr.element, Node::Slice { of, row, col })
    }
}

/// The type in which both are computed together, as in NumPy.
fn common_element(left: &Expr, right: &Expr) -> Element {
    match (left.element, right.element) {
        (Element::F32, Element::F64) if is_narrow(right) => Element::F32,
        (Element::F64, Element::F32) if is_narrow(left) => Element::F32,
        (Element::F32, Element::F32) => Element::F32,
        _ => Element::F64,
    }
}

/// True for a narrow input, or a part of one: reading it as f32 rounds nothing.
fn is_narrow(mut expr: &Expr) -> bool {
    loop {
        let inner = match &expr.node {
            Node::Source { origin: Origin::Input(input), .. } => return input.is_narrow(),
            Node::Transpose(of) | Node::Slice { of, .. } => of.expr(),
            _ => return false,
        };
        match inner {
            Ok(of) => expr = of,
            Err(_) => return false,
        }
    }
}

fn both<'a>(a: &'a Array, b: &'a Array) -> Result<(&'a Expr, &'a Expr), ArrayError> {
    Ok((a.expr()?, b.expr()?))
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
