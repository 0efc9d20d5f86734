//! Runs whose blocks do not fit into memory: the same bits, within the bound, whatever happens to the spilled blocks.

use dolmen::array::{Array, BlockSize, Element};
use dolmen::files::Format;
use dolmen::session::{Error, Operation, Results, RsvdOptions, Session, Stats};
use ndarray::Array2;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A matrix of integers that is dear to make: a product with a long inner dimension.
fn product(session: &Session, rows: usize, cols: usize) -> Array {
    let inner = 900;
    let digits = |rows, cols, a: usize, b: usize| {
        Array2::from_shape_fn((rows, cols), |(i, j)| ((i * a + j * b) % 7) as f64 - 2.0)
    };
    session.from_array(digits(rows, inner, 5, 3)).dot(&session.from_array(digits(inner, cols, 11, 2)))
}

/// The operations of the command line on files.
fn on_files(session: &Session, folder: &Path) -> Vec<(&'static str, Operation)> {
    let file = |name: &str, rows: u64, cols: u64| {
        let path = folder.join(format!("in-{name}.npy"));
        if !path.exists() {
            let made = Operation::Compute(Array::normal(rows, cols, rows + cols, Element::F64));
            Session::new().unwrap().run_to_files(&made, std::slice::from_ref(&path)).unwrap();
        }
        session.from_files(&[path]).unwrap()
    };
    let (square, other, tall) = (file("a", 500, 500), file("b", 500, 300), file("tall", 4000, 40));
    vec![
        ("transpose-add", Operation::Compute(&square + &square.t())),
        ("matmul", Operation::Compute(square.dot(&other))),
        ("qr", Operation::Qr(tall.clone())),
        ("svd", Operation::Svd { a: tall.clone(), values_only: false }),
        ("values", Operation::Svd { a: tall.t(), values_only: true }),
        ("rsvd", Operation::Rsvd { a: square, options: RsvdOptions::new(10) }),
    ]
}

/// Operations whose intermediate blocks are used again later, and those on files.
fn all_operations(session: &Session, folder: &Path) -> Vec<(&'static str, Operation)> {
    operations(session).into_iter().chain(on_files(session, folder)).collect()
}

/// Operations whose intermediate blocks are used again later.
fn operations(session: &Session) -> Vec<(&'static str, Operation)> {
    let square = product(session, 600, 600);
    let tall = product(session, 3000, 60);
    let twice = (&square + &square.t()).dot(&(&square * 0.5));
    vec![
        ("expression", Operation::Compute(&twice - &square)),
        ("sum", Operation::Compute((&square + &square.t()).sum())),
        ("qr", Operation::Qr(tall.clone())),
        ("svd", Operation::Svd { a: tall.clone(), values_only: false }),
        ("rsvd", Operation::Rsvd { a: tall.rows(0..2000), options: RsvdOptions::new(5) }),
    ]
}

/// Results in files, which take no memory, as bytes.
fn run(session: &Session, operation: &Operation, folder: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let paths: Vec<_> =
        (0..operation.result_shapes()?.len()).map(|at| folder.join(format!("{at}.npy"))).collect();
    session.run_to_files(operation, &paths)?;
    Ok(paths.iter().map(|path| fs::read(path).unwrap()).collect())
}

fn session(memory: u64, block: u64, spill: &Path) -> Session {
    let builder = Session::builder().threads(2).memory(memory).block(BlockSize::Square(block));
    builder.spill_folder(spill.into()).build().unwrap()
}

/// The least memory of an operation: what the refusal of a smaller one says, tried.
fn least(operation: usize, block: u64, folder: &Path) -> u64 {
    // Inputs in a folder of their own: callers look whether theirs stays empty.
    let inputs = tempfile::tempdir().unwrap();
    let (mut low, mut high) = (1_u64, 1 << 32);
    while high - low > 4096 {
        let middle = low.midpoint(high);
        let session = session(middle, block, folder);
        let (_, operation) = all_operations(&session, inputs.path()).swap_remove(operation);
        if session.preview(&operation, Some(Format::Npy)).is_ok() { high = middle } else { low = middle }
    }
    high
}

fn assert_within_bound(stats: &Stats, memory: u64, what: &str) {
    assert!(
        stats.peak_memory <= stats.memory_bound,
        "{what}: {} of {}",
        stats.peak_memory,
        stats.memory_bound
    );
    assert!(stats.memory_bound <= memory, "{what}: {} of {memory}", stats.memory_bound);
}

