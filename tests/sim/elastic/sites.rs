//! The machine room: a real provider whose places wait, boot and are preempted in virtual time.

use super::case::{Case, LIFE, NOTICE, Preemption};
use crate::sim::rng::{Rng, mix};
use cluster::provider::{End, Place, PlaceState, Provider, Refusal, Release};

/// A place, and what will become of it.
pub struct Site {
    pub asked: f64,
    /// When it has a machine.
    pub begins: f64,
    /// When its worker joins.
    pub joins: f64,
    /// When others take it.
    pub preempted: f64,
    pub ended: Option<(f64, End)>,
    is_told: bool,
}

pub struct Sites {
    case: Case,
    most: usize,
    pub all: Vec<Site>,
}

impl Sites {
    pub fn new(case: Case, most: usize) -> Sites {
        Sites { case, most, all: Vec::new() }
    }

    /// The place that would be granted at `now`. What it waits, and how long it lives, is its number's own: whoever
    /// asks for as many before it gets the same.
    pub fn next(&self, now: f64) -> Site {
        self.granted(self.all.len(), now)
    }

    /// The number of the one that comes first of so many places that would be granted at `now`, and that place.
    pub fn first_of_next(&self, count: usize, now: f64) -> (usize, Site) {
        let numbers = self.all.len()..self.all.len() + count.max(1);
        let places = numbers.map(|number| (number, self.granted(number, now)));
        places.min_by(|a, b| a.1.joins.total_cmp(&b.1.joins)).expect("there is one at least")
    }

    fn granted(&self, number: usize, now: f64) -> Site {
        let draw = |which: u64| exponential(self.case.seed ^ mix(2 * number as u64 + which));
        let begins = now + self.case.queue * draw(0);
        let joins = begins + self.case.boot;
        let preempted = match self.case.preemption {
            Preemption::Never => f64::INFINITY,
            Preemption::WithNotice | Preemption::Without => joins + NOTICE + LIFE * draw(1),
        };
        Site { asked: now, begins, joins, preempted, ended: None, is_told: false }
    }

    pub fn end(&mut self, at: usize, end: End, now: f64) {
        self.all[at].ended.get_or_insert((now, end));
    }

    pub fn there(&self) -> usize {
        self.all.iter().filter(|site| site.ended.is_none()).count()
    }

    /// Seconds that machines were taken until `now`.
    pub fn node_seconds(&self, now: f64) -> f64 {
        let until = |site: &Site| site.ended.map_or(now, |(at, _)| at);
        self.all.iter().map(|site| (until(site) - site.begins).max(0.0)).sum()
    }
}

/// Of mean 1.
fn exponential(seed: u64) -> f64 {
    let uniform = (Rng::new(seed).below(1 << 52) as f64 + 1.0) / (1_u64 << 52) as f64;
    -uniform.ln()
}

pub fn name(at: usize) -> String {
    format!("w{at}")
}

pub fn number(name: &str) -> usize {
    name[1..].parse().expect("names of places are numbered")
}

impl Provider for Sites {
    fn ask(&mut self, count: usize, now: f64) -> Result<Vec<String>, Refusal> {
        let granted = count.min(self.most - self.there().min(self.most));
        let names = (0..granted).map(|_| {
            let site = self.next(now);
            self.all.push(site);
            name(self.all.len() - 1)
        });
        Ok(names.collect())
    }

    fn state(&mut self, now: f64) -> Result<Vec<Place>, Refusal> {
        let mut places = Vec::new();
        for (at, site) in self.all.iter_mut().enumerate().filter(|(_, site)| !site.is_told) {
            let state = match site.ended {
                Some((_, end)) => PlaceState::Ended(end),
                None if now < site.begins => PlaceState::Waiting,
                None if now < site.joins => PlaceState::Starting,
                None => PlaceState::Running,
            };
            site.is_told = site.ended.is_some();
            let began = (now >= site.begins).then_some(site.begins);
            let (asked, ends) = (site.asked, None);
            places.push(Place { name: name(at), state, asked, began, ends, words: String::new() });
        }
        Ok(places)
    }

    fn release(&mut self, which: Release<'_>, now: f64) -> Result<(), Refusal> {
        match which {
            Release::These(names) => {
                names.iter().for_each(|name| self.end(number(name), End::Cancelled, now));
            }
            Release::All => (0..self.all.len()).for_each(|at| self.end(at, End::Cancelled, now)),
        }
        Ok(())
    }
}
