use super::super::commands::Called;
use super::super::testing::options;
use super::*;
use crate::life::Life;
use crate::provider::{End, PlaceState};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// A SLURM that answers as it is told, in order, and keeps what it was asked.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    answers: VecDeque<(&'static str, Called)>,
    calls: Vec<Call>,
}

impl Commands for Fake {
    fn call(&mut self, call: &Call) -> Called {
        let mut script = self.0.lock().unwrap();
        script.calls.push(call.clone());
        let (program, answer) =
            script.answers.pop_front().unwrap_or_else(|| panic!("{call:?} is not expected"));
        assert_eq!(call.program, program);
        answer
    }
}

impl Fake {
    fn will(&self, program: &'static str, answer: Called) {
        self.0.lock().unwrap().answers.push_back((program, answer));
    }

    fn says(&self, program: &'static str, says: &str) {
        self.takes(program, says, 0.01);
    }

    fn takes(&self, program: &'static str, says: &str, seconds: f64) {
        self.will(program, Called::Ended { ok: true, says: says.into(), complains: String::new(), seconds });
    }

    fn complains(&self, program: &'static str, complains: &str) {
        let complains = complains.into();
        self.will(program, Called::Ended { ok: false, says: String::new(), complains, seconds: 0.01 });
    }

    /// The words of the last call. All that was to be answered has been asked for.
    fn last(&self) -> String {
        let script = self.0.lock().unwrap();
        assert!(script.answers.is_empty(), "not asked for: {:?}", script.answers);
        let last = script.calls.last().expect("a call");
        format!("{} {}", last.program, last.words.join(" "))
    }

    fn calls(&self) -> usize {
        self.0.lock().unwrap().calls.len()
    }
}

fn name(life: u64) -> JobName {
    JobName::new("/home/me/cluster.json", Life(life))
}

fn provider(most: usize) -> (SlurmProvider<Fake>, Fake) {
    let fake = Fake::default();
    let options = SlurmOptions { most, ..options() };
    (SlurmProvider::new(options, name(2), fake.clone()).expect("options"), fake)
}

/// One that has been given these jobs, of array 7.
fn provider_with_jobs(most: usize, jobs: usize) -> (SlurmProvider<Fake>, Fake, Vec<String>) {
    let (mut provider, fake) = provider(most);
    fake.says("squeue", "");
    fake.says("sbatch", "7\n");
    let names = provider.ask(jobs, 0.0).unwrap();
    (provider, fake, names)
}

/// Lines of `squeue` for jobs of array 7 in these states, of this life.
fn listing(states: &[&str]) -> String {
    let lines = states
        .iter()
        .enumerate()
        .map(|(index, state)| format!("7_{index}|{state}|10:00|0:05|None|{}\n", name(2).as_str()));
    lines.collect()
}

fn states(provider: &mut SlurmProvider<Fake>, now: f64) -> Vec<PlaceState> {
    provider.state(now).expect("places").into_iter().map(|place| place.state).collect()
}

#[test]
fn workers_are_asked_for_as_one_array() {
    let (mut provider, fake) = provider(8);
    fake.says("squeue", "");
    fake.says("sbatch", "7\n");
    assert_eq!(provider.ask(3, 0.0).unwrap(), ["slurm-7_0", "slurm-7_1", "slurm-7_2"]);
    assert_eq!(fake.last(), "sbatch --parsable");
    let submitted = fake.0.lock().unwrap().calls[1].input.clone();
    assert_eq!(submitted, script(&provider.options, name(2).as_str(), 3));
    // They are in the state at once, without another call.
    assert_eq!(states(&mut provider, 1.0), [PlaceState::Waiting; 3]);
    fake.says("squeue", &listing(&["RUNNING", "PENDING", "CONFIGURING"]));
    let expected = [PlaceState::Running, PlaceState::Waiting, PlaceState::Starting];
    assert_eq!(states(&mut provider, 5.0), expected);
    assert_eq!(fake.last(), format!("squeue {}", SQUEUE.join(" ")));
}

