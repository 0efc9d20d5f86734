use super::*;
use crate::testing::{Random, for_seeds};

#[path = "policy/worth_tests.rs"]
mod worth_tests;

fn here(id: u32) -> Machine {
    Machine { id, cores: 4, room: 0.0, presence: Presence::Here { idle: None, leaves: None } }
}

fn idle(id: u32, since: f64) -> Machine {
    Machine { id, cores: 4, room: 0.0, presence: Presence::Here { idle: Some(since), leaves: None } }
}

fn supply(workers: Vec<Machine>) -> Supply {
    Supply {
        workers,
        start: Start { queue: 20.0, boot: 10.0, cores: 4, room: 0.0, walltime: None },
        least: 0,
        most: 100,
    }
}

fn one(work: f64, path: f64) -> Demand {
    Demand {
        phases: vec![Phase { work, path, width: f64::INFINITY, ..Phase::default() }],
        ..Demand::default()
    }
}

/// It asks for as many as are wanted.
fn none_to_spare() -> ScalingPolicy {
    ScalingPolicy { draws: 1.0, ..ScalingPolicy::default() }
}

fn decide(work: f64, path: f64, supply: &Supply, now: f64) -> Decision {
    none_to_spare().decide(&one(work, path), supply, now)
}

#[test]
fn nobody_is_started_for_nothing_and_somebody_for_anything() {
    assert_eq!(decide(0.0, 0.0, &supply(vec![]), 5.0).start, 0);
    assert_eq!(decide(1e-3, 0.0, &supply(vec![]), 5.0).start, 1);
}

#[test]
fn the_wanted_number_is_where_one_more_takes_less_work_than_its_start_is_worth() {
    // 1 worker does 120 of 4002 core-seconds until others come; each of n new ones then takes 3882/(n + 1).
    let decision = decide(4002.0, 0.0, &supply(vec![here(1)]), 0.0);
    assert_eq!(decision.start, 55, "3882/56 = 69.3 core-seconds, 4 cores for √(10 · 30) s");
    assert!(matches!(decision.reasons[0], Reason::Sooner { workers: 55, .. }));
    assert!(matches!(decision.reasons[1], Reason::NotWorthIt { .. }));
}

#[test]
fn work_that_ends_before_a_worker_could_come_starts_none() {
    assert_eq!(decide(119.0, 0.0, &supply(vec![here(1)]), 0.0).start, 0);
}

#[test]
fn a_long_path_starts_none_beyond_its_width() {
    let decision = decide(4000.0, 500.0, &supply(vec![here(1)]), 0.0);
    assert_eq!(decision.start, 2, "12 cores do 4000 core-seconds in 353 s, 8 would take 515");
    assert!(decision.reasons.contains(&Reason::PathBound { path: 500.0 }));
}

#[test]
fn a_deadline_takes_as_few_as_are_in_time_and_all_if_none_would_be() {
    let in_time = |deadline| {
        let demand = Demand { deadline: Some(deadline), ..one(4000.0, 0.0) };
        none_to_spare().decide(&demand, &supply(vec![here(1)]), 0.0)
    };
    assert_eq!(in_time(1001.0).start, 0, "4 cores take 1000 s");
    assert_eq!(in_time(600.0).start, 1, "8 cores take 515 s");
    assert_eq!(in_time(1.0).start, 99, "as soon as can be");
    assert!(in_time(600.0).reasons.contains(&Reason::InTime { early: 85.0 }));
}

#[test]
fn machines_that_are_asked_for_count_as_present_even_when_late() {
    let mut some = supply(vec![here(1)]);
    let start = decide(4000.0, 0.0, &some, 0.0).start as u32;
    some.workers.extend((0..start).map(|i| Machine {
        id: 2 + i,
        cores: 4,
        room: 0.0,
        presence: Presence::Asked(0.0),
    }));
    for now in [0.0, 10.0, 29.0, 31.0, 100.0] {
        let decision = decide(4000.0 - 4.0 * now, 0.0, &some, now);
        assert_eq!((decision.start, decision.remove.len()), (0, 0), "at {now}");
    }
}

