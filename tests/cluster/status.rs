//! What can be seen of a cluster from outside.

use crate::networks::{Network, SWITCH};
use crate::processes::{Cluster, ended};
use crate::support::dolmen::Folder;
use crate::support::matrix::Matrix;
use serde_json::Value;

fn status(folder: &Folder) -> Value {
    let outcome = folder.ok("status --scheduler-file cluster.json --json");
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

/// Not the sum of all workers beside what one of them may hold.
#[test]
fn a_plan_tells_how_many_workers_there_are_and_what_the_largest_may_hold() {
    let mut cluster = Cluster::new(1, "--threads 1 --memory 200MiB");
    cluster.add("large", "--threads 2 --memory 300MiB");
    cluster.folder.ok("generate normal --shape 1500x1500 --seed 1 --out a.npy");
    let plan = cluster.ok("plan matmul a.npy a.npy --block 64 --out b.npy").stdout;
    for line in [
        "workers        2 with up to 2 threads each\n",
        "memory bound   314572800 bytes (300.0 MiB), of the largest worker\n",
        "memory allowed 314572800 bytes (300.0 MiB): what the largest worker has for one run\n",
    ] {
        assert!(plan.contains(line), "no {line:?} in {plan}");
    }
}

#[test]
fn what_goes_from_process_to_process_is_forecast_counted_and_compared_with_the_least() {
    let mut cluster = Cluster::new(2, "--threads 1 --memory 100MiB");
    cluster.folder.ok("generate normal --shape 512x512 --seed 1 --out a.npy");
    let report = |command: &str| -> Value {
        let outcome = cluster.ok(&format!("{command} --report -"));
        serde_json::from_str(&outcome.stdout).expect("JSON")
    };
    let product = report("matmul a.npy a.npy --block 128 --out b.npy");
    let least = product["bytes_network_least"].as_u64().unwrap();
    // Both have half of the arithmetic and touch 3·(512³/2)^⅔ elements. 3·512² are in files.
    let elements = 512.0 * 512.0 * (6.0 * 0.5_f64.powf(2.0 / 3.0) - 3.0);
    assert!((least as f64 - 8.0 * elements).abs() <= 1.0, "{product}");
    assert!(product["bytes_network"].as_u64().unwrap() >= least, "{product}");
    assert!(report("transpose-add a.npy --out c.npy")["bytes_network_least"].is_null());
    let plan = cluster.ok("plan matmul a.npy a.npy --block 128 --out d.npy").stdout;
    let forecast = plan.lines().find_map(|line| line.strip_prefix("bytes network  about ")).expect(&plan);
    let forecast: u64 = forecast.split_whitespace().next().unwrap().parse().unwrap();
    assert!(forecast >= least, "{plan}");
    assert!(plan.contains(&format!("    at least   {least} (")), "{plan}");
    // In one process there is no network.
    let here = cluster.folder.ok("matmul a.npy a.npy --block 128 --out e.npy --report -");
    let here: Value = serde_json::from_str(&here.stdout).expect("JSON");
    assert_eq!((&here["bytes_network"], here["bytes_network_least"].is_null()), (&0.into(), true));
    assert_eq!(here["bytes_network_saved"], 0);
    cluster.stop();
}

#[test]
fn what_compression_saves_on_slow_cables_is_counted() {
    let Some(network) = Network::new(2) else { return };
    if !(0..2).all(|machine| network.slow_down(machine)) {
        return;
    }
    let mut cluster = Cluster::prepared_through(network.switch().through(), |folder| {
        folder.ok("keygen keys");
        format!("--listen {SWITCH}:0 --keys keys")
    });
    for machine in 0..2 {
        let options = "--threads 1 --memory 200MiB --spill-dir .";
        cluster.add_through(&network.machine(machine).through(), &format!("n{machine}"), options);
    }
    cluster.folder.put("a.npy", &Matrix::from_fn(1024, 1024, |i, j| ((i * j) % 7) as f64));
    let outcome = cluster.ok("matmul a.npy a.npy --block 128 --out b.npy --report -");
    let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let [travelled, saved] =
        ["bytes_network", "bytes_network_saved"].map(|key| report[key].as_u64().unwrap());
    // Some blocks go before anything is known of the cables.
    assert!(travelled > 0 && saved > 0, "{report}");
    let block = 128 * 128 * 8;
    assert!((travelled + saved).is_multiple_of(block), "whole blocks: {report}");
    cluster.stop();
}

#[test]
fn its_workers_and_runs_are_seen_and_why_a_task_is_where_it_is() {
    let mut cluster = Cluster::with_options("");
    cluster.wait_until_it_listens();
    assert_eq!(status(&cluster.folder), serde_json::json!({ "workers": [], "runs": [], "autoscaler": null }));
    cluster.refused("explain s0.0", &["no run goes on"]);
    cluster.add("n0", "--threads 1 --memory 300MiB");
    cluster.wait_for("worker n0 joins");
    cluster.folder.ok("generate normal --shape 1500x1500 --seed 1 --out a.npy");
    // Long enough for all these questions.
    let mut run = cluster.command("matmul a.npy a.npy --block 32 --out b.npy --quiet").spawn().unwrap();
    cluster.wait_for("run 0 of");
    let seen = status(&cluster.folder);
    let worker = &seen["workers"][0];
    assert_eq!(
        (&worker["name"], &worker["threads"], &worker["memory_bytes"]),
        (&"n0".into(), &1.into(), &(300 << 20).into())
    );
    assert!(worker["held_bytes"].as_u64().unwrap() <= worker["most_held_bytes"].as_u64().unwrap());
    let seen = &seen["runs"][0];
    assert_eq!((&seen["state"], &seen["recomputed"]), (&"runs".into(), &0.into()));
    assert!(seen["done"].as_u64() <= seen["tasks"].as_u64());
    // A read of A, a product, and one that there is not.
    let read = cluster.folder.ok("explain s0.0 --scheduler-file cluster.json").stdout;
    assert!(read.starts_with("task s0.0 is read of block (0, 0): "), "{read}");
    cluster.refused("explain s0.999999", &["no task s0.999999"]);
    let text = cluster.folder.ok("status --scheduler-file cluster.json").stdout;
    assert!(text.contains("worker n0 at 127.0.0.1:") && text.contains("run of "), "{text}");
    run.kill().unwrap();
    ended(&mut run);
}
