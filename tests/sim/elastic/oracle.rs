//! An oracle that knows the future: the best plan that a search finds in the same world.
//!
//! A plan is a number of workers for each phase. A phase is a level of a run, or the time before a run is asked for.
//! The oracle knows when each begins, what each place that it asks for will wait and how long it will live, and what
//! each task takes. So it asks in time for workers to be there when a phase begins, or another worker is taken away,
//! and sends away at once whom its plan does not want. Like the policy it begins with nobody, can ask for nobody
//! before the first run is asked for, and cannot choose among places: the n-th that is asked for waits what the
//! policy's n-th waits. One with less [`Foresight`] knows all of that, too, but asks for nobody because of a run that
//! has not been asked for. One that picks asks for [`PICKED_FROM`] places instead of one, as the policy does where they
//! wait, knows at once which of them comes first, and calls off the others.

use super::case::{CORES, Case, MOST};
use super::load::{Asked, RunOf};
use super::sites::Site;
use super::world::{Control, Outcome, World};
use cluster::provider::End;
use std::collections::BTreeMap;

/// Numbers of workers that are tried.
const TRIED: [usize; 14] = [0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 28, MOST];
/// Of so many places one that picks takes one.
const PICKED_FROM: usize = 4;
/// So often the search goes over all phases.
const SWEEPS: usize = 4;

/// For which runs an oracle asks for workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Foresight {
    /// For all, also those that are still to come.
    #[default]
    OfAllRuns,
    /// For those that have been asked for. It may keep whom it has for others.
    OfRunsAskedFor,
}

/// What an oracle knows and may do.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Knows {
    foresight: Foresight,
    /// It takes the one that comes first of so many places, and calls off the others.
    picks_from: usize,
}

impl Default for Knows {
    fn default() -> Self {
        Knows { foresight: Foresight::default(), picks_from: 1 }
    }
}

/// How long a phase lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lasts {
    For(f64),
    /// At least to this time.
    Until(f64),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Workers in each phase.
    pub counts: Vec<usize>,
    /// How long each lasts with so many.
    lasts: Vec<Lasts>,
    knows: Knows,
}

impl Plan {
    fn new(runs: &[RunOf], counts: Vec<usize>, knows: Knows) -> Plan {
        let mut lasts = Vec::new();
        for run in runs {
            lasts.push(match run.asked {
                Asked::At(time) => Lasts::Until(time),
                Asked::After(pause) => Lasts::For(pause),
            });
            for width in &run.widths {
                let cores = counts[lasts.len()].max(1) as u32 * CORES;
                let turns = f64::from(width.tasks) / f64::from(cores.min(width.tasks));
                lasts.push(Lasts::For(turns * f64::from(width.turns) * width.seconds));
            }
        }
        Plan { counts, lasts, knows }
    }

    /// When each phase ends, from one on that has gone on since `since`, and goes on at `now`.
    fn ends(&self, phase: usize, since: f64, now: f64) -> impl Iterator<Item = (usize, f64)> + '_ {
        let ends = move |begins: &mut f64, lasts: &Lasts| {
            let ends = match *lasts {
                Lasts::For(seconds) => *begins + seconds,
                Lasts::Until(time) => begins.max(time),
            };
            *begins = ends.max(now);
            Some(*begins)
        };
        let all = self.lasts[phase..].iter().scan(since, ends);
        all.enumerate().map(move |(at, ends)| (phase + at, ends))
    }

    /// Workers that are wanted at `time`, in a phase before `until`.
    fn wanted(&self, phase: usize, since: f64, now: f64, time: f64, until: usize) -> usize {
        let at_time = self.ends(phase, since, now).find(|(_, ends)| *ends > time);
        let at = at_time.map_or(self.counts.len() - 1, |(at, _)| at);
        if at < until { self.counts[at] } else { 0 }
    }

    /// The most that are wanted by those of the later phases that begin before `time`.
    fn wanted_soon(&self, phase: usize, since: f64, now: f64, time: f64) -> usize {
        let begun = self.ends(phase, since, now).take_while(|(_, ends)| *ends <= time);
        begun.filter_map(|(at, _)| self.counts.get(at + 1).copied()).max().unwrap_or(0)
    }
}