#[test]
fn never_more_than_the_maximum_by_what_slurm_says() {
    let (mut provider, fake) = provider(4);
    // One was given up, and runs on; three came from a call that was thought lost.
    fake.says("squeue", &listing(&["RUNNING", "COMPLETING", "PENDING"]));
    fake.says("sbatch", "8\n");
    assert_eq!(provider.ask(9, 0.0).unwrap(), ["slurm-8_0"]);
    fake.says("squeue", &listing(&["RUNNING", "COMPLETING", "PENDING"]));
    assert_eq!(provider.ask(1, 1.0).unwrap(), [""; 0]);
    assert_eq!(fake.calls(), 3);
    fake.last();
}

#[test]
fn what_is_released_counts_until_slurm_says_that_it_is_gone() {
    let (mut provider, fake, names) = provider_with_jobs(1, 1);
    fake.says("scancel", "");
    provider.release(Release::These(&names), 1.0).unwrap();
    assert_eq!(fake.last(), "scancel --quiet 7_0");
    fake.says("squeue", &listing(&["RUNNING"]));
    assert_eq!(provider.ask(1, 2.0).unwrap(), [""; 0]);
    assert_eq!(states(&mut provider, 3.0), [PlaceState::Leaving]);
    fake.says("squeue", &listing(&["CANCELLED"]));
    fake.says("sbatch", "8");
    assert_eq!(provider.ask(1, 9.0).unwrap(), ["slurm-8_0"]);
    assert_eq!(states(&mut provider, 9.0), [PlaceState::Ended(End::Cancelled), PlaceState::Waiting]);
    assert_eq!(states(&mut provider, 9.5), [PlaceState::Waiting]);
    // Nothing to cancel is no call.
    provider.release(Release::These(&names), 10.0).unwrap();
    fake.last();
}

#[test]
fn a_refusal_is_told_in_slurms_words_and_not_asked_for_again_too_soon() {
    for (complaint, cause, wait) in [
        (
            "sbatch: error: Batch job submission failed: Invalid partition name specified",
            Cause::ForGood,
            600.0,
        ),
        ("sbatch: error: Batch job submission failed: Resource temporarily unavailable", Cause::ForNow, 15.0),
        (
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
            Cause::Silent,
            10.0,
        ),
    ] {
        let (mut provider, fake) = provider(8);
        fake.says("squeue", "");
        fake.complains("sbatch", complaint);
        let refusal = provider.ask(2, 100.0).unwrap_err();
        assert_eq!((refusal.cause, refusal.again), (cause, 100.0 + wait));
        assert_eq!(refusal.words, complaint.replacen("sbatch: error", "sbatch", 1));
        assert_eq!(provider.ask(2, 100.0 + wait - 1.0).unwrap_err(), refusal);
        assert_eq!(fake.calls(), 2);
        fake.says("squeue", "");
        fake.says("sbatch", "7");
        assert_eq!(provider.ask(1, 100.0 + wait).unwrap(), ["slurm-7_0"]);
        fake.last();
    }
}

#[test]
fn without_slurm_the_refusal_is_for_good() {
    let (mut provider, fake) = provider(8);
    fake.will("squeue", Called::NotStarted("squeue: No such file or directory (os error 2)".into()));
    let refusal = provider.state(0.0).unwrap_err();
    assert_eq!((refusal.cause, refusal.to_string().lines().count()), (Cause::ForGood, 1));
}

#[test]
fn while_squeue_fails_nothing_is_asked_for_and_what_was_known_stays() {
    let (mut provider, fake, _) = provider_with_jobs(8, 1);
    fake.complains("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)");
    let refusal = provider.state(5.0).unwrap_err();
    assert_eq!((refusal.cause, refusal.again), (Cause::Silent, 15.0));
    assert_eq!(provider.ask(1, 6.0).unwrap_err(), refusal);
    assert_eq!(provider.state(14.0).unwrap_err(), refusal);
    fake.will("squeue", Called::TookTooLong { seconds: 60.0 });
    assert_eq!(provider.state(15.0).unwrap_err().words, "squeue did not answer within 60 s");
    fake.says("squeue", &listing(&["RUNNING"]));
    assert_eq!(states(&mut provider, 35.0), [PlaceState::Running]);
    fake.last();
}

