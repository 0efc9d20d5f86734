//! A cluster in a folder of its own. All that belongs to it ends with it.

use crate::support::dolmen::{Folder, Outcome};
use cluster::scheduler_file::SchedulerAddress;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing takes so long unless it hangs.
pub const HANGS: Duration = Duration::from_secs(120);

pub struct Cluster {
    pub folder: Folder,
    /// What goes before the commands of scheduler and clients.
    through: Vec<String>,
    /// How the scheduler is started.
    words: String,
    scheduler: Child,
    workers: Vec<(String, Child)>,
}

/// The program with these words, started by the command `through`, if that is one.
pub fn command_through(folder: &Folder, through: &[String], words: &str) -> Command {
    let Some((first, others)) = through.split_first() else { return folder.command(words) };
    let mut command = Command::new(first);
    command.args(others).arg(env!("CARGO_BIN_EXE_dolmen")).args(words.split_whitespace());
    command.current_dir(folder.path("")).stdin(Stdio::null());
    command
}

/// A command that does what a shell command says in a mount namespace of its own, and then starts what follows it.
pub fn after_mounting(first: &str) -> Vec<String> {
    let script = format!("{first} && exec \"$@\"");
    ["unshare", "--mount", "sh", "-c", &script, "sh"].map(String::from).to_vec()
}

/// Whether that can be done here. If not, a line says what is skipped.
pub fn can_mount(first: &str, skipped: &str) -> bool {
    let through = after_mounting(first);
    let can = Command::new(&through[0]).args(&through[1..]).arg("true").output();
    let can = can.is_ok_and(|output| output.status.success());
    if !can {
        eprintln!("SKIPPED: {skipped} (needs root and mount namespaces)");
    }
    can
}

/// Starts a process that says what it has to say into a file.
fn start(folder: &Folder, through: &[String], words: &str, log: &str) -> Child {
    start_command(folder, command_through(folder, through, words), log)
}

fn start_command(folder: &Folder, mut command: Command, log: &str) -> Child {
    let log = std::fs::File::create(folder.path(log)).expect("a log");
    command.stdout(Stdio::null()).stderr(log).spawn().expect("a process")
}

/// Waits for a process to end.
#[track_caller]
pub fn ended(child: &mut Child) -> Option<i32> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        assert!(began.elapsed() < HANGS, "a process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until something is so.
#[track_caller]
pub fn until(mut is_so: impl FnMut() -> bool, why_not: impl Fn() -> String) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < HANGS, "{}", why_not());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What comes of something that has to happen in the middle of a run. This process may have to wait for a core so long
/// that the run is over before: then there is nothing, and it is tried again.
#[track_caller]
pub fn caught<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    const ATTEMPTS: usize = 10;
    let found = std::iter::repeat_with(attempt).take(ATTEMPTS).flatten().next();
    found.unwrap_or_else(|| panic!("not once in {ATTEMPTS} times: {what}"))
}

/// What a run has left under a name: itself or with an ending, a file or all that is below a folder. Others may be
/// writing elsewhere in the folder meanwhile.
pub fn result(folder: &Folder, name: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (ending, path) in
        ["", ".npy", ".zarr"].map(|ending| (ending, folder.path(&format!("{name}{ending}"))))
    {
        collect(&path, ending, &mut found);
    }
    assert!(!found.is_empty(), "no {name}");
    found
}

fn collect(path: &Path, name: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            let entry = entry.expect("an entry");
            collect(&entry.path(), &format!("{name}/{}", entry.file_name().display()), found);
        }
    } else if path.exists() {
        found.insert(name.into(), std::fs::read(path).expect("a file"));
    }
}

