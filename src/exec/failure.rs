//! What goes wrong in a task.

use crate::sched::{Blame, Failure};

/// A failure of the run.
pub(super) fn broken(message: impl ToString) -> Failure {
    Failure { blame: Blame::Run, message: message.to_string() }
}
