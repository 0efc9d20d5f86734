//! Decides how many workers there are, in a cluster or in one process, and has them started and ended.
//!
//! An actor beside the scheduler's. Every so often, and whenever something changes there, it asks the provider what
//! places there are, then the scheduler what is to be done and who is there, and does what [`Scaling`] says. Calls of
//! the provider may block for long: they are made on a thread of their own, one after the other.

use crate::failure::Failure;
use crate::protocol::AutoscalerStatus;
use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Recipient, WrapFuture};
use cluster::provider::{Cause, Place, PlaceState, Provider, Refusal, Release};
use cluster::scaling::{Rules, Scaling, ScalingOrders, Survey};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// There may be more or less to do, or to do it with.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Changed;

/// From now on tell whenever something changes.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct TellChanges(pub Recipient<Changed>);

/// What is to be done, and who is there?
#[derive(actix::Message)]
#[rtype(result = "Survey")]
pub struct LookAround;

/// These workers are to hand over what they have, and to leave.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct DrainWorkers(pub Vec<String>);

/// This worker is to go at once. What only it has is made again.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct LetGoWorker(pub String);

/// What the autoscaler has done, for whoever asks.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Autoscaled(pub AutoscalerStatus);

/// A scheduler whose workers are started and ended.
#[derive(Clone)]
pub struct Scaled {
    look: Recipient<LookAround>,
    drain: Recipient<DrainWorkers>,
    tell_changes: Recipient<TellChanges>,
    /// None where workers leave only when they are told to by the autoscaler.
    let_go: Option<Recipient<LetGoWorker>>,
    /// Hears what is done and why.
    status: Option<Recipient<Autoscaled>>,
}

impl Scaled {
    pub fn new<S>(scheduler: &Addr<S>) -> Scaled
    where
        S: Actor<Context = Context<S>> + Handler<LookAround> + Handler<DrainWorkers> + Handler<TellChanges>,
    {
        Scaled {
            look: scheduler.clone().recipient(),
            drain: scheduler.clone().recipient(),
            tell_changes: scheduler.clone().recipient(),
            let_go: None,
            status: None,
        }
    }

    /// Workers may leave by themselves, all at once.
    pub fn letting_go(self, hears: Recipient<LetGoWorker>) -> Scaled {
        Scaled { let_go: Some(hears), ..self }
    }

    /// `hears` is told what is done and why.
    pub fn telling(self, hears: Recipient<Autoscaled>) -> Scaled {
        Scaled { status: Some(hears), ..self }
    }
}

/// What is asked of the provider's thread.
enum Call {
    Look,
    Act {
        ask: usize,
        release: Vec<String>,
    },
    /// Nobody is wanted any more.
    End,
}

/// How many workers there are is decided by this actor.
struct Autoscaler {
    scheduler: Scaled,
    /// So often it looks without being told.
    period: Duration,
    calls: mpsc::Sender<Call>,
    clock: Clock,
    scaling: Scaling,
    /// As the provider told last.
    places: Vec<Place>,
    /// The provider's thread is at work for this actor, or the scheduler was asked.
    is_busy: bool,
    /// Something has changed meanwhile.
    has_changed: bool,
    trouble: Trouble,
    /// When something was done last.
    decided: f64,
    status: AutoscalerStatus,
}

/// What does not go well, or not yet, in the provider's words.
#[derive(Default)]
struct Trouble {
    looking: Option<Refusal>,
    asking: Option<Refusal>,
    releasing: Option<Refusal>,
    /// Of a worker that has failed, until the next one comes.
    failed: Option<String>,
    /// Of a place that waits for a machine.
    waiting: Option<String>,
}

/// Seconds since the autoscaler began.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// An autoscaler at work.
pub struct Running {
    calls: mpsc::Sender<Call>,
    thread: Option<JoinHandle<WorkersEnd>>,
}

/// What is left to say of workers when all of them have been ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WorkersEnd {
    /// Those that have failed.
    pub failed: Vec<String>,
    /// Why some may be left, in the provider's words.
    pub may_be_left: Option<String>,
}

/// What an autoscaler goes by.
pub struct Terms {
    /// What users call the provider.
    pub name: &'static str,
    pub rules: Rules,
    /// So often it looks without being told.
    pub period: Duration,
}

