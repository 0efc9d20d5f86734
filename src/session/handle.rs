//! Computations beside the caller.

use super::error::Error;
use crate::actors::Progress;
use futures_channel::oneshot;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A computation that runs beside the caller: wait for it, or await it.
pub struct Handle<R> {
    pub(super) answer: oneshot::Receiver<Result<R, Error>>,
    pub(super) progress: Arc<Progress>,
}

impl<R> Handle<R> {
    /// Blocks until the result is there.
    pub fn wait(self) -> Result<R, Error> {
        futures_executor::block_on(self.answer).unwrap_or_else(|_| Err(gone()))
    }

    /// How far its current run is.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }
}

impl<R> Future for Handle<R> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(gone())))
    }
}

fn gone() -> Error {
    Error::Run("the session ended before its run".into())
}
