//! Workers as jobs: the provider and a real SLURM.

use super::bed::shared;
use super::scheduler::{Scheduler, until};
use super::support::dolmen::Folder;
use super::world::{World, asking, options};
use cluster::provider::{Cause, End, PlaceState, Provider, Release};
use cluster::slurm::{SlurmOptions, SlurmRequest};

/// One more option of `sbatch`.
fn with(option: &str) -> SlurmRequest {
    SlurmRequest { extra: vec![option.into()], ..SlurmRequest::default() }
}

#[test]
fn workers_come_work_and_go() {
    let Some(bed) = shared() else { return };
    let scheduler = Scheduler::start();
    let folder = &scheduler.folder;
    let request = SlurmRequest {
        time: Some(std::time::Duration::from_secs(600)),
        extra: vec!["--comment=two \"words\"".into()],
        prologue: Some("trap 'echo the end' EXIT\necho \"the beginning\"".into()),
        ..SlurmRequest::default()
    };
    let mut world = World::new(&bed, asking(folder, request));
    let names = world.provider.ask(2, world.now()).expect("two places");
    // The workers call themselves as their places are called.
    for name in &names {
        scheduler.wait_for(&format!("worker {name} joins: 1 thread, {} bytes", 300 << 20), 1);
    }
    let job = names[0].trim_start_matches("slurm-");
    let about = bed.ok(&format!("scontrol show job --oneliner {job}"));
    assert!(about.contains("Comment=two \"words\" "), "{about}");
    let place = world.until(&names[0], PlaceState::Running);
    let (began, ends) = (place.began.expect("it began"), place.ends.expect("it ends"));
    assert!((590.0..610.0).contains(&(ends - began)), "{place:?}");
    folder.ok("generate normal --shape 1000x50 --seed 1 --out a.npy");
    folder.ok("svd a.npy --out r --quiet --block 100 --scheduler-file cluster.json --wait-workers 2");
    // Somebody else ends one of them: it hands over and leaves.
    bed.ok(&format!("scancel {job}"));
    world.until(&names[0], PlaceState::Ended(End::Cancelled));
    scheduler.wait_for(&format!("worker {} leaves", names[0]), 1);
    world.end();
    let log = std::fs::read_to_string(folder.path(&format!("{}.log", names[1])));
    let log = log.expect("a log");
    assert!(log.starts_with("the beginning\n") && log.contains("the end\n"), "{log}");
}

#[test]
fn a_worker_that_is_requeued_comes_again_under_its_name() {
    let Some(bed) = shared() else { return };
    let scheduler = Scheduler::start();
    let mut world = World::new(&bed, options(&scheduler.folder));
    let names = world.provider.ask(1, 0.0).expect("a place");
    let joins = format!("worker {} joins", names[0]);
    scheduler.wait_for(&joins, 1);
    let job = names[0].trim_start_matches("slurm-");
    bed.ok(&format!("scontrol requeue {job}"));
    world.until(&names[0], PlaceState::Waiting);
    // SLURM starts it when the credential of its first life is no longer good: see cred_expire of the test bed.
    scheduler.wait_for(&joins, 2);
    world.until(&names[0], PlaceState::Running);
    world.end();
}

#[test]
fn what_is_refused_or_cannot_begin_is_told_in_slurms_words() {
    let Some(bed) = shared() else { return };
    let folder = Folder::new();
    let refused = [
        (
            asking(&folder, SlurmRequest { partition: Some("nope".into()), ..SlurmRequest::default() }),
            "Invalid partition name",
        ),
        (
            asking(&folder, SlurmRequest { constraint: Some("[a|b]".into()), ..SlurmRequest::default() }),
            "Invalid feature",
        ),
        (SlurmOptions { memory: Some(1 << 50), ..options(&folder) }, "node configuration is not available"),
        (asking(&folder, with("--nonsense")), "unrecognized option"),
    ];
    for (options, words) in refused {
        let refusal = World::new(&bed, options).provider.ask(1, 0.0).expect_err("a refusal");
        assert_eq!(refusal.cause, Cause::ForGood, "{refusal}");
        assert!(refusal.words.contains(words) && refusal.words.lines().count() == 1, "{refusal}");
    }
    let held = asking(&folder, with("--hold"));
    let mut world = World::new(&bed, held);
    let names = world.provider.ask(1, 0.0).expect("a place");
    let place = world.until(&names[0], PlaceState::Stuck);
    assert_eq!(place.words, "PENDING (JobHeldUser)");
    world.provider.release(Release::These(&names), world.now()).expect("released");
    assert!(world.provider.ask(1, world.now()).expect_err("a refusal").words.contains("JobHeldUser"));
    until("an empty queue", || world.in_queue().is_empty());
}

#[test]
fn what_waits_of_a_life_that_was_killed_is_cancelled_by_the_next() {
    let Some(bed) = shared() else { return };
    let folder = Folder::new();
    let later = asking(&folder, with("--begin=now+1hour"));
    let mut first = World::new(&bed, later);
    assert_eq!(first.provider.ask(9, 0.0).expect("places").len(), 4);
    assert_eq!(first.in_queue().lines().count(), 1);
    let mut next = World::new(&bed, options(&folder));
    next.provider.state(0.0).expect("places");
    until("an empty queue", || first.in_queue().is_empty());
}

#[test]
fn a_worker_whose_scheduler_is_gone_ends_by_itself() {
    let Some(bed) = shared() else { return };
    let mut scheduler = Scheduler::start();
    let mut world = World::new(&bed, options(&scheduler.folder));
    let names = world.provider.ask(1, 0.0).expect("a place");
    scheduler.wait_for("joins", 1);
    scheduler.kill();
    world.until(&names[0], PlaceState::Ended(End::Failed));
    // One that comes too late finds nobody.
    let late = world.provider.ask(1, world.now() * 100.0).expect("a place");
    world.until(&late[0], PlaceState::Ended(End::Failed));
    assert_eq!(world.in_queue(), "");
}