/// Begins to start and end workers. Must be called within an actix system.
///
/// # Errors
/// If there is no thread for the provider.
pub fn start(scheduler: Scaled, provider: Box<dyn Provider>, terms: Terms) -> Result<Running, Failure> {
    let Terms { name, rules, period } = terms;
    let clock = Clock(Instant::now());
    let (calls, to_do) = mpsc::channel();
    let status = AutoscalerStatus {
        provider: name.into(),
        min_workers: rules.least as u64,
        max_workers: rules.most as u64,
        ..AutoscalerStatus::default()
    };
    let autoscaler = Autoscaler {
        scheduler: scheduler.clone(),
        period,
        calls: calls.clone(),
        clock,
        scaling: Scaling::new(rules),
        places: Vec::new(),
        is_busy: false,
        has_changed: false,
        trouble: Trouble::default(),
        decided: 0.0,
        status,
    };
    let autoscaler = autoscaler.start();
    scheduler.tell_changes.do_send(TellChanges(autoscaler.clone().recipient()));
    let serve = move || serve(provider, &to_do, clock, &autoscaler);
    let thread = std::thread::Builder::new().name("dolmen-provider".into()).spawn(serve);
    let thread = thread.map_err(|error| Failure::of_run(format!("cannot start the provider: {error}")))?;
    Ok(Running { calls, thread: Some(thread) })
}

impl Running {
    /// Ends all workers. Blocks until the provider has seen to it.
    pub fn end(mut self) -> WorkersEnd {
        self.end_once()
    }

    fn end_once(&mut self) -> WorkersEnd {
        // It may have ended by a panic, which was told.
        let _ = self.calls.send(Call::End);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Running {
    /// The same, where nobody wants to know how it ended.
    fn drop(&mut self) {
        self.end_once();
    }
}

/// Makes the calls of the provider.
fn serve(
    mut provider: Box<dyn Provider>,
    to_do: &mpsc::Receiver<Call>,
    clock: Clock,
    tell: &Addr<Autoscaler>,
) -> WorkersEnd {
    let mut failed = Vec::new();
    let mut note = |places: &[Place]| {
        let names = places.iter().filter(|place| place.state.has_failed()).map(|place| place.name.clone());
        failed.extend(names);
    };
    for call in to_do {
        match call {
            Call::Look => {
                let looked = provider.state(clock.now());
                looked.iter().for_each(|places| note(places));
                tell.do_send(Looked(looked));
            }
            Call::Act { ask, release } => {
                let released = match release.is_empty() {
                    true => Ok(()),
                    false => provider.release(Release::These(&release), clock.now()),
                };
                let asked = if ask > 0 { provider.ask(ask, clock.now()) } else { Ok(Vec::new()) };
                tell.do_send(Acted { asked: (ask > 0).then_some(asked), released });
            }
            Call::End => break,
        }
    }
    let may_be_left = provider.release(Release::All, clock.now()).err().map(|refusal| refusal.words);
    may_be_left.iter().for_each(|words| tracing::warn!("autoscaler: workers may be left: {words}"));
    // What it does not know any more has been told.
    let _ = provider.state(clock.now()).map(|places| note(&places));
    WorkersEnd { failed, may_be_left }
}

/// What places there are.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Looked(Result<Vec<Place>, Refusal>);

/// What came of the orders. `asked` is none if nobody was asked for.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Acted {
    asked: Option<Result<Vec<String>, Refusal>>,
    released: Result<(), Refusal>,
}

impl Actor for Autoscaler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.period, |autoscaler, _| autoscaler.look());
        self.look();
    }
}

impl Autoscaler {
    fn look(&mut self) {
        if self.is_busy {
            self.has_changed = true;
            return;
        }
        (self.is_busy, self.has_changed) = (true, false);
        self.call(Call::Look);
    }

    fn call(&self, call: Call) {
        // The thread goes when the scheduler ends, and nothing is done any more.
        let _ = self.calls.send(call);
    }

