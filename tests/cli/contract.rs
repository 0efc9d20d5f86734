//! Plans, reports, generated matrices, and what a run leaves and says.

use crate::support::dolmen::Folder;
use crate::support::matrix::Matrix;
use crate::support::npy::Kind;
use serde_json::Value;
use std::fs;

#[test]
fn a_plan_tells_tasks_flops_bytes_and_memory_and_writes_nothing() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(300, 30, 1));
    folder.put("sq.npy", &Matrix::gaussian(90, 90, 2));
    let before = folder.contents();
    for command in [
        "generate normal --shape 300x30 --seed 1 --out out.npy",
        "transpose-add sq.npy --out out.npy",
        "matmul sq.npy sq.npy --out out.npy",
        "qr a.npy --out out",
        "svd a.npy --out out",
        "svd a.npy --values-only --out out",
        "rsvd a.npy --rank 5 --out out",
    ] {
        let plan = folder.ok(&format!("plan {command} --block 64")).stdout.to_lowercase();
        for word in ["tasks", "flop", "bytes", "memory"] {
            assert!(plan.contains(word), "plan {command}: no {word} in\n{plan}");
        }
        assert!(plan.chars().any(|c| c.is_ascii_digit()));
        assert!(folder.contents() == before, "plan {command} wrote something: {:?}", folder.names());
    }
}

#[test]
fn a_report_holds_what_the_design_promises() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(200, 200, 1));
    folder.ok("matmul a.npy a.npy --out c.npy --block 64 --threads 2 --report run.json");
    let report: Value = serde_json::from_slice(&fs::read(folder.path("run.json")).unwrap()).expect("JSON");
    let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name} in {report}"));
    for name in ["seconds", "gflops", "bytes_network", "bytes_network_saved", "bytes_spilled"] {
        assert!(number(name) >= 0.0, "{name}");
    }
    assert!(report["command"].as_str().is_some_and(|command| command.contains("matmul")), "{report}");
    assert!(number("tasks") >= 16.0, "one for each of 4×4 blocks at least");
    assert!(number("flops") >= 2.0 * 200f64.powi(3) && number("flops") <= 2.2 * 200f64.powi(3), "{report}");
    assert!(number("bytes_read") >= 320_000.0 && number("bytes_written") >= 320_000.0, "{report}");
    assert!(number("peak_memory_bytes") > 0.0, "{report}");
    assert!(number("peak_memory_bytes") <= number("memory_bound_bytes"), "{report}");
    assert_eq!((number("workers"), number("threads"), number("recomputed_tasks")), (1.0, 2.0, 0.0));
    let backend = report["backend"].as_str().expect("a name");
    assert!(backend.contains(if cfg!(feature = "openblas") { "openblas" } else { "faer" }), "{backend}");
    assert_eq!(folder.names(), ["a.npy", "c.npy", "run.json"]);
}

/// And nothing else, so that a program can read it.
#[test]
fn a_report_to_standard_output_is_printed_instead_of_the_summary() {
    let folder = Folder::new();
    for options in ["", "--quiet"] {
        let outcome = folder.ok(&format!("generate normal --shape 9x9 --out a.npy --report - {options}"));
        let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON alone");
        assert_eq!((&report["command"], outcome.stderr.as_str()), (&Value::from("generate"), ""));
        assert_eq!(folder.names(), ["a.npy"]);
    }
}

#[test]
fn every_command_can_report() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(60, 10, 1));
    folder.put("sq.npy", &Matrix::gaussian(20, 20, 2));
    for command in [
        "generate normal --shape 30x3 --seed 1 --out out.npy",
        "transpose-add sq.npy --out out.npy",
        "qr a.npy --out out",
        "svd a.npy --out out",
        "rsvd a.npy --rank 5 --out out",
    ] {
        folder.ok(&format!("{command} --block 16 --report run.json"));
        let report: Value =
            serde_json::from_slice(&fs::read(folder.path("run.json")).unwrap()).expect("JSON");
        assert!(report["tasks"].as_f64().is_some_and(|tasks| tasks >= 1.0), "{command}: {report}");
        fs::remove_file(folder.path("run.json")).unwrap();
    }
}