/// One worker is here and so many wait. Two more are wanted.
fn asked_to_spare(queue: f64, boot: f64, waiting: u32) -> (Supply, Decision) {
    let mut some = supply(vec![here(1)]);
    (some.start.queue, some.start.boot) = (queue, boot);
    let asked = |id: u32| Machine { id, presence: Presence::Asked(-f64::from(id)), ..here(id) };
    some.workers.extend((2..2 + waiting).map(asked));
    let decision = ScalingPolicy::default().decide(&phases(&[(1e9, 10.0, 12.0)]), &some, 0.0);
    (some, decision)
}

#[test]
fn more_are_asked_for_than_are_wanted_by_the_part_of_a_start_that_is_a_wait() {
    let asked = |queue, boot| asked_to_spare(queue, boot, 0).1.start;
    assert_eq!(asked(0.0, 10.0), 2, "twelve cores, of which four are here");
    assert_eq!(asked(CALLED_OFF, 0.0), 2, "it would have its machine before it could be called off");
    assert_eq!(asked(10.0 + CALLED_OFF, 8.0), 5, "a half is a wait that counts: two and a half for one");
    assert_eq!(asked(1e6, 0.0), 8, "four for one");
    let (_, decision) = asked_to_spare(1e6, 0.0, 0);
    assert!(decision.reasons.contains(&Reason::ToSpare { spare: 6 }), "{:?}", decision.reasons);
    let (mut few, _) = asked_to_spare(1e6, 0.0, 0);
    few.most = 6;
    assert_eq!(ScalingPolicy::default().decide(&phases(&[(1e9, 10.0, 12.0)]), &few, 0.0).start, 5);
}

#[test]
fn who_waits_already_is_one_of_those_that_are_asked_for() {
    let asked = |waiting| asked_to_spare(1e6, 0.0, waiting).1;
    assert_eq!((asked(3).start, asked(8).start, asked(20).start), (5, 0, 0));
    assert_eq!(asked(20).remove, [] as [u32; 0], "who waits costs nothing");
    assert_eq!(asked(8).reasons.last(), Some(&Reason::SomebodyStillComes { worker: 2 }));
}

#[test]
fn who_waits_is_called_off_when_enough_have_a_machine() {
    let (mut some, _) = asked_to_spare(1e6, 0.0, 4);
    let decide = |some: &Supply, wide: &Demand| ScalingPolicy::default().decide(wide, some, 0.0);
    let wide = phases(&[(1e9, 10.0, 12.0)]);
    some.workers[1].presence = Presence::Starts(-1.0);
    assert_eq!(decide(&some, &wide).remove, [] as [u32; 0], "one is wanted still");
    some.workers[2].presence = Presence::Starts(-1.0);
    assert_eq!(decide(&some, &wide).remove, [5, 4], "who has waited longest first");
    // They are wanted for a phase that would have them asked for within a boot.
    some.start = Start { queue: 90.0, boot: 10.0, ..some.start };
    let soon = |seconds: f64| phases(&[(seconds * 12.0, seconds, 12.0), (1e9, 10.0, 20.0)]);
    assert_eq!(decide(&some, &soon(108.0)).remove, [] as [u32; 0]);
    assert_eq!(decide(&some, &soon(120.0)).remove, [5, 4]);
}

#[test]
fn a_walltime_that_ends_too_early_asks_for_a_replacement_and_a_useless_one_for_none() {
    let mut some = supply(vec![Machine {
        id: 1,
        cores: 4,
        room: 0.0,
        presence: Presence::Here { idle: None, leaves: Some(50.0) },
    }]);
    assert_eq!(decide(100.0, 0.0, &some, 0.0).start, 0);
    assert_eq!(decide(201.0, 0.0, &some, 0.0).start, 1);
    some.start.walltime = Some(9.0);
    let decision = decide(1e6, 0.0, &some, 0.0);
    assert_eq!(decision.start, 0);
    assert!(decision.reasons.contains(&Reason::WalltimeTooShort { walltime: 9.0, boot: 10.0, longest: 0.0 }));
}

#[test]
fn a_task_that_is_longer_than_a_walltime_asks_for_nobody() {
    let some =
        Supply { start: Start { walltime: Some(60.0), ..supply(vec![]).start }, ..supply(vec![here(1)]) };
    let asked = |longest| {
        let demand = Demand { longest, ..one(1e4, 0.0) };
        none_to_spare().decide(&demand, &some, 0.0).start
    };
    assert!(asked(49.0) > 0, "50 s are left after the boot");
    assert_eq!(asked(50.0), 0);
}

