//! How each family of kinds is put into a program: methods of [`ProgramBuilder`](super::ProgramBuilder), and the graphs
//! that are made of many.

mod delayed;
mod elementwise;
mod fill;
mod io;
mod null;
mod product;
mod reduction;
mod sketch;
mod tall;

pub use delayed::{Delayed, Graph, GraphError};
pub use tall::Tall;
