//! `slurm/svd.sbatch`: one job, and nothing left behind.

use super::bed::{shared, skipped};
use super::job::{Job, script};
use super::support::dolmen::Folder;
use super::support::matrix::EPS64;
use super::support::npy;
use std::path::{Path, PathBuf};

/// See `tests/mnist.rs`.
fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("DOLMEN_MNIST").map_or(beside, PathBuf::from);
    let folder = folder.canonicalize().ok().filter(|folder| folder.join("mnist_train_u8.npy").is_file());
    if folder.is_none() {
        skipped("the SVD of MNIST by SLURM", "no data; set DOLMEN_MNIST");
    }
    folder
}

/// Names in the folder but for what the job says.
fn left(folder: &Folder) -> Vec<String> {
    let names = folder.names().into_iter().filter(|name| name != "job.log" && name != "a.npy");
    names.collect()
}

#[test]
fn the_singular_values_of_mnist() {
    let (Some(bed), Some(data)) = (shared(), data()) else { return };
    let folder = Folder::new();
    let input = data.join("mnist_train_u8.npy");
    let words = format!("{} {} --out out --values-only --quiet", script("svd.sbatch"), input.display());
    // Two workers on one node share its memory, and one more is elsewhere.
    let job = Job::submit(&bed, &folder, "--nodes=2 --ntasks=3 --ntasks-per-node=2 --mem=2000", &words);
    assert_eq!(job.ended(), "COMPLETED", "{}", job.log());
    let found = npy::read(&folder.path("out/s.npy")).values.data;
    let expected = npy::read(&data.join("mnist_train_sigma.npy")).values.data;
    assert_eq!(found.len(), 784);
    let bound = 10.0 * 784.0 * EPS64 * expected[0];
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() <= bound, "σ{i} is {found}, not {expected}");
    }
    let joined = |bytes: u64| job.log().matches(&format!(", {bytes} bytes, blocks")).count();
    // 80 % of 2000 MiB for whoever is alone, and of half of it for each of two.
    assert_eq!((joined(1600 << 20), joined(800 << 20)), (1, 2), "{}", job.log());
    assert_eq!(left(&folder), ["out/", "out/s.npy"], "{}", job.log());
}

#[test]
fn a_job_that_is_cancelled_leaves_nothing() {
    let Some(bed) = shared() else { return };
    let folder = Folder::new();
    folder.ok("generate normal --shape 60000x300 --seed 1 --out a.npy");
    let words = format!("{} a.npy --out out --quiet --block 500", script("svd.sbatch"));
    let job = Job::submit(&bed, &folder, "--nodes=2", &words);
    job.wait_for("begins");
    bed.ok(&format!("scancel {}", job.id));
    assert_eq!(job.ended(), "CANCELLED", "{}", job.log());
    assert!(job.log().contains("cancelled by SIGTERM; nothing was written"), "{}", job.log());
    assert_eq!(left(&folder), [""; 0], "{}", job.log());
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let Some(bed) = shared() else { return };
    let folder = Folder::new();
    let job = Job::submit(&bed, &folder, "--nodes=1", &script("svd.sbatch"));
    assert_eq!((job.ended().as_str(), job.log().lines().count()), ("FAILED", 1), "{}", job.log());
    assert!(job.log().contains("which matrix?"), "{}", job.log());
}
