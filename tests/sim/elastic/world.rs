//! The elastic world: a queue of things that will happen, virtual time that jumps from one to the next, and somebody
//! who decides how many workers there are.

use super::case::{CORES, Case, MOST, NOTICE, Preemption};
use super::load::{Asked, RunOf};
use super::oracle::Plan;
use super::sites::{Sites, name, number};
use crate::sim::rng::{Rng, mix};
use crate::sim::worker::SimWorker;
use cluster::device::FileUse;
use cluster::provider::{End, Provider, Release};
use cluster::scaling::{Present, Scaling, Survey};
use dolmen::actors::demand;
use dolmen::graph::Program;
use dolmen::ids::{BlockId, MemoryId, TaskId, WorkerId};
use dolmen::sched::{Core, Event};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

/// So often it is looked how many workers there should be, as in a cluster, and whenever something changes.
const PERIOD: f64 = 1.0;
/// Tasks of a stage take up to so much more or less.
const UNEVEN: f64 = 0.1;
/// Nothing is ever short of memory here.
const PLENTY: u64 = u64::MAX / 4;

#[derive(Debug)]
pub(super) enum Item {
    Asked(usize),
    Joins(usize),
    Done { run: usize, worker: WorkerId, task: TaskId, seconds: f64 },
    Fetched { run: usize, to: WorkerId, from: WorkerId, block: BlockId },
    Notice(usize),
    Gone(usize),
    Look,
}

/// Who decides.
pub enum Control {
    Policy(Box<Scaling>),
    Oracle(Plan),
}

pub(super) struct Run {
    pub program: Arc<Program>,
    seconds: Vec<f64>,
    level_of: Vec<usize>,
    core: Core,
    asked: f64,
    /// Tasks of each stage that have not been done yet.
    left: Vec<usize>,
}

impl Run {
    /// Tasks of the level that goes on.
    pub fn left_of_level(&self) -> usize {
        let Some(stage) = self.left.iter().position(|left| *left > 0) else { return 0 };
        let is_of_level = |at: &usize| self.level_of[*at] == self.level_of[stage];
        let of_level = (stage..self.left.len()).take_while(is_of_level);
        of_level.filter(|at| self.seconds[*at] > 1.0).map(|at| self.left[at]).sum()
    }
}

/// How it went.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Seconds in which a run was asked for and not done: pauses, in which nothing could be done, are left out.
    pub makespan: f64,
    /// Seconds that machines were taken, until then.
    pub node_seconds: f64,
    /// Workers that were sent away, or not waited for, and asked for again within the boot time.
    pub regretted: usize,
    /// When each phase began.
    pub begins: Vec<f64>,
    pub recomputed: u64,
    pub most_workers: usize,
}

impl Outcome {
    /// What a good compromise has little of.
    pub fn product(&self) -> f64 {
        self.makespan * self.node_seconds
    }
}

pub struct World {
    pub(super) case: Case,
    pub(super) now: f64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    items: BTreeMap<u64, Item>,
    next_item: u64,
    pub(super) sites: Sites,
    pub(super) crew: BTreeMap<WorkerId, SimWorker>,
    /// Workers that hand over what they have.
    leaving: Vec<WorkerId>,
    runs: Vec<RunOf>,
    pub(super) run_number: usize,
    pub(super) run: Option<Run>,
    line: VecDeque<(usize, f64)>,
    finished: usize,
    pub(super) told: Vec<Event>,
    pub(super) is_done: bool,
    has_changed: bool,
    pub(super) has_failed: bool,
    control: Control,
    /// When workers were sent away.
    removed: Vec<f64>,
    outcome: Outcome,
    pub log: bool,
}