#[test]
fn slurm_is_looked_at_seldom_and_seldomer_when_it_is_slow() {
    let (mut provider, fake) = provider(8);
    let look = |provider: &mut SlurmProvider<Fake>, now| {
        let before = fake.calls();
        provider.state(now).unwrap();
        fake.calls() > before
    };
    fake.takes("squeue", "", 0.1);
    assert!(look(&mut provider, 0.0) && !look(&mut provider, 4.9));
    fake.takes("squeue", "", 2.0);
    assert!(look(&mut provider, 5.0) && !look(&mut provider, 44.0));
    fake.takes("squeue", "", 0.1);
    assert!(look(&mut provider, 45.0));
}

#[test]
fn what_has_become_of_cancelled_jobs_is_seen_soon_and_not_at_once() {
    let (mut provider, fake) = provider(8);
    fake.takes("squeue", &listing(&["RUNNING"]), 2.0);
    provider.state(0.0).unwrap();
    fake.says("scancel", "");
    provider.release(Release::These(&["slurm-7_0".into()]), 1.0).unwrap();
    provider.state(5.9).unwrap();
    assert_eq!(fake.calls(), 2);
    fake.says("squeue", &listing(&["CANCELLED"]));
    assert_eq!(states(&mut provider, 6.0), [PlaceState::Ended(End::Cancelled)]);
    fake.last();
}

#[test]
fn jobs_that_could_not_be_cancelled_wait_until_it_may_be_tried_again() {
    let (mut provider, fake) = provider(8);
    let left_behind = listing(&["PENDING"]).replace(name(2).as_str(), name(1).as_str());
    fake.says("squeue", &left_behind);
    fake.complains("scancel", "scancel: error: Socket timed out on send/recv operation");
    assert_eq!(states(&mut provider, 0.0), [PlaceState::Waiting]);
    fake.says("squeue", &left_behind);
    assert_eq!(states(&mut provider, 9.0), [PlaceState::Waiting]);
    assert_eq!(fake.calls(), 3);
    fake.says("squeue", &left_behind);
    fake.says("scancel", "");
    assert_eq!(states(&mut provider, 14.0), [PlaceState::Leaving]);
    fake.last();
}

#[test]
fn what_was_refused_before_a_grant_is_forgotten() {
    let (mut provider, fake) = provider(8);
    let refused = "sbatch: error: Batch job submission failed: Resource temporarily unavailable";
    let mut now = 0.0;
    for _ in 0..2 {
        fake.says("squeue", "");
        fake.complains("sbatch", refused);
        assert_eq!(provider.ask(1, now).unwrap_err().again, now + 15.0);
        now += 15.0;
        fake.says("squeue", "");
        fake.says("sbatch", "7");
        provider.ask(1, now).unwrap();
        now += 1.0;
    }
    fake.last();
}

#[test]
fn jobs_of_an_earlier_life_that_wait_are_cancelled() {
    let (mut provider, fake) = provider(8);
    let earlier = name(1);
    fake.says("squeue", &listing(&["RUNNING", "PENDING"]).replace(name(2).as_str(), earlier.as_str()));
    fake.says("scancel", "");
    assert_eq!(states(&mut provider, 0.0), [PlaceState::Running, PlaceState::Leaving]);
    assert_eq!(fake.last(), "scancel --quiet 7_1");
}

#[test]
fn at_the_end_everything_goes_also_what_was_never_heard_of() {
    let (mut provider, fake) = provider(8);
    fake.says("squeue", "");
    fake.will("sbatch", Called::TookTooLong { seconds: 60.0 });
    assert_eq!(provider.ask(1, 0.0).unwrap_err().cause, Cause::Silent);
    fake.says("scancel", "");
    provider.release(Release::All, 1.0).unwrap();
    assert_eq!(fake.last(), format!("scancel --quiet --name={}", name(2).as_str()));
}

