//! All jobs of one owner that are known: asked for, listed by `squeue`, given back, ended.

use super::job_name::{JobName, Whose};
use super::listing::{JobId, Row};
use crate::provider::{End, Place, PlaceState, Release};
use std::collections::{BTreeMap, BTreeSet};

/// A job that was just submitted need not be listed for so many seconds.
const UNSEEN: f64 = 60.0;
/// A worker that fails within so many seconds has not begun to work.
const EARLY: f64 = 60.0;
/// The start of a job is known to a second, and its listing takes some. What differs by more is another start.
const SAME_START: f64 = 10.0;
/// The names of places begin so, here and in `slurm/worker.sbatch`.
const PLACE: &str = "slurm-";

/// A job and what is known of it.
#[derive(Clone, Debug)]
struct Job {
    place: Place,
    /// Whether `squeue` has known it once.
    was_listed: bool,
    is_released: bool,
    /// It did not fail early.
    has_worked: bool,
}

/// What a listing has brought to light.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// Jobs of earlier lives that wait for machines: nobody waits for them.
    pub left_behind: Vec<JobId>,
    /// Jobs whose worker has failed before it did anything.
    pub failed_early: Vec<FailedEarly>,
    /// Whether one more worker has been at work for a while.
    pub one_works: bool,
}

/// A job whose worker has failed before it did anything.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedEarly {
    /// The name of its place.
    pub name: String,
    /// What SLURM says.
    pub words: String,
}

/// The jobs of one owner.
#[derive(Clone, Debug)]
pub struct Jobs {
    name: JobName,
    /// In the order in which they were submitted.
    jobs: BTreeMap<JobId, Job>,
    /// Those whose end has been told, for as long as `squeue` lists them.
    over: BTreeSet<JobId>,
}

impl Jobs {
    /// None so far.
    pub fn new(name: JobName) -> Jobs {
        Jobs { name, jobs: BTreeMap::new(), over: BTreeSet::new() }
    }

    /// How many are there, whatever their state, those of earlier lives included.
    pub fn count(&self) -> usize {
        self.jobs.values().filter(|job| job.place.state.is_there()).count()
    }

    /// An array of `count` jobs was submitted; the names of their places.
    pub fn asked(&mut self, array: u64, count: usize, now: f64) -> Vec<String> {
        let ids = (0..count as u32).map(|index| JobId { array, index });
        let names = ids.map(|id| {
            let job = self.jobs.entry(id).or_insert_with(|| Job::new(id, now));
            job.place.name.clone()
        });
        names.collect()
    }

    /// What `squeue` lists now is true; what it does not list any more is gone. O(n log n).
    pub fn listed(&mut self, rows: &[Row], now: f64) -> News {
        let mut news = News::default();
        for row in rows {
            match self.name.whose(&row.name) {
                Whose::Others => {}
                Whose::Own => self.take(row, now, &mut news),
                Whose::Earlier => {
                    self.take(row, now, &mut news);
                    if matches!(row.state, PlaceState::Waiting | PlaceState::Stuck) {
                        news.left_behind.push(row.id);
                    }
                }
            }
        }
        let ids: BTreeSet<JobId> = rows.iter().map(|row| row.id).collect();
        self.over.retain(|id| ids.contains(id));
        for (_, job) in self.jobs.iter_mut().filter(|(id, _)| !ids.contains(id)) {
            // An array of which nothing has begun is listed without its jobs once it is cancelled.
            let is_known = job.was_listed || job.is_released;
            if job.place.state.is_there() && (is_known || now - job.place.asked > UNSEEN) {
                job.place.state = PlaceState::Ended(End::Unknown);
                job.place.words = "squeue does not list it any more".into();
            }
        }
        news
    }

    fn take(&mut self, row: &Row, now: f64, news: &mut News) {
        let has_ended = !row.state.is_there();
        if self.over.contains(&row.id) && has_ended {
            return;
        }
        // It may have been requeued after its end.
        self.over.remove(&row.id);
        if !self.jobs.contains_key(&row.id) && has_ended {
            // It came and went between two looks, or in an earlier life.
            self.over.insert(row.id);
            return;
        }
        let job = self.jobs.entry(row.id).or_insert_with(|| Job::new(row.id, now));
        let was_there = job.place.state.is_there();
        job.see(row, now);
        let runs_for = row.used.unwrap_or(0.0);
        let failed = was_there && row.state == PlaceState::Ended(End::Failed);
        if failed && runs_for < EARLY && !job.is_released {
            let words = format!("job {} failed after {runs_for} s: {}", row.id, row.words);
            news.failed_early.push(FailedEarly { name: job.place.name.clone(), words });
        }
        if row.state == PlaceState::Running && runs_for >= EARLY {
            news.one_works |= !std::mem::replace(&mut job.has_worked, true);
        }
    }

    /// All places; those that have ended are told for the last time.
    pub fn places(&mut self) -> Vec<Place> {
        let places = self.jobs.values().map(|job| job.place.clone()).collect();
        let ended = self.jobs.extract_if(.., |_, job| !job.place.state.is_there());
        self.over.extend(ended.map(|(id, _)| id));
        places
    }

