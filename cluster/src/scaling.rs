//! What the policy is asked, and what follows from its answer: the part of an autoscaler that remembers. Pure.
//!
//! The scheduler says what is to be done and who is there, the provider what places there are. [`Scaling::step`] puts
//! both together, asks the policy, and says whom to ask for, who is to leave, and which places to take back. A place is
//! taken back when its worker has left and does not end, or when nobody has come there and nobody need come.

use crate::device::{DeviceRates, FileUse};
use crate::policy::{Demand, Machine, Presence, Reason, ScalingPolicy, Start, Supply};
use crate::provider::{Place, PlaceState};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Between two computations of a session that is open, workers stay for so many seconds: it is likely to come back.
const SESSION_STAYS: f64 = 60.0;
/// A worker whose connection was lost may come back, or its job be started again. After so many seconds its place is
/// taken back.
const GIVEN_UP: f64 = 60.0;
/// So long, and four times a boot, may a worker take that has a machine until it is there for the first time.
const NEVER_CAME: f64 = 600.0;
/// A worker that has left ends by itself. If it does not within so many seconds, its place is taken back.
const ENDS: f64 = 10.0;
/// Queue and boot are means of so many measurements, the newest count most. Of many that were asked for together those
/// that wait longest come last: a mean of few would be one of these.
const REMEMBERED: usize = 64;
/// So much at least is left of a phase that is not done, as a part of what was told.
const UNFINISHED: f64 = 0.01;

/// What is to be done and who is there, as a scheduler sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// What is left to compute.
    pub demand: Demand,
    /// Seconds since the oldest of it was asked for.
    pub age: f64,
    /// Workers that somebody waits for, at least.
    pub needed: usize,
    /// Is there a session that may have more to do?
    pub session: bool,
    /// Blocks were written, or tasks wait, because memory has no room for them.
    pub is_short_of_room: bool,
    /// All workers, also those that the provider does not know.
    pub workers: Vec<Present>,
}

/// A worker that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Present {
    /// Its name, and that of its place if it has one.
    pub name: String,
    /// With how many cores it computes.
    pub cores: u32,
    /// It has nothing to do.
    pub is_idle: bool,
    /// It hands over what it has, and goes.
    pub is_leaving: bool,
    /// Seconds since it joined.
    pub age: f64,
    /// Bytes of memory that it brings; 0 if all share one.
    pub room: f64,
    /// What it has done with files.
    pub files: FileUse,
}

/// What a user allows and asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// How the number is found.
    pub policy: ScalingPolicy,
    /// Seconds within which a run is to be done.
    pub deadline: Option<f64>,
    /// Never fewer workers than this.
    pub least: usize,
    /// Never more places than this.
    pub most: usize,
    /// What a worker is like. Queue and boot are a first guess, until they are measured.
    pub start: Start,
}

/// What is to be done now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScalingOrders {
    /// So many places are to be asked for.
    pub ask: usize,
    /// These workers are to hand over what they have, and to leave.
    pub drain: Vec<String>,
    /// This worker, which leaves already, is to go at once: nobody can take over what it has, and somebody else may
    /// have its place.
    pub let_go: Option<String>,
    /// These places are to be taken back.
    pub release: Vec<String>,
    /// So many workers are wanted.
    pub wanted: usize,
    /// So many of them were asked for and have not come yet.
    pub coming: usize,
    /// So many places are taken by workers that leave or stand still.
    pub away: usize,
    /// Why, a line for each step.
    pub reasons: Vec<String>,
}

/// The memory of an autoscaler.
#[derive(Clone, Debug)]
pub struct Scaling {
    rules: Rules,
    /// Places that have been granted and have not ended.
    known: HashMap<String, Known>,
    told: Told,
    /// Workers whose queue and boot times have been measured, up to those that are remembered.
    measured: usize,
    /// Since when nothing is left to compute.
    pause: Option<f64>,
    past: Past,
    /// What is known of files.
    rates: DeviceRates,
    /// So many phases were left when memory had too little room. It counts until the next one begins: who was asked for
    /// because of it must not go because it helps.
    short: Option<usize>,
}

/// What was told of the phase that goes on.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// So many were left, it among them.
    phases: usize,
    /// Its longest path, until a task on that is done.
    path: f64,
    /// When that was told first.
    since: f64,
}

