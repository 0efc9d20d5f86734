//! The scheduler is lost, and the next one takes up what the workers hold.

use super::memory::Given;
use super::rng::Rng;
use super::worker::SimWorker;
use super::world::{Chaos, Item, World};
use dolmen::ids::{BlockId, MemoryId, TaskId, WorkerId};
use dolmen::sched::{Core, Event, Holding, SpillPlan};
use std::collections::BTreeSet;

/// What a core of this world is made of, beside the program and what is pinned.
pub struct CorePlan {
    pub limit: u64,
    pub spill: Option<SpillPlan>,
    /// How far a run goes ahead: the least, and for each thread.
    pub stride: Option<(u64, u64)>,
}

/// What becomes of a worker when its scheduler is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    ComesBack,
    /// When the run goes on already, with nothing.
    ComesLate,
    IsGone,
}

impl World {
    pub(super) fn new_core(&self) -> Core {
        let CorePlan { limit, spill, stride } = &self.core_plan;
        let mut core = Core::new(self.program.clone(), *limit);
        if let Some(spill) = spill {
            core = core.spilling(spill);
        }
        if let Some((least, per_thread)) = stride {
            core = core.striding(*least, *per_thread);
        }
        match &self.client {
            Some(client) => core.pinned(client.id, &client.pinned.iter().copied().collect::<Vec<_>>()),
            None => core,
        }
    }

    /// The scheduler is lost so often within the time that the run is likely to take.
    pub fn dying(mut self, seed: u64, times: u64) -> Self {
        assert!(!matches!(self.given, Given::Shared(_)), "who shares a memory shares its process");
        let mut rng = Rng::new(seed);
        let end = self.likely_end();
        for _ in 0..times {
            let at = rng.range(0, end + end / 4);
            self.at(at, Item::SchedulerDies);
        }
        self
    }

    pub(super) fn scheduler_dies(&mut self) {
        if self.failed.is_some() {
            return;
        }
        self.deaths += 1;
        self.drops += self.core.drops();
        self.completed = false;
        self.end_what_goes_on();
        self.forget_messages();
        let mut first = Vec::new();
        let mut later = Vec::new();
        for id in self.workers.keys().copied().collect::<Vec<_>>() {
            match self.fate(id) {
                Fate::ComesBack => first.extend(self.come_back(id)),
                Fate::ComesLate => later.extend(self.come_late(id)),
                Fate::IsGone => {
                    self.workers.remove(&id);
                    self.crashes += 1;
                }
            }
        }
        self.core = self.new_core();
        self.excuse = 0;
        self.expect_again(&first);
        self.hear(first);
        for join in later {
            let Event::Join { worker, .. } = join else { unreachable!("those who are late join") };
            let late = self.delay(20 * self.latency);
            self.to_core.insert(worker, self.now + late);
            self.send_core(worker, vec![join]);
        }
    }

    fn fate(&mut self, id: WorkerId) -> Fate {
        if self.is_client(id) {
            return Fate::ComesBack;
        }
        let may_be_gone = self.chaos == Chaos::Crashes && !self.is_healed;
        match self.rng.below(100) {
            0..15 => Fate::ComesLate,
            15..35 if may_be_gone => Fate::IsGone,
            _ => Fate::ComesBack,
        }
    }

    /// What workers compute or write is ended, and nothing else: not what has not begun, nor what is on its way.
    fn end_what_goes_on(&mut self) {
        for ((id, block), value) in std::mem::take(&mut self.writing) {
            let Some(memory) = self.memory_of(id) else { continue };
            self.spills += 1;
            self.memories.get_mut(&memory).expect("it is there").place.insert(block, value);
        }
        for worker in self.workers.values_mut() {
            worker.desk.settle(std::mem::take(&mut worker.queue));
            worker.fetching.clear();
            for (task, value) in std::mem::take(&mut worker.running) {
                if self.killer == Some(task) {
                    continue;
                }
                assert_eq!(Some(&value), self.reference.get(&task), "{task:?} made something else");
                *self.ran.entry(task).or_insert(0) += 1;
                worker.ran += 1;
                let leaves_block = self.program.stage(task.stage).leaves_blocks();
                let mut orders = Default::default();
                worker.desk.made(task, leaves_block.then_some(value), &mut orders);
                assert!(orders.begin.is_empty() && orders.returned.is_empty(), "it has forgotten its tasks");
            }
        }
    }

