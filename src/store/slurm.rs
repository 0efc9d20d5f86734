//! What SLURM gives a process: cores, memory, and others on the same machine to share them with. Pure: variables are
//! looked up by the caller's function.

/// A variable that nobody can read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{variable}={value} is not an amount of memory: correct it, or give --memory")]
pub struct NotAnAmount {
    variable: &'static str,
    value: String,
}

/// Memory, and the variable that says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SlurmMemory {
    pub bytes: u64,
    pub variable: &'static str,
}

/// What SLURM gave this job on this node, for all processes of the job there; 0 is all that it has.
pub(super) fn memory(variable: impl Fn(&str) -> Option<String>) -> Result<Option<SlurmMemory>, NotAnAmount> {
    let (node, cpu) = ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU");
    let size = |name| match variable(name) {
        Some(value) => slurm_size(&value).map(Some).ok_or(NotAnAmount { variable: name, value }),
        None => Ok(None),
    };
    if let Some(bytes) = size(node)?.filter(|bytes| *bytes > 0) {
        return Ok(Some(SlurmMemory { bytes, variable: node }));
    }
    // Each task of a job has at least one.
    let cpus = number(&variable, "SLURM_CPUS_ON_NODE").unwrap_or(1);
    let bytes = size(cpu)?.map(|bytes| bytes.saturating_mul(cpus)).filter(|bytes| *bytes > 0);
    Ok(bytes.map(|bytes| SlurmMemory { bytes, variable: cpu }))
}

/// How many processes `srun` started on this machine with this one, which share what the job has here. 1 for a batch
/// script, and outside SLURM.
pub(super) fn processes_here(variable: impl Fn(&str) -> Option<String>) -> u64 {
    let node = number(&variable, "SLURM_NODEID").unwrap_or(0);
    let of_nodes = variable("SLURM_STEP_TASKS_PER_NODE");
    of_nodes.and_then(|list| nth_of_list(&list, node)).unwrap_or(1).max(1)
}

/// Cores that SLURM gave this process.
pub(super) fn cores(variable: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let on_node = || Some(number(&variable, "SLURM_CPUS_ON_NODE")? / processes_here(&variable));
    let cores = number(&variable, "SLURM_CPUS_PER_TASK").or_else(on_node)?;
    usize::try_from(cores.max(1)).ok()
}

/// Threads for a worker unless somebody says: the cores that SLURM gave this process, but no more than those that the
/// system lets it use.
pub fn own_cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    cores(|name| std::env::var(name).ok()).map_or(allowed, |given| given.min(allowed))
}

fn number(variable: impl Fn(&str) -> Option<String>, name: &str) -> Option<u64> {
    variable(name)?.trim().parse().ok()
}

/// The number in place `at` of a list like `2(x3),1`, which is 2, 2, 2, 1.
fn nth_of_list(list: &str, at: u64) -> Option<u64> {
    let mut left = at;
    for part in list.trim().split(',') {
        let (value, times) = match part.split_once("(x") {
            Some((value, times)) => (value, times.strip_suffix(')')?.parse().ok()?),
            None => (part, 1),
        };
        if left < times {
            return value.parse().ok();
        }
        left -= times;
    }
    None
}

/// Bytes of a size as SLURM writes it: MiB, unless K, M, G or T is behind the number.
fn slurm_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "K" => 10,
        "" | "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks variables up in a list.
    fn among<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string())
    }

    /// What SLURM's variables come to: bytes and the one that bounds them.
    fn slurm(pairs: &[(&str, &str)]) -> Result<Option<(u64, &'static str)>, NotAnAmount> {
        memory(among(pairs)).map(|found| found.map(|found| (found.bytes, found.variable)))
    }

    #[test]
    fn memory_is_told_by_node_or_by_cpu() {
        let node = "SLURM_MEM_PER_NODE";
        for (value, bytes) in [
            ("4000", 4000 << 20),
            ("4G", 4 << 30),
            ("4g", 4 << 30),
            ("512M", 512 << 20),
            ("2048K", 2 << 20),
            ("1T", 1 << 40),
        ] {
            assert_eq!(slurm(&[(node, value)]), Ok(Some((bytes, node))), "{value}");
        }
        let cpu = "SLURM_MEM_PER_CPU";
        assert_eq!(slurm(&[(cpu, "500"), ("SLURM_CPUS_ON_NODE", "4")]), Ok(Some((2000 << 20, cpu))));
        assert_eq!(slurm(&[(cpu, "2G"), ("SLURM_CPUS_ON_NODE", "4")]), Ok(Some((8 << 30, cpu))));
        assert_eq!(slurm(&[(cpu, "2G")]), Ok(Some((2 << 30, cpu))));
        assert_eq!(slurm(&[(node, "0")]), Ok(None));
        assert_eq!(slurm(&[]), Ok(None));
        for value in ["4X", "", "G", "-1", "99999999999999999999", "999999999T"] {
            assert!(slurm(&[(node, value)]).is_err(), "{value:?}");
        }
    }

    #[test]
    fn those_that_srun_started_here_are_counted() {
        let step = |list, node| [("SLURM_STEP_TASKS_PER_NODE", list), ("SLURM_NODEID", node)];
        for (list, node, count) in [
            ("2,1", "0", 2),
            ("2,1", "1", 1),
            ("2(x3),1", "2", 2),
            ("2(x3),1", "3", 1),
            ("1,4(x2),3", "2", 4),
            ("1", "0", 1),
            // What makes no sense shares with nobody.
            ("2(x3", "0", 1),
            ("2,1", "7", 1),
            ("0", "0", 1),
        ] {
            assert_eq!(processes_here(among(&step(list, node))), count, "{list} at {node}");
        }
        // A batch script is alone, however many tasks its job may start.
        assert_eq!(processes_here(among(&[("SLURM_TASKS_PER_NODE", "4"), ("SLURM_NODEID", "0")])), 1);
    }

    #[test]
    fn cores_are_told_by_task_or_shared() {
        let two_here = [("SLURM_STEP_TASKS_PER_NODE", "2,1"), ("SLURM_NODEID", "0")];
        let with = |more: &[(&'static str, &'static str)]| cores(among(&[&two_here, more].concat()));
        assert_eq!(with(&[("SLURM_CPUS_PER_TASK", "3"), ("SLURM_CPUS_ON_NODE", "16")]), Some(3));
        assert_eq!(with(&[("SLURM_CPUS_ON_NODE", "16")]), Some(8));
        assert_eq!(with(&[("SLURM_CPUS_ON_NODE", "1")]), Some(1));
        assert_eq!(with(&[]), None);
    }
}
