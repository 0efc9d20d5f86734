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

    pub(super) fn file_name(self) -> String {
        format!("{}-{}-{}.block", self.run.0, self.block.stage.0, self.block.index)
    }
}
