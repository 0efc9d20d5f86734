//! What the tasks in a worker's hands take, as far as it has been measured when one of them comes or goes.

use super::task_map::StageMap;
use crate::ids::StageId;

/// Tasks of one stage, and the seconds that each was last taken for.
#[derive(Clone, Copy, Default)]
struct OfStage {
    tasks: u32,
    each: f64,
}

/// Tasks of one class.
#[derive(Default)]
pub(super) struct Load {
    tasks: u32,
    seconds: f64,
    /// Of stages that have some: a program may have very many, and a fleet many workers.
    by_stage: StageMap<OfStage>,
}

impl Load {
    pub fn tasks(&self) -> u32 {
        self.tasks
    }

    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// One task more of `stage`, each of which takes so long as is known now.
    pub fn add(&mut self, stage: StageId, each: f64) {
        self.change(stage, 1, each);
    }

    pub fn take(&mut self, stage: StageId, each: f64) {
        self.change(stage, -1, each);
    }

    /// One task more that takes none of the time of others.
    pub fn add_beside(&mut self) {
        self.tasks += 1;
    }

    pub fn take_beside(&mut self) {
        self.tasks = self.tasks.checked_sub(1).expect("as many come back as went out");
    }

    /// All of the stage are taken for so long as one is now. O(1).
    fn change(&mut self, stage: StageId, tasks: i32, each: f64) {
        let of_stage = self.by_stage.entry(stage).or_default();
        let before = f64::from(of_stage.tasks) * of_stage.each;
        of_stage.tasks = of_stage.tasks.checked_add_signed(tasks).expect("as many come back as went out");
        of_stage.each = each;
        let after = f64::from(of_stage.tasks) * each;
        if of_stage.tasks == 0 {
            self.by_stage.remove(&stage);
        }
        self.tasks = self.tasks.checked_add_signed(tasks).expect("as many come back as went out");
        // Nothing is left of what was rounded.
        self.seconds = if self.tasks == 0 { 0.0 } else { (self.seconds + after - before).max(0.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGE: StageId = StageId(1);
    const OTHER: StageId = StageId(0);

    #[test]
    fn what_was_guessed_is_corrected_for_all_that_wait() {
        let mut load = Load::default();
        (0..100).for_each(|_| load.add(STAGE, 1e-6));
        load.add(OTHER, 0.5);
        load.take(STAGE, 0.01);
        assert_eq!(load.tasks(), 100);
        assert!((load.seconds() - 1.49).abs() < 1e-9, "{}", load.seconds());
        (0..99).for_each(|_| load.take(STAGE, 0.02));
        load.take(OTHER, 0.1);
        assert_eq!((load.tasks(), load.seconds()), (0, 0.0));
    }

    #[test]
    fn what_is_moved_takes_no_time() {
        let mut load = Load::default();
        load.add_beside();
        assert_eq!((load.tasks(), load.seconds()), (1, 0.0));
        load.take_beside();
        assert_eq!(load.tasks(), 0);
    }
}
