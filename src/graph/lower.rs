//! From lazy arrays to stages: fuses elementwise chains, conversions and transposes, shares what is used twice.
//!
//! No step recurses, and each part is seen to once for each of its grids, of which there are a few.

use super::build::{Access, ProgramBuilder};
use super::fuse::Fusion;
use super::kinds::{Map, MapOp, Operand};
use super::pattern::Pick;
use super::stage::Read;
use crate::array::{
    Array, ArrayError, Axis, Binary, BlockGrid, Element, Fill, InputId, Node, Origin, Reduction, Unary,
};
use std::collections::HashMap;

/// A program of more tasks is refused: the scheduler keeps eight bytes for each.
const MOST_TASKS: u128 = 1 << 30;

/// What can be wrong with an array that is to be computed.
pub type LowerError = ArrayError;

/// Translates arrays into the stages of one program.
pub struct Lowering<'a> {
    builder: &'a mut ProgramBuilder,
    /// Block length along the inner dimension of products.
    inner: u64,
    fusion: Fusion,
    made: HashMap<(usize, GridKey), Access>,
    read: HashMap<(InputId, u64, u64, Element, GridKey), Access>,
    /// What was lowered stays, so that no other array gets an identity that is known here.
    lowered: Vec<Array>,
}

type GridKey = (u64, u64, u64, u64);

fn key(grid: &BlockGrid) -> GridKey {
    (grid.rows.len(), grid.rows.block(), grid.cols.len(), grid.cols.block())
}

/// An array that is wanted in blocks of a grid.
#[derive(Clone)]
struct Wanted {
    array: Array,
    grid: BlockGrid,
}

impl Wanted {
    fn key(&self) -> (usize, GridKey) {
        (self.array.identity().unwrap_or_default(), key(&self.grid))
    }
}

/// One step of an elementwise expression in postfix order.
enum Step {
    Do(MapOp),
    /// Loads blocks of a matrix, transposed if it is `flipped`, and converted from another type of elements.
    Load {
        wanted: Wanted,
        flipped: bool,
        from: Option<Element>,
    },
    Fill {
        fill: Fill,
        row: u64,
        col: u64,
        flipped: bool,
    },
}

/// What a walk over an elementwise expression is still to do.
enum ToDo {
    Do(MapOp),
    /// `here` if the operation is done in this expression even if others use it too.
    Visit {
        wanted: Wanted,
        flipped: bool,
        here: bool,
    },
}

impl ToDo {
    fn visit(array: &Array, grid: BlockGrid, flipped: bool) -> ToDo {
        ToDo::Visit { wanted: Wanted { array: array.clone(), grid }, flipped, here: false }
    }
}

/// An elementwise expression, ready for a stage.
#[derive(Default)]
struct Fused {
    map: Map,
    reads: Vec<Read>,
}

impl Fused {
    /// Loads an operand; one that the expression has loaded already is the same.
    fn load(&mut self, operand: Operand) {
        let operands = &mut self.map.operands;
        let at = operands.iter().position(|known| *known == operand).unwrap_or_else(|| {
            operands.push(operand);
            operands.len() - 1
        });
        self.map.ops.push(MapOp::Load(at as u32));
    }

    /// The number of a read; a block that is read already is read once.
    fn read(&mut self, read: Read) -> u32 {
        let at = self.reads.iter().position(|known| *known == read).unwrap_or_else(|| {
            self.reads.push(read);
            self.reads.len() - 1
        });
        at as u32
    }
}

impl<'a> Lowering<'a> {
    /// `inner` is the block length for dimensions that a product sums over.
    pub fn new(builder: &'a mut ProgramBuilder, inner: u64) -> Self {
        Lowering {
            builder,
            inner,
            fusion: Fusion::default(),
            made: HashMap::new(),
            read: HashMap::new(),
            lowered: Vec::new(),
        }
    }

    /// The stages that make `array` in blocks of `grid`. O(arrays in it).
    pub fn lower(&mut self, array: &Array, grid: BlockGrid) -> Result<Access, LowerError> {
        let array = array.sliced_at_sources()?;
        array.check_sizes()?;
        self.lowered.push(array.clone());
        self.fusion.add(&array)?;
        self.matrix(Wanted { array, grid })
    }

    /// Makes what is wanted, after all that it is made of.
    fn matrix(&mut self, wanted: Wanted) -> Result<Access, LowerError> {
        let result = wanted.key();
        let mut rest = vec![wanted];
        while let Some(wanted) = rest.last().cloned() {
            if self.made.contains_key(&wanted.key()) {
                rest.pop();
                continue;
            }
            let lacking =
                self.parts(&wanted)?.into_iter().filter(|part| !self.made.contains_key(&part.key()));
            let before = rest.len();
            rest.extend(lacking.rev());
            if rest.len() == before {
                let access = self.make(&wanted)?;
                self.made.insert(wanted.key(), access);
                rest.pop();
            }
        }
        Ok(self.made[&result])
    }

