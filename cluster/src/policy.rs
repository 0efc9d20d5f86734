//! How many workers there should be: one pure verb, [`ScalingPolicy::decide`]. Times are seconds on any one clock.
//!
//! The wanted number is the one that finishes soonest for what a worker costs to start. What is left is a row of
//! phases, each with work and a longest path; `timeline` says when each begins and ends. A worker that is started
//! `now` computes from `now + queue + boot` until its walltime ends. The k-th new worker is worth its start if the
//! work it takes off the others, in the phases that it makes shorter, is at least what it has to be by
//! [`ScalingPolicy::payback`]. It brings cores, memory, and a way to files: what memory has no room for goes to files
//! and comes back, and files give no more than they have. If the first of these phases begins later than the worker
//! could come, it is not asked for yet. Workers that boot count as present from the moment they are expected.
//! Nobody is sent away whom the same formula would ask for again within the time of a boot.
//!
//! Who waits in a queue costs nothing, and nobody knows for how long it waits. So more are asked for than are wanted,
//! and those that are given a machine first are taken. Those that wait are no part of what the formula goes by: as many
//! as it asks for beside the others are wanted of them.

mod reason;
mod timeline;

pub use reason::Reason;
pub use timeline::{FileSupply, Phase};
use timeline::{Resources, Span, Timeline, Window};

/// What is left to compute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demand {
    /// All of it, one phase after the other.
    pub phases: Vec<Phase>,
    /// Its longest task in seconds. A worker that cannot finish it before its walltime ends is not asked for.
    pub longest: f64,
    /// When it is to be done, if somebody has said so. Then as few workers do it as are in time, whatever they cost.
    pub deadline: Option<f64>,
    /// Something is likely to follow soon after its end.
    pub more_follows: bool,
    /// Core-seconds that are likely to follow.
    pub follows: f64,
    /// Bytes that are wanted in memory, if there was too little room for them; else 0.
    pub wanted: f64,
    /// What files give.
    pub file_supply: FileSupply,
}

impl Demand {
    /// Core-seconds of all phases.
    pub fn work(&self) -> f64 {
        self.phases.iter().map(|phase| phase.work).sum()
    }

    /// As far as measured times can be wrong, so that more workers are of use.
    fn at_best(&self) -> Demand {
        let mut best = self.clone();
        best.phases.iter_mut().for_each(|phase| phase.path *= 1.0 - UNSURE);
        best
    }

    /// Takes in what goes on at the same time.
    pub fn beside(&mut self, other: &Demand) {
        let phases = self.phases.len().max(other.phases.len());
        self.phases.resize(phases, Phase::default());
        for (mine, others) in self.phases.iter_mut().zip(&other.phases) {
            mine.work += others.work;
            mine.path = mine.path.max(others.path);
            mine.width += others.width;
            mine.bytes += others.bytes;
            mine.holds = mine.holds.max(others.holds);
        }
        self.longest = self.longest.max(other.longest);
        self.wanted += other.wanted;
    }
}

/// A machine as the policy sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Its name to the caller.
    pub id: u32,
    /// How many cores it computes with.
    pub cores: u32,
    /// Bytes of memory that it brings; 0 if all share one.
    pub room: f64,
    /// Whether it is here.
    pub presence: Presence,
}

/// Whether a worker is here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Presence {
    /// Asked for at this time and not heard of since.
    Asked(f64),
    /// It has had a machine since this time, and is not here yet.
    Starts(f64),
    /// Here, with nothing to do since `idle`, until its walltime ends at `leaves`.
    Here {
        /// When it ran out of work, if it has.
        idle: Option<f64>,
        /// When it must be gone, if it must.
        leaves: Option<f64>,
    },
}

/// What one more worker costs and gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// Seconds in the batch system's queue: they delay, and cost nothing else.
    pub queue: f64,
    /// Seconds from there to the first kernel: they are paid for.
    pub boot: f64,
    /// Cores it will have.
    pub cores: u32,
    /// Bytes of memory that it will bring; 0 if all share one.
    pub room: f64,
    /// Seconds it may live, boot included.
    pub walltime: Option<f64>,
}

/// The machines there are, and what more of them would be like.
#[derive(Clone, Debug, PartialEq)]
pub struct Supply {
    /// Here or asked for.
    pub workers: Vec<Machine>,
    /// One more.
    pub start: Start,
    /// Never fewer workers than this.
    pub least: usize,
    /// Never more workers than this, those asked for included.
    pub most: usize,
}

