//! What a session can answer instead of a result.

use crate::array::ArrayError;
use crate::failure::{Blame, Failure};
use crate::files::FileError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request was wrong; the message says what and how to mend it.
    #[error("{0}")]
    Request(String),
    /// It was begun and failed.
    #[error("{0}")]
    Run(String),
    /// Numbers on the way to the result, or the result, are too large for the element type.
    #[error("{0}")]
    Overflow(String),
}

impl Error {
    /// Names logs in which more is said.
    #[must_use]
    pub fn with_logs(self, logs: &[PathBuf]) -> Error {
        if logs.is_empty() {
            return self;
        }
        let logs: Vec<String> = logs.iter().map(|log| log.display().to_string()).collect();
        let add = |message: String| format!("{message}; see {}", logs.join(", "));
        match self {
            Error::Request(message) => Error::Request(add(message)),
            Error::Run(message) => Error::Run(add(message)),
            Error::Overflow(message) => Error::Overflow(add(message)),
        }
    }

    /// The exit code of the command line: 2 for a wrong request, 1 for a failed run.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Request(_) => 2,
            Error::Run(_) | Error::Overflow(_) => 1,
        }
    }
}

impl From<ArrayError> for Error {
    fn from(error: ArrayError) -> Self {
        Error::Request(error.to_string())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure.blame {
            Blame::Request => Error::Request(failure.message),
            Blame::Run => Error::Run(failure.message),
            Blame::Overflow => Error::Overflow(failure.message),
        }
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        if error.is_request_error() {
            Error::Request(error.to_string())
        } else {
            Error::Run(error.to_string())
        }
    }
}
