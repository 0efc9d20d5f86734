//! Where blocks are best made.
//!
//! A product: a grid of workers is laid over the grid of blocks again and again, so that each worker has some rows and
//! some columns, and reads only those of the factors.
//!
//! A tall matrix in blocks below each other, and the trees over them: each worker has a share of neighbouring blocks,
//! in strips as long as whole subtrees, so that only what combines these goes from worker to worker.

use super::fleet::Fleet;
use super::tall::{OverTall, over_tall};
use crate::graph::Program;
use crate::ids::{StageId, TaskId, WorkerId};

/// The busiest worker may have so many times its share of blocks.
const LOPSIDED: f64 = 1.25;

/// Rows and columns of a grid of workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Grid {
    rows: u32,
    cols: u32,
}

/// Tasks over the blocks of a tall matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Strips {
    /// Row blocks of the matrix that belong to one task.
    per_task: u32,
    /// Row blocks of a strip.
    length: u32,
    /// How many there are.
    count: u32,
}

impl Strips {
    /// Of so many blocks.
    fn of(blocks: u32, length: u32) -> Strips {
        Strips { per_task: 1, length, count: blocks.div_ceil(length) }
    }

    /// Which of so many places a strip belongs to.
    fn place(self, strip: u32, places: u32) -> u32 {
        let strip = u64::from(strip.min(self.count - 1));
        (strip * u64::from(places) / u64::from(self.count)) as u32
    }

    /// The most blocks of these at one of so many places.
    fn most_at_one(self, blocks: u32, places: u32) -> u32 {
        blocks.min(self.count.div_ceil(places).saturating_mul(self.length))
    }
}

/// How the tasks of a stage are divided among workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layout {
    Grid(Grid),
    Strips(Strips),
    /// Any worker does them as well as any other.
    Anywhere,
}

/// The homes of blocks, while the fleet is as it is.
#[derive(Default)]
pub(super) struct Homes {
    /// The workers, each as often as it has a share.
    places: Vec<WorkerId>,
    /// By stage, once it has been asked for.
    layouts: Vec<Option<Layout>>,
    /// By stage, once one has been asked for.
    over_tall: Vec<Option<OverTall>>,
    consumers: Vec<TaskId>,
}

/// Who is to do a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Home {
    /// It, and nobody else: the plan of the whole run is that.
    Firm(WorkerId),
    /// It, unless what the task reads lies elsewhere, or others would be done sooner by far.
    Best(WorkerId),
}

impl Home {
    pub fn worker(self) -> WorkerId {
        match self {
            Home::Firm(worker) | Home::Best(worker) => worker,
        }
    }
}

/// The run in which blocks have homes.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub program: &'a Program,
    pub fleet: &'a Fleet,
}

impl Homes {
    /// The workers have changed.
    pub fn forget(&mut self) {
        self.layouts.clear();
        self.places.clear();
    }

    fn lay_out(&mut self, fleet: &Fleet) {
        let computing: Vec<(WorkerId, u32)> = fleet.computing().collect();
        let unit = computing.iter().fold(0, |unit, (_, threads)| common_divisor(*threads, unit)).max(1);
        for (worker, threads) in computing {
            self.places.extend((0..threads / unit).map(|_| worker));
        }
    }

    /// The worker that is to do `task`. None if any other can do it as well. O(consumers) for a source of a product,
    /// O(stages + workers) after they have changed.
    pub fn of(&mut self, run: Run, task: TaskId) -> Option<Home> {
        if self.places.is_empty() {
            self.lay_out(run.fleet);
        }
        let is_lockstep = |stage: StageId| run.program.stage(stage).lockstep;
        let stage = run.program.stage(task.stage);
        let one = match stage.kind.is_source() && run.program.users(task.stage).any(is_lockstep) {
            true => self.one_consumer(run.program, task).filter(|consumer| is_lockstep(consumer.stage))?,
            false => task,
        };
        let at = run.program.stage(one.stage).space.coords(one.index);
        match self.layout(run, one.stage) {
            Layout::Grid(grid) => {
                let place = at.i % grid.rows * grid.cols + at.j % grid.cols;
                Some(Home::Firm(self.places[place as usize]))
            }
            Layout::Strips(strips) => {
                let strip = at.i.saturating_mul(strips.per_task) / strips.length;
                let place = strips.place(strip, self.places.len() as u32);
                Some(Home::Best(self.places[place as usize]))
            }
            Layout::Anywhere => None,
        }
    }

    /// Each worker that wants a block of a source gets its share of such blocks.
    fn one_consumer(&mut self, program: &Program, task: TaskId) -> Option<TaskId> {
        let mut consumers = std::mem::take(&mut self.consumers);
        program.consumers(task, &mut consumers);
        let one = consumers.get(task.index as usize % consumers.len().max(1)).copied();
        self.consumers = consumers;
        one
    }

