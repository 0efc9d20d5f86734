//! For tests of what workers do when nobody answers them.

use super::messages::{FromWorkers, Lost};
use actix::{Actor, Context, Handler};

/// Hears what a worker has to say and does nothing about it.
pub struct Deaf;

impl Actor for Deaf {
    type Context = Context<Self>;
}

impl Handler<FromWorkers> for Deaf {
    type Result = ();
    fn handle(&mut self, _: FromWorkers, _: &mut Self::Context) {}
}

impl Handler<Lost> for Deaf {
    type Result = ();
    fn handle(&mut self, _: Lost, _: &mut Self::Context) {}
}
