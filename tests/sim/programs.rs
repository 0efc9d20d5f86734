//! Random programs of every kind that the builder can make.

use super::rng::Rng;
use dolmen::array::{Array, Axis, BlockGrid, Element, Fill, Input, InputId, Law, Origin};
use dolmen::graph::{
    Access, Blocks, Edges, Kind, Lowering, Order, Pattern, Program, ProgramBuilder, Read, Space, Stage, Tall,
    Work,
};
use dolmen::ids::StageId;
use std::sync::Arc;

/// A random program; `size` bounds the length of a matrix, in elements.
pub fn random(rng: &mut Rng, size: u64) -> (&'static str, Program) {
    match rng.below(12) {
        0..=4 => ("arrays", arrays(rng, size)),
        5..=6 => ("tsqr", tsqr(rng, size)),
        7 => ("range-finder", range_finder(rng, size)),
        8 => ("null", null(rng, size)),
        _ => ("edges", edges(rng, size)),
    }
}

pub fn input(id: u64, rows: u64, cols: u64) -> Array {
    let input = Input::new(InputId(id), Arc::new(()), false);
    Array::source(Origin::Input(input), rows, cols, Element::F64)
}

/// Lazy arrays over ragged grids, with shared parts.
struct Formulas<'a> {
    rng: &'a mut Rng,
    lens: [u64; 2],
    made: Vec<Array>,
}

impl Formulas<'_> {
    fn source(&mut self, rows: u64, cols: u64) -> Array {
        match self.rng.below(4) {
            0 => Array::normal(rows, cols, self.rng.below(3), Element::F64),
            1 => Array::constant(rows, cols, 2.0, Element::F64),
            _ => input(self.rng.below(2), rows, cols),
        }
    }

    fn known(&mut self, shape: (u64, u64)) -> Option<Array> {
        let fits: Vec<&Array> = self.made.iter().filter(|array| array.shape() == Ok(shape)).collect();
        (!fits.is_empty()).then(|| (*self.rng.pick(&fits)).clone())
    }

    fn array(&mut self, rows: u64, cols: u64, depth: u32) -> Array {
        if self.rng.chance(30)
            && let Some(known) = self.known((rows, cols))
        {
            return known;
        }
        let array = self.fresh(rows, cols, depth);
        assert_eq!(array.shape(), Ok((rows, cols)));
        self.made.push(array.clone());
        array
    }

    fn fresh(&mut self, rows: u64, cols: u64, depth: u32) -> Array {
        if depth == 0 {
            return self.source(rows, cols);
        }
        match self.rng.below(9) {
            0 => self.source(rows, cols),
            1 => self.array(rows, cols, depth - 1) * 3.0 - 1.0,
            2 => -&self.array(rows, cols, depth - 1),
            3 | 4 => self.array(rows, cols, depth - 1) + self.array(rows, cols, depth - 1),
            5 => self.array(cols, rows, depth - 1).t(),
            6 | 7 => {
                let inner = *self.rng.pick(&self.lens);
                self.array(rows, inner, depth - 1).dot(&self.array(inner, cols, depth - 1))
            }
            _ => {
                let more = self.rng.below(6);
                let start = self.rng.range(0, more);
                self.array(rows + more, cols, depth - 1).rows(start..start + rows)
            }
        }
    }
}

fn finish(rng: &mut Rng, builder: &mut ProgramBuilder, results: &[Access]) {
    for (at, access) in results.iter().enumerate() {
        if rng.chance(30) {
            builder.lockstep(access.stage);
        }
        if rng.chance(50) {
            builder.keep(access.stage);
        } else {
            builder.write(*access, at as u32, (0, 0));
        }
    }
}