#[test]
fn any_memory_gives_the_same_bits_within_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let mut spilled = 0;
    for block in [50, 128, 300] {
        let roomy = session(1 << 30, block, folder.path());
        for (at, (what, operation)) in all_operations(&roomy, folder.path()).iter().enumerate() {
            let reference = run(&roomy, operation, folder.path()).unwrap();
            let least = least(at, block, folder.path());
            for memory in [least, least + least / 4, 2 * least] {
                let tight = session(memory, block, folder.path());
                let operation = all_operations(&tight, folder.path()).swap_remove(at).1;
                let results = run(&tight, &operation, folder.path()).unwrap();
                let stats = tight.stats();
                let place = format!("{what}, blocks of {block}, {memory} bytes");
                assert_within_bound(&stats, memory, &place);
                assert!(results == reference, "{place}: other bits");
                spilled += stats.spilled.raw_bytes;
            }
        }
    }
    assert!(spilled > 0, "nothing was spilled: this proves little");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".npy")), "{left:?}");
}

/// An operation with its blocks in place of memory, and the memory that makes it spill.
fn tight(folder: &Path) -> (Session, Operation) {
    let session = session(least(0, 128, folder) + (1 << 18), 128, folder);
    let (_, operation) = operations(&session).swap_remove(0);
    (session, operation)
}

#[test]
fn a_flipped_byte_is_noticed_and_the_block_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let roomy = session(1 << 30, 128, folder.path());
    let reference = run(&roomy, &operations(&roomy)[0].1, folder.path()).unwrap();
    let (tight, operation) = tight(folder.path());
    let over = AtomicBool::new(false);
    let (results, flipped) = std::thread::scope(|scope| {
        let vandal = scope.spawn(|| flip_bytes(folder.path(), &over));
        let results = run(&tight, &operation, folder.path());
        over.store(true, Ordering::Relaxed);
        (results, vandal.join().unwrap())
    });
    assert!(results.unwrap() == reference, "a flipped byte has come through");
    assert!(flipped == 0 || tight.stats().recomputed > 0, "{flipped} bytes flipped, and nothing made again");
    assert!(flipped > 0, "no spilled block was found to flip a byte of");
}

/// Flips a byte of a spilled block every millisecond, now and then; says how many.
fn flip_bytes(folder: &Path, over: &AtomicBool) -> u32 {
    let (mut flipped, mut seen) = (0, std::collections::HashSet::new());
    while !over.load(Ordering::Relaxed) && flipped < 40 {
        let blocks =
            files_below(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "block"));
        for path in blocks {
            // What is being written may be overwritten: only files that have been there for a while.
            if !seen.insert(path.clone())
                && let Ok(file) = fs::File::options().read(true).write(true).open(&path)
            {
                let mut byte = [0];
                if file.read_exact_at(&mut byte, 5000).is_ok()
                    && file.write_all_at(&[byte[0] ^ 16], 5000).is_ok()
                {
                    flipped += 1;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    flipped
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_limit_that_is_too_small_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let memory = least(0, 128, folder.path()) + (1 << 18);
    let builder = Session::builder().threads(2).memory(memory).block(BlockSize::Square(128));
    let session = builder.spill_folder(folder.path().into()).spill_limit(200 << 10).build().unwrap();
    let error = run(&session, &operations(&session)[0].1, folder.path()).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 1, "{error}");
    let message = error.to_string();
    assert!(message.contains("--spill-limit") && !message.contains('\n'), "{message}");
    drop(session);
    assert!(files_below(folder.path()).is_empty(), "{:?}", files_below(folder.path()));
    // Forbidden, it is refused beforehand.
    let builder = Session::builder().threads(2).memory(memory).block(BlockSize::Square(128));
    let session = builder.spill_folder(folder.path().into()).spill_limit(0).build().unwrap();
    let error = run(&session, &operations(&session)[0].1, folder.path()).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
}

/// Two computations beside each other, one spilling and one not: each has its own figures.
#[test]
fn figures_belong_to_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let (tight, spilling) = tight(folder.path());
    let small = Operation::Compute(Array::normal(40, 30, 1, Element::F64) * 2.0);
    let path = |name: &str| [folder.path().join(name)];
    let alone = tight.run_to_files(&spilling, &path("alone.npy")).unwrap();
    let small_alone = tight.run_to_files(&small, &path("small.npy")).unwrap();
    assert!(alone.spilled.bytes > 0 && small_alone.spilled == Default::default());
    assert_eq!(tight.stats(), small_alone);
    for round in 0..8 {
        let beside = |operation: &Operation, name: String| {
            let (operation, path) = (operation.clone(), folder.path().join(name));
            tight.spawn(move |session| {
                let stats = session.run_to_files(&operation, std::slice::from_ref(&path))?;
                Ok((stats, session.stats(), session.progress().tasks()))
            })
        };
        let first = beside(&spilling, format!("{round}-a.npy"));
        let others: Vec<_> = (0..4).map(|at| beside(&small, format!("{round}-{at}.npy"))).collect();
        let progress = first.progress();
        let (stats, last, done) = first.wait().unwrap();
        assert_eq!((stats.tasks, stats), (alone.tasks, last), "round {round}");
        assert_eq!((done, progress.tasks()), ((alone.tasks, alone.tasks), done));
        assert!(stats.spilled.bytes > 0 && stats.bytes_written == alone.bytes_written, "{stats:?}");
        for other in others {
            let (stats, last, done) = other.wait().unwrap();
            assert_eq!((stats.tasks, stats), (small_alone.tasks, last), "round {round}");
            assert_eq!(done, (small_alone.tasks, small_alone.tasks));
            assert_eq!(
                (stats.spilled, stats.bytes_written),
                (small_alone.spilled, small_alone.bytes_written)
            );
            assert_eq!(stats.memory_bound, small_alone.memory_bound);
        }
    }
    assert_eq!(tight.stats(), small_alone, "those beside it are not the session's own");
}

#[test]
fn results_in_memory_are_the_same_too() {
    let folder = tempfile::tempdir().unwrap();
    let (tight, operation) = tight(folder.path());
    let roomy = session(1 << 30, 128, folder.path());
    let take = |mut results: Results| results.take("result").unwrap().to_f64();
    // All of the result is held, so there must be more memory.
    let more = session(tight.memory() + 600 * 600 * 8, 128, folder.path());
    let (_, of_more) = operations(&more).swap_remove(0);
    let (_, of_roomy) = operations(&roomy).swap_remove(0);
    assert!(matches!(operation, Operation::Compute(_)));
    assert_eq!(take(more.run(&of_more).unwrap()), take(roomy.run(&of_roomy).unwrap()));
    assert_eq!(of_more.element().unwrap(), Element::F64);
}

/// A tmpfs of a few blocks, gone when dropped; none where it cannot be mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=100k", "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_is_one_clear_error() {
    let Some(disk) = SmallDisk::mount() else {
        return eprintln!("SKIPPED: a run whose spills fill the disk (no tmpfs can be mounted here)");
    };
    let folder = tempfile::tempdir().unwrap();
    let session = session(least(0, 128, folder.path()) + (1 << 18), 128, disk.0.path());
    let error = run(&session, &operations(&session)[0].1, folder.path()).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 1, "{error}");
    let message = error.to_string();
    assert!(message.contains("no space") && message.contains("--spill-dir"), "{message}");
    drop(session);
    let left = [files_below(disk.0.path()), files_below(folder.path())].concat();
    assert!(left.is_empty(), "{left:?}");
}

