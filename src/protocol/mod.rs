//! Messages between scheduler and workers, named by direction, and the one place where things
//! become bytes. What processes say to each other beside that is in `processes`.

mod processes;

use crate::failure::Failure;
use crate::ids::{BlockId, RunId, TaskId, TaskList, WorkerId};
use crate::sched::{Pull, Timing, Unbegun};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use processes::{
    AutoscalerStatus, BlockKey, ClientPart, Depot, Ended, Figures, FileReport, FleetMember, FromClient,
    FromWorkerProcess, NotShared, Offer, Portion, RunIdentity, RunSpec, RunStatus, Seats, StageStatus,
    Status, ToClient, ToWorkerProcess, WorkerFigures, WorkerStatus,
};

/// From the scheduler to a worker, about the run it is in. Within one run they arrive in order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ToWorker {
    Assign {
        run: RunId,
        tasks: TaskList,
        fetch: Vec<(BlockId, WorkerId)>,
        /// Those of the tasks that are not begun before the worker has asked.
        suspects: TaskList,
    },
    /// The answer to [`FromWorker::Asks`], sooner or later: begin these now.
    Permit {
        run: RunId,
        tasks: TaskList,
    },
    Free {
        run: RunId,
        blocks: TaskList,
    },
    /// Out of memory with them; what was written of them stays.
    Drop {
        run: RunId,
        blocks: TaskList,
    },
    /// Write them, then out of memory with them.
    Spill {
        run: RunId,
        blocks: TaskList,
    },
    TakeBack {
        run: RunId,
        share: Unbegun,
    },
    Copy {
        run: RunId,
        from: WorkerId,
        block: BlockId,
    },
    /// The run is over: forget its blocks and its tasks.
    Forget {
        run: RunId,
    },
}

/// From a worker to the scheduler.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum FromWorker {
    Finished { run: RunId, tasks: TaskList, timings: Vec<Timing> },
    Returned { run: RunId, tasks: TaskList },
    Asks { run: RunId, tasks: TaskList },
    Copied { run: RunId, block: BlockId },
    CopyFailed { run: RunId, block: BlockId },
    Spilled { run: RunId, block: BlockId },
    Vanished { run: RunId, block: BlockId },
    MoveFailed { run: RunId, block: BlockId, failure: Failure },
    Failed { run: RunId, task: TaskId, failure: Failure },
    Pulled { run: RunId, pulls: Vec<Pull> },
}

impl ToWorker {
    /// The workers whose blocks it sends for.
    pub fn names(&self) -> impl Iterator<Item = WorkerId> + '_ {
        let fetched = match self {
            ToWorker::Assign { fetch, .. } => fetch.as_slice(),
            _ => &[],
        };
        let copied = match self {
            ToWorker::Copy { from, .. } => Some(*from),
            _ => None,
        };
        fetched.iter().map(|(_, from)| *from).chain(copied)
    }
}

impl FromWorker {
    /// The run that it is about.
    pub fn run(&self) -> RunId {
        match self {
            FromWorker::Finished { run, .. }
            | FromWorker::Returned { run, .. }
            | FromWorker::Asks { run, .. }
            | FromWorker::Copied { run, .. }
            | FromWorker::CopyFailed { run, .. }
            | FromWorker::Spilled { run, .. }
            | FromWorker::Vanished { run, .. }
            | FromWorker::MoveFailed { run, .. }
            | FromWorker::Failed { run, .. }
            | FromWorker::Pulled { run, .. } => *run,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("cannot encode: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    #[error("cannot decode: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("{0} bytes are left over after a message")]
    Trailing(usize),
}

/// The most bytes that a value may take once it is decoded. A frame brings 64 MiB, in which a number of eight bytes may
/// be one; and a string of which so many are promised is asked for at once, so there must be an end to that. Vectors
/// of other things are let grow by serde as their elements arrive. No message is recursive: none can nest deeply.
const LARGEST: usize = 8 * (64 << 20);

pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, MessageError> {
    Ok(bincode::serde::encode_to_vec(value, bincode::config::standard())?)
}

/// Decodes a value that fills `bytes` exactly.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MessageError> {
    let config = bincode::config::standard().with_limit::<LARGEST>();
    let (value, used) = bincode::serde::decode_from_slice(bytes, config)?;
    if used < bytes.len() {
        return Err(MessageError::Trailing(bytes.len() - used));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ProgramBuilder;

    #[test]
    fn ten_million_tasks_are_a_few_hundred_bytes() {
        let mut builder = ProgramBuilder::default();
        builder.null_wide(10_000_000);
        let program = builder.finish();
        let bytes = encode(program.stages()).unwrap();
        assert!(bytes.len() < 300, "{} bytes", bytes.len());
        assert_eq!(decode::<Vec<crate::graph::Stage>>(&bytes).unwrap(), program.stages());
    }

    #[test]
    fn promised_lengths_are_not_believed() {
        for length in [1_u64 << 60, u64::MAX, 1 << 40] {
            let bytes = encode(&length).unwrap();
            assert!(decode::<String>(&bytes).is_err());
            assert!(decode::<Vec<u8>>(&bytes).is_err());
            assert!(decode::<Vec<crate::graph::Stage>>(&bytes).is_err());
        }
    }

    #[test]
    fn leftovers_are_noticed() {
        let mut bytes = encode(&7_u32).unwrap();
        bytes.push(0);
        assert!(matches!(decode::<u32>(&bytes), Err(MessageError::Trailing(1))));
    }
}
