//! How many workers there should be: one pure verb, [`ScalingPolicy::decide`]. Times are seconds on any one clock.
//!
//! The wanted number is the one that finishes soonest for what a worker costs to start. A worker that is started
//! `now` computes from `now + queue + boot` until its walltime ends; `finish` is when all workers together have done
//! the work, but never before the longest path is through. The k-th new worker is worth its start if the work it
//! takes off the others is at least [`ScalingPolicy::payback`] times what it burns while booting. Machines that were
//! asked for count as present from the moment they are expected. Nobody is sent away whom the same formula would ask
//! for again.

/// What is left to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// All of it, in core-seconds.
    pub work: f64,
    /// The part of it that must run one after another, in seconds.
    pub path: f64,
    /// Its longest task in seconds. A worker that cannot finish it before its walltime ends is not asked for.
    pub longest: f64,
    /// When it is to be done, if somebody has said so. Then as few workers do it as are in time, whatever they cost.
    pub deadline: Option<f64>,
}

/// A machine as the policy sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Its name to the caller.
    pub id: u32,
    /// How many cores it computes with.
    pub cores: u32,
    /// Whether it is here.
    pub presence: Presence,
}

/// Whether a worker is here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Presence {
    /// Asked for at this time and not heard of since.
    Asked(f64),
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

/// Why a decision is as it is. [`Reason::told`] makes a line of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the lines they are printed as say what the fields are")]
pub enum Reason {
    NothingToDo,
    BelowLeast { workers: usize, least: usize },
    AtMost { most: usize },
    Unfinished { workers: usize },
    WalltimeTooShort { walltime: f64, boot: f64, longest: f64 },
    Sooner { workers: usize, from: f64, to: f64 },
    PathBound { path: f64 },
    InTime { early: f64 },
    NotWorthIt { takes: f64, costs: f64 },
    NotNeededAnyMore { worker: u32 },
    SomebodyStillComes { worker: u32 },
    Lingers { worker: u32, idle: f64, until: f64 },
    WantedAgain { worker: u32 },
    Idle { worker: u32, idle: f64 },
}

/// Thresholds for the number of workers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalingPolicy {
    /// Core-seconds a new worker must take off the others for each that its boot burns. 1: below, all together
    /// compute less for the machine time it takes than it would without; far above, it would wait when it could
    /// finish sooner.
    pub payback: f64,
    /// How long an idle worker stays, in times of what it took to get it (queue and boot). 1: as in the ski-rental
    /// problem, whoever waits as long as a new start takes never loses more than twice what knowing the future would
    /// cost.
    pub linger: f64,
}

impl Default for ScalingPolicy {
    fn default() -> Self {
        ScalingPolicy { payback: 1.0, linger: 1.0 }
    }
}

/// A smaller part of the remaining time than this is rounding, not a sooner finish. With 10 000 workers one more
/// gains 1e-4.
const ROUNDING: f64 = 1e-9;

impl ScalingPolicy {
    /// What to do now. O((k + 1)·n log n) for n workers and k to start.
    pub fn decide(&self, demand: &Demand, supply: &Supply, now: f64) -> Decision {
        let mut reasons = Vec::new();
        let start = self.starts(demand, supply, now, &mut reasons);
        let remove = if start == 0 { self.leaves(demand, supply, now, &mut reasons) } else { Vec::new() };
        Decision { start, remove, reasons }
    }

