//! Calls of registered functions.

use crate::data::Real;
use crate::exec::execute::{Execute, FullTask};
use crate::exec::job::Job;
use crate::failure::Failure;
use crate::graph::Work;
use crate::graph::kinds::{CallInput, Calls, RESULT_HEADER};
use crate::ids::TaskId;
use crate::store::{Block, Buffer};

const LENGTH: usize = RESULT_HEADER as usize;

impl<T: Real> Execute<T> for Calls {
    fn work(&self, _: &FullTask) -> Work {
        Work::default()
    }

    /// The result block holds its length and its bytes.
    fn run(&self, job: &mut Job, _: &mut Buffer) -> Result<Option<Block>, Failure> {
        let (name, inputs) = self.call(job.task.index);
        let function = job.bindings.functions.get(name);
        let function =
            function.ok_or_else(|| Failure::of_run(format!("function {name:?} is not registered")))?;
        let arguments: Vec<&[u8]> = inputs
            .iter()
            .map(|input| match input {
                CallInput::Task(task) => unpack(job.block(TaskId::new(job.task.stage, *task))),
                CallInput::Constant(at) => self.constant(*at),
            })
            .collect();
        let encoded =
            function(&arguments).map_err(|why| Failure::of_run(format!("function {name:?}: {why}")))?;
        pack(job, name, &encoded).map(Some)
    }
}

fn pack(job: &Job, name: &str, encoded: &[u8]) -> Result<Block, Failure> {
    let mut block = job.output()?;
    let room = block.bytes_mut();
    if encoded.len() + LENGTH > room.len() {
        return Err(Failure::of_run(format!(
            "function {name:?} returned {} bytes, more than the {} that this graph allows a result: see Graph::result_bytes",
            encoded.len(),
            room.len() - LENGTH
        )));
    }
    room[..LENGTH].copy_from_slice(&(encoded.len() as u64).to_le_bytes());
    room[LENGTH..LENGTH + encoded.len()].copy_from_slice(encoded);
    Ok(block)
}

/// The encoded value in a result block.
pub(in crate::exec) fn unpack(block: &Block) -> &[u8] {
    let bytes = block.bytes();
    let (length, rest) = bytes.split_at(LENGTH);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
    &rest[..length]
}
