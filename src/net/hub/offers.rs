//! What workers have kept of runs whose scheduler was lost. A run goes on with what is offered of it when it begins
//! here; who comes later, or has kept something else, lets that go.

use super::{Hub, Request};
use crate::ids::WorkerId;
use crate::protocol::{Portion, RunIdentity, ToWorkerProcess};
use crate::sched::Holding;
use actix::{AsyncContext, Context};
use std::time::Duration;

impl Hub {
    /// A worker has offered something: it is kept as long as clients may just have found this scheduler.
    pub(super) fn await_clients_of(&mut self, worker: WorkerId, ctx: &mut Context<Self>) {
        let Some(member) = self.members.get(worker).filter(|member| !member.offers.is_empty()) else {
            return;
        };
        tracing::info!("worker {} has kept what it holds of a run", member.name);
        let grace = self.members.grace().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let rest = grace.unwrap_or_default().saturating_sub(self.began.elapsed());
        ctx.run_later(rest, move |hub, ctx| hub.let_offers_go(worker, ctx));
    }

    /// No client has come for what this worker offers.
    fn let_offers_go(&mut self, worker: WorkerId, ctx: &mut Context<Self>) {
        let Some(member) = self.members.get_mut(worker) else { return };
        if !std::mem::take(&mut member.offers).is_empty() {
            tracing::info!("worker {} lets go what it had kept: nobody has asked for that run", member.name);
        }
        // What it goes on with it does not keep any more.
        member.send(ToWorkerProcess::LetGo);
        self.start_next(ctx);
    }

    /// The run takes this portion of a worker. What that has kept of the run, if it is to go on with it.
    pub(super) fn take_offer(
        &mut self,
        worker: WorkerId,
        portion: Portion,
        run: Option<RunIdentity>,
    ) -> Option<Holding> {
        let member = self.members.get_mut(worker)?;
        let at = member.offers.iter().position(|offer| offer.portion == portion)?;
        let offer = member.offers.swap_remove(at);
        (Some(offer.run) == run).then_some(offer.holding)
    }

    /// The first in line that may have this portion: where something is kept, only the run that it is of.
    pub(super) fn first_for(&self, portion: Portion) -> Option<usize> {
        let is_kept = !self.offered_of(portion).is_empty();
        self.waiting.iter().position(|request| match self.kept_in(request) {
            Some(kept) => kept == portion,
            None => !is_kept && (portion == Portion::Large || !request.is_large),
        })
    }

    /// The portion in which workers have kept something of this run.
    fn kept_in(&self, request: &Request) -> Option<Portion> {
        let run = request.identity?;
        let mut portions = [Portion::Large, Portion::Small].into_iter();
        portions.find(|portion| self.offered_of(*portion).contains(&run))
    }

    fn offered_of(&self, portion: Portion) -> Vec<RunIdentity> {
        let offers = self.members.staying().flat_map(|member| &member.offers);
        offers.filter(|offer| offer.portion == portion).map(|offer| offer.run).collect()
    }
}
