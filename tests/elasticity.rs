//! The policy for the number of workers in virtual time, with the real core, some of it beside an oracle that knows the
//! future. `cargo bench --bench elasticity` shows all of it.

mod sim;

use dolmen::graph::ProgramBuilder;
use dolmen::sched::Core;
use sim::elastic::case::{Case, Preemption};
use sim::elastic::load::Load;
use sim::elastic::table::{self, Ratios};
use std::sync::Arc;

fn case(load: Load, boot: f64) -> Case {
    Case { load, boot, queue: 0.0, preemption: Preemption::Never, seed: 1 }
}

#[test]
fn the_policy_is_about_as_good_as_an_oracle() {
    for case in [case(Load::Ramp, 1.0), case(Load::Ramp, 10.0), case(Load::Steps, 600.0)] {
        let line = table::line(case);
        assert!(line.is_within(line.beside_all()), "{}", line.told());
    }
}

/// A line of the table in the documentation.
struct Told {
    makespan: f64,
    node_seconds: f64,
    /// Beside each oracle.
    ratios: [Ratios; 3],
    regretted: usize,
}

const DOCS: &str = include_str!("../docs/architecture/autoscaler.md");

impl Told {
    fn of(case: Case) -> Told {
        let start = format!("| {} |", table::told(case));
        let line = DOCS.lines().find_map(|line| line.strip_prefix(&start));
        let line = line.unwrap_or_else(|| panic!("no line {start}")).replace('*', "");
        let figures: Vec<f64> = line.split('|').filter_map(|figure| figure.trim().parse().ok()).collect();
        let ratios = |oracle: usize| Ratios {
            makespan: figures[oracle],
            node_seconds: figures[oracle + 4],
            product: figures[oracle + 7],
        };
        let (makespan, node_seconds, regretted) = (figures[0], figures[4], figures[11] as usize);
        Told { makespan, node_seconds, ratios: [1, 2, 3].map(ratios), regretted }
    }
}

/// Figures of the table are rounded.
const ROUNDING: f64 = 0.99;

/// Whom others take away is a matter of luck, and that is another one when a single task goes elsewhere.
fn tolerance(case: Case) -> f64 {
    if case.preemption == Preemption::Never { 0.05 } else { 0.25 }
}

#[test]
fn the_table_in_the_documentation_is_of_this_policy_and_what_it_reaches_it_still_reaches() {
    for case in table::cases() {
        let (told, outcome) = (Told::of(case), table::policy(case));
        let makespan = outcome.makespan / told.makespan;
        let node_seconds = outcome.node_seconds / told.node_seconds;
        let tolerance = tolerance(case);
        let is_told = [makespan, node_seconds].iter().all(|ratio| (ratio - 1.0).abs() <= tolerance);
        assert!(is_told, "make the table anew with cargo bench --bench elasticity: {case:?}: {outcome:?}");
        if case.preemption != Preemption::Never {
            continue;
        }
        assert!(outcome.regretted <= told.regretted, "{case:?}: {outcome:?}");
        for ratios in told.ratios.into_iter().filter(|ratios| ratios.are_within()) {
            let now = Ratios {
                makespan: ratios.makespan * makespan * ROUNDING,
                node_seconds: ratios.node_seconds * node_seconds * ROUNDING,
                product: ratios.product * makespan * node_seconds * ROUNDING,
            };
            assert!(now.are_within(), "{case:?}: {now:?}");
        }
    }
}

#[test]
fn nobody_is_sent_away_and_asked_for_again_within_the_time_of_a_boot() {
    // Of bursts nobody knows that they come.
    let is_foreseen = |case: &Case| case.preemption == Preemption::Never && case.load != Load::Bursts;
    for case in table::cases().into_iter().filter(is_foreseen) {
        let outcome = table::policy(case);
        assert_eq!(outcome.regretted, 0, "{case:?}: {outcome:?}");
        assert_eq!(outcome.recomputed, 0, "{case:?}: who leaves as planned takes nothing along");
    }
}

#[test]
fn whoever_is_taken_away_without_notice_is_made_up_for() {
    for case in table::cases().into_iter().filter(|case| case.preemption == Preemption::Without) {
        assert!(table::policy(case).makespan > 0.0);
    }
}

#[test]
fn the_same_seed_does_the_same() {
    let case = Case { queue: 60.0, preemption: Preemption::WithNotice, ..case(Load::Ramp, 10.0) };
    assert_eq!(table::policy(case), table::policy(case));
    assert_ne!(table::policy(case), table::policy(Case { seed: 2, ..case }));
}

#[test]
fn what_one_task_has_held_up_is_spread_over_the_workers_that_are_idle() {
    // Seven levels of 60 s each, if all of a level begin at once.
    let outcome = table::policy(case(Load::Ramp, 10.0));
    assert!(outcome.makespan < 500.0, "{outcome:?}");
}

#[test]
fn what_is_left_of_a_run_are_its_phases() {
    let run = Load::Steps.runs(1).remove(0);
    let phases = Core::new(run.program, 1 << 40).remaining().phases;
    let widths: Vec<f64> = phases.iter().map(|phase| phase.width).collect();
    assert_eq!(
        widths,
        [1024.0, 1.0, 1.0, 1.0, 1024.0, 1.0, 1.0, 1.0, 512.0],
        "a task between two levels joins them"
    );
    let chain = phases[2];
    assert!((chain.path - chain.work).abs() < 1e-9, "{chain:?}");
    let wide = phases[0];
    assert!((wide.work - 1024.0 * wide.path).abs() < 1e-6, "{wide:?}");
}

#[test]
fn stages_that_can_go_on_at_once_are_one_phase() {
    let mut builder = ProgramBuilder::default();
    builder.null_wide(10);
    builder.null_wide(20);
    let phases = Core::new(Arc::new(builder.finish()), 1 << 40).remaining().phases;
    assert_eq!(phases.iter().map(|phase| phase.width).collect::<Vec<_>>(), [30.0]);
}
