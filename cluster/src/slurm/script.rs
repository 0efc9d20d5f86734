//! The script that is submitted: options of `sbatch`, what the worker is told, the site's own lines, and then
//! `slurm/worker.sbatch` as it lies in the repository.

use super::options::SlurmOptions;
use std::fmt::Write;

/// What everybody can read and submit by hand, too.
const WORKER: &str = include_str!("../../../slurm/worker.sbatch");
const FIRST_LINE: &str = "#!/usr/bin/env bash\n";

/// The text of an array of `count` jobs named `name`. `options` have passed [`SlurmOptions::check`].
///
/// # Panics
/// If `count` is zero.
pub fn script(options: &SlurmOptions, name: &str, count: usize) -> String {
    assert!(count > 0, "an array of jobs has one at least");
    let mut text = String::from(FIRST_LINE);
    for option in sbatch_options(options, name, count) {
        let _ = writeln!(text, "#SBATCH {}", for_sbatch(&option));
    }
    // Options of sbatch end at the first command: those that the file has are for whoever submits it by hand.
    let _ = writeln!(text, "export DOLMEN={}", for_shell(&options.program.to_string_lossy()));
    let file = options.scheduler_file.to_string_lossy();
    let _ = writeln!(text, "export DOLMEN_SCHEDULER_FILE={}", for_shell(&file));
    if let Some(prologue) = &options.request.prologue {
        text += "\n# --slurm-prologue\n";
        text += prologue;
        text += "\n# Its end\n\n";
    }
    let words: Vec<String> = worker_words(options).iter().map(|word| for_shell(word)).collect();
    let _ = writeln!(text, "set -- {}", words.join(" "));
    text += WORKER.strip_prefix(FIRST_LINE).unwrap_or(WORKER);
    text
}

fn sbatch_options(options: &SlurmOptions, name: &str, count: usize) -> Vec<String> {
    let mut all = vec![
        format!("--job-name={name}"),
        format!("--array=0-{}", count - 1),
        "--ntasks=1".into(),
        format!("--cpus-per-task={}", options.threads),
        format!("--signal=B:USR1@{}", options.notice()),
        // Whoever is preempted, or loses its node, may come back.
        "--requeue".into(),
        "--open-mode=append".into(),
    ];
    let logs = options.logs.as_ref().map(|folder| format!("{}/slurm-%A_%a.log", folder.to_string_lossy()));
    all.push(format!("--output={}", logs.as_deref().unwrap_or("/dev/null")));
    let named = [
        ("partition", &options.request.partition),
        ("account", &options.request.account),
        ("qos", &options.request.qos),
        ("constraint", &options.request.constraint),
    ];
    all.extend(named.iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?))));
    all.extend(options.minutes().map(|minutes| format!("--time={minutes}")));
    all.extend(options.job_mib().map(|mib| format!("--mem={mib}M")));
    // The user's own come last: they may say otherwise.
    all.extend(options.request.extra.iter().cloned());
    all
}

/// What the worker is told, beside where the scheduler is.
fn worker_words(options: &SlurmOptions) -> Vec<String> {
    let mut words = vec!["--threads".into(), options.threads.to_string()];
    if let Some(bytes) = options.memory {
        words.extend(["--memory".into(), bytes.to_string()]);
    }
    if let Some(interface) = &options.request.interface {
        words.extend(["--interface".into(), interface.clone()]);
    }
    words
}

