//! Registered functions and how a hand-wired task calls them. Only names and values cross a wire.

use super::bind::broken;
use super::task::Job;
use crate::graph::{CallInput, Calls, Delayed, Graph};
use crate::ids::TaskId;
use crate::protocol::{decode, encode};
use crate::sched::Failure;
use crate::store::Block;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::HashMap;
use std::sync::Arc;

type Encoded = Arc<dyn Fn(&[&[u8]]) -> Result<Vec<u8>, String> + Send + Sync>;

/// The functions that hand-wired graphs may call, by name.
#[derive(Clone, Default)]
pub struct Functions(HashMap<String, Encoded>);

impl Functions {
    /// Registers a function of up to four arguments, each a value that serde knows (an `ndarray` matrix
    /// is one). The last registration of a name counts.
    pub fn register<A, F: Callable<A>>(&mut self, name: &str, function: F) {
        self.0.insert(name.to_string(), Arc::new(move |arguments| function.call(arguments)));
    }

    /// Registers a function of any number of arguments of one type.
    pub fn register_fold<A, R, F>(&mut self, name: &str, function: F)
    where
        A: DeserializeOwned,
        R: Serialize,
        F: Fn(Vec<A>) -> R + Send + Sync + 'static,
    {
        let call = move |arguments: &[&[u8]]| {
            let values = arguments.iter().map(|bytes| argument(bytes)).collect::<Result<Vec<A>, String>>()?;
            result(&function(values))
        };
        self.0.insert(name.to_string(), Arc::new(call));
    }

    /// The names that `calls` uses and nobody registered.
    pub fn missing(&self, graph: &Graph) -> Vec<String> {
        graph.function_names().filter(|name| !self.0.contains_key(*name)).map(str::to_string).collect()
    }
}

fn argument<A: DeserializeOwned>(bytes: &[u8]) -> Result<A, String> {
    decode(bytes).map_err(|e| format!("an argument is not of the type that the function takes ({e})"))
}

fn result<R: Serialize>(value: &R) -> Result<Vec<u8>, String> {
    encode(value).map_err(|e| e.to_string())
}

/// A function over values that serde knows.
pub trait Callable<A>: Send + Sync + 'static {
    fn call(&self, arguments: &[&[u8]]) -> Result<Vec<u8>, String>;
}

macro_rules! callable {
    ($count:literal: $($arg:ident $at:literal),*) => {
        impl<Func, Out, $($arg),*> Callable<($($arg,)*)> for Func
        where
            Func: Fn($($arg),*) -> Out + Send + Sync + 'static,
            Out: Serialize,
            $($arg: DeserializeOwned),*
        {
            fn call(&self, arguments: &[&[u8]]) -> Result<Vec<u8>, String> {
                if arguments.len() != $count {
                    return Err(format!("takes {} arguments, was given {}", $count, arguments.len()));
                }
                result(&self($(argument::<$arg>(arguments[$at])?),*))
            }
        }
    };
}

callable!(0:);
callable!(1: A 0);
callable!(2: A 0, B 1);
callable!(3: A 0, B 1, C 2);
callable!(4: A 0, B 1, C 2, D 3);

/// What a call takes: an earlier call or a value.
pub enum Argument {
    Call(Delayed),
    Value(Vec<u8>),
}

impl From<Delayed> for Argument {
    fn from(call: Delayed) -> Self {
        Argument::Call(call)
    }
}

impl Graph {
    /// A constant argument.
    pub fn value<V: Serialize>(value: &V) -> Result<Argument, Failure> {
        encode(value).map(Argument::Value).map_err(broken)
    }

    /// Calls the function that will be registered as `function` when the graph runs.
    pub fn call(&mut self, function: &str, arguments: impl IntoIterator<Item = Argument>) -> Delayed {
        let inputs: Vec<CallInput> = arguments
            .into_iter()
            .map(|argument| match argument {
                Argument::Call(call) => CallInput::Task(call.0),
                Argument::Value(bytes) => self.constant(bytes),
            })
            .collect();
        self.push(function, inputs)
    }
}

/// Runs one call. The result block holds its length and its bytes.
pub(super) fn call(job: &Job, calls: &Calls) -> Result<Block, Failure> {
    let (name, inputs) = calls.call(job.task.index);
    let function = job.bindings.functions.0.get(name);
    let function = function.ok_or_else(|| broken(format!("function {name:?} is not registered")))?;
    let arguments: Vec<&[u8]> = inputs
        .iter()
        .map(|input| match input {
            CallInput::Task(task) => unpack(job.block(TaskId::new(job.task.stage, *task))),
            CallInput::Constant(at) => calls.constant(*at),
        })
        .collect();
    let encoded = function(&arguments).map_err(|why| broken(format!("function {name:?}: {why}")))?;
    pack(job, name, &encoded)
}

const LENGTH: usize = size_of::<u64>();

fn pack(job: &Job, name: &str, encoded: &[u8]) -> Result<Block, Failure> {
    let mut block = job.output()?;
    let room = block.bytes_mut();
    if encoded.len() + LENGTH > room.len() {
        return Err(broken(format!(
            "function {name:?} returned {} bytes, more than the {} that this graph allows a result: see Graph::result_bytes",
            encoded.len(),
            room.len() - LENGTH
        )));
    }
    room[..LENGTH].copy_from_slice(&(encoded.len() as u64).to_le_bytes());
    room[LENGTH..LENGTH + encoded.len()].copy_from_slice(encoded);
    Ok(block)
}

fn unpack(block: &Block) -> &[u8] {
    let bytes = block.bytes();
    let (length, rest) = bytes.split_at(LENGTH);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
    &rest[..length]
}

/// The value in a result block.
pub fn value<V: DeserializeOwned>(block: &Block) -> Result<V, Failure> {
    decode(unpack(block)).map_err(broken)
}
