use super::super::block::Block;
use super::super::pool::{Buffer, Pool};
use super::super::spill_files::{SpillFiles, SpillUse, Stored};
use super::super::spill_header::HEADER;
use super::super::testing::{Random, mnist, seed};
use super::*;
use crate::array::Element;
use crate::ids::{RunId, StageId};
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const ENCODINGS: [Encoding; 3] = [Encoding::Raw, Encoding::Zstd, Encoding::ShuffledZstd];
/// Of a file of one page behind the header.
const SMALL_FILE: u64 = 2 * HEADER as u64;

fn pool() -> Pool {
    Pool::new(256 << 20)
}

fn id(stage: u32, index: u32) -> BlockId {
    BlockId::new(StageId(stage), index)
}

/// Files of a run in a place of their own.
fn spill_files(folder: &Path, limit: Option<u64>, encoding: Encoding) -> SpillFiles {
    SpillPlace::with_encoding(folder.into(), limit, encoding).begin(RunId(1))
}

fn scratch(pool: &Pool, block: &Block) -> Buffer {
    pool.take(SpillPlace::scratch_len(block.bytes().len() as u64)).expect("room for a scratch")
}

/// A block of `element(i)`.
fn block(pool: &Pool, (rows, cols): (u64, u64), mut element: impl FnMut(usize) -> f64) -> Block {
    let mut block = Block::new(pool, (rows, cols), Element::F64).expect("room");
    block.slice_mut::<f64>().iter_mut().enumerate().for_each(|(i, x)| *x = element(i));
    block
}

fn integers(pool: &Pool, shape: (u64, u64)) -> Block {
    block(pool, shape, |i| (i * i % 251) as f64)
}

fn noise(pool: &Pool, shape: (u64, u64), random: &mut Random) -> Block {
    block(pool, shape, |_| f64::from_bits(random.next() >> 2))
}

fn write(files: &SpillFiles, pool: &Pool, id: BlockId, block: &Block) -> Result<Stored, SpillError> {
    files.write(id, block, scratch(pool, block).bytes_mut())
}

fn remove(files: &SpillFiles, id: BlockId) {
    files.release(id);
    files.sweep();
}

/// The block as it comes back, for one of the same shape and type.
fn read(files: &SpillFiles, pool: &Pool, id: BlockId, like: &Block) -> Result<Block, SpillError> {
    let (rows, cols) = like.shape();
    let mut back = Block::new(pool, (rows as u64, cols as u64), like.element()).expect("room");
    back.bytes_mut().fill(0xa5);
    files.read(id, &mut back, scratch(pool, like).bytes_mut())?;
    Ok(back)
}

fn files_below(folder: &TempDir) -> Vec<PathBuf> {
    let spills = fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = spills.flat_map(|spill| fs::read_dir(spill).expect("a folder of spills"));
    files
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "block"))
        .collect()
}

fn only_file(folder: &TempDir) -> PathBuf {
    let files = files_below(folder);
    assert_eq!(files.len(), 1);
    files[0].clone()
}

#[test]
fn blocks_of_every_size_come_back_in_every_encoding() {
    let (pool, mut random) = (pool(), Random(seed()));
    // Below and at a page, a piece, a window, and huge pages, where blocks are aligned.
    let rows = [0, 1, 511, 512, 513, 32 << 10, (32 << 10) + 1, 131_072, 131_584, 600_000];
    for encoding in ENCODINGS {
        let folder = tempdir().unwrap();
        let files = spill_files(folder.path(), None, encoding);
        for (index, rows) in rows.into_iter().enumerate() {
            for (stage, original) in
                [integers(&pool, (rows, 1)), noise(&pool, (rows, 1), &mut random)].iter().enumerate()
            {
                let key = id(stage as u32, index as u32);
                let stored = write(&files, &pool, key, original).unwrap();
                let back = read(&files, &pool, key, original).unwrap();
                assert!(back.bytes() == original.bytes(), "{encoding:?}, {rows} rows");
                assert_eq!(stored.raw_bytes, rows * 8);
                let path = files.path(key);
                assert_eq!(fs::metadata(path).unwrap().len(), stored.file_bytes, "{encoding:?}, {rows} rows");
            }
        }
        assert_eq!(files.end().in_use, 0);
        assert!(files_below(&folder).is_empty());
    }
}

#[test]
fn single_precision_and_two_dimensions_come_back() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    let files = spill_files(folder.path(), None, Encoding::ShuffledZstd);
    let mut original = Block::new(&pool, (300, 77), Element::F32).unwrap();
    original.slice_mut::<f32>().iter_mut().enumerate().for_each(|(i, x)| *x = (i % 100) as f32);
    let stored = write(&files, &pool, id(0, 0), &original).unwrap();
    assert!(stored.file_bytes < stored.raw_bytes / 2);
    assert_eq!(read(&files, &pool, id(0, 0), &original).unwrap().bytes(), original.bytes());
}