fn arrays(rng: &mut Rng, size: u64) -> Program {
    let lens = [rng.range(1, size), rng.range(1, size)];
    let block = rng.range(size.div_ceil(6), size.div_ceil(2));
    let mut builder = ProgramBuilder::default();
    let mut formulas = Formulas { rng, lens, made: Vec::new() };
    let mut wanted = Vec::new();
    for _ in 0..formulas.rng.range(1, 2) {
        let rows = *formulas.rng.pick(&lens);
        let cols = *formulas.rng.pick(&lens);
        let depth = formulas.rng.range(1, 4) as u32;
        let array = formulas.array(rows, cols, depth);
        wanted.push(match formulas.rng.below(6) {
            0 => array.sum(),
            1 => array.norm(),
            _ => array,
        });
    }
    let mut lowering = Lowering::new(&mut builder, block);
    let lower = |array: &Array| {
        let (rows, cols) = array.shape().unwrap();
        lowering.lower(array, BlockGrid::new(Axis::new(rows, block), Axis::new(cols, block))).unwrap()
    };
    let results: Vec<Access> = wanted.iter().map(lower).collect();
    finish(rng, &mut builder, &results);
    builder.finish()
}

const GUESSED_FLOPS_PER_SECOND: f64 = 2e10;

/// The product of two square matrices of so many blocks. Its chains go on one after the other, or in lockstep as in a
/// fleet. A step is taken to need so many seconds, before one has been measured.
pub fn product(blocks: u64, lockstep: bool, seconds: f64) -> Program {
    const BLOCK: u64 = 8;
    let mut builder = ProgramBuilder::default();
    let mut lowering = Lowering::new(&mut builder, BLOCK);
    let axis = Axis::new(blocks * BLOCK, BLOCK);
    let (rows, cols) = (axis.len(), axis.len());
    let product = input(0, rows, cols).dot(&input(1, rows, cols));
    let result = lowering.lower(&product, BlockGrid::new(axis, axis)).unwrap();
    if lockstep {
        builder.lockstep(result.stage);
    }
    builder.write(result, 0, (0, 0));
    let mut program = builder.finish();
    for stage in program.stages_mut().filter(|stage| stage.space.extents().k > 1) {
        stage.work.flops = seconds * GUESSED_FLOPS_PER_SECOND;
    }
    program
}

/// One block of 8 MiB, and tasks that each read it. They take so many seconds, as is guessed.
pub fn broadcast(readers: usize, seconds: f64) -> Program {
    let work = Work { flops: seconds * GUESSED_FLOPS_PER_SECOND, ..Work::default() };
    let of_task = |task: usize| if task == 0 { Vec::new() } else { vec![0] };
    let edges = Edges::new(&(0..=readers).map(of_task).collect::<Vec<_>>());
    Program::new(vec![Stage {
        kind: Kind::Null,
        space: Space::new(readers as u32 + 1, 1, 1, Order::Rows),
        blocks: Blocks::Each { rows: 1, cols: 1 << 20 },
        element: Element::F64,
        reads: vec![Read { source: StageId(0), pattern: Pattern::Edges(Arc::new(edges)) }],
        keep: true,
        lockstep: false,
        work,
    }])
}

/// A few blocks, and tasks each of which reads two or three of them.
pub fn much_wanted(rng: &mut Rng, blocks: u64, readers: u64) -> Program {
    let mut inputs = vec![Vec::new(); blocks as usize];
    for _ in 0..readers {
        let first = rng.below(blocks);
        let reads = (first..first + rng.range(2, 3)).map(|block| (block % blocks) as u32);
        inputs.push(reads.collect());
    }
    let read = Read { source: StageId(0), pattern: Pattern::Edges(Arc::new(Edges::new(&inputs))) };
    Program::new(vec![Stage {
        kind: Kind::Null,
        space: Space::new(inputs.len() as u32, 1, 1, Order::Rows),
        blocks: Blocks::Each { rows: 1, cols: 7 },
        element: Element::F64,
        reads: vec![read],
        keep: true,
        lockstep: false,
        work: Work::default(),
    }])
}

