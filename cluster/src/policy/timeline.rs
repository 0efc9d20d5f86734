//! When a row of phases would be done by workers that come and go.

use super::Demand;
use std::ops::{Add, AddAssign, Mul, Sub};

/// A part of what is left, which begins when the part before it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Phase {
    /// Core-seconds.
    pub work: f64,
    /// The part of it that must run one after another, in seconds.
    pub path: f64,
    /// Cores that can work at it at the same time.
    pub width: f64,
    /// Bytes that are read from files and written to them meanwhile.
    pub bytes: f64,
    /// Bytes of memory that each task in hand holds, if memory is what cores wait for; else 0.
    pub holds: f64,
}

/// What files give and take, in bytes a second. Without bounds as long as no core waits for them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FileSupply {
    /// With one worker.
    pub each: f64,
    /// With any number.
    pub most: f64,
    /// Whether `most` has been seen, or is as far as is tried next.
    pub is_seen: bool,
}

impl Default for FileSupply {
    fn default() -> Self {
        FileSupply { each: f64::INFINITY, most: f64::INFINITY, is_seen: false }
    }
}

impl FileSupply {
    /// As long as it is not known whether more workers move more, so many times as many are tried.
    pub const TRIED: f64 = 2.0;

    fn rate(&self, resources: Resources) -> f64 {
        if resources.workers > ROUNDING { (resources.workers * self.each).min(self.most) } else { 0.0 }
    }
}

/// What workers have together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Resources {
    pub workers: f64,
    pub cores: f64,
    /// Bytes of memory.
    pub room: f64,
}

impl Resources {
    /// Cores that compute at the same time in this phase.
    fn rate(self, phase: &Phase) -> f64 {
        let fit = if phase.holds > 0.0 { self.room / phase.holds } else { f64::INFINITY };
        if self.cores > ROUNDING { self.cores.min(phase.width).min(fit) } else { 0.0 }
    }
}

impl Add for Resources {
    type Output = Resources;

    fn add(self, other: Resources) -> Resources {
        Resources {
            workers: self.workers + other.workers,
            cores: self.cores + other.cores,
            room: self.room + other.room,
        }
    }
}

impl AddAssign for Resources {
    fn add_assign(&mut self, other: Resources) {
        *self = *self + other;
    }
}

impl Mul<f64> for Resources {
    type Output = Resources;

    fn mul(self, times: f64) -> Resources {
        Resources { workers: self.workers * times, cores: self.cores * times, room: self.room * times }
    }
}

impl Sub for Resources {
    type Output = Resources;

    fn sub(self, other: Resources) -> Resources {
        self + other * -1.0
    }
}

/// When workers compute, and what they have together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub from: f64,
    pub until: f64,
    pub resources: Resources,
}

/// When a phase goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub begin: f64,
    pub end: f64,
    /// It takes as long as files do, and would be done sooner without them.
    pub waits_for_files: bool,
}

impl Window {
    pub fn seconds(self) -> f64 {
        if self.begin.is_infinite() { f64::INFINITY } else { self.end - self.begin }
    }
}

/// Who is there when. Workers that come and go together are one span.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    spans: Vec<Span>,
}

impl Timeline {
    /// O(n log n).
    pub fn new(mut spans: Vec<Span>) -> Timeline {
        spans.retain(|span| span.until > span.from);
        spans.sort_by(|a, b| a.from.total_cmp(&b.from).then(a.until.total_cmp(&b.until)));
        let mut timeline = Timeline { spans: Vec::new() };
        for span in spans {
            match timeline.spans.last_mut() {
                Some(last) if last.from == span.from && last.until == span.until => {
                    last.resources += span.resources
                }
                _ => timeline.spans.push(span),
            }
        }
        timeline
    }

    /// So many more like this.
    pub fn add(&mut self, one: Span, count: usize) {
        let resources = one.resources * count as f64;
        if resources.cores <= 0.0 || one.until <= one.from {
            return;
        }
        match self.spans.iter_mut().find(|span| span.from == one.from && span.until == one.until) {
            Some(span) => span.resources += resources,
            None => self.spans.push(Span { resources, ..one }),
        }
    }

