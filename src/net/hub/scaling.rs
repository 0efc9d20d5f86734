//! What an autoscaler sees of the scheduler, and what it does there.

use super::Hub;
use super::members::Member;
use crate::actors::autoscaler::{Autoscaled, Changed, DrainWorkers, LetGoWorker, LookAround, TellChanges};
use crate::actors::demand::{self, Outlook};
use crate::ids::WorkerId;
use crate::protocol::AutoscalerStatus;
use actix::{Context, Handler, MessageResult, Recipient};
use cluster::device::FileUse;
use cluster::scaling::{Present, Survey};

/// Who starts and ends workers, if anybody does.
#[derive(Default)]
pub(super) struct Scaled {
    hears: Option<Recipient<Changed>>,
    pub status: Option<AutoscalerStatus>,
}

impl Hub {
    pub(super) fn changed(&self) {
        if let Some(hears) = &self.scaled.hears {
            hears.do_send(Changed);
        }
    }

    /// What keeps workers away; empty if nothing does.
    pub(super) fn trouble(&self) -> String {
        let status = self.scaled.status.as_ref().filter(|status| !status.words.is_empty());
        status.map_or_else(String::new, |status| format!("{}: {}", status.provider, status.words))
    }

    /// Whoever starts workers gives no others until somebody changes something.
    pub(super) fn is_hopeless(&self) -> bool {
        self.scaled.status.as_ref().is_some_and(|status| status.hopeless)
    }

    fn survey(&self) -> Survey {
        let waiting = self.waiting.iter().map(|request| demand::guessed(request.program.stages()));
        let Outlook { demand, is_short_of_room } =
            demand::of_runs(self.runs.values().map(|run| run.core()), waiting);
        let is_wanted = !self.runs.is_empty() || self.preparing.is_some() || !self.waiting.is_empty();
        let ages = self.runs.values().map(|run| run.since_submitted());
        let ages = ages.chain(self.waiting.iter().map(|request| request.submitted.elapsed()));
        let age = ages.max().unwrap_or_default().as_secs_f64();
        let needs = self.clients.values().map(|client| client.needs as usize).max().unwrap_or(0);
        let workers = self.members.all().map(|(worker, member)| self.present(worker, member)).collect();
        let needed = needs.max(usize::from(is_wanted));
        Survey { demand, age, needed, session: needs > 0, is_short_of_room, workers }
    }

    fn present(&self, worker: WorkerId, member: &Member) -> Present {
        Present {
            name: member.name.clone(),
            cores: member.seats.all().threads.compute as u32,
            is_idle: self.runs.values().all(|run| demand::is_idle(run.core(), worker)),
            is_leaving: member.draining,
            age: member.joined.elapsed().as_secs_f64(),
            room: self.room_of(worker).unwrap_or(member.seats.large.budget) as f64,
            files: self.files_of(worker),
        }
    }
}

impl Hub {
    /// Bytes of blocks that runs may hold there. None if it takes part in none.
    fn room_of(&self, worker: WorkerId) -> Option<u64> {
        let views = self.runs.values().filter_map(|run| run.core().look_at(worker));
        views.map(|view| view.limit).reduce(u64::saturating_add)
    }

    fn files_of(&self, worker: WorkerId) -> FileUse {
        let mut used = FileUse::default();
        for report in self.runs.values().filter_map(|run| run.files.get(&worker)) {
            used.bytes += report.bytes as f64;
            used.waited += report.waited;
        }
        used
    }
}

impl Handler<TellChanges> for Hub {
    type Result = ();

    fn handle(&mut self, TellChanges(hears): TellChanges, _: &mut Self::Context) {
        self.scaled.hears = Some(hears);
    }
}

impl Handler<LookAround> for Hub {
    type Result = MessageResult<LookAround>;

    fn handle(&mut self, _: LookAround, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.survey())
    }
}

impl Handler<DrainWorkers> for Hub {
    type Result = ();

    fn handle(&mut self, DrainWorkers(names): DrainWorkers, ctx: &mut Context<Self>) {
        let meant = self.members.all().filter(|(_, member)| names.contains(&member.name));
        let meant: Vec<WorkerId> = meant.map(|(worker, _)| worker).collect();
        meant.into_iter().for_each(|worker| self.drain(worker, ctx));
    }
}

impl Handler<LetGoWorker> for Hub {
    type Result = ();

    fn handle(&mut self, LetGoWorker(name): LetGoWorker, ctx: &mut Context<Self>) {
        let leaves = |(_, member): &(WorkerId, &Member)| member.name == name && member.draining;
        let Some(worker) = self.members.all().find(leaves).map(|(worker, _)| worker) else { return };
        self.let_go(worker);
        self.lose(worker, ctx);
    }
}

impl Handler<Autoscaled> for Hub {
    type Result = ();

    fn handle(&mut self, Autoscaled(status): Autoscaled, _: &mut Self::Context) {
        let before = (self.trouble(), self.is_hopeless());
        self.scaled.status = Some(status);
        if (self.trouble(), self.is_hopeless()) != before {
            self.tell_watchers();
        }
    }
}