#[test]
fn a_narrow_run_longer_than_a_walltime_asks_for_as_many_as_can_work_at_once() {
    let some = Supply { start: Start { walltime: Some(3600.0), ..supply(vec![]).start }, ..supply(vec![]) };
    let asked = |work: f64, path: f64, width: f64| {
        let phases = vec![Phase { work, path, width, ..Phase::default() }];
        none_to_spare().decide(&Demand { phases, longest: 100.0, ..Demand::default() }, &some, 0.0).start
    };
    assert_eq!(asked(6000.0, 6000.0, 1.0), 1, "a chain");
    assert_eq!(asked(144_000.0, 0.0, 8.0), 2, "four cores each");
    assert_eq!(asked(1e9, 0.0, f64::INFINITY), 100, "what all together do not come to the end of");
}

#[test]
fn the_limits_hold() {
    let mut some = supply(vec![here(1)]);
    (some.least, some.most) = (3, 5);
    assert_eq!(decide(0.0, 0.0, &some, 0.0).start, 2);
    assert_eq!(decide(1e9, 0.0, &some, 0.0).start, 4);
    some.workers = (0..7).map(|id| idle(id, -1e6)).collect();
    assert_eq!(decide(0.0, 0.0, &some, 0.0).remove.len(), 4, "down to the least");
    assert_eq!(decide(1e9, 0.0, &some, 0.0).start, 0, "more than the most are kept, none is added");
}

#[test]
fn an_idle_worker_lingers_as_long_as_a_start_takes_and_stays_if_it_would_be_wanted_again() {
    let two = supply(vec![here(1), idle(2, 0.0)]);
    assert_eq!(decide(4.0, 0.0, &two, 29.0).remove, [] as [u32; 0]);
    assert_eq!(decide(4.0, 0.0, &two, 30.0).remove, [2]);
    let decision = decide(4000.0, 0.0, &Supply { most: 2, ..two }, 30.0);
    assert_eq!(decision.remove, [] as [u32; 0]);
    assert!(decision.reasons.contains(&Reason::WantedAgain { worker: 2 }));
}

#[test]
fn who_has_not_come_need_not_when_all_is_done() {
    let asked = Machine { id: 2, cores: 4, room: 0.0, presence: Presence::Asked(0.0) };
    let decision = decide(0.0, 0.0, &supply(vec![idle(1, 0.0), asked]), 10.0);
    assert_eq!(decision.remove, [2]);
}

#[test]
fn a_machine_that_is_given_boots_and_one_that_is_not_is_as_far_as_a_new_one() {
    let comes = |presence| supply(vec![Machine { presence, ..here(1) }]).spans(25.0)[0].from;
    assert_eq!(comes(Presence::Asked(5.0)), 55.0, "queue and boot, however long it has waited");
    assert_eq!(comes(Presence::Starts(22.0)), 32.0);
    assert_eq!(comes(Presence::Starts(0.0)), 25.0, "at any moment");
}

#[test]
fn who_comes_first_is_called_off_last() {
    let asked = Machine { presence: Presence::Asked(20.0), ..here(1) };
    let starts = Machine { presence: Presence::Starts(22.0), ..here(2) };
    let two = supply(vec![starts, asked]);
    assert_eq!(decide(0.0, 0.0, &two, 25.0).remove, [1, 2]);
    // It is done by the one that starts before the other would come.
    assert_eq!(decide(40.0, 0.0, &two, 25.0).remove, [1]);
}

#[test]
fn what_is_likely_to_follow_counts_if_there_is_something_to_do_now() {
    let asked =
        |work, follows| decide_on(&Demand { follows, ..one(work, 0.0) }, &supply(vec![here(1)])).start;
    assert!(asked(1000.0, 1000.0) > asked(1000.0, 0.0));
    assert_eq!(asked(119.0, 1e6), 0, "all is done before somebody could come");
    assert_eq!(asked(0.0, 1e6), 0);
}

/// Phases of so many core-seconds, seconds and cores.
fn phases(phases: &[(f64, f64, f64)]) -> Demand {
    let phase = |(work, path, width): &(f64, f64, f64)| Phase {
        work: *work,
        path: *path,
        width: *width,
        ..Phase::default()
    };
    Demand { phases: phases.iter().map(phase).collect(), ..Demand::default() }
}

