//! Why a run came to nothing, and who has to mend it.

/// Who has to mend a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Blame {
    /// The input or the request is wrong.
    Request,
    /// Something broke while it ran.
    Run,
    /// Numbers on the way to the result were too large for their type.
    Overflow,
}

/// Why a run came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub blame: Blame,
    pub message: String,
}

impl Failure {
    /// The request is wrong.
    pub fn of_request(why: impl ToString) -> Failure {
        Failure { blame: Blame::Request, message: why.to_string() }
    }

    /// Something broke while it ran.
    pub fn of_run(why: impl ToString) -> Failure {
        Failure { blame: Blame::Run, message: why.to_string() }
    }
}
