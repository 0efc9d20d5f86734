//! What can be written on the command line.

use super::elastic::ElasticArgs;
use super::sizes;
use crate::array::{BlockSize, Element, Law};
use crate::files::Format;
use crate::ids::TaskId;
use crate::session::{SchedulerAt, Workers};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Large dense linear algebra in blocks.
#[derive(Parser, Debug)]
#[command(name = "dolmen", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    #[command(flatten)]
    Work(Work),
    /// Show what a command would do: tasks, flops, bytes and the memory bound
    #[command(subcommand)]
    Plan(Work),
    /// Make the keys of a cluster: an authority, and a key each for scheduler, worker and client
    Keygen {
        /// The folder for them; made if it is not there
        folder: PathBuf,
    },
    /// Run the scheduler of a cluster until dolmen stop
    Scheduler(SchedulerArgs),
    /// Run a worker for the scheduler of a cluster
    Worker(WorkerArgs),
    /// Show the workers of a cluster, what each holds and does, and the runs
    Status {
        #[command(flatten)]
        cluster: ClusterArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say why a task of the run that goes on is where it is
    Explain {
        /// Stage and number, like s3.17
        #[arg(value_parser = sizes::task)]
        task: TaskId,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Let a worker go once others have what only it has, and wait until it has left
    Drain {
        /// What the worker is called
        name: String,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// End a scheduler and all its workers
    Stop {
        #[command(flatten)]
        cluster: ClusterArgs,
    },
}

#[derive(Args, Debug)]
pub struct SchedulerArgs {
    /// Address and port; port 0 is any free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The file that says how the scheduler is reached; removed when it ends
    #[arg(long)]
    pub scheduler_file: Option<PathBuf>,
    /// A folder of keys made by dolmen keygen; default: keys of its own, for this machine only
    #[arg(long)]
    pub keys: Option<PathBuf>,
    /// A folder by which a scheduler that was killed is found again: started anew with it, it has its workers back, and
    /// runs go on with what these hold
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
    /// A worker that was silent for so long is lost; with --state-dir, workers and clients look for a scheduler that is
    /// lost for so long
    #[arg(long, default_value = "15s", value_parser = sizes::silence)]
    pub lost_after: Duration,
    #[command(flatten)]
    pub elastic: ElasticArgs,
}

#[derive(Args, Debug)]
pub struct WorkerArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// What it is called; default: the machine and a random number
    #[arg(long)]
    pub name: Option<String>,
    /// Compute threads; default: the cores that SLURM gave it, or those of this machine
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=sizes::MOST_THREADS))]
    pub threads: Option<u16>,
    /// Memory for blocks and workspace, with units as for dolmen svd; default: most of what is free and allowed
    #[arg(long, allow_hyphen_values = true, value_parser = sizes::memory)]
    pub memory: Option<u64>,
    /// Where blocks go when memory is short; default: a folder for temporary files that is on a disk
    #[arg(long)]
    pub spill_dir: Option<PathBuf>,
    /// Disk space that they may take; 0 forbids it; default: what is free
    #[arg(long, allow_hyphen_values = true, value_parser = sizes::space)]
    pub spill_limit: Option<u64>,
    /// The network interface at whose address others get blocks, like ib0; default: the one that leads to the scheduler
    #[arg(long)]
    pub interface: Option<String>,
    /// How long to wait for a scheduler that is not there yet
    #[arg(long, default_value = "60s", value_parser = sizes::time)]
    pub wait: Duration,
}

/// Where the scheduler of a cluster is.
#[derive(Args, Debug)]
pub struct ClusterArgs {
    /// The file that the scheduler of the cluster wrote
    #[arg(long, conflicts_with_all = ["scheduler", "keys"])]
    pub scheduler_file: Option<PathBuf>,
    /// Host and port of the cluster's scheduler
    #[arg(long, requires = "keys")]
    pub scheduler: Option<String>,
    /// A folder of keys made by dolmen keygen
    #[arg(long, requires = "scheduler")]
    pub keys: Option<PathBuf>,
}

/// A cluster that does the work, if one does.
#[derive(Args, Debug)]
#[command(next_help_heading = "On a cluster")]
pub struct OnCluster {
    #[command(flatten)]
    pub place: ClusterArgs,
    /// Workers of the cluster to wait for; default: 1
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..))]
    pub wait_workers: Option<u16>,
    /// How long to wait for the scheduler and its workers, like 60s, 5m or 1h; default: 60s, with --provider until none
    /// can come
    #[arg(long, value_parser = sizes::time)]
    pub wait: Option<Duration>,
    #[command(flatten, next_help_heading = "With workers of its own")]
    pub own_workers: ElasticArgs,
}