/// What is remembered of a place and its worker.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    has_joined: bool,
    /// It was told to leave.
    is_drained: bool,
    /// Since when its worker has nothing to do.
    idle: Option<f64>,
    /// Since when its worker is missing although it has joined.
    missing: Option<f64>,
    /// It waits for a machine, and since then nobody wants it.
    useless: Option<f64>,
}

/// What a session has computed, in core-seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// In the run that goes on, or was the last.
    of_run: f64,
    /// In runs before that.
    before: f64,
    had_work: bool,
    /// Counted up to then.
    at: f64,
}

/// A place and its worker, as the policy is to see them.
enum Seen {
    Counts(Presence),
    /// It takes room, and does not compute.
    Away,
    /// It is to be taken back.
    Useless,
}

impl Scaling {
    /// Nothing is remembered yet.
    pub fn new(rules: Rules) -> Scaling {
        Scaling {
            rules,
            known: HashMap::new(),
            told: Told::default(),
            measured: 0,
            pause: None,
            past: Past::default(),
            rates: DeviceRates::default(),
            short: None,
        }
    }

    /// What one more worker takes, as measured so far.
    pub fn start(&self) -> Start {
        self.rules.start
    }

    /// What to do now. The complexity is that of [`ScalingPolicy::decide`].
    pub fn step(&mut self, survey: &Survey, places: &[Place], now: f64) -> ScalingOrders {
        let there: Vec<&Place> = places.iter().filter(|place| place.state.is_there()).collect();
        let names: HashSet<&str> = there.iter().map(|place| place.name.as_str()).collect();
        self.known.retain(|name, _| names.contains(name.as_str()));
        let mut present: BTreeMap<&str, &Present> =
            survey.workers.iter().map(|worker| (worker.name.as_str(), worker)).collect();
        let mut orders = ScalingOrders::default();
        let mut machines = Vec::new();
        let mut names = Vec::new();
        let mut leaving = Vec::new();
        for place in &there {
            let worker = present.remove(place.name.as_str());
            if worker.is_some_and(|worker| worker.is_leaving) {
                leaving.push(*place);
            }
            match self.see(place, worker, now) {
                Seen::Counts(presence) => {
                    let id = names.len() as u32;
                    let Start { cores, room, .. } = self.rules.start;
                    let (cores, room) = worker.map_or((cores, room), |worker| (worker.cores, worker.room));
                    machines.push(Machine { id, cores, room, presence });
                    names.push(place.name.clone());
                }
                Seen::Away => orders.away += 1,
                Seen::Useless => {
                    orders.away += 1;
                    orders.release.push(place.name.clone());
                }
            }
        }
        // Workers that somebody started by hand compute, and are not ours to send away.
        let strangers: Vec<&Present> = present.into_values().filter(|worker| !worker.is_leaving).collect();
        for worker in &strangers {
            let presence = Presence::Here { idle: None, leaves: None };
            let Present { cores, room, .. } = **worker;
            machines.push(Machine { id: names.len() as u32, cores, room, presence });
            names.push(worker.name.clone());
        }
        let has_work = survey.demand.work() > 0.0;
        let is_between = survey.session && !has_work;
        self.pause = if has_work { None } else { Some(self.pause.unwrap_or(now)) };
        if let Some(since) = self.pause.filter(|_| is_between) {
            keep_for_session(&mut machines, since, now);
        }
        let supply = Supply {
            workers: machines,
            start: self.rules.start,
            least: self.rules.least.max(survey.needed),
            most: self.rules.most.saturating_sub(orders.away) + strangers.len(),
        };
        self.decide(survey, &supply, &names, &mut orders, now);
        let nobody_stays = supply.workers.is_empty() && orders.ask == 0;
        if nobody_stays && has_work && leaving.len() == there.len() {
            self.let_one_go(&leaving, &mut orders);
        }
        if is_between {
            orders.reasons.push(format!("a session is open: idle workers stay for {SESSION_STAYS:.0} s"));
        }
        orders
    }

