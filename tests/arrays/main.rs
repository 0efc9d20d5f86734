//! Lazy arrays through the public interface: random expressions against plain `ndarray`, very deep ones, ones that
//! are used again and again, arguments that cannot be computed, and mixed types.

#[path = "../sim/rng.rs"]
#[allow(dead_code, reason = "shared with the simulation")]
mod rng;

mod deep;
mod random;
mod refused;
mod types;

use dolmen::array::{Array, BlockSize, Node};
use dolmen::session::{Operation, Session};
use std::collections::HashSet;

fn session(block: BlockSize) -> Session {
    Session::builder().threads(2).memory(1 << 30).block(block).build().unwrap()
}

fn operands(node: &Node) -> Vec<&Array> {
    match node {
        Node::Source { .. } => vec![],
        Node::Unary(_, a) | Node::Transpose(a) | Node::Reduce(_, a) | Node::Convert(a) => vec![a],
        Node::Slice { of, .. } => vec![of],
        Node::Binary(_, a, b) | Node::Dot(a, b) => vec![a, b],
    }
}

/// The number of different operations in an expression.
fn nodes(array: &Array) -> usize {
    let mut seen = HashSet::new();
    let mut rest = vec![array];
    while let Some(array) = rest.pop() {
        let node = array.node().unwrap();
        if seen.insert(std::ptr::from_ref(node)) {
            rest.extend(operands(node));
        }
    }
    seen.len()
}

/// The stages of the program that computes it.
fn stages(session: &Session, array: &Array) -> usize {
    session.preview(&Operation::Compute(array.clone()), None).unwrap().stages.len()
}
