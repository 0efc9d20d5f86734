//! Who holds a block beside the worker that the table names, and who is to get a copy.

use super::copies::{Copies, HeldCopy};
use crate::ids::{BlockId, WorkerId};
use std::collections::HashMap;

/// A block on its way from a leaving worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Transfer {
    pub from: WorkerId,
    pub to: WorkerId,
}

/// A copy that has come to nothing.
pub(super) struct FailedCopy {
    pub from: WorkerId,
    /// How often copies of this block have failed.
    pub times: u32,
}

/// Further holders of blocks, and copies under way. Both are few: a block has an entry only while it has more than one
/// holder, is on its way to one, or leaves with one.
#[derive(Default)]
pub(super) struct Holders {
    /// A block that was lost while a copy was in use has holders here before it is made again.
    further: HashMap<BlockId, Copies>,
    /// Copies under way from leaving workers.
    copies: HashMap<BlockId, Transfer>,
    /// How many of these each worker gives.
    giving: HashMap<WorkerId, u32>,
    /// How often copies of a block have failed.
    failures: HashMap<BlockId, u32>,
}

impl Holders {
    /// The block is on its way from `giver` to `worker`, for one reader. For one more if it was already.
    pub fn expect(&mut self, block: BlockId, worker: WorkerId, giver: WorkerId, from_outside: bool) {
        self.further.entry(block).or_default().expect(worker, giver, from_outside);
    }

    /// One reader more of a copy, if `worker` has one or is to get one.
    pub fn add_reader(&mut self, block: BlockId, worker: WorkerId) {
        if let Some(copy) = self.copy_mut(block, worker) {
            copy.readers += 1;
        }
    }

    /// One reader less. A copy that nobody has used goes with its last reader: true if it did.
    pub fn unexpect(&mut self, block: BlockId, worker: WorkerId) -> bool {
        let Some(copy) = self.copy_mut(block, worker) else { return false };
        copy.readers = copy.readers.saturating_sub(1);
        let goes = copy.readers == 0 && !copy.known;
        goes && self.remove(block, worker)
    }

    /// One reader less, and the copy is there.
    pub fn used(&mut self, block: BlockId, worker: WorkerId) {
        if self.further.is_empty() {
            return;
        }
        let Some(copies) = self.further.get_mut(&block) else { return };
        if let Some(copy) = copies.get_mut(worker) {
            copy.readers = copy.readers.saturating_sub(1);
            copies.has_come(worker);
        }
    }

    /// `worker` has a copy.
    pub fn add(&mut self, block: BlockId, worker: WorkerId) {
        self.further.entry(block).or_default().add(worker);
    }

    fn copy_mut(&mut self, block: BlockId, worker: WorkerId) -> Option<&mut HeldCopy> {
        self.further.get_mut(&block)?.get_mut(worker)
    }

    /// `worker` is not a further holder any more. True if it was.
    pub fn remove(&mut self, block: BlockId, worker: WorkerId) -> bool {
        let Some(copies) = self.further.get_mut(&block) else { return false };
        let removed = copies.remove(worker);
        if copies.is_empty() {
            self.further.remove(&block);
        }
        removed
    }

    /// `worker` holds the block itself from now on. What comes from its copy comes from it all the same.
    pub fn promote(&mut self, block: BlockId, worker: WorkerId) {
        let Some(copies) = self.further.get_mut(&block) else { return };
        copies.promote(worker);
        if copies.is_empty() {
            self.further.remove(&block);
        }
    }

    /// The holder of a block has it no more, and copies may be on their way from there.
    pub fn let_down(&mut self, block: BlockId) {
        if let Some(copies) = self.further.get_mut(&block) {
            copies.let_down();
        }
    }

    /// All copies of a block, which are none any more.
    pub fn take_all(&mut self, block: BlockId) -> Vec<HeldCopy> {
        self.further.remove(&block).map_or_else(Vec::new, |copies| copies.all().to_vec())
    }

    /// All copies of a block, those on their way too.
    pub fn of(&self, block: BlockId) -> &[HeldCopy] {
        self.copies_of(block).map_or(&[], Copies::all)
    }

    /// The same, if there are any.
    pub fn copies_of(&self, block: BlockId) -> Option<&Copies> {
        // Mostly there are none, and no hash is needed to know that.
        if self.further.is_empty() { None } else { self.further.get(&block) }
    }

    /// Is a copy known to be at `worker`?
    pub fn has(&self, block: BlockId, worker: WorkerId) -> bool {
        self.of(block).iter().any(|copy| copy.worker == worker && copy.known)
    }