    /// A phase is told to be shorter when a task of it is done. Until then it becomes shorter by the second.
    fn go_on(&mut self, demand: &mut Demand, machines: &[Machine], now: f64) {
        let (phases, longest) = (demand.phases.len(), demand.longest);
        let Some(first) = demand.phases.first_mut() else { return };
        let told = &mut self.told;
        if told.phases != phases || (told.path - first.path).abs() > longest / 2.0 {
            *told = Told { phases, path: first.path, since: now };
        }
        first.path = (first.path - (now - told.since)).max(0.0);
        if first.width <= f64::from(busy_cores(machines)) {
            // All that is left of it is under way.
            first.work = first.work.min(first.width * first.path).max(UNFINISHED * first.work);
        }
    }

    /// What is known of memory and files. Room counts only if there was too little.
    fn weigh_room_and_files(&mut self, demand: &mut Demand, survey: &Survey, now: f64) {
        if demand.work() > 0.0 {
            let used = survey.workers.iter().map(|worker| (worker.name.as_str(), worker.cores, worker.files));
            self.rates.look(used, now);
        } else {
            self.rates.forget();
        }
        let phases = demand.phases.len();
        self.short =
            if survey.is_short_of_room { Some(phases) } else { self.short.filter(|then| *then == phases) };
        if self.short.is_none() {
            demand.wanted = 0.0;
            demand.phases.iter_mut().for_each(|phase| phase.holds = 0.0);
        }
        demand.file_supply = self.rates.file_supply();
    }

    fn decide(
        &mut self,
        survey: &Survey,
        supply: &Supply,
        names: &[String],
        orders: &mut ScalingOrders,
        now: f64,
    ) {
        let deadline = self.rules.deadline.map(|seconds| now - survey.age + seconds);
        let follows = self.follow_session(survey, &supply.workers, now);
        let mut demand = Demand { deadline, more_follows: survey.session, follows, ..survey.demand.clone() };
        self.go_on(&mut demand, &supply.workers, now);
        self.weigh_room_and_files(&mut demand, survey, now);
        let decision = self.rules.policy.decide(&demand, supply, now);
        let name = |id: u32| names.get(id as usize).cloned().unwrap_or_default();
        let is_coming = |worker: &&Machine| !matches!(worker.presence, Presence::Here { .. });
        let coming = supply.workers.iter().filter(is_coming).count();
        let mut called_off = 0;
        let spare = self.spare(&decision.remove, supply, names, now);
        for id in decision.remove.iter().filter(|id| !spare.contains(id)) {
            let worker = supply.workers.get(*id as usize);
            if worker.is_some_and(|worker| is_coming(&worker)) {
                called_off += 1;
                orders.release.push(name(*id));
            } else {
                orders.drain.push(name(*id));
                self.known.entry(name(*id)).or_default().is_drained = true;
            }
        }
        orders.ask = decision.start;
        orders.wanted = supply.workers.len() + decision.start - decision.remove.len();
        orders.coming = coming + decision.start - called_off;
        orders.reasons = decision.reasons.iter().map(|reason: &Reason| reason.told(name)).collect();
        if !spare.is_empty() {
            let boot = self.rules.start.boot;
            orders
                .reasons
                .push(format!("who waits for a machine costs nothing, and is called off after {boot:.1} s"));
        }
    }

    /// Of those that may go, those that wait for a machine and have been of no use for less than the time of a boot.
    /// They cost nothing, and may still be wanted.
    fn spare(&mut self, remove: &[u32], supply: &Supply, names: &[String], now: f64) -> Vec<u32> {
        let mut spare = Vec::new();
        for worker in &supply.workers {
            let Some(known) = self.known.get_mut(&names[worker.id as usize]) else { continue };
            let may_go = remove.contains(&worker.id) && matches!(worker.presence, Presence::Asked(_));
            known.useless = may_go.then(|| known.useless.unwrap_or(now));
            if known.useless.is_some_and(|since| now - since < self.rules.start.boot) {
                spare.push(worker.id);
            }
        }
        spare
    }

    /// What sessions have done, and what the run that goes on will have been. As long as nobody knows better, they
    /// are taken to go on for as long again. After a pause for which nobody stays it counts no more: whoever comes
    /// then has to be started.
    fn follow_session(&mut self, survey: &Survey, machines: &[Machine], now: f64) -> f64 {
        let past = &mut self.past;
        if !survey.session {
            *past = Past { at: now, ..Past::default() };
            return 0.0;
        }
        let has_work = survey.demand.work() > 0.0;
        if self.pause.is_some_and(|since| now - since >= SESSION_STAYS) {
            *past = Past::default();
        }
        if has_work && !std::mem::replace(&mut past.had_work, has_work) {
            past.before += std::mem::take(&mut past.of_run);
        }
        past.had_work = has_work;
        if has_work {
            past.of_run += f64::from(busy_cores(machines)) * (now - past.at);
        }
        past.at = now;
        past.before + past.of_run + survey.demand.work()
    }