    /// Jobs that are still there, of all or of these names.
    pub fn there(&self, which: Release<'_>) -> Vec<JobId> {
        let wanted = |job: &&Job| match which {
            Release::All => true,
            Release::These(names) => names.contains(&job.place.name),
        };
        let there = self.jobs.iter().filter(|(_, job)| job.place.state.is_there() && wanted(job));
        there.map(|(id, _)| *id).collect()
    }

    /// The words on the first of these that would never have begun.
    pub fn stuck(&self, ids: &[JobId]) -> Option<String> {
        let jobs = ids.iter().filter_map(|id| Some((id, self.jobs.get(id)?)));
        let mut stuck = jobs.filter(|(_, job)| job.place.state == PlaceState::Stuck);
        stuck.next().map(|(id, job)| format!("job {id} cannot begin: {}", job.place.words))
    }

    /// SLURM was told to end these.
    pub fn released(&mut self, ids: &[JobId]) {
        for id in ids {
            if let Some(job) = self.jobs.get_mut(id) {
                job.is_released = true;
                job.place.state = PlaceState::Leaving;
            }
        }
    }
}

impl Job {
    fn new(id: JobId, now: f64) -> Job {
        let place = Place {
            name: format!("{PLACE}{id}"),
            state: PlaceState::Waiting,
            asked: now,
            began: None,
            ends: None,
            words: String::new(),
        };
        Job { place, was_listed: false, is_released: false, has_worked: false }
    }

