//! A job of the test bed.

use super::bed::Bed;
use super::support::dolmen::Folder;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Nothing takes so long unless it hangs.
const HANGS: Duration = Duration::from_secs(180);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub struct Job<'a> {
    bed: &'a Bed,
    pub id: String,
    /// What it says.
    log: PathBuf,
}

/// A script of `slurm/`.
pub fn script(name: &str) -> String {
    format!("{}/slurm/{name}", env!("CARGO_MANIFEST_DIR"))
}

impl Job<'_> {
    /// Submits a script with these options and words, from `folder`.
    #[track_caller]
    pub fn submit<'a>(bed: &'a Bed, folder: &Folder, options: &str, words: &str) -> Job<'a> {
        let log = folder.path("job.log");
        let submit = format!("sbatch --parsable --output={} {options} {words}", log.display());
        let output = bed.command(&submit).current_dir(folder.path("")).output().expect("sbatch starts");
        assert!(output.status.success(), "{submit}: {output:?}");
        let id = String::from_utf8(output.stdout).expect("UTF-8").trim().to_string();
        Job { bed, id, log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < HANGS, "job {} does not {what}:\n{}", self.id, self.log());
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Comes back when the job has said this.
    #[track_caller]
    pub fn wait_for(&self, line: &str) {
        self.wait_until(&format!("say {line:?}"), || self.log().contains(line));
    }

    /// Waits until it is out of the queue, and says how it ended: `COMPLETED`, `FAILED`, …
    #[track_caller]
    pub fn ended(&self) -> String {
        let jobs = format!("squeue --noheader --jobs={}", self.id);
        self.wait_until("end", || self.bed.ok(&jobs).trim().is_empty());
        let about = self.bed.ok(&format!("scontrol show job --oneliner {}", self.id));
        let state = about.split_whitespace().find_map(|word| word.strip_prefix("JobState="));
        state.expect("a state").to_string()
    }
}