/// What to do, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// How many workers to ask for.
    pub start: usize,
    /// Who is to drain and leave, or need not come any more.
    pub remove: Vec<u32>,
    /// One for each step of the decision.
    pub reasons: Vec<Reason>,
}

/// Thresholds for the number of workers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalingPolicy {
    /// Core-seconds a new worker must take off the others, in times of √(boot · (queue + boot)) of all its cores. 1:
    /// the product of time and machine time is the least. Below, a run costs more by a greater part than it is sooner
    /// done; above, the other way round.
    pub payback: f64,
    /// How long an idle worker stays, in times of what it took to get it (queue and boot), if nobody knows when it is
    /// needed next. 1: as in the ski-rental problem, whoever waits as long as a new start takes never loses more than
    /// twice what knowing the future would cost.
    pub linger: f64,
    /// So many are asked for instead of one that is wanted, if a start is nothing but a wait in a queue; one, if it
    /// is nothing but a boot. 4: with waits that are exponentially distributed enough have come after 0.3 times their
    /// mean. Without any to spare the last of ten comes after 2.9 times that, and the first after a tenth.
    pub draws: f64,
}

impl Default for ScalingPolicy {
    fn default() -> Self {
        ScalingPolicy { payback: 1.0, linger: 1.0, draws: 4.0 }
    }
}

/// A smaller part of the remaining time than this is rounding, not a sooner finish. With 10 000 workers one more
/// gains 1e-4.
const ROUNDING: f64 = 1e-9;

/// What is measured may be wrong by this part: workers are asked for so much earlier than they are needed, and nobody
/// is sent away who would be of use if paths were so much shorter.
const UNSURE: f64 = 0.1;

/// Seconds within which whoever is of no use any more is surely called off. Who waits for no longer is not asked for to
/// spare: it would have its machine by then.
const CALLED_OFF: f64 = 2.0;

/// A step of a decision on its way.
struct Weighed {
    /// Of the work, what the new one does: in the phases that it makes shorter.
    takes: f64,
    /// Seconds until the first of these begins.
    begins: f64,
}

impl ScalingPolicy {
    /// What to do now. O((k + 1)·(n log n + phases)) for n workers and k to start.
    pub fn decide(&self, demand: &Demand, supply: &Supply, now: f64) -> Decision {
        let mut reasons = Vec::new();
        let start = self.asks(demand, supply, now, &mut reasons);
        let remove = if start == 0 { self.leaves(demand, supply, now, &mut reasons) } else { Vec::new() };
        Decision { start, remove, reasons }
    }

    /// How many to ask for: those that the formula wants beside those that are sure to come, and some to spare, less
    /// those that wait already.
    fn asks(&self, demand: &Demand, supply: &Supply, now: f64, reasons: &mut Vec<Reason>) -> usize {
        let (sure, waiting) = supply.sure();
        let wanted = self.starts_before(demand, &sure, now, supply.early(demand), reasons);
        let some_to_spare = (wanted as f64 * self.draws_for(&supply.start)).round() as usize;
        let missing = supply.most.saturating_sub(sure.workers.len()).min(some_to_spare);
        let asked = missing.saturating_sub(waiting.len());
        if asked > 0 && missing > wanted {
            reasons.push(Reason::ToSpare { spare: missing - wanted });
        }
        asked
    }

    /// So many are asked for instead of one that is wanted.
    fn draws_for(&self, start: &Start) -> f64 {
        let waits = (start.queue - CALLED_OFF).max(0.0);
        if waits > 0.0 { 1.0 + (self.draws - 1.0) * waits / (start.queue + start.boot) } else { 1.0 }
    }

