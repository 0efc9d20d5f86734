//! Tasks that do nothing.

use crate::data::Real;
use crate::exec::execute::{Execute, FullTask};
use crate::exec::job::Job;
use crate::failure::Failure;
use crate::graph::Work;
use crate::store::{Block, Buffer};

/// [`Kind::Null`](crate::graph::Kind::Null), which holds nothing.
pub(super) struct Null;

impl<T: Real> Execute<T> for Null {
    fn work(&self, _: &FullTask) -> Work {
        Work::default()
    }

    fn run(&self, _: &mut Job, _: &mut Buffer) -> Result<Option<Block>, Failure> {
        Ok(None)
    }
}
