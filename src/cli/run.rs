//! Does what was asked.

use super::args::{Command, Common, Sketch, Work, parse};
use super::progress::Bar;
use super::report::Report;
use crate::array::{Array, Fill, Origin};
use crate::files::{self, OutDir};
use crate::session::{self, Error, Operation, Preview, RsvdOptions, Session, Stats, Target, human};
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Once;

/// Exit code after a signal, as shells count: 128 + SIGINT.
const CANCELLED: i32 = 130;

/// Parses, runs, prints one line if something was wrong, and returns the exit code.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    session::tell_panics();
    session::own_process();
    let command = match parse(words) {
        Ok(command) => command,
        Err((text, 0)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err((text, code)) => {
            eprintln!("dolmen: {text}");
            return ExitCode::from(code);
        }
    };
    let result = match &command {
        Command::Work(work) => run(work),
        Command::Plan(work) => plan(work),
    };
    if files::is_told_to_end() {
        // What the run came to is not told: its files were taken away under it.
        cancel();
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dolmen: {}", error.to_string().replace('\n', " "));
            ExitCode::from(error.exit_code())
        }
    }
}

fn session(common: &Common) -> Result<Session, Error> {
    let mut builder = Session::builder();
    builder = builder.workers(usize::from(common.workers)).block(common.block).sync_results(!common.no_sync);
    if let Some(threads) = common.threads {
        builder = builder.threads(usize::from(threads));
    }
    if let Some(memory) = common.memory {
        builder = builder.memory(memory);
    }
    if let Some(folder) = &common.spill_dir {
        builder = builder.spill_folder(folder.clone());
    }
    if let Some(bytes) = common.spill_limit {
        builder = builder.spill_limit(bytes);
    }
    builder.build()
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

/// The files of the results, and the folder if there is one to be made.
fn targets(work: &Work, operation: &Operation) -> Result<(Vec<PathBuf>, Option<PathBuf>), Error> {
    match work {
        Work::Generate { file, .. } | Work::TransposeAdd { file, .. } | Work::Matmul { file, .. } => {
            Ok((vec![file.out.clone()], None))
        }
        Work::Qr { folder, .. } | Work::Svd { folder, .. } | Work::Rsvd { folder, .. } => {
            Ok((Session::paths_in(operation, &folder.out, folder.format.into())?, Some(folder.out.clone())))
        }
    }
}

fn run(work: &Work) -> Result<(), Error> {
    clean_up_when_told_to_end()?;
    let common = work.common();
    let session = session(common)?;
    let mut inputs = Inputs::of(&session);
    let operation = operation(&mut inputs, work)?;
    let (paths, folder) = targets(work, &operation)?;
    let planned = session.plan(&operation, Target::Files(paths.clone()))?;
    let preview = planned.preview()?;
    let folder = folder.map(|folder| OutDir::create(&folder)).transpose()?;
    if let Some(report) = &common.report {
        if paths.iter().any(|path| same_file(path, report)) {
            let message = format!("{} cannot be a result and the report", report.display());
            return Err(Error::Request(message));
        }
        files::check_target(report)?;
    }
    let bar = Bar::start(&session, work.name(), common.quiet);
    let stats = session.run_planned(planned)?.stats;
    drop(bar);
    if let Some(folder) = folder {
        folder.keep();
    }
    let report = report(&session, work, &operation, &preview, &stats)?;
    if let Some(path) = &common.report {
        write_report(path, &report, !common.no_sync)?;
    }
    if !common.quiet {
        summarise(&report, inputs.files.len(), &paths);
    }
    Ok(())
}

/// Do two names that need not exist yet mean the same file?
fn same_file(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (folder.canonicalize().ok(), path.file_name().map(ToOwned::to_owned))
    };
    place(a) == place(b)
}

