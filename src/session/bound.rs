//! Inputs as arrays carry them. One lives as long as an array or a running program refers to it.

use super::error::Error;
use crate::array::{Array, Element, Input, InputId, Origin};
use crate::data::Source;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The inputs of an operation by their names.
pub(super) type Inputs = HashMap<InputId, Arc<dyn Source>>;

/// The name of a session. No two sessions of a process have the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionId(u64);

impl SessionId {
    pub fn new() -> Self {
        SessionId(unique())
    }
}

/// A number that this process has not used as a name yet.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What an array holds of its input.
struct Bound {
    session: SessionId,
    source: Arc<dyn Source>,
}

/// A matrix that `session` has been given, as an array. What is narrow is told at [`Input::new`].
pub(super) fn bind(
    session: SessionId,
    source: Arc<dyn Source>,
    (rows, cols): (u64, u64),
    element: Element,
    narrow: bool,
) -> Array {
    let input = Input::new(InputId(unique()), Arc::new(Bound { session, source }), narrow);
    Array::source(Origin::Input(input), rows, cols, element)
}

/// The inputs of `array`, all of which must be of `session`.
pub(super) fn inputs_of(array: &Array, session: SessionId) -> Result<Inputs, Error> {
    let source_of = |input: Input| {
        let bound = input.held().downcast_ref::<Bound>().filter(|bound| bound.session == session);
        bound.map(|bound| (input.id(), bound.source.clone())).ok_or_else(foreign)
    };
    array.inputs()?.into_iter().map(source_of).collect()
}

fn foreign() -> Error {
    Error::Request("an array has an input of another session: open it in the session that computes it".into())
}

#[cfg(test)]
mod tests {
    use super::super::Session;
    use super::*;
    use crate::data::InMemory;
    use ndarray::Array2;

    #[test]
    fn an_input_lives_as_long_as_its_arrays() {
        let session = Session::builder().threads(1).build().unwrap();
        let source: Arc<dyn Source> = Arc::new(InMemory(Array2::<f64>::ones((3, 3))));
        let life = Arc::downgrade(&source);
        let x = session.bind(source, (3, 3), Element::F64);
        let y = &x + 1.0;
        drop(x);
        assert!(life.upgrade().is_some(), "an array still refers to it");
        drop(y);
        assert!(life.upgrade().is_none(), "nothing refers to it any more");
    }
}
