//! Registered functions over encoded values. Only names and values cross a wire.

use crate::graph::Graph;
use crate::protocol::{decode, encode};
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

    pub(super) fn get(&self, name: &str) -> Option<&Encoded> {
        self.0.get(name)
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
