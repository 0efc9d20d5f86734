//! Workers as processes of this machine.
//!
//! Each is the leader of a process group of its own, so that a signal of the terminal ends the scheduler only, which
//! tells its workers. A worker that was told to leave and does not is killed. If this process is killed, its workers
//! lose their scheduler and end by themselves.

use crate::backoff::{Backoff, EarlyFailures};
use crate::provider::{Cause, End, Place, PlaceState, Provider, Refusal, Release};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A worker that was told to leave has so many seconds.
const GRACE: f64 = 10.0;
/// What a worker has said is read so long after its end, at most.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// So often it is looked whether all have left.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// A worker that fails within so many seconds has not begun to work.
const EARLY: f64 = 10.0;
/// The names of places begin so.
const PLACE: &str = "local-";

/// How workers are started.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalOptions {
    /// The program.
    pub program: PathBuf,
    /// What it is told, but for `--name` and the worker's name, which come last.
    pub words: Vec<OsString>,
    /// The folder for what workers say, a file `NAME.log` for each; none: it is said here, too.
    pub logs: Option<PathBuf>,
    /// Never more workers than this.
    pub most: usize,
}

/// Workers as processes of this machine. When it is dropped, all of them are ended.
pub struct LocalProvider {
    options: LocalOptions,
    workers: Vec<WorkerProcess>,
    /// Names that have been given.
    given: u64,
    failures: EarlyFailures,
    asking: Backoff,
}

struct WorkerProcess {
    place: Place,
    child: Child,
    /// The last line that it has said, once it says nothing more.
    last_line: mpsc::Receiver<String>,
    /// When it was told to leave.
    told: Option<f64>,
    /// It did not fail early.
    has_worked: bool,
}

impl LocalProvider {
    /// A provider without workers.
    pub fn new(options: LocalOptions) -> LocalProvider {
        LocalProvider {
            options,
            workers: Vec::new(),
            given: 0,
            failures: EarlyFailures::default(),
            asking: Backoff::default(),
        }
    }

    fn start(&mut self, now: f64) -> Result<WorkerProcess, String> {
        let name = format!("{PLACE}{}", self.given);
        let mut command = Command::new(&self.options.program);
        command.args(&self.options.words).arg("--name").arg(&name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let told = Told::to(self.options.logs.as_deref(), &name)?;
        let mut child =
            command.spawn().map_err(|error| format!("{}: {error}", self.options.program.display()))?;
        self.given += 1;
        let last_line = pass_on(child.stderr.take(), told);
        let place = Place {
            name,
            state: PlaceState::Running,
            asked: now,
            began: Some(now),
            ends: None,
            words: String::new(),
        };
        Ok(WorkerProcess { place, child, last_line, told: None, has_worked: false })
    }

    /// Who has ended is seen, and who was told long ago is killed.
    fn look(&mut self, now: f64) {
        let mut failed = None;
        for worker in self.workers.iter_mut().filter(|worker| worker.place.state.is_there()) {
            worker.look();
            let age = now - worker.place.asked;
            match worker.place.state {
                PlaceState::Ended(End::Failed) if age < EARLY => {
                    self.failures.add(1);
                    failed = Some(worker.place.words.clone());
                }
                PlaceState::Running if age >= EARLY && !worker.has_worked => {
                    worker.has_worked = true;
                    self.failures.one_works();
                    self.asking.done();
                }
                PlaceState::Leaving if worker.told.is_some_and(|told| now - told > GRACE) => worker.kill(),
                _ => {}
            }
        }
        // Those that fail together make one refusal.
        if let Some(words) = failed.filter(|_| self.failures.are_no_accident()) {
            self.asking.refused(Cause::Fruitless, words, now);
        }
    }

    fn there(&self) -> usize {
        self.workers.iter().filter(|worker| worker.place.state.is_there()).count()
    }

    fn wait_for_all(&mut self, patience: f64) {
        let began = Instant::now();
        while self.there() > 0 && began.elapsed().as_secs_f64() < patience {
            std::thread::sleep(LOOK_AGAIN);
            self.workers.iter_mut().for_each(WorkerProcess::look);
        }
    }
}

impl WorkerProcess {
    fn look(&mut self) {
        if !self.place.state.is_there() {
            return;
        }
        match self.child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => self.ended(status),
            Err(error) => {
                self.place.state = PlaceState::Ended(End::Unknown);
                self.place.words = format!("worker {}: {error}", self.place.name);
            }
        }
    }

