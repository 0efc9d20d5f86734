//! Who holds a block beside the worker that the table names, and who is to get a copy.

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

/// A copy of a block in a worker's hands, or on its way there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HeldCopy {
    pub worker: WorkerId,
    /// Tasks assigned to the worker that read it, and a transfer that brings it.
    pub readers: u32,
    /// It is there. Until then it is on its way, and a task that is given back takes it along.
    pub known: bool,
    /// It comes from outside of the worker's memory, so that others there can wait for it. Those who wait cannot be
    /// waited for: nobody waits in a circle.
    pub from_outside: bool,
}

/// Further holders of blocks, and copies under way. Both are few: a block has an entry only while it has more than one
/// holder, is on its way to one, or leaves with one.
#[derive(Default)]
pub(super) struct Holders {
    /// A block that was lost while a copy was in use has holders here before it is made again.
    further: HashMap<BlockId, Vec<HeldCopy>>,
    /// Copies under way from leaving workers.
    copies: HashMap<BlockId, Transfer>,
    /// How many of these each worker gives.
    giving: HashMap<WorkerId, u32>,
    /// How often copies of a block have failed.
    failures: HashMap<BlockId, u32>,
}

impl Holders {
    /// The block is on its way to `worker`, for one reader. For one more if it was already.
    pub fn expect(&mut self, block: BlockId, worker: WorkerId, from_outside: bool) {
        let further = self.further.entry(block).or_default();
        match further.iter_mut().find(|copy| copy.worker == worker) {
            Some(copy) => copy.readers += 1,
            None => further.push(HeldCopy { worker, readers: 1, known: false, from_outside }),
        }
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
        if let Some(copy) = self.copy_mut(block, worker) {
            copy.readers = copy.readers.saturating_sub(1);
            copy.known = true;
        }
    }

    /// `worker` has a copy.
    pub fn add(&mut self, block: BlockId, worker: WorkerId) {
        let further = self.further.entry(block).or_default();
        match further.iter_mut().find(|copy| copy.worker == worker) {
            Some(copy) => copy.known = true,
            None => further.push(HeldCopy { worker, readers: 0, known: true, from_outside: false }),
        }
    }

    fn copy_mut(&mut self, block: BlockId, worker: WorkerId) -> Option<&mut HeldCopy> {
        self.further.get_mut(&block)?.iter_mut().find(|copy| copy.worker == worker)
    }

    /// `worker` is not a further holder any more. True if it was.
    pub fn remove(&mut self, block: BlockId, worker: WorkerId) -> bool {
        let Some(further) = self.further.get_mut(&block) else { return false };
        let before = further.len();
        further.retain(|copy| copy.worker != worker);
        let removed = further.len() < before;
        if further.is_empty() {
            self.further.remove(&block);
        }
        removed
    }

    /// All copies of a block, which are none any more.
    pub fn take_all(&mut self, block: BlockId) -> Vec<HeldCopy> {
        self.further.remove(&block).unwrap_or_default()
    }

    /// All copies of a block, those on their way too.
    pub fn of(&self, block: BlockId) -> &[HeldCopy] {
        if self.further.is_empty() {
            return &[];
        }
        self.further.get(&block).map_or(&[], Vec::as_slice)
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
        self.further.values_mut().flatten().for_each(|copy| copy.readers = 0);
    }

    /// Copies that are on their way for nobody are none.
    pub fn forget_unread(&mut self) {
        self.further.retain(|_, further| {
            further.retain(|copy| copy.known || copy.readers > 0);
            !further.is_empty()
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

    /// What is known of the copies of a worker is no longer true. Returns the blocks of which it had one.
    pub fn forget_worker(&mut self, worker: WorkerId) -> Vec<BlockId> {
        let has_one = |copies: &Vec<HeldCopy>| copies.iter().any(|copy| copy.worker == worker);
        let mut had: Vec<BlockId> =
            self.further.iter().filter(|(_, copies)| has_one(copies)).map(|(block, _)| *block).collect();
        had.sort_unstable();
        self.further.retain(|_, further| {
            further.retain(|copy| copy.worker != worker);
            !further.is_empty()
        });
        // What it was to give is answered by whoever was to get it.
        let concerned = |transfer: &Transfer| transfer.to == worker;
        let ended: Vec<BlockId> =
            self.copies.iter().filter(|(_, transfer)| concerned(transfer)).map(|(block, _)| *block).collect();
        for block in ended {
            self.end_copy(block);
        }
        had
    }

    pub fn further(&self) -> impl Iterator<Item = (BlockId, &[HeldCopy])> {
        self.further.iter().map(|(block, further)| (*block, further.as_slice()))
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

    #[test]
    fn a_copy_that_nobody_has_used_goes_with_its_last_reader() {
        let mut holders = Holders::default();
        holders.expect(BLOCK, ONE, true);
        holders.expect(BLOCK, ONE, true);
        assert!(!holders.unexpect(BLOCK, ONE) && holders.expects(BLOCK, ONE));
        assert!(holders.unexpect(BLOCK, ONE) && !holders.expects(BLOCK, ONE));
        holders.expect(BLOCK, ONE, true);
        assert!(!holders.has(BLOCK, ONE));
        holders.used(BLOCK, ONE);
        assert!(!holders.unexpect(BLOCK, ONE) && holders.has(BLOCK, ONE));
        assert!(!holders.remove(BLOCK, TWO) && holders.remove(BLOCK, ONE));
    }

    #[test]
    fn copies_on_their_way_for_nobody_are_forgotten() {
        let mut holders = Holders::default();
        holders.add(BLOCK, ONE);
        holders.expect(BLOCK, TWO, true);
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
}