#[test]
fn a_scratch_is_never_long() {
    assert!(SpillPlace::scratch_len(1 << 40) < 2 << 20);
    assert!(SpillPlace::scratch_len(8) <= 5 * 4096);
}

#[test]
fn bytes_are_counted() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    let files = spill_files(folder.path(), None, Encoding::Raw);
    let small = integers(&pool, (100, 1));
    for index in 0..3 {
        write(&files, &pool, id(0, index), &small).unwrap();
    }
    read(&files, &pool, id(0, 1), &small).unwrap();
    remove(&files, id(0, 1));
    remove(&files, id(0, 1));
    let (in_use, peak) = (2 * SMALL_FILE, 3 * SMALL_FILE);
    let all = SpillUse { in_use, peak, written: peak, read: SMALL_FILE, raw_written: 2400 };
    assert_eq!(files.usage(), all);
    assert_eq!(files_below(&folder).len(), 2);
    assert_eq!(files.end(), SpillUse { in_use: 0, ..all });
}

#[test]
fn the_limit_holds_and_says_how_to_mend_it() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    let files = spill_files(folder.path(), Some(2 * SMALL_FILE + 1), Encoding::Raw);
    let small = integers(&pool, (100, 1));
    write(&files, &pool, id(0, 0), &small).unwrap();
    write(&files, &pool, id(0, 1), &small).unwrap();
    let error = write(&files, &pool, id(0, 2), &small).unwrap_err();
    assert!(
        matches!(error, SpillError::Full { used, needed, .. } if (used, needed) == (2 * SMALL_FILE, SMALL_FILE))
    );
    assert!(!error.is_lost());
    assert!(error.to_string().contains("--spill-limit") && error.to_string().contains("--spill-dir"));
    remove(&files, id(0, 0));
    write(&files, &pool, id(0, 2), &small).unwrap();
    assert_eq!(files.usage().peak, 2 * SMALL_FILE);
}

#[test]
fn releasing_touches_no_disk_and_the_room_is_taken_when_it_is_needed() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    let place = SpillPlace::with_encoding(folder.path().into(), Some(2 * SMALL_FILE), Encoding::Raw);
    let files = place.begin(RunId(1));
    let small = integers(&pool, (100, 1));
    write(&files, &pool, id(0, 0), &small).unwrap();
    write(&files, &pool, id(0, 1), &small).unwrap();
    assert!(files.release(id(0, 0)));
    assert!(!files.release(id(0, 0)) && !files.release(id(0, 7)), "there is no file");
    assert_eq!(
        (files_below(&folder).len(), place.in_use()),
        (2, 2 * SMALL_FILE),
        "it counts until it is gone"
    );
    write(&files, &pool, id(0, 2), &small).unwrap();
    assert_eq!((files_below(&folder).len(), place.in_use()), (2, 2 * SMALL_FILE));
    assert!(files.release(id(0, 1)));
    files.sweep();
    assert_eq!(
        (files_below(&folder).len(), place.in_use(), files.usage().in_use),
        (1, SMALL_FILE, SMALL_FILE)
    );
}

#[test]
fn the_room_of_another_runs_released_files_is_taken_too() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    let place = SpillPlace::with_encoding(folder.path().into(), Some(SMALL_FILE), Encoding::Raw);
    let (one, other) = (place.begin(RunId(1)), place.begin(RunId(2)));
    let small = integers(&pool, (100, 1));
    write(&one, &pool, id(0, 0), &small).unwrap();
    assert!(write(&other, &pool, id(0, 0), &small).is_err());
    one.release(id(0, 0));
    write(&other, &pool, id(0, 0), &small).unwrap();
    assert_eq!((one.usage().peak, other.usage().peak), (SMALL_FILE, SMALL_FILE));
}

#[test]
fn a_block_that_is_made_again_does_not_lose_its_new_file_to_the_old_one() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    let files = spill_files(folder.path(), None, Encoding::Raw);
    let small = integers(&pool, (100, 1));
    write(&files, &pool, id(0, 0), &small).unwrap();
    files.release(id(0, 0));
    write(&files, &pool, id(0, 0), &small).unwrap();
    files.sweep();
    assert_eq!(read(&files, &pool, id(0, 0), &small).unwrap().bytes(), small.bytes());
}

#[test]
fn what_is_written_after_the_end_of_a_run_goes_and_nothing_is_remembered_of_it() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    let place = SpillPlace::with_encoding(folder.path().into(), None, Encoding::Raw);
    let small = integers(&pool, (100, 1));
    for run in 0..100 {
        let files = place.begin(RunId(run));
        write(&files, &pool, id(0, 0), &small).unwrap();
        files.end();
        // By a thread that had begun before.
        write(&files, &pool, id(0, 1), &small).unwrap();
    }
    assert_eq!((files_below(&folder).len(), place.in_use()), (0, 0));
    place.begin(RunId(100));
    assert_eq!(place.runs(), 1, "a place keeps nothing of runs that are over");
}

