//! Tasks that could start now, most urgent first.

use super::estimates::Estimates;
use super::lane::Lane;
use super::table::TaskState;
use super::tasks::Tasks;
use crate::graph::Program;
use crate::ids::{StageId, TaskId};
use std::collections::VecDeque;

/// A task with what decides its turn.
#[derive(Clone, Copy)]
pub(super) struct Urgent {
    /// Seconds of the longest path from the start of this task to the end.
    path: f32,
    /// When it was admitted.
    turn: u64,
    pub task: TaskId,
}

/// Priority as a formula of stage and step: longest remaining path first, then depth first.
pub(super) struct Paths {
    /// Seconds from the start of the last step of a stage to the end.
    from_last: Vec<f32>,
    /// Seconds of one step.
    step: Vec<f32>,
}

impl Paths {
    pub fn new(program: &Program, seconds: impl Fn(StageId) -> f64) -> Self {
        let step: Vec<f32> = program.stage_ids().map(|stage| seconds(stage) as f32).collect();
        let mut from_last = step.clone();
        for id in program.stage_ids().rev() {
            let later = |user: &StageId| *user != id;
            let from_start = |user: StageId| {
                from_last[user.at()] + step[user.at()] * (program.stage(user).space.extents().k - 1) as f32
            };
            let after = program.users(id).filter(later).map(from_start).fold(0.0, f32::max);
            from_last[id.at()] = step[id.at()] + after;
        }
        Paths { from_last, step }
    }

    fn urgent(&self, program: &Program, task: TaskId, turn: u64) -> Urgent {
        let space = &program.stage(task.stage).space;
        let left = if space.extents().k > 1 { space.extents().k - 1 - space.coords(task.index).k } else { 0 };
        let path = self.from_last[task.stage.at()] + left as f32 * self.step[task.stage.at()];
        Urgent { path, turn, task }
    }
}

/// Tasks of one path, by their turns.
type Row = VecDeque<Urgent>;

/// Tasks, the most urgent first. Entries may have gone stale; whoever pops asks the table.
///
/// Many tasks have the same path and come in the order of their turns, so a row for each path needs no comparisons.
#[derive(Default)]
pub(super) struct UrgentQueue {
    /// The longest path last. None is empty.
    rows: Vec<Row>,
    /// An empty one, for the next path that is new.
    spare: Row,
}

impl UrgentQueue {
    /// O(log paths) for a task whose turn comes after those of its path, O(paths) for a path that is new.
    pub fn push(&mut self, urgent: Urgent) {
        let found = self.rows.binary_search_by(|row| row[0].path.total_cmp(&urgent.path));
        match found {
            Ok(at) => insert_by_turn(&mut self.rows[at], urgent),
            Err(at) => {
                let mut row = std::mem::take(&mut self.spare);
                row.push_back(urgent);
                self.rows.insert(at, row);
            }
        }
    }

    pub fn first(&self) -> Option<&Urgent> {
        self.rows.last()?.front()
    }

    pub fn pop(&mut self) -> Option<Urgent> {
        let row = self.rows.last_mut()?;
        let first = row.pop_front();
        if row.is_empty() {
            self.spare = self.rows.pop().unwrap_or_default();
        }
        first
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Takes in what another one has.
    pub fn extend(&mut self, other: UrgentQueue) {
        other.rows.into_iter().flatten().for_each(|urgent| self.push(urgent));
    }
}

/// Most often its turn is the last.
fn insert_by_turn(row: &mut Row, urgent: Urgent) {
    match row.back().is_none_or(|last| last.turn <= urgent.turn) {
        true => row.push_back(urgent),
        false => row.insert(row.partition_point(|other| other.turn <= urgent.turn), urgent),
    }
}

/// The tasks that are ready and wait for a worker, by class.
pub(super) struct ReadyTasks {
    compute: UrgentQueue,
    io: UrgentQueue,
    pinned: UrgentQueue,
    paths: Paths,
    /// Tasks so far.
    turn: u64,
}

impl ReadyTasks {
    pub fn new(program: &Program, estimates: &Estimates) -> Self {
        let paths = Paths::new(program, |stage| estimates.of_stage(stage));
        ReadyTasks {
            compute: UrgentQueue::default(),
            io: UrgentQueue::default(),
            pinned: UrgentQueue::default(),
            paths,
            turn: 0,
        }
    }

    fn queue(&self, lane: Lane) -> &UrgentQueue {
        match lane {
            Lane::Compute => &self.compute,
            Lane::Io => &self.io,
            Lane::Pinned => &self.pinned,
        }
    }

    fn queue_mut(&mut self, lane: Lane) -> &mut UrgentQueue {
        match lane {
            Lane::Compute => &mut self.compute,
            Lane::Io => &mut self.io,
            Lane::Pinned => &mut self.pinned,
        }
    }

    /// All inputs of `task` are there.
    pub fn push(&mut self, tasks: &mut Tasks, task: TaskId) {
        tasks.set(task, TaskState::Ready);
        let urgent = self.paths.urgent(&tasks.program, task, self.turn);
        self.turn += 1;
        self.queue_mut(tasks.lane(task)).push(urgent);
    }

    /// Takes in compute tasks that were parked for a worker.
    pub fn take_in(&mut self, parked: UrgentQueue) {
        self.compute.extend(parked);
    }

