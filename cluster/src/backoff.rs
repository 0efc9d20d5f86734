//! When to ask again after a refusal: slower each time, and never not at all.

use crate::provider::{Cause, Refusal};

/// Seconds until the second try, and the most between two tries.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pace {
    first: f64,
    most: f64,
}

/// How fast each kind of refusal is tried again. A request that is wrong becomes right when an administrator changes
/// something: that takes minutes. Nobody who is overloaded is helped by being asked every second.
fn pace(cause: Cause) -> Pace {
    match cause {
        Cause::ForGood => Pace { first: 600.0, most: 600.0 },
        Cause::ForNow | Cause::Fruitless => Pace { first: 15.0, most: 600.0 },
        Cause::Silent => Pace { first: 10.0, most: 300.0 },
    }
}

/// The memory of what was refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backoff {
    refusals: i32,
    last: Option<Refusal>,
}

impl Backoff {
    /// Whether it may be tried again.
    ///
    /// # Errors
    /// The last refusal if it is too early.
    pub fn may(&self, now: f64) -> Result<(), Refusal> {
        match &self.last {
            Some(refusal) if now < refusal.again => Err(refusal.clone()),
            _ => Ok(()),
        }
    }

    /// It was refused. Each further refusal doubles the wait.
    pub fn refused(&mut self, cause: Cause, words: String, now: f64) -> Refusal {
        let Pace { first, most } = pace(cause);
        let wait = (first * f64::from(self.refusals.min(30)).exp2()).min(most);
        self.refusals += 1;
        let refusal = Refusal { cause, words, again: now + wait };
        self.last = Some(refusal.clone());
        refusal
    }

    /// It was done.
    pub fn done(&mut self) {
        *self = Backoff::default();
    }
}

/// So many workers that fail in a row before they work are no accident.
const NO_ACCIDENT: usize = 3;

/// Workers that fail one after the other before they work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EarlyFailures {
    in_a_row: usize,
}

impl EarlyFailures {
    /// So many more have failed.
    pub fn add(&mut self, count: usize) {
        self.in_a_row += count;
    }

    /// Another one has begun to work.
    pub fn one_works(&mut self) {
        self.in_a_row = 0;
    }

    /// Whether the next one is likely to fail, too.
    pub fn are_no_accident(self) -> bool {
        self.in_a_row >= NO_ACCIDENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(cause: Cause) -> Vec<f64> {
        let mut backoff = Backoff::default();
        (0..8).map(|_| backoff.refused(cause, "no".into(), 1000.0).again - 1000.0).collect()
    }

    #[test]
    fn each_cause_has_its_pace_and_none_is_for_ever() {
        assert_eq!(waits(Cause::ForNow), [15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]);
        assert_eq!(waits(Cause::Silent), [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]);
        assert_eq!(waits(Cause::Fruitless), waits(Cause::ForNow));
        assert_eq!(waits(Cause::ForGood), [600.0; 8]);
    }

    #[test]
    fn too_early_is_refused_in_the_same_words_and_success_forgets() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.may(0.0), Ok(()));
        let refusal = backoff.refused(Cause::ForNow, "full".into(), 100.0);
        assert_eq!(backoff.may(114.9), Err(refusal));
        assert_eq!(backoff.may(115.0), Ok(()));
        backoff.done();
        assert_eq!(backoff.refused(Cause::ForNow, "full".into(), 200.0).again, 215.0);
    }

    #[test]
    fn three_failures_in_a_row_are_no_accident() {
        let mut failures = EarlyFailures::default();
        failures.add(2);
        failures.one_works();
        failures.add(2);
        assert!(!failures.are_no_accident());
        failures.add(1);
        assert!(failures.are_no_accident());
    }
}
