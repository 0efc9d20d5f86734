//! What is remembered from step to step.

use super::*;

fn busy(count: u32) -> Vec<Machine> {
    let presence = Presence::Here { idle: None, leaves: None };
    (0..count).map(|id| Machine { id, cores: 1, room: 0.0, presence }).collect()
}

fn phase(work: f64, path: f64, width: f64) -> Phase {
    Phase { work, path, width, ..Phase::default() }
}

#[test]
fn a_path_becomes_shorter_by_the_second_until_another_one_is_told() {
    let mut scaling = scaling(0, 4);
    let mut path = |told: f64, now: f64| {
        let mut demand = Demand { phases: vec![phase(1e3, told, 1e3)], longest: 10.0, ..Demand::default() };
        scaling.go_on(&mut demand, &[], now);
        demand.phases[0].path
    };
    assert_eq!(path(20.0, 100.0), 20.0);
    assert_eq!(path(20.0, 104.0), 16.0);
    assert_eq!(path(15.0, 104.0), 11.0, "half of the longest task is no news");
    assert_eq!(path(14.9, 104.0), 14.9);
    assert_eq!(path(14.9, 200.0), 0.0);
}

#[test]
fn of_a_phase_that_is_under_way_as_a_whole_so_much_is_left_as_its_path_is_long() {
    let work = |told: Phase, machines: u32| {
        let mut demand = Demand { phases: vec![told], ..Demand::default() };
        scaling(0, 4).go_on(&mut demand, &busy(machines), 0.0);
        demand.phases[0].work
    };
    assert_eq!(work(phase(100.0, 10.0, 2.0), 2), 20.0);
    assert_eq!(work(phase(100.0, 10.0, 2.0), 1), 100.0, "one task of two waits");
    assert_eq!(work(phase(100.0, 0.0, 2.0), 2), 1.0, "a hundredth at least");
    assert_eq!(work(phase(10.0, 10.0, 2.0), 3), 10.0);
}

#[test]
fn too_little_room_counts_until_the_next_phase() {
    let mut scaling = scaling(0, 4);
    let mut asked = |is_short_of_room: bool, phases: usize| {
        let one = Phase { holds: 5.0, ..phase(10.0, 1.0, 1.0) };
        let mut demand = Demand { phases: vec![one; phases], wanted: 100.0, ..Demand::default() };
        let survey = Survey { is_short_of_room, ..Survey::default() };
        scaling.weigh_room_and_files(&mut demand, &survey, 0.0);
        (demand.wanted, demand.phases[0].holds)
    };
    assert_eq!(asked(false, 2), (0.0, 0.0));
    assert_eq!(asked(true, 2), (100.0, 5.0));
    assert_eq!(asked(false, 2), (100.0, 5.0));
    assert_eq!(asked(false, 1), (0.0, 0.0));
    assert_eq!(asked(false, 2), (0.0, 0.0));
}

#[test]
fn what_files_give_is_learnt_while_there_is_work_and_then_forgotten() {
    let mut scaling = scaling(0, 4);
    let mut each = |work: f64, seconds: f64| {
        let files = FileUse { bytes: 1e8 * seconds, waited: seconds };
        let mut demand = survey(work, &[]).demand;
        let survey = survey(work, &[Present { files, ..present("a", false) }]);
        scaling.weigh_room_and_files(&mut demand, &survey, seconds);
        demand.file_supply.each
    };
    assert_eq!(each(1.0, 10.0), f64::INFINITY);
    assert_eq!(each(1.0, 12.0), 1e8);
    assert_eq!(each(0.0, 13.0), f64::INFINITY);
    assert_eq!(each(1.0, 14.0), f64::INFINITY);
}

#[test]
fn what_a_session_does_up_to_the_end_of_its_run_counts_until_a_long_pause() {
    let mut scaling = scaling(0, 4);
    let mut follows = |session: bool, work: f64, pause: Option<f64>, now: f64| {
        scaling.pause = pause;
        scaling.follow_session(&Survey { session, ..survey(work, &[]) }, &busy(2), now)
    };
    assert_eq!(follows(false, 0.0, None, 100.0), 0.0);
    assert_eq!(follows(true, 1.0, None, 110.0), 21.0, "two cores for ten seconds, and what is left");
    assert_eq!(follows(true, 2.0, None, 115.0), 32.0);
    assert_eq!(follows(true, 0.0, Some(116.0), 116.0), 30.0);
    assert_eq!(follows(true, 1.0, None, 120.0), 39.0, "30 of the run before, and 9 of this one");
    assert_eq!(follows(true, 0.0, Some(121.0), 121.0), 38.0);
    assert_eq!(follows(true, 0.0, Some(121.0), 180.9), 38.0);
    assert_eq!(follows(true, 0.0, Some(121.0), 181.0), 0.0, "whoever comes now has to be started");
    assert_eq!(follows(true, 1.0, None, 190.0), 19.0);
    assert_eq!(follows(true, 0.0, Some(191.0), 191.0), 18.0);
    assert_eq!(follows(true, 1.0, None, 192.0), 21.0);
    assert_eq!(follows(false, 1.0, None, 193.0), 0.0, "it has ended");
    assert_eq!(follows(true, 1.0, None, 194.0), 3.0);
}

#[test]
fn a_session_keeps_an_idle_worker_through_the_end_of_a_run() {
    let drained = |session: bool| {
        let mut scaling = scaling(0, 4);
        let places = running(&["a", "b"]);
        let phases = vec![phase(3.0, 3.0, 1.0)];
        let demand = Demand { phases, ..Demand::default() };
        let workers = vec![present("a", false), present("b", true)];
        let end = Survey { demand, session, workers, ..Survey::default() };
        scaling.step(&end, &places, 1.0);
        scaling.step(&end, &places, 5.0).drain
    };
    assert_eq!(drained(false), ["b"]);
    assert_eq!(drained(true), [] as [&str; 0]);
}

#[test]
fn how_long_a_worker_is_waited_for_counts_from_when_it_was_missed() {
    let mut lost = scaling(0, 2);
    lost.rules.start.boot = 2.0;
    let place = Place { began: Some(100.0), ..place("a", PlaceState::Running) };
    let places = std::slice::from_ref(&place);
    let patience = NEVER_CAME + 8.0;
    let mut never_came = lost.clone();
    let mut release = |now: f64| never_came.step(&survey(1.0, &[]), places, now).release.len();
    assert_eq!((release(99.0 + patience), release(100.0 + patience)), (0, 1));
    lost.step(&survey(1.0, &[present("a", false)]), places, 110.0);
    let mut release = |now: f64| lost.step(&survey(1.0, &[]), places, now).release.len();
    assert_eq!(release(120.0), 0);
    assert_eq!((release(119.0 + GIVEN_UP), release(120.0 + GIVEN_UP)), (0, 1));
}

#[test]
fn a_queue_is_what_lies_between_asking_and_beginning() {
    let mut start = Start { queue: 8.0, boot: 4.0, cores: 1, room: 0.0, walltime: None };
    let place = Place { asked: 10.0, began: Some(30.0), ..place("a", PlaceState::Running) };
    learn(&mut start, &place, 40.0, 1);
    assert_eq!((start.queue, start.boot), (14.0, 7.0));
    learn(&mut start, &place, 40.0, 3);
    assert_eq!((start.queue, start.boot), (15.5, 7.75));
}