#[test]
fn a_place_makes_nothing_before_it_is_used_and_leaves_nothing_when_dropped() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    let files = SpillPlace::new(folder.path().into(), None).begin(RunId(1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    write(&files, &pool, id(0, 0), &integers(&pool, (1000, 10))).unwrap();
    let other = files.clone();
    drop(files);
    assert_eq!(files_below(&folder).len(), 1, "a clone still has it");
    drop(other);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    let files = SpillPlace::new(folder.path().join("missing"), None).begin(RunId(1));
    let error = write(&files, &pool, id(0, 0), &integers(&pool, (10, 1))).unwrap_err();
    assert!(matches!(error, SpillError::Folder { .. }), "{error}");
    assert!(error.to_string().contains("missing") && !error.is_lost());
}

#[test]
fn a_flipped_byte_is_noticed_wherever_it_is() {
    let (pool, mut random) = (pool(), Random(seed()));
    for encoding in ENCODINGS {
        for original in [integers(&pool, (70_001, 1)), noise(&pool, (70_001, 1), &mut random)] {
            let folder = tempdir().unwrap();
            let files = spill_files(folder.path(), None, encoding);
            let len = write(&files, &pool, id(0, 0), &original).unwrap().file_bytes;
            remove(&files, id(0, 0));
            let header = HEADER as u64;
            let payload = len - header;
            let mut places = vec![0, 9, 12, 13, 20, 40, 60, 70, 2000, header - 1];
            places.extend([header, header + 3, header + 4, header + payload / 2, len - 4097, len - 1]);
            places.extend((0..10).map(|_| random.below(len as usize) as u64));
            for at in places {
                write(&files, &pool, id(0, 0), &original).unwrap();
                flip(&only_file(&folder), at);
                let back = read(&files, &pool, id(0, 0), &original);
                // Some bits of a compressed frame mean nothing: then the block is the one that was written.
                let harmless = |back: &Block| encoding != Encoding::Raw && back.bytes() == original.bytes();
                match back {
                    Err(error) => assert!(error.is_lost(), "{error}"),
                    Ok(back) => assert!(harmless(&back), "{encoding:?}: byte {at} of {len}"),
                }
                remove(&files, id(0, 0));
                assert!(files_below(&folder).is_empty());
                assert_eq!(files.usage().in_use, 0);
            }
        }
    }
}

fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

#[test]
fn short_missing_and_exchanged_files_are_lost() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    for encoding in ENCODINGS {
        let files = spill_files(folder.path(), None, encoding);
        let original = integers(&pool, (100_000, 1));
        let lost = |what: &str| {
            let error = read(&files, &pool, id(0, 0), &original).err().expect(what);
            assert!(error.is_lost(), "{what}: {error}");
            assert_eq!(files.usage().in_use, 0, "{what}");
        };
        lost("never written");
        let len = write(&files, &pool, id(0, 0), &original).unwrap().file_bytes;
        remove(&files, id(0, 0));
        for left in [0, 100, 4096, len / 2, len - 4096, len - 1] {
            write(&files, &pool, id(0, 0), &original).unwrap();
            fs::OpenOptions::new().write(true).open(only_file(&folder)).unwrap().set_len(left).unwrap();
            lost("short");
        }
        write(&files, &pool, id(0, 0), &original).unwrap();
        fs::remove_file(only_file(&folder)).unwrap();
        lost("removed");
        write(&files, &pool, id(0, 0), &original).unwrap();
        let other = only_file(&folder);
        write(&files, &pool, id(0, 1), &original).unwrap();
        fs::rename(files.path(id(0, 1)), other).unwrap();
        remove(&files, id(0, 1));
        lost("exchanged");
    }
}

/// A file system in memory of so many bytes; it goes when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Option<SmallDisk> {
        let folder = tempdir().expect("a folder");
        let run = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "dolmen-test"])
            .arg(folder.path())
            .output();
        run.is_ok_and(|run| run.status.success()).then_some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

fn skipped(what: &str, why: &str) {
    // Past the test harness, which keeps what is printed.
    writeln!(io::stderr(), "SKIPPED: {what} ({why})").expect("stderr");
}

