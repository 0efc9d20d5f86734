//! The name of a spilled block.

use super::choice::ArrayKey;
use crate::ids::{BlockId, RunId};

/// A block of a run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SpillKey {
    pub run: RunId,
    pub block: BlockId,
}

impl SpillKey {
    pub(super) fn array(self) -> ArrayKey {
        (self.run, self.block.stage)
    }

    /// The name of the run's file of this number.
    pub(super) fn file_name(self, number: u64) -> String {
        format!("{}-{}-{}-{number}.block", self.run.0, self.block.stage.0, self.block.index)
    }
}
