//! The world: a queue of things that will happen, virtual time that jumps from one to the next.

use super::client::Client;
use super::dying::CorePlan;
use super::made_up;
use super::memory::{Given, SimMemory};
use super::rng::Rng;
use super::uplinks::Uplinks;
use super::values::reference;
use super::worker::SimWorker;
use dolmen::graph::Program;
use dolmen::ids::{BlockId, MemoryId, TaskId, WorkerId};
use dolmen::sched::{Action, Core, Event};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

pub(super) const SECOND: u64 = 1_000_000_000;
/// So many failures to copy a block off a leaving worker mean that it has to be made again.
pub(super) const COPY_ATTEMPTS: u32 = 3;

#[derive(Debug)]
pub(super) enum Item {
    ToWorker(WorkerId, Action),
    ToCore(Vec<Event>),
    Handle,
    BeginFetch {
        to: WorkerId,
        from: WorkerId,
        block: BlockId,
    },
    Fetched {
        to: WorkerId,
        from: WorkerId,
        block: BlockId,
        looks: u32,
    },
    /// Whoever waited for a block gets it, or hears that it does not come.
    Answered {
        to: WorkerId,
        from: WorkerId,
        block: BlockId,
        value: Option<u64>,
    },
    /// A worker has sent a part of a block.
    PartSent(WorkerId),
    Done(WorkerId, TaskId),
    Written(WorkerId, BlockId),
    /// The worker looks again whether there is room.
    Turn(WorkerId),
    Report(WorkerId),
    Accident,
    Heal,
    SchedulerDies,
}

/// What may happen to the workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chaos {
    None,
    /// Joins and planned leaves.
    Elastic,
    Crashes,
}

/// A worker with slow links.
#[derive(Clone, Copy)]
pub(super) struct Far {
    pub worker: WorkerId,
    pub times: u64,
}

pub struct World {
    pub core: Core,
    pub program: Arc<Program>,
    pub now: u64,
    pub workers: BTreeMap<WorkerId, SimWorker>,
    pub reference: HashMap<TaskId, u64>,
    pub ran: BTreeMap<TaskId, u32>,
    pub completed: bool,
    pub failed: Option<String>,
    pub crashes: u32,
    /// How often the scheduler was lost, and how often each task may be done once more for that.
    pub deaths: u64,
    pub may_run_again: BTreeMap<TaskId, u32>,
    /// How often schedulers that were lost had given blocks up.
    pub drops: u32,
    /// How often a completed run had to go on, as results were lost.
    pub resumed: u64,
    /// How many tasks the crashes so far may cause to be done again.
    pub excuse: u64,
    pub memories: BTreeMap<MemoryId, SimMemory>,
    pub(super) given: Given,
    pub(super) core_plan: CorePlan,
    pub(super) client: Option<Client>,
    /// Who works where, as the core has been told.
    pub(super) members: BTreeMap<MemoryId, BTreeSet<WorkerId>>,
    /// Who is lost, as the core has been told.
    pub(super) lost: BTreeSet<WorkerId>,
    /// Who is to leave, as the core has been told.
    pub(super) leaving: BTreeSet<WorkerId>,
    /// Each worker at which this task begins crashes.
    pub(super) killer: Option<TaskId>,
    /// Workers that the killer has crashed and that were not to leave, as the core has been told.
    pub killed: u32,
    pub(super) crashed_by_killer: BTreeSet<WorkerId>,
    /// Tasks about which each worker has asked.
    pub(super) asked: BTreeMap<WorkerId, BTreeSet<TaskId>>,
    /// Tasks about which a worker had asked that has crashed.
    pub(super) suspected: BTreeSet<TaskId>,
    /// Blocks that are being written, by worker.
    pub(super) writing: BTreeMap<(WorkerId, BlockId), u64>,
    /// Who waits for a block that is on its way to the worker that it was asked of.
    pub(super) waiting: BTreeMap<(WorkerId, BlockId), Vec<WorkerId>>,
    pub spills: u64,
    /// Tasks that workers were given before their inputs existed.
    pub ahead: u64,
    pub actions: u64,
    pub record: Option<Vec<String>>,
    pub verbose: bool,
    pub(super) rng: Rng,
    pub(super) chaos: Chaos,
    /// Nothing happens to workers any more.
    pub(super) is_healed: bool,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    items: HashMap<u64, Item>,
    next_item: u64,
    next_worker: u32,
    /// Links are FIFO: when the last message on each arrives.
    to_worker: HashMap<WorkerId, u64>,
    pub(super) to_core: HashMap<WorkerId, u64>,
    /// How often a copy of a block has failed.
    pub(super) failed_copies: HashMap<BlockId, u32>,
    /// Where made-up events come from, if they do.
    made_up: Option<Rng>,
    pub(super) inbox: Vec<Event>,
    pub(super) handle_due: bool,
    pub(super) latency: u64,
    pub(super) duration: u64,
    pub(super) batching: u64,
    pub(super) far: Option<Far>,
    /// Blocks that have come from the far worker or to it.
    pub pulled_far: u64,
    pub(super) uplinks: Uplinks,
    /// Of a hundred blocks from other processes so many do not come.
    pub(super) flaky: u64,
    pub(super) duplicates: bool,
    /// All tasks take as long, and all messages.
    pub(super) steady: bool,
}

