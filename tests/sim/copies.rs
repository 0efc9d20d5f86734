//! Blocks that go from one simulated worker to another, or do not arrive.

use super::world::{COPY_ATTEMPTS, Chaos, Item, SECOND, World};
use dolmen::ids::{BlockId, WorkerId};
use dolmen::sched::{Event, Orders, Pull};

/// So often a worker of another process looks for a block of which it has not heard yet.
const LOOKS: u32 = 7;

/// What comes of asking a worker for a block.
enum Given {
    Value(u64),
    Nothing,
    /// It is on its way there: whoever asks waits for that.
    Later,
}

impl World {
    /// A buffer is taken for a block that is to come, when there is room. What a worker of the same memory holds is
    /// shared and needs none.
    pub(super) fn begin_fetch(&mut self, to: WorkerId, from: WorkerId, block: BlockId) {
        let Some(memory) = self.memory_of(to) else { return };
        // Who has gone gives nothing.
        let needs_buffer = from == to || self.memory_of(from).is_some_and(|other| other != memory);
        if needs_buffer && !self.has_room(to, self.program.size(block)) {
            let delay = self.delay(self.latency) + 1;
            return self.at(self.now + delay, Item::BeginFetch { to, from, block });
        }
        let Some(coming) = self.workers.get_mut(&to).and_then(|worker| worker.fetching.get_mut(&block))
        else {
            return;
        };
        coming.buffer = needs_buffer;
        coming.asked = self.now;
        let delay = self.delay(if from == to { self.duration } else { self.link_latency(from, to) });
        self.at(self.now + delay, Item::Fetched { to, from, block, looks: LOOKS });
    }

    /// What `from` can give, from its memory, or to other processes from what has been written there: these do not wait
    /// for that.
    fn give(&mut self, to: WorkerId, from: WorkerId, block: BlockId) -> Given {
        let Some(giver) = self.workers.get(&from) else { return Given::Nothing };
        if from != to {
            if let Some(value) = giver.desk.get(block) {
                return Given::Value(*value);
            }
            let is_written =
                self.is_elsewhere(from, to) && self.memories[&giver.memory].place.contains_key(&block);
            if !is_written && giver.desk.is_coming(block) {
                return Given::Later;
            }
            if !is_written {
                return Given::Nothing;
            }
        }
        self.read_back(from, block).map_or(Given::Nothing, Given::Value)
    }

    /// `from` is asked for a block, and looks for it so many times at most.
    pub(super) fn fetched(&mut self, to: WorkerId, from: WorkerId, block: BlockId, looks: u32) {
        if !self.workers.contains_key(&to) {
            return;
        }
        match self.give(to, from, block) {
            Given::Value(value) => self.send(from, to, block, Some(value)),
            Given::Later => self.waiting.entry((from, block)).or_default().push(to),
            Given::Nothing if looks > 1 && self.is_elsewhere(from, to) => {
                let delay = self.delay(self.latency) + 1;
                self.at(self.now + delay, Item::Fetched { to, from, block, looks: looks - 1 });
            }
            Given::Nothing => self.arrive(to, from, block, None),
        }
    }

    /// Is `from` there, in another process than `to`?
    fn is_elsewhere(&self, from: WorkerId, to: WorkerId) -> bool {
        self.memory_of(from).is_some_and(|memory| self.memory_of(to) != Some(memory))
    }

    /// `from` sends a block, or says that it cannot be had.
    pub(super) fn send(&mut self, from: WorkerId, to: WorkerId, block: BlockId, value: Option<u64>) {
        let is_cut = self.flaky > 0 && self.is_elsewhere(from, to) && self.rng.chance(self.flaky);
        match value.filter(|_| !is_cut) {
            Some(value) if self.uplinks.are_slow() && self.is_elsewhere(from, to) => {
                self.upload(from, to, block, value);
            }
            value => self.arrive(to, from, block, value),
        }
    }

    /// Those who wait for a block that was on its way to `from` are answered: it has come, or it does not come.
    fn answer(&mut self, from: WorkerId, block: BlockId, value: Option<u64>) {
        for to in self.waiting.remove(&(from, block)).into_iter().flatten() {
            // What its holder waited for says nothing of the link.
            if let Some(coming) = self.workers.get_mut(&to).and_then(|worker| worker.fetching.get_mut(&block))
            {
                coming.asked = self.now;
            }
            let delay = self.delay(self.latency) + 1;
            self.at(self.now + delay, Item::Answered { to, from, block, value });
        }
    }

    /// `from` is gone: so are the connections of those who wait for a block there.
    pub(super) fn hang_up(&mut self, from: WorkerId) {
        let blocks: Vec<BlockId> =
            self.waiting.keys().filter(|(at, _)| *at == from).map(|(_, block)| *block).collect();
        blocks.into_iter().for_each(|block| self.answer(from, block, None));
    }

    /// A block has come to a worker, or will not.
    pub(super) fn arrive(&mut self, to: WorkerId, from: WorkerId, block: BlockId, value: Option<u64>) {
        if !self.workers.contains_key(&to) {
            return;
        }
        self.answer(to, block, value);
        let Some(worker) = self.workers.get_mut(&to) else { return };
        let coming = worker.fetching.remove(&block).unwrap_or_default();
        if value.is_some() && from != to {
            let (bytes, seconds) =
                (self.program.size(block), (self.now - coming.asked) as f64 / SECOND as f64);
            worker.pulls.push(Pull { from, blocks: 1, bytes, seconds });
            self.pulled_far += u64::from(self.is_far(from, to));
        }
        let copy = coming.copy;
        // Freed while it was on its way: it comes to nothing.
        let fails = copy && (coming.stale || self.copy_fails(block));
        let Some(worker) = self.workers.get_mut(&to) else { return };
        let Some(value) = value.filter(|_| !fails) else {
            if copy {
                *self.failed_copies.entry(block).or_default() += 1;
                self.say(to, Event::CopyFailed { worker: to, block });
            }
            let Some(worker) = self.workers.get_mut(&to) else { return };
            let returned = worker.desk.missed(block);
            return self.follow(to, Orders { returned, ..Orders::default() });
        };
        if copy {
            worker.desk.keep(block, value);
        }
        let orders = worker.desk.arrived(block, value);
        if copy {
            self.say(to, Event::Copied { worker: to, block });
        }
        self.follow(to, orders);
    }

    fn is_far(&self, from: WorkerId, to: WorkerId) -> bool {
        self.far.is_some_and(|far| (from == far.worker) != (to == far.worker))
    }

    /// How long a block is under way from worker to worker.
    fn link_latency(&self, from: WorkerId, to: WorkerId) -> u64 {
        match self.far {
            Some(far) if self.is_far(from, to) => far.times * self.latency,
            _ => self.latency,
        }
    }

    /// How many copies off leaving workers have failed.
    pub fn failed_copies(&self) -> u64 {
        self.failed_copies.values().map(|times| u64::from(*times)).sum()
    }

    /// A connection may fail. Where nothing is to be lost, so seldom that another attempt succeeds.
    fn copy_fails(&mut self, block: BlockId) -> bool {
        let failed = self.failed_copies.get(&block).copied().unwrap_or(0);
        match self.chaos {
            Chaos::None => false,
            Chaos::Elastic => failed + 1 < COPY_ATTEMPTS && self.rng.chance(30),
            Chaos::Crashes => {
                let fails = self.rng.chance(30);
                self.crashes += u32::from(fails);
                fails
            }
        }
    }
}