    /// How many it would ask for within so many seconds.
    fn starts_before(
        &self,
        demand: &Demand,
        supply: &Supply,
        now: f64,
        ahead: f64,
        reasons: &mut Vec<Reason>,
    ) -> usize {
        let present = supply.workers.len();
        let most = supply.most.saturating_sub(present);
        let mut count = supply.least.saturating_sub(present).min(most);
        if count > 0 {
            reasons.push(Reason::BelowLeast { workers: present, least: supply.least });
        }
        let one = supply.new_span(now);
        let mut timeline = Timeline::new(supply.spans(now));
        timeline.add(one, count);
        let mut windows = timeline.windows(demand, now);
        let first = end_of(&windows, now);
        let lacking = timeline.lacking(demand);
        let mut still_lacking = lacking;
        let why_no_more = loop {
            let soonest = end_of(&windows, now);
            if let Some(reason) = supply.why_no_more(demand, count, soonest) {
                break reason;
            }
            let others = timeline.clone();
            timeline.add(one, 1);
            let with = timeline.windows(demand, now);
            let cores = one.resources.cores;
            let weighed = weigh(demand, &others, (&windows, &with), (cores, supply.start.bridge()), now);
            let (before, after) = (Outlook::new(&others, &windows), Outlook::new(&timeline, &with));
            let why_not = match weighed {
                _ if soonest.is_infinite() && does_more(demand, cores, &before, &after) => None,
                Some(weighed) if soonest.is_finite() => {
                    self.why_not(demand, &weighed, &supply.start, one.from + ahead - now)
                }
                _ => Some(gains_nothing(demand, &windows)),
            };
            if let Some(why_not) = why_not {
                break why_not;
            }
            count += 1;
            windows = with;
            still_lacking = timeline.lacking(demand);
        };
        let soonest = end_of(&windows, now);
        if soonest < first {
            reasons.push(Reason::Sooner { workers: count, from: first - now, to: soonest - now });
        } else if soonest.is_infinite() && demand.work() > 0.0 && present + count > 0 {
            reasons.push(Reason::Unfinished { workers: present + count });
        }
        if lacking > 0.0 {
            reasons.push(Reason::LittleRoom { lacking, with: still_lacking });
        }
        reasons.push(why_no_more);
        count
    }

    /// Why a new worker is not asked for that does so much, and is there in so many seconds.
    fn why_not(
        &self,
        demand: &Demand,
        &Weighed { takes, begins }: &Weighed,
        start: &Start,
        expected: f64,
    ) -> Option<Reason> {
        let costs = self.costs(start);
        // It does the same part of what follows.
        let takes = takes * (1.0 + demand.follows / demand.work());
        if begins > expected {
            return Some(Reason::Later { begins });
        }
        (takes < costs && demand.deadline.is_none()).then_some(Reason::NotWorthIt { takes, costs })
    }

    /// Core-seconds that a new worker has to take off the others.
    fn costs(&self, start: &Start) -> f64 {
        self.payback * (start.boot * (start.queue + start.boot)).sqrt() * f64::from(start.cores)
    }

    /// Is an idle worker soon of more use than it costs to stay until then?
    fn stays_for(&self, weighed: &Weighed, supply: &Supply, at: usize) -> bool {
        let idle = weighed.begins;
        // If there is work now, and it is idle all the same, nobody knows why.
        idle > 0.0
            && idle <= supply.start.bridge()
            && weighed.takes >= self.payback * idle * f64::from(supply.workers[at].cores)
    }

    /// Who may go: first those who have not come yet, then the longest idle.
    fn leaves(&self, demand: &Demand, supply: &Supply, now: f64, reasons: &mut Vec<Reason>) -> Vec<u32> {
        let (mut kept, waiting) = supply.sure();
        let demand = &demand.at_best();
        if let Some(worker) = waiting.last() {
            let soon = supply.early(demand) + supply.start.boot;
            if self.starts_before(demand, &kept, now, soon, &mut Vec::new()) > 0 {
                reasons.push(Reason::SomebodyStillComes { worker: *worker });
                return Vec::new();
            }
            reasons.extend(waiting.iter().map(|worker| Reason::NotNeededAnyMore { worker: *worker }));
        }
        let mut gone = waiting;
        let asked_again = |kept: &Supply, at: usize| {
            let mut rest = kept.clone();
            rest.workers.remove(at);
            self.starts_before(demand, &rest, now, kept.start.boot, &mut Vec::new()) > 0
        };
        while let Some(at) = latest_to_come(&kept.workers) {
            let worker = kept.workers[at].id;
            if asked_again(&kept, at) || kept.weigh(at, demand, now).is_some() {
                reasons.push(Reason::SomebodyStillComes { worker });
                return gone;
            }
            reasons.push(Reason::NotNeededAnyMore { worker });
            gone.push(kept.workers.remove(at).id);
        }
        while let Some((at, since)) = longest_idle(&kept.workers) {
            let worker = kept.workers[at].id;
            let idle = now - since;
            let until = self.linger * (supply.start.queue + supply.start.boot);
            let weighed = kept.weigh(at, demand, now);
            let is_of_use = |weighed: &Weighed| self.stays_for(weighed, &kept, at);
            if asked_again(&kept, at) || weighed.as_ref().is_some_and(is_of_use) {
                reasons.push(Reason::WantedAgain { worker });
                return gone;
            }
            let next = weighed.map_or_else(|| kept.end(demand, now) - now, |weighed| weighed.begins);
            let is_known_to_idle = next > kept.start.bridge();
            let is_near_the_end = demand.more_follows && demand.work() > 0.0;
            if (idle < until || is_near_the_end) && !is_known_to_idle {
                reasons.push(Reason::Lingers { worker, idle, until });
                return gone;
            }
            reasons.push(match idle < until {
                true => Reason::NothingSoon { worker, next },
                false => Reason::Idle { worker, idle },
            });
            gone.push(kept.workers.remove(at).id);
        }
        gone
    }
}