    fn decide(&mut self, survey: &Survey) {
        let now = self.clock.now();
        let is_of_us = |name: &String| self.places.iter().any(|place| place.name == *name);
        if survey.workers.iter().any(|worker| is_of_us(&worker.name)) {
            self.trouble.failed = None;
        }
        let orders = self.scaling.step(survey, &self.places, now);
        self.status.wanted = orders.wanted as u64;
        self.status.asked_for = orders.coming as u64;
        self.status.leaving = orders.away as u64;
        self.status.now = orders.reasons.join("; ");
        let ScalingOrders { ask, drain, let_go, release, .. } = orders;
        if let (Some(name), Some(hears)) = (let_go, &self.scheduler.let_go) {
            hears.do_send(LetGoWorker(name.clone()));
            self.did(&format!("{name} goes at once"));
        }
        if !drain.is_empty() {
            self.did(&format!("{} sent away", drain.join(", ")));
            self.scheduler.drain.do_send(DrainWorkers(drain));
        }
        if !release.is_empty() {
            self.did(&format!("{} taken back", release.join(", ")));
        }
        if ask > 0 || !release.is_empty() {
            self.call(Call::Act { ask, release });
        } else {
            self.end_turn();
        }
    }

    /// Keeps what was done, and says it.
    fn did(&mut self, decision: &str) {
        self.decided = self.clock.now();
        self.status.decision = decision.into();
        self.status.reason = self.status.now.clone();
        tracing::info!("autoscaler: {decision}: {}", self.status.reason);
    }

    fn end_turn(&mut self) {
        self.is_busy = false;
        let now = self.clock.now();
        self.status.seconds_ago = now - self.decided;
        let (words, again) = self.trouble.told();
        self.status.words = words;
        self.status.asked_again_in = again.map(|again| (again - now).max(0.0));
        self.status.hopeless = self.trouble.is_hopeless();
        if let Some(hears) = &self.scheduler.status {
            hears.do_send(Autoscaled(self.status.clone()));
        }
        if self.has_changed {
            self.look();
        }
    }
}

impl Trouble {
    /// Another worker is refused until somebody changes something, or would fail like those before it.
    fn is_hopeless(&self) -> bool {
        let cause = self.asking.as_ref().map(|refusal| refusal.cause);
        matches!(cause, Some(Cause::ForGood | Cause::Fruitless))
    }

    /// The worst of it, in one line, and when it is tried again.
    fn told(&self) -> (String, Option<f64>) {
        let refusal = self.asking.as_ref().or(self.looking.as_ref()).or(self.releasing.as_ref());
        match refusal {
            Some(refusal) => (refusal.words.clone(), Some(refusal.again)),
            None => (self.failed.clone().or(self.waiting.clone()).unwrap_or_default(), None),
        }
    }
}

/// Notes whether something went well. What is new is said.
fn note(trouble: &mut Option<Refusal>, result: Result<(), Refusal>) {
    let refusal = result.err();
    if let Some(new) = refusal.as_ref().filter(|new| Some(*new) != trouble.as_ref()) {
        tracing::warn!("autoscaler: {new}");
    }
    *trouble = refusal;
}

impl Handler<Changed> for Autoscaler {
    type Result = ();

    fn handle(&mut self, _: Changed, _: &mut Self::Context) {
        self.look();
    }
}

impl Handler<Looked> for Autoscaler {
    type Result = ();

    fn handle(&mut self, Looked(places): Looked, ctx: &mut Self::Context) {
        // What was known before still counts.
        let known = places.map(|places| self.places = places);
        note(&mut self.trouble.looking, known);
        for place in self.places.iter().filter(|place| place.state.has_failed()) {
            tracing::warn!("autoscaler: {}", place.words);
            self.trouble.failed = Some(place.words.clone());
        }
        self.places.retain(|place| place.state.is_there());
        let waits = |place: &&Place| place.state == PlaceState::Waiting && !place.words.is_empty();
        self.trouble.waiting =
            self.places.iter().find(waits).map(|place| format!("{} is {}", place.name, place.words));
        let survey = self.scheduler.look.send(LookAround).into_actor(self);
        ctx.spawn(survey.map(|survey, autoscaler, _| match survey {
            Ok(survey) => autoscaler.decide(&survey),
            // The scheduler has ended.
            Err(_) => autoscaler.is_busy = false,
        }));
    }
}

impl Handler<Acted> for Autoscaler {
    type Result = ();

    fn handle(&mut self, Acted { asked, released }: Acted, _: &mut Self::Context) {
        note(&mut self.trouble.releasing, released);
        match asked {
            None => {}
            Some(Ok(names)) => {
                note(&mut self.trouble.asking, Ok(()));
                if !names.is_empty() {
                    self.did(&format!("asked for {}", names.join(", ")));
                }
            }
            Some(Err(refusal)) => note(&mut self.trouble.asking, Err(refusal)),
        }
        self.end_turn();
    }
}