#[test]
fn a_full_disk_is_told_and_nothing_half_written_stays() {
    let Some(disk) = SmallDisk::mount(1 << 20) else {
        return skipped("spilling to a full disk", "no tmpfs can be mounted: not root, or in a container");
    };
    let (pool, mut random) = (pool(), Random(seed()));
    for encoding in ENCODINGS {
        let files = spill_files(disk.0.path(), None, encoding);
        let [small, large] = [10_000, 1_000_000].map(|rows| noise(&pool, (rows, 1), &mut random));
        write(&files, &pool, id(0, 0), &small).unwrap();
        let error = write(&files, &pool, id(0, 1), &large).unwrap_err();
        assert!(matches!(error, SpillError::NoSpace { .. }), "{error}");
        assert_eq!(files_below(&disk.0).len(), 1, "the half-written file is gone");
        assert_eq!(read(&files, &pool, id(0, 0), &small).unwrap().bytes(), small.bytes());
        write(&files, &pool, id(0, 1), &small).unwrap();
    }
}

#[test]
fn random_doubles_are_stored_as_they_are() {
    let (pool, folder, mut random) = (pool(), tempdir().unwrap(), Random(seed()));
    let files = SpillPlace::new(folder.path().into(), None).begin(RunId(1));
    // All bits are random: no clock can find that compression pays.
    let original = block(&pool, (1 << 18, 1), |_| f64::from_bits(random.next()));
    for index in 0..5 {
        let stored = write(&files, &pool, id(0, index), &original).unwrap();
        assert_eq!(stored.encoding, Encoding::Raw);
        assert!(read(&files, &pool, id(0, index), &original).unwrap().bytes() == original.bytes());
    }
}

#[test]
fn threads_share_a_place() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    let files = SpillPlace::new(folder.path().into(), None).begin(RunId(1));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (files, pool) = (&files, &pool);
            scope.spawn(move || {
                for index in 0..20 {
                    let original = block(pool, (20_000, 1), |i| (thread as usize + index * i % 97) as f64);
                    let key = id(thread, index as u32);
                    write(files, pool, key, &original).unwrap();
                    assert!(read(files, pool, key, &original).unwrap().bytes() == original.bytes());
                    remove(files, key);
                }
            });
        }
    });
    assert_eq!(files.usage().in_use, 0);
    assert!(files_below(&folder).is_empty());
}

#[test]
fn images_of_digits_shrink_to_a_third() {
    let Some(path) = mnist() else {
        return skipped("the size of spilled MNIST images", "no data; set DOLMEN_MNIST");
    };
    let (pool, folder) = (pool(), tempdir().unwrap());
    let bytes = fs::read(path).unwrap();
    let images = &bytes[bytes.len() - 60_000 * 784..];
    for encoding in [Encoding::Zstd, Encoding::ShuffledZstd] {
        let files = spill_files(folder.path(), None, encoding);
        let original = block(&pool, (4096, 784), |i| f64::from(images[i]));
        let stored = write(&files, &pool, id(0, 0), &original).unwrap();
        let ratio = stored.raw_bytes as f64 / stored.file_bytes as f64;
        assert!(ratio >= 3.0, "{encoding:?}: {ratio}");
        assert!(read(&files, &pool, id(0, 0), &original).unwrap().bytes() == original.bytes());
    }
}

/// Sizes around those of pieces and pages, in parts of any size.
#[test]
fn piece_by_piece_a_block_comes_back_as_it_was() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    let mut random = Random(seed());
    for encoding in ENCODINGS {
        let files = spill_files(folder.path(), None, encoding);
        for (number, cols) in [1, 512, 513, 32 << 10, (32 << 10) + 1, 100_003].into_iter().enumerate() {
            let id = id(7, number as u32);
            let block = if number % 2 == 0 {
                integers(&pool, (1, cols))
            } else {
                noise(&pool, (1, cols), &mut random)
            };
            write(&files, &pool, id, &block).unwrap();
            let mut reader = files.reader(id).unwrap();
            assert_eq!(reader.bytes(), block.bytes().len() as u64);
            let mut found = vec![0; block.bytes().len()];
            let part = 1 + random.next() as usize % (600 << 10);
            found.chunks_mut(part).for_each(|part| reader.fill(part).unwrap());
            assert!(found == block.bytes(), "{encoding:?}, {cols} columns in parts of {part}");
            assert!(reader.fill(&mut [0]).is_err(), "there is no more");
        }
        assert!(!files.has(id(8, 0)) && files.reader(id(8, 0)).is_err());
    }
}

#[test]
fn piece_by_piece_a_file_that_was_changed_is_an_error() {
    let (pool, folder) = (pool(), tempdir().unwrap());
    for encoding in ENCODINGS {
        let files = spill_files(folder.path(), None, encoding);
        let block = integers(&pool, (100, 1000));
        write(&files, &pool, id(7, 0), &block).unwrap();
        let file = fs::OpenOptions::new().read(true).write(true).open(files.path(id(7, 0))).unwrap();
        let at = HEADER as u64 + 100;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        let mut reader = files.reader(id(7, 0)).unwrap();
        let mut found = vec![0; block.bytes().len()];
        assert!(reader.fill(&mut found).is_err(), "{encoding:?}");
    }
}