/// A tall matrix in row blocks, which may be shorter than wide.
fn tall(rng: &mut Rng, builder: &mut ProgramBuilder, size: u64, transposed: bool) -> Access {
    let n = rng.range(1, size.div_ceil(4));
    let rows = rng.range(n, n + 2 * size);
    let panel = Axis::new(rows, rng.range(rows.div_ceil(12), rows));
    let grid = BlockGrid::new(panel, Axis::whole(n));
    let mut lowering = Lowering::new(builder, size);
    if transposed && rng.chance(30) {
        return lowering.lower(&input(0, n, rows), grid.transposed()).unwrap().t();
    }
    lowering.lower(&input(0, rows, n), grid).unwrap()
}

fn tsqr(rng: &mut Rng, size: u64) -> Program {
    let mut builder = ProgramBuilder::default();
    let a = tall(rng, &mut builder, size, true);
    let n = a.grid.cols.len();
    let tree = Tall::new(&mut builder, a, |r1, r2, n| r1 + r2 + n);
    let keep = rng.range(1, n);
    let results = match rng.below(3) {
        0 => vec![tree.values(&mut builder, keep)],
        1 => {
            let (u, s, vt) = tree.svd(&mut builder, keep);
            vec![u, s, vt]
        }
        _ => {
            let (q, r) = tree.qr(&mut builder);
            vec![q, r]
        }
    };
    finish(rng, &mut builder, &results);
    builder.finish()
}

fn range_finder(rng: &mut Rng, size: u64) -> Program {
    let mut builder = ProgramBuilder::default();
    let a = tall(rng, &mut builder, 2 * size, false);
    let sketch = Fill::Random { law: Law::Normal, seed: 1 };
    let width = rng.range(1, 4);
    let whole = BlockGrid::whole(a.grid.cols.len(), width);
    let mut x = builder.fill(sketch, 0, 0, whole, Element::F64);
    for _ in 0..=rng.below(3) {
        x = builder.gram_apply(a, x);
    }
    let y = builder.gemm(a, x);
    let g = builder.tall_product(y, a);
    let x = builder.fix_signs(x, x);
    let g = builder.fix_signs(g, g);
    finish(rng, &mut builder, &[y, g, x]);
    builder.finish()
}

fn null(rng: &mut Rng, size: u64) -> Program {
    let mut builder = ProgramBuilder::default();
    let tasks = rng.range(1, 5 * size) as u32;
    match rng.below(4) {
        0 => {
            builder.null_wide(tasks);
        }
        1 => builder.null_tree(tasks),
        2 => builder.null_chain(tasks),
        _ => builder.null_grid(rng.range(1, 9) as u32),
    }
    builder.finish()
}

/// A graph wired at random, with blocks.
pub fn edges(rng: &mut Rng, size: u64) -> Program {
    let tasks = rng.range(1, 4 * size) as u32;
    let inputs = |task: u32| {
        let reads = if task == 0 { 0 } else { rng.below(4) };
        (0..reads).map(|_| rng.below(u64::from(task)) as u32).collect::<Vec<_>>()
    };
    let edges = Edges::new(&(0..tasks).map(inputs).collect::<Vec<_>>());
    let read = Read { source: StageId(0), pattern: Pattern::Edges(Arc::new(edges)) };
    let mut stages = vec![Stage {
        kind: Kind::Null,
        space: Space::new(tasks, 1, 1, Order::Rows),
        blocks: Blocks::Each { rows: 1, cols: 7 },
        element: Element::F64,
        reads: vec![read],
        keep: rng.chance(50),
        lockstep: false,
        work: Work::default(),
    }];
    if rng.chance(50) {
        let read = Read { source: StageId(0), pattern: Pattern::Gather { fan: 3 } };
        let space = Space::new(tasks.div_ceil(3), 1, 1, Order::Rows);
        stages.push(Stage { space, reads: vec![read], keep: true, ..stages[0].clone() });
    }
    Program::new(stages)
}