impl World {
    pub fn new(seed: u64, program: Program, limit: u64) -> Self {
        let mut rng = Rng::new(seed);
        let program = Arc::new(program);
        let latency = 1 << rng.range(8, 24);
        let duration = 1 << rng.range(8, 26);
        let batching = 1 << rng.range(0, 24);
        World {
            core: Core::new(program.clone(), limit),
            reference: reference(&program),
            program,
            now: 0,
            workers: BTreeMap::new(),
            ran: BTreeMap::new(),
            completed: false,
            failed: None,
            crashes: 0,
            deaths: 0,
            may_run_again: BTreeMap::new(),
            drops: 0,
            resumed: 0,
            excuse: 0,
            memories: BTreeMap::new(),
            given: Given::Shared(limit),
            core_plan: CorePlan { limit, spill: None, stride: None },
            client: None,
            members: BTreeMap::new(),
            lost: BTreeSet::new(),
            leaving: BTreeSet::new(),
            killer: None,
            killed: 0,
            crashed_by_killer: BTreeSet::new(),
            asked: BTreeMap::new(),
            suspected: BTreeSet::new(),
            writing: BTreeMap::new(),
            waiting: BTreeMap::new(),
            spills: 0,
            ahead: 0,
            actions: 0,
            record: None,
            verbose: false,
            rng,
            chaos: Chaos::None,
            is_healed: false,
            queue: BinaryHeap::new(),
            items: HashMap::new(),
            next_item: 0,
            next_worker: 0,
            to_worker: HashMap::new(),
            to_core: HashMap::new(),
            failed_copies: HashMap::new(),
            made_up: None,
            inbox: Vec::new(),
            handle_due: false,
            latency,
            duration,
            batching,
            far: None,
            pulled_far: 0,
            uplinks: Uplinks::default(),
            flaky: 0,
            duplicates: true,
            steady: false,
        }
    }

    /// Events that name what does not exist, or say what cannot be, come with the others.
    pub fn with_made_up_events(mut self, seed: u64) -> Self {
        self.made_up = Some(Rng::new(seed));
        self
    }

    pub fn workers(mut self, count: u32) -> Self {
        for number in 0..count {
            let threads = self.rng.range(1, 4) as u32;
            self.join_with(threads, number == 0);
        }
        self
    }

    /// Tasks take about so long, messages too. In seconds.
    pub fn speeds(mut self, task: f64, message: f64) -> Self {
        self.duration = (task * SECOND as f64) as u64;
        self.latency = (message * SECOND as f64) as u64;
        self.batching = self.latency / 4 + 1;
        self
    }

    pub fn seconds(&self) -> f64 {
        self.now as f64 / SECOND as f64
    }

    /// Blocks from this worker and to it are under way so many times longer than between others.
    pub fn far(mut self, worker: WorkerId, times: u64) -> Self {
        self.far = Some(Far { worker, times });
        self
    }

    /// Of a hundred blocks that go from process to process so many do not come.
    pub fn flaky(mut self, percent: u64) -> Self {
        self.flaky = percent;
        self
    }

    /// No task takes longer than another, and no message.
    pub fn steady(mut self) -> Self {
        self.steady = true;
        self
    }