    /// When each phase begins and ends; infinite for those that never do. The first has begun, but for its path,
    /// which goes on when somebody is there.
    /// O(spans · log spans + phases).
    pub fn windows(&self, demand: &Demand, now: f64) -> Vec<Window> {
        let steps = self.steps();
        let first = self.spans.iter().map(|span| span.from).fold(f64::INFINITY, f64::min);
        let mut begin = if demand.work() > 0.0 { first } else { now };
        let mut at = 0;
        let mut windows = Vec::with_capacity(demand.phases.len());
        for (number, phase) in demand.phases.iter().enumerate() {
            let mut at_files = at;
            let worked = when_done(&steps, &mut at, begin, phase.work, |resources| resources.rate(phase));
            let bytes = self.bytes(demand, number);
            let moved = when_done(&steps, &mut at_files, begin, bytes, |resources| {
                demand.file_supply.rate(resources)
            });
            let longest = begin + phase.path;
            let end = worked.max(moved).max(longest);
            let waits_for_files = moved > worked.max(longest);
            windows.push(Window { begin: if number == 0 { now } else { begin }, end, waits_for_files });
            begin = end;
        }
        windows
    }

    /// Bytes that go to files and come from them in a phase. What memory has no room for goes out and comes back.
    fn bytes(&self, demand: &Demand, phase: usize) -> f64 {
        let swapped = if phase == 0 { 2.0 * self.lacking(demand) } else { 0.0 };
        demand.phases[phase].bytes + swapped
    }

    /// Bytes of what is wanted for which these workers have no room.
    pub fn lacking(&self, demand: &Demand) -> f64 {
        let room: f64 = self.spans.iter().map(|span| span.resources.room).sum();
        (demand.wanted - room).max(0.0)
    }

    /// From when on workers have so much.
    fn steps(&self) -> Vec<(f64, Resources)> {
        let nothing = Resources::default();
        let changes = self
            .spans
            .iter()
            .flat_map(|span| [(span.from, span.resources), (span.until, nothing - span.resources)]);
        let mut steps: Vec<(f64, Resources)> = changes.collect();
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut resources = nothing;
        for step in &mut steps {
            resources += step.1;
            step.1 = resources;
        }
        steps
    }

    /// Core-seconds of a phase that are left undone in this window. Files that move less than they should take cores as
    /// well: as many as one worker's share of the files would be served with, which has so many.
    pub fn undone(&self, demand: &Demand, phase: usize, window: Window, cores: f64) -> f64 {
        let steps = self.steps();
        let of_phase = &demand.phases[phase];
        let work = of_phase.work - done_in(&steps, window, |resources| resources.rate(of_phase));
        let moved = done_in(&steps, window, |resources| demand.file_supply.rate(resources));
        let moving = (self.bytes(demand, phase) - moved).max(0.0) / demand.file_supply.each * cores;
        work.max(moving)
    }
}

/// What is done in a window at this rate.
fn done_in(steps: &[(f64, Resources)], window: Window, rate: impl Fn(Resources) -> f64) -> f64 {
    let next = |at: usize| steps.get(at + 1).map_or(f64::INFINITY, |step| step.0);
    let part = |(at, (from, resources)): (usize, &(f64, Resources))| {
        let seconds = next(at).min(window.end) - from.max(window.begin);
        let rate = rate(*resources);
        if seconds > 0.0 && rate > 0.0 { rate * seconds } else { 0.0 }
    };
    steps.iter().enumerate().map(part).sum()
}

/// When something is done that is begun at `begin`, at this rate. `at` is a step before that, and moves on.
fn when_done(
    steps: &[(f64, Resources)],
    at: &mut usize,
    begin: f64,
    amount: f64,
    rate: impl Fn(Resources) -> f64,
) -> f64 {
    let mut left = amount;
    let mut time = begin;
    while left > 0.0 {
        while steps.get(*at + 1).is_some_and(|step| step.0 <= time) {
            *at += 1;
        }
        let Some((from, resources)) = steps.get(*at) else { return f64::INFINITY };
        let next = steps.get(*at + 1).map_or(f64::INFINITY, |step| step.0);
        let rate = if *from <= time { rate(*resources) } else { 0.0 };
        let done = time + left / rate;
        if done <= next {
            return done;
        }
        left -= rate * (next - time);
        time = next;
    }
    time
}

