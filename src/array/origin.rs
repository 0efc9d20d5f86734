//! Where the elements of a matrix come from.

use serde::{Deserialize, Serialize};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// The name of an input. No two inputs of a process have the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct InputId(pub u64);

/// A matrix that a session has been given, as arrays refer to it. It is let go with the last of them.
#[derive(Clone)]
pub struct Input {
    id: InputId,
    held: Arc<dyn Any + Send + Sync>,
    narrow: bool,
}

impl Input {
    /// `held` is what the session knows the input by. It is `narrow` if all numbers of its stored type are numbers of
    /// f32 too, as integers of 8 and 16 bits are.
    pub fn new(id: InputId, held: Arc<dyn Any + Send + Sync>, narrow: bool) -> Self {
        Input { id, held, narrow }
    }

    pub fn is_narrow(&self) -> bool {
        self.narrow
    }

    pub fn id(&self) -> InputId {
        self.id
    }

    pub fn held(&self) -> &(dyn Any + Send + Sync) {
        self.held.as_ref()
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Input({})", self.id.0)
    }
}

/// The distribution of a random matrix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Law {
    /// Uniform on [0, 1).
    Uniform,
    /// Mean 0, variance 1.
    Normal,
}

/// A matrix that is cheaper to make than to keep.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Fill {
    Constant(f64),
    Random { law: Law, seed: u64 },
}

/// Where elements come from.
#[derive(Clone, Debug)]
pub enum Origin {
    Input(Input),
    Fill(Fill),
}
