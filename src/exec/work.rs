//! What each stage's tasks cost.

use super::bind::Bindings;
use super::execute::FullTask;
use super::kinds::as_execute;
use crate::array::Element;
use crate::graph::{Program, Stage};

/// Fills in [`Work`](crate::graph::Work) of every stage.
pub fn annotate(program: &mut Program, bindings: &Bindings) {
    let first_source = |stage: &Stage| stage.reads.first().map(|read| read.source);
    let sources: Vec<_> = program.stages().iter().map(first_source).collect();
    let largest = |stage: &Stage| {
        let (rows, cols) = stage.largest_shape();
        (rows as usize, cols as usize)
    };
    let shapes: Vec<_> = program.stages().iter().map(largest).collect();
    for ((stage, source), made) in program.stages_mut().zip(sources).zip(&shapes) {
        let first = source.map_or((0, 0), |id| shapes[id.at()]);
        let task = FullTask { made: *made, first, bindings };
        stage.work = match stage.element {
            Element::F32 => as_execute::<f32>(&stage.kind).work(&task),
            Element::F64 => as_execute::<f64>(&stage.kind).work(&task),
        };
    }
}
