//! What a task costs when it does nothing: programs of empty tasks through the whole runtime, actors, messages and
//! threads included; in this process, and on two worker processes of one thread on loopback, over TLS.
//!
//! `cargo bench --bench overhead [-- TASKS]`

use dolmen::graph::{Program, ProgramBuilder};
use dolmen::session::Session;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const ROUNDS: usize = 5;

fn program(shape: &str, tasks: u32) -> Program {
    let mut builder = ProgramBuilder::default();
    match shape {
        "wide" => {
            builder.null_wide(tasks);
        }
        "tree" => builder.null_tree(tasks),
        "chain" => builder.null_chain(tasks),
        _ => builder.null_grid(tasks.isqrt()),
    }
    builder.finish()
}

/// A scheduler and its workers, which end with it.
struct Cluster {
    folder: tempfile::TempDir,
    processes: Vec<Child>,
}

impl Cluster {
    fn of(workers: usize) -> Cluster {
        let folder = tempfile::tempdir().expect("a folder");
        let mut cluster = Cluster { folder, processes: Vec::new() };
        cluster.start(&["scheduler"]);
        (0..workers).for_each(|_| cluster.start(&["worker", "--threads", "1", "--memory", "1GiB"]));
        cluster
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("cluster.json")
    }

    fn start(&mut self, words: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dolmen"));
        command.args(words).arg("--scheduler-file").arg(self.file());
        // Of each worker by its number.
        if words[0] == "worker" {
            command.arg("--name").arg(format!("n{}", self.processes.len()));
        }
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        self.processes.push(quiet.spawn().expect("a process"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn measure(title: &str, session: &Session, tasks: u32) {
    println!("{title}; µs a task, median and range of {ROUNDS}");
    for shape in ["wide", "tree", "chain", "grid"] {
        let program = program(shape, tasks);
        let count = program.tasks() as f64;
        let mut each: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let again = program.clone();
                let began = Instant::now();
                session.run_program(again).expect("nothing can fail");
                began.elapsed().as_secs_f64() / count * 1e6
            })
            .collect();
        each.sort_by(f64::total_cmp);
        println!(
            "{shape:<6} {count:>9} tasks {:8.3} ({:.3} to {:.3})",
            each[ROUNDS / 2],
            each[0],
            each[ROUNDS - 1]
        );
    }
}

fn main() {
    let tasks = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let session = Session::builder().memory(1 << 30).build().expect("a session");
    measure(&format!("{} threads of this process", session.threads()), &session, tasks);
    let cluster = Cluster::of(2);
    let session = Session::builder().connect(cluster.file()).wait_workers(2).build().expect("a cluster");
    measure("2 worker processes of 1 thread", &session, tasks / 10);
}