    /// Accidents for about as long as the run is likely to take; after that all is well.
    pub fn chaos(mut self, chaos: Chaos) -> Self {
        self.chaos = chaos;
        if chaos != Chaos::None {
            let likely = self.likely_end();
            let end = self.rng.range(1, 1 + likely);
            for _ in 0..self.rng.range(1, 10) {
                let at = self.rng.range(0, end);
                self.at(at, Item::Accident);
            }
            self.at(end + 1, Item::Heal);
        }
        self
    }

    /// When a run is likely to be over.
    pub(super) fn likely_end(&self) -> u64 {
        let tasks = self.program.tasks() as u64;
        tasks * self.duration + 40 * (self.latency + self.batching)
    }

    pub fn join(&mut self, threads: u32) -> WorkerId {
        self.join_with(threads, true)
    }

    /// With `large` the run fits the memory of the worker.
    fn join_with(&mut self, threads: u32, large: bool) -> WorkerId {
        let worker = self.next_name();
        let memory = self.give_memory(worker, large);
        self.workers.insert(worker, SimWorker::new(threads as usize, memory, self.program.clone()));
        let bytes = self.memories[&memory].bytes;
        self.send_core(worker, vec![Event::Join { worker, threads, memory, bytes }]);
        worker
    }

    pub(super) fn next_name(&mut self) -> WorkerId {
        self.next_worker += 1;
        WorkerId(self.next_worker - 1)
    }

    pub fn leave(&mut self, id: WorkerId) {
        self.send_core(id, vec![Event::Leave { worker: id }]);
    }

    /// The worker is gone at once; the core hears of it later, and later still of what the worker last said.
    pub fn crash(&mut self, id: WorkerId) {
        self.workers.remove(&id);
        self.hang_up(id);
        self.suspected.extend(self.asked.remove(&id).unwrap_or_default());
        self.crashes += 1;
        let delay = self.delay(self.latency);
        self.at(self.now + delay, Item::ToCore(vec![Event::Lost { worker: id }]));
    }

    pub(super) fn at(&mut self, time: u64, item: Item) {
        self.items.insert(self.next_item, item);
        self.queue.push(Reverse((time, self.next_item)));
        self.next_item += 1;
    }

    /// Other things than these will not happen.
    pub(super) fn keep_items(&mut self, keep: impl Fn(&Item) -> bool) {
        self.items.retain(|_, item| keep(item));
        self.queue.retain(|Reverse((_, number))| self.items.contains_key(number));
    }

    /// Mostly about `mean`, now and then much longer.
    pub(super) fn delay(&mut self, mean: u64) -> u64 {
        if self.steady {
            return mean;
        }
        let stretch = if self.rng.chance(5) { 20 } else { 2 };
        self.rng.range(0, stretch * mean)
    }

    pub(super) fn send_core(&mut self, from: WorkerId, events: Vec<Event>) {
        let arrives = self.now + self.delay(self.latency);
        let last = self.to_core.entry(from).or_insert(0);
        *last = arrives.max(*last + 1);
        let time = *last;
        self.at(time, Item::ToCore(events));
    }

    fn send_worker(&mut self, to: WorkerId, action: Action) {
        let arrives = self.now + self.delay(self.latency);
        let last = self.to_worker.entry(to).or_insert(0);
        *last = arrives.max(*last + 1);
        let time = *last;
        self.at(time, Item::ToWorker(to, action));
    }

    /// Lets the next thing happen. False if there is none.
    pub fn step(&mut self) -> bool {
        let Some(Reverse((time, number))) = self.queue.pop() else { return false };
        let item = self.items.remove(&number).expect("each item happens once");
        self.now = self.now.max(time);
        if self.verbose {
            println!("{:>12.6} {item:?}", self.now as f64 / SECOND as f64);
        }
        match item {
            Item::ToWorker(worker, action) => self.obey(worker, action),
            Item::ToCore(events) => self.hear(events),
            Item::Handle => self.handle(),
            Item::Fetched { to, from, block, looks } => self.fetched(to, from, block, looks),
            Item::Answered { to, from, block, value } => self.send(from, to, block, value),
            Item::PartSent(from) => self.part_sent(from),
            Item::Done(worker, task) => self.task_done(worker, task),
            Item::Written(worker, block) => self.written(worker, block),
            Item::Turn(worker) => self.turn(worker),
            Item::BeginFetch { to, from, block } => self.begin_fetch(to, from, block),
            Item::Report(worker) => self.report(worker),
            Item::Accident => self.accident(),
            Item::Heal => self.heal(),
            Item::SchedulerDies => self.scheduler_dies(),
        }
        true
    }

