//! Where workers come from, and how they go again: one trait of three methods.
//!
//! A provider gives *places*. A place is room for one worker: a thread group, a process, a job of a batch system. It is
//! asked for, waits, begins, and ends. Its name is the name of the worker that runs there (`dolmen worker --name`), so
//! whoever sees a worker join knows which place it fills.
//!
//! A provider keeps no opinion about how many workers there should be; that is [`crate::policy`]. It keeps three
//! promises. It never lets there be more places than the maximum that it was made with, counted by what really is
//! there. It says the truth about each place. It is polite to a machine that refuses: [`Refusal::again`].
//!
//! Calls may block for seconds (a batch system is a process that answers when it likes): call them on a thread of
//! their own, never on an actor's.
//!
//! All times are seconds on one clock, which never goes back, the caller's. See [`crate::policy`].

use std::fmt;

/// Gives places for workers, and takes them back.
pub trait Provider: Send {
    /// Asks for `count` more places, and returns the names of those that were granted: they are in
    /// [`Provider::state`] from now on, and count as here. Fewer than `count`, also none, if more would be above the
    /// maximum. A place that is granted need not have begun.
    ///
    /// # Errors
    /// If nothing was granted since the provider cannot, or will not before [`Refusal::again`].
    fn ask(&mut self, count: usize, now: f64) -> Result<Vec<String>, Refusal>;

    /// All places that have not ended, and those that have ended since the last call, once each, in the order in which
    /// they were granted. A provider that is expensive to ask repeats its last answer until it is time for another.
    ///
    /// # Errors
    /// If it does not know. What was known before still counts.
    fn state(&mut self, now: f64) -> Result<Vec<Place>, Refusal>;

    /// Takes places back: a worker there is told to leave, one that has not come need not come. The caller has seen
    /// to it that the worker has handed over what only it has. Unknown places and those that have ended are no error.
    ///
    /// # Errors
    /// If it could not be said; say it again after [`Refusal::again`].
    fn release(&mut self, which: Release<'_>, now: f64) -> Result<(), Refusal>;
}

/// What is taken back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Release<'a> {
    /// The places of these names.
    These(&'a [String]),
    /// Everything, also what was asked for and has not been heard of: at the end.
    All,
}

/// Room for one worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Its name and that of its worker.
    pub name: String,
    /// How far it is.
    pub state: PlaceState,
    /// When it was asked for.
    pub asked: f64,
    /// When its machine was given, if it has been: what lies between is the wait in the queue, what follows until the
    /// worker joins is its boot.
    pub began: Option<f64>,
    /// When it must be gone, if that is known.
    pub ends: Option<f64>,
    /// The provider's own words on why it is where it is; empty if there is nothing to say.
    pub words: String,
}

/// How far a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceState {
    /// Asked for; a machine will come.
    Waiting,
    /// Asked for, and will not begin as things are: held, larger than what there is, longer than what is allowed.
    /// Take it back.
    Stuck,
    /// It has a machine that is being made ready.
    Starting,
    /// A worker runs there, or may begin to at any moment.
    Running,
    /// Its worker is stopped for a while by others, and comes back.
    Suspended,
    /// Its worker has ended or is about to. It still takes room.
    Leaving,
    /// It is gone.
    Ended(End),
}

impl PlaceState {
    /// Whether it counts to the maximum.
    pub fn is_there(self) -> bool {
        !matches!(self, PlaceState::Ended(_))
    }

    /// Whether its worker failed.
    pub fn has_failed(self) -> bool {
        matches!(self, PlaceState::Ended(End::Failed | End::OutOfMemory))
    }
}

/// How a place came to its end. None of these is the fault of what its worker computed, but for `Failed` and
/// `OutOfMemory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its worker left by itself.
    Left,
    /// Somebody took it back, this process or an administrator.
    Cancelled,
    /// Its time was over.
    Walltime,
    /// Others needed the machine more.
    Preempted,
    /// The machine failed.
    MachineLost,
    /// Its worker used more memory than it had.
    OutOfMemory,
    /// Its worker ended with an error, or could not be started.
    Failed,
    /// It is not there any more, and nobody says why.
    Unknown,
}

/// Why a provider did not do what it was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{words}")]
pub struct Refusal {
    /// What kind of refusal.
    pub cause: Cause,
    /// One line in the provider's own words, for `status` and the client's terminal.
    pub words: String,
    /// When it is worth asking again. Until then a provider answers with the same refusal and troubles nobody.
    pub again: f64,
}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The request is wrong: it is refused until somebody changes it, or the site.
    ForGood,
    /// Too much at once, or too much for now.
    ForNow,
    /// What was granted came to nothing: workers fail as soon as they start, or their places can never begin.
    Fruitless,
    /// Whoever would have to answer does not.
    Silent,
}

impl fmt::Display for PlaceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PlaceState::Waiting => "waits",
            PlaceState::Stuck => "cannot begin",
            PlaceState::Starting => "starts",
            PlaceState::Running => "runs",
            PlaceState::Suspended => "is suspended",
            PlaceState::Leaving => "leaves",
            PlaceState::Ended(end) => return end.fmt(f),
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Left => "has left",
            End::Cancelled => "was cancelled",
            End::Walltime => "reached the end of its walltime",
            End::Preempted => "was preempted",
            End::MachineLost => "lost its machine",
            End::OutOfMemory => "ran out of memory",
            End::Failed => "failed",
            End::Unknown => "is gone",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_words_and_some_of_the_ends_are_failures() {
        let states = [
            (PlaceState::Waiting, "waits", false),
            (PlaceState::Stuck, "cannot begin", false),
            (PlaceState::Starting, "starts", false),
            (PlaceState::Running, "runs", false),
            (PlaceState::Suspended, "is suspended", false),
            (PlaceState::Leaving, "leaves", false),
            (PlaceState::Ended(End::Left), "has left", false),
            (PlaceState::Ended(End::Cancelled), "was cancelled", false),
            (PlaceState::Ended(End::Walltime), "reached the end of its walltime", false),
            (PlaceState::Ended(End::Preempted), "was preempted", false),
            (PlaceState::Ended(End::MachineLost), "lost its machine", false),
            (PlaceState::Ended(End::OutOfMemory), "ran out of memory", true),
            (PlaceState::Ended(End::Failed), "failed", true),
            (PlaceState::Ended(End::Unknown), "is gone", false),
        ];
        for (state, words, has_failed) in states {
            assert_eq!((state.to_string().as_str(), state.has_failed()), (words, has_failed));
            assert_eq!(state.is_there(), !matches!(state, PlaceState::Ended(_)));
        }
    }
}