    /// How many more workers the formula asks for.
    fn starts(&self, demand: &Demand, supply: &Supply, now: f64, reasons: &mut Vec<Reason>) -> usize {
        let present = supply.workers.len();
        let most = supply.most.saturating_sub(present);
        let mut count = supply.least.saturating_sub(present).min(most);
        if count > 0 {
            reasons.push(Reason::BelowLeast { workers: present, least: supply.least });
        }
        let mut spans: Vec<Span> = supply.workers.iter().map(|worker| supply.span(worker, now)).collect();
        let one = supply.new_span(now);
        spans.extend(std::iter::repeat_n(one, count));
        let first = finish(&spans, demand, now);
        let mut soonest = first;
        let why_no_more = loop {
            if demand.work <= 0.0 {
                break Reason::NothingToDo;
            } else if count >= most {
                break Reason::AtMost { most: supply.most };
            } else if one.until - one.from <= demand.longest {
                let walltime = supply.start.walltime.unwrap_or(f64::INFINITY);
                let (boot, longest) = (supply.start.boot, demand.longest);
                break Reason::WalltimeTooShort { walltime, boot, longest };
            } else if let Some(deadline) = demand.deadline.filter(|deadline| soonest <= *deadline) {
                break Reason::InTime { early: deadline - soonest };
            }
            spans.push(one);
            let sooner = finish(&spans, demand, now);
            if soonest.is_finite() {
                let others = &spans[..spans.len() - 1];
                let takes = capacity(others, soonest) - capacity(others, sooner);
                let costs = self.payback * supply.start.boot * f64::from(supply.start.cores);
                if soonest - sooner <= ROUNDING * (soonest - now) {
                    break Reason::PathBound { path: demand.path };
                } else if takes < costs && demand.deadline.is_none() {
                    break Reason::NotWorthIt { takes, costs };
                }
            }
            count += 1;
            soonest = sooner;
        };
        if soonest < first {
            reasons.push(Reason::Sooner { workers: count, from: first - now, to: soonest - now });
        } else if soonest.is_infinite() && demand.work > 0.0 && present + count > 0 {
            reasons.push(Reason::Unfinished { workers: present + count });
        }
        reasons.push(why_no_more);
        count
    }

    /// Who may go: first those who have not come yet, then the longest idle.
    fn leaves(&self, demand: &Demand, supply: &Supply, now: f64, reasons: &mut Vec<Reason>) -> Vec<u32> {
        let mut gone = Vec::new();
        let mut kept = supply.clone();
        let asked_again = |kept: &Supply, at: usize| {
            let mut rest = kept.clone();
            rest.workers.remove(at);
            self.starts(demand, &rest, now, &mut Vec::new()) > 0
        };
        while let Some(at) = latest_asked(&kept.workers) {
            let worker = kept.workers[at].id;
            if asked_again(&kept, at) || kept.helps(at, demand, now) {
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
            if idle < until {
                reasons.push(Reason::Lingers { worker, idle, until });
                return gone;
            } else if asked_again(&kept, at) {
                reasons.push(Reason::WantedAgain { worker });
                return gone;
            }
            reasons.push(Reason::Idle { worker, idle });
            gone.push(kept.workers.remove(at).id);
        }
        gone
    }
}

/// When a worker computes, and with how much.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: f64,
    until: f64,
    cores: f64,
}

impl Supply {
    fn span(&self, worker: &Machine, now: f64) -> Span {
        let cores = f64::from(worker.cores);
        match worker.presence {
            Presence::Here { leaves, .. } => {
                Span { from: now, until: leaves.unwrap_or(f64::INFINITY), cores }
            }
            Presence::Asked(at) => {
                let late = (now - (at + self.start.queue + self.start.boot)).max(0.0);
                let expected = self.new_span(at);
                Span { from: expected.from + late, until: expected.until + late, cores }
            }
        }
    }

    fn new_span(&self, at: f64) -> Span {
        let begins = at + self.start.queue;
        let until = begins + self.start.walltime.unwrap_or(f64::INFINITY);
        Span { from: begins + self.start.boot, until, cores: f64::from(self.start.cores) }
    }

    /// Whether all is finished sooner with the worker in this place than without.
    fn helps(&self, at: usize, demand: &Demand, now: f64) -> bool {
        let mut spans: Vec<Span> = self.workers.iter().map(|worker| self.span(worker, now)).collect();
        let with = finish(&spans, demand, now);
        spans.remove(at);
        let without = finish(&spans, demand, now);
        with < without && (without.is_infinite() || without - with > ROUNDING * (without - now))
    }
}

