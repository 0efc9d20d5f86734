//! The copies of one block, there or on their way, and which of them others come from.
//!
//! A block that many want goes as a tree: who gets it later gets it from who got it before, or will have. Copies are
//! kept in the order in which they were promised. If each is given to two, the place of the next one's giver is the
//! middle of the list, as in a heap: so a few of them are compared, however many there are.
//!
//! A promise names the block's holder, a copy that is there, or one that was promised before: nobody waits in a
//! circle. If a copy comes to nothing, those who were to get theirs from it may wait for whoever gets it next. So from
//! then on nobody is promised one that is still on its way, until none is.

use crate::ids::WorkerId;

/// So many copies are compared for the next one's giver.
const COMPARED: usize = 8;

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
    /// Who gives it, or gave it. None if that one is gone, and nobody has been named since.
    pub giver: Option<WorkerId>,
    /// Copies on their way that come from this one: it stays until they are there.
    pub gives: u32,
    /// As it was promised, so many copies come one after the other until this one is there. None if it is.
    pub rounds: u32,
}

/// All copies of a block.
#[derive(Default)]
pub(super) struct Copies {
    held: Vec<HeldCopy>,
    /// Copies on their way that come from somebody who has none of these: from the block's holder.
    by_holder: u32,
    /// One has come to nothing, and others are on their way.
    only_known: bool,
}

