//! A scheduler and two workers as processes on this machine. One worker is killed in the middle of a run.
//!
//! `cargo run --release --example cluster`

use dolmen::array::{Array, BlockSize, Element};
use dolmen::session::cluster::{Client, SchedulerOptions, WorkerOptions, run_scheduler, run_worker};
use dolmen::session::{SchedulerAt, Session, Svd};
use ndarray::{Array2, Axis};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROWS: u64 = 400_000;
const COLS: u64 = 64;
/// Rows of a block: some hundred tasks, so that there is a middle.
const BLOCK: u64 = 2048;
const MEMORY: u64 = 1 << 30;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["scheduler", file] => scheduler(file.into()),
        ["worker", file, name] => worker(file.into(), name),
        _ => demonstrate(),
    }
}

fn scheduler(file: PathBuf) -> Done {
    let listen = ([127, 0, 0, 1], 0).into();
    let lost_after = Duration::from_secs(5);
    let file = Some(file);
    let options = SchedulerOptions { listen, file, keys: None, state_dir: None, lost_after, elastic: None };
    run_scheduler(&options, |_, _, _| {})?;
    Ok(())
}

fn worker(file: PathBuf, name: &str) -> Done {
    let options = WorkerOptions {
        scheduler: SchedulerAt::File(file),
        name: name.into(),
        threads: 1,
        memory: Some(MEMORY),
        spill_folder: None,
        spill_limit: None,
        interface: None,
        patience: Duration::from_secs(30),
        functions: Default::default(),
    };
    Ok(run_worker(options, |_| {})?)
}

/// Processes that end with this one.
#[derive(Default)]
struct Processes(Vec<Child>);

impl Processes {
    fn start(&mut self, words: &[&str], file: &Path) -> Done {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(words[0]).arg(file).args(&words[1..]).stderr(Stdio::null());
        self.0.push(command.spawn()?);
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for process in &mut self.0 {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn demonstrate() -> Done {
    let folder = std::env::temp_dir().join(format!("dolmen-example-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let result = with_workers(&folder.join("cluster.json"));
    std::fs::remove_dir_all(&folder)?;
    result
}

fn with_workers(file: &Path) -> Done {
    let mut processes = Processes::default();
    processes.start(&["scheduler"], file)?;
    processes.start(&["worker", "n1"], file)?;
    processes.start(&["worker", "n2"], file)?;
    let blocks = BlockSize::Square(BLOCK);
    let session = Session::builder().connect(file).wait_workers(2).block(blocks).build()?;
    println!("{} workers of {} thread each", session.workers(), session.threads());
    let a = Array::normal(ROWS, COLS, 1, Element::F64);
    let run = session.spawn({
        let a = a.clone();
        move |session| Ok((session.svd::<f64>(&a)?, session.stats()))
    });
    let progress = run.progress();
    let began = Instant::now();
    let is_half_done = || {
        let (done, total) = progress.tasks();
        total > 0 && 2 * done >= total
    };
    while !is_half_done() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    processes.0[1].kill()?;
    println!("n1 has been killed");
    let (svd, stats) = run.wait()?;
    println!("{:.2} s, {} of {} tasks were done again", stats.seconds, stats.recomputed, stats.tasks);
    let here = Session::builder().block(blocks).build()?;
    println!("‖A − U·S·Vᵀ‖ / ‖A‖ = {:.1e}", residual(&here.compute::<f64>(&a)?, &svd));
    println!("the same bits as in one process: {}", here.svd::<f64>(&a)? == svd);
    let patience = Instant::now() + Duration::from_secs(5);
    Ok(Client::connect(&SchedulerAt::File(file.into()), patience)?.stop()?)
}

/// In the Frobenius norm, by ndarray alone.
fn residual(a: &Array2<f64>, svd: &Svd<f64>) -> f64 {
    let scaled = &svd.u * &svd.s.view().insert_axis(Axis(0));
    let norm = |x: &Array2<f64>| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    norm(&(a - &scaled.dot(&svd.vt))) / norm(a)
}