fn latest_asked(workers: &[Machine]) -> Option<usize> {
    let asked = |worker: &Machine| if let Presence::Asked(at) = worker.presence { Some(at) } else { None };
    let times = workers.iter().enumerate().filter_map(|(at, worker)| Some((at, asked(worker)?)));
    times.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
}

fn longest_idle(workers: &[Machine]) -> Option<(usize, f64)> {
    let idle = |worker: &Machine| if let Presence::Here { idle, .. } = worker.presence { idle } else { None };
    let times = workers.iter().enumerate().filter_map(|(at, worker)| Some((at, idle(worker)?)));
    times.min_by(|a, b| a.1.total_cmp(&b.1))
}

/// Core-seconds that these give before `end`.
fn capacity(spans: &[Span], end: f64) -> f64 {
    spans.iter().map(|span| span.cores * (span.until.min(end) - span.from).max(0.0)).sum()
}

/// When these have done the work; infinite if they never do.
fn finish(spans: &[Span], demand: &Demand, now: f64) -> f64 {
    if demand.work <= 0.0 {
        return now;
    }
    let mut changes: Vec<(f64, f64)> = Vec::with_capacity(2 * spans.len());
    for span in spans.iter().filter(|span| span.until > span.from) {
        changes.extend([(span.from, span.cores), (span.until, -span.cores)]);
    }
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some(&(first, _)) = changes.first() else { return f64::INFINITY };
    let mut left = demand.work;
    let mut cores = 0.0;
    for (i, &(at, change)) in changes.iter().enumerate() {
        cores += change;
        let next = changes.get(i + 1).map_or(f64::INFINITY, |change| change.0);
        if cores > 0.0 && at + left / cores <= next {
            return (at + left / cores).max(first + demand.path);
        }
        left -= if cores > 0.0 { cores * (next - at) } else { 0.0 };
    }
    f64::INFINITY
}

impl Reason {
    /// One line, in which workers are called by their names.
    pub fn told(&self, name: impl Fn(u32) -> String) -> String {
        match *self {
            Reason::NothingToDo => "nothing is left to compute".into(),
            Reason::BelowLeast { workers, least } => {
                format!("{workers} workers, at least {least} are to be kept")
            }
            Reason::AtMost { most } => format!("no more than {most} workers are allowed"),
            Reason::Unfinished { workers } => {
                format!("the walltimes of {workers} workers end before the work does")
            }
            Reason::WalltimeTooShort { walltime, boot, longest } => {
                format!(
                    "a walltime of {walltime:.0} s is too short for a boot of {boot:.0} s and a task of {longest:.0} s"
                )
            }
            Reason::Sooner { workers, from, to } if from.is_finite() => {
                format!("{workers} more: finished in {to:.1} s instead of {from:.1} s")
            }
            Reason::Sooner { workers, to, .. } => {
                format!("{workers} more: finished in {to:.1} s instead of never")
            }
            Reason::PathBound { path } => {
                format!("one more gains nothing: the longest path takes {path:.1} s")
            }
            Reason::InTime { early } => format!("all is done {early:.1} s before the deadline"),
            Reason::NotWorthIt { takes, costs } => {
                format!("one more would take over {takes:.1} core-seconds, its start costs {costs:.1}")
            }
            Reason::NotNeededAnyMore { worker } => {
                format!("worker {} has not come yet and would gain nothing", name(worker))
            }
            Reason::SomebodyStillComes { worker } => {
                format!("nobody leaves while worker {} is still to come", name(worker))
            }
            Reason::Lingers { worker, idle, until } => {
                let worker = name(worker);
                format!(
                    "worker {worker} is idle for {idle:.1} s and stays until {until:.1} s, what a new start takes"
                )
            }
            Reason::WantedAgain { worker } => {
                format!("worker {} is idle, but without it one more would be wanted", name(worker))
            }
            Reason::Idle { worker, idle } => {
                format!("worker {} leaves: idle for {idle:.1} s and not wanted again", name(worker))
            }
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
