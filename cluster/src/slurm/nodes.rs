//! Where nodes are in the network.

use super::commands::{Call, Called, Commands};
use super::refused::told;

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
    if all.is_empty() { Err("sinfo: there are no nodes".into()) } else { Ok(all) }
}

fn listed(commands: &mut impl Commands, partition: Option<&str>) -> Result<Vec<String>, String> {
    let mut words = vec!["--noheader".to_string(), "--Node".into(), "--format=%o".into()];
    words.extend(partition.map(|partition| format!("--partition={partition}")));
    match commands.call(&Call { program: "sinfo", words, input: String::new() }) {
        Called::Ended { ok: true, says, .. } => {
            let mut all: Vec<String> = says.lines().map(|line| line.trim().to_string()).collect();
            all.retain(|address| !address.is_empty());
            all.dedup();
            Ok(all)
        }
        Called::Ended { complains, .. } => Err(format!(
            "sinfo: {}",
            told(&complains).unwrap_or_else(|| "it does not say why it failed".into())
        )),
        Called::TookTooLong { seconds } => Err(format!("sinfo did not answer within {seconds:.0} s")),
        Called::NotStarted(words) => Err(words),
    }
}

#[cfg(test)]
mod tests {
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
        let mut slurm = ended(true, "10.0.0.1 \n10.0.0.1\nn2\n\n", "");
        assert_eq!(addresses(&mut slurm, None).unwrap(), ["10.0.0.1", "n2"]);
    }

    #[test]
    fn why_there_are_none_is_one_line() {
        let none = addresses(&mut ended(true, "\n", ""), Some("nope")).unwrap_err();
        assert_eq!(none, "sinfo: there are no nodes");
        let refused =
            addresses(&mut ended(false, "", "sinfo: error: a\nsinfo: fatal: b\n"), None).unwrap_err();
        assert_eq!(refused, "sinfo: b");
        let missing = addresses(&mut Says(Called::NotStarted("sinfo: not here".into())), None).unwrap_err();
        assert_eq!(missing, "sinfo: not here");
    }
}