    /// Is a copy at `worker` or on its way there?
    pub fn expects(&self, block: BlockId, worker: WorkerId) -> bool {
        self.of(block).iter().any(|copy| copy.worker == worker)
    }

    /// The first known holder for which `wanted` holds.
    pub fn find(&self, block: BlockId, wanted: impl Fn(WorkerId) -> bool) -> Option<WorkerId> {
        self.of(block).iter().filter(|copy| copy.known).map(|copy| copy.worker).find(|worker| wanted(*worker))
    }

    /// Who reads what is counted anew.
    pub fn forget_readers(&mut self) {
        self.further.values_mut().for_each(Copies::forget_readers);
    }

    /// Copies that are on their way for nobody are none.
    pub fn forget_unread(&mut self) {
        self.further.retain(|_, copies| {
            let is_for_nobody = |copy: &&HeldCopy| !copy.known && copy.readers == 0;
            let gone: Vec<WorkerId> =
                copies.all().iter().filter(is_for_nobody).map(|copy| copy.worker).collect();
            for worker in gone {
                copies.remove(worker);
            }
            !copies.is_empty()
        });
    }

    pub fn begin_copy(&mut self, block: BlockId, transfer: Transfer) {
        self.copies.insert(block, transfer);
        *self.giving.entry(transfer.from).or_default() += 1;
    }

    /// The copy under way, which is none any more.
    pub fn end_copy(&mut self, block: BlockId) -> Option<Transfer> {
        // Mostly there are none, and no hash is needed to know that.
        if self.copies.is_empty() {
            return None;
        }
        let transfer = self.copies.remove(&block)?;
        let giving = self.giving.get_mut(&transfer.from).expect("who gives a block is counted");
        *giving -= 1;
        if *giving == 0 {
            self.giving.remove(&transfer.from);
        }
        Some(transfer)
    }

    /// The same if `from` gives it.
    pub fn end_copy_from(&mut self, block: BlockId, from: WorkerId) -> Option<Transfer> {
        self.copies.get(&block).filter(|transfer| transfer.from == from)?;
        self.end_copy(block)
    }

    /// `worker` has got the block, asked or not. True if the copy was under way there.
    pub fn copy_arrived(&mut self, block: BlockId, worker: WorkerId) -> bool {
        self.failures.remove(&block);
        let is_asked = self.copies.get(&block).is_some_and(|transfer| transfer.to == worker);
        is_asked && self.end_copy(block).is_some()
    }

    /// The copy to `worker` has come to nothing. None if no copy was under way there.
    pub fn copy_failed(&mut self, block: BlockId, worker: WorkerId) -> Option<FailedCopy> {
        let Transfer { from, .. } = self.copies.get(&block).copied().filter(|copy| copy.to == worker)?;
        self.end_copy(block);
        let times = self.failures.entry(block).or_default();
        *times += 1;
        Some(FailedCopy { from, times: *times })
    }

    /// How often copies of a block have failed.
    pub fn failures(&self, block: BlockId) -> u32 {
        self.failures.get(&block).copied().unwrap_or(0)
    }

    pub fn forget_failures(&mut self, block: BlockId) {
        if !self.failures.is_empty() {
            self.failures.remove(&block);
        }
    }

    /// Is a copy under way from a leaving worker to this one?
    pub fn is_copied_to(&self, block: BlockId, worker: WorkerId) -> bool {
        !self.copies.is_empty() && self.copies.get(&block).is_some_and(|transfer| transfer.to == worker)
    }

    pub fn is_copied(&self, block: BlockId) -> bool {
        self.copies.contains_key(&block)
    }

    /// Is any copy under way?
    pub fn is_copying(&self) -> bool {
        !self.copies.is_empty()
    }

    /// Copies under way that `worker` gives.
    pub fn giving(&self, worker: WorkerId) -> u32 {
        self.giving.get(&worker).copied().unwrap_or(0)
    }

    /// Are copies on their way from copies that `worker` has? O(blocks with copies).
    pub fn gives_copies(&self, worker: WorkerId) -> bool {
        self.further.values().any(|copies| copies.come_from(worker))
    }

    /// What is known of the copies of a worker is no longer true. Returns the blocks of which it had one.
    pub fn forget_worker(&mut self, worker: WorkerId) -> Vec<BlockId> {
        let mut had = Vec::new();
        self.further.retain(|block, copies| {
            if copies.remove(worker) {
                had.push(*block);
            }
            copies.forget_giver(worker);
            !copies.is_empty()
        });
        had.sort_unstable();
        // What it was to give is answered by whoever was to get it.
        let concerned = |transfer: &Transfer| transfer.to == worker;
        let ended: Vec<BlockId> =
            self.copies.iter().filter(|(_, transfer)| concerned(transfer)).map(|(block, _)| *block).collect();
        for block in ended {
            self.end_copy(block);
        }
        had
    }