#[derive(Subcommand, Debug)]
pub enum Work {
    /// Make a random matrix; element (i,j) depends on the seed, i and j only
    Generate {
        #[arg(value_enum)]
        law: LawName,
        /// Rows and columns, like 200000x100
        #[arg(long, allow_hyphen_values = true, value_parser = sizes::shape)]
        shape: (u64, u64),
        #[arg(long, allow_negative_numbers = true, default_value_t = 0)]
        seed: u64,
        #[arg(long, value_enum, default_value = "f64")]
        dtype: ElementName,
        #[command(flatten)]
        file: OutFile,
        #[command(flatten)]
        common: Common,
    },
    /// A + Aᵀ of a square matrix
    TransposeAdd {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        file: OutFile,
        #[command(flatten)]
        common: Common,
    },
    /// A·B
    Matmul {
        /// A: a Zarr array, an HDF5 dataset (a.h5:/path), a .npy file, or a quoted pattern of files below each other
        a: OsString,
        /// B
        b: OsString,
        #[command(flatten)]
        file: OutFile,
        #[command(flatten)]
        common: Common,
    },
    /// A = Q·R, to q.npy and r.npy
    Qr {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        folder: OutFolder,
        #[command(flatten)]
        common: Common,
    },
    /// Thin SVD of a tall-skinny or short-fat matrix, to u.npy, s.npy and vt.npy
    Svd {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        folder: OutFolder,
        /// Only s.npy
        #[arg(long)]
        values_only: bool,
        #[command(flatten)]
        common: Common,
    },
    /// The leading singular triplets by random projection, to u.npy, s.npy and vt.npy
    Rsvd {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        folder: OutFolder,
        #[command(flatten)]
        sketch: Sketch,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args, Debug)]
pub struct Input {
    /// A Zarr array (its directory), an HDF5 dataset (a.h5:/path), or .npy files, below each other if several; a
    /// quoted pattern like 'day*.npy' will do
    #[arg(required = true)]
    pub files: Vec<OsString>,
}

#[derive(Args, Debug)]
pub struct OutFile {
    /// The .npy file to make, or with a name that ends in .zarr the Zarr array
    #[arg(long)]
    pub out: PathBuf,
}

#[derive(Args, Debug)]
pub struct OutFolder {
    /// The folder for the results; made if it is not there. With a name that ends in .zarr it is a Zarr group
    #[arg(long)]
    pub out: PathBuf,
    /// How results are stored: u.npy, … or u.zarr, …; default: as the folder's name ends, else npy
    #[arg(long, value_enum)]
    pub format: Option<FormatName>,
}

#[derive(Args, Debug)]
pub struct Sketch {
    /// Number of singular triplets
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub rank: u64,
    /// Further columns of the random sketch
    #[arg(long, allow_negative_numbers = true, default_value_t = 10)]
    pub oversample: u64,
    #[arg(long, allow_negative_numbers = true, default_value_t = 2)]
    pub power_iters: u32,
    #[arg(long, allow_negative_numbers = true, default_value_t = 0)]
    pub seed: u64,
}

#[derive(Args, Debug)]
pub struct Common {
    /// Rows and columns of a block: 4096, 4096x512 or auto; qr, svd and rsvd use the rows
    #[arg(long, allow_hyphen_values = true, default_value = "auto", value_parser = sizes::block)]
    pub block: BlockSize,
    /// Workers in this process: a number, or a range like 1..8 within which there are as many as there is work for;
    /// default: 1
    #[arg(long, allow_hyphen_values = true, value_parser = sizes::workers)]
    pub workers: Option<Workers>,
    /// Compute threads of each worker; default: the cores that SLURM gave, or those of this machine, divided among the
    /// most workers
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Memory for blocks and workspace, like 4G: K, M, G, T (also Ki, KiB, ...) count by 1024, KB, MB, GB, TB by 1000;
    /// default: most of what is free and allowed
    #[arg(long, allow_hyphen_values = true, value_parser = sizes::memory)]
    pub memory: Option<u64>,
    /// Where blocks go when memory is short; default: a folder for temporary files that is on a disk
    #[arg(long)]
    pub spill_dir: Option<PathBuf>,
    /// Disk space that they may take, with units as for --memory; 0 forbids it; default: what is free
    #[arg(long, allow_hyphen_values = true, value_parser = sizes::space)]
    pub spill_limit: Option<u64>,
    /// Do not wait until results are on the disk: a power failure soon after the run may take them
    #[arg(long)]
    pub no_sync: bool,
    /// Write figures about the run to a JSON file; "-" prints them instead of the summary
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// No progress bar and no summary
    #[arg(long)]
    pub quiet: bool,
    /// Log why workers are started and ended, instead of the progress bar
    #[arg(long, short)]
    pub verbose: bool,
    #[command(flatten)]
    pub cluster: OnCluster,
}

