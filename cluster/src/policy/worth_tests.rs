//! What a worker is worth, to the number, and what is decided just at a limit.

use super::*;

/// What the second of two workers with four cores does for phases of so many core-seconds, seconds and cores.
fn weighed(rows: &[(f64, f64, f64)]) -> Option<(f64, f64)> {
    let two = supply(vec![here(1), here(2)]);
    let weighed = two.weigh(1, &phases(rows), 0.0);
    weighed.map(|Weighed { takes, begins }| (takes, begins))
}

const WIDE: f64 = 1000.0;

#[test]
fn a_worker_is_worth_what_the_others_leave_undone_while_it_is_there() {
    assert_eq!(weighed(&[(80.0, 0.0, WIDE)]), Some((40.0, 0.0)), "half of it");
    assert_eq!(weighed(&[(100.0, 100.0, 1.0), (800.0, 0.0, WIDE)]), Some((400.0, 100.0)), "it comes for it");
    assert_eq!(weighed(&[(80.0, 20.0, WIDE)]), None, "it makes nothing shorter");
    let both =
        |between: f64, later: f64| weighed(&[(80.0, 0.0, WIDE), (between, between, 1.0), (later, 0.0, WIDE)]);
    assert_eq!(both(10.0, 160.0), Some((80.0, 0.0)), "40, and 80 less ten seconds of four cores");
    assert_eq!(both(40.0, 640.0), Some((200.0, 0.0)), "it stays for queue and two boots");
    assert_eq!(both(41.0, 640.0), Some((40.0, 0.0)), "and not for longer");
    assert_eq!(both(10.0, 60.0), Some((40.0, 0.0)), "what comes is worth less than it costs to stay");
}

#[test]
fn pauses_add_up_and_one_that_is_not_worth_it_ends_the_account() {
    let narrow = |seconds: f64| (seconds, seconds, 1.0);
    let (first, later) = ((80.0, 0.0, WIDE), (800.0, 0.0, WIDE));
    assert_eq!(weighed(&[first, narrow(6.0), narrow(5.0), later]), Some((396.0, 0.0)));
    assert_eq!(weighed(&[first, narrow(21.0), narrow(20.0), later]), Some((40.0, 0.0)));
    // It comes out even, and what is behind it does not count.
    assert_eq!(weighed(&[first, narrow(10.0), (80.0, 0.0, WIDE), later]), Some((40.0, 0.0)));
    // Each pause is paid for once.
    assert_eq!(weighed(&[first, narrow(1.0), later, narrow(1.0), later]), Some((832.0, 0.0)));
}

#[test]
fn what_rounding_gains_is_nothing() {
    let two = supply(vec![here(1), here(2)]);
    let gains = |more: f64, now: f64| {
        let demand = phases(&[(40.0 + 4.0 * more, 10.0, WIDE), (90.0, 90.0, 1.0)]);
        two.weigh(1, &demand, now).is_some()
    };
    assert!(!gains(1e-8, 0.0));
    assert!(gains(1e-6, 0.0));
    assert!(gains(1e-6, 1000.0), "a later time of day changes nothing");
}

#[test]
fn one_more_is_asked_for_if_it_takes_just_what_its_start_is_worth() {
    let mut one_core = supply(vec![Machine { cores: 1, ..here(1) }]);
    one_core.start = Start { queue: 30.0, boot: 10.0, cores: 1, ..one_core.start };
    // It comes after 40 s and takes the half of what is left then; a start is worth √(10 · 40) s of a core.
    assert_eq!(decide(80.0, 0.0, &one_core, 0.0).start, 1);
    let decision = decide(79.0, 0.0, &one_core, 0.0);
    assert_eq!(decision.start, 0);
    assert_eq!(decision.reasons, [Reason::NotWorthIt { takes: 19.5, costs: 20.0 }]);
    // As much again is likely to follow.
    assert_eq!(decide_on(&Demand { follows: 60.0, ..one(60.0, 0.0) }, &one_core).start, 1);
    assert_eq!(decide_on(&Demand { follows: 58.0, ..one(59.0, 0.0) }, &one_core).start, 0);
}

#[test]
fn limits_are_met_by_what_is_just_at_them() {
    let one_here = supply(vec![here(1)]);
    assert!(decide_on(&narrow_then_wide(33.0), &one_here).start > 0, "30 s and a tenth of that");
    let asked = |deadline| decide_on(&Demand { deadline: Some(deadline), ..one(4000.0, 0.0) }, &one_here);
    assert_eq!(asked(1000.0).start, 0, "in time to the second");
    assert_eq!(asked(1000.0).reasons, [Reason::InTime { early: 0.0 }]);
    let mut few = supply(vec![]);
    few.least = 2;
    assert_eq!(decide(0.0, 0.0, &few, 0.0).reasons[0], Reason::BelowLeast { workers: 0, least: 2 });
    few.least = 0;
    assert_eq!(decide(0.0, 0.0, &few, 0.0).reasons, [Reason::NothingToDo]);
}