    pub fn further(&self) -> impl Iterator<Item = (BlockId, &Copies)> {
        self.further.iter().map(|(block, copies)| (*block, copies))
    }

    pub fn copies(&self) -> impl Iterator<Item = (BlockId, Transfer)> {
        self.copies.iter().map(|(block, transfer)| (*block, *transfer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StageId;

    const BLOCK: BlockId = BlockId { stage: StageId(0), index: 7 };
    const ONE: WorkerId = WorkerId(1);
    const TWO: WorkerId = WorkerId(2);
    const HOLDER: WorkerId = WorkerId(9);

    #[test]
    fn a_copy_that_nobody_has_used_goes_with_its_last_reader() {
        let mut holders = Holders::default();
        holders.expect(BLOCK, ONE, HOLDER, true);
        holders.expect(BLOCK, ONE, HOLDER, true);
        assert!(!holders.unexpect(BLOCK, ONE) && holders.expects(BLOCK, ONE));
        assert!(holders.unexpect(BLOCK, ONE) && !holders.expects(BLOCK, ONE));
        holders.expect(BLOCK, ONE, HOLDER, true);
        assert!(!holders.has(BLOCK, ONE));
        holders.used(BLOCK, ONE);
        assert!(!holders.unexpect(BLOCK, ONE) && holders.has(BLOCK, ONE));
        assert!(!holders.remove(BLOCK, TWO) && holders.remove(BLOCK, ONE));
    }

    #[test]
    fn copies_on_their_way_for_nobody_are_forgotten() {
        let mut holders = Holders::default();
        holders.add(BLOCK, ONE);
        holders.expect(BLOCK, TWO, HOLDER, true);
        holders.forget_unread();
        assert!(holders.expects(BLOCK, TWO));
        holders.forget_readers();
        holders.forget_unread();
        assert_eq!(holders.of(BLOCK).iter().map(|copy| copy.worker).collect::<Vec<_>>(), [ONE]);
        assert_eq!(holders.of(BLOCK)[0].readers, 0);
    }

    #[test]
    fn failed_copies_are_counted_until_one_arrives() {
        let mut holders = Holders::default();
        let transfer = Transfer { from: ONE, to: TWO };
        for times in [1, 2] {
            assert!(!holders.is_copying());
            holders.begin_copy(BLOCK, transfer);
            assert!(holders.is_copying() && holders.giving(ONE) == 1);
            assert!(holders.copy_failed(BLOCK, ONE).is_none(), "it was not to get it");
            let failed = holders.copy_failed(BLOCK, TWO).expect("it was under way");
            assert_eq!((failed.from, failed.times), (ONE, times));
        }
        assert_eq!(holders.failures(BLOCK), 2);
        holders.begin_copy(BLOCK, transfer);
        assert!(holders.copy_arrived(BLOCK, TWO));
        assert_eq!((holders.failures(BLOCK), holders.giving(ONE)), (0, 0));
        holders.begin_copy(BLOCK, transfer);
        holders.copy_failed(BLOCK, TWO);
        holders.forget_failures(BLOCK);
        assert_eq!(holders.failures(BLOCK), 0);
    }

    #[test]
    fn a_copy_ends_with_who_gives_it() {
        let mut holders = Holders::default();
        let transfer = Transfer { from: ONE, to: TWO };
        holders.begin_copy(BLOCK, transfer);
        assert_eq!(holders.end_copy_from(BLOCK, TWO), None);
        assert_eq!(holders.end_copy_from(BLOCK, ONE), Some(transfer));
    }

    #[test]
    fn who_is_to_get_a_copy_and_who_gives_one_is_known() {
        let mut holders = Holders::default();
        assert!(!holders.is_copied_to(BLOCK, TWO) && !holders.gives_copies(ONE));
        holders.begin_copy(BLOCK, Transfer { from: ONE, to: TWO });
        let other = BlockId { index: 8, ..BLOCK };
        assert!(holders.is_copied_to(BLOCK, TWO));
        assert!(!holders.is_copied_to(BLOCK, ONE) && !holders.is_copied_to(other, TWO));
        holders.add(other, ONE);
        assert!(!holders.gives_copies(ONE));
        holders.expect(other, TWO, ONE, true);
        assert!(holders.gives_copies(ONE) && !holders.gives_copies(TWO));
    }
}
