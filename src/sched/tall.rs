//! Which stages of a program are over a tall matrix: its blocks below each other, what is made of each, and the trees
//! above and below them.

use crate::graph::{Pattern, Pick, Program, Read, Stage};

/// The tasks of a stage, in the order of the blocks of a tall matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OverTall {
    /// Blocks of the matrix.
    pub blocks: u32,
    /// So many of them belong to one task.
    pub per_task: u32,
}

/// What each stage is over, if it is over a tall matrix. O(stages + reads).
pub(super) fn over_tall(program: &Program) -> Vec<Option<OverTall>> {
    let mut found: Vec<Option<OverTall>> = Vec::new();
    for stage in program.stages() {
        let extents = stage.space.extents();
        let here = if stage.lockstep || extents.j > 1 || extents.k > 1 {
            None
        } else if stage.reads.is_empty() {
            Some(OverTall { blocks: extents.i, per_task: 1 })
        } else {
            // What a stage reads comes before it, or is the stage itself.
            let through = |read: &Read| above(program, stage, read, (*found.get(read.source.at())?)?);
            stage.reads.iter().find_map(through)
        };
        found.push(here);
    }
    found
}

/// What `stage` is over, which reads a stage that is over `below`.
fn above(program: &Program, stage: &Stage, read: &Read, below: OverTall) -> Option<OverTall> {
    let is_one_of_one = stage.space.tasks() == 1 && program.stage(read.source).space.tasks() == 1;
    let per_task = match read.pattern {
        Pattern::Block(Pick::Row, _) => below.per_task,
        Pattern::Block(..) if is_one_of_one => below.per_task,
        Pattern::Gather { fan } => below.per_task.saturating_mul(fan),
        Pattern::Spread { fan } => below.per_task.div_ceil(fan),
        _ => return None,
    };
    Some(OverTall { per_task, ..below })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::{column, linked, nulls};
    use crate::graph::{Order, Space};
    use crate::ids::StageId;

    fn reading(source: u32, pattern: Pattern) -> Vec<Read> {
        vec![Read { source: StageId(source), pattern }]
    }

    #[test]
    fn trees_are_over_the_blocks_below_them() {
        let of_row = Pattern::Block(Pick::Row, Pick::Zero);
        let program = Program::new(vec![
            nulls(column(6), Vec::new()),
            nulls(column(6), reading(0, of_row)),
            nulls(column(2), reading(1, Pattern::Gather { fan: 3 })),
            nulls(column(1), reading(2, Pattern::Gather { fan: 2 })),
            nulls(column(1), reading(3, Pattern::Block(Pick::Zero, Pick::Zero))),
            nulls(column(2), reading(4, Pattern::Spread { fan: 2 })),
        ]);
        let per_task: Vec<_> = over_tall(&program)
            .into_iter()
            .map(|over| over.map(|OverTall { blocks, per_task }| (blocks, per_task)))
            .collect();
        assert_eq!(per_task, [1, 1, 3, 6, 6, 3].map(|per_task| Some((6, per_task))));
    }

    #[test]
    fn wide_matrices_chains_and_graphs_are_over_none() {
        let wide = nulls(Space::new(4, 2, 1, Order::Rows), Vec::new());
        let steps = nulls(Space::new(4, 1, 2, Order::Rows), Vec::new());
        let of_wide = nulls(column(4), reading(0, Pattern::Block(Pick::Row, Pick::Zero)));
        let product = Stage { lockstep: true, ..nulls(column(4), Vec::new()) };
        let all = Program::new(vec![wide, steps, of_wide, product]);
        assert_eq!(over_tall(&all), [None; 4]);
        let first = Pattern::Block(Pick::Zero, Pick::Zero);
        for (blocks, readers) in [(4, 1), (1, 4)] {
            let of_first = nulls(column(readers), reading(0, first.clone()));
            let program = Program::new(vec![nulls(column(blocks), Vec::new()), of_first]);
            assert_eq!(over_tall(&program)[1], None, "{readers} read the first of {blocks}");
        }
        assert_eq!(over_tall(&Program::new(vec![linked(&[&[], &[0]])])), [None]);
    }
}
