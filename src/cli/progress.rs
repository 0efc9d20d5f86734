//! A progress bar on a terminal, and what is said without one.

use super::console::complain;
use crate::session::{Progress, Session, counted};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(100);

/// The bar that is on the terminal.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the bar off the terminal for good: the process is about to say its last word.
pub fn take_away() {
    if let Some(bar) = shown().take() {
        bar.finish_and_clear();
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
}

/// Shows how far a run is until it is dropped.
pub struct Bar {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    /// A bar for the runs of `session`. If standard error is no terminal there is none, but a line for each run that
    /// has to wait.
    pub fn start(session: &Session, label: &'static str, quiet: bool) -> Bar {
        if quiet {
            return Bar { stop: None, thread: None };
        }
        let progress = session.progress();
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            if std::io::stderr().is_terminal() {
                draw(label, &progress, &stopped)
            } else {
                tell(&progress, &stopped)
            }
        });
        Bar { stop: Some(stop), thread: Some(thread) }
    }
}

/// Is it not over yet? Takes a moment.
fn goes_on(stopped: &Receiver<()>) -> bool {
    stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout)
}

fn draw(label: &'static str, progress: &Progress, stopped: &Receiver<()>) {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    bar.set_style(style());
    *shown() = Some(bar.clone());
    while goes_on(stopped) {
        let (done, total) = progress.tasks();
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(
            waits(progress.runs_before()).map_or(label.into(), |waits| format!("{label} {waits}")),
        );
    }
    take_away();
}

fn tell(progress: &Progress, stopped: &Receiver<()>) {
    let mut told = 0;
    while goes_on(stopped) {
        let before = progress.runs_before();
        if let Some(waits) = waits(before).filter(|_| before != told) {
            complain(&waits);
        }
        told = before;
    }
}

/// What a run does behind so many others.
fn waits(before: u64) -> Option<String> {
    (before > 0).then(|| format!("waits for {} before it", counted(before, "run")))
}

fn style() -> ProgressStyle {
    let template = "{msg} {wide_bar} {percent:>3} % of {len} tasks, {elapsed} gone, {eta} to go";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Drop for Bar {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its only work is drawing.
            let _ = thread.join();
        }
    }
}
