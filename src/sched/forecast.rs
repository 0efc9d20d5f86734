//! What a run that spills is going to move: the scheduler itself, played through with one worker that does all at once.

use super::core::Core;
use super::events::{Action, Event};
use super::plan::Plan;
use crate::graph::Program;
use crate::ids::{BlockId, MemoryId, TaskList, WorkerId};
use std::sync::Arc;

/// Bytes that blocks take on their way out of memory and back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swapped {
    /// Written, before compression.
    pub written: u64,
    pub read_back: u64,
    /// Read again from inputs.
    pub read_again: u64,
}

/// The bytes that `program` moves beside those of its reads and writes. O(tasks). A run on several threads differs from
/// it by what is under way at once.
pub fn forecast(program: &Arc<Program>, plan: &Plan) -> Swapped {
    if plan.spill.is_none() {
        return Swapped::default();
    }
    let mut core = Core::planned(program.clone(), plan);
    let worker = WorkerId(0);
    let mut swapped = Swapped::default();
    let mut events = vec![Event::Join { worker, threads: 1, memory: MemoryId(0), bytes: plan.blocks_limit }];
    let mut actions = Vec::new();
    while !events.is_empty() {
        core.handle(events.drain(..), &mut actions);
        for action in actions.drain(..) {
            perform(program, action, &mut events, &mut swapped);
        }
    }
    swapped
}

fn perform(program: &Program, action: Action, events: &mut Vec<Event>, swapped: &mut Swapped) {
    let size = |block: &BlockId| program.stage(block.stage).bytes(block.index);
    match action {
        Action::Assign { worker, tasks, fetch, .. } => {
            // There is nobody else: what is not in memory is read back, or made again.
            for (block, _) in fetch {
                let kind = &program.stage(block.stage).kind;
                if !kind.is_source() {
                    swapped.read_back += size(&block);
                } else if kind.is_io() {
                    swapped.read_again += size(&block);
                }
            }
            events.push(Event::Finished { worker, tasks, timings: Vec::new() });
        }
        Action::TakeBack { worker, .. } => {
            events.push(Event::Returned { worker, tasks: TaskList::default() });
        }
        Action::Spill { worker, blocks } => {
            swapped.written += blocks.iter().map(|block| size(&block)).sum::<u64>();
            events.extend(blocks.iter().map(|block| Event::Spilled { worker, block }));
        }
        _ => {}
    }
}
