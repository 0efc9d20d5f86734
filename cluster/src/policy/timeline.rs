//! When a row of phases would be done by workers that come and go.

/// A part of what is left, which begins when the part before it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Phase {
    /// Core-seconds.
    pub work: f64,
    /// The part of it that must run one after another, in seconds.
    pub path: f64,
    /// Cores that can work at it at the same time.
    pub width: f64,
}

/// When workers compute, and with how much together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub from: f64,
    pub until: f64,
    pub cores: f64,
}

/// When a phase goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub begin: f64,
    pub end: f64,
}

impl Window {
    pub fn seconds(self) -> f64 {
        if self.begin.is_infinite() { f64::INFINITY } else { self.end - self.begin }
    }
}

/// How many cores there are when. Workers that come and go together are one span.
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
                Some(last) if last.from == span.from && last.until == span.until => last.cores += span.cores,
                _ => timeline.spans.push(span),
            }
        }
        timeline
    }

    /// So many more like this.
    pub fn add(&mut self, one: Span, count: usize) {
        let cores = one.cores * count as f64;
        if cores <= 0.0 || one.until <= one.from {
            return;
        }
        match self.spans.iter_mut().find(|span| span.from == one.from && span.until == one.until) {
            Some(span) => span.cores += cores,
            None => self.spans.push(Span { cores, ..one }),
        }
    }

    /// When each phase begins and ends; infinite for those that never do. The first begins when somebody is there.
    /// O(spans · log spans + phases).
    pub fn windows(&self, phases: &[Phase], now: f64) -> Vec<Window> {
        let steps = self.steps();
        let first = self.spans.iter().map(|span| span.from).fold(f64::INFINITY, f64::min);
        let mut begin = if phases.iter().any(|phase| phase.work > 0.0) { first } else { now };
        let mut at = 0;
        let mut windows = Vec::with_capacity(phases.len());
        for phase in phases {
            let done = when_done(&steps, &mut at, begin, *phase);
            let end = done.max(begin + phase.path);
            windows.push(Window { begin, end });
            begin = end;
        }
        windows
    }

    /// From when on there are so many cores.
    fn steps(&self) -> Vec<(f64, f64)> {
        let changes = self.spans.iter().flat_map(|span| [(span.from, span.cores), (span.until, -span.cores)]);
        let mut steps: Vec<(f64, f64)> = changes.collect();
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut cores = 0.0;
        for step in &mut steps {
            cores += step.1;
            step.1 = cores;
        }
        steps
    }

    /// Core-seconds that there are in this window, with no more than so many cores at a time.
    pub fn capacity(&self, window: Window, width: f64) -> f64 {
        let steps = self.steps();
        let next = |at: usize| steps.get(at + 1).map_or(f64::INFINITY, |step| step.0);
        let part = |(at, (from, cores)): (usize, &(f64, f64))| {
            let seconds = next(at).min(window.end) - from.max(window.begin);
            if seconds > 0.0 { cores.min(width) * seconds } else { 0.0 }
        };
        steps.iter().enumerate().map(part).sum()
    }
}

/// When the work of a phase that is begun at `begin` is done. `at` is a step before that, and moves on.
fn when_done(steps: &[(f64, f64)], at: &mut usize, begin: f64, phase: Phase) -> f64 {
    let mut left = phase.work;
    let mut time = begin;
    while left > 0.0 {
        while steps.get(*at + 1).is_some_and(|step| step.0 <= time) {
            *at += 1;
        }
        let Some((from, cores)) = steps.get(*at) else { return f64::INFINITY };
        let next = steps.get(*at + 1).map_or(f64::INFINITY, |step| step.0);
        let cores = if *from <= time && *cores > ROUNDING { cores.min(phase.width) } else { 0.0 };
        if cores > 0.0 && time + left / cores <= next {
            return time + left / cores;
        } else if next.is_infinite() {
            return f64::INFINITY;
        }
        left -= cores * (next - time);
        time = next;
    }
    time
}

/// Sums of cores that are less than this are none.
const ROUNDING: f64 = 1e-9;
