//! What the user holds: a session that computes lazy arrays and the algorithms above them.

mod algorithms;
mod error;
mod inputs;
mod operation;
mod results;
mod runtime;

pub use algorithms::{Qr, Rsvd, Svd};
pub use error::Error;
pub use operation::{Operation, RsvdOptions};
pub use results::{Matrix, Results, Take};
pub(crate) use runtime::human;
pub use runtime::{Builder, Handle, Preview, Session, Stats};
