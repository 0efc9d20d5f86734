//! Where the blocks of a product are best made: a grid of workers is laid over the grid of blocks again and again, so
//! that each worker has some rows and some columns, and reads only those of the factors.

use super::fleet::Fleet;
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

/// The homes of blocks, while the fleet is as it is.
#[derive(Default)]
pub(super) struct Homes {
    /// The workers, each as often as it has a share.
    places: Vec<WorkerId>,
    /// By stage, once it has been asked for: none if its blocks have no homes.
    grids: Vec<Option<Option<Grid>>>,
    consumers: Vec<TaskId>,
}

impl Homes {
    /// The workers have changed.
    pub fn forget(&mut self) {
        self.grids.clear();
        self.places.clear();
    }

    fn lay_out(&mut self, fleet: &Fleet) {
        let computing: Vec<(WorkerId, u32)> = fleet.computing().collect();
        let unit = computing.iter().fold(0, |unit, (_, threads)| common_divisor(*threads, unit)).max(1);
        for (worker, threads) in computing {
            self.places.extend((0..threads / unit).map(|_| worker));
        }
    }

    /// The worker that is to do a task of a stage in lockstep, or one of a source that such a stage reads. None if any
    /// other can do it as well. O(consumers) for a source, O(workers) after they have changed.
    pub fn of(&mut self, program: &Program, fleet: &Fleet, task: TaskId) -> Option<WorkerId> {
        let is_lockstep = |stage: StageId| program.stage(stage).lockstep;
        let is_read =
            || program.stage(task.stage).kind.is_source() && program.users(task.stage).any(is_lockstep);
        if is_lockstep(task.stage) {
            return self.of_chain(program, fleet, task);
        }
        if !is_read() {
            return None;
        }
        let mut consumers = std::mem::take(&mut self.consumers);
        program.consumers(task, &mut consumers);
        // Each worker that wants it gets its share of such blocks.
        let one = consumers.get(task.index as usize % consumers.len().max(1)).copied();
        self.consumers = consumers;
        self.of_chain(program, fleet, one.filter(|consumer| is_lockstep(consumer.stage))?)
    }

    fn of_chain(&mut self, program: &Program, fleet: &Fleet, task: TaskId) -> Option<WorkerId> {
        if self.places.is_empty() {
            self.lay_out(fleet);
        }
        let grid = self.grid(program, task.stage)?;
        let at = program.stage(task.stage).space.coords(task.index);
        Some(self.places[(at.i % grid.rows * grid.cols + at.j % grid.cols) as usize])
    }

    fn grid(&mut self, program: &Program, stage: StageId) -> Option<Grid> {
        if self.grids.is_empty() {
            self.grids.resize(program.stages().len(), None);
        }
        let extents = program.stage(stage).space.extents();
        *self.grids[stage.at()]
            .get_or_insert_with(|| best_grid(extents.i, extents.j, self.places.len() as u32))
    }
}

/// Of the grids of `places` workers that divide rows × cols blocks about equally, the one that reads the least: a row
/// of blocks is read by each column of workers, a column by each row of them. O(√places).
fn best_grid(rows: u32, cols: u32, places: u32) -> Option<Grid> {
    let all = f64::from(rows) * f64::from(cols);
    if places < 2 {
        return None;
    }
    let divisors = (1..=places.isqrt()).filter(|divisor| places.is_multiple_of(*divisor));
    let grids = divisors.flat_map(|few| {
        let many = places / few;
        [Grid { rows: few, cols: many }, Grid { rows: many, cols: few }]
    });
    let is_even = |grid: &Grid| {
        let most = f64::from(rows.div_ceil(grid.rows)) * f64::from(cols.div_ceil(grid.cols));
        most * f64::from(places) <= LOPSIDED * all
    };
    let reads = |grid: &Grid| u64::from(rows) * u64::from(grid.cols) + u64::from(cols) * u64::from(grid.rows);
    grids.filter(is_even).min_by_key(reads)
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn blocks_that_cannot_be_divided_equally_have_no_homes() {
        assert_eq!(best_grid(1, 1, 2), None);
        assert_eq!(best_grid(6, 6, 1), None, "one worker needs no home");
        assert_eq!(best_grid(4, 4, 7), None);
        assert_eq!(best_grid(6, 6, 8), None);
    }
}
