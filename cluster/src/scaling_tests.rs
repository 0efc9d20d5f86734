use super::*;
use crate::policy::Phase;
use crate::provider::End;
use crate::testing::{Random, for_seeds};

#[path = "scaling_memory_tests.rs"]
mod memory_tests;

fn scaling(least: usize, most: usize) -> Scaling {
    let start = Start { queue: 0.0, boot: 1.0, cores: 1, room: 0.0, walltime: None };
    Scaling::new(Rules { policy: ScalingPolicy::default(), deadline: None, least, most, start })
}

fn place(name: &str, state: PlaceState) -> Place {
    let began = (!matches!(state, PlaceState::Waiting | PlaceState::Stuck)).then_some(0.0);
    Place { name: name.into(), state, asked: 0.0, began, ends: None, words: String::new() }
}

fn running(names: &[&str]) -> Vec<Place> {
    names.iter().map(|name| place(name, PlaceState::Running)).collect()
}

fn present(name: &str, is_idle: bool) -> Present {
    Present {
        name: name.into(),
        cores: 1,
        is_idle,
        is_leaving: false,
        age: 1.0,
        room: 0.0,
        files: FileUse::default(),
    }
}

fn survey(work: f64, workers: &[Present]) -> Survey {
    Survey {
        demand: Demand {
            phases: vec![Phase { work, width: f64::INFINITY, ..Phase::default() }],
            ..Demand::default()
        },
        workers: workers.to_vec(),
        ..Survey::default()
    }
}

#[test]
fn somebody_who_waits_is_reason_enough_and_work_asks_for_more() {
    let mut scaling = scaling(0, 4);
    assert_eq!(scaling.step(&survey(0.0, &[]), &[], 0.0).ask, 0);
    let waits = Survey { needed: 2, ..survey(0.0, &[]) };
    assert_eq!(scaling.step(&waits, &[], 0.0).ask, 2);
    let orders = scaling.step(&waits, &running(&["a", "b"]), 0.5);
    assert_eq!((orders.ask, orders.wanted, orders.coming), (0, 2, 2));
    let busy = survey(1000.0, &[present("a", false), present("b", false)]);
    let orders = scaling.step(&busy, &running(&["a", "b"]), 2.0);
    assert_eq!((orders.ask, orders.wanted, orders.coming), (2, 4, 2));
    assert!(orders.reasons.iter().any(|reason| reason.contains("no more than 4")), "{orders:?}");
}

#[test]
fn what_leaves_or_stands_still_takes_room_until_it_is_gone() {
    let mut scaling = scaling(0, 3);
    let work = survey(1000.0, &[Present { is_leaving: true, ..present("a", false) }]);
    let mut places = running(&["a"]);
    places.extend([place("b", PlaceState::Leaving), place("c", PlaceState::Suspended)]);
    let orders = scaling.step(&work, &places, 2.0);
    assert_eq!((orders.ask, orders.away), (0, 3));
    places[1].state = PlaceState::Ended(End::Left);
    assert_eq!(scaling.step(&work, &places, 2.0).ask, 1);
}

#[test]
fn if_all_leave_at_the_maximum_one_goes_so_that_another_may_come() {
    let mut scaling = scaling(0, 2);
    let leaving = |name| Present { is_leaving: true, ..present(name, false) };
    let both = survey(1000.0, &[leaving("a"), leaving("b")]);
    let mut places = running(&["a", "b"]);
    (places[0].ends, places[1].ends) = (Some(60.0), Some(50.0));
    let orders = scaling.step(&both, &places, 2.0);
    assert_eq!((orders.ask, orders.let_go.as_deref()), (0, Some("b")), "{orders:?}");
    // It has gone, and its place has not ended yet.
    let one = survey(1000.0, &[leaving("a")]);
    assert_eq!(scaling.step(&one, &places, 2.2).let_go, None, "one at a time");
    let orders = scaling.step(&one, &running(&["a"]), 3.0);
    assert_eq!((orders.ask, orders.let_go), (1, None));
    // As long as somebody stays or comes, or nothing is to be done, nobody goes before time.
    let stays = survey(1000.0, &[leaving("a"), present("b", false)]);
    assert_eq!(scaling.step(&stays, &running(&["a", "b"]), 4.0).let_go, None);
    let coming = [place("a", PlaceState::Running), place("c", PlaceState::Waiting)];
    assert_eq!(scaling.step(&one, &coming, 5.0).let_go, None);
    assert_eq!(scaling.step(&survey(0.0, &[leaving("a"), leaving("b")]), &places, 6.0).let_go, None);
}

