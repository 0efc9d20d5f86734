//! Why a decision about workers is as it is.

use super::timeline::FileSupply;

/// Why a decision is as it is. [`Reason::told`] makes a line of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the lines they are printed as say what the fields are")]
pub enum Reason {
    NothingToDo,
    BelowLeast { workers: usize, least: usize },
    AtMost { most: usize },
    Unfinished { workers: usize },
    WalltimeTooShort { walltime: f64, boot: f64, longest: f64 },
    Sooner { workers: usize, from: f64, to: f64 },
    PathBound { path: f64 },
    FilesBound { seconds: f64 },
    FilesTried { most: f64 },
    LittleRoom { lacking: f64, with: f64 },
    Later { begins: f64 },
    InTime { early: f64 },
    NotWorthIt { takes: f64, costs: f64 },
    ToSpare { spare: usize },
    NotNeededAnyMore { worker: u32 },
    SomebodyStillComes { worker: u32 },
    Lingers { worker: u32, idle: f64, until: f64 },
    NothingSoon { worker: u32, next: f64 },
    WantedAgain { worker: u32 },
    Idle { worker: u32, idle: f64 },
}

const MEGABYTE: f64 = 1e6;

impl Reason {
    /// One line, in which workers are called by their names.
    pub fn told(&self, name: impl Fn(u32) -> String) -> String {
        match *self {
            Reason::NothingToDo => "nothing is left to compute".into(),
            Reason::BelowLeast { workers, least } => {
                format!("workers: {workers}, at least {least} are to be kept")
            }
            Reason::AtMost { most: 1 } => "no more than 1 worker is allowed".into(),
            Reason::AtMost { most } => format!("no more than {most} workers are allowed"),
            Reason::Unfinished { workers: 1 } => "the walltime of 1 worker ends before the work does".into(),
            Reason::Unfinished { workers } => {
                format!("the walltimes of {workers} workers end before the work does")
            }
            Reason::WalltimeTooShort { walltime, boot, longest } => {
                format!(
                    "a walltime of {walltime:.0} s is too short for a boot of {boot:.0} s and a task of {longest:.0} s"
                )
            }
            Reason::Sooner { workers, from, to } if from.is_finite() => {
                format!("{workers} more: finished in {to:.1} s instead of {from:.1} s")
            }
            Reason::Sooner { workers, to, .. } => {
                format!("{workers} more: finished in {to:.1} s instead of never")
            }
            Reason::PathBound { path } => {
                format!("one more gains nothing: the longest path takes {path:.1} s")
            }
            Reason::FilesBound { seconds } => files_bound(seconds),
            Reason::FilesTried { most } => files_tried(most),
            Reason::LittleRoom { lacking, with } => little_room(lacking, with),
            Reason::Later { begins } => {
                format!("one more could be of use in {begins:.1} s, which is too early to ask for it")
            }
            Reason::InTime { early } => format!("all is done {early:.1} s before the deadline"),
            Reason::NotWorthIt { takes, costs } => {
                format!("one more would take over {takes:.1} core-seconds, and its start is worth {costs:.1}")
            }
            Reason::ToSpare { spare } => to_spare(spare),
            Reason::NotNeededAnyMore { worker } => {
                format!("worker {} has not come yet and would gain nothing", name(worker))
            }
            Reason::SomebodyStillComes { worker } => {
                format!("nobody leaves while worker {} is still to come", name(worker))
            }
            Reason::Lingers { worker, idle, until } => {
                let worker = name(worker);
                format!(
                    "worker {worker} is idle for {idle:.1} s and stays until {until:.1} s, what a new start takes"
                )
            }
            Reason::NothingSoon { worker, next } => nothing_soon(&name(worker), next),
            Reason::WantedAgain { worker } => {
                format!("worker {} is idle, but without it one more would be wanted", name(worker))
            }
            Reason::Idle { worker, idle } => {
                format!("worker {} leaves: idle for {idle:.1} s and not wanted again", name(worker))
            }
        }
    }
}

fn to_spare(spare: usize) -> String {
    format!("nobody knows who is given a machine first: {spare} more are asked for than are wanted")
}

fn nothing_soon(worker: &str, next: f64) -> String {
    format!("worker {worker} leaves: idle, and not wanted again for {next:.1} s")
}

fn files_bound(seconds: f64) -> String {
    format!("one more gains nothing: what is left to read and write takes {seconds:.1} s with any number")
}

fn files_tried(most: f64) -> String {
    let times = FileSupply::TRIED;
    let now = most / (times * MEGABYTE);
    format!(
        "cores wait for files; more are asked for if these give more than {now:.0} MB/s with {times} times as many"
    )
}

fn little_room(lacking: f64, with: f64) -> String {
    let (lacking, with) = (lacking / MEGABYTE, with / MEGABYTE);
    format!("memory lacks {lacking:.0} MB for what is wanted, and {with:.0} MB with those asked for")
}
