//! Tasks that measure the scheduler.

use super::properties::{Properties, Share};

/// Nothing at all.
pub struct Null;

impl Properties for Null {
    fn name(&self) -> &'static str {
        "null"
    }

    fn share(&self) -> Share {
        Share::Whole
    }
}