/// One core computes for so long, and then many do.
fn narrow_then_wide(narrow: f64) -> Demand {
    phases(&[(narrow, narrow, 1.0), (4000.0, 1.0, 1000.0)])
}

fn decide_on(demand: &Demand, supply: &Supply) -> Decision {
    none_to_spare().decide(demand, supply, 0.0)
}

#[test]
fn a_wide_phase_is_prepared_for_in_time_and_not_before() {
    let one = supply(vec![here(1)]);
    // A start takes 30 s, and everything may take a tenth more or less.
    assert!(decide_on(&narrow_then_wide(30.0), &one).start > 0);
    let decision = decide_on(&narrow_then_wide(40.0), &one);
    assert_eq!(decision.start, 0);
    assert!(decision.reasons.contains(&Reason::Later { begins: 40.0 }), "{:?}", decision.reasons);
}

#[test]
fn idle_workers_leave_a_narrow_phase_at_once_if_a_new_start_is_worth_it_then() {
    let two = supply(vec![here(1), idle(2, 0.0)]);
    // Queue and two boots take 40 s: who leaves now is not asked for again within the time of a boot.
    let decision = decide_on(&narrow_then_wide(100.0), &two);
    assert_eq!(decision.remove, [2]);
    assert!(matches!(decision.reasons[1], Reason::NothingSoon { worker: 2, .. }), "{:?}", decision.reasons);
    let decision = decide_on(&narrow_then_wide(35.0), &two);
    assert_eq!(decision.remove, [] as [u32; 0]);
    assert!(decision.reasons.contains(&Reason::WantedAgain { worker: 2 }), "{:?}", decision.reasons);
}

#[test]
fn nobody_stays_idle_for_less_work_than_that_costs() {
    let two = supply(vec![here(1), idle(2, -30.0)]);
    let little = |work| phases(&[(35.0, 35.0, 1.0), (work, 1.0, 1000.0)]);
    // It would take half of the work off the other, and stays idle with 4 cores for 31.5 s at best.
    assert_eq!(decide_on(&little(300.0), &two).remove, [] as [u32; 0]);
    assert_eq!(decide_on(&little(120.0), &two).remove, [2]);
}

#[test]
fn a_phase_is_worth_no_more_workers_than_it_has_tasks() {
    let one = supply(vec![here(1)]);
    let start = |width| decide_on(&phases(&[(1e5, 10.0, width)]), &one).start;
    assert_eq!((start(4.0), start(12.0), start(13.0)), (0, 2, 3));
}

#[test]
fn a_session_keeps_its_workers_through_the_end_of_a_run() {
    let two = supply(vec![here(1), idle(2, -30.0)]);
    let end = phases(&[(5.0, 5.0, 1.0)]);
    assert_eq!(decide_on(&end, &two).remove, [2]);
    assert_eq!(decide_on(&Demand { more_follows: true, ..end }, &two).remove, [] as [u32; 0]);
}

#[test]
fn what_goes_on_at_the_same_time_is_done_by_the_same_cores() {
    let mut both = phases(&[(10.0, 5.0, 2.0)]);
    both.beside(&phases(&[(20.0, 3.0, 8.0), (1.0, 1.0, 1.0)]));
    assert_eq!(both, phases(&[(30.0, 5.0, 10.0), (1.0, 1.0, 1.0)]));
}

#[test]
fn reasons_are_one_line_each() {
    let decision = decide(4002.0, 0.0, &supply(vec![here(1)]), 0.0);
    let lines: Vec<String> = decision.reasons.iter().map(|reason| reason.told(|id| id.to_string())).collect();
    assert_eq!(lines[0], "55 more: finished in 47.3 s instead of 1000.5 s");
    assert_eq!(lines[1], "one more would take over 68.1 core-seconds, and its start is worth 69.3");
    let told = |reason: Reason| reason.told(|id| id.to_string());
    assert_eq!(
        told(Reason::Sooner { workers: 2, from: f64::INFINITY, to: 47.25 }),
        "2 more: finished in 47.2 s instead of never"
    );
    assert_eq!(
        told(Reason::FilesBound { seconds: 12.0 }),
        "one more gains nothing: what is left to read and write takes 12.0 s with any number"
    );
    assert_eq!(
        told(Reason::FilesTried { most: 4e8 }),
        "cores wait for files; more are asked for if these give more than 200 MB/s with 2 times as many"
    );
    assert_eq!(
        told(Reason::LittleRoom { lacking: 3e9, with: 1e9 }),
        "memory lacks 3000 MB for what is wanted, and 1000 MB with those asked for"
    );
}

