//! The states of a job and the reasons for waiting, in SLURM's words, and what they mean for a worker.

use crate::provider::{End, PlaceState};

/// What a job's state, and where it waits its reason, mean. A word that SLURM has learnt since is a job that is still
/// there.
pub fn place_state(state: &str, reason: &str) -> PlaceState {
    match state {
        "PENDING" | "REQUEUED" | "REQUEUE_FED" if can_never_begin(reason) => PlaceState::Stuck,
        "PENDING" | "REQUEUED" | "REQUEUE_FED" => PlaceState::Waiting,
        "REQUEUE_HOLD" | "RESV_DEL_HOLD" | "SPECIAL_EXIT" => PlaceState::Stuck,
        "RUNNING" | "SIGNALING" | "RESIZING" => PlaceState::Running,
        "SUSPENDED" | "STOPPED" => PlaceState::Suspended,
        "COMPLETING" | "STAGE_OUT" => PlaceState::Leaving,
        "COMPLETED" => PlaceState::Ended(End::Left),
        "CANCELLED" | "REVOKED" => PlaceState::Ended(End::Cancelled),
        "TIMEOUT" | "DEADLINE" => PlaceState::Ended(End::Walltime),
        "PREEMPTED" => PlaceState::Ended(End::Preempted),
        "NODE_FAIL" | "BOOT_FAIL" => PlaceState::Ended(End::MachineLost),
        "OUT_OF_MEMORY" => PlaceState::Ended(End::OutOfMemory),
        "FAILED" | "LAUNCH_FAILED" | "RECONFIG_FAIL" => PlaceState::Ended(End::Failed),
        // "CONFIGURING", "POWER_UP_NODE", and what is not known.
        _ => PlaceState::Starting,
    }
}

/// Reasons that do not go away by waiting.
const FOR_EVER: [&str; 17] = [
    "AccountNotAllowed",
    "BadConstraints",
    "DependencyNeverSatisfied",
    "InvalidAccount",
    "InvalidQOS",
    "JobHeldAdmin",
    "JobHeldUser",
    "JobLaunchFailure",
    "PartitionConfig",
    "PartitionDown",
    "PartitionInactive",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "QOSNotAllowed",
    "ReservationDeleted",
    "job requeued in held state",
    "launch failed requeued held",
];
/// Parts of the names of limits that one job alone is above, or of a budget that is spent.
const ABOVE_A_LIMIT: [&str; 3] = ["PerJob", "MaxWall", "Minutes"];

fn can_never_begin(reason: &str) -> bool {
    // `squeue` writes some reasons with underscores for blanks.
    let reason = reason.trim_matches(['(', ')']).replace('_', " ");
    FOR_EVER.contains(&reason.as_str()) || ABOVE_A_LIMIT.iter().any(|part| reason.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use PlaceState::{Ended, Leaving, Running, Starting, Stuck, Suspended, Waiting};

    #[test]
    fn each_state_has_a_meaning() {
        for (state, meaning) in [
            ("PENDING", Waiting),
            ("REQUEUED", Waiting),
            ("REQUEUE_FED", Waiting),
            ("REQUEUE_HOLD", Stuck),
            ("RESV_DEL_HOLD", Stuck),
            ("SPECIAL_EXIT", Stuck),
            ("CONFIGURING", Starting),
            ("RUNNING", Running),
            ("SIGNALING", Running),
            ("RESIZING", Running),
            ("SUSPENDED", Suspended),
            ("STOPPED", Suspended),
            ("COMPLETING", Leaving),
            ("STAGE_OUT", Leaving),
            ("COMPLETED", Ended(End::Left)),
            ("CANCELLED", Ended(End::Cancelled)),
            ("REVOKED", Ended(End::Cancelled)),
            ("TIMEOUT", Ended(End::Walltime)),
            ("DEADLINE", Ended(End::Walltime)),
            ("PREEMPTED", Ended(End::Preempted)),
            ("NODE_FAIL", Ended(End::MachineLost)),
            ("BOOT_FAIL", Ended(End::MachineLost)),
            ("OUT_OF_MEMORY", Ended(End::OutOfMemory)),
            ("FAILED", Ended(End::Failed)),
        ] {
            assert_eq!(place_state(state, "None"), meaning, "{state}");
        }
        // Nobody is above the maximum since SLURM has a new word.
        assert!(place_state("EXPEDITING", "None").is_there());
    }

    #[test]
    fn who_waits_in_vain_is_told_from_who_waits() {
        for reason in [
            "None",
            "Resources",
            "Priority",
            "BeginTime",
            "ReqNodeNotAvail, UnavailableNodes:n1",
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
            "QOSMaxCpuPerUserLimit",
            "AssocGrpCpuLimit",
            "MaxJobsPerUser",
        ] {
            assert_eq!(place_state("PENDING", reason), Waiting, "{reason}");
        }
        for reason in [
            "PartitionTimeLimit",
            "PartitionConfig",
            "BadConstraints",
            "JobHeldUser",
            "job_requeued_in_held_state",
            "AssocMaxNodePerJobLimit",
            "QOSMaxWallDurationPerJobLimit",
            "AssocGrpCPUMinutesLimit",
        ] {
            assert_eq!(place_state("PENDING", reason), Stuck, "{reason}");
        }
    }
}