    fn see(&mut self, row: &Row, now: f64) {
        self.was_listed = true;
        let place = &mut self.place;
        // Until it is gone it takes room, whatever it does.
        let leaves = self.is_released && row.state.is_there();
        place.state = if leaves { PlaceState::Leaving } else { row.state };
        place.words.clone_from(&row.words);
        let waits = matches!(row.state, PlaceState::Waiting | PlaceState::Stuck);
        if waits {
            (place.began, place.ends) = (None, None);
            return;
        }
        let began = row.used.map(|used| now - used);
        let is_same = |before: f64| began.is_none_or(|began| (began - before).abs() <= SAME_START);
        place.began = place.began.filter(|before| is_same(*before)).or(began);
        place.ends = row.left.map(|left| now + left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::Life;

    const OWNER: &str = "/home/me/cluster.json";

    fn own() -> JobName {
        JobName::new(OWNER, Life(2))
    }

    fn row(index: u32, state: PlaceState, used: f64) -> Row {
        let id = JobId { array: 7, index };
        Row { id, name: own().as_str().into(), state, used: Some(used), left: Some(100.0), words: "W".into() }
    }

    fn states(jobs: &mut Jobs) -> Vec<(String, PlaceState)> {
        jobs.places().into_iter().map(|place| (place.name, place.state)).collect()
    }

    #[test]
    fn a_job_waits_begins_and_ends_once() {
        let mut jobs = Jobs::new(own());
        assert_eq!(jobs.asked(7, 1, 10.0), ["slurm-7_0"]);
        assert_eq!(jobs.count(), 1);
        // SLURM need not list it at once.
        assert_eq!(jobs.listed(&[], 11.0), News::default());
        assert_eq!(states(&mut jobs), [("slurm-7_0".into(), PlaceState::Waiting)]);
        jobs.listed(&[row(0, PlaceState::Running, 3.0)], 20.0);
        jobs.listed(&[row(0, PlaceState::Running, 12.0)], 30.0);
        let place = jobs.places().remove(0);
        assert_eq!((place.asked, place.began, place.ends), (10.0, Some(17.0), Some(130.0)));
        let end = [row(0, PlaceState::Ended(End::Walltime), 60.0)];
        jobs.listed(&end, 80.0);
        assert_eq!(states(&mut jobs), [("slurm-7_0".into(), PlaceState::Ended(End::Walltime))]);
        jobs.listed(&end, 90.0);
        assert_eq!((states(&mut jobs), jobs.count()), (vec![], 0));
    }

    #[test]
    fn what_is_given_back_takes_room_until_it_is_gone() {
        let mut jobs = Jobs::new(own());
        let names = jobs.asked(7, 2, 0.0);
        jobs.listed(&[row(0, PlaceState::Running, 1.0), row(1, PlaceState::Waiting, 0.0)], 5.0);
        let ids = jobs.there(Release::These(&names[..1]));
        assert_eq!(ids, [JobId { array: 7, index: 0 }]);
        jobs.released(&ids);
        jobs.listed(&[row(0, PlaceState::Running, 5.0), row(1, PlaceState::Waiting, 0.0)], 9.0);
        assert_eq!(jobs.count(), 2);
        assert_eq!(states(&mut jobs)[0].1, PlaceState::Leaving);
        jobs.listed(
            &[row(0, PlaceState::Ended(End::Cancelled), 6.0), row(1, PlaceState::Waiting, 0.0)],
            12.0,
        );
        assert_eq!(jobs.count(), 1);
        assert_eq!(jobs.there(Release::All).len(), 1);
    }

    #[test]
    fn a_job_that_is_requeued_waits_again_and_counts_all_the_time() {
        let mut jobs = Jobs::new(own());
        jobs.asked(7, 1, 0.0);
        jobs.listed(&[row(0, PlaceState::Running, 5.0)], 10.0);
        jobs.listed(&[row(0, PlaceState::Waiting, 0.0)], 20.0);
        let place = jobs.places().remove(0);
        assert_eq!((place.state, place.began, place.ends), (PlaceState::Waiting, None, None));
        jobs.listed(&[row(0, PlaceState::Running, 2.0)], 200.0);
        assert_eq!(jobs.places()[0].began, Some(198.0));
        // Requeued between two looks.
        jobs.listed(&[row(0, PlaceState::Running, 1.0)], 300.0);
        assert_eq!(jobs.places()[0].began, Some(299.0));
        // Also when its end has been told.
        jobs.listed(&[row(0, PlaceState::Ended(End::MachineLost), 9.0)], 310.0);
        assert_eq!((jobs.places().len(), jobs.count()), (1, 0));
        jobs.listed(&[row(0, PlaceState::Waiting, 0.0)], 320.0);
        assert_eq!(jobs.count(), 1);
    }

    #[test]
    fn what_is_not_listed_any_more_is_gone() {
        let mut jobs = Jobs::new(own());
        jobs.asked(7, 2, 0.0);
        jobs.listed(&[row(0, PlaceState::Running, 1.0)], 5.0);
        jobs.listed(&[], 10.0);
        let gone = PlaceState::Ended(End::Unknown);
        let expected = [("slurm-7_0".to_string(), gone), ("slurm-7_1".into(), PlaceState::Waiting)];
        assert_eq!(states(&mut jobs), expected);
        jobs.listed(&[], 70.0);
        assert_eq!(states(&mut jobs), [("slurm-7_1".into(), gone)]);
        jobs.asked(8, 1, 100.0);
        for (now, expected) in [(101.0, PlaceState::Waiting), (160.0, PlaceState::Waiting), (160.1, gone)] {
            jobs.listed(&[], now);
            assert_eq!(states(&mut jobs), [("slurm-8_0".into(), expected)], "at {now}");
        }
    }

    #[test]
    fn jobs_that_were_not_known_are_taken_and_those_of_earlier_lives_found() {
        let mut jobs = Jobs::new(own());
        let earlier = JobName::new(OWNER, Life(1));
        let named = |row: Row, name: &str| Row { name: name.into(), ..row };
        let news = jobs.listed(
            &[
                // Submitted by a call that took too long.
                row(0, PlaceState::Waiting, 0.0),
                named(row(1, PlaceState::Waiting, 0.0), earlier.as_str()),
                named(row(2, PlaceState::Running, 90.0), earlier.as_str()),
                named(row(3, PlaceState::Ended(End::Failed), 1.0), earlier.as_str()),
                named(row(4, PlaceState::Running, 1.0), "another"),
            ],
            50.0,
        );
        assert_eq!(news.left_behind, [JobId { array: 7, index: 1 }]);
        assert_eq!((news.failed_early.len(), news.one_works), (0, true));
        assert_eq!(jobs.count(), 3);
        assert_eq!(jobs.places()[0].asked, 50.0);
    }

    #[test]
    fn early_failures_are_news_and_a_walltime_is_not() {
        let mut jobs = Jobs::new(own());
        jobs.asked(7, 5, 0.0);
        let news = jobs.listed(
            &[
                row(0, PlaceState::Ended(End::Failed), 2.0),
                row(1, PlaceState::Ended(End::Failed), 200.0),
                row(2, PlaceState::Ended(End::Walltime), 2.0),
                row(3, PlaceState::Ended(End::Preempted), 2.0),
                row(4, PlaceState::Ended(End::Failed), EARLY),
            ],
            300.0,
        );
        let failed = FailedEarly { name: "slurm-7_0".into(), words: "job 7_0 failed after 2 s: W".into() };
        assert_eq!(news.failed_early, [failed]);
        assert!(!news.one_works);
        let again = jobs.listed(&[row(0, PlaceState::Ended(End::Failed), 2.0)], 301.0);
        assert_eq!(again.failed_early, []);
    }

    #[test]
    fn what_was_given_back_before_it_was_listed_is_gone() {
        let mut jobs = Jobs::new(own());
        jobs.asked(7, 1, 0.0);
        jobs.listed(&[], 1.0);
        assert_eq!(jobs.count(), 1);
        let ids = jobs.there(Release::All);
        jobs.released(&ids);
        jobs.listed(&[], 2.0);
        assert_eq!(jobs.count(), 0);
    }

    #[test]
    fn those_that_cannot_begin_are_found_with_their_words() {
        let mut jobs = Jobs::new(own());
        jobs.asked(7, 2, 0.0);
        jobs.listed(&[row(0, PlaceState::Waiting, 0.0), row(1, PlaceState::Stuck, 0.0)], 5.0);
        let ids = jobs.there(Release::All);
        assert_eq!(jobs.stuck(&ids).unwrap(), "job 7_1 cannot begin: W");
        assert_eq!(jobs.stuck(&ids[..1]), None);
    }
}