/// What files give to one worker, and to all.
fn files(each: f64, most: f64) -> FileSupply {
    FileSupply { each, most, is_seen: true }
}

#[test]
fn a_run_that_files_hold_up_gains_nothing_from_more_workers() {
    let mut demand = one(4000.0, 0.0);
    demand.phases[0].bytes = 2e12;
    let two = supply(vec![here(1), here(2)]);
    let decide = |demand: &Demand| none_to_spare().decide(demand, &two, 0.0);
    assert!(decide(&demand).start > 10, "nobody is known to wait for files");
    demand.file_supply = files(1e9, 2e9);
    let decision = decide(&demand);
    assert_eq!((decision.start, decision.remove.len()), (0, 0));
    assert_eq!(decision.reasons, [Reason::FilesBound { seconds: 1000.0 }]);
    // As long as it is not known whether these give more, a few are tried.
    demand.file_supply = FileSupply { is_seen: false, ..files(1e9, 4e9) };
    let decision = decide(&demand);
    assert_eq!(decision.start, 2);
    assert!(decision.reasons.contains(&Reason::FilesTried { most: 4e9 }), "{:?}", decision.reasons);
    // Files that serve each for itself are worth as many as there is use for.
    demand.file_supply = files(1e9, f64::INFINITY);
    assert!(decide(&demand).start > 10);
}

#[test]
fn what_memory_has_no_room_for_asks_for_workers_only_while_files_hold_the_run_up() {
    let gib = f64::from(1 << 30);
    let mut two = supply(vec![here(1), here(2)]);
    two.workers.iter_mut().for_each(|worker| worker.room = gib);
    two.start.room = gib;
    // Two cores are enough for it.
    let mut demand = Demand { wanted: 5.0 * gib, file_supply: files(1e7, 1e7), ..one(400.0, 100.0) };
    demand.phases[0].width = 4.0;
    let decide = |demand: &Demand, supply: &Supply| none_to_spare().decide(demand, supply, 0.0);
    assert_eq!(decide(&Demand { wanted: 0.0, ..demand.clone() }, &two).start, 0);
    assert_eq!(decide(&Demand { file_supply: FileSupply::default(), ..demand.clone() }, &two).start, 0);
    let decision = decide(&demand, &two);
    assert_eq!(decision.start, 3, "{:?}", decision.reasons);
    assert!(decision.reasons.contains(&Reason::LittleRoom { lacking: 3.0 * gib, with: 0.0 }));
    // Whoever came for its memory stays though it has nothing to do.
    two.workers.extend((3..6).map(|id| Machine { room: gib, ..idle(id, -1e3) }));
    let decision = decide(&demand, &two);
    assert_eq!((decision.start, decision.remove.len()), (0, 0), "{:?}", decision.reasons);
    assert_eq!(decide(&Demand { wanted: 0.0, ..demand }, &two).remove.len(), 3);
}

#[test]
fn cores_that_memory_has_no_tasks_for_do_not_count() {
    let mut one_here = supply(vec![Machine { room: 2.0, ..here(1) }]);
    one_here.start.room = 2.0;
    let mut demand = one(4000.0, 0.0);
    let decide = |demand: &Demand| none_to_spare().decide(demand, &one_here, 0.0);
    let all = decide(&demand).start;
    demand.phases[0].holds = 2.0;
    assert!(decide(&demand).start > all, "each computes with one core of four");
}

fn any_start(random: &mut Random) -> Start {
    let walltime = (random.below(2) == 0).then(|| random.between(60.0, 1e5));
    let queue = random.between(0.01, 600.0);
    let boot = random.between(0.01, 60.0);
    let room = random.between(1e8, 1e10);
    Start { queue, boot, cores: 1 + random.below(8) as u32, room, walltime }
}