impl ClusterArgs {
    /// None if no cluster is named.
    pub fn scheduler(&self) -> Option<SchedulerAt> {
        match (&self.scheduler_file, &self.scheduler, &self.keys) {
            (Some(file), _, _) => Some(SchedulerAt::File(file.clone())),
            (None, Some(address), Some(keys)) => {
                Some(SchedulerAt::Address { address: address.clone(), keys: keys.clone() })
            }
            _ => None,
        }
    }
}

impl Common {
    /// The file that the report goes to, unless it is printed.
    pub fn report_file(&self) -> Option<&PathBuf> {
        self.report.as_ref().filter(|path| path.as_os_str() != "-")
    }

    /// Files that are read beside the matrices.
    pub fn files_read(&self) -> Vec<PathBuf> {
        let OnCluster { place, own_workers, .. } = &self.cluster;
        let of_scheduler = place.scheduler().map(|scheduler| scheduler.files()).unwrap_or_default();
        of_scheduler.into_iter().chain(own_workers.file().cloned()).collect()
    }
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum LawName {
    Normal,
    Uniform,
}

impl From<LawName> for Law {
    fn from(name: LawName) -> Law {
        match name {
            LawName::Normal => Law::Normal,
            LawName::Uniform => Law::Uniform,
        }
    }
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum ElementName {
    F32,
    F64,
}

impl From<ElementName> for Element {
    fn from(name: ElementName) -> Element {
        match name {
            ElementName::F32 => Element::F32,
            ElementName::F64 => Element::F64,
        }
    }
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum FormatName {
    Npy,
    Zarr,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Format {
        match name {
            FormatName::Npy => Format::Npy,
            FormatName::Zarr => Format::Zarr,
        }
    }
}

impl Work {
    pub fn name(&self) -> &'static str {
        match self {
            Work::Generate { .. } => "generate",
            Work::TransposeAdd { .. } => "transpose-add",
            Work::Matmul { .. } => "matmul",
            Work::Qr { .. } => "qr",
            Work::Svd { .. } => "svd",
            Work::Rsvd { .. } => "rsvd",
        }
    }

    /// The file or folder that is made.
    pub fn out(&self) -> &Path {
        match self {
            Work::Generate { file, .. } | Work::TransposeAdd { file, .. } | Work::Matmul { file, .. } => {
                &file.out
            }
            Work::Qr { folder, .. } | Work::Svd { folder, .. } | Work::Rsvd { folder, .. } => &folder.out,
        }
    }

    /// The file or array that is made, if the result is only one.
    pub fn out_file(&self) -> Option<&PathBuf> {
        match self {
            Work::Generate { file, .. } | Work::TransposeAdd { file, .. } | Work::Matmul { file, .. } => {
                Some(&file.out)
            }
            Work::Qr { .. } | Work::Svd { .. } | Work::Rsvd { .. } => None,
        }
    }

