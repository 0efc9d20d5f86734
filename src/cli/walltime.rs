//! The end of the job that a worker is a part of.

use super::console::complain;
use cluster::slurm::Programs;
use cluster::slurm::walltime::{Walltime, notice, walltime};
use std::time::{Duration, SystemTime};

/// So often SLURM is asked again if it does not answer.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// Calls `leave` in time before the walltime is over, if this process has one.
pub fn before_its_end(leave: impl FnOnce() + Send + 'static) {
    if std::env::var_os("SLURM_JOB_ID").is_none() {
        return;
    }
    let started = std::thread::Builder::new().name("dolmen-walltime".into()).spawn(move || {
        if let Some(left) = wait_for_notice() {
            tracing::info!("the walltime ends in {left:.0} s");
            leave();
        }
    });
    if let Err(error) = started {
        complain(&format!("cannot watch the walltime: {error}"));
    }
}

/// Comes back when it is time to leave, with the seconds that are left; none if there is no end.
fn wait_for_notice() -> Option<f64> {
    let mut told_before = None;
    loop {
        match left() {
            Walltime::Endless => return None,
            Walltime::Unknown => std::thread::sleep(TRY_AGAIN),
            Walltime::Left(left) => {
                let told_before = *told_before.get_or_insert(notice(left));
                if left <= told_before {
                    return Some(left);
                }
                // Somebody may have moved the end meanwhile: it is asked for again then.
                std::thread::sleep(Duration::from_secs_f64((left - told_before).min(1e9)));
            }
        }
    }
}

fn left() -> Walltime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
    walltime(|name| std::env::var(name).ok(), now, &mut Programs::default())
}
