//! Runs one task: blocks in, one block out, by the kernel that the stage names.

mod bind;
mod delayed;
mod execute;
mod fingerprint;
mod functions;
mod interpret;
mod job;
mod kinds;
mod task;
mod work;

pub use bind::{Bindings, Traffic};
pub use delayed::{Argument, value};
pub use fingerprint::{kernel_fingerprint, operations};
pub use functions::{Callable, Functions};
pub use interpret::interpret;
pub use task::run;
pub use work::annotate;