    fn layout(&mut self, run: Run, stage: StageId) -> Layout {
        if self.layouts.is_empty() {
            self.layouts.resize(run.program.stages().len(), None);
        }
        if let Some(layout) = self.layouts[stage.at()] {
            return layout;
        }
        let found = self.find_layout(run.program, stage);
        self.layouts[stage.at()] = Some(found);
        found
    }

    fn find_layout(&mut self, program: &Program, id: StageId) -> Layout {
        let stage = program.stage(id);
        if stage.lockstep {
            let extents = stage.space.extents();
            return best_grid(extents.i, extents.j, self.places.len() as u32)
                .map_or(Layout::Anywhere, Layout::Grid);
        }
        if self.over_tall.is_empty() {
            self.over_tall = over_tall(program);
        }
        let Some(OverTall { blocks, per_task }) = self.over_tall[id.at()] else { return Layout::Anywhere };
        let strips = self.strips(blocks).map(|strips| Strips { per_task, ..strips });
        strips.map_or(Layout::Anywhere, Layout::Strips)
    }

    /// The longest strips of so many blocks that give each worker its share. O(log blocks).
    fn strips(&self, blocks: u32) -> Option<Strips> {
        let places = self.places.len() as u32;
        if places < 2 || blocks == 0 {
            return None;
        }
        let longest = blocks.div_ceil(places).next_power_of_two();
        let lengths = std::iter::successors(Some(longest), |length| (*length > 1).then_some(length / 2));
        let is_fair =
            |strips: &Strips| is_even(strips.most_at_one(blocks, places).into(), blocks.into(), places);
        lengths.map(|length| Strips::of(blocks, length)).find(is_fair)
    }
}

/// Has nobody more than its share of `all`, but for a little?
fn is_even(most: f64, all: f64, places: u32) -> bool {
    most * f64::from(places) <= LOPSIDED * all
}

