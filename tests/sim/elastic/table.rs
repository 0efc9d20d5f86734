//! The table: the policy beside the oracle.

use super::case::{Case, Preemption};
use super::load::Load;
use super::oracle::{self, Oracle};
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
    pub oracle: Oracle,
}

pub fn line(case: Case) -> Line {
    let policy = policy(case);
    let oracle = oracle::search(case, &policy);
    Line { case, policy, oracle }
}

pub const HEAD: &str = "\
| load | boot | queue | preempted | makespan | to oracle's | node-seconds | to oracle's | product | regretted |
|---|--:|--:|---|--:|--:|--:|--:|--:|--:|";

/// What is wanted of the policy, in times of what the oracle does.
pub const MAKESPAN: f64 = 1.1;
pub const NODE_SECONDS: f64 = 1.2;

impl Line {
    pub fn makespan(&self) -> f64 {
        self.policy.makespan / self.oracle.makespan
    }

    pub fn node_seconds(&self) -> f64 {
        self.policy.node_seconds / self.oracle.node_seconds
    }

    pub fn product(&self) -> f64 {
        let product = |outcome: &Outcome| outcome.makespan * outcome.node_seconds;
        product(&self.policy) / product(&self.oracle.balanced).min(product(&self.policy))
    }

    /// Is it as was wanted?
    pub fn is_within(&self) -> bool {
        self.makespan() <= MAKESPAN
            && self.node_seconds() <= NODE_SECONDS
            && self.product() <= MAKESPAN * NODE_SECONDS
            && self.policy.regretted == 0
    }

    /// A line of the table. What is not as was wanted is bold.
    pub fn told(&self) -> String {
        let Case { load, boot, queue, preemption, .. } = self.case;
        let preempted = match preemption {
            Preemption::Never => "",
            Preemption::WithNotice => "with notice",
            Preemption::Without => "without",
        };
        let ratio = |ratio: f64, most: f64| match ratio <= most {
            true => format!("{ratio:.2}"),
            false => format!("**{ratio:.2}**"),
        };
        let regretted = match self.policy.regretted {
            0 => "0".to_string(),
            some => format!("**{some}**"),
        };
        format!(
            "| {} | {boot} | {queue} | {preempted} | {:.0} | {} | {:.0} | {} | {} | {regretted} |",
            load.name(),
            self.policy.makespan,
            ratio(self.makespan(), MAKESPAN),
            self.policy.node_seconds,
            ratio(self.node_seconds(), NODE_SECONDS),
            ratio(self.product(), MAKESPAN * NODE_SECONDS),
        )
    }
}
