//! Calls SLURM's programs.

use super::commands::{Call, Commands};
use super::job_name::JobName;
use super::jobs::{Jobs, News};
use super::listing::{JobId, SQUEUE, rows, submitted};
use super::options::{OptionsError, SlurmOptions};
use super::refused::{Done, NotDone, outcome};
use super::script::script;
use crate::backoff::{Backoff, EarlyFailures};
use crate::provider::{Cause, Place, Provider, Refusal, Release};
use std::time::Duration;

/// Seconds between two calls of `squeue`, at least.
const BETWEEN_LOOKS: f64 = 5.0;
/// `squeue` is called at most for such a part of the time: it is slow where SLURM has much to do.
const LOOKING_SHARE: f64 = 0.05;
/// Jobs that are asked for at once: sites allow arrays of 1001 unless they say otherwise.
const LARGEST_ARRAY: usize = 500;
/// Jobs that are named in one call.
const NAMED_AT_ONCE: usize = 200;
/// Seconds before each look whether all jobs have gone, at the end: they have been told, and need no more than a
/// moment.
const LAST_LOOKS: [f64; 5] = [0.5, 1.0, 2.0, 4.0, 8.0];

/// Workers as jobs of SLURM.
pub struct SlurmProvider<C> {
    options: SlurmOptions,
    name: JobName,
    commands: C,
    jobs: Jobs,
    next_look: f64,
    failures: EarlyFailures,
    asking: Backoff,
    looking: Backoff,
    releasing: Backoff,
}

impl<C: Commands> SlurmProvider<C> {
    /// A provider whose jobs are called `name`. Nothing is asked of SLURM yet.
    ///
    /// # Errors
    /// If the options cannot be written into a script.
    pub fn new(options: SlurmOptions, name: JobName, commands: C) -> Result<Self, OptionsError> {
        options.check()?;
        Ok(SlurmProvider {
            jobs: Jobs::new(name.clone()),
            options,
            name,
            commands,
            next_look: f64::NEG_INFINITY,
            failures: EarlyFailures::default(),
            asking: Backoff::default(),
            looking: Backoff::default(),
            releasing: Backoff::default(),
        })
    }

    /// What is submitted for `count` workers.
    pub fn script(&self, count: usize) -> String {
        script(&self.options, self.name.as_str(), count)
    }

    fn call(&mut self, program: &'static str, words: Vec<String>, input: String) -> Result<Done, NotDone> {
        outcome(program, self.commands.call(&Call { program, words, input }))
    }

    /// Asks SLURM for the states of all jobs.
    fn look(&mut self, now: f64) -> Result<(), Refusal> {
        self.looking.may(now)?;
        let listed = self.call("squeue", SQUEUE.map(String::from).to_vec(), String::new()).and_then(|done| {
            let words = |error| NotDone { cause: Cause::Silent, words: format!("{error}") };
            Ok((rows(&done.says).map_err(words)?, done.seconds))
        });
        match listed {
            Ok((rows, seconds)) => {
                self.looking.done();
                self.next_look = now + (seconds / LOOKING_SHARE).max(BETWEEN_LOOKS);
                let news = self.jobs.listed(&rows, now);
                self.hear(news, now);
                Ok(())
            }
            Err(NotDone { cause, words }) => Err(self.looking.refused(cause, words, now)),
        }
    }

    fn hear(&mut self, news: News, now: f64) {
        if !news.left_behind.is_empty() && self.releasing.may(now).is_ok() {
            // What could not be cancelled is found again by the next look.
            let _ = self.cancel(&news.left_behind, now);
        }
        if news.one_works {
            self.failures.one_works();
            self.asking.done();
        }
        self.failures.add(news.failed_early.len());
        if let Some(failed) = news.failed_early.last().filter(|_| self.failures.are_no_accident()) {
            self.asking.refused(Cause::Fruitless, self.with_last_line(&failed.name, &failed.words), now);
        }
    }

    /// What SLURM says of a worker that has failed, and the worker's own last line, if that is kept.
    fn with_last_line(&self, name: &str, words: &str) -> String {
        let said = self.last_line(name).map(|line| format!(": {line}")).unwrap_or_default();
        format!("{words}{said}")
    }

