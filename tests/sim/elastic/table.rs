//! The table: the policy beside the oracle.

use super::case::{Case, Preemption};
use super::load::Load;
use super::oracle::{self, Oracle, Oracles};
use super::world::{Control, Outcome, World};
use cluster::scaling::Scaling;

/// All lines of the table.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for load in Load::ALL {
        for boot in [1.0, 10.0, 60.0, 600.0] {
            let plain = Case { load, boot, queue: 0.0, preemption: Preemption::Never, seed: 1 };
            let waits = Case { queue: 60.0, ..plain };
            cases.extend([plain, waits]);
            cases.extend(
                [Preemption::WithNotice, Preemption::Without].map(|preemption| Case { preemption, ..waits }),
            );
        }
    }
    cases
}

pub fn policy(case: Case) -> Outcome {
    World::new(case, Control::Policy(Box::new(Scaling::new(case.rules())))).drive()
}

pub struct Line {
    pub case: Case,
    pub policy: Outcome,
    pub oracles: Oracles,
}

pub fn line(case: Case) -> Line {
    let policy = policy(case);
    let oracles = oracle::search(case, &policy);
    Line { case, policy, oracles }
}

pub const HEAD: &str = "\
| load | boot | queue | preempted | makespan | A | B | C | node-seconds | A | B | C | product A | B | C | regretted |
|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

/// What is wanted of the policy, in times of what an oracle does.
pub const MAKESPAN: f64 = 1.1;
pub const NODE_SECONDS: f64 = 1.2;

/// The policy in times of what an oracle does.
#[derive(Clone, Copy, Debug)]
pub struct Ratios {
    pub makespan: f64,
    pub node_seconds: f64,
    pub product: f64,
}

impl Ratios {
    fn new(policy: &Outcome, oracle: &Oracle) -> Ratios {
        Ratios {
            makespan: policy.makespan / oracle.makespan,
            node_seconds: policy.node_seconds / oracle.node_seconds,
            product: policy.product() / oracle.product,
        }
    }

    pub fn are_within(self) -> bool {
        self.makespan <= MAKESPAN
            && self.node_seconds <= NODE_SECONDS
            && self.product <= MAKESPAN * NODE_SECONDS
    }
}

impl Line {
    /// Beside the oracle that knows of all runs.
    pub fn beside_all(&self) -> Ratios {
        Ratios::new(&self.policy, &self.oracles.of_all_runs)
    }

    /// Beside the oracle that hears of a run when the policy does.
    pub fn beside_asked_for(&self) -> Ratios {
        Ratios::new(&self.policy, &self.oracles.of_runs_asked_for)
    }

    /// Beside the oracle that knows of all runs and takes one of several places.
    pub fn beside_one_that_picks(&self) -> Ratios {
        Ratios::new(&self.policy, &self.oracles.that_picks)
    }

    /// Is it as was wanted?
    pub fn is_within(&self, ratios: Ratios) -> bool {
        ratios.are_within() && self.policy.regretted == 0
    }

    /// A line of the table. What is not as was wanted is bold.
    pub fn told(&self) -> String {
        let beside = [self.beside_all(), self.beside_asked_for(), self.beside_one_that_picks()];
        let ratios = |of: fn(Ratios) -> f64, most: f64| {
            let told =
                |ratio: f64| if ratio <= most { format!("{ratio:.2}") } else { format!("**{ratio:.2}**") };
            beside.map(|ratios| told(of(ratios))).join(" | ")
        };
        let regretted = match self.policy.regretted {
            0 => "0".to_string(),
            some => format!("**{some}**"),
        };
        format!(
            "| {} | {:.0} | {} | {:.0} | {} | {} | {regretted} |",
            told(self.case),
            self.policy.makespan,
            ratios(|of| of.makespan, MAKESPAN),
            self.policy.node_seconds,
            ratios(|of| of.node_seconds, NODE_SECONDS),
            ratios(|of| of.product, MAKESPAN * NODE_SECONDS),
        )
    }
}

/// How a line begins.
pub fn told(case: Case) -> String {
    let Case { load, boot, queue, preemption, .. } = case;
    let preempted = match preemption {
        Preemption::Never => "",
        Preemption::WithNotice => "with notice",
        Preemption::Without => "without",
    };
    format!("{} | {boot} | {queue} | {preempted}", load.name())
}
