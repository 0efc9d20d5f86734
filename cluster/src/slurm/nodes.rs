//! Where nodes are in the network.

use super::commands::{Call, Commands};
use super::refused::outcome;
use std::collections::BTreeSet;

/// The addresses of the nodes as SLURM knows them, names or numbers, each once. If the partition has none, those of all
/// nodes: that there is no such partition is for `sbatch` to say.
///
/// # Errors
/// If SLURM does not say, or knows none: one line.
pub fn addresses(commands: &mut impl Commands, partition: Option<&str>) -> Result<Vec<String>, String> {
    let of_partition = partition.map(|_| listed(commands, partition)).transpose()?.unwrap_or_default();
    if !of_partition.is_empty() {
        return Ok(of_partition);
    }
    let all = listed(commands, None)?;
    if all.is_empty() { Err("sinfo lists no nodes: is this the right cluster?".into()) } else { Ok(all) }
}

fn listed(commands: &mut impl Commands, partition: Option<&str>) -> Result<Vec<String>, String> {
    let mut words = vec!["--noheader".to_string(), "--Node".into(), "--format=%o".into()];
    words.extend(partition.map(|partition| format!("--partition={partition}")));
    let called = commands.call(&Call { program: "sinfo", words, input: String::new() });
    let done = outcome("sinfo", called).map_err(|not_done| not_done.words)?;
    let all: BTreeSet<&str> =
        done.says.lines().map(str::trim).filter(|address| !address.is_empty()).collect();
    Ok(all.into_iter().map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::super::commands::Called;
    use super::*;

    struct Says(Called);

    impl Commands for Says {
        fn call(&mut self, _: &Call) -> Called {
            self.0.clone()
        }
    }

    fn ended(ok: bool, says: &str, complains: &str) -> Says {
        Says(Called::Ended { ok, says: says.into(), complains: complains.into(), seconds: 0.1 })
    }

    #[test]
    fn each_address_is_told_once() {
        let mut slurm = ended(true, "10.0.0.1 \nn2\n10.0.0.1\n\n", "");
        assert_eq!(addresses(&mut slurm, None).unwrap(), ["10.0.0.1", "n2"]);
    }

    #[test]
    fn why_there_are_none_is_one_line() {
        let none = addresses(&mut ended(true, "\n", ""), Some("nope")).unwrap_err();
        assert_eq!(none, "sinfo lists no nodes: is this the right cluster?");
        let refused =
            addresses(&mut ended(false, "", "sinfo: error: a\nsinfo: fatal: b\n"), None).unwrap_err();
        assert_eq!(refused, "sinfo: b");
        let missing = addresses(&mut Says(Called::NotStarted("sinfo: not here".into())), None).unwrap_err();
        assert_eq!(missing, "sinfo: not here");
    }
}