    /// Takes a compute task in again that could not be placed.
    pub fn put_back(&mut self, urgent: Urgent) {
        self.compute.push(urgent);
    }

    /// The most urgent task that is ready still. Entries that are not go.
    pub fn first(&mut self, tasks: &Tasks, lane: Lane) -> Option<Urgent> {
        let queue = self.queue_mut(lane);
        while let Some(urgent) = queue.first().copied() {
            if tasks.state(urgent.task) == TaskState::Ready {
                return Some(urgent);
            }
            queue.pop();
        }
        None
    }

    /// The most urgent task, which need not be ready any more.
    pub fn peek(&self, lane: Lane) -> Option<TaskId> {
        self.queue(lane).first().map(|urgent| urgent.task)
    }

    pub fn pop(&mut self, lane: Lane) {
        self.queue_mut(lane).pop();
    }

    pub fn is_empty(&self, lane: Lane) -> bool {
        self.queue(lane).is_empty()
    }

    pub fn clear(&mut self) {
        self.compute.clear();
        self.io.clear();
        self.pinned.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All orders in which these may come.
    fn orders(of: &[Urgent]) -> Vec<Vec<Urgent>> {
        if of.is_empty() {
            return vec![Vec::new()];
        }
        let with_first = |at: usize| {
            let mut others = of.to_vec();
            let first = others.remove(at);
            orders(&others).into_iter().map(move |rest| [vec![first], rest].concat())
        };
        (0..of.len()).flat_map(with_first).collect()
    }

    #[test]
    fn longest_path_first_then_the_earliest_turn_in_whatever_order_they_come() {
        let urgent = |path, turn| Urgent { path, turn, task: TaskId::new(StageId(0), turn as u32) };
        let all =
            [urgent(2.0, 3), urgent(2.0, 5), urgent(1.0, 0), urgent(1.0, 1), urgent(1.0, 4), urgent(0.0, 2)];
        let came = orders(&all);
        assert_eq!(came.len(), 720);
        for order in came {
            let mut queue = UrgentQueue::default();
            // The first ones come as they are parked for a worker, and are taken in later.
            let mut parked = UrgentQueue::default();
            order[..2].iter().for_each(|urgent| parked.push(*urgent));
            order[2..].iter().for_each(|urgent| queue.push(*urgent));
            queue.extend(parked);
            let mut turns = Vec::new();
            while let Some(first) = queue.first().copied() {
                assert_eq!(queue.pop().map(|popped| popped.turn), Some(first.turn));
                turns.push(first.turn);
            }
            assert_eq!(turns, [3, 5, 0, 1, 4, 2]);
            assert!(queue.is_empty());
        }
    }

    /// Two chains of three steps of a microsecond, and a task of two and a half.
    fn chains() -> (Tasks, ReadyTasks) {
        use crate::graph::testing::{chains, column, nulls};
        use crate::graph::{Stage, Work};
        let chains = Stage { keep: true, ..chains(2, 3) };
        let work = Work { flops: 3e4, ..Work::default() };
        let other = Stage { keep: true, work, ..nulls(column(1), Vec::new()) };
        let program = Program::new(vec![chains, other]);
        let ready = ReadyTasks::new(&program, &Estimates::new(&program));
        (Tasks::new(program.into()), ready)
    }

    fn step(index: u32) -> TaskId {
        TaskId::new(StageId(0), index)
    }

    #[test]
    fn what_has_more_steps_behind_it_comes_first() {
        let (mut tasks, mut ready) = chains();
        assert!(ready.is_empty(Lane::Compute));
        for index in [2, 4, 0, 3, 5] {
            ready.push(&mut tasks, step(index));
        }
        assert!(!ready.is_empty(Lane::Compute) && ready.is_empty(Lane::Io));
        let mut order = Vec::new();
        while let Some(first) = ready.first(&tasks, Lane::Compute) {
            assert_eq!(ready.peek(Lane::Compute), Some(first.task));
            order.push(first.task.index);
            ready.pop(Lane::Compute);
        }
        assert_eq!(order, [0, 3, 4, 2, 5]);
    }

    #[test]
    fn steps_of_a_chain_count_by_their_seconds() {
        let (mut tasks, mut ready) = chains();
        let other = TaskId::new(StageId(1), 0);
        [step(2), step(1), other, step(0)].iter().for_each(|task| ready.push(&mut tasks, *task));
        let mut order = Vec::new();
        while let Some(task) = ready.peek(Lane::Compute) {
            order.push(task);
            ready.pop(Lane::Compute);
        }
        assert_eq!(order, [step(0), other, step(1), step(2)]);
    }

    #[test]
    fn what_comes_back_has_its_turn() {
        let (mut tasks, mut ready) = chains();
        [0, 3].iter().for_each(|index| ready.push(&mut tasks, step(*index)));
        let first = ready.first(&tasks, Lane::Compute).expect("it is ready");
        ready.pop(Lane::Compute);
        ready.put_back(first);
        assert_eq!(ready.peek(Lane::Compute), Some(step(0)));
        ready.pop(Lane::Compute);
        let mut parked = UrgentQueue::default();
        parked.push(first);
        ready.take_in(parked);
        assert_eq!(ready.peek(Lane::Compute), Some(step(0)));
        ready.clear();
        assert!(ready.is_empty(Lane::Compute));
    }
}