    /// All that was on its way to the scheduler and from it is lost.
    fn forget_messages(&mut self) {
        self.keep_items(|item| matches!(item, Item::Accident | Item::Heal | Item::SchedulerDies));
        self.uplinks.clear();
        self.waiting.clear();
        self.inbox.clear();
        self.handle_due = false;
        self.failed_copies.clear();
        self.members.clear();
        self.lost.clear();
        self.leaving.clear();
        // The next core suspects nobody.
        self.asked.clear();
        self.suspected.clear();
        self.crashed_by_killer.clear();
        self.killed = 0;
    }

    /// A worker gets another name, and so does its memory.
    fn rename(&mut self, id: WorkerId) -> (WorkerId, SimWorker) {
        let name = self.next_name();
        let old = self.workers.remove(&id).expect("it is there");
        let memory = self.memories.remove(&old.memory).expect("each has its own");
        self.memories.insert(MemoryId(name.0), memory);
        if let Some(client) = self.client.as_mut().filter(|client| client.id == id) {
            client.id = name;
        }
        let new = SimWorker::new(old.threads, MemoryId(name.0), self.program.clone());
        self.workers.insert(name, new);
        (name, old)
    }

    fn join_of(&self, worker: WorkerId) -> Event {
        let SimWorker { threads, memory, .. } = self.workers[&worker];
        Event::Join { worker, threads: threads as u32, memory, bytes: self.memories[&memory].bytes }
    }

    /// It says what it holds.
    fn come_back(&mut self, id: WorkerId) -> [Event; 2] {
        let (name, old) = self.rename(id);
        let written = self.memories[&MemoryId(name.0)].place.keys().copied().collect();
        let held: BTreeSet<BlockId> = old.desk.blocks().collect();
        let worker = self.workers.get_mut(&name).expect("it is there");
        let blocks = held.iter().map(|block| (*block, *old.desk.get(*block).expect("it is there")));
        worker.desk.take_up(blocks, &old.desk.done());
        let holding = Holding { in_memory: held.into_iter().collect(), written, done: old.desk.done() };
        [self.join_of(name), Event::Holds { worker: name, holding }]
    }

    /// It has forgotten what it held.
    fn come_late(&mut self, id: WorkerId) -> Option<Event> {
        let (name, _) = self.rename(id);
        self.memories.get_mut(&MemoryId(name.0))?.place.clear();
        Some(self.join_of(name))
    }

    /// Those tasks may be done once more that are wanted and of which nobody tells.
    fn expect_again(&mut self, told: &[Event]) {
        let mut held: BTreeSet<TaskId> = BTreeSet::new();
        for event in told {
            if let Event::Holds { holding: Holding { in_memory, written, done }, .. } = event {
                held.extend(in_memory.iter().chain(written.iter()).chain(done.iter()));
            }
        }
        let tasks = (0..self.program.tasks()).map(|at| self.program.at_position(at));
        let mut consumers = Vec::new();
        let is_end = |task: &TaskId| {
            self.program.consumers(*task, &mut consumers);
            consumers.is_empty() || self.program.keeps(*task)
        };
        let mut open: Vec<TaskId> = tasks.filter(is_end).collect();
        let mut seen = BTreeSet::new();
        let mut inputs = Vec::new();
        while let Some(task) = open.pop() {
            if held.contains(&task) || !seen.insert(task) {
                continue;
            }
            self.program.inputs(task, &mut inputs);
            open.append(&mut inputs);
        }
        seen.into_iter().for_each(|task| *self.may_run_again.entry(task).or_insert(0) += 1);
    }
}
