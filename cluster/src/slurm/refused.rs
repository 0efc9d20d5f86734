//! What SLURM says when it does not do what it was asked, and what that means.

use super::commands::Called;
use crate::provider::Cause;

/// Parts of what `sbatch` says where the request is wrong: the next one would be refused as well.
const FOR_GOOD: [&str; 22] = [
    "access/permission denied",
    "ambiguous option",
    "cpu count per node can not be satisfied",
    "cpu count specification invalid",
    "invalid account",
    "invalid constraint",
    "invalid feature",
    "invalid generic resource",
    "invalid gres",
    "invalid job array",
    "invalid node",
    "invalid option",
    "invalid partition",
    "invalid qos",
    "invalid trackable resource",
    "memory specification can not be satisfied",
    "more processors requested than permitted",
    "node configuration is not available",
    "time limit is invalid",
    "unable to open file",
    "unrecognized option",
    "user's group not permitted",
];
/// Parts of what all of them say where nobody answers.
const SILENT: [&str; 10] = [
    "authentication",
    "configuration file",
    "configuration source",
    "connection refused",
    "connection timed out",
    "controller not responding",
    "socket timed out",
    "transport endpoint",
    "unable to contact",
    "zero bytes were transmitted",
];

/// What a program said that did what it was told.
pub struct Done {
    /// On standard output.
    pub says: String,
    /// How long it took.
    pub seconds: f64,
}

/// Why a program did not do what it was told.
pub struct NotDone {
    /// What that means.
    pub cause: Cause,
    /// One line.
    pub words: String,
}

/// What a call of `program` came to.
pub fn outcome(program: &str, called: Called) -> Result<Done, NotDone> {
    match called {
        Called::Ended { ok: true, says, seconds, .. } => Ok(Done { says, seconds }),
        Called::Ended { says, complains, .. } => {
            let words = told(&complains).or_else(|| told(&says));
            let words = words.unwrap_or_else(|| "it failed and does not say why".into());
            Err(NotDone { cause: cause(&words), words: format!("{program}: {words}") })
        }
        Called::TookTooLong { seconds } => {
            let words = format!("{program} did not answer within {seconds:.0} s");
            Err(NotDone { cause: Cause::Silent, words })
        }
        Called::NotStarted(words) => Err(NotDone { cause: Cause::ForGood, words }),
    }
}

/// Why a command was not done, by its words. What is not known is for now: it is tried again, slowly, and told.
fn cause(words: &str) -> Cause {
    let words = words.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if has(&SILENT) {
        Cause::Silent
    } else if has(&FOR_GOOD) {
        Cause::ForGood
    } else {
        Cause::ForNow
    }
}

/// The line of what a program said that tells most: the last one that is not empty and no advice, without its prefixes.
fn told(text: &str) -> Option<String> {
    let tells = |line: &&str| !line.is_empty() && !line.starts_with("Try \"");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(tells).collect();
    // "Batch job submission failed: reason" says more than what stands around it.
    let line = lines.iter().find(|line| line.contains("failed:")).or(lines.last())?;
    let mut rest = *line;
    for prefix in ["sbatch: ", "squeue: ", "scancel: ", "sinfo: ", "error: ", "fatal: "] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    Some(rest.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As SLURM 22.05 and its sources say it.
    #[test]
    fn words_have_a_cause() {
        for (words, expected) in [
            ("sbatch: error: invalid partition specified: nope", Cause::ForGood),
            ("Batch job submission failed: Invalid partition name specified", Cause::ForGood),
            (
                "Batch job submission failed: Invalid account or account/partition combination specified",
                Cause::ForGood,
            ),
            ("Batch job submission failed: Invalid qos specification", Cause::ForGood),
            ("Batch job submission failed: Requested node configuration is not available", Cause::ForGood),
            (
                "Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
                Cause::ForGood,
            ),
            ("sbatch: unrecognized option '--nonsense'", Cause::ForGood),
            ("sbatch: error: Batch job submission failed: Invalid job array specification", Cause::ForGood),
            ("squeue: fatal: Unable to process configuration file", Cause::Silent),
            ("Batch job submission failed: Resource temporarily unavailable", Cause::ForNow),
            ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", Cause::ForNow),
            (
                "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size \
                 and/or time limits)",
                Cause::ForNow,
            ),
            ("something that nobody has heard of", Cause::ForNow),
            ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", Cause::Silent),
            ("Batch job submission failed: Socket timed out on send/recv operation", Cause::Silent),
            ("sbatch: fatal: Could not establish a configuration source", Cause::Silent),
        ] {
            assert_eq!(cause(words), expected, "{words}");
        }
    }

    #[test]
    fn the_line_that_tells_most_is_told() {
        let text = "sbatch: error: invalid partition specified: nope\n\
                    sbatch: error: Batch job submission failed: Invalid partition name specified\n";
        assert_eq!(told(text).unwrap(), "Batch job submission failed: Invalid partition name specified");
        assert_eq!(told("\nsbatch: error: one\nsbatch: error: two\n\n").unwrap(), "two");
        let text = "sbatch: unrecognized option '--nonsense'\nTry \"sbatch --help\" for more information\n";
        assert_eq!(told(text).unwrap(), "unrecognized option '--nonsense'");
        assert_eq!(told(" \n"), None);
    }
}
