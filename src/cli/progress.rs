//! A progress bar on a terminal.

use crate::session::Session;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(100);

/// Draws until it is dropped.
pub struct Bar {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    /// A bar for the runs of `session`; none if standard error is no terminal.
    pub fn start(session: &Session, label: &'static str, quiet: bool) -> Bar {
        if quiet || !std::io::stderr().is_terminal() {
            return Bar { stop: None, thread: None };
        }
        let progress = session.progress();
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            bar.set_style(style());
            bar.set_message(label);
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let (done, total) = progress.tasks();
                bar.set_length(total);
                bar.set_position(done);
            }
            bar.finish_and_clear();
        });
        Bar { stop: Some(stop), thread: Some(thread) }
    }
}

fn style() -> ProgressStyle {
    let template = "{msg} {bar:40} {percent:>3} % of {len} tasks, {elapsed} gone, {eta} to go";
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