impl Start {
    /// Whoever is idle for longer goes, if that is known: another one can be asked for later, and not before the time
    /// of a boot has passed.
    fn bridge(&self) -> f64 {
        self.queue + 2.0 * self.boot
    }
}

/// When all is done.
fn end_of(windows: &[Window], now: f64) -> f64 {
    windows.last().map_or(now, |window| window.end)
}

/// Why one more makes nothing shorter.
fn gains_nothing(demand: &Demand, windows: &[Window]) -> Reason {
    let of_files = windows.iter().filter(|window| window.waits_for_files);
    let seconds: f64 = of_files.map(|window| window.seconds()).sum();
    match seconds {
        0.0 => Reason::PathBound { path: demand.phases.iter().map(|phase| phase.path).sum() },
        seconds if demand.file_supply.is_seen => Reason::FilesBound { seconds },
        _ => Reason::FilesTried { most: demand.file_supply.most },
    }
}

/// Is more done with a new worker of a phase that does not end, since all walltimes end before it does?
fn does_more(demand: &Demand, cores: f64, without: &Outlook, with: &Outlook) -> bool {
    let endless = without.windows.iter().position(|window| window.end.is_infinite());
    let Some(phase) = endless else { return true };
    let left = |outlook: &Outlook| outlook.timeline.undone(demand, phase, outlook.windows[phase], cores);
    with.windows[phase].end.is_finite() || left(with) < left(without) - ROUNDING * demand.work()
}

/// Who is there when, and when phases go on by that.
struct Outlook<'a> {
    timeline: &'a Timeline,
    windows: &'a [Window],
}

impl<'a> Outlook<'a> {
    fn new(timeline: &'a Timeline, windows: &'a [Window]) -> Self {
        Outlook { timeline, windows }
    }
}

/// What a new worker does for the phases that go on `before` without it and `with` it. It does so up to the first of
/// the pauses that are too long to stay for. None if it makes nothing shorter.
fn weigh(
    demand: &Demand,
    others: &Timeline,
    (before, with): (&[Window], &[Window]),
    (cores, bridge): (f64, f64),
    now: f64,
) -> Option<Weighed> {
    let rounding = ROUNDING * (end_of(before, now) - now);
    let mut weighed: Option<Weighed> = None;
    let mut pause = 0.0;
    for (phase, (before, with)) in before.iter().zip(with).enumerate() {
        if before.seconds() - with.seconds() <= rounding {
            pause += with.seconds();
            if weighed.is_some() && pause > bridge {
                break;
            }
            continue;
        }
        let takes = others.undone(demand, phase, *with, cores).max(0.0);
        let weighed = weighed.get_or_insert(Weighed { takes: 0.0, begins: with.begin - now });
        // It does not stay for less than it costs to stay.
        let stays_for = takes - pause * cores;
        if weighed.takes > 0.0 && stays_for <= 0.0 {
            break;
        }
        weighed.takes += if weighed.takes > 0.0 { stays_for } else { takes };
        pause = 0.0;
    }
    weighed
}

