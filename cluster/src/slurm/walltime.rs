//! When the job must be gone that this process is a part of.

use super::commands::{Call, Called, Commands};
use super::listing::seconds;

/// A worker is told so many seconds before its end.
const NOTICE: f64 = 60.0;

/// How many seconds before its end a worker begins to leave that may live for so many: a minute, and of a short life a
/// quarter.
pub fn notice(life: f64) -> f64 {
    NOTICE.min(life / 4.0)
}

/// How long a job may still live.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Walltime {
    /// As long as it likes, or this process is no part of a job.
    Endless,
    /// So many seconds.
    Left(f64),
    /// SLURM does not answer.
    Unknown,
}

/// How long the job may still live that these variables are of. `now` is the time in seconds since 1970. Newer
/// versions of SLURM say it in a variable; without that, `squeue` is called once.
pub fn walltime(
    variable: impl Fn(&str) -> Option<String>,
    now: f64,
    commands: &mut impl Commands,
) -> Walltime {
    let end = variable("SLURM_JOB_END_TIME").and_then(|end| end.trim().parse::<f64>().ok());
    if let Some(end) = end.filter(|end| end.is_finite() && *end > 0.0) {
        return Walltime::Left(end - now);
    }
    let element = |array| Some(format!("{array}_{}", variable("SLURM_ARRAY_TASK_ID")?));
    // The number of one job of an array is the number of the array, too.
    let job = variable("SLURM_ARRAY_JOB_ID").and_then(element).or_else(|| variable("SLURM_JOB_ID"));
    let Some(job) = job else { return Walltime::Endless };
    let words = ["--noheader", "--format=%L", "--jobs"].map(String::from).into_iter().chain([job]);
    match commands.call(&Call { program: "squeue", words: words.collect(), input: String::new() }) {
        Called::Ended { ok: true, says, .. } => seconds(&says).map_or(Walltime::Endless, Walltime::Left),
        _ => Walltime::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `squeue` that answers so, and what it was asked.
    struct Squeue(Called, Vec<String>);

    impl Commands for Squeue {
        fn call(&mut self, call: &Call) -> Called {
            self.1.push(call.words.join(" "));
            self.0.clone()
        }
    }

    fn says(text: &str) -> Squeue {
        let called = Called::Ended { ok: true, says: text.into(), complains: String::new(), seconds: 0.01 };
        Squeue(called, Vec::new())
    }

    fn left(pairs: &[(&str, &str)], squeue: &mut Squeue) -> Walltime {
        let among =
            |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
        walltime(among, 1000.0, squeue)
    }

    #[test]
    fn outside_a_job_nobody_is_asked() {
        let mut squeue = says("");
        assert_eq!(left(&[], &mut squeue), Walltime::Endless);
        assert_eq!(left(&[("SLURM_JOB_END_TIME", "1600")], &mut squeue), Walltime::Left(600.0));
        assert_eq!(squeue.1, [""; 0]);
    }

    #[test]
    fn an_end_that_is_none_is_asked_for() {
        for end in ["inf", "NaN", "0", "-5", "soon"] {
            let job = [("SLURM_JOB_END_TIME", end), ("SLURM_JOB_ID", "17")];
            assert_eq!(left(&job, &mut says("9:30\n")), Walltime::Left(570.0), "{end}");
        }
    }

    #[test]
    fn squeue_is_asked_for_this_job_and_no_other() {
        let mut squeue = says("9:30\n");
        assert_eq!(left(&[("SLURM_JOB_ID", "17")], &mut squeue), Walltime::Left(570.0));
        let of_array = [("SLURM_JOB_ID", "17"), ("SLURM_ARRAY_JOB_ID", "17"), ("SLURM_ARRAY_TASK_ID", "3")];
        assert_eq!(left(&of_array, &mut squeue), Walltime::Left(570.0));
        assert_eq!(squeue.1, ["--noheader --format=%L --jobs 17", "--noheader --format=%L --jobs 17_3"]);
    }

    #[test]
    fn what_has_no_end_is_told_from_what_is_not_known() {
        let job = [("SLURM_JOB_ID", "17")];
        assert_eq!(left(&job, &mut says("UNLIMITED\n")), Walltime::Endless);
        let mut silent = Squeue(Called::TookTooLong { seconds: 60.0 }, Vec::new());
        assert_eq!(left(&job, &mut silent), Walltime::Unknown);
    }
}