/// Of the grids of `places` workers that divide rows × cols blocks about equally, the one that reads the least: a row
/// of blocks is read by each column of workers, a column by each row of them. O(√places).
fn best_grid(rows: u32, cols: u32, places: u32) -> Option<Grid> {
    if places < 2 {
        return None;
    }
    let divisors = (1..=places.isqrt()).filter(|divisor| places.is_multiple_of(*divisor));
    let grids = divisors.flat_map(|few| {
        let many = places / few;
        [Grid { rows: few, cols: many }, Grid { rows: many, cols: few }]
    });
    let all = f64::from(rows) * f64::from(cols);
    let most = |grid: &Grid| f64::from(rows.div_ceil(grid.rows)) * f64::from(cols.div_ceil(grid.cols));
    let reads = |grid: &Grid| u64::from(rows) * u64::from(grid.cols) + u64::from(cols) * u64::from(grid.rows);
    grids.filter(|grid| is_even(most(grid), all, places)).min_by_key(reads)
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Fill;
    use crate::graph::kinds::FillBlock;
    use crate::graph::testing::{column, nulls};
    use crate::graph::{Kind, Order, Pattern, Pick, Read, Space, Stage};
    use crate::ids::MemoryId;

    #[test]
    fn workers_stand_in_squares_if_blocks_do() {
        let grid = |rows, cols| Some(Grid { rows, cols });
        assert_eq!(best_grid(6, 6, 4), grid(2, 2));
        assert_eq!(best_grid(100, 100, 64), grid(8, 8));
        // All of a long side is read by few.
        assert_eq!(best_grid(64, 2, 8), grid(8, 1));
        assert_eq!(best_grid(2, 64, 8), grid(1, 8));
    }

    #[test]
    fn strips_are_long_if_that_gives_each_place_its_share() {
        let most = |blocks, length, places| Strips::of(blocks, length).most_at_one(blocks, places);
        assert_eq!(most(62, 16, 4), 16);
        assert_eq!(most(40, 8, 4), 16, "five strips");
        assert_eq!(most(40, 4, 4), 12);
        assert_eq!(most(5, 1, 4), 2);
        assert!(is_even(16.0, 62.0, 4) && !is_even(2.0, 5.0, 4));
    }

    #[test]
    fn blocks_that_cannot_be_divided_equally_have_no_homes() {
        assert_eq!(best_grid(1, 1, 2), None);
        assert_eq!(best_grid(6, 6, 1), None, "one worker needs no home");
        assert_eq!(best_grid(4, 4, 7), None);
        assert_eq!(best_grid(6, 6, 8), None);
    }

    const FIRST: WorkerId = WorkerId(0);
    const SECOND: WorkerId = WorkerId(1);

    fn fleet(threads: [u32; 2]) -> Fleet {
        let mut fleet = Fleet::default();
        fleet.join(FIRST, threads[0], MemoryId(0));
        fleet.join(SECOND, threads[1], MemoryId(1));
        fleet
    }

    fn stage(space: Space, reads: Vec<Read>) -> Stage {
        Stage { keep: true, ..nulls(space, reads) }
    }

    /// So many blocks below each other, and what is made of two of them each.
    fn tall(blocks: u32) -> Program {
        let read = Read { source: StageId(0), pattern: Pattern::Gather { fan: 2 } };
        Program::new(vec![stage(column(blocks), Vec::new()), stage(column(blocks / 2), vec![read])])
    }

    fn homes(program: &Program, fleet: &Fleet, stage: u32) -> Vec<Option<u32>> {
        let mut homes = Homes::default();
        let tasks = 0..program.stage(StageId(stage)).space.tasks();
        let home = |index| homes.of(Run { program, fleet }, TaskId::new(StageId(stage), index));
        tasks.map(home).map(|home| home.map(|home| home.worker().0)).collect()
    }

    #[test]
    fn each_worker_has_neighbouring_blocks_of_whole_subtrees() {
        // Strips of 8 blocks: two for the first worker, one for the other would not be fair.
        for (blocks, of_first) in [(32, 16), (31, 16), (20, 12), (2, 1)] {
            let wanted: Vec<_> = (0..blocks).map(|block| Some(u32::from(block >= of_first))).collect();
            assert_eq!(homes(&tall(blocks), &fleet([1, 1]), 0), wanted, "{blocks}");
        }
        assert_eq!(homes(&tall(1), &fleet([1, 1]), 0), [None]);
    }

    #[test]
    fn what_is_made_of_a_strip_is_at_home_where_the_strip_is() {
        let wanted: Vec<_> = (0..16).map(|task| Some(2 * task / 16)).collect();
        assert_eq!(homes(&tall(32), &fleet([1, 1]), 1), wanted);
    }

    /// Each of two tasks is over three blocks, and is halved into tasks that are over two: the last begins behind the
    /// last block.
    #[test]
    fn what_is_below_a_ragged_tree_is_at_home_with_the_last_block() {
        let below = |source, pattern| vec![Read { source: StageId(source), pattern }];
        let program = Program::new(vec![
            stage(column(6), Vec::new()),
            stage(column(2), below(0, Pattern::Gather { fan: 3 })),
            stage(column(4), below(1, Pattern::Spread { fan: 2 })),
        ]);
        assert_eq!(homes(&program, &fleet([1, 1]), 2), [0, 0, 1, 1].map(Some));
    }

    #[test]
    fn a_worker_has_strips_for_its_threads() {
        let wanted: Vec<_> = (0..12).map(|block| Some(u32::from(block >= 4))).collect();
        assert_eq!(homes(&tall(12), &fleet([2, 4]), 0), wanted);
        assert_eq!(homes(&tall(12), &fleet([2, 0]), 0), [None; 12], "one worker needs no home");
    }

    #[test]
    fn neither_wide_matrices_nor_chains_are_in_strips() {
        let wide = Program::new(vec![stage(Space::new(4, 2, 1, Order::Rows), Vec::new())]);
        assert_eq!(homes(&wide, &fleet([1, 1]), 0), [None; 8]);
        // Each step reads a block of a matrix that is in strips.
        let matrix = stage(Space::new(4, 1, 1, Order::Rows), Vec::new());
        let of_matrix = Read { source: StageId(0), pattern: Pattern::Block(Pick::Row, Pick::Zero) };
        let previous = Read { source: StageId(1), pattern: Pattern::Previous };
        let chains = stage(Space::new(4, 1, 2, Order::Rows), vec![of_matrix, previous]);
        let program = Program::new(vec![matrix, chains]);
        assert_eq!(homes(&program, &fleet([1, 1]), 0), [0, 0, 1, 1].map(Some));
        assert_eq!(homes(&program, &fleet([1, 1]), 1), [None; 8]);
    }

    /// Columns of a product are dealt to two workers; each block of its left factor is read by two chains of each.
    #[test]
    fn each_worker_that_wants_blocks_of_a_source_makes_its_share_of_them() {
        let source = Stage {
            kind: Kind::Fill(FillBlock { fill: Fill::Constant(1.0), row: 0, col: 0 }),
            ..stage(Space::new(4, 1, 1, Order::Rows), Vec::new())
        };
        let read = Read { source: StageId(0), pattern: Pattern::Block(Pick::Row, Pick::Zero) };
        let product = Stage { lockstep: true, ..stage(Space::new(4, 4, 1, Order::Rows), vec![read]) };
        let program = Program::new(vec![source, product]);
        assert_eq!(homes(&program, &fleet([1, 1]), 1), [[0, 1].map(Some); 8].concat());
        assert_eq!(homes(&program, &fleet([1, 1]), 0), [0, 1, 0, 1].map(Some));
    }
}