impl World {
    /// Since when the phase goes on, or will if nobody is there yet.
    fn since(&self, phase: usize) -> f64 {
        let coming = self.sites.all.iter().filter(|site| site.ended.is_none()).map(|site| site.joins);
        let first = coming.fold(f64::INFINITY, f64::min).min(self.sites.next(self.now).joins);
        match self.run.is_some() && self.crew.is_empty() {
            true => first.max(self.now),
            false => self.begins(phase),
        }
    }

    /// Of so many workers those that have something to do until the phase ends.
    fn at_work(&self, count: usize) -> usize {
        let running: usize = self.crew.values().map(|worker| worker.running.len()).sum();
        let is_tail = self.run.as_ref().is_some_and(|run| run.left_of_level() <= running);
        let busy = self.crew.values().filter(|worker| !worker.running.is_empty()).count();
        if is_tail { busy.min(count) } else { count }
    }

    pub(super) fn go_by(&mut self, plan: &Plan, phase: usize) {
        let foreseen = match plan.knows.foresight {
            Foresight::OfAllRuns => plan.counts.len(),
            Foresight::OfRunsAskedFor => self.phases_asked_for(),
        };
        loop {
            let free = MOST - self.sites.there().min(MOST);
            let (first, Site { joins, .. }) =
                self.sites.first_of_next(plan.knows.picks_from.min(free), self.now);
            let there = |site: &&Site| site.ended.is_none() && site.joins <= joins && site.preempted > joins;
            let there = self.sites.all.iter().filter(there).count();
            let wanted = plan.wanted(phase, self.since(phase), self.now, joins, foreseen);
            if there >= wanted || free == 0 {
                break;
            }
            let next = self.sites.all.len();
            self.ask(plan.knows.picks_from.min(free));
            let others = (next..self.sites.all.len()).filter(|place| *place != first);
            others.for_each(|place| self.sites.end(place, End::Cancelled, self.now));
        }
        // To start another one takes longer than to keep this one.
        let since = self.since(phase);
        let soon = plan.wanted_soon(phase, since, self.now, self.now + self.case.boot);
        let soon = self.at_work(plan.counts[phase]).max(soon);
        let mut staying = self.staying();
        staying.sort_by_key(|id| self.crew[id].running.len());
        let more = staying.len().saturating_sub(soon);
        staying.into_iter().take(more).for_each(|id| self.let_leave(id));
    }
}

/// What a plan is searched for.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// The least product of makespan and node-seconds.
    Product,
    /// The least makespan for no more node-seconds than these.
    Makespan(f64),
    /// The least node-seconds in no more time than this.
    NodeSeconds(f64),
}

/// What is too much counts by this power, so that a search finds its way back.
const TOO_MUCH: i32 = 8;

impl Goal {
    fn cost(self, outcome: &Outcome) -> f64 {
        let (makespan, node_seconds) = (outcome.makespan, outcome.node_seconds);
        match self {
            Goal::Product => outcome.product(),
            Goal::Makespan(most) => makespan * (node_seconds / most).max(1.0).powi(TOO_MUCH),
            Goal::NodeSeconds(most) => node_seconds * (makespan / most).max(1.0).powi(TOO_MUCH),
        }
    }
}

/// The best that an oracle was found to do.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// The least product of makespan and node-seconds.
    pub product: f64,
    /// The least makespan with no more node-seconds than the policy.
    pub makespan: f64,
    /// The least node-seconds with no longer a makespan than the policy.
    pub node_seconds: f64,
}

/// Those that the policy is put beside.
#[derive(Clone, Debug)]
pub struct Oracles {
    pub of_all_runs: Oracle,
    pub of_runs_asked_for: Oracle,
    /// It knows of all runs, and takes one of several places.
    pub that_picks: Oracle,
}

struct Search {
    case: Case,
    runs: Vec<RunOf>,
    knows: Knows,
    /// Workers that can be of use, by phase. None are before a run.
    useful: Vec<usize>,
    tried: BTreeMap<Vec<usize>, Outcome>,
}

