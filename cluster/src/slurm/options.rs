//! What is asked of SLURM for each worker.

use super::walltime::notice;
use std::path::PathBuf;
use std::time::Duration;

/// What is asked of SLURM for a worker, beside its threads and memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlurmRequest {
    /// Where it is to run; none: the site's default.
    pub partition: Option<String>,
    /// Who pays; none: the user's default.
    pub account: Option<String>,
    /// The quality of service; none: the default.
    pub qos: Option<String>,
    /// Features that a node must have.
    pub constraint: Option<String>,
    /// How long a worker may live; none: the partition's default.
    pub time: Option<Duration>,
    /// More options of `sbatch`, one in each.
    pub extra: Vec<String>,
    /// Lines of bash to run before the worker. What is to run after it is a trap on EXIT in them.
    pub prologue: Option<String>,
    /// The network interface whose address a worker announces.
    pub interface: Option<String>,
}

/// What is asked for, and what a worker is told.
#[derive(Clone, Debug, PartialEq)]
pub struct SlurmOptions {
    /// What a user asks for.
    pub request: SlurmRequest,
    /// Compute threads of a worker, and cores of its job.
    pub threads: u32,
    /// Bytes for blocks and workspace of a worker. Its job gets more, see [`SlurmOptions::job_mib`]. None: what the
    /// site gives a job.
    pub memory: Option<u64>,
    /// The program, where the nodes find it.
    pub program: PathBuf,
    /// The scheduler's file, where the nodes see it.
    pub scheduler_file: PathBuf,
    /// The folder for what workers say, a file `NAME.log` for each; none: nobody hears it.
    pub logs: Option<PathBuf>,
    /// Never more workers than this.
    pub most: usize,
}

/// What would not be what it seems in a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// It would end its line.
    #[error("{name}: {value:?} has a line break or another sign that cannot be printed in it")]
    ControlCharacter {
        /// The option.
        name: &'static str,
        /// What it was to be.
        value: String,
    },
    /// It is no option of `sbatch`.
    #[error("--slurm-extra: {0:?} is no option of sbatch: write it as --name=value")]
    NoOption(String),
    /// It would make more jobs than are allowed, or hide them.
    #[error("--slurm-extra: {option:?} is given by dolmen: {why}")]
    OfDolmen {
        /// The option.
        option: String,
        /// What is to be done instead, or why it cannot be had.
        why: &'static str,
    },
    /// A path that is not text.
    #[error("{name}: {value:?} is not UTF-8")]
    NotText {
        /// The option.
        name: &'static str,
        /// What it was to be.
        value: PathBuf,
    },
    /// A whole job cannot live so short.
    #[error("--slurm-time: SLURM counts minutes, and {0:?} is less than one: give 1m or more")]
    TooShort(Duration),
}

const MOST_JOBS: &str = "--max-workers says how many jobs there may be";
const NAMES: &str = "by their names it knows its jobs";
const CLUSTERS: &str = "name another cluster in SLURM_CLUSTERS, so that squeue and scancel know it too";
/// Options that would make more jobs than are allowed, or hide them.
const OF_DOLMEN: [(&str, &str, &str); 3] =
    [("--array", "-a", MOST_JOBS), ("--job-name", "-J", NAMES), ("--clusters", "-M", CLUSTERS)];

/// Why an option cannot be had, if it is one of those. `sbatch` takes the beginning of a name for all of it.
fn why_refused(option: &str) -> Option<&'static str> {
    let name = option.split_once('=').map_or(option, |(name, _)| name);
    let is_meant = |long: &str, short: &str| match name.starts_with("--") {
        true => long.starts_with(name),
        false => name.starts_with(short),
    };
    OF_DOLMEN.iter().find(|(long, short, _)| is_meant(long, short)).map(|(.., why)| *why)
}

/// What a process may take for blocks of what its job has: see the budget of a worker.
const SHARE: f64 = 0.8;

impl SlurmOptions {
    /// MiB of a job, so that 80 % of them are the worker's memory.
    pub fn job_mib(&self) -> Option<u64> {
        let mib = |bytes: u64| (bytes as f64 / SHARE / f64::from(1 << 20)).ceil() as u64;
        self.memory.map(mib)
    }

    /// The walltime as SLURM takes it, rounded up.
    pub fn minutes(&self) -> Option<u64> {
        self.request.time.map(|time| time.as_secs().div_ceil(60))
    }

    /// How many seconds before its end a worker is told. SLURM may do so up to a minute earlier.
    pub fn notice(&self) -> u64 {
        notice(self.request.time.map_or(f64::INFINITY, |time| time.as_secs_f64())) as u64
    }

    /// Whether these can be written into a script.
    ///
    /// # Errors
    /// Which of them cannot, and why.
    pub fn check(&self) -> Result<(), OptionsError> {
        let named = [
            ("--slurm-partition", &self.request.partition),
            ("--slurm-account", &self.request.account),
            ("--slurm-qos", &self.request.qos),
            ("--slurm-constraint", &self.request.constraint),
            ("--interface", &self.request.interface),
        ];
        for (name, value) in named {
            value.iter().try_for_each(|value| printable(name, value))?;
        }
        for extra in &self.request.extra {
            printable("--slurm-extra", extra)?;
            if !extra.starts_with('-') || extra.trim_start_matches('-').is_empty() {
                return Err(OptionsError::NoOption(extra.clone()));
            }
            if let Some(why) = why_refused(extra) {
                return Err(OptionsError::OfDolmen { option: extra.clone(), why });
            }
        }
        let paths = [("the program", &self.program), ("--scheduler-file", &self.scheduler_file)];
        let logs = self.logs.iter().map(|logs| ("the folder of logs", logs));
        for (name, path) in paths.into_iter().chain(logs) {
            let text = path.to_str().ok_or(OptionsError::NotText { name, value: path.clone() })?;
            printable(name, text)?;
        }
        match self.request.time {
            Some(time) if time < Duration::from_secs(60) => Err(OptionsError::TooShort(time)),
            _ => Ok(()),
        }
    }
}

fn printable(name: &'static str, value: &str) -> Result<(), OptionsError> {
    match value.chars().any(char::is_control) {
        true => Err(OptionsError::ControlCharacter { name, value: value.into() }),
        false => Ok(()),
    }
}