pub fn send(child: &Child, signal: i32) {
    // SAFETY: a signal to a process that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

impl Cluster {
    /// A scheduler without workers. `options` are more words for it.
    pub fn with_options(options: &str) -> Cluster {
        Cluster::prepared(|_| options.into())
    }

    /// The same in a folder where something is done before.
    pub fn prepared(prepare: impl FnOnce(&Folder) -> String) -> Cluster {
        Cluster::prepared_through(Vec::new(), prepare)
    }

    /// The same, with scheduler and clients started by a command.
    pub fn prepared_through(through: Vec<String>, prepare: impl FnOnce(&Folder) -> String) -> Cluster {
        let folder = Folder::new();
        let options = prepare(&folder);
        let words = format!("scheduler --scheduler-file cluster.json {options}");
        let scheduler = start(&folder, &through, &words, "scheduler.log");
        Cluster { folder, through, words, scheduler, workers: Vec::new() }
    }

    /// A scheduler like the first, which has ended. Its log begins anew.
    pub fn start_scheduler_again(&mut self) {
        self.scheduler = start(&self.folder, &self.through, &self.words, "scheduler.log");
        let began = Instant::now();
        while SchedulerAddress::read(&self.folder.path("cluster.json")).is_err() {
            assert!(began.elapsed() < HANGS, "it does not start again:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A cluster of so many workers, each with these options.
    pub fn new(workers: usize, options: &str) -> Cluster {
        let mut cluster = Cluster::with_options("");
        (0..workers).for_each(|number| cluster.add(&format!("n{number}"), options));
        cluster
    }

    #[track_caller]
    pub fn wait_until_it_listens(&self) {
        let began = Instant::now();
        while !self.folder.path("cluster.json").exists() {
            assert!(began.elapsed() < HANGS, "no scheduler file:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn add(&mut self, name: &str, options: &str) {
        self.add_through(&[], name, options);
    }

    /// A worker that is started by a command.
    pub fn add_through(&mut self, through: &[String], name: &str, options: &str) {
        let words = format!("worker --scheduler-file cluster.json --name {name} {options}");
        let child = start(&self.folder, through, &words, &format!("{name}.log"));
        self.workers.push((name.into(), child));
    }

    /// A worker that is another program.
    pub fn add_command(&mut self, name: &str, command: Command) {
        let child = start_command(&self.folder, command, &format!("{name}.log"));
        self.workers.push((name.into(), child));
    }

    pub fn worker(&mut self, name: &str) -> &mut Child {
        let found = self.workers.iter_mut().find(|(known, _)| known == name);
        &mut found.expect("a worker of this name").1
    }

    /// Kills it as nothing else would.
    pub fn kill(&mut self, name: &str) {
        let child = self.worker(name);
        child.kill().expect("a child");
        ended(child);
    }

    /// Sends the scheduler a signal and waits for its end.
    pub fn end_scheduler(&mut self, signal: i32) -> Option<i32> {
        send(&self.scheduler, signal);
        ended(&mut self.scheduler)
    }

    /// The folder of the scheduler's keys.
    pub fn keys(&self) -> PathBuf {
        SchedulerAddress::read(&self.folder.path("cluster.json")).unwrap().keys.unwrap()
    }

    pub fn kill_scheduler(&mut self) {
        self.scheduler.kill().expect("a child");
        ended(&mut self.scheduler);
    }

    /// A command of this cluster that is refused, exit code 2, with one line that has each of `says` in it.
    #[track_caller]
    pub fn refused(&self, words: &str, says: &[&str]) {
        let outcome = self.folder.run(&format!("{words} --scheduler-file cluster.json"));
        assert_eq!(
            (outcome.code, outcome.stderr.lines().count()),
            (Some(2), 1),
            "dolmen {words}\n{outcome:?}"
        );
        for part in says {
            assert!(outcome.stderr.contains(part), "dolmen {words}: no {part:?} in {}", outcome.stderr);
        }
    }

    /// A command that waits for all workers there are.
    pub fn command(&self, words: &str) -> Command {
        let workers = self.workers.len();
        let words = format!("{words} --scheduler-file cluster.json --wait-workers {workers}");
        command_through(&self.folder, &self.through, &words)
    }

    #[track_caller]
    pub fn ok(&self, words: &str) -> Outcome {
        self.demand_success(self.command(words), words)
    }

    /// A command that waits for no workers.
    #[track_caller]
    pub fn ask(&self, words: &str) -> Outcome {
        let all = format!("{words} --scheduler-file cluster.json");
        self.demand_success(command_through(&self.folder, &self.through, &all), words)
    }

    #[track_caller]
    fn demand_success(&self, mut command: Command, words: &str) -> Outcome {
        let outcome = Outcome::of(command.output().expect("the program starts"));
        assert_eq!(outcome.code, Some(0), "dolmen {words}\n{}\n{}", outcome.stderr, self.log());
        outcome
    }

    /// What the scheduler has said so far.
    pub fn log(&self) -> String {
        let mut text = String::new();
        let file = std::fs::File::open(self.folder.path("scheduler.log"));
        file.and_then(|mut file| file.read_to_string(&mut text)).expect("a log");
        text
    }

    /// What a worker has said so far.
    pub fn log_of(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path(&format!("{name}.log"))).expect("a log")
    }

    /// Comes back when the scheduler has said this.
    #[track_caller]
    pub fn wait_for(&self, line: &str) {
        let began = Instant::now();
        while !self.log().contains(line) {
            assert!(began.elapsed() < HANGS, "the scheduler does not say {line:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it in an orderly way; the exit codes of the scheduler and of the workers that are left.
    #[track_caller]
    pub fn stop(&mut self) -> (Option<i32>, Vec<Option<i32>>) {
        self.ask("stop");
        (ended(&mut self.scheduler), self.workers.iter_mut().map(|(_, child)| ended(child)).collect())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.workers.iter_mut().map(|(_, child)| child).chain([&mut self.scheduler]) {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
