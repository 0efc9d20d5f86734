//! `slurm/elastic.sbatch`: a small job that asks for workers.

use super::bed::shared;
use super::job::{Job, script};
use super::support::dolmen::Folder;

#[test]
fn it_grows_by_itself_and_leaves_nothing() {
    let Some(bed) = shared() else { return };
    let folder = Folder::new();
    folder.ok("generate normal --shape 5000x50 --seed 1 --out a.npy");
    let svd = "svd a.npy --values-only --block 500 --out";
    folder.ok(&format!("{svd} here --quiet"));
    let words = format!("{} --max-workers=2 {svd} there", script("elastic.sbatch"));
    let job = Job::submit(&bed, &folder, "", &words);
    assert_eq!(job.ended(), "COMPLETED", "{}", job.log());
    let files = folder.contents();
    assert!(files["here/s.npy"] == files["there/s.npy"], "{}", job.log());
    assert!(job.log().contains("svd of a 5000x50 f64 matrix"), "{}", job.log());
    let names = ["a.npy", "here/", "here/s.npy", "job.log", "there/", "there/s.npy"];
    assert_eq!(files.keys().collect::<Vec<_>>(), names, "{}", job.log());
}
