//! Workers as groups of threads of this process.
//!
//! A place is a worker actor with its threads. It starts in less than a millisecond, shares the memory, and passes
//! blocks on without a copy, so a worker more or less costs next to nothing. What all of them may hold together was
//! planned for the most workers before the run.

use super::autoscaler::DrainWorkers;
use super::scheduler::{CallRoll, Recruit, Scheduler, WorkerStanding};
use actix::Addr;
use cluster::backoff::Backoff;
use cluster::provider::{Cause, End, Place, PlaceState, Provider, Refusal, Release};

/// The names of places begin so.
const PLACE: &str = "threads-";

/// Workers of the scheduler of one process.
pub struct ThreadProvider {
    scheduler: Addr<Scheduler>,
    /// Never more workers than this.
    most: usize,
    places: Vec<Place>,
    /// Names that have been given.
    given: u64,
    asking: Backoff,
}

impl ThreadProvider {
    /// A provider without workers.
    pub fn new(scheduler: Addr<Scheduler>, most: usize) -> ThreadProvider {
        ThreadProvider { scheduler, most, places: Vec::new(), given: 0, asking: Backoff::default() }
    }

    fn there(&self) -> usize {
        self.places.iter().filter(|place| place.state.is_there()).count()
    }

    fn new_place(&mut self, now: f64) -> Place {
        let name = format!("{PLACE}{}", self.given);
        self.given += 1;
        let state = PlaceState::Running;
        Place { name, state, asked: now, began: Some(now), ends: None, words: String::new() }
    }
}

impl Provider for ThreadProvider {
    /// Does not wait: whether their threads could be started is seen later.
    fn ask(&mut self, count: usize, now: f64) -> Result<Vec<String>, Refusal> {
        self.asking.may(now)?;
        let count = count.min(self.most.saturating_sub(self.there()));
        let new: Vec<Place> = (0..count).map(|_| self.new_place(now)).collect();
        let names: Vec<String> = new.iter().map(|place| place.name.clone()).collect();
        self.places.extend(new);
        self.scheduler.do_send(Recruit(names.clone()));
        Ok(names)
    }

    fn state(&mut self, now: f64) -> Result<Vec<Place>, Refusal> {
        let roll = futures_executor::block_on(self.scheduler.send(CallRoll));
        let roll = roll.map_err(|gone| self.asking.refused(Cause::Silent, gone.to_string(), now))?;
        for place in &mut self.places {
            place.state = match roll.get(&place.name) {
                Some(WorkerStanding::Works) => PlaceState::Running,
                Some(WorkerStanding::Leaves) => PlaceState::Leaving,
                Some(WorkerStanding::Failed(why)) => {
                    place.words = format!("{}: cannot start its threads: {why}", place.name);
                    self.asking.refused(Cause::ForNow, place.words.clone(), now);
                    PlaceState::Ended(End::Failed)
                }
                None => PlaceState::Ended(End::Left),
            };
        }
        let places = self.places.clone();
        self.places.retain(|place| place.state.is_there());
        Ok(places)
    }

    fn release(&mut self, which: Release<'_>, _now: f64) -> Result<(), Refusal> {
        let names = match which {
            Release::These(names) => names.to_vec(),
            Release::All => self.places.iter().map(|place| place.name.clone()).collect(),
        };
        self.scheduler.do_send(DrainWorkers(names));
        Ok(())
    }
}