impl Supply {
    /// Those that are here or have a machine, and who waits for one. The longest have waited first.
    fn sure(&self) -> (Supply, Vec<u32>) {
        let mut sure = self.clone();
        let asked = |worker: &Machine| match worker.presence {
            Presence::Asked(at) => Some((at, worker.id)),
            Presence::Starts(_) | Presence::Here { .. } => None,
        };
        let mut waiting: Vec<(f64, u32)> = self.workers.iter().filter_map(asked).collect();
        waiting.sort_by(|a, b| a.0.total_cmp(&b.0));
        sure.workers.retain(|worker| asked(worker).is_none());
        (sure, waiting.into_iter().map(|(_, id)| id).collect())
    }

    /// So many seconds sooner than they are needed workers are asked for.
    fn early(&self, demand: &Demand) -> f64 {
        UNSURE * (demand.longest + self.start.queue + self.start.boot)
    }

    fn spans(&self, now: f64) -> Vec<Span> {
        self.workers.iter().map(|worker| self.span(worker, now)).collect()
    }

    fn span(&self, worker: &Machine, now: f64) -> Span {
        let resources = Resources { workers: 1.0, cores: f64::from(worker.cores), room: worker.room };
        match worker.presence {
            Presence::Here { leaves, .. } => {
                Span { from: now, until: leaves.unwrap_or(f64::INFINITY), resources }
            }
            // Nobody knows how much longer it waits: whoever is asked for now may come as soon.
            Presence::Asked(_) => self.span_of(resources, now + self.start.queue, now),
            Presence::Starts(at) => self.span_of(resources, at, now),
        }
    }

    /// Why nobody can be of use beside so many new ones, with whom all is done at `soonest`.
    fn why_no_more(&self, demand: &Demand, count: usize, soonest: f64) -> Option<Reason> {
        let Start { boot, walltime, .. } = self.start;
        let walltime = walltime.unwrap_or(f64::INFINITY);
        let in_time = demand.deadline.filter(|deadline| soonest <= *deadline);
        if demand.work() <= 0.0 {
            Some(Reason::NothingToDo)
        } else if self.workers.len() + count >= self.most {
            Some(Reason::AtMost { most: self.most })
        } else if walltime - boot <= demand.longest {
            Some(Reason::WalltimeTooShort { walltime, boot, longest: demand.longest })
        } else {
            in_time.map(|deadline| Reason::InTime { early: deadline - soonest })
        }
    }

    fn new_span(&self, now: f64) -> Span {
        let Start { queue, cores, room, .. } = self.start;
        let resources = Resources { workers: 1.0, cores: f64::from(cores), room };
        self.span_of(resources, now + queue, now)
    }

    /// When a worker computes whose machine is given at `begins`.
    fn span_of(&self, resources: Resources, begins: f64, now: f64) -> Span {
        let until = begins + self.start.walltime.unwrap_or(f64::INFINITY);
        Span { from: (begins + self.start.boot).max(now), until, resources }
    }

    /// What the worker in this place does for what is left, if it makes anything shorter.
    fn weigh(&self, at: usize, demand: &Demand, now: f64) -> Option<Weighed> {
        let mut spans = self.spans(now);
        let with = Timeline::new(spans.clone()).windows(demand, now);
        let cores = spans.remove(at).resources.cores;
        let others = Timeline::new(spans);
        let without = others.windows(demand, now);
        if end_of(&without, now).is_infinite() && end_of(&with, now).is_finite() {
            return Some(Weighed { takes: demand.work(), begins: 0.0 });
        }
        weigh(demand, &others, (&without, &with), (cores, self.start.bridge()), now)
    }

    fn end(&self, demand: &Demand, now: f64) -> f64 {
        end_of(&Timeline::new(self.spans(now)).windows(demand, now), now)
    }
}

/// Who comes last of those that have a machine.
fn latest_to_come(workers: &[Machine]) -> Option<usize> {
    let times = workers.iter().enumerate().filter_map(|(at, worker)| match worker.presence {
        Presence::Starts(began) => Some((at, began)),
        Presence::Asked(_) | Presence::Here { .. } => None,
    });
    times.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
}

fn longest_idle(workers: &[Machine]) -> Option<(usize, f64)> {
    let idle = |worker: &Machine| if let Presence::Here { idle, .. } = worker.presence { idle } else { None };
    let times = workers.iter().enumerate().filter_map(|(at, worker)| Some((at, idle(worker)?)));
    times.min_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
