//! An oracle that knows the future: the best plan that a search finds in the same world.
//!
//! A plan is a number of workers for each phase. A phase is a level of a run, or the time before a run is asked for.
//! The oracle knows when each begins, what each place that it asks for will wait and how long it will live, and what
//! each task takes. So it asks in time for workers to be there when a phase begins, or another worker is taken away,
//! and sends away at once whom its plan does not want. Like the policy it begins with nobody, can ask for nobody
//! before the first run is asked for, and cannot choose among places: the n-th that is asked for waits what the
//! policy's n-th waits.

use super::case::{CORES, Case, MOST};
use super::load::{Asked, RunOf};
use super::sites::Site;
use super::world::{Control, Outcome, World};
use std::collections::BTreeMap;

/// Numbers of workers that are tried.
const TRIED: [usize; 14] = [0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 28, MOST];
/// So often the search goes over all phases.
const SWEEPS: usize = 4;

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
}

impl Plan {
    fn new(runs: &[RunOf], counts: Vec<usize>) -> Plan {
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
        Plan { counts, lasts }
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

    /// Workers that are wanted at `time`.
    fn wanted(&self, phase: usize, since: f64, now: f64, time: f64) -> usize {
        let at_time = self.ends(phase, since, now).find(|(_, ends)| *ends > time);
        at_time.map_or(*self.counts.last().unwrap_or(&0), |(at, _)| self.counts[at])
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
        loop {
            let joins = self.sites.next(self.now).joins;
            let there = |site: &&Site| site.ended.is_none() && site.joins <= joins && site.preempted > joins;
            let there = self.sites.all.iter().filter(there).count();
            let wanted = plan.wanted(phase, self.since(phase), self.now, joins);
            if there >= wanted || self.sites.there() >= MOST {
                break;
            }
            self.ask(1);
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
            Goal::Product => makespan * node_seconds,
            Goal::Makespan(most) => makespan * (node_seconds / most).max(1.0).powi(TOO_MUCH),
            Goal::NodeSeconds(most) => node_seconds * (makespan / most).max(1.0).powi(TOO_MUCH),
        }
    }
}

/// The best that the oracle was found to do.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// The plan whose product of makespan and node-seconds is the least.
    pub balanced: Outcome,
    /// The least makespan with no more node-seconds than the policy.
    pub makespan: f64,
    /// The least node-seconds with no longer a makespan than the policy.
    pub node_seconds: f64,
}

struct Search {
    case: Case,
    runs: Vec<RunOf>,
    /// Workers that can be of use, by phase. None are before a run.
    useful: Vec<usize>,
    tried: BTreeMap<Vec<usize>, Outcome>,
}

/// Searches for the best plans, in a world where the policy came to `policy`, which counts as one of the plans.
pub fn search(case: Case, policy: &Outcome) -> Oracle {
    let runs = case.runs();
    let mut useful = Vec::new();
    for run in &runs {
        useful.push(0);
        useful.extend(run.widths.iter().map(|width| width.tasks.div_ceil(CORES) as usize));
    }
    let mut search = Search { case, runs, useful, tried: BTreeMap::new() };
    for most in TRIED.into_iter().filter(|most| *most > 0) {
        let useful = search.useful.iter().map(|useful| (*useful).min(most)).collect();
        search.attempt(useful, Goal::Product);
        search.attempt(vec![most; search.useful.len()], Goal::Product);
    }
    let balanced = search.best(Goal::Product);
    search.best(Goal::Makespan(policy.node_seconds));
    search.best(Goal::NodeSeconds(policy.makespan));
    let all = || search.tried.values().chain([policy]);
    let no_dearer = all().filter(|outcome| outcome.node_seconds <= policy.node_seconds);
    let no_later = all().filter(|outcome| outcome.makespan <= policy.makespan);
    Oracle {
        balanced,
        makespan: no_dearer.map(|outcome| outcome.makespan).fold(f64::INFINITY, f64::min),
        node_seconds: no_later.map(|outcome| outcome.node_seconds).fold(f64::INFINITY, f64::min),
    }
}

impl Search {
    /// What it would cost.
    fn attempt(&mut self, counts: Vec<usize>, goal: Goal) -> f64 {
        if let Some(outcome) = self.tried.get(&counts) {
            return goal.cost(outcome);
        }
        let plan = Plan::new(&self.runs, counts.clone());
        let outcome = World::new(self.case, Control::Oracle(plan)).drive();
        let cost = goal.cost(&outcome);
        self.tried.insert(counts, outcome);
        cost
    }

    /// The best that there is if the number in one phase is changed, or in all phases that have the same, again and
    /// again from the best of what was tried.
    fn best(&mut self, goal: Goal) -> Outcome {
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
        self.tried[&counts].clone()
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
