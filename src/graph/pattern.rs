//! Who reads whom, as formulas: a [`Pattern`] maps a task to the blocks it reads, and back.

use super::space::{Coords, Space};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

/// One coordinate of the block that is read, taken from the coordinates of the task that reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Pick {
    Row,
    Col,
    /// The step of a chain: the inner block index of a matrix product.
    Step,
    /// Always block 0: the source has one block in this direction.
    Zero,
}

impl Pick {
    fn of(self, c: Coords) -> u32 {
        match self {
            Pick::Row => c.i,
            Pick::Col => c.j,
            Pick::Step => c.k,
            Pick::Zero => 0,
        }
    }
}

/// Which blocks of a source stage a task reads.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Pattern {
    /// The block at the picked coordinates (elementwise: Row, Col; transposed: Col, Row; the left
    /// factor of a product: Row, Step; …).
    Block(Pick, Pick),
    /// The same block one step earlier in the chain of the same stage: it is taken over and changed in place.
    Previous,
    /// Task i reads blocks i·fan .. (i+1)·fan of the source: one level of a tree, towards the root.
    Gather { fan: u32 },
    /// Task i reads block i / fan of the source: one level of a tree, towards the leaves.
    Spread { fan: u32 },
    /// Edges wired by hand.
    Edges(Arc<Edges>),
}

/// A bipartite graph in two flat arrays, kept in both directions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Edges {
    inputs: Rows,
    /// The inputs without repetitions, if there are any.
    distinct: Option<Rows>,
    consumers: Rows,
}

/// Compressed sparse rows.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Rows {
    starts: Vec<u32>,
    targets: Vec<u32>,
}

impl Rows {
    fn new(lists: &[Vec<u32>]) -> Self {
        let mut rows = Rows { starts: vec![0], targets: Vec::new() };
        for list in lists {
            rows.targets.extend(list);
            rows.starts.push(u32::try_from(rows.targets.len()).expect("fewer than 2^32 edges"));
        }
        rows
    }

    /// Are there so many rows, each within the targets?
    fn is_sound(&self, rows: u32) -> bool {
        self.starts.len() == rows as usize + 1
            && self.starts.first() == Some(&0)
            && self.starts.is_sorted()
            && self.starts.last().copied() == u32::try_from(self.targets.len()).ok()
    }

    fn row(&self, at: u32) -> &[u32] {
        &self.targets[self.starts[at as usize] as usize..self.starts[at as usize + 1] as usize]
    }
}

/// Each input at its first place only; none if nothing is repeated.
fn distinct(inputs: &[Vec<u32>]) -> Option<Rows> {
    let mut seen = HashSet::new();
    let mut once = |list: &Vec<u32>| {
        seen.clear();
        list.iter().copied().filter(|source| seen.insert(*source)).collect::<Vec<_>>()
    };
    let lists: Vec<Vec<u32>> = inputs.iter().map(&mut once).collect();
    (lists != inputs).then(|| Rows::new(&lists))
}

impl Edges {
    /// `inputs[t]` lists the tasks of the same stage that task `t` reads.
    pub fn new(inputs: &[Vec<u32>]) -> Self {
        let mut consumers = vec![Vec::new(); inputs.len()];
        for (task, list) in inputs.iter().enumerate() {
            for &source in list {
                if consumers[source as usize].last() != Some(&(task as u32)) {
                    consumers[source as usize].push(task as u32);
                }
            }
        }
        Edges { inputs: Rows::new(inputs), distinct: distinct(inputs), consumers: Rows::new(&consumers) }
    }

    /// Are these the edges of so many tasks, each from an earlier one, and the same in both directions?
    pub(super) fn is_sound(&self, tasks: u32) -> bool {
        if !self.inputs.is_sound(tasks) {
            return false;
        }
        let lists: Vec<Vec<u32>> = (0..tasks).map(|task| self.inputs(task).to_vec()).collect();
        let is_ordered = lists.iter().zip(0..).all(|(list, task)| list.iter().all(|source| *source < task));
        is_ordered && *self == Edges::new(&lists)
    }

    /// The inputs of `task`, each once.
    pub fn distinct(&self, task: u32) -> &[u32] {
        self.distinct.as_ref().unwrap_or(&self.inputs).row(task)
    }

    /// The inputs of `task` in the order in which they were given, repetitions included.
    pub fn inputs(&self, task: u32) -> &[u32] {
        self.inputs.row(task)
    }
}

impl Pattern {
    /// Calls `visit` with the index of each block of `source` that task `index` of `reader` reads.
    pub fn inputs(&self, reader: &Space, index: u32, source: &Space, mut visit: impl FnMut(u32)) {
        match self {
            Pattern::Block(row, col) => {
                let c = reader.coords(index);
                visit(source.block_task(row.of(c), col.of(c)));
            }
            Pattern::Previous => {
                let c = reader.coords(index);
                if c.k > 0 {
                    visit(reader.task(Coords { k: c.k - 1, ..c }));
                }
            }
            Pattern::Gather { fan } => {
                let start = index * fan;
                (start..(start + fan).min(source.tasks())).for_each(visit);
            }
            Pattern::Spread { fan } => visit(index / fan),
            Pattern::Edges(edges) => edges.inputs.row(index).iter().copied().for_each(visit),
        }
    }

    /// The inverse: calls `visit` with each task of `reader` that reads block `index` of `source`.
    pub fn consumers(&self, reader: &Space, source: &Space, index: u32, mut visit: impl FnMut(u32)) {
        match self {
            Pattern::Block(row, col) => {
                let Some((p, q)) = source.block_of(index) else { return };
                let mut picked = [None; 3];
                for (pick, at) in [(row, p), (col, q)] {
                    let slot = match pick {
                        Pick::Row => &mut picked[0],
                        Pick::Col => &mut picked[1],
                        Pick::Step => &mut picked[2],
                        Pick::Zero if at == 0 => continue,
                        Pick::Zero => return,
                    };
                    match slot {
                        Some(other) if *other != at => return,
                        _ => *slot = Some(at),
                    }
                }
                let all = reader.extents();
                let span = |slot: Option<u32>, extent: u32| match slot {
                    Some(at) if at < extent => at..at + 1,
                    Some(_) => 0..0,
                    None => 0..extent,
                };
                for i in span(picked[0], all.i) {
                    for j in span(picked[1], all.j) {
                        for k in span(picked[2], all.k) {
                            visit(reader.task(Coords { i, j, k }));
                        }
                    }
                }
            }
            Pattern::Previous => {
                let c = reader.coords(index);
                if c.k + 1 < reader.extents().k {
                    visit(reader.task(Coords { k: c.k + 1, ..c }));
                }
            }
            Pattern::Gather { fan } => {
                if index / fan < reader.tasks() {
                    visit(index / fan);
                }
            }
            Pattern::Spread { fan } => {
                let start = index * fan;
                (start..(start + fan).min(reader.tasks())).for_each(visit);
            }
            Pattern::Edges(edges) => edges.consumers.row(index).iter().copied().for_each(visit),
        }
    }
}
