//! The tasks of a stage as points (row block, column block, step), numbered in the order in which
//! they are best done.

use serde::{Deserialize, Serialize};

/// Where a task stands in its stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Coords {
    pub i: u32,
    pub j: u32,
    pub k: u32,
}

/// The order of the blocks of a grid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Row by row.
    Rows,
    /// (i,j) and (j,i) beside each other, shell by shell: (0,0) (0,1) (1,0) (0,2) (2,0) … (1,1) (1,2) (2,1) …
    /// Needs a square grid. A matrix and its transpose are then held together for the shortest time.
    Pairs,
}

/// `rows × cols` blocks, each made by a chain of `steps` tasks of which the last one is the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Space {
    rows: u32,
    cols: u32,
    steps: u32,
    order: Order,
}

impl Space {
    /// # Panics
    /// Without steps, for pairs on a grid that is not square, and for 2³² tasks or more.
    pub fn new(rows: u32, cols: u32, steps: u32, order: Order) -> Self {
        assert!(steps > 0, "a block takes at least one step");
        assert!(order == Order::Rows || rows == cols, "pairs need a square grid");
        let tasks = u128::from(rows) * u128::from(cols) * u128::from(steps);
        assert!(tasks < 1 << 32, "a stage has fewer than 2^32 tasks, this one {tasks}: use larger blocks");
        Space { rows, cols, steps, order }
    }

    pub fn tasks(&self) -> u32 {
        self.rows * self.cols * self.steps
    }

    pub fn order(&self) -> Order {
        self.order
    }

    /// The number of rows, columns and steps.
    pub fn extents(&self) -> Coords {
        Coords { i: self.rows, j: self.cols, k: self.steps }
    }

    pub fn coords(&self, index: u32) -> Coords {
        let (block, k) = (index / self.steps, index % self.steps);
        match self.order {
            Order::Rows => Coords { i: block / self.cols, j: block % self.cols, k },
            Order::Pairs => {
                let (i, j) = pair_at(self.rows, block);
                Coords { i, j, k }
            }
        }
    }

    pub fn task(&self, c: Coords) -> u32 {
        let block = match self.order {
            Order::Rows => c.i * self.cols + c.j,
            Order::Pairs => pair_rank(self.rows, c.i, c.j),
        };
        block * self.steps + c.k
    }

    /// The task whose output is block (i, j): the last of its chain.
    pub fn block_task(&self, i: u32, j: u32) -> u32 {
        self.task(Coords { i, j, k: self.steps - 1 })
    }

    /// The block that a task finishes; none for the earlier steps of a chain.
    pub fn block_of(&self, index: u32) -> Option<(u32, u32)> {
        let c = self.coords(index);
        (c.k + 1 == self.steps).then_some((c.i, c.j))
    }

    /// Is this task an earlier step of a chain, whose output the next step takes over?
    pub fn is_partial(&self, index: u32) -> bool {
        index % self.steps + 1 != self.steps
    }
}

/// Shells before shell s of an n×n grid hold s·(2n − s) blocks.
fn pair_rank(n: u32, i: u32, j: u32) -> u32 {
    let (shell, far) = (u64::from(i.min(j)), u64::from(i.max(j)));
    let start = shell * (2 * u64::from(n) - shell);
    let within = if i == j { 0 } else { 2 * (far - shell) - u64::from(i < j) };
    (start + within) as u32
}

fn pair_at(n: u32, rank: u32) -> (u32, u32) {
    let (n, rank) = (u64::from(n), u64::from(rank));
    // The largest s with s·(2n − s) ≤ rank: s = n − ceil(sqrt(n² − rank)).
    let rest = n * n - rank;
    let root = rest.isqrt();
    let shell = n - if root * root == rest { root } else { root + 1 };
    let within = rank - shell * (2 * n - shell);
    let far = (shell + within.div_ceil(2)) as u32;
    let shell = shell as u32;
    if within % 2 == 1 { (shell, far) } else { (far, shell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_a_bijection_and_neighbours() {
        for n in 1..40 {
            let space = Space::new(n, n, 1, Order::Pairs);
            for index in 0..space.tasks() {
                let c = space.coords(index);
                assert!(c.i < n && c.j < n);
                assert_eq!(space.task(c), index);
                let mirror = space.task(Coords { i: c.j, j: c.i, k: 0 });
                assert!(mirror.abs_diff(index) <= 1, "n {n}: {c:?}");
            }
        }
    }

    #[test]
    fn chains_count_steps_fastest() {
        let space = Space::new(2, 3, 4, Order::Rows);
        assert_eq!(space.coords(12 + 2 * 4 + 3), Coords { i: 1, j: 2, k: 3 });
        assert_eq!(space.block_of(3), Some((0, 0)));
        assert_eq!(space.block_of(2), None);
    }
}