/// Sums of cores that are less than this are none.
const ROUNDING: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: f64, until: f64, room: f64) -> Span {
        Span { from, until, resources: Resources { workers: 1.0, cores: 4.0, room } }
    }

    fn endless(room: f64) -> Span {
        span(0.0, f64::INFINITY, room)
    }

    #[test]
    fn those_that_come_and_go_together_are_one_span() {
        let mut timeline = Timeline::new(vec![endless(1.0), span(5.0, 9.0, 1.0), endless(2.0)]);
        timeline.add(endless(3.0), 2);
        timeline.add(span(5.0, 8.0, 1.0), 1);
        timeline.add(span(4.0, 9.0, 1.0), 1);
        timeline.add(span(6.0, 6.0, 1.0), 1);
        timeline.add(span(7.0, 9.0, 1.0), 0);
        let spans: Vec<_> =
            timeline.spans.iter().map(|span| (span.from, span.until, span.resources)).collect();
        let all = Resources { workers: 4.0, cores: 16.0, room: 9.0 };
        let one = Resources { workers: 1.0, cores: 4.0, room: 1.0 };
        assert_eq!(spans, [(0.0, f64::INFINITY, all), (5.0, 9.0, one), (5.0, 8.0, one), (4.0, 9.0, one),]);
    }

    /// When a phase goes on for one worker that is there from 0 to 100, and whether it waits for files.
    fn window(work: f64, path: f64, bytes: f64) -> (f64, f64, bool) {
        let phase = Phase { work, path, width: 100.0, bytes, holds: 0.0 };
        let file_supply = FileSupply { each: 2.0, most: 2.0, is_seen: true };
        let demand = Demand { phases: vec![phase], file_supply, ..Demand::default() };
        let window = Timeline::new(vec![span(0.0, 100.0, 0.0)]).windows(&demand, 0.0)[0];
        (window.begin, window.end, window.waits_for_files)
    }

    #[test]
    fn a_phase_takes_as_long_as_what_takes_longest() {
        assert_eq!(window(40.0, 5.0, 10.0), (0.0, 10.0, false));
        assert_eq!(window(40.0, 20.0, 10.0), (0.0, 20.0, false));
        assert_eq!(window(40.0, 5.0, 30.0), (0.0, 15.0, true));
        assert_eq!(window(40.0, 15.0, 30.0), (0.0, 15.0, false), "without files it would take as long");
        assert_eq!(window(60.0, 5.0, 30.0), (0.0, 15.0, false));
        assert_eq!(window(401.0, 5.0, 10.0).1, f64::INFINITY, "nobody is there any more");
    }

    #[test]
    fn a_phase_goes_on_from_its_begin_to_its_end() {
        let seconds = |begin, end| Window { begin, end, waits_for_files: false }.seconds();
        assert_eq!(seconds(10.0, 25.0), 15.0);
        assert_eq!(seconds(10.0, f64::INFINITY), f64::INFINITY);
        assert_eq!(seconds(f64::INFINITY, f64::INFINITY), f64::INFINITY);
    }

    #[test]
    fn what_files_have_not_moved_takes_cores_as_well() {
        let phase = Phase { work: 60.0, path: 0.0, width: 100.0, bytes: 50.0, holds: 0.0 };
        let undone = |each: f64| {
            let file_supply = FileSupply { each, most: 2.0 * each, is_seen: true };
            let demand = Demand { phases: vec![phase], file_supply, ..Demand::default() };
            let window = Window { begin: 0.0, end: 10.0, waits_for_files: true };
            Timeline::new(vec![endless(0.0)]).undone(&demand, 0, window, 4.0)
        };
        assert_eq!(undone(5.0), 20.0, "40 core-seconds are done, and files are through");
        assert_eq!(undone(2.0), 60.0, "30 bytes are left, 15 seconds of one worker with four cores");
    }
}
