use super::*;
use crate::array::Element;
use crate::data::{ReadBlocks, Region, WriteBlocks};
use crate::files::disk::{Depth, Pieces};
use crate::files::npy::{Header, NpyInput, NpyOutput};
use crate::files::outputs::Outputs;
use std::path::PathBuf;
use std::sync::Arc;

/// A seeded generator of small numbers.
struct Random(u64);

impl Random {
    fn seeded() -> Random {
        let seed =
            std::env::var("DOLMEN_SEED").map_or(1, |text| text.parse().expect("DOLMEN_SEED is a number"));
        println!("DOLMEN_SEED={seed}");
        Random(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit.max(1)
    }

    /// Values near multiples of pages are where mistakes would be.
    fn near_pages(&mut self, limit: u64) -> u64 {
        let page = PAGE as u64;
        match self.below(3) {
            0 => self.below(limit),
            1 => (self.below(limit) / page * page).min(limit),
            _ => (self.below(limit) / page * page + self.below(3)).saturating_sub(1).min(limit),
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

/// A folder on a disk, and one in memory where there is such a file system.
fn folders() -> Vec<tempfile::TempDir> {
    let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
    let memory = tempfile::tempdir_in("/dev/shm").ok();
    std::iter::once(disk).chain(memory).collect()
}

/// A file that the page cache does not have, where it can be told to forget.
fn cold(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: the descriptor is open; the call changes no contents.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

fn both_ways(path: &Path) -> [Device; 2] {
    [Device::open(path).unwrap(), Device::open(path).unwrap().past_cache(path)]
}

#[test]
fn any_bytes_are_read_as_plain_reads_read_them() {
    let mut random = Random::seeded();
    for folder in folders() {
        let path = folder.path().join("data");
        let whole = random.bytes(40 * PAGE + 777);
        std::fs::write(&path, &whole).unwrap();
        for round in 0..600 {
            if round % 50 == 0 {
                cold(&path);
            }
            let offset = random.near_pages(whole.len() as u64) as usize;
            let len = random.near_pages((whole.len() - offset) as u64) as usize;
            let mut memory = vec![0; len + PAGE + 8];
            let mut scratch = vec![0; random.near_pages(12 * PAGE as u64) as usize];
            // At a page of memory, or at any other place.
            let begin = if random.below(2) == 0 { memory.as_ptr().align_offset(PAGE) } else { round % 8 };
            for device in both_ways(&path) {
                let out = &mut memory[begin..begin + len];
                out.fill(0);
                device.read_at(offset as u64, out, &mut scratch).unwrap();
                assert!(out == &whole[offset..offset + len], "round {round}: {len} bytes at {offset}");
                let mut long = vec![0; scratch_for(len as u64) as usize + PAGE];
                let borrowed = device.borrow_at(offset as u64, len, &mut long).unwrap();
                assert!(borrowed == &whole[offset..offset + len], "round {round}: {len} bytes at {offset}");
            }
        }
    }
}

#[test]
fn spans_are_read_and_written_by_several_threads() {
    let mut random = Random::seeded();
    let depth = Depth::default();
    for folder in folders() {
        for round in 0..6 {
            let path = folder.path().join(format!("data{round}"));
            let (offset, len) = (random.near_pages(9000), 300_000 + random.near_pages(3 << 20));
            let bytes = random.bytes(len as usize);
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
            file.set_len(offset + len).unwrap();
            let device = Device::buffered(file).past_cache(&path);
            let mut scratch = vec![0; Pieces::of_block(len).scratch_len() as usize];
            assert_eq!(device.write_span(offset, &bytes, &mut scratch, &depth).unwrap(), len);
            assert!(std::fs::read(&path).unwrap()[offset as usize..] == bytes, "round {round}");
            cold(&path);
            let mut out = vec![0; len as usize];
            assert_eq!(device.read_span(offset, &mut out, &mut scratch, &depth).unwrap(), len);
            assert!(out == bytes, "round {round}: {len} bytes at {offset}");
        }
    }
}

#[test]
fn neighbours_that_share_pages_are_written_at_the_same_time() {
    let mut random = Random::seeded();
    for folder in folders() {
        for round in 0..10 {
            let path = folder.path().join(format!("data{round}"));
            let bytes = random.bytes(800_000);
            let mut cuts: Vec<usize> =
                (0..20).map(|_| random.near_pages(bytes.len() as u64) as usize).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
            file.set_len(bytes.len() as u64).unwrap();
            let device = Device::buffered(file).past_cache(&path);
            std::thread::scope(|scope| {
                for ends in cuts.windows(2) {
                    let (device, span) = (&device, &bytes[ends[0]..ends[1]]);
                    scope.spawn(move || {
                        let mut scratch = vec![0; 6 * PAGE];
                        device.write_at(ends[0] as u64, span, &mut scratch).unwrap();
                    });
                }
            });
            assert!(std::fs::read(&path).unwrap() == bytes, "round {round}, as the system sees it");
            device.file().sync_data().unwrap();
            cold(&path);
            assert!(std::fs::read(&path).unwrap() == bytes, "round {round}, as the disk has it");
        }
    }
}

#[test]
fn a_file_that_became_shorter_is_an_error() {
    for folder in folders() {
        let path = folder.path().join("data");
        std::fs::write(&path, vec![1; 1 << 20]).unwrap();
        for device in both_ways(&path) {
            OpenOptions::new().write(true).open(&path).unwrap().set_len(500_000).unwrap();
            cold(&path);
            let (mut out, depth) = (vec![0; 1 << 20], Depth::default());
            let mut scratch = vec![0; Pieces::of_block(1 << 20).scratch_len() as usize];
            for (offset, len) in [(0, 1 << 20), (499_000, 2000), (499_999, 2), (600_000, 10)] {
                let error = device.read_at(offset, &mut out[..len], &mut scratch).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len} bytes at {offset}");
                assert!(device.borrow_at(offset, len, &mut scratch[..]).is_err());
            }
            assert!(device.read_span(0, &mut out, &mut scratch, &depth).is_err());
            device.read_at(0, &mut out[..500_000], &mut scratch).unwrap();
        }
    }
}

#[test]
fn what_has_been_read_is_cached_and_what_was_forgotten_is_not() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = folder.path().join("data");
    std::fs::write(&path, vec![1; 1 << 20]).unwrap();
    let device = Device::open(&path).unwrap();
    if cached_pages(device.file(), 0, 1).is_none() {
        return println!("SKIPPED: the kernel does not tell what is cached");
    }
    std::fs::read(&path).unwrap();
    assert!(device.is_cached(5, (1 << 20) - 10));
    cold(&path);
    assert!(!device.is_cached(5, 10));
}

#[test]
fn direct_requests_leave_nothing_in_the_cache() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = folder.path().join("data");
    std::fs::write(&path, vec![1; 1 << 20]).unwrap();
    cold(&path);
    let device = Device::open(&path).unwrap().past_cache(&path);
    let (mut out, mut scratch) = (vec![0; 700_000], vec![0; 1 << 20]);
    device.read_at(100, &mut out, &mut scratch).unwrap();
    if !device.is_direct() {
        return println!("SKIPPED: no direct I/O on the file system of the sources");
    }
    assert_eq!(cached_pages(device.file(), 0, 1 << 20).unwrap_or(0), 0);
}

fn matrix(path: PathBuf, n: u64, fortran: bool, values: &[f64]) -> PathBuf {
    let mut bytes = Header::write(Element::F64, &[n, n]);
    if fortran {
        let text = String::from_utf8(bytes.split_off(10)).unwrap().replace("False", "True ");
        bytes.extend(text.bytes());
    }
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn blocks_of_matrices_are_read_whatever_is_cached() {
    let mut random = Random::seeded();
    let (n, depth) = (700, Arc::new(Depth::default()));
    let values: Vec<f64> = (0..n * n).map(|at| at as f64).collect();
    for (folder, fortran) in
        folders().iter().zip([false, true].into_iter().cycle()).chain(folders().iter().zip([true, false]))
    {
        let path = matrix(folder.path().join("a.npy"), n, fortran, &values);
        for room in [0, u64::MAX] {
            let input = NpyInput::open(std::slice::from_ref(&path), room, depth.clone()).unwrap();
            for round in 0..30 {
                if round % 4 == 0 {
                    cold(&path);
                }
                let (row, col) = (random.below(n), random.below(n));
                let rows = row..row + 1 + random.below(n - row);
                let cols = if round % 3 == 0 { 0..n } else { col..col + 1 + random.below(n - col) };
                let width = cols.end - cols.start;
                let mut block = vec![0.0; ((rows.end - rows.start) * width) as usize];
                let mut scratch = vec![0; input.scratch_len(rows.end - rows.start, width) as usize];
                input.read_block(&Region::new(rows.clone(), cols.clone()), &mut block, &mut scratch).unwrap();
                for (at, value) in block.iter().enumerate() {
                    let (i, j) = (rows.start + at as u64 / width, cols.start + at as u64 % width);
                    let expected = if fortran { j * n + i } else { i * n + j };
                    assert_eq!(*value, expected as f64, "round {round}: row {i}, column {j}");
                }
            }
        }
    }
}

#[test]
fn blocks_of_a_large_file_are_written_past_the_cache() {
    let (rows, cols) = (2500, 3500);
    for folder in folders() {
        let path = folder.path().join("a.npy");
        let outputs = Outputs::new();
        let file =
            outputs.add(NpyOutput::create(&path, rows, Some(cols), Element::F64, Arc::default()).unwrap());
        let next = std::sync::Mutex::new((0..rows.div_ceil(613)).flat_map(|i| [(i, 0), (i, 1)]));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    loop {
                        let Some((i, j)) = next.lock().unwrap().next() else { return };
                        let rows = i * 613..((i + 1) * 613).min(rows);
                        let cols = j * 2999..((j + 1) * 2999).min(cols);
                        let (height, width) = (rows.end - rows.start, cols.end - cols.start);
                        let value = |at: u64| (rows.start + at / width) * 3500 + cols.start + at % width;
                        let block: Vec<f64> = (0..height * width).map(|at| value(at) as f64).collect();
                        let mut scratch =
                            vec![0; Pieces::of_block(8 * height * width).scratch_len() as usize];
                        let written =
                            file.write_block(&Region::new(rows.clone(), cols.clone()), &block, &mut scratch);
                        assert_eq!(written.unwrap(), 8 * height * width);
                    }
                });
            }
        });
        drop(next);
        drop(file);
        outputs.sync().unwrap();
        outputs.commit().unwrap();
        cold(&path);
        let data = std::fs::read(&path).unwrap().split_off(PAGE);
        assert_eq!(data.len() as u64, rows * cols * 8);
        for (at, bytes) in data.chunks_exact(8).enumerate() {
            assert_eq!(bytes, (at as f64).to_le_bytes(), "element {at}");
        }
    }
}
