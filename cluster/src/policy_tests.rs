use super::*;
use crate::testing::{Random, for_seeds};

fn here(id: u32) -> Machine {
    Machine { id, cores: 4, presence: Presence::Here { idle: None, leaves: None } }
}

fn idle(id: u32, since: f64) -> Machine {
    Machine { id, cores: 4, presence: Presence::Here { idle: Some(since), leaves: None } }
}

fn supply(workers: Vec<Machine>) -> Supply {
    Supply {
        workers,
        start: Start { queue: 20.0, boot: 10.0, cores: 4, walltime: None },
        least: 0,
        most: 100,
    }
}

fn decide(work: f64, path: f64, supply: &Supply, now: f64) -> Decision {
    ScalingPolicy::default().decide(&Demand { work, path, ..Demand::default() }, supply, now)
}

#[test]
fn nobody_is_started_for_nothing_and_somebody_for_anything() {
    assert_eq!(decide(0.0, 0.0, &supply(vec![]), 5.0).start, 0);
    assert_eq!(decide(1e-3, 0.0, &supply(vec![]), 5.0).start, 1);
}

#[test]
fn the_wanted_number_is_where_one_more_takes_less_work_than_its_boot_burns() {
    // 1 worker does 120 of 4002 core-seconds until others come; each of n new ones then takes 3882/(n + 1).
    let decision = decide(4002.0, 0.0, &supply(vec![here(1)]), 0.0);
    assert_eq!(decision.start, 96, "3882/97 = 40 core-seconds, what a boot of 10 s with 4 cores burns");
    assert!(matches!(decision.reasons[0], Reason::Sooner { workers: 96, .. }));
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
        let demand = Demand { work: 4000.0, path: 0.0, deadline: Some(deadline), ..Demand::default() };
        ScalingPolicy::default().decide(&demand, &supply(vec![here(1)]), 0.0)
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
    some.workers.extend((0..start).map(|i| Machine { id: 2 + i, cores: 4, presence: Presence::Asked(0.0) }));
    for now in [0.0, 10.0, 29.0, 31.0, 100.0] {
        let decision = decide(4000.0 - 4.0 * now, 0.0, &some, now);
        assert_eq!((decision.start, decision.remove.len()), (0, 0), "at {now}");
    }
}

#[test]
fn a_walltime_that_ends_too_early_asks_for_a_replacement_and_a_useless_one_for_none() {
    let mut some = supply(vec![Machine {
        id: 1,
        cores: 4,
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
        let demand = Demand { work: 1e4, longest, ..Demand::default() };
        ScalingPolicy::default().decide(&demand, &some, 0.0).start
    };
    assert!(asked(49.0) > 0, "50 s are left after the boot");
    assert_eq!(asked(50.0), 0);
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
    let asked = Machine { id: 2, cores: 4, presence: Presence::Asked(0.0) };
    let decision = decide(0.0, 0.0, &supply(vec![idle(1, 0.0), asked]), 10.0);
    assert_eq!(decision.remove, [2]);
}

#[test]
fn reasons_are_one_line_each() {
    let decision = decide(4002.0, 0.0, &supply(vec![here(1)]), 0.0);
    let lines: Vec<String> = decision.reasons.iter().map(|reason| reason.told(|id| id.to_string())).collect();
    assert_eq!(lines[0], "96 more: finished in 40.0 s instead of 1000.5 s");
    assert_eq!(lines[1], "one more would take over 39.6 core-seconds, its start costs 40.0");
}

fn any_start(random: &mut Random) -> Start {
    let walltime = (random.below(2) == 0).then(|| random.between(60.0, 1e5));
    let queue = random.between(0.01, 600.0);
    let boot = random.between(0.01, 60.0);
    Start { queue, boot, cores: 1 + random.below(8) as u32, walltime }
}

fn any_worker(random: &mut Random, id: u32, now: f64) -> Machine {
    let ago = |random: &mut Random| now - random.between(0.1, 1000.0);
    let presence = match random.below(4) {
        0 => Presence::Asked(ago(random)),
        1 => Presence::Here { idle: Some(ago(random)), leaves: None },
        2 => Presence::Here { idle: None, leaves: Some(now + random.between(1.0, 1e4)) },
        _ => Presence::Here { idle: None, leaves: None },
    };
    Machine { id, cores: 1 + random.below(8) as u32, presence }
}

fn apply(decision: &Decision, supply: &mut Supply, next_id: &mut u32, now: f64) {
    supply.workers.retain(|worker| !decision.remove.contains(&worker.id));
    for _ in 0..decision.start {
        supply.workers.push(Machine {
            id: *next_id,
            cores: supply.start.cores,
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
        let demand = Demand { work, path: work / random.between(1.0, 200.0), ..Demand::default() };
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
            let decision = ScalingPolicy::default().decide(
                &Demand { work, path: work / width, ..Demand::default() },
                &supply,
                now,
            );
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
            Presence::Asked(_) => {}
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