    /// All places are taken by workers that leave, and none of them can hand over what it has. The one whose place ends
    /// first goes: whoever comes in its place takes over what the others have.
    fn let_one_go(&mut self, leaving: &[&Place], orders: &mut ScalingOrders) {
        let end = |place: &Place| place.ends.unwrap_or(f64::INFINITY);
        let Some(first) = leaving.iter().min_by(|a, b| end(a).total_cmp(&end(b))) else { return };
        self.known.entry(first.name.clone()).or_default().is_drained = true;
        orders.reasons.push("all workers leave, and nobody is there to take over what they have".into());
        orders.let_go = Some(first.name.clone());
    }

    fn see(&mut self, place: &Place, worker: Option<&Present>, now: f64) -> Seen {
        let known = self.known.entry(place.name.clone()).or_default();
        if let Some(worker) = worker
            && !std::mem::replace(&mut known.has_joined, true)
        {
            self.measured = (self.measured + 1).min(REMEMBERED);
            learn(&mut self.rules.start, place, now - worker.age, self.measured);
        }
        known.idle = worker.filter(|worker| worker.is_idle).map(|_| known.idle.unwrap_or(now));
        match (place.state, worker) {
            (PlaceState::Stuck, _) => Seen::Useless,
            (PlaceState::Leaving | PlaceState::Suspended | PlaceState::Ended(_), _) => Seen::Away,
            (_, Some(worker)) if worker.is_leaving => Seen::Away,
            (_, Some(_)) => {
                known.missing = None;
                Seen::Counts(Presence::Here { idle: known.idle, leaves: place.ends })
            }
            (PlaceState::Waiting | PlaceState::Starting, None) => {
                // It may have been started again by those who give machines.
                *known = Known { useless: known.useless, ..Known::default() };
                Seen::Counts(comes(place))
            }
            (PlaceState::Running, None) if !known.has_joined => {
                let patience = NEVER_CAME + 4.0 * self.rules.start.boot;
                let is_late = place.began.is_some_and(|began| now - began >= patience);
                if is_late { Seen::Useless } else { Seen::Counts(comes(place)) }
            }
            (PlaceState::Running, None) => {
                let missing = *known.missing.get_or_insert(now);
                let patience = if known.is_drained { ENDS } else { GIVEN_UP };
                if now - missing >= patience { Seen::Useless } else { Seen::Away }
            }
        }
    }
}

/// How far the worker of a place is that has never been there.
fn comes(place: &Place) -> Presence {
    match (place.state, place.began) {
        (PlaceState::Waiting, _) | (_, None) => Presence::Asked(place.asked),
        (_, Some(began)) => Presence::Starts(began),
    }
}

/// Cores of those that have something to do.
fn busy_cores(machines: &[Machine]) -> u32 {
    let is_busy = |worker: &&Machine| matches!(worker.presence, Presence::Here { idle: None, .. });
    machines.iter().filter(is_busy).map(|worker| worker.cores).sum()
}

/// A worker has joined: what that took.
fn learn(start: &mut Start, place: &Place, joined: f64, measured: usize) {
    let began = place.began.unwrap_or(joined).clamp(place.asked, joined.max(place.asked));
    // The first guess counts like one of them.
    let newest = 1.0 / (measured + 1) as f64;
    let measure = |average: &mut f64, measured: f64| *average += newest * (measured - *average);
    measure(&mut start.queue, began - place.asked);
    measure(&mut start.boot, (joined - began).max(0.0));
}

/// Nobody is idle only because a session has paused for a moment.
fn keep_for_session(machines: &mut [Machine], paused: f64, now: f64) {
    for machine in machines {
        if let Presence::Here { idle, .. } = &mut machine.presence {
            *idle = idle.filter(|_| now - paused >= SESSION_STAYS);
        }
    }
}

#[cfg(test)]
#[path = "scaling_tests.rs"]
mod tests;