    /// The matrices that are to be there before it can be made.
    fn parts(&self, wanted: &Wanted) -> Result<Vec<Wanted>, LowerError> {
        let Wanted { array, grid } = wanted;
        let steps = match array.node()? {
            Node::Source { .. } => return Ok(Vec::new()),
            Node::Transpose(inner) => {
                return Ok(vec![Wanted { array: inner.clone(), grid: grid.transposed() }]);
            }
            Node::Dot(a, b) => return Ok(self.factors(a, b, grid)?.to_vec()),
            Node::Convert(a) if is_input(a)? => return Ok(Vec::new()),
            Node::Unary(..) | Node::Binary(..) | Node::Convert(_) => self.expression(wanted, true)?,
            Node::Reduce(_, a) if is_empty(a)? => return Ok(Vec::new()),
            Node::Reduce(_, a) => self.expression(&self.reduced(a)?, false)?,
            Node::Slice { .. } => unreachable!("slices are at the sources"),
        };
        let matrix = |step| match step {
            Step::Load { wanted, .. } => Some(wanted),
            _ => None,
        };
        Ok(steps.into_iter().filter_map(matrix).collect())
    }

    fn factors(&self, a: &Array, b: &Array, grid: &BlockGrid) -> Result<[Wanted; 2], LowerError> {
        let inner = Axis::new(a.shape()?.1, self.inner);
        Ok([
            Wanted { array: a.clone(), grid: BlockGrid::new(grid.rows, inner) },
            Wanted { array: b.clone(), grid: BlockGrid::new(inner, grid.cols) },
        ])
    }

    /// Its parts are there.
    fn make(&mut self, wanted: &Wanted) -> Result<Access, LowerError> {
        let Wanted { array, grid } = wanted;
        let (grid, element) = (*grid, array.element()?);
        match array.node()? {
            Node::Transpose(inner) => {
                let below = Wanted { array: inner.clone(), grid: grid.transposed() };
                Ok(self.made[&below.key()].t())
            }
            Node::Source { origin: Origin::Input(_), .. } => self.read(array, grid, element),
            Node::Convert(a) if is_input(a)? => self.read(a, grid, element),
            Node::Source { origin: Origin::Fill(fill), row, col } => {
                self.check_tasks(&grid, 1)?;
                Ok(self.builder.fill(*fill, *row, *col, grid, element))
            }
            Node::Unary(..) | Node::Binary(..) | Node::Convert(_) => {
                self.check_tasks(&grid, 1)?;
                let Fused { map, reads } = self.fused(self.expression(wanted, true)?);
                Ok(self.builder.map(map, reads, grid, element))
            }
            Node::Dot(a, b) => {
                let factors = self.factors(a, b, &grid)?;
                self.check_tasks(&grid, factors[0].grid.cols.count())?;
                let [left, right] = factors.map(|factor| self.made[&factor.key()]);
                Ok(self.builder.gemm(left, right))
            }
            Node::Reduce(reduction, a) => self.reduce(*reduction, a, grid),
            Node::Slice { .. } => unreachable!("slices are at the sources"),
        }
    }

    /// Blocks of an input, read as numbers of type `element`.
    fn read(&mut self, array: &Array, grid: BlockGrid, element: Element) -> Result<Access, LowerError> {
        let Node::Source { origin: Origin::Input(input), row, col } = array.node()? else {
            unreachable!("called for inputs")
        };
        let known = (input.id(), *row, *col, element, key(&grid));
        if let Some(access) = self.read.get(&known) {
            return Ok(*access);
        }
        self.check_tasks(&grid, 1)?;
        let access = self.builder.read(input.id(), *row, *col, grid, element);
        self.read.insert(known, access);
        Ok(access)
    }

    fn reduce(&mut self, reduction: Reduction, a: &Array, result: BlockGrid) -> Result<Access, LowerError> {
        let element = a.element()?;
        if is_empty(a)? {
            return Ok(self.builder.fill(Fill::Constant(0.0), 0, 0, result, element));
        }
        let wanted = self.reduced(a)?;
        let grid = wanted.grid;
        self.check_tasks(&grid, 1)?;
        let Fused { map, reads } = self.fused(self.expression(&wanted, false)?);
        Ok(self.builder.reduce(reduction, map, reads, grid, element))
    }

