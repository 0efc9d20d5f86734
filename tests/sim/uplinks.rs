//! The ways out of simulated workers: what several others get from one at once takes turns, part by part.

use super::world::{Item, World};
use dolmen::ids::{BlockId, WorkerId};
use std::collections::{BTreeMap, VecDeque};

/// A block travels in so many parts.
const PARTS: u64 = 16;

/// A block that one worker is sending.
pub(super) struct Upload {
    to: WorkerId,
    block: BlockId,
    value: u64,
    /// Parts that are still to be sent.
    left: u64,
}

/// Who sends what. Nothing takes time until it is said.
#[derive(Default)]
pub(super) struct Uplinks {
    /// Time of one block that is sent alone.
    block: u64,
    busy: BTreeMap<WorkerId, VecDeque<Upload>>,
}

impl Uplinks {
    pub fn are_slow(&self) -> bool {
        self.block > 0
    }

    /// Nothing is on its way any more.
    pub fn clear(&mut self) {
        self.busy.clear();
    }
}

impl World {
    /// A block takes so many seconds to leave a worker, and longer if others leave it at the same time.
    pub fn uplinks(mut self, seconds: f64) -> Self {
        self.uplinks.block = (seconds * super::world::SECOND as f64) as u64;
        self
    }

    /// `from` begins to send a block.
    pub(super) fn upload(&mut self, from: WorkerId, to: WorkerId, block: BlockId, value: u64) {
        let busy = self.uplinks.busy.entry(from).or_default();
        busy.push_back(Upload { to, block, value, left: PARTS });
        if busy.len() == 1 {
            self.send_part(from);
        }
    }

    fn send_part(&mut self, from: WorkerId) {
        self.at(self.now + self.uplinks.block / PARTS, Item::PartSent(from));
    }

    /// A part has been sent. Of who has gone nothing comes.
    pub(super) fn part_sent(&mut self, from: WorkerId) {
        let Some(busy) = self.uplinks.busy.get_mut(&from) else { return };
        let Some(mut upload) = busy.pop_front() else { return };
        if !self.workers.contains_key(&from) {
            for Upload { to, block, .. } in
                self.uplinks.busy.remove(&from).into_iter().flatten().chain([upload])
            {
                self.arrive(to, from, block, None);
            }
            return;
        }
        upload.left -= 1;
        let sent = match upload.left {
            0 => Some(upload),
            _ => {
                busy.push_back(upload);
                None
            }
        };
        if !busy.is_empty() {
            self.send_part(from);
        }
        if let Some(Upload { to, block, value, .. }) = sent {
            self.arrive(to, from, block, Some(value));
        }
    }
}