#[test]
fn an_idle_worker_drains_and_its_place_is_taken_back_if_it_has_left_and_does_not_end() {
    let mut scaling = scaling(1, 4);
    let idle = survey(0.0, &[present("a", true), present("b", true)]);
    let places = running(&["a", "b"]);
    // A start takes one second, and so long it lingers.
    assert_eq!(scaling.step(&idle, &places, 1.0).drain, [] as [&str; 0]);
    let orders = scaling.step(&idle, &places, 2.1);
    assert_eq!((orders.drain.as_slice(), orders.wanted), (["a".to_string()].as_slice(), 1), "{orders:?}");
    assert!(orders.reasons.contains(&"worker a leaves: idle for 1.1 s and not wanted again".into()));
    let mut leaving = idle.clone();
    leaving.workers[0].is_leaving = true;
    let orders = scaling.step(&leaving, &places, 3.0);
    assert_eq!((orders.drain.len(), orders.release.len(), orders.away), (0, 0, 1));
    let left = survey(0.0, &[present("b", true)]);
    assert_eq!(scaling.step(&left, &places, 4.0).release, [] as [&str; 0]);
    assert_eq!(scaling.step(&left, &places, 4.0 + ENDS).release, ["a"]);
}

#[test]
fn what_was_asked_for_in_vain_is_taken_back_after_the_time_of_a_boot_or_when_it_begins() {
    let mut scaling = scaling(0, 4);
    let waits = place("a", PlaceState::Waiting);
    let places = [waits.clone(), place("b", PlaceState::Stuck), place("c", PlaceState::Starting)];
    let orders = scaling.step(&survey(0.0, &[]), &places, 1.0);
    assert_eq!(orders.release, ["b", "c"]);
    assert_eq!((orders.wanted, orders.coming), (0, 1));
    let says = "who waits for a machine costs nothing, and is called off after 1.0 s";
    assert!(orders.reasons.contains(&says.into()), "{:?}", orders.reasons);
    // Meanwhile it was wanted.
    assert_eq!(
        scaling.step(&survey(1000.0, &[]), std::slice::from_ref(&waits), 1.5).release,
        [] as [&str; 0]
    );
    let mut release = |now| scaling.step(&survey(0.0, &[]), std::slice::from_ref(&waits), now).release;
    assert_eq!(release(2.0), [] as [&str; 0]);
    assert_eq!(release(2.9), [] as [&str; 0]);
    assert_eq!(release(3.0), ["a"]);
}

#[test]
fn a_session_is_taken_to_go_on_as_long_again_as_its_runs_will_have_been() {
    let asked = |session| {
        let mut scaling = scaling(0, 1000);
        let places = running(&["a"]);
        let survey = |work, is_idle| Survey { session, ..survey(work, &[present("a", is_idle)]) };
        let first = scaling.step(&survey(30.0, false), &places, 1.0).ask;
        scaling.step(&survey(30.0, false), &places, 51.0);
        scaling.step(&survey(0.0, true), &places, 52.0);
        (first, scaling.step(&survey(30.0, false), &places, 53.0).ask)
    };
    let (first, second) = asked(true);
    let (alone, again) = asked(false);
    assert!(second > first && first > alone, "{second} after {first}, {alone} without a session");
    assert_eq!(again, alone);
}

#[test]
fn a_session_that_is_open_keeps_its_workers_for_a_while() {
    let mut scaling = scaling(0, 4);
    let paused =
        Survey { session: true, needed: 1, ..survey(0.0, &[present("a", true), present("b", true)]) };
    let places = running(&["a", "b"]);
    for now in [1.0, 30.0, 60.0] {
        assert_eq!(scaling.step(&paused, &places, now).drain, [] as [&str; 0], "{now}");
    }
    // The one that it waits for stays.
    assert_eq!(scaling.step(&paused, &places, 61.0).drain.len(), 1);
    let closed = Survey { session: false, needed: 0, ..paused };
    assert_eq!(scaling.step(&closed, &places, 62.0).drain.len(), 2);
}

#[test]
fn a_worker_that_is_lost_is_waited_for_and_then_given_up() {
    let mut scaling = scaling(0, 2);
    let places = running(&["a"]);
    scaling.step(&survey(1.0, &[present("a", false)]), &places, 1.0);
    let orders = scaling.step(&survey(1.0, &[]), &places, 2.0);
    assert_eq!((orders.ask, orders.away, orders.release.len()), (1, 1, 0));
    assert_eq!(scaling.step(&survey(1.0, &[]), &places, 2.0 + GIVEN_UP).release, ["a"]);
    // A job that is started again is one that is to come.
    let again = [place("a", PlaceState::Waiting)];
    let orders = scaling.step(&survey(0.1, &[]), &again, 3.0 + GIVEN_UP);
    assert_eq!((orders.release.len(), orders.coming), (0, 1));
}

