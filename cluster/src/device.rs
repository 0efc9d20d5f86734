//! What files give to workers, learnt from what was moved: do more workers move more? Pure.

use crate::policy::FileSupply;
use std::collections::{BTreeMap, BTreeSet};

/// Seconds of a measurement, at least.
const MEASURED: f64 = 1.0;

/// A greater part of their time means that cores wait for files, and that these move as much as they can.
const WAITS: f64 = 0.1;
/// More workers move more if it is at least this part of what they would in proportion.
const PROPORTIONAL: f64 = 0.5;
/// Weight of the newest measurement.
const NEWEST: f64 = 0.5;

/// What a worker has done with files since its run began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FileUse {
    /// Bytes read and written.
    pub bytes: f64,
    /// Core-seconds in which nothing could be computed until files had been read or written.
    pub waited: f64,
}

/// What was measured of some workers together.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moved {
    workers: usize,
    bytes: f64,
    seconds: f64,
    /// The part of their time that cores waited for files.
    waited: f64,
}

/// What some workers had done at some time.
#[derive(Clone, Debug, Default)]
struct Mark {
    workers: BTreeSet<String>,
    at: f64,
    cores: f64,
    total: FileUse,
}

/// Bytes a second that so many workers moved while their cores waited for files.
#[derive(Clone, Debug, Default)]
pub struct DeviceRates {
    by_workers: BTreeMap<usize, f64>,
    /// With how many it was measured last that cores wait. None if they do not.
    waiting: Option<usize>,
    /// Where the measurement that goes on began.
    mark: Mark,
}

impl DeviceRates {
    /// What each of these workers, with so many cores, has done by now. It counts if the same were there before.
    pub fn look<'a>(&mut self, workers: impl Iterator<Item = (&'a str, u32, FileUse)>, now: f64) {
        let mut here = Mark { at: now, ..Mark::default() };
        for (name, cores, used) in workers {
            here.workers.insert(name.into());
            here.cores += f64::from(cores);
            here.total.bytes += used.bytes;
            here.total.waited += used.waited;
        }
        let seconds = now - self.mark.at;
        let bytes = here.total.bytes - self.mark.total.bytes;
        let waited = here.total.waited - self.mark.total.waited;
        if here.workers != self.mark.workers || bytes < 0.0 || waited < 0.0 {
            self.mark = here;
            return;
        }
        // What takes long may have moved nothing yet.
        if seconds < MEASURED || (bytes == 0.0 && waited > 0.0) {
            return;
        }
        let waited = waited / (seconds * here.cores.max(1.0));
        self.learn(Moved { workers: here.workers.len(), bytes, seconds, waited });
        self.mark = here;
    }

    fn learn(&mut self, moved: Moved) {
        let Moved { workers, bytes, seconds, waited } = moved;
        let is_waiting = waited > WAITS;
        self.waiting = is_waiting.then_some(workers);
        if is_waiting {
            let rate = bytes / seconds;
            let known = self.by_workers.entry(workers).or_insert(rate);
            *known += NEWEST * (rate - *known);
        }
    }

    /// Nothing is moved any more. What is moved next may be elsewhere.
    pub fn forget(&mut self) {
        *self = DeviceRates::default();
    }

    /// What files give to workers. Without bounds if no core waits.
    pub fn file_supply(&self) -> FileSupply {
        let Some(workers) = self.waiting else { return FileSupply::default() };
        let Some(rate) = self.by_workers.get(&workers).copied() else { return FileSupply::default() };
        let now = (workers, rate);
        let fewer = self.by_workers.range(..workers).next_back().map(known);
        let more = self.by_workers.range(workers + 1..).next().map(known);
        if let Some(fewer) = fewer.filter(|fewer| !scales(*fewer, now)) {
            return FileSupply { each: fewer.1 / fewer.0 as f64, most: rate.max(fewer.1), is_seen: true };
        }
        let each = rate / workers as f64;
        match more {
            Some(more) if !scales(now, more) => FileSupply { each, most: rate.max(more.1), is_seen: true },
            _ => FileSupply { each, most: FileSupply::TRIED * rate, is_seen: false },
        }
    }
}

fn known((workers, rate): (&usize, &f64)) -> (usize, f64) {
    (*workers, *rate)
}

