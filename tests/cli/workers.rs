//! As many workers of one process as there is work for.

use crate::support::dolmen::{Folder, Outcome};
use crate::support::matrix::Matrix;
use serde_json::Value;
use std::fs;

fn report(folder: &Folder, command: &str) -> (Value, Outcome) {
    let outcome = folder.ok(&format!("{command} --report run.json -v"));
    let report: Value = serde_json::from_slice(&fs::read(folder.path("run.json")).unwrap()).expect("JSON");
    assert_eq!(report["recomputed_tasks"], 0, "{report}");
    assert!(report["peak_memory_bytes"].as_u64() <= report["memory_bound_bytes"].as_u64(), "{report}");
    (report, outcome)
}

/// What was said of workers that come and go.
fn decisions(outcome: &Outcome) -> Vec<&str> {
    outcome.stderr.lines().filter(|line| line.contains("autoscaler: ")).collect()
}

/// Each decision is told with its reason.
#[test]
fn a_wide_job_uses_the_most() {
    let folder = Folder::new();
    folder.ok("generate normal --shape 1600x1600 --out a.npy");
    let command = "matmul a.npy a.npy --block 64 --out c.npy --threads 1";
    let (elastic, outcome) = report(&folder, &format!("{command} --workers 1..3"));
    let elastic_bytes = fs::read(folder.path("c.npy")).unwrap();
    assert_eq!((&elastic["workers"], &elastic["threads"]), (&Value::from(3), &Value::from(1)));
    let decisions_made = decisions(&outcome);
    let line = decisions_made.first().unwrap_or(&"");
    let decision = "autoscaler: asked for threads-1, threads-2: 2 more: finished in ";
    assert!(line.contains(decision), "{}", outcome.stderr);
    let (fixed, outcome) = report(&folder, &format!("{command} --workers 3"));
    assert_eq!((&fixed["workers"], decisions(&outcome)), (&Value::from(3), Vec::new()));
    assert_eq!(elastic["memory_bound_bytes"], fixed["memory_bound_bytes"], "planned for the most");
    assert!(fs::read(folder.path("c.npy")).unwrap() == elastic_bytes);
}

/// One block of the product is a chain of tasks.
#[test]
fn a_narrow_job_stays_with_the_least() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(96, 96 * 60, 1));
    folder.put("b.npy", &Matrix::gaussian(96 * 60, 96, 2));
    for (workers, least) in [("1..3", 1), ("2..4", 2)] {
        let command = format!("matmul a.npy b.npy --block 96 --threads 1 --workers {workers} --out c.npy");
        let (report, outcome) = report(&folder, &command);
        assert_eq!((&report["workers"], decisions(&outcome)), (&Value::from(least), Vec::new()));
    }
}

#[test]
fn a_plan_tells_both_numbers() {
    let folder = Folder::new();
    let command = "plan generate normal --shape 99x99 --out a.npy --threads 2 --workers";
    assert!(
        folder
            .ok(&format!("{command} 1..3"))
            .stdout
            .contains("\nworkers        1 to 3 with 2 threads each\n")
    );
    assert!(
        folder.ok(&format!("{command} 3..3")).stdout.contains("\nworkers        3 with 2 threads each\n")
    );
}