#[test]
fn an_idle_worker_of_no_use_lingers_unless_that_is_known_for_longer_than_a_bridge() {
    let two = supply(vec![here(1), idle(2, 0.0)]);
    let narrow = |seconds: f64| decide_on(&phases(&[(seconds, seconds, 1.0)]), &two);
    let lingers = Reason::Lingers { worker: 2, idle: 0.0, until: 30.0 };
    for seconds in [33.0, 40.0] {
        assert_eq!(narrow(seconds).remove, [] as [u32; 0]);
        assert_eq!(narrow(seconds).reasons.last(), Some(&lingers), "{seconds}");
    }
    let decision = narrow(50.0);
    assert_eq!(decision.remove, [2]);
    assert_eq!(decision.reasons.last(), Some(&Reason::NothingSoon { worker: 2, next: 50.0 }));
    let long = supply(vec![here(1), idle(2, -30.0)]);
    let decision = decide_on(&phases(&[(9.0, 9.0, 1.0)]), &long);
    assert_eq!(decision.reasons.last(), Some(&Reason::Idle { worker: 2, idle: 30.0 }));
}

#[test]
fn when_a_worker_computes_and_until_when() {
    let mut some = supply(vec![]);
    some.start.walltime = Some(100.0);
    let span = |presence| {
        let span = some.span(&Machine { presence, ..here(1) }, 25.0);
        (span.from, span.until)
    };
    assert_eq!(span(Presence::Asked(15.0)), (55.0, 145.0));
    assert_eq!(span(Presence::Starts(20.0)), (30.0, 120.0));
    assert_eq!(span(Presence::Starts(1.0)), (25.0, 101.0));
    assert_eq!(span(Presence::Here { idle: None, leaves: Some(60.0) }), (25.0, 60.0));
    assert_eq!(span(Presence::Here { idle: None, leaves: None }), (25.0, f64::INFINITY));
    let new = some.new_span(25.0);
    assert_eq!((new.from, new.until, new.resources.cores), (55.0, 145.0, 4.0));
}

#[test]
fn phases_that_go_on_together_add_up_what_they_move_and_hold() {
    let phase = |bytes, holds| Phase { work: 10.0, path: 5.0, width: 2.0, bytes, holds };
    let demand = |bytes, holds, longest, wanted| Demand {
        phases: vec![phase(bytes, holds)],
        longest,
        wanted,
        ..Demand::default()
    };
    let mut both = demand(100.0, 7.0, 3.0, 1000.0);
    both.beside(&demand(30.0, 8.0, 2.0, 500.0));
    let phase = Phase { work: 20.0, path: 5.0, width: 4.0, bytes: 130.0, holds: 8.0 };
    assert_eq!(both, Demand { phases: vec![phase], longest: 3.0, wanted: 1500.0, ..Demand::default() });
}

#[test]
fn one_that_does_next_to_nothing_of_what_nobody_ends_is_not_asked_for() {
    let presence = Presence::Here { idle: None, leaves: Some(50.0) };
    let mut some = supply(vec![Machine { presence, ..here(1) }]);
    let asked = |seconds: f64, some: &mut Supply| {
        some.start.walltime = Some(some.start.boot + seconds);
        decide(1000.0, 0.0, some, 0.0).start
    };
    assert_eq!(asked(2.5e-8, &mut some), 0);
    assert_eq!(asked(1.0, &mut some), 99);
}

#[test]
fn what_no_walltime_is_long_enough_for_is_told_with_those_who_work_at_it() {
    let presence = Presence::Here { idle: None, leaves: Some(50.0) };
    let alone = Supply { most: 1, ..supply(vec![Machine { presence, ..here(1) }]) };
    let at_most = |most| Reason::AtMost { most };
    let unfinished = Reason::Unfinished { workers: 1 };
    assert_eq!(decide(1000.0, 0.0, &alone, 0.0).reasons, [unfinished, at_most(1)]);
    let nobody = Supply { most: 0, ..supply(vec![]) };
    assert_eq!(decide(1000.0, 0.0, &nobody, 0.0).reasons, [at_most(0)]);
    let mut moves = one(0.0, 0.0);
    (moves.phases[0].bytes, moves.file_supply) = (1e6, files(1.0, 1.0));
    assert_eq!(decide_on(&moves, &alone).reasons, [Reason::NothingToDo]);
}

#[test]
fn how_much_sooner_counts_from_now() {
    let decision = decide(4002.0, 0.0, &supply(vec![here(1)]), 100.0);
    let Reason::Sooner { workers: 55, from, to } = decision.reasons[0] else { panic!("{decision:?}") };
    assert!((from - 1000.5).abs() < 1e-9 && (47.0..48.0).contains(&to), "{from} {to}");
}

#[test]
fn an_idle_worker_stays_for_work_that_is_worth_more_than_its_time() {
    let two = supply(vec![here(1), idle(2, 0.0)]);
    let policy = ScalingPolicy { payback: 2.0, ..ScalingPolicy::default() };
    let stays = |takes, begins| policy.stays_for(&Weighed { takes, begins }, &two, 1);
    assert!(stays(80.0, 10.0), "twice ten seconds of four cores");
    assert!(!stays(79.0, 10.0));
    assert!(!stays(1e6, 0.0), "nobody knows why it is idle");
    assert!(stays(1e6, 40.0) && !stays(1e6, 41.0), "queue and two boots");
}