/// On SIGINT, SIGTERM and SIGHUP nothing half-written stays.
fn clean_up_when_told_to_end() -> Result<(), Error> {
    ctrlc::set_handler(|| cancel()).map_err(|e| Error::Run(format!("cannot watch for signals: {e}")))
}

/// Ends the process, whichever thread comes here first.
fn cancel() -> ! {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let written = files::discard_all();
        let what = if written { "the results were there already" } else { "nothing was written" };
        // Whoever read this may have ended by the same signal.
        let _ = writeln!(std::io::stderr(), "dolmen: cancelled; {what}");
    });
    std::process::exit(CANCELLED);
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
        bytes_network: 0,
        bytes_spilled: stats.spilled.bytes,
        bytes_spilled_raw: stats.spilled.raw_bytes,
        bytes_unspilled: stats.spilled.read_back_bytes,
        peak_spill_bytes: stats.spilled.peak_bytes,
        stall_seconds: stats.stalls,
        io_in_flight: stats.io_in_flight,
        peak_memory_bytes: stats.peak_memory,
        memory_bound_bytes: stats.memory_bound,
        workers: session.workers(),
        threads: session.threads(),
        recomputed_tasks: stats.recomputed,
        backend: session.backend(),
        dtype: operation.element()?.to_string(),
        shape: preview.shape,
        block: stats.blocks,
    })
}

fn write_report(path: &Path, report: &Report, sync: bool) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(report).map_err(|e| Error::Run(e.to_string()))?;
    Ok(files::write_whole(path, format!("{text}\n").as_bytes(), sync)?)
}

fn summarise(report: &Report, files: usize, paths: &[PathBuf]) {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    println!(
        "{}: {:.2} s, {} tasks, {:.1} GFLOP/s, read {}, wrote {}, peak memory {} of {} -> {}",
        title(report.command, report.shape, &report.dtype, files),
        report.seconds,
        report.tasks,
        report.gflops,
        human(report.bytes_read),
        human(report.bytes_written),
        human(report.peak_memory_bytes),
        human(report.memory_bound_bytes),
        names.join(", ")
    );
}

fn plan(work: &Work) -> Result<(), Error> {
    let session = session(work.common())?;
    let mut inputs = Inputs::of(&session);
    let operation = operation(&mut inputs, work)?;
    let (paths, _) = targets(work, &operation)?;
    let preview = session.plan(&operation, Target::Files(paths))?.preview()?;
    println!("{}", title(work.name(), preview.shape, operation.element()?, inputs.files.len()));
    println!("blocks         {}x{}", preview.blocks.0, preview.blocks.1);
    println!("workers        {} with {} threads each", session.workers(), session.threads());
    println!("tasks          {}", preview.tasks);
    println!("flops          {:.4e}", preview.flops);
    println!("bytes read     {} ({})", preview.bytes_read, human(preview.bytes_read));
    println!("bytes written  {} ({})", preview.bytes_written, human(preview.bytes_written));
    if let Some(least) = preview.least_bytes {
        let moved = (preview.bytes_read + preview.bytes_written) as f64;
        println!("bytes moved    {:.2} times the least that this memory allows", moved / least);
    }
    let swapped = preview.swapped;
    if swapped.written > 0 {
        println!("bytes spilled  about {} ({})", swapped.written, human(swapped.written));
        println!("    read back  about {} ({})", swapped.read_back, human(swapped.read_back));
    }
    println!("memory bound   {} bytes ({})", preview.memory_bound, human(preview.memory_bound));
    let (allowed, limit) = (session.memory(), session.memory_limit());
    println!("memory allowed {allowed} bytes ({}): {limit}", human(allowed));
    println!(
        "runs from      {} bytes ({}), in this way",
        preview.smallest_memory,
        human(preview.smallest_memory)
    );
    println!("stages");
    for (name, tasks, (rows, cols)) in &preview.stages {
        println!("  {name:<12} {tasks:>8} tasks, blocks of {rows}x{cols}");
    }
    Ok(())
}