impl World {
    pub fn new(case: Case, control: Control) -> World {
        let runs = case.runs();
        let phases = runs.iter().map(|run| run.widths.len() + 1).sum();
        let outcome = Outcome {
            makespan: 0.0,
            node_seconds: 0.0,
            regretted: 0,
            begins: vec![f64::INFINITY; phases],
            recomputed: 0,
            most_workers: 0,
        };
        let mut world = World {
            case,
            now: 0.0,
            queue: BinaryHeap::new(),
            items: BTreeMap::new(),
            next_item: 0,
            sites: Sites::new(case, MOST),
            crew: BTreeMap::new(),
            leaving: Vec::new(),
            runs,
            run_number: 0,
            run: None,
            line: VecDeque::new(),
            finished: 0,
            told: Vec::new(),
            is_done: false,
            has_changed: true,
            has_failed: false,
            control,
            removed: Vec::new(),
            outcome,
            log: false,
        };
        for at in 0..world.runs.len() {
            match world.runs[at].asked {
                Asked::At(time) => world.after(time, Item::Asked(at)),
                Asked::After(pause) if at == 0 => world.after(pause, Item::Asked(at)),
                Asked::After(_) => {}
            }
        }
        world.after(0.0, Item::Look);
        world
    }

    /// To the end of the last run. One that fails takes for ever.
    pub fn drive(mut self) -> Outcome {
        while self.finished < self.runs.len() {
            let Some(Reverse((time, number))) = self.queue.pop() else { panic!("nothing will ever happen") };
            let item = self.items.remove(&number).expect("each item happens once");
            let has_work = self.run.is_some() || !self.line.is_empty();
            self.outcome.makespan += if has_work { f64::from_bits(time) - self.now } else { 0.0 };
            self.now = f64::from_bits(time);
            assert!(self.now < 1e6, "{:?} takes for ever", self.case);
            self.happen(item);
            self.settle();
            if self.has_failed {
                return Outcome { makespan: f64::INFINITY, node_seconds: f64::INFINITY, ..self.outcome };
            }
            if self.finished < self.runs.len() && std::mem::take(&mut self.has_changed) {
                self.look();
            }
        }
        self.outcome.node_seconds = self.sites.node_seconds(self.now);
        self.outcome
    }