    /// Until the run is over.
    pub fn drive(&mut self) {
        for _ in 0..2_000_000_u64 {
            if self.completed || self.failed.is_some() {
                return;
            }
            if !self.step() {
                self.explain_all();
                panic!("nothing will ever happen again, and the run is not over");
            }
        }
        panic!("the run takes for ever: {:?}", self.core.progress());
    }

    pub(super) fn explain_all(&self) {
        for at in 0..self.program.tasks().min(200) {
            println!("{:?}", self.core.explain(self.program.at_position(at)));
        }
    }

    pub(super) fn hear(&mut self, events: Vec<Event>) {
        self.inbox.extend(events);
        if !self.handle_due {
            self.handle_due = true;
            let wait = self.rng.range(0, self.batching);
            self.at(self.now + wait, Item::Handle);
        }
    }

    fn handle(&mut self) {
        self.handle_due = false;
        let mut batch = Vec::new();
        for event in std::mem::take(&mut self.inbox) {
            // A loss begins a batch, so that what it may cost can be told.
            if is_loss(&event) {
                self.hand_in(std::mem::take(&mut batch));
                self.excuse_for(&event);
            }
            batch.push(event);
        }
        self.hand_in(batch);
    }

    fn hand_in(&mut self, mut batch: Vec<Event>) {
        if batch.is_empty() {
            return;
        }
        let mut actions = Vec::new();
        let was_over = self.core.is_over();
        if self.verbose {
            println!("             core hears {batch:?}");
        }
        batch.iter().for_each(|event| self.note(event));
        if let Some(rng) = &mut self.made_up {
            batch = made_up::among(rng, &self.program, batch);
        }
        self.core.handle(batch, &mut actions);
        if self.completed && !self.core.is_over() {
            self.completed = false;
            self.resumed += 1;
        }
        let lets_go = |action: &Action| matches!(action, Action::Free { .. } | Action::Drop { .. });
        let asks = !actions.iter().all(lets_go);
        assert!(!was_over || !self.core.is_over() || !asks, "a run that is over asks for {actions:?}");
        self.core.check_invariants();
        for action in actions {
            if self.verbose {
                println!("             core says {action:?}");
            }
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        self.actions += 1;
        if let Some(record) = &mut self.record {
            record.push(format!("{} {action:?}", self.now));
        }
        match &action {
            Action::Release { worker } => self.strike_off(*worker),
            Action::Assign { worker, tasks, .. } => self.check_pins(*worker, tasks),
            _ => {}
        }
        match action {
            Action::Assign { worker, .. }
            | Action::Permit { worker, .. }
            | Action::Free { worker, .. }
            | Action::Drop { worker, .. }
            | Action::Spill { worker, .. }
            | Action::TakeBack { worker, .. }
            | Action::Release { worker }
            | Action::Copy { to: worker, .. } => self.send_worker(worker, action),
            Action::Completed => self.completed = true,
            Action::Failed(failure) => self.failed = Some(failure.message),
        }
    }

    fn accident(&mut self) {
        let ids: Vec<WorkerId> = self.workers.keys().copied().filter(|id| !self.is_client(*id)).collect();
        let kind = self.rng.below(10);
        if ids.is_empty() || kind < 3 {
            let threads = self.rng.range(1, 4) as u32;
            self.join_with(threads, false);
            return;
        }
        let id = *self.rng.pick(&ids);
        if kind < 6 || self.chaos == Chaos::Elastic || self.would_blame_an_innocent(id) {
            self.leave(id);
        } else {
            self.crash(id);
        }
    }

    /// From now on nothing happens to anybody; somebody is there.
    fn heal(&mut self) {
        self.is_healed = true;
        self.join(2);
    }
}

/// Can tasks have to be done again after this?
fn is_loss(event: &Event) -> bool {
    matches!(event, Event::Lost { .. } | Event::Vanished { .. } | Event::CopyFailed { .. })
}