#[test]
fn memory_given_is_memory_held() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(400, 400, 1));
    folder.ok("matmul a.npy a.npy --out c.npy --block 50 --memory 8MiB --report run.json");
    let report: Value = serde_json::from_slice(&fs::read(folder.path("run.json")).unwrap()).expect("JSON");
    assert!(report["peak_memory_bytes"].as_f64().unwrap() <= 8.0 * 1024.0 * 1024.0, "{report}");
}

#[test]
fn quiet_is_quiet_and_only_results_are_left() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(100, 9, 1));
    let outcome = folder.ok("svd a.npy --out new/out --block 16 --quiet");
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    let expected = ["a.npy", "new/", "new/out/", "new/out/s.npy", "new/out/u.npy", "new/out/vt.npy"];
    assert_eq!(folder.names(), expected);
    folder.ok("svd a.npy --out values --values-only --quiet");
    folder.ok("qr a.npy --out qr --quiet");
    let names = folder.names();
    let others: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !expected.contains(name)).collect();
    assert_eq!(others, ["qr/", "qr/q.npy", "qr/r.npy", "values/", "values/s.npy"]);
}

#[test]
fn a_second_run_replaces_the_first_result() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(10, 10, 1));
    folder.write("c.npy", "something old");
    folder.ok("transpose-add a.npy --out c.npy");
    assert_eq!(folder.get("c.npy").shape, [10, 10]);
}

#[test]
fn results_that_are_not_synced_are_the_same() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(50, 50, 3));
    for result in ["npy", "zarr"] {
        folder.ok(&format!("transpose-add a.npy --out synced.{result} --block 16"));
        let words = format!("transpose-add a.npy --out left.{result} --block 16 --no-sync --report r.json");
        folder.ok(&words);
        assert!(folder.path("r.json").exists());
    }
    let of = |name: &str| -> Vec<_> {
        let all = folder.contents().into_iter();
        all.filter_map(|(file, bytes)| Some((file.strip_prefix(name)?.to_owned(), bytes))).collect()
    };
    assert!(of("synced.").len() > 2);
    assert!(of("synced.") == of("left."));
}

#[test]
fn help_and_version_are_there() {
    let folder = Folder::new();
    let help = folder.ok("--help").stdout;
    for command in ["generate", "transpose-add", "matmul", "qr", "svd", "rsvd", "plan"] {
        assert!(help.contains(command), "{command}");
    }
    assert!(folder.ok("--version").stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn generated_matrices_do_not_depend_on_blocks_threads_or_workers() {
    let folder = Folder::new();
    for dtype in ["f64", "f32"] {
        let generate = |out: &str, options: &str| {
            folder.ok(&format!(
                "generate normal --shape 301x77 --seed 1 --dtype {dtype} --out {out} {options}"
            ));
            fs::read(folder.path(out)).unwrap()
        };
        let first = generate("first.npy", "");
        for options in [
            "--block 64",
            "--block 1",
            "--block 100x13",
            "--block 5000",
            "--threads 4 --block 32 --workers 2",
        ] {
            assert!(generate("again.npy", options) == first, "{dtype} {options}");
        }
    }
    let different = folder.ok("generate normal --shape 301x77 --seed 2 --dtype f32 --out other.npy");
    assert!(
        fs::read(folder.path("other.npy")).unwrap() != fs::read(folder.path("first.npy")).unwrap(),
        "{different:?}"
    );
}

#[test]
fn generated_matrices_are_standard_normal() {
    let folder = Folder::new();
    folder.ok("generate normal --shape 500x400 --seed 7 --out a.npy");
    let a = folder.get("a.npy");
    assert_eq!((a.kind, a.shape.as_slice()), (Kind::F64, [500, 400].as_slice()));
    let n = 200_000.0;
    let moment = |p: i32| a.values.data.iter().map(|x| x.powi(p)).sum::<f64>() / n;
    for (p, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
        let z = (moment(p) - expected) / (variance / n).sqrt();
        assert!(z.abs() < 5.0, "moment {p} is {z} standard deviations off");
    }
    let mut sorted = a.values.data.clone();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    assert!(sorted.len() > 199_990, "hardly any value twice");
    let rows =
        |lag: usize| a.values.data.iter().zip(&a.values.data[lag..]).map(|(x, y)| x * y).sum::<f64>() / n;
    assert!(rows(1).abs() < 5.0 / n.sqrt() && rows(400).abs() < 5.0 / n.sqrt(), "neighbours are independent");
}