    pub(super) fn after(&mut self, seconds: f64, item: Item) {
        // Times are not negative: their bits are in their order.
        self.queue.push(Reverse(((self.now + seconds.max(0.0)).to_bits(), self.next_item)));
        self.items.insert(self.next_item, item);
        self.next_item += 1;
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Asked(at) => {
                self.line.push_back((at, self.now));
                self.begin_next();
            }
            Item::Joins(at) => self.joins(at),
            Item::Done { run, worker, task, seconds } if run == self.run_number => {
                self.task_done(worker, task, seconds);
            }
            Item::Fetched { run, to, from, block } if run == self.run_number => {
                self.fetched(to, from, block);
            }
            Item::Done { .. } | Item::Fetched { .. } => {}
            Item::Notice(at) => self.leave(at),
            Item::Gone(at) => self.gone(at, End::Preempted),
            Item::Look => {
                self.has_changed = true;
                self.after(PERIOD, Item::Look);
            }
        }
    }

    /// What workers have told goes to the core, and what that says to the workers, until nobody says anything.
    fn settle(&mut self) {
        while let Some(run) = &mut self.run {
            if self.told.is_empty() {
                return;
            }
            let mut actions = Vec::new();
            run.core.handle(std::mem::take(&mut self.told), &mut actions);
            actions.into_iter().for_each(|action| self.obey(action));
            if std::mem::take(&mut self.is_done) {
                self.end_run();
            }
        }
        self.told.clear();
    }

    fn begin_next(&mut self) {
        if self.run.is_some() {
            return;
        }
        let Some((at, asked)) = self.line.pop_front() else { return };
        let RunOf { program, seconds, level_of, .. } = self.runs[at].clone();
        let left = program.stages().iter().map(|stage| stage.space.tasks() as usize).collect();
        let core = Core::new(program.clone(), PLENTY);
        self.run = Some(Run { program, seconds, level_of, core, asked, left });
        self.run_number = at;
        self.has_changed = true;
        let ids: Vec<WorkerId> = self.crew.keys().copied().collect();
        ids.into_iter().for_each(|id| self.take_part(id));
    }

    fn take_part(&mut self, worker: WorkerId) {
        let Some(run) = &self.run else { return };
        let memory = MemoryId(worker.0);
        self.crew.insert(worker, SimWorker::new(CORES as usize, memory, run.program.clone()));
        self.told.push(Event::Join { worker, threads: CORES, memory, bytes: PLENTY / 4096 });
    }

    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        self.outcome.recomputed += run.core.recomputed();
        self.finished += 1;
        self.told.clear();
        self.has_changed = true;
        let leaving = std::mem::take(&mut self.leaving);
        leaving.into_iter().for_each(|id| self.gone(id.0 as usize, End::Left));
        for worker in self.crew.values_mut() {
            *worker = SimWorker::new(CORES as usize, worker.memory, run.program.clone());
        }
        if let Some(RunOf { asked: Asked::After(pause), .. }) = self.runs.get(self.run_number + 1) {
            self.after(*pause, Item::Asked(self.run_number + 1));
        }
        self.run_number += 1;
        self.begin_next();
    }

    fn joins(&mut self, at: usize) {
        if self.sites.all[at].ended.is_some() {
            return;
        }
        self.has_changed = true;
        let id = WorkerId(at as u32);
        let program =
            self.run.as_ref().map_or_else(|| self.runs[0].program.clone(), |run| run.program.clone());
        self.crew.insert(id, SimWorker::new(CORES as usize, MemoryId(id.0), program));
        self.outcome.most_workers = self.outcome.most_workers.max(self.crew.len());
        self.take_part(id);
        let gone = self.sites.all[at].preempted - self.now;
        if gone.is_finite() {
            self.after(gone, Item::Gone(at));
            if self.case.preemption == Preemption::WithNotice {
                self.after(gone - NOTICE, Item::Notice(at));
            }
        }
    }

    /// A worker finishes what it runs, hands over what it has, and goes.
    fn leave(&mut self, at: usize) {
        let id = WorkerId(at as u32);
        if !self.crew.contains_key(&id) || self.leaving.contains(&id) {
            return;
        }
        self.has_changed = true;
        if self.run.is_none() {
            return self.gone(at, End::Left);
        }
        self.leaving.push(id);
        self.told.push(Event::Leave { worker: id });
    }

    pub(super) fn gone(&mut self, at: usize, end: End) {
        let id = WorkerId(at as u32);
        if self.crew.remove(&id).is_none() {
            return;
        }
        self.has_changed = true;
        self.leaving.retain(|other| *other != id);
        self.sites.end(at, end, self.now);
        if end != End::Left {
            self.told.push(Event::Lost { worker: id });
        }
    }

    pub(super) fn seconds(&self, task: TaskId) -> f64 {
        let Some(run) = &self.run else { return 0.0 };
        let key = mix(self.run_number as u64) ^ mix(u64::from(task.stage.0) << 32 | u64::from(task.index));
        let uniform = Rng::new(self.case.seed ^ key).below(2001) as f64 / 1000.0 - 1.0;
        run.seconds[task.stage.0 as usize] * (1.0 + UNEVEN * uniform)
    }

    pub(super) fn note_done(&mut self, task: TaskId) {
        let Some(run) = &mut self.run else { return };
        let left = &mut run.left[task.stage.0 as usize];
        *left = left.saturating_sub(1);
    }

    /// The phase that goes on: a level of a run, or what is before the next run.
    fn phase(&self) -> usize {
        let before = |run: usize| self.runs[..run].iter().map(|run| run.widths.len() + 1).sum();
        let start: usize = before(self.run_number);
        match &self.run {
            None => start,
            Some(run) => {
                let stage = run.left.iter().position(|left| *left > 0).unwrap_or(run.left.len() - 1);
                start + 1 + self.runs[self.run_number].level_of[stage]
            }
        }
    }

    /// Phases of runs that have been asked for.
    pub(super) fn phases_asked_for(&self) -> usize {
        let asked_for = self.run_number + usize::from(self.run.is_some()) + self.line.len();
        self.runs[..asked_for].iter().map(|run| run.widths.len() + 1).sum()
    }

    fn look(&mut self) {
        let phase = self.phase();
        for begins in &mut self.outcome.begins[..=phase] {
            *begins = begins.min(self.now);
        }
        let mut control = std::mem::replace(&mut self.control, Control::Oracle(Plan::default()));
        match &mut control {
            Control::Policy(scaling) => self.step(scaling),
            Control::Oracle(plan) => self.go_by(plan, phase),
        }
        self.control = control;
        self.settle();
    }

    /// When a phase began.
    pub(super) fn begins(&self, phase: usize) -> f64 {
        self.outcome.begins[phase]
    }

    fn survey(&self) -> Survey {
        let core = self.run.as_ref().map(|run| &run.core);
        let waiting = self.line.iter().map(|(run, _)| demand::guessed(self.runs[*run].program.stages()));
        let demand = demand::of_runs(core.into_iter(), waiting).demand;
        let asked = self.run.iter().map(|run| run.asked).chain(self.line.iter().map(|(_, asked)| *asked));
        let oldest = asked.fold(self.now, f64::min);
        let present = |id: &WorkerId| Present {
            name: name(id.0 as usize),
            cores: CORES,
            is_idle: core.is_none_or(|core| demand::is_idle(core, *id)),
            is_leaving: self.leaving.contains(id),
            age: self.now - self.sites.all[id.0 as usize].joins,
            room: 0.0,
            files: FileUse::default(),
        };
        let is_session = self.case.is_session();
        Survey {
            demand,
            age: self.now - oldest,
            needed: usize::from(is_session || core.is_some() || !self.line.is_empty()),
            session: is_session,
            is_short_of_room: false,
            workers: self.crew.keys().map(present).collect(),
        }
    }

    /// What the autoscaler's actor does in a turn.
    fn step(&mut self, scaling: &mut Scaling) {
        let places = self.sites.state(self.now).expect("it knows");
        let orders = scaling.step(&self.survey(), &places, self.now);
        if self.log && (orders.ask + orders.drain.len() + orders.release.len() > 0) {
            println!(
                "{:>8.1} phase {} ask {} drain {} release {}: {}",
                self.now,
                self.phase(),
                orders.ask,
                orders.drain.len(),
                orders.release.len(),
                orders.reasons.join("; ")
            );
        }
        self.count_regrets(orders.ask, orders.drain.len() + orders.release.len());
        orders.drain.iter().chain(&orders.let_go).for_each(|name| self.leave(number(name)));
        for name in &orders.release {
            self.gone(number(name), End::Cancelled);
        }
        self.sites.release(Release::These(&orders.release), self.now).expect("it can");
        self.ask(orders.ask);
    }

    fn count_regrets(&mut self, ask: usize, remove: usize) {
        let recent = self.now - self.case.boot;
        self.removed.retain(|at| *at > recent);
        self.outcome.regretted += ask.min(self.removed.len());
        self.removed.drain(..ask.min(self.removed.len()));
        self.removed.extend(std::iter::repeat_n(self.now, remove));
    }

    pub(super) fn ask(&mut self, count: usize) {
        let first = self.sites.all.len();
        self.sites.ask(count, self.now).expect("it can");
        for at in first..self.sites.all.len() {
            self.after(self.sites.all[at].joins - self.now, Item::Joins(at));
        }
    }

    /// Workers that are here and stay.
    pub(super) fn staying(&self) -> Vec<WorkerId> {
        self.crew.keys().copied().filter(|id| !self.leaving.contains(id)).collect()
    }

    pub(super) fn let_leave(&mut self, id: WorkerId) {
        self.leave(id.0 as usize);
    }
}