    fn ended(&mut self, status: ExitStatus) {
        let how = match (status.success(), self.told) {
            (true, _) => End::Left,
            (false, Some(_)) => End::Cancelled,
            (false, None) => End::Failed,
        };
        self.place.state = PlaceState::Ended(how);
        if how == End::Failed {
            // What is killed says nothing of it.
            let is_told = status.code().is_some();
            let line = if is_told { self.last_line.recv_timeout(LAST_WORDS).ok() } else { None };
            let said = line.map(|line| format!(": {line}")).unwrap_or_default();
            self.place.words = format!("worker {} ended with {status}{said}", self.place.name);
        }
    }

    /// Asks it to hand over what only it has, and to leave.
    fn tell_to_leave(&mut self, now: f64) {
        if self.place.state.is_there() && self.told.is_none() {
            self.place.state = PlaceState::Leaving;
            self.told = Some(now);
            // It may have ended just now.
            let _ = kill_process(self.id(), Signal::TERM);
        }
    }

    fn kill(&mut self) {
        // The same, and then there is nothing to wait for.
        let _ = kill_process_group(self.id(), Signal::KILL);
        let _ = self.child.wait().map(|status| self.ended(status));
    }

    /// Nobody else has its number as long as it was not waited for.
    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

/// Who hears what a worker says.
enum Told {
    /// Whoever hears this process. Lines begin with the worker's name.
    Here(String),
    File(File),
}

impl Told {
    fn to(logs: Option<&Path>, name: &str) -> Result<Told, String> {
        let Some(logs) = logs else { return Ok(Told::Here(name.into())) };
        let path = logs.join(format!("{name}.log"));
        File::create(&path).map(Told::File).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn hear(&mut self, line: &str) {
        // If it cannot be written nobody hears it.
        let _ = match self {
            Told::Here(name) => writeln!(std::io::stderr(), "{name}: {line}"),
            Told::File(file) => writeln!(file, "{line}"),
        };
    }
}

/// What a worker says is passed on. The last line comes when it has ended.
fn pass_on(pipe: Option<impl Read + Send + 'static>, mut told: Told) -> mpsc::Receiver<String> {
    let (tell, hear) = mpsc::channel();
    let pass_on = move || {
        let mut last = None;
        let lines = |pipe| BufReader::new(pipe).split(b'\n').map_while(Result::ok);
        for line in pipe.into_iter().flat_map(lines) {
            let line = String::from_utf8_lossy(&line);
            told.hear(&line);
            last = Some(line.trim().trim_start_matches("dolmen: ").to_string());
        }
        // Nobody may want to know any more.
        let _ = last.map(|line| tell.send(line));
    };
    // Without a thread it says nothing, and works all the same.
    let _ = std::thread::Builder::new().name("dolmen-local".into()).spawn(pass_on);
    hear
}

impl Provider for LocalProvider {
    fn ask(&mut self, count: usize, now: f64) -> Result<Vec<String>, Refusal> {
        self.asking.may(now)?;
        self.look(now);
        // The look may have found that workers fail as soon as they start.
        self.asking.may(now)?;
        let count = count.min(self.options.most.saturating_sub(self.there()));
        let mut names = Vec::new();
        for _ in 0..count {
            match self.start(now) {
                Ok(worker) => {
                    names.push(worker.place.name.clone());
                    self.workers.push(worker);
                }
                Err(words) => {
                    let refusal = self.asking.refused(Cause::ForNow, words, now);
                    return if names.is_empty() { Err(refusal) } else { Ok(names) };
                }
            }
        }
        Ok(names)
    }

