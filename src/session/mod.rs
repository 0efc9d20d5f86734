//! What the user holds: a session that computes lazy arrays and the algorithms above them.

mod algorithms;
mod error;
mod inputs;
mod operation;
mod prepare;
mod randomized;
mod recipe;
mod results;
mod runtime;

pub use algorithms::{Qr, Rsvd, Svd};
pub use error::Error;
pub use operation::Operation;
pub use prepare::Preview;
pub(crate) use prepare::human;
pub use randomized::RsvdOptions;
pub use results::{Matrix, Results, Take};
pub use runtime::{Builder, Handle, Session, Stats};
