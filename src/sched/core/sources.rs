//! Where a worker gets a block that it does not have.

use super::Core;
use crate::ids::{BlockId, WorkerId};
use crate::sched::copies::HeldCopy;
use crate::sched::homes::Home;
use crate::sched::links::Way;

/// So many others get a block from the same one at once. They share its way out, and those who wait for them wait as
/// often longer: with two or three a tree is done soonest.
const GIVEN_AT_ONCE: u32 = 2;

impl Core {
    /// Where `worker` gets a block that it does not have: in its own memory if it is there, else from a process that
    /// has the block or will have it. It makes constants and random numbers itself, and reads blocks of a tall matrix.
    pub(super) fn source_for(&mut self, block: BlockId, worker: WorkerId) -> Option<WorkerId> {
        let home = self.fleet.memory(worker)?;
        if let Some(giver) = self.promised_giver(block, worker) {
            return Some(giver);
        }
        let shares = |other: &WorkerId| *other != worker && self.fleet.memory(*other) == Some(home);
        let holder = self.tasks.location(block);
        let mut comes_first = self.holders.of(block).iter().filter(|copy| copy.known || copy.from_outside);
        let nearby = comes_first.find(|copy| shares(&copy.worker)).map(|copy| copy.worker);
        if let Some(near) = holder.filter(shares).or(nearby) {
            return Some(near);
        }
        if self.is_made_anywhere(block) && self.fleet.computes(worker) {
            return Some(worker);
        }
        if let Some(holder) = holder {
            return Some(self.soonest_giver(block, worker, holder));
        }
        match self.transit.file(block) {
            Some(memory) if memory != home => {
                let reader = self.memories.workers(memory).next()?;
                Some(self.soonest_giver(block, worker, reader))
            }
            Some(_) => Some(worker),
            None => self.tasks.is_source(block).then_some(worker),
        }
    }

    /// Does whoever lacks it make it? Numbers are made sooner than they are sent. Blocks of a tall matrix are each one
    /// worker's: who does the work of another reads them where that one did, and takes none of its time.
    pub(super) fn is_made_anywhere(&mut self, block: BlockId) -> bool {
        if !self.tasks.is_source(block) || self.memories.is_one() {
            return false;
        }
        let is_read = self.tasks.program.stage(block.stage).kind.is_io();
        !is_read || matches!(self.layout_home(block), Some(Home::Best(_)))
    }

    /// Who is to give `worker` a block that is on its way there already.
    fn promised_giver(&self, block: BlockId, worker: WorkerId) -> Option<WorkerId> {
        self.holders.of(block).iter().find(|copy| copy.worker == worker && !copy.known)?.giver
    }

    /// Who gives `worker` a block soonest that lies in other memories: `holder`, or one of the workers that have a copy
    /// or will have one. O(1).
    fn soonest_giver(&self, block: BlockId, worker: WorkerId, holder: WorkerId) -> WorkerId {
        let Some(copies) = self.holders.copies_of(block) else { return holder };
        let bytes = self.tasks.size(block);
        let seconds = |from: WorkerId, rounds: u32, gives: u32| {
            self.links.seconds(Way { from, to: worker }, bytes) * f64::from(shares_of_time(rounds, gives))
        };
        // Who was to give it is lost. Others may wait for what was to come here.
        let is_late = self.holders.expects(block, worker);
        let may_give = |copy: &&HeldCopy| {
            let is_fit = self.fleet.computes(copy.worker) && !self.holders.is_copied_to(block, copy.worker);
            is_fit && copy.worker != worker && (copy.known || !is_late)
        };
        let mut best = holder;
        let mut soonest = seconds(holder, 0, copies.by_holder());
        for copy in copies.givers().filter(may_give) {
            let there = seconds(copy.worker, copy.rounds, copy.gives);
            if there < soonest {
                best = copy.worker;
                soonest = there;
            }
        }
        best
    }
}

/// What one copy more costs, in times of one that comes alone: the rounds before, each of them shared by as many as
/// there may be, and its own, shared with the copies that are given beside it. Beyond [`GIVEN_AT_ONCE`] what it takes
/// from these counts too.
fn shares_of_time(rounds: u32, gives: u32) -> u32 {
    let crowded = if gives < GIVEN_AT_ONCE { 0 } else { gives };
    GIVEN_AT_ONCE * rounds + gives + 1 + crowded
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
