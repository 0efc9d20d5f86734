//! What ends a run before its time: nothing half-written stays.

use super::console::complain;
use super::progress::take_away;
use crate::files::{self, Written};
use crate::session::Error;
use crate::session::cluster::end_own_clusters;
use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;
use std::ffi::c_int;

/// Exit code after a signal, as shells count: 128 + SIGINT.
const CANCELLED: i32 = 130;

/// What ends a process that does not care, and is not a fault of its own.
const ENDING: [c_int; 10] =
    [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGVTALRM, SIGPROF, SIGUSR1, SIGUSR2, SIGXCPU];

/// From now on a signal that would end the process removes what is half-written first. What the parent had ignored
/// (as `nohup` and shells do for jobs in the background) stays ignored.
pub fn watch() -> Result<(), Error> {
    let failed = |error| Error::Run(format!("cannot watch for signals: {error}"));
    if is_default(SIGXFSZ) {
        // A file that grows beyond its limit is then an error of the write, and told as one.
        // SAFETY: to ignore a signal runs no code of ours.
        unsafe { libc::signal(SIGXFSZ, libc::SIG_IGN) };
    }
    let mut signals =
        Signals::new(ENDING.into_iter().filter(|signal| is_default(*signal))).map_err(failed)?;
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            cancel(signal, signals);
        }
    };
    std::thread::Builder::new().name("dolmen-signals".into()).spawn(wait).map(drop).map_err(failed)
}

/// What asks a worker to leave: a user, a batch system before it takes the machine away, a shutdown.
const LEAVING: [c_int; 3] = [SIGINT, SIGTERM, SIGUSR1];

/// The first signal that asks this process to leave calls `leave`. The second ends it at once.
pub fn on_signal_to_leave(leave: impl Fn() + Send + 'static) {
    let heeded = LEAVING.into_iter().filter(|signal| is_default(*signal));
    let signals =
        Signals::new(heeded).map_err(|error| complain(&format!("cannot watch for signals: {error}")));
    let Ok(mut signals) = signals else { return };
    let wait = move || {
        let mut heard = signals.forever();
        if heard.next().is_some() {
            leave();
        }
        if let Some(signal) = heard.next() {
            complain(&format!("ended by {}", signal_name(signal).unwrap_or("a signal")));
            signal_hook::low_level::exit(CANCELLED);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("dolmen-signals".into()).spawn(wait) {
        complain(&format!("cannot watch for signals: {error}"));
    }
}

/// Does nobody ignore or handle it yet?
fn is_default(signal: c_int) -> bool {
    // SAFETY: zero is a valid value of this plain struct.
    let mut present: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action the call only asks for the present one, for which there is room.
    let status = unsafe { libc::sigaction(signal, std::ptr::null(), &mut present) };
    status == 0 && present.sa_sigaction == libc::SIG_DFL
}

/// Somebody at the terminal who does not want to wait until all workers have ended.
const HURRIED: [c_int; 2] = [SIGINT, SIGQUIT];

/// Ends the process. A further one of `signals` ends it at once.
fn cancel(signal: c_int, mut signals: Signals) -> ! {
    let what = match files::discard_all() {
        Written::Nothing => "nothing was written",
        Written::Some => "only some of the results were written",
        Written::All => "the results were there already",
    };
    take_away();
    complain(&format!("cancelled by {}; {what}", signal_name(signal).unwrap_or("a signal")));
    let hurry = move || {
        if let Some(signal) = signals.forever().find(|signal| HURRIED.contains(signal)) {
            complain(&format!("ended by {}: workers may be left", signal_name(signal).unwrap_or("a signal")));
            signal_hook::low_level::exit(CANCELLED);
        }
    };
    // Without a thread all workers are waited for.
    let _ = std::thread::Builder::new().name("dolmen-hurry".into()).spawn(hurry);
    if let Some(words) = end_own_clusters() {
        complain(&format!("workers may be left: {words}"));
    }
    // At once: tasks still compute, and what libraries do at an orderly end would take memory from under them.
    signal_hook::low_level::exit(CANCELLED)
}

/// To be called when the work is over: if a signal came, what that came to is not told, since its files were taken away
/// under it.
pub fn end_if_cancelled() {
    while files::is_told_to_end() {
        // The thread that hears signals ends the process.
        std::thread::park();
    }
}