/// Do more workers move more than fewer, as far as they do in proportion?
fn scales((fewer, slower): (usize, f64), (more, faster): (usize, f64)) -> bool {
    faster >= slower * (1.0 + PROPORTIONAL * (more as f64 / fewer as f64 - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(workers: usize, rate: f64, waited: f64) -> Moved {
        Moved { workers, bytes: 2.0 * rate, seconds: 2.0, waited }
    }

    #[test]
    fn nothing_is_known_of_a_device_that_nobody_waits_for() {
        let mut rates = DeviceRates::default();
        assert_eq!(rates.file_supply(), FileSupply::default());
        rates.learn(moved(2, 1e8, 0.05));
        assert_eq!(rates.file_supply(), FileSupply::default());
    }

    #[test]
    fn twice_as_many_are_tried_until_they_move_no_more() {
        let mut rates = DeviceRates::default();
        rates.learn(moved(1, 1e8, 0.5));
        assert_eq!(rates.file_supply(), FileSupply { each: 1e8, most: 2e8, is_seen: false });
        rates.learn(moved(2, 1.9e8, 0.5));
        assert_eq!(rates.file_supply(), FileSupply { each: 0.95e8, most: 3.8e8, is_seen: false });
        rates.learn(moved(4, 2.1e8, 0.7));
        assert_eq!(rates.file_supply(), FileSupply { each: 0.95e8, most: 2.1e8, is_seen: true });
        // Two would not do better than they did.
        rates.learn(moved(3, 2e8, 0.7));
        assert!(rates.file_supply().is_seen);
        rates.learn(moved(4, 2.1e8, 0.0));
        assert_eq!(rates.file_supply(), FileSupply::default(), "now they compute");
        rates.forget();
        rates.learn(moved(4, 2e8, 0.7));
        assert!(!rates.file_supply().is_seen);
    }

    #[test]
    fn more_workers_that_moved_no_more_bound_what_fewer_are_given() {
        let learnt = |measured: &[(usize, f64)]| {
            let mut rates = DeviceRates::default();
            measured.iter().for_each(|(workers, rate)| rates.learn(moved(*workers, *rate, 0.5)));
            rates.file_supply()
        };
        let seen = |each, most| FileSupply { each, most, is_seen: true };
        let tried = |each, most| FileSupply { each, most, is_seen: false };
        assert_eq!(learnt(&[(4, 2e8), (2, 1.9e8)]), seen(0.95e8, 2e8));
        assert_eq!(learnt(&[(4, 4e8), (2, 2e8)]), tried(1e8, 4e8));
        // Half of what would be in proportion is enough.
        assert_eq!(learnt(&[(1, 1e8), (3, 1.9e8)]), seen(1e8, 1.9e8));
        assert_eq!(learnt(&[(1, 1e8), (3, 2.1e8)]), tried(0.7e8, 4.2e8));
        assert_eq!(learnt(&[(2, 1e8), (4, 1.6e8)]), tried(0.4e8, 3.2e8));
        assert_eq!(learnt(&[(1, 1e8), (1, 2e8)]), tried(1.5e8, 3e8), "the newest counts half");
    }

    /// What is known after one measurement of `seconds`, in which cores waited so long, of one worker that has done
    /// much before.
    fn looked(cores: u32, waited: f64, seconds: f64) -> FileSupply {
        let mut rates = DeviceRates::default();
        let begin = FileUse { bytes: 1e9, waited: 100.0 };
        let end = FileUse { bytes: 1e9 + 2e8 * seconds, waited: begin.waited + waited };
        rates.look([("a", cores, begin)].into_iter(), 50.0);
        rates.look([("a", cores, end)].into_iter(), 50.0 + seconds);
        rates.file_supply()
    }

    #[test]
    fn cores_wait_if_they_do_so_for_more_than_a_tenth_of_their_time() {
        assert_eq!(looked(2, 0.9, 4.0).each, 2e8);
        assert_eq!(looked(2, 0.7, 4.0), FileSupply::default());
        assert_eq!(looked(4, 0.3, 2.0), FileSupply::default());
        assert_eq!(looked(1, 0.5, 1.0).each, 2e8, "as long as a measurement has to be");
        assert_eq!(looked(1, 0.5, 0.5), FileSupply::default(), "too short for a measurement");
        let mut rates = DeviceRates::default();
        rates.learn(moved(2, 1e8, WAITS));
        assert_eq!(rates.file_supply(), FileSupply::default());
    }

    #[test]
    fn what_is_measured_is_of_the_same_workers() {
        let mut rates = DeviceRates::default();
        let used = |bytes, waited| FileUse { bytes, waited };
        let mut look = |workers: &[(&'static str, FileUse)], now| {
            rates.look(workers.iter().map(|(name, used)| (*name, 2, *used)), now);
            rates.file_supply()
        };
        assert_eq!(look(&[("a", used(0.0, 0.0))], 0.0), FileSupply::default());
        assert_eq!(
            look(&[("a", used(0.0, 3.0))], 2.0),
            FileSupply::default(),
            "the first block is on its way"
        );
        assert_eq!(look(&[("a", used(4e8, 3.0))], 4.0).each, 1e8);
        let both = [("a", used(8e8, 7.0)), ("b", used(1e8, 1.0))];
        assert_eq!(look(&both, 6.0).most, 2e8, "one has come: of both nothing is known");
        let both = [("a", used(9e8, 9.0)), ("b", used(2e8, 3.0))];
        assert_eq!(look(&both, 8.0), FileSupply { each: 1e8, most: 1e8, is_seen: true });
        assert_eq!(look(&[("a", used(0.0, 0.0)), ("b", used(0.0, 0.0))], 9.0).most, 1e8, "another run");
        assert_eq!(look(&[("a", used(0.0, 0.0)), ("b", used(0.0, 0.0))], 11.0), FileSupply::default());
    }
}