/// A word as `sbatch` reads it behind `#SBATCH`.
fn for_sbatch(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if word.chars().all(plain) {
        return word.into();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A word as the shell reads it.
fn for_shell(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::super::options::{OptionsError, SlurmRequest};
    use super::super::testing::{asking, options};
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;

    #[test]
    fn it_is_the_file_with_lines_above() {
        let text = script(&options(), "dolmen-1-2", 4);
        let above = "#!/usr/bin/env bash
#SBATCH --job-name=dolmen-1-2
#SBATCH --array=0-3
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --signal=B:USR1@60
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=/dev/null
export DOLMEN='/opt/dolmen'
export DOLMEN_SCHEDULER_FILE='/home/me/cluster.json'
set -- '--threads' '2'
";
        let below = include_str!("../../../slurm/worker.sbatch");
        let (first, rest) = below.split_once('\n').expect("lines");
        assert_eq!(first, "#!/usr/bin/env bash");
        assert_eq!(text, format!("{above}{rest}"));
    }

    #[test]
    fn all_options_are_in_it() {
        let request = SlurmRequest {
            partition: Some("long".into()),
            account: Some("physics".into()),
            qos: Some("high".into()),
            constraint: Some("[a|b]&c".into()),
            time: Some(Duration::from_secs(5400)),
            extra: vec!["--gres=gpu:1".into(), "--comment=two words".into()],
            prologue: Some("module load \"x\"".into()),
            interface: Some("ib0".into()),
        };
        let all =
            SlurmOptions { request, memory: Some(4 << 30), logs: Some("/home/me/logs".into()), ..options() };
        assert_eq!(all.check(), Ok(()));
        let text = script(&all, "n", 1);
        for line in [
            "#SBATCH --array=0-0",
            "#SBATCH --output=/home/me/logs/slurm-%A_%a.log",
            "#SBATCH --partition=long",
            "#SBATCH --account=physics",
            "#SBATCH --qos=high",
            "#SBATCH \"--constraint=[a|b]&c\"",
            "#SBATCH --time=90",
            "#SBATCH --mem=5120M",
            "#SBATCH --gres=gpu:1",
            "#SBATCH \"--comment=two words\"",
            "module load \"x\"",
            "set -- '--threads' '2' '--memory' '4294967296' '--interface' 'ib0'",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        // Commands end the options of sbatch: the site's lines come after all of them, and before the worker.
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what}"));
        assert!(at("two words") < at("module load") && at("module load") < at("set --"));
    }

    #[test]
    fn a_short_life_is_told_of_its_end_in_time() {
        let living = |seconds| {
            asking(SlurmRequest { time: Some(Duration::from_secs(seconds)), ..SlurmRequest::default() })
        };
        let notice = |seconds| living(seconds).notice();
        assert_eq!([60, 120, 240, 3600].map(notice), [15, 30, 60, 60]);
        let minutes = |seconds| living(seconds).minutes();
        assert_eq!([60, 61, 3600].map(minutes), [Some(1), Some(2), Some(60)]);
    }

    #[test]
    fn quotes_do_not_end_what_they_are_in() {
        assert_eq!(for_shell("a'b c$d"), r"'a'\''b c$d'");
        assert_eq!(for_sbatch(r#"--comment=a "b" \c"#), r#""--comment=a \"b\" \\c""#);
    }

    #[test]
    fn what_would_break_the_script_is_refused() {
        let broken = "a\n#SBATCH --uid=0";
        let refused = [
            asking(SlurmRequest { partition: Some(broken.into()), ..SlurmRequest::default() }),
            asking(SlurmRequest { extra: vec![format!("--x={broken}")], ..SlurmRequest::default() }),
            SlurmOptions { program: PathBuf::from(broken), ..options() },
        ];
        for options in refused {
            assert!(matches!(options.check(), Err(OptionsError::ControlCharacter { .. })), "{options:?}");
        }
        let no_option = asking(SlurmRequest { extra: vec!["rm".into()], ..SlurmRequest::default() });
        assert_eq!(no_option.check(), Err(OptionsError::NoOption("rm".into())));
        for extra in [
            "--array=0-19",
            "-a0-19",
            "--job-name=mine",
            "--job=mine",
            "-Jmine",
            "--clusters=other",
            "-Mother",
        ] {
            let refused = asking(SlurmRequest { extra: vec![extra.into()], ..SlurmRequest::default() });
            let refused = refused.check();
            assert!(
                matches!(&refused, Err(OptionsError::OfDolmen { option, .. }) if option == extra),
                "{refused:?}"
            );
        }
        let lives = |seconds| {
            let time = Some(Duration::from_secs(seconds));
            asking(SlurmRequest { time, ..SlurmRequest::default() }).check()
        };
        assert_eq!(lives(59), Err(OptionsError::TooShort(Duration::from_secs(59))));
        assert_eq!(lives(60), Ok(()));
    }
}