impl Copies {
    pub fn all(&self) -> &[HeldCopy] {
        &self.held
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Copies on their way from whoever has none of these.
    pub fn by_holder(&self) -> u32 {
        self.by_holder
    }

    /// Those from which another one may come, the best few.
    pub fn givers(&self) -> impl Iterator<Item = &HeldCopy> {
        // Where those on their way do not count, the middle is that of the others.
        let known = self.only_known.then(|| {
            let known = || self.held.iter().filter(|copy| copy.known);
            known().skip(before_middle(known().count())).take(COMPARED)
        });
        let middle = (!self.only_known).then(|| {
            let middle = self.held[before_middle(self.held.len())..].iter().take(COMPARED);
            middle.filter(|copy| copy.known || copy.from_outside)
        });
        known.into_iter().flatten().chain(middle.into_iter().flatten())
    }

    pub fn get_mut(&mut self, worker: WorkerId) -> Option<&mut HeldCopy> {
        self.held.iter_mut().find(|copy| copy.worker == worker)
    }

    /// Who reads what is counted anew.
    pub fn forget_readers(&mut self) {
        self.held.iter_mut().for_each(|copy| copy.readers = 0);
    }

    /// One is on its way from `giver` to `worker`, for one reader. For one more if it was already: then it comes from
    /// whom it was to come from, unless that one is gone.
    pub fn expect(&mut self, worker: WorkerId, giver: WorkerId, from_outside: bool) {
        match self.get_mut(worker) {
            Some(copy) => {
                copy.readers += 1;
                if !copy.known && copy.giver.is_none() {
                    self.comes_from(worker, giver, from_outside);
                }
            }
            None => {
                let rounds = self.begin_giving(giver, worker);
                let giver = Some(giver);
                self.push(HeldCopy {
                    worker,
                    readers: 1,
                    known: false,
                    from_outside,
                    giver,
                    gives: 0,
                    rounds,
                });
            }
        }
    }

    /// The copy of `worker`, whose giver is gone, comes from this one now.
    fn comes_from(&mut self, worker: WorkerId, giver: WorkerId, from_outside: bool) {
        let rounds = self.begin_giving(giver, worker);
        // It counted for the holder.
        self.by_holder -= 1;
        let copy = self.get_mut(worker).expect("it is on its way");
        copy.giver = Some(giver);
        copy.from_outside = from_outside;
        copy.rounds = rounds;
    }

    /// One copy more is on its way from `giver`, that of `worker`. So many come one after the other until it is there.
    fn begin_giving(&mut self, giver: WorkerId, worker: WorkerId) -> u32 {
        match self.get_mut(giver).filter(|copy| copy.worker != worker) {
            Some(copy) => {
                copy.gives += 1;
                copy.rounds + 1
            }
            None => {
                self.by_holder += 1;
                1
            }
        }
    }

    /// `worker` has one.
    pub fn add(&mut self, worker: WorkerId) {
        match self.get_mut(worker) {
            Some(_) => self.has_come(worker),
            None => self.push(HeldCopy {
                worker,
                readers: 0,
                known: true,
                from_outside: false,
                giver: Some(worker),
                gives: 0,
                rounds: 0,
            }),
        }
    }

    fn push(&mut self, copy: HeldCopy) {
        let is_given = |other: &&HeldCopy| !other.known && other.giver == Some(copy.worker);
        let gives = self.held.iter().filter(is_given).count() as u32;
        self.by_holder -= gives;
        self.held.push(HeldCopy { gives, ..copy });
    }

    /// The copy of `worker` is there.
    pub fn has_come(&mut self, worker: WorkerId) {
        let Some(copy) = self.get_mut(worker).filter(|copy| !copy.known) else { return };
        copy.known = true;
        copy.rounds = 0;
        let giver = copy.giver;
        self.is_given(giver, worker);
    }

    /// One copy less is on its way from `giver`, that of `worker`.
    fn is_given(&mut self, giver: Option<WorkerId>, worker: WorkerId) {
        match giver.and_then(|giver| self.get_mut(giver)).filter(|copy| copy.worker != worker) {
            Some(copy) => copy.gives -= 1,
            None => self.by_holder -= 1,
        }
        self.only_known &= self.held.iter().any(|copy| !copy.known);
    }

    /// `worker` has none any more. True if it had one, or was to get one.
    pub fn remove(&mut self, worker: WorkerId) -> bool {
        let Some(gone) = self.take(worker) else { return false };
        if !gone.known || gone.gives > 0 {
            self.let_down();
        }
        true
    }

    /// Those on their way may be let down by their giver, and wait for whatever that one gets next.
    pub fn let_down(&mut self) {
        self.only_known |= self.held.iter().any(|copy| !copy.known);
    }

    /// `worker` is gone, and gives nothing any more.
    pub fn forget_giver(&mut self, worker: WorkerId) {
        let comes_from = |copy: &&mut HeldCopy| !copy.known && copy.giver == Some(worker);
        self.held.iter_mut().filter(comes_from).for_each(|copy| copy.giver = None);
    }

    /// The copy of `worker`, if there is one, is the block itself from now on: nobody who waits for it is let down.
    pub fn promote(&mut self, worker: WorkerId) {
        self.take(worker);
    }

    /// What comes from the copy of `worker` comes from the block's holder.
    fn take(&mut self, worker: WorkerId) -> Option<HeldCopy> {
        let at = self.held.iter().position(|copy| copy.worker == worker)?;
        let gone = self.held.remove(at);
        self.by_holder += gone.gives;
        if !gone.known {
            self.is_given(gone.giver, worker);
        }
        Some(gone)
    }

    /// Does `worker` have a copy from which others are on their way?
    pub fn come_from(&self, worker: WorkerId) -> bool {
        self.held.iter().any(|copy| copy.worker == worker && copy.gives > 0)
    }

    /// What is counted is what the list says. For checks.
    pub fn is_consistent(&self) -> bool {
        let coming = || self.held.iter().filter(|copy| !copy.known);
        let has_copy = |worker: WorkerId| self.held.iter().any(|copy| copy.worker == worker);
        let from = |giver: WorkerId| coming().filter(|copy| copy.giver == Some(giver)).count() as u32;
        let is_by_another =
            |copy: &HeldCopy| copy.giver.filter(|giver| *giver != copy.worker).is_some_and(has_copy);
        let by_holder = coming().filter(|copy| !is_by_another(copy)).count();
        let gives_to_others = |copy: &HeldCopy| {
            let to_itself = u32::from(!copy.known && copy.giver == Some(copy.worker));
            copy.gives == from(copy.worker) - to_itself
        };
        self.held.iter().all(gives_to_others) && self.by_holder == by_holder as u32
    }
}

/// The first of those that are compared.
fn before_middle(copies: usize) -> usize {
    (copies / 2).saturating_sub(COMPARED / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: WorkerId = WorkerId(100);

    fn worker(number: usize) -> WorkerId {
        WorkerId(number as u32)
    }

    /// The first of those looked at that gives to fewer than two.
    fn first_free(copies: &Copies) -> WorkerId {
        copies.givers().find(|copy| copy.gives < 2).map_or(HOLDER, |copy| copy.worker)
    }

    #[test]
    fn however_many_there_are_one_that_is_free_is_among_those_looked_at() {
        let mut copies = Copies::default();
        for number in 0..1000 {
            let giver = if number < 2 { HOLDER } else { first_free(&copies) };
            assert!(number < 2 || giver != HOLDER, "copy {number}");
            copies.expect(worker(number), giver, true);
        }
        assert!(copies.is_consistent());
        let rounds = copies.all().iter().map(|copy| copy.rounds).max();
        assert!(rounds <= Some(10), "a tree of two branches each: {rounds:?}");
    }

    #[test]
    fn who_gives_is_counted_until_it_has_come() {
        let mut copies = Copies::default();
        copies.expect(worker(0), HOLDER, true);
        copies.expect(worker(1), worker(0), true);
        copies.expect(worker(1), HOLDER, true);
        let [first, second] = copies.all() else { panic!("two copies") };
        assert_eq!((first.gives, first.rounds, copies.by_holder()), (1, 1, 1));
        assert_eq!((second.giver, second.readers, second.rounds), (Some(worker(0)), 2, 2));
        copies.has_come(worker(0));
        assert_eq!((copies.by_holder(), copies.all()[0].gives), (0, 1));
        copies.add(worker(1));
        assert_eq!((copies.all()[0].gives, copies.all()[1].rounds), (0, 0));
        assert!(copies.is_consistent());
    }

    /// Whoever is named in place of one that is gone keeps its copy until it is given.
    #[test]
    fn who_gives_in_place_of_one_that_is_gone_is_counted_too() {
        let mut copies = Copies::default();
        copies.add(worker(0));
        copies.add(worker(1));
        copies.expect(worker(2), worker(1), true);
        assert!(copies.remove(worker(1)));
        copies.forget_giver(worker(1));
        assert!(copies.is_consistent() && copies.by_holder() == 1);
        copies.expect(worker(2), worker(0), true);
        assert!(copies.is_consistent());
        assert_eq!((copies.by_holder(), copies.all()[0].gives, copies.all()[1].readers), (0, 1, 2));
        copies.has_come(worker(2));
        assert_eq!((copies.by_holder(), copies.all()[0].gives), (0, 0));
    }

    /// The file is lost from which one was to come. Whoever was to give it may be told to get it from there.
    #[test]
    fn when_the_holder_has_it_no_more_nobody_waits_for_those_on_their_way() {
        let mut copies = Copies::default();
        copies.let_down();
        copies.expect(worker(0), HOLDER, true);
        assert_eq!(copies.givers().count(), 1, "none was on its way");
        copies.let_down();
        assert_eq!(copies.givers().count(), 0);
        copies.has_come(worker(0));
        assert_eq!(copies.givers().count(), 1);
    }

    #[test]
    fn when_one_comes_to_nothing_nobody_waits_for_those_on_their_way() {
        let mut copies = Copies::default();
        copies.add(worker(9));
        copies.expect(worker(0), HOLDER, true);
        copies.expect(worker(1), worker(0), true);
        let givers = |copies: &Copies| copies.givers().map(|copy| copy.worker).collect::<Vec<_>>();
        assert_eq!(givers(&copies), [worker(9), worker(0), worker(1)]);
        assert!(copies.remove(worker(0)));
        assert_eq!((givers(&copies), copies.by_holder()), (vec![worker(9)], 1));
        // Worker 1 waits for it still.
        copies.expect(worker(0), worker(9), true);
        assert_eq!((givers(&copies), copies.by_holder()), (vec![worker(9)], 0));
        assert!(copies.is_consistent());
        copies.has_come(worker(0));
        copies.has_come(worker(1));
        assert_eq!(givers(&copies).len(), 3, "all are there");
        copies.expect(worker(2), worker(1), true);
        assert_eq!(givers(&copies).len(), 4);
    }

    #[test]
    fn those_that_are_there_are_found_among_many_on_their_way() {
        let mut copies = Copies::default();
        copies.add(worker(0));
        for number in 1..100 {
            copies.expect(worker(number), HOLDER, true);
        }
        assert!(copies.remove(worker(50)));
        assert_eq!(copies.givers().map(|copy| copy.worker).collect::<Vec<_>>(), [worker(0)]);
    }

    #[test]
    fn one_that_becomes_the_block_itself_lets_nobody_down() {
        let mut copies = Copies::default();
        copies.add(worker(0));
        copies.expect(worker(1), worker(0), true);
        copies.expect(worker(2), worker(1), true);
        copies.promote(worker(0));
        copies.promote(worker(9));
        assert_eq!((copies.by_holder(), copies.all().len()), (1, 2));
        assert!(copies.is_consistent());
        assert_eq!(copies.givers().count(), 2, "those on their way count");
        copies.has_come(worker(1));
        assert!(copies.by_holder() == 0 && copies.is_consistent());
        assert!(copies.come_from(worker(1)) && !copies.come_from(worker(0)));
    }

    #[test]
    fn what_comes_from_a_place_of_its_own_counts_for_the_holder() {
        let mut copies = Copies::default();
        copies.expect(worker(0), worker(0), true);
        assert_eq!((copies.by_holder(), copies.all()[0].gives), (1, 0));
        assert!(copies.is_consistent());
        assert!(copies.remove(worker(0)) && !copies.remove(worker(0)));
        assert!(copies.is_empty() && copies.is_consistent() && copies.by_holder() == 0);
    }

    #[test]
    fn those_on_their_way_count_until_one_is_gone_that_somebody_waits_for() {
        let givers_without = |removed: usize, others: &[(usize, Option<WorkerId>)]| {
            let mut copies = Copies::default();
            for (number, giver) in others {
                match giver {
                    Some(giver) => copies.expect(worker(*number), *giver, true),
                    None => copies.add(worker(*number)),
                }
            }
            copies.remove(worker(removed));
            copies.givers().map(|copy| copy.worker).collect::<Vec<_>>()
        };
        let from_holder = Some(HOLDER);
        assert_eq!(givers_without(0, &[(0, None), (1, from_holder)]), [worker(1)], "nobody misses it");
        let from_first = Some(worker(0));
        assert_eq!(givers_without(0, &[(0, None), (1, from_first), (2, None)]), [worker(2)]);
        assert_eq!(givers_without(0, &[(0, None), (1, from_first)]), []);
        assert_eq!(givers_without(0, &[(0, from_holder), (1, from_holder)]), []);
        assert_eq!(givers_without(0, &[(0, from_holder), (1, None)]), [worker(1)]);
    }
}