#[test]
fn a_worker_that_never_comes_is_given_up_in_the_end() {
    let mut scaling = scaling(0, 2);
    let places = running(&["a"]);
    let began = places[0].began.expect("it runs");
    let patience = began + NEVER_CAME + 4.0 * scaling.rules.start.boot;
    let orders = scaling.step(&survey(1.0, &[]), &places, patience - 1.0);
    assert_eq!((orders.release.len(), orders.coming), (0, 1));
    assert_eq!(scaling.step(&survey(1.0, &[]), &places, patience).release, ["a"]);
}

#[test]
fn workers_started_by_hand_help_and_are_left_alone() {
    let mut scaling = scaling(1, 2);
    let by_hand = survey(0.0, &[present("hand", true)]);
    let orders = scaling.step(&by_hand, &[], 0.0);
    assert_eq!((orders.ask, orders.drain.len()), (0, 0), "it is the one that is to be there");
    assert_eq!(scaling.step(&by_hand, &[], 1e6).drain, [] as [&str; 0]);
    let much = survey(1e6, &[present("hand", false)]);
    assert_eq!(scaling.step(&much, &[], 1e6).ask, 2, "the most is of those that the provider gives");
}

#[test]
fn a_deadline_counts_from_when_the_run_was_asked_for() {
    let asked = |age| {
        let mut scaling = scaling(0, 100);
        scaling.rules.deadline = Some(100.0);
        let worker = Present { age: 999.0, ..present("a", false) };
        let work = Survey { age, ..survey(100.0, &[worker]) };
        scaling.step(&work, &running(&["a"]), 1000.0).ask
    };
    assert_eq!((asked(0.0), asked(40.0)), (0, 1));
}

#[test]
fn queue_and_boot_are_measured() {
    let mut scaling = scaling(0, 2);
    let place = Place { began: Some(20.0), ..place("a", PlaceState::Running) };
    let worker = Present { age: 2.0, ..present("a", false) };
    for _ in 0..2 {
        scaling.step(&survey(1.0, std::slice::from_ref(&worker)), std::slice::from_ref(&place), 27.0);
    }
    assert_eq!((scaling.start().queue, scaling.start().boot), (10.0, 3.0), "counted once");
}

/// Whatever the scheduler and the provider say.
#[test]
fn never_more_than_the_most_and_nothing_twice() {
    for_seeds(2000, |random: &mut Random| {
        let most = 1 + random.below(6) as usize;
        let mut scaling = scaling(random.below(3) as usize, most);
        let states = [
            PlaceState::Waiting,
            PlaceState::Stuck,
            PlaceState::Starting,
            PlaceState::Running,
            PlaceState::Suspended,
            PlaceState::Leaving,
            PlaceState::Ended(End::Left),
        ];
        for step in 0..20 {
            let now = f64::from(step) * random.between(0.1, 100.0);
            let count = random.below(most as u64 + 1);
            let places: Vec<Place> = (0..count)
                .map(|at| place(&format!("p{at}"), states[random.below(states.len() as u64) as usize]))
                .collect();
            let workers: Vec<Present> = (0..random.below(8))
                .map(|at| Present {
                    is_leaving: random.below(4) == 0,
                    ..present(&format!("p{at}"), random.below(2) == 0)
                })
                .collect();
            let work = random.below(3) as f64 * 100.0;
            let survey =
                Survey { needed: random.below(4) as usize, session: step % 2 == 0, ..survey(work, &workers) };
            let orders = scaling.step(&survey, &places, now);
            let there = places.iter().filter(|place| place.state.is_there()).count();
            assert!(there + orders.ask <= most.max(there), "{orders:?}");
            let named: Vec<&String> = orders.drain.iter().chain(&orders.release).collect();
            for name in &named {
                assert!(named.iter().filter(|other| other == &name).count() == 1, "{orders:?}");
                assert!(places.iter().any(|place| place.name == **name), "{orders:?}");
            }
        }
    });
}

/// A chain on one core, and then a wide phase.
fn chain(steps: f64) -> Survey {
    let phase = |work, path, width| Phase { work, path, width, ..Phase::default() };
    let phases = vec![phase(10.0 * steps, 10.0 * steps, 1.0), phase(1000.0, 1.0, 1000.0)];
    let demand = Demand { phases, longest: 10.0, ..Demand::default() };
    Survey { demand, ..survey(0.0, &[present("a", false)]) }
}

#[test]
fn between_two_tasks_a_phase_goes_on() {
    let mut scaling = scaling(0, 4);
    let places = running(&["a"]);
    assert_eq!(scaling.step(&chain(2.0), &places, 2.0).ask, 0);
    assert_eq!(scaling.step(&chain(1.0), &places, 12.0).ask, 0, "the last task takes ten seconds");
    assert_eq!(scaling.step(&chain(1.0), &places, 19.0).ask, 0);
    assert_eq!(scaling.step(&chain(1.0), &places, 20.0).ask, 3, "two are left, a start takes one");
}
