//! Tasks that lost workers had in hand. One of them may be what kills its workers: the run must not go on until none is
//! left.
//!
//! Tasks are handed out ahead, so nobody knows which of them a lost worker had begun: each that it had in hand gets a
//! mark. Workers ask before they begin a marked task. When another worker is lost, those get a further mark that it
//! was permitted to begin. One that would be to blame the next time is begun with no other suspect beside it, so that
//! the right one is blamed.

use super::task_map::TaskMap;
use crate::ids::{TaskId, WorkerId};
use std::collections::{BTreeMap, VecDeque};

/// So many lost workers end a run.
const MOST_MARKS: u32 = 3;

/// Marked tasks at one worker.
#[derive(Default)]
struct Hand {
    /// It was permitted to begin them.
    begun: Vec<TaskId>,
    /// It has asked whether it may.
    asking: VecDeque<TaskId>,
}

/// The marked tasks of a run. Ordinary tasks cost it nothing.
#[derive(Default)]
pub(super) struct Suspects {
    marks: TaskMap<u32>,
    hands: BTreeMap<WorkerId, Hand>,
}

impl Suspects {
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.hands.is_empty()
    }

    /// Lost workers that had this task in hand.
    pub fn marks(&self, task: TaskId) -> u32 {
        if self.marks.is_empty() {
            return 0;
        }
        self.marks.get(&task).copied().unwrap_or(0)
    }

    /// A worker is lost that had these tasks in hand. Says which of them is to blame, if one is.
    pub fn lost(&mut self, worker: WorkerId, in_hand: &[TaskId]) -> Option<TaskId> {
        let begun = self.hands.remove(&worker).unwrap_or_default().begun;
        let mut to_blame = None;
        for task in in_hand {
            let marks = self.marks.entry(*task).or_default();
            *marks += u32::from(*marks == 0 || begun.contains(task));
            if *marks >= MOST_MARKS {
                to_blame = Some(*task);
            }
        }
        to_blame
    }

    /// A worker goes as planned.
    pub fn forget_worker(&mut self, worker: WorkerId) {
        self.hands.remove(&worker);
    }

    /// A worker asks whether it may begin a task.
    pub fn ask(&mut self, worker: WorkerId, task: TaskId) {
        let hand = self.hands.entry(worker).or_default();
        // It may ask again: then it has not begun.
        hand.begun.retain(|begun| *begun != task);
        if !hand.asking.contains(&task) {
            hand.asking.push_back(task);
        }
    }

    /// A worker has a task in hand no more.
    pub fn put_down(&mut self, worker: WorkerId, task: TaskId) {
        let Some(hand) = self.hands.get_mut(&worker) else { return };
        hand.begun.retain(|begun| *begun != task);
        hand.asking.retain(|asking| *asking != task);
        if hand.begun.is_empty() && hand.asking.is_empty() {
            self.hands.remove(&worker);
        }
    }

    /// A task is done: it kills nobody.
    pub fn clear(&mut self, task: TaskId) {
        self.marks.remove(&task);
    }

    /// What each worker was permitted to begin or has asked about.
    pub fn in_hand(&self) -> impl Iterator<Item = (WorkerId, TaskId)> + '_ {
        let tasks = |hand: &Hand| hand.begun.iter().chain(&hand.asking).copied().collect::<Vec<TaskId>>();
        self.hands.iter().flat_map(move |(worker, hand)| tasks(hand).into_iter().map(|task| (*worker, task)))
    }

    /// The next task that a worker with so many threads may begin of those that it has asked for. From now on it counts
    /// as begun.
    pub fn permit(&mut self, worker: WorkerId, threads: u32) -> Option<TaskId> {
        let is_last = |task: &TaskId| self.marks.get(task).is_some_and(|marks| marks + 1 >= MOST_MARKS);
        let hand = self.hands.get_mut(&worker)?;
        let next = hand.asking.front()?;
        let is_alone = is_last(next) || hand.begun.iter().any(is_last);
        let most = if is_alone { 1 } else { threads.max(1) as usize };
        if hand.begun.len() >= most {
            return None;
        }
        let next = hand.asking.pop_front()?;
        hand.begun.push(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StageId;

    const ONE: WorkerId = WorkerId(1);
    const TWO: WorkerId = WorkerId(2);
    const THREE: WorkerId = WorkerId(3);

    fn task(index: u32) -> TaskId {
        TaskId::new(StageId(0), index)
    }

    /// All that a worker may begin of these.
    fn permitted(suspects: &mut Suspects, worker: WorkerId, threads: u32, asked: &[u32]) -> Vec<u32> {
        asked.iter().for_each(|index| suspects.ask(worker, task(*index)));
        std::iter::from_fn(|| suspects.permit(worker, threads)).map(|task| task.index).collect()
    }

    #[test]
    fn the_third_loss_blames_what_was_begun_each_time() {
        let mut suspects = Suspects::default();
        let all = [task(0), task(1), task(2)];
        assert_eq!(suspects.lost(ONE, &all), None);
        assert_eq!(permitted(&mut suspects, TWO, 1, &[1, 2]), [1]);
        assert_eq!(suspects.lost(TWO, &all), None);
        assert_eq!(all.map(|task| suspects.marks(task)), [1, 2, 1]);
        assert_eq!(permitted(&mut suspects, THREE, 1, &[1]), [1]);
        assert_eq!(suspects.lost(THREE, &all), Some(task(1)));
    }

    #[test]
    fn what_would_be_blamed_next_is_begun_alone() {
        let mut suspects = Suspects::default();
        let both = [task(0), task(1)];
        suspects.lost(ONE, &both);
        assert_eq!(permitted(&mut suspects, TWO, 2, &[0, 1]), [0, 1]);
        suspects.lost(TWO, &both);
        suspects.lost(ONE, &[task(2)]);
        assert_eq!(permitted(&mut suspects, THREE, 4, &[0, 1, 2]), [0]);
        suspects.put_down(THREE, task(0));
        suspects.clear(task(0));
        assert_eq!(permitted(&mut suspects, THREE, 4, &[]), [1]);
        assert_eq!(suspects.lost(THREE, &[task(1), task(2)]), Some(task(1)));
    }

    #[test]
    fn what_is_done_is_an_ordinary_task_again() {
        let mut suspects = Suspects::default();
        suspects.lost(ONE, &[task(0)]);
        suspects.clear(task(0));
        assert!(suspects.is_empty());
        assert_eq!(suspects.lost(TWO, &[task(0)]), None);
        assert_eq!(suspects.marks(task(0)), 1);
    }

    #[test]
    fn who_goes_as_planned_or_asks_again_had_not_begun() {
        let mut suspects = Suspects::default();
        let both = [task(0), task(1)];
        assert!(suspects.is_empty());
        suspects.lost(ONE, &both);
        assert!(!suspects.is_empty(), "it is marked");
        assert_eq!(permitted(&mut suspects, TWO, 1, &[0]), [0]);
        suspects.forget_worker(TWO);
        suspects.lost(TWO, &both);
        assert_eq!(both.map(|task| suspects.marks(task)), [1, 1]);
        assert_eq!(permitted(&mut suspects, THREE, 2, &[0, 1]), [0, 1]);
        suspects.ask(THREE, task(0));
        suspects.lost(THREE, &both);
        assert_eq!(both.map(|task| suspects.marks(task)), [1, 2]);
    }
}