/// Searches for the best plans, in a world where the policy came to `policy`, which counts as one of the plans.
pub fn search(case: Case, policy: &Outcome) -> Oracles {
    let with = |foresight, picks_from| {
        let mut search = Search::new(case, Knows { foresight, picks_from });
        search.go(policy);
        search.tried.into_values().collect::<Vec<Outcome>>()
    };
    let mut tried = with(Foresight::OfRunsAskedFor, 1);
    tried.push(policy.clone());
    let of_runs_asked_for = best_of(&tried, policy);
    // Whoever knows more, or may do more, can do the same.
    if case.runs().len() > 1 {
        tried.extend(with(Foresight::OfAllRuns, 1));
    }
    let of_all_runs = best_of(&tried, policy);
    if case.queue > 0.0 {
        tried.extend(with(Foresight::OfAllRuns, PICKED_FROM));
    }
    Oracles { of_all_runs, of_runs_asked_for, that_picks: best_of(&tried, policy) }
}

/// The best of these beside the policy.
fn best_of(tried: &[Outcome], policy: &Outcome) -> Oracle {
    let least = |seconds: fn(&Outcome) -> f64, may_be: &dyn Fn(&Outcome) -> bool| {
        tried.iter().filter(|outcome| may_be(outcome)).map(seconds).fold(f64::INFINITY, f64::min)
    };
    Oracle {
        product: least(Outcome::product, &|_| true),
        makespan: least(|outcome| outcome.makespan, &|outcome| outcome.node_seconds <= policy.node_seconds),
        node_seconds: least(|outcome| outcome.node_seconds, &|outcome| outcome.makespan <= policy.makespan),
    }
}

impl Search {
    fn new(case: Case, knows: Knows) -> Search {
        let runs = case.runs();
        let mut useful = Vec::new();
        for run in &runs {
            useful.push(0);
            useful.extend(run.widths.iter().map(|width| width.tasks.div_ceil(CORES) as usize));
        }
        Search { case, runs, knows, useful, tried: BTreeMap::new() }
    }

    fn go(&mut self, policy: &Outcome) {
        for most in TRIED.into_iter().filter(|most| *most > 0) {
            let useful = self.useful.iter().map(|useful| (*useful).min(most)).collect();
            self.attempt(useful, Goal::Product);
            self.attempt(vec![most; self.useful.len()], Goal::Product);
        }
        self.improve(Goal::Product);
        self.improve(Goal::Makespan(policy.node_seconds));
        self.improve(Goal::NodeSeconds(policy.makespan));
    }

    /// What it would cost.
    fn attempt(&mut self, counts: Vec<usize>, goal: Goal) -> f64 {
        if let Some(outcome) = self.tried.get(&counts) {
            return goal.cost(outcome);
        }
        let plan = Plan::new(&self.runs, counts.clone(), self.knows);
        let outcome = World::new(self.case, Control::Oracle(plan)).drive();
        let cost = goal.cost(&outcome);
        self.tried.insert(counts, outcome);
        cost
    }

    /// Looks for the best that there is if the number in one phase is changed, or in all phases that have the same,
    /// again and again from the best of what was tried.
    fn improve(&mut self, goal: Goal) {
        let cost = |outcome: &(&Vec<usize>, &Outcome)| goal.cost(outcome.1);
        let best = self.tried.iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
        let mut counts = best.expect("something was tried").0.clone();
        for _ in 0..SWEEPS {
            let before = counts.clone();
            for count in TRIED {
                let alike = |counts: &[usize], phase: usize| counts[phase] == count;
                counts = self.vary(counts, goal, alike);
            }
            for at in 0..counts.len() {
                counts = self.vary(counts, goal, |_, phase| phase == at);
            }
            if counts == before {
                break;
            }
        }
    }

    /// Tries more and fewer in the phases that are chosen: a little, some more, and the least.
    fn vary(
        &mut self,
        mut counts: Vec<usize>,
        goal: Goal,
        is_chosen: impl Fn(&[usize], usize) -> bool,
    ) -> Vec<usize> {
        for step in [-1, 1, -3, 3, -14] {
            let other = |phase: usize| {
                if !is_chosen(&counts, phase) {
                    return counts[phase];
                }
                let at = TRIED.iter().position(|tried| *tried >= counts[phase]).unwrap_or(0);
                let is_before_a_run = self.useful[phase] == 0;
                let other = TRIED[at.saturating_add_signed(step).min(TRIED.len() - 1)];
                if is_before_a_run { other } else { other.clamp(1, self.useful[phase].clamp(1, MOST)) }
            };
            let others: Vec<usize> = (0..counts.len()).map(other).collect();
            if others != counts && self.attempt(others.clone(), goal) < goal.cost(&self.tried[&counts]) {
                counts = others;
            }
        }
        counts
    }
}
