//! Does what was asked.

use super::args::{Command, Common, OutFolder, Sketch, Work, parse};
use super::cluster;
use super::console::{complain, say};
use super::elastic::Elastic;
use super::keygen::keygen;
use super::log::log;
use super::place::session;
use super::plan::{Network, described};
use super::progress::Bar;
use super::report::Report;
use super::signals;
use crate::array::{Array, Fill, Origin};
use crate::files::{self, FileError, Format, OutDir};
use crate::session::cluster::{FailedLogs, own_script};
use crate::session::{self, Error, Operation, Preview, RsvdOptions, Session, Stats, Target, human};
use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

/// Parses, runs, prints one line if something was wrong, and returns the exit code.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    session::tell_panics();
    session::own_process();
    let result = match parse(words) {
        Ok(Command::Work(work)) => run(&work),
        Ok(Command::Plan(work)) => plan(&work),
        Ok(Command::Keygen { folder }) => keygen(&folder),
        Ok(Command::Scheduler(args)) => cluster::scheduler(args),
        Ok(Command::Worker(args)) => cluster::worker(args),
        Ok(Command::Status { cluster, json }) => cluster::status(&cluster, json),
        Ok(Command::Explain { task, cluster }) => cluster::explain(task, &cluster),
        Ok(Command::Drain { name, cluster }) => cluster::drain(&name, &cluster),
        Ok(Command::Stop { cluster }) => cluster::stop(&cluster),
        Err((help, 0)) => say(&help),
        Err((message, _)) => Err(Error::Request(message)),
    };
    signals::end_if_cancelled();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// What is read.
struct Inputs<'a> {
    session: &'a Session,
    files: Vec<PathBuf>,
}