const CHILD: &str = "DOLMEN_SPILLING_CHILD";

/// Not a test of its own: what the tests below start as a process. When told to end it does what the command line does.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let mut signals = signal_hook::iterator::Signals::new([libc::SIGTERM]).unwrap();
    std::thread::spawn(move || {
        signals.forever().next();
        dolmen::files::discard_all();
        std::process::exit(130);
    });
    let (tight, operation) = tight(Path::new(&folder));
    loop {
        run(&tight, &operation, Path::new(&folder)).unwrap();
    }
}

/// A child that has put so many blocks on the disk of `folder`, some of which may be gone again.
fn spilling_child(folder: &Path, blocks: usize) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child"]).env(CHILD, folder).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut seen = std::collections::HashSet::new();
    let deadline = Instant::now() + Duration::from_secs(120);
    while seen.len() < blocks {
        seen.extend(
            files_below(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "block")),
        );
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "the child spills nothing");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

#[test]
fn a_run_that_is_told_to_end_leaves_nothing() {
    for blocks in [1, 3, 10, 30, 60] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = spilling_child(folder.path(), blocks);
        // SAFETY: a signal to a process that has not been waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| !name.to_string_lossy().ends_with(".npy")).collect();
        assert!(left.is_empty(), "{left:?} after {blocks} blocks");
    }
}

/// The folders that a child left which was killed in a run, not between two of its runs.
fn what_a_killed_child_left(folder: &Path) -> Vec<PathBuf> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let mut child = spilling_child(folder, 1);
        child.kill().unwrap();
        child.wait().unwrap();
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let left: Vec<_> = paths.filter(|path| path.is_dir()).collect();
        if !left.is_empty() {
            return left;
        }
        assert!(Instant::now() < deadline, "every child was killed between two runs");
    }
}

#[test]
fn what_a_killed_run_left_goes_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let dead = what_a_killed_child_left(folder.path());
    let (tight, operation) = tight(folder.path());
    run(&tight, &operation, folder.path()).unwrap();
    assert!(tight.stats().spilled.bytes > 0);
    assert!(dead.iter().all(|path| !path.exists()), "{dead:?} are still there");
}