    fn last_line(&self, name: &str) -> Option<String> {
        let log = self.options.logs.as_ref()?.join(format!("{name}.log"));
        let text = String::from_utf8_lossy(&std::fs::read(log).ok()?).into_owned();
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        Some(line.trim_start_matches("dolmen: ").to_string())
    }

    /// All jobs were told to go: comes back when SLURM lists none of them any more, or does not say. Nothing that is
    /// learned here depends on the time any more: it stays that at which they were told.
    fn wait_for_all(&mut self, told: f64) {
        for pause in LAST_LOOKS {
            if self.jobs.count() == 0 {
                return;
            }
            std::thread::sleep(Duration::from_secs_f64(pause));
            if self.look(told).is_err() {
                return;
            }
        }
    }

    fn cancel(&mut self, ids: &[JobId], now: f64) -> Result<(), Refusal> {
        for some in ids.chunks(NAMED_AT_ONCE) {
            let words = ["--quiet".to_string()].into_iter().chain(some.iter().map(JobId::to_string));
            self.scancel(words.collect(), now)?;
            self.jobs.released(some);
        }
        Ok(())
    }

    fn scancel(&mut self, words: Vec<String>, now: f64) -> Result<(), Refusal> {
        match self.call("scancel", words, String::new()) {
            Err(NotDone { cause, words }) if !is_over(&words) => {
                Err(self.releasing.refused(cause, words, now))
            }
            _ => {
                self.releasing.done();
                // What has become of them is of interest soon.
                self.next_look = self.next_look.min(now + BETWEEN_LOOKS);
                Ok(())
            }
        }
    }
}

/// Whether a job could not be cancelled since it has ended.
fn is_over(words: &str) -> bool {
    let words = words.to_lowercase();
    ["invalid job id", "already completing or completed"].iter().any(|part| words.contains(part))
}

impl<C: Commands> Provider for SlurmProvider<C> {
    fn ask(&mut self, count: usize, now: f64) -> Result<Vec<String>, Refusal> {
        self.asking.may(now)?;
        // The maximum is counted by what SLURM says, not by what is remembered.
        self.look(now)?;
        // The look may have found that workers fail as soon as they start.
        self.asking.may(now)?;
        let count = count.min(self.options.most.saturating_sub(self.jobs.count())).min(LARGEST_ARRAY);
        if count == 0 {
            return Ok(Vec::new());
        }
        let done = self.call("sbatch", vec!["--parsable".into()], self.script(count)).and_then(|done| {
            let words = format!("sbatch printed {:?}, which is no number of a job", done.says);
            submitted(&done.says).ok_or(NotDone { cause: Cause::ForNow, words })
        });
        match done {
            Ok(array) => {
                if !self.failures.are_no_accident() {
                    self.asking.done();
                }
                Ok(self.jobs.asked(array, count, now))
            }
            Err(NotDone { cause, words }) => Err(self.asking.refused(cause, words, now)),
        }
    }

    fn state(&mut self, now: f64) -> Result<Vec<Place>, Refusal> {
        if now >= self.next_look {
            self.look(now)?;
        }
        let mut places = self.jobs.places();
        for place in places.iter_mut().filter(|place| place.state.has_failed()) {
            place.words =
                self.with_last_line(&place.name, &format!("worker {}: {}", place.name, place.words));
        }
        Ok(places)
    }

    fn release(&mut self, which: Release<'_>, now: f64) -> Result<(), Refusal> {
        if which != Release::All {
            self.releasing.may(now)?;
        }
        let ids = self.jobs.there(which);
        if let Some(words) = self.jobs.stuck(&ids) {
            // Another one like it would not begin either.
            self.asking.refused(Cause::Fruitless, words, now);
        }
        if which == Release::All {
            // Also what was submitted by a call that did not come back.
            self.scancel(vec!["--quiet".into(), format!("--name={}", self.name.as_str())], now)?;
        }
        self.cancel(&ids, now)?;
        if which == Release::All {
            self.wait_for_all(now);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