impl<'a> Inputs<'a> {
    fn of(session: &'a Session) -> Inputs<'a> {
        Inputs { session, files: Vec::new() }
    }

    /// The files of these names and patterns as one matrix.
    fn open(&mut self, names: &[OsString]) -> Result<Array, Error> {
        let mut paths = Vec::new();
        for name in names {
            paths.extend(files::expand(name)?);
        }
        let array = self.session.from_files(&paths)?;
        self.files.extend(paths);
        Ok(array)
    }
}

/// The operation that was asked for.
fn operation(inputs: &mut Inputs, work: &Work) -> Result<Operation, Error> {
    Ok(match work {
        Work::Generate { law, shape, seed, dtype, .. } => {
            let fill = Fill::Random { law: (*law).into(), seed: *seed };
            Operation::Compute(Array::source(Origin::Fill(fill), shape.0, shape.1, (*dtype).into()))
        }
        Work::TransposeAdd { input, .. } => {
            let a = inputs.open(&input.files)?;
            let (m, n) = a.shape()?;
            if m != n {
                return Err(Error::Request(format!("transpose-add needs a square matrix, got {m}x{n}")));
            }
            Operation::Compute(&a + &a.t())
        }
        Work::Matmul { a, b, .. } => {
            let a = inputs.open(std::slice::from_ref(a))?;
            let b = inputs.open(std::slice::from_ref(b))?;
            Operation::Compute(a.dot(&b))
        }
        Work::Qr { input, .. } => Operation::Qr(inputs.open(&input.files)?),
        Work::Svd { input, values_only, .. } => {
            Operation::Svd { a: inputs.open(&input.files)?, values_only: *values_only }
        }
        Work::Rsvd { input, sketch, .. } => {
            let Sketch { rank, oversample, power_iters, seed } = *sketch;
            let options = RsvdOptions { rank, oversample, power_iters, seed };
            Operation::Rsvd { a: inputs.open(&input.files)?, options }
        }
    })
}

/// What is done, to what, and how many files that is.
fn title(command: &str, (rows, cols): (u64, u64), dtype: impl Display, files: usize) -> String {
    let from = match files {
        0 => String::new(),
        1 => " from 1 file".into(),
        many => format!(" from {many} files"),
    };
    format!("{command} of a {rows}x{cols} {dtype} matrix{from}")
}

/// Where results go.
struct Targets {
    files: Vec<PathBuf>,
    /// The folder that is made for them, and whether as a Zarr group.
    folder: Option<(PathBuf, bool)>,
}

/// Refuses what no matrix is needed to know: outputs that lead to no file or that destroy what the command reads.
fn check_named(work: &Work) -> Result<(), Error> {
    let report = work.common().report_file();
    let outputs: Vec<PathBuf> = work.out_file().into_iter().chain(report).cloned().collect();
    files::check_spared(&work.common().files_read(), &outputs).map_err(|error| match &error {
        FileError::NoFile { path } if Some(path) == report => {
            Error::Request(format!("{error}, or - for standard output"))
        }
        _ => error.into(),
    })
}

/// They and the report destroy nothing that is read.
fn targets(session: &Session, work: &Work, operation: &Operation) -> Result<Targets, Error> {
    let targets = match work {
        Work::Generate { file, .. } | Work::TransposeAdd { file, .. } | Work::Matmul { file, .. } => {
            Targets { files: vec![file.out.clone()], folder: None }
        }
        Work::Qr { folder, .. } | Work::Svd { folder, .. } | Work::Rsvd { folder, .. } => {
            targets_in(folder, operation)?
        }
    };
    let group = match &targets.folder {
        Some((folder, true)) => {
            files::check_group(folder)?;
            Some(files::group_file(folder))
        }
        _ => None,
    };
    let outputs = targets.files.iter().chain(&group).chain(work.common().report_file());
    let outputs: Vec<PathBuf> = outputs.cloned().collect();
    files::check_spared(&work.common().files_read(), &outputs)?;
    session.check_outputs(operation, &outputs)?;
    Ok(targets)
}

fn targets_in(folder: &OutFolder, operation: &Operation) -> Result<Targets, Error> {
    let of_folder = Format::in_folder(&folder.out)?;
    let format = folder.format.map_or(of_folder, Format::from);
    let files = Session::paths_in(operation, &folder.out, format)?;
    let is_group = of_folder == Format::Zarr && format == Format::Zarr;
    Ok(Targets { files, folder: Some((folder.out.clone(), is_group)) })
}

fn run(work: &Work) -> Result<(), Error> {
    let own_workers = work.common().cluster.own_workers.asked()?;
    if let Some(Elastic { options, .. }) = own_workers.as_ref().filter(|elastic| elastic.dry_run) {
        return say(&own_script(options, work.out())?);
    }
    check_named(work)?;
    signals::watch()?;
    if work.common().verbose {
        log();
    }
    let session = session(work, own_workers)?;
    let done = run_in(&session, work);
    let logs = if done.is_ok() { FailedLogs::Remove } else { FailedLogs::Keep };
    let end = session.end_workers(logs);
    if let Some(words) = end.may_be_left {
        complain(&format!("workers may be left: {words}"));
    }
    done.map_err(|error| error.with_logs(&end.logs))
}

fn run_in(session: &Session, work: &Work) -> Result<(), Error> {
    let common = work.common();
    let mut inputs = Inputs::of(session);
    let operation = operation(&mut inputs, work)?;
    let Targets { files, folder } = targets(session, work, &operation)?;
    let made = folder.as_ref().map(|(folder, _)| OutDir::create(folder)).transpose()?;
    files.iter().try_for_each(|path| files::check_result(path))?;
    if let Some(report) = common.report_file() {
        files::check_target(report)?;
    }
    // In a cluster this waits for workers.
    let planned = session.plan(&operation, Target::Files(files.clone()))?;
    let preview = planned.preview()?;
    let bar = Bar::start(session, work.name(), common.quiet || common.verbose);
    let stats = session.run_planned(planned)?.stats;
    drop(bar);
    if let Some(made) = made {
        made.keep();
    }
    let report = report(session, work, &operation, &preview, &stats);
    let group = folder.filter(|(_, is_group)| *is_group).map(|(folder, _)| folder);
    let told = || {
        if let Some(folder) = group {
            files::make_group(&folder, !common.no_sync)?;
        }
        tell(common, &report?, inputs.files.len(), &files)
    };
    // Whoever reads only that something failed would do all of it again.
    told().map_err(|error| Error::Run(format!("{error}; the results are whole: {}", names(&files))))
}

/// The report and the summary, as far as they are wanted.
fn tell(common: &Common, report: &Report, inputs: usize, files: &[PathBuf]) -> Result<(), Error> {
    if let Some(path) = common.report_file() {
        files::write_whole(path, json(report)?.as_bytes(), !common.no_sync)?;
    } else if common.report.is_some() {
        return say(&json(report)?);
    }
    if common.quiet { Ok(()) } else { say(&summary(report, inputs, files)) }
}

fn report(
    session: &Session,
    work: &Work,
    operation: &Operation,
    preview: &Preview,
    stats: &Stats,
) -> Result<Report, Error> {
    Ok(Report {
        command: work.name(),
        seconds: stats.seconds,
        tasks: stats.tasks,
        flops: stats.flops,
        gflops: stats.flops / stats.seconds / 1e9,
        bytes_read: stats.bytes_read,
        bytes_written: stats.bytes_written,
        bytes_network: stats.bytes_network,
        bytes_network_saved: stats.bytes_network_saved,
        bytes_network_least: session.least_network(operation)?,
        bytes_spilled: stats.spilled.bytes,
        bytes_spilled_raw: stats.spilled.raw_bytes,
        bytes_unspilled: stats.spilled.read_back_bytes,
        peak_spill_bytes: stats.spilled.peak_bytes,
        stall_seconds: stats.stalls,
        io_in_flight: stats.io_in_flight,
        io_tasks_most: stats.io_tasks_most,
        peak_memory_bytes: stats.peak_memory,
        memory_bound_bytes: stats.memory_bound,
        workers: stats.workers,
        threads: session.threads(),
        recomputed_tasks: stats.recomputed,
        tasks_taken_up: stats.taken_up,
        backend: session.backend(),
        dtype: operation.element()?.to_string(),
        shape: preview.shape,
        block: stats.blocks,
    })
}

fn json(report: &Report) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(report).map_err(|e| Error::Run(e.to_string()))?;
    Ok(format!("{text}\n"))
}

fn summary(report: &Report, inputs: usize, files: &[PathBuf]) -> String {
    format!(
        "{}: {:.2} s, {} tasks, {:.1} GFLOP/s, read {}, wrote {}, peak memory {} of {} -> {}\n",
        title(report.command, report.shape, &report.dtype, inputs),
        report.seconds,
        report.tasks,
        report.gflops,
        human(report.bytes_read),
        human(report.bytes_written),
        human(report.peak_memory_bytes),
        human(report.memory_bound_bytes),
        names(files)
    )
}

fn names(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn plan(work: &Work) -> Result<(), Error> {
    if work.common().cluster.own_workers.asked()?.is_some() {
        return Err(Error::Request("dolmen plan starts no workers: leave out --provider".into()));
    }
    check_named(work)?;
    let session = session(work, None)?;
    let mut inputs = Inputs::of(&session);
    let operation = operation(&mut inputs, work)?;
    let targets = targets(&session, work, &operation)?;
    let planned = session.plan(&operation, Target::Files(targets.files))?;
    let preview = planned.preview()?;
    let title = title(work.name(), preview.shape, operation.element()?, inputs.files.len());
    let network =
        Network { forecast: session.forecast_network(&planned)?, least: session.least_network(&operation)? };
    say(&described(&title, &session, &preview, network))
}