    /// `a` in the blocks in which it is reduced.
    fn reduced(&self, a: &Array) -> Result<Wanted, LowerError> {
        let (rows, cols) = a.shape()?;
        let grid = BlockGrid::new(Axis::new(rows, self.inner), Axis::new(cols, self.inner));
        Ok(Wanted { array: a.clone(), grid })
    }

    /// The steps of an elementwise array; with `here` its own operation is one of them even if others use it too.
    fn expression(&self, wanted: &Wanted, here: bool) -> Result<Vec<Step>, LowerError> {
        let mut steps = Vec::new();
        let mut rest = vec![ToDo::Visit { wanted: wanted.clone(), flipped: false, here }];
        while let Some(next) = rest.pop() {
            match next {
                ToDo::Do(op) => steps.push(Step::Do(op)),
                ToDo::Visit { wanted, flipped, here } => {
                    let done_here = here || self.fusion.inlines(&wanted.array)?;
                    steps.extend(visit(wanted, flipped, done_here, &mut rest)?);
                }
            }
        }
        Ok(steps)
    }

    /// The expression with its blocks, all of which are made.
    fn fused(&self, steps: Vec<Step>) -> Fused {
        let mut fused = Fused::default();
        for step in steps {
            match step {
                Step::Do(op) => fused.map.ops.push(op),
                Step::Fill { fill, row, col, flipped } => {
                    fused.load(Operand::Fill { fill, row, col, transposed: flipped });
                }
                Step::Load { wanted, flipped, from } => {
                    let access = self.made[&wanted.key()];
                    let access = if flipped { access.t() } else { access };
                    let (read, transposed) =
                        (fused.read(access.read(Pick::Row, Pick::Col)), access.transposed);
                    fused.load(match from {
                        None => Operand::Block { read, transposed },
                        Some(from) => Operand::Converted { read, transposed, from },
                    });
                }
            }
        }
        fused
    }

    /// Refuses a stage with which the program would have too many tasks.
    fn check_tasks(&self, grid: &BlockGrid, steps: u64) -> Result<(), LowerError> {
        let each = [grid.rows.count(), grid.cols.count(), steps];
        let tasks = each.into_iter().map(|count| u128::from(count.max(1))).product();
        if tasks + u128::from(self.builder.tasks()) > MOST_TASKS {
            return Err(LowerError::TooManyTasks { block: grid.block_shape(), tasks });
        }
        Ok(())
    }
}

/// The step of one array, if it is not an operation on others that is `done_here`: then these are to be visited.
fn visit(
    wanted: Wanted,
    flipped: bool,
    done_here: bool,
    rest: &mut Vec<ToDo>,
) -> Result<Option<Step>, LowerError> {
    let grid = wanted.grid;
    match wanted.array.node()? {
        Node::Transpose(inner) => rest.push(ToDo::visit(inner, grid.transposed(), !flipped)),
        Node::Unary(op, a) if done_here => {
            rest.extend(unary_steps(*op).into_iter().rev().map(ToDo::Do));
            rest.push(ToDo::visit(a, grid, flipped));
        }
        Node::Binary(op, a, b) if done_here => {
            rest.push(ToDo::Do(binary_step(*op)));
            rest.push(ToDo::visit(b, grid, flipped));
            rest.push(ToDo::visit(a, grid, flipped));
        }
        Node::Source { origin: Origin::Fill(fill), row, col } => {
            return Ok(Some(Step::Fill { fill: *fill, row: *row, col: *col, flipped }));
        }
        Node::Convert(a) if !is_input(a)? => {
            let from = Some(a.element()?);
            return Ok(Some(Step::Load { wanted: Wanted { array: a.clone(), grid }, flipped, from }));
        }
        _ => return Ok(Some(Step::Load { wanted, flipped, from: None })),
    }
    Ok(None)
}

fn unary_steps(op: Unary) -> Vec<MapOp> {
    match op {
        Unary::Neg => vec![MapOp::Neg],
        Unary::Plus(number) => vec![MapOp::Scalar(number), MapOp::Add],
        Unary::Times(number) => vec![MapOp::Scalar(number), MapOp::Mul],
    }
}

fn binary_step(op: Binary) -> MapOp {
    match op {
        Binary::Add => MapOp::Add,
        Binary::Sub => MapOp::Sub,
        Binary::Mul => MapOp::Mul,
    }
}

fn is_input(array: &Array) -> Result<bool, LowerError> {
    Ok(matches!(array.node()?, Node::Source { origin: Origin::Input(_), .. }))
}

fn is_empty(array: &Array) -> Result<bool, LowerError> {
    let (rows, cols) = array.shape()?;
    Ok(rows == 0 || cols == 0)
}