    fn state(&mut self, now: f64) -> Result<Vec<Place>, Refusal> {
        self.look(now);
        let places = self.workers.iter().map(|worker| worker.place.clone()).collect();
        self.workers.retain(|worker| worker.place.state.is_there());
        Ok(places)
    }

    fn release(&mut self, which: Release<'_>, now: f64) -> Result<(), Refusal> {
        let is_meant = |name: &String| match which {
            Release::All => true,
            Release::These(names) => names.contains(name),
        };
        let meant = self.workers.iter_mut().filter(|worker| is_meant(&worker.place.name));
        meant.for_each(|worker| worker.tell_to_leave(now));
        if which == Release::All {
            self.wait_for_all(GRACE);
        }
        Ok(())
    }
}

impl Drop for LocalProvider {
    fn drop(&mut self) {
        self.workers.iter_mut().filter(|worker| worker.place.state.is_there()).for_each(WorkerProcess::kill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processes that do what a line of shell says.
    fn provider(line: &str, most: usize) -> LocalProvider {
        let words = ["-c", line].map(OsString::from).to_vec();
        LocalProvider::new(LocalOptions { program: "sh".into(), words, logs: None, most })
    }

    fn wait_for(provider: &mut LocalProvider, now: f64, is_so: impl Fn(&[Place]) -> bool) -> Vec<Place> {
        let began = Instant::now();
        loop {
            let places = provider.state(now).expect("it knows its children");
            if is_so(&places) {
                return places;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{places:?}");
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn is_running(id: Pid) -> bool {
        rustix::process::test_kill_process(id).is_ok()
    }

    #[test]
    fn never_more_than_the_most_and_each_has_a_name_of_its_own() {
        let mut local = provider("exec sleep 1000", 3);
        assert_eq!(local.ask(2, 0.0).unwrap(), ["local-0", "local-1"]);
        assert_eq!(local.ask(2, 1.0).unwrap(), ["local-2"]);
        assert_eq!(local.ask(1, 2.0).unwrap(), [] as [&str; 0]);
        local.release(Release::These(&["local-1".into()]), 3.0).unwrap();
        let places = wait_for(&mut local, 3.0, |places| !places[1].state.is_there());
        assert_eq!(places[1].state, PlaceState::Ended(End::Cancelled));
        assert_eq!(local.state(3.0).unwrap().len(), 2, "an end is told once");
        assert_eq!(local.ask(5, 4.0).unwrap(), ["local-3"]);
    }

    #[test]
    fn nobody_is_left_when_it_is_dropped_or_all_is_released() {
        let mut local = provider("exec sleep 1000", 2);
        local.ask(2, 0.0).unwrap();
        let ids: Vec<Pid> = local.workers.iter().map(WorkerProcess::id).collect();
        drop(local);
        assert!(!ids.iter().any(|id| is_running(*id)));
        let mut local = provider("exec sleep 1000", 2);
        local.ask(2, 0.0).unwrap();
        local.release(Release::All, 0.0).unwrap();
        assert!(local.state(0.0).unwrap().iter().all(|place| !place.state.is_there()));
    }

    #[test]
    fn one_that_does_not_leave_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        let line = format!("trap '' TERM; : >{}; exec sleep 1000", ready.display());
        let mut local = provider(&line, 1);
        let names = local.ask(1, 0.0).unwrap();
        let began = Instant::now();
        while !ready.exists() {
            assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::sleep(LOOK_AGAIN);
        }
        local.release(Release::These(&names), 1.0).unwrap();
        local.release(Release::These(&names), 5.0).unwrap();
        assert_eq!(local.state(1.0 + GRACE).unwrap()[0].state, PlaceState::Leaving);
        let place = &local.state(1.1 + GRACE).unwrap()[0];
        assert_eq!(place.state, PlaceState::Ended(End::Cancelled));
    }

    #[test]
    fn workers_that_fail_at_once_are_not_started_again_and_again() {
        let mut local = provider("echo dolmen: no room >&2; exit 1", 8);
        for at in 0..3 {
            local.ask(1, f64::from(at)).expect("the first ones may be accidents");
            wait_for(&mut local, f64::from(at), |places| !places[0].state.is_there());
        }
        let refusal = local.ask(1, 3.0).expect_err("it is no accident");
        assert_eq!((refusal.cause, refusal.again), (Cause::Fruitless, 17.0));
        assert_eq!(refusal.words, "worker local-2 ended with exit status: 1: no room");
        local.ask(1, 17.0).expect("it is tried again");
    }

    #[test]
    fn one_that_works_does_not_hide_that_all_others_fail() {
        let folder = tempfile::tempdir().unwrap();
        let first = folder.path().join("first");
        let mut local = provider(&format!("mkdir {} && exec sleep 1000; exit 1", first.display()), 8);
        local.ask(1, 0.0).unwrap();
        let began = Instant::now();
        while !first.exists() {
            assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::sleep(LOOK_AGAIN);
        }
        for at in 0..3 {
            let now = 20.0 + f64::from(at);
            local.ask(1, now).expect("the first ones may be accidents");
            wait_for(&mut local, now, |places| places.iter().any(|place| !place.state.is_there()));
        }
        let refusal = local.ask(1, 23.0).expect_err("it is no accident");
        assert_eq!(refusal.cause, Cause::Fruitless);
    }

    #[test]
    fn what_a_worker_says_may_go_to_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        // What is no text hides nothing that comes after it.
        let mut local = provider("echo one >&2; printf '\\377\\n' >&2; echo two >&2; exit 1", 1);
        local.options.logs = Some(folder.path().into());
        local.ask(1, 0.0).unwrap();
        let places = wait_for(&mut local, 0.0, |places| !places[0].state.is_there());
        assert_eq!(places[0].words, "worker local-0 ended with exit status: 1: two");
        assert_eq!(
            std::fs::read_to_string(folder.path().join("local-0.log")).unwrap(),
            "one\n\u{FFFD}\ntwo\n"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let options =
            LocalOptions { program: "/no/such/program".into(), words: Vec::new(), logs: None, most: 1 };
        let refusal = LocalProvider::new(options).ask(1, 0.0).expect_err("no program");
        assert!(refusal.words.contains("/no/such/program"), "{refusal}");
    }

    #[test]
    fn one_that_has_worked_first_is_no_early_failure() {
        let mut local = provider("exit 1", 1);
        for at in 0..4 {
            let now = (EARLY + 1.0) * f64::from(at);
            local.ask(1, now).expect("nothing is known against it");
            local.workers[0].child.wait().expect("it ends");
            assert_eq!(local.state(now + EARLY).unwrap()[0].state, PlaceState::Ended(End::Failed));
        }
    }

    #[test]
    fn one_that_works_makes_up_for_those_that_failed_before() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        let (first, second) = (a.display(), b.display());
        let works = format!("mkdir {} && exec sleep 1000", c.display());
        let mut local = provider(&format!("mkdir {first} || mkdir {second} || {{ {works}; }}; exit 1"), 8);
        for at in 0..2 {
            local.ask(1, f64::from(at)).unwrap();
            wait_for(&mut local, f64::from(at), |places| !places[0].state.is_there());
        }
        local.ask(1, 2.0).unwrap();
        let began = Instant::now();
        while !c.exists() {
            assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::sleep(LOOK_AGAIN);
        }
        local.state(2.0 + EARLY).unwrap();
        local.ask(1, 20.0).unwrap();
        wait_for(&mut local, 20.0, |places| places.iter().any(|place| !place.state.is_there()));
        local.ask(1, 21.0).expect("one failure after one that works");
    }

    #[test]
    fn nobody_is_waited_for_who_has_left() {
        let mut local = provider("exec sleep 1000", 2);
        local.wait_for_all(1e6);
        local.ask(2, 0.0).unwrap();
        local.workers.iter_mut().for_each(|worker| worker.tell_to_leave(0.0));
        local.wait_for_all(1e6);
        assert_eq!(local.there(), 0);
    }
}