fn any_worker(random: &mut Random, id: u32, now: f64) -> Machine {
    let ago = |random: &mut Random| now - random.between(0.1, 1000.0);
    let presence = match random.below(5) {
        0 => Presence::Asked(ago(random)),
        4 => Presence::Starts(ago(random)),
        1 => Presence::Here { idle: Some(ago(random)), leaves: None },
        2 => Presence::Here { idle: None, leaves: Some(now + random.between(1.0, 1e4)) },
        _ => Presence::Here { idle: None, leaves: None },
    };
    let room = random.between(1e8, 1e10);
    Machine { id, cores: 1 + random.below(8) as u32, room, presence }
}

fn apply(decision: &Decision, supply: &mut Supply, next_id: &mut u32, now: f64) {
    supply.workers.retain(|worker| !decision.remove.contains(&worker.id));
    for _ in 0..decision.start {
        supply.workers.push(Machine {
            id: *next_id,
            cores: supply.start.cores,
            room: supply.start.room,
            presence: Presence::Asked(now),
        });
        *next_id += 1;
    }
}

#[test]
fn what_was_decided_is_enough_and_not_too_much() {
    for_seeds(2000, |random| {
        let now = random.between(1.0, 1e4);
        let workers: Vec<Machine> =
            (0..random.below(12) as u32).map(|id| any_worker(random, id, now)).collect();
        let least = random.below(4) as usize;
        let most = 4 + random.below(60) as usize;
        let mut supply = Supply { workers, start: any_start(random), least, most };
        let work = if random.below(8) == 0 { 0.0 } else { random.between(1e-3, 1e6) };
        let mut demand = one(work, work / random.between(1.0, 200.0));
        if random.below(2) == 0 {
            demand.file_supply = files(random.between(1e7, 1e9), random.between(1e8, 1e11));
            demand.phases[0].bytes = random.between(0.0, 1e12);
            demand.phases[0].holds = random.between(0.0, 1e9);
            demand.wanted = random.between(0.0, 1e11);
        }
        let first = ScalingPolicy::default().decide(&demand, &supply, now);
        assert!(first.start == 0 || first.remove.is_empty());
        assert!(supply.workers.len() + first.start <= most.max(supply.workers.len()));
        apply(&first, &mut supply, &mut 100, now);
        assert!(supply.workers.len() >= least);
        let second = ScalingPolicy::default().decide(&demand, &supply, now);
        assert_eq!((second.start, second.remove.len()), (0, 0), "after {first:?} came {second:?}");
    });
}

/// A job of fixed width runs down on the workers that the policy keeps: they become more, then fewer, and never turns
/// back.
#[test]
fn a_fleet_that_has_begun_to_shrink_never_grows_again() {
    for_seeds(300, |random| {
        let mut start = any_start(random);
        let width = random.between(1.0, 200.0);
        start.walltime = None;
        let mut supply = Supply { workers: vec![], start, least: random.below(3) as usize, most: 40 };
        let (mut work, mut now, mut next_id, mut shrinking) = (random.between(10.0, 1e6), 0.0, 0, false);
        let step = ((start.queue + start.boot) / random.between(2.0, 20.0)).max(work / 5000.0);
        for _ in 0..20_000 {
            let decision = ScalingPolicy::default().decide(&one(work, work / width), &supply, now);
            assert!(!(shrinking && decision.start > 0), "at {now}: {:?}", decision.reasons);
            shrinking |= !decision.remove.is_empty();
            apply(&decision, &mut supply, &mut next_id, now);
            if work == 0.0 && supply.workers.len() <= supply.least {
                return;
            }
            now += step;
            work = (work - step * run(&mut supply, width, work, now)).max(0.0);
        }
        panic!("{} workers are left with {work} core-seconds to do", supply.workers.len());
    });
}

/// Lets workers come whose time it is, gives work to as many as the width takes, and returns the cores that compute.
fn run(supply: &mut Supply, width: f64, work: f64, now: f64) -> f64 {
    let Start { queue, boot, .. } = supply.start;
    let mut busy = 0.0;
    for worker in &mut supply.workers {
        match &mut worker.presence {
            Presence::Asked(at) if *at + queue + boot <= now => {
                worker.presence = Presence::Here { idle: None, leaves: None };
            }
            Presence::Asked(_) | Presence::Starts(_) => {}
            Presence::Here { idle, .. } if work > 0.0 && busy < width => {
                *idle = None;
                busy += f64::from(worker.cores);
            }
            Presence::Here { idle, .. } => {
                idle.get_or_insert(now);
            }
        }
    }
    busy.min(width)
}