    pub fn common(&self) -> &Common {
        match self {
            Work::Generate { common, .. }
            | Work::TransposeAdd { common, .. }
            | Work::Matmul { common, .. }
            | Work::Qr { common, .. }
            | Work::Svd { common, .. }
            | Work::Rsvd { common, .. } => common,
        }
    }
}

/// Parses the words after the program's name. The error is text to print and an exit code: help and
/// version whole with 0, a wrong request as one line with 2.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, (String, u8)> {
    match Cli::try_parse_from(words) {
        Ok(cli) => Ok(cli.command),
        Err(error) if !error.use_stderr() => Err((error.to_string(), 0)),
        Err(error) => Err((one_line(&error.to_string()), 2)),
    }
}

/// clap explains over several lines, blank ones between: what is wrong comes first, usage and hints
/// follow. Wrong requests are one line here.
fn one_line(message: &str) -> String {
    let first: Vec<&str> = message.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let line = first.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    match line.starts_with("Usage") || line.is_empty() {
        true => "a command is missing: try dolmen --help".into(),
        false => format!("{line}: see --help"),
    }
}

/// Of options and whether they were given, the first that was.
pub fn first_given(options: &[(&'static str, bool)]) -> Option<&'static str> {
    options.iter().find(|(_, is_given)| *is_given).map(|(option, _)| *option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Command, (String, u8)> {
        parse(line.split(' ').map(Into::into))
    }

    #[test]
    fn the_contract_is_accepted() {
        for line in [
            "dolmen generate normal --shape 200000x100 --seed 1 --dtype f32 --out a.npy",
            "dolmen transpose-add a.npy --out b.npy --block 4096x512 --memory 4GiB --quiet",
            "dolmen matmul a.npy b.npy --out c.npy --workers 2 --threads 1 --report r.json",
            "dolmen qr a.npy --out d",
            "dolmen svd a.zarr --out r.zarr --workers 1..8 -v",
            "dolmen svd a.npy b.npy --out d --values-only --block auto",
            "dolmen rsvd a.npy --rank 20 --oversample 10 --power-iters 2 --seed 0 --out d",
            "dolmen plan rsvd a.npy --rank 20 --out d",
            "dolmen keygen d",
            "dolmen scheduler --listen 127.0.0.1:0 --scheduler-file f --keys d --lost-after 15s",
            "dolmen scheduler --provider local --min-workers 0 --max-workers 4 --deadline 30m",
            "dolmen scheduler --provider local --worker-cost 2.5 --worker-threads 2 --worker-memory 4GiB",
            "dolmen scheduler --provider slurm --slurm-partition p --slurm-account a --slurm-qos q --slurm-constraint c",
            "dolmen scheduler --provider slurm --slurm-time 1h --slurm-extra --gres=gpu:1 --slurm-extra --exclusive",
            "dolmen scheduler --provider slurm --slurm-prologue f --interface ib0 --dry-run",
            "dolmen worker --scheduler-file f --threads 2 --memory 4GiB --spill-dir d --name n",
            "dolmen worker --scheduler n1:7077 --keys d",
            "dolmen svd a.npy --out d --scheduler-file f --wait-workers 4 --wait 60s",
            "dolmen qr a.npy --out d --scheduler n1:7077 --keys d",
            "dolmen svd a.zarr --out r.zarr --provider slurm --max-workers 16",
            "dolmen generate normal --shape 9x9 --out a.npy --provider local --max-workers 2 --wait 5m",
            "dolmen matmul a.npy b.npy --out c.npy --provider slurm --slurm-time 1h --interface ib0 --dry-run",
            "dolmen drain n1 --scheduler-file f",
            "dolmen stop --scheduler-file f",
            "dolmen status --scheduler-file f --json",
            "dolmen explain s3.17 --scheduler-file f",
            "dolmen explain 3.17 --scheduler-file f",
        ] {
            assert!(words(line).is_ok(), "{line}: {:?}", words(line).err());
        }
    }

    #[test]
    fn what_is_wrong_is_one_line() {
        for line in [
            "dolmen",
            "dolmen svd a.npy",
            "dolmen svd --out d",
            "dolmen rsvd a.npy --rank 0 --out d",
            "dolmen qr a.npy --out d --block 0",
            "dolmen qr a.npy --out d --threads 0",
            "dolmen qr a.npy --out d --nonsense",
            "dolmen qr a.npy --out d --workers 0",
            "dolmen qr a.npy --out d --workers -1",
            "dolmen qr a.npy --out d --workers 4..1",
            "dolmen qr a.npy --out d --workers 0..4",
            "dolmen qr a.npy --out d --workers 1..",
            "dolmen qr a.npy --out d --workers x",
            "dolmen keygen",
            "dolmen worker --scheduler n1:7077",
            "dolmen worker --scheduler-file f --scheduler n1:7077 --keys d",
            "dolmen scheduler --listen nowhere",
            "dolmen scheduler --lost-after soon",
            "dolmen scheduler --lost-after 0s",
            "dolmen worker --scheduler-file f --threads 4097",
            "dolmen scheduler --provider local --worker-threads 4097",
            "dolmen scheduler --provider local --worker-memory 2000T",
            "dolmen drain --scheduler-file f",
            "dolmen stop --keys d",
            "dolmen scheduler --max-workers 4",
            "dolmen scheduler --deadline 30m",
            "dolmen scheduler --slurm-partition p",
            "dolmen scheduler --provider cloud",
            "dolmen scheduler --provider local --max-workers 0",
            "dolmen scheduler --provider local --min-workers -1",
            "dolmen scheduler --provider local --worker-cost -1",
            "dolmen scheduler --provider local --deadline 30m --worker-cost 2",
            "dolmen scheduler --provider local --worker-threads 0",
            "dolmen explain everything --scheduler-file f",
            "dolmen svd a.npy --out d --max-workers 4",
            "dolmen svd a.npy --out d --provider cloud",
        ] {
            let (message, code) = words(line).unwrap_err();
            assert_eq!(code, 2, "{line}");
            assert!(!message.contains('\n') && !message.is_empty(), "{line}: {message}");
        }
    }

    #[test]
    fn help_is_no_error() {
        assert_eq!(words("dolmen --help").unwrap_err().1, 0);
    }
}