#[test]
fn at_the_end_slurm_is_told_although_it_has_refused_just_before() {
    let (mut provider, fake, names) = provider_with_jobs(3, 1);
    fake.complains("scancel", "scancel: error: Socket timed out on send/recv operation");
    provider.release(Release::These(&names), 1.0).unwrap_err();
    provider.release(Release::These(&names), 2.0).unwrap_err();
    fake.says("scancel", "");
    fake.says("scancel", "");
    fake.says("squeue", "");
    provider.release(Release::All, 3.0).unwrap();
    fake.last();
}

#[test]
fn at_the_end_it_waits_until_slurm_lists_none_of_its_jobs() {
    let (mut provider, fake, _) = provider_with_jobs(8, 2);
    fake.says("scancel", "");
    fake.says("scancel", "");
    fake.says("squeue", &listing(&["COMPLETING", "CANCELLED"]));
    fake.says("squeue", &listing(&["COMPLETED", "CANCELLED"]));
    provider.release(Release::All, 1.0).unwrap();
    assert!(fake.last().starts_with("squeue "));
}

#[test]
fn a_job_that_has_ended_by_itself_can_be_released() {
    let (mut provider, fake, names) = provider_with_jobs(8, 1);
    fake.complains("scancel", "scancel: error: Kill job error on job id 7_0: Invalid job id specified");
    assert_eq!(provider.release(Release::These(&names), 1.0), Ok(()));
    fake.says("squeue", "");
    fake.says("sbatch", "8");
    let names = provider.ask(1, 70.0).unwrap();
    fake.complains("scancel", "scancel: error: Unable to contact slurm controller (connect failure)");
    assert_eq!(provider.release(Release::These(&names), 71.0).unwrap_err().cause, Cause::Silent);
}

#[test]
fn what_cannot_begin_is_not_asked_for_again_at_once() {
    let (mut provider, fake, names) = provider_with_jobs(8, 1);
    let never = format!("7_0|PENDING|UNLIMITED|0:00|PartitionTimeLimit|{}\n", name(2).as_str());
    fake.says("squeue", &never);
    assert_eq!(states(&mut provider, 5.0), [PlaceState::Stuck]);
    fake.says("scancel", "");
    provider.release(Release::These(&names), 5.0).unwrap();
    let refusal = provider.ask(1, 6.0).unwrap_err();
    assert_eq!(refusal.words, "job 7_0 cannot begin: PENDING (PartitionTimeLimit)");
    fake.last();
}

#[test]
fn workers_that_fail_as_soon_as_they_start_are_not_asked_for_for_ever() {
    let (mut provider, fake, _) = provider_with_jobs(8, 3);
    fake.says("squeue", &listing(&["FAILED", "FAILED", "FAILED"]));
    let refusal = provider.ask(3, 10.0).unwrap_err();
    assert_eq!((refusal.words.as_str(), refusal.again), ("job 7_2 failed after 5 s: FAILED", 25.0));
    // Told once, they are not news again.
    provider.state(11.0).unwrap();
    fake.says("squeue", &listing(&["FAILED", "FAILED", "FAILED"]));
    fake.says("sbatch", "8");
    assert_eq!(provider.ask(1, 25.0).unwrap(), ["slurm-8_0"]);
    fake.last();
}

#[test]
fn the_last_line_of_a_worker_that_fails_is_told_if_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slurm-7_2.log"), "begins\ndolmen: no room \n\n").unwrap();
    let (mut provider, fake, _) = provider_with_jobs(8, 3);
    provider.options.logs = Some(folder.path().into());
    fake.says("squeue", &listing(&["FAILED", "FAILED", "FAILED"]));
    let refusal = provider.ask(3, 10.0).unwrap_err();
    assert_eq!(refusal.words, "job 7_2 failed after 5 s: FAILED: no room");
}
