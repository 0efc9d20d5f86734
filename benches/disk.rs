//! The disk measured with our own reading and writing of blocks, beside what plain sequential reading and writing
//! gives. Every figure is GB/s of the matrix; writing includes the sync, "cold" is after the page cache was told to
//! forget.
//!
//! `cargo bench --bench disk [-- FOLDER [ROWS]]`: a ROWS×ROWS matrix of f64 in a file in FOLDER, by default 12288
//! (1.2 GB) in `target`.

use dolmen::array::Element;
use dolmen::data::{ReadBlocks, Region, WriteBlocks};
use dolmen::files::{Depth, NpyInput, NpyOutput, Outputs};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Blocks that are read or written at the same time: the I/O threads of a worker.
const TASKS: usize = 2;
/// Idle seconds reported after each block, as if the compute threads had nothing to do, so that depths are tried.
const ALL_IDLE: f64 = 1.0;
/// Bytes of a plain sequential request.
const PLAIN: usize = 8 << 20;

/// A square matrix in blocks.
#[derive(Clone, Copy)]
struct Cut {
    n: u64,
    rows: u64,
    cols: u64,
}

impl Cut {
    fn blocks(self) -> usize {
        (self.n.div_ceil(self.rows) * self.n.div_ceil(self.cols)) as usize
    }

    fn region(self, at: usize) -> Region {
        let across = self.n.div_ceil(self.cols);
        let (row, col) = (at as u64 / across * self.rows, at as u64 % across * self.cols);
        Region::new(row..(row + self.rows).min(self.n), col..(col + self.cols).min(self.n))
    }

    /// Calls `work` with the number of each block and with a block and a scratch, several at a time. Their memory is
    /// not part of what is measured: a run has it from its pool. Returns the seconds.
    fn each(self, scratch: u64, work: impl Fn(usize, &mut [f64], &mut [u8]) + Sync) -> f64 {
        let next = AtomicUsize::new(0);
        let room = |_| (vec![1.5; (self.rows * self.cols) as usize], vec![1; scratch as usize]);
        let rooms: Vec<_> = (0..TASKS).map(room).collect();
        let began = Instant::now();
        std::thread::scope(|scope| {
            for (mut block, mut scratch) in rooms {
                let (next, work) = (&next, &work);
                scope.spawn(move || {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= self.blocks() {
                            return;
                        }
                        work(at, &mut block[..self.region(at).elements() as usize], &mut scratch);
                    }
                });
            }
        });
        began.elapsed().as_secs_f64()
    }

    fn write(self, path: &Path, depth: &Arc<Depth>) -> f64 {
        let outputs = Outputs::new();
        let file = outputs
            .add(NpyOutput::create(path, self.n, Some(self.n), Element::F64, depth.clone()).expect("a file"));
        let seconds =
            self.each(NpyOutput::scratch_of(self.rows, self.cols, Element::F64), |at, block, scratch| {
                file.write_block(&self.region(at), block, scratch).expect("written");
                depth.add_idle(ALL_IDLE);
            });
        drop(file);
        let began = Instant::now();
        outputs.commit().expect("committed");
        seconds + began.elapsed().as_secs_f64()
    }

    /// Through the page cache if that has `room`, else past it.
    fn read(self, path: &Path, room: u64, depth: &Arc<Depth>) -> f64 {
        let input = NpyInput::open(&[path.into()], room, depth.clone()).expect("the file is there");
        self.each(input.scratch_len(self.rows, self.cols), |at, block, scratch| {
            input.read_block(&self.region(at), block, scratch).expect("read");
            depth.add_idle(ALL_IDLE);
        })
    }
}

fn forget(path: &Path) {
    let file = File::open(path).expect("the file is there");
    file.sync_all().expect("synced");
    // SAFETY: the descriptor is open; the call changes no contents.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

fn plain_write(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let chunk = vec![7; PLAIN];
    for _ in 0..bytes / PLAIN as u64 {
        file.write_all(&chunk)?;
    }
    file.sync_data()
}

fn plain_read(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; PLAIN];
    while file.read(&mut chunk)? > 0 {}
    Ok(())
}

/// GB/s of `bytes` that `work` moves.
fn rate(bytes: u64, work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    bytes as f64 / began.elapsed().as_secs_f64() / 1e9
}

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let folder = words.next().unwrap_or_else(|| "target".into());
    let n: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(12288);
    let path = Path::new(&folder).join("disk-bench.npy");
    let bytes = n * n * 8;
    println!("{:.1} GB in {folder}; GB/s, at most so many requests at once", bytes as f64 / 1e9);
    let write = rate(bytes, || plain_write(&path, bytes).expect("the folder can be written"));
    forget(&path);
    let cold = rate(bytes, || plain_read(&path).expect("read"));
    let warm = rate(bytes, || plain_read(&path).expect("read"));
    println!("{:>12} {:>8} {:>8} {:>8} {:>8} {:>4}", "", "write", "direct", "cold", "warm", "most");
    println!("{:>12} {write:8.2} {:>8} {cold:8.2} {warm:8.2} {:>4}", "plain", "-", 1);
    for (rows, cols) in [(512, n), (3510, 3510), (2048, 2048), (1400, 1400)] {
        let cut = Cut { n, rows: rows.min(n), cols: cols.min(n) };
        let depth = Arc::new(Depth::default());
        let gb = bytes as f64 / 1e9;
        depth.count_anew();
        let write = gb / cut.write(&path, &depth);
        forget(&path);
        let direct = gb / cut.read(&path, 0, &depth);
        forget(&path);
        let cold = gb / cut.read(&path, u64::MAX, &depth);
        // What the page cache did not keep of that pass.
        let _ = cut.read(&path, u64::MAX, &depth);
        let warm = gb / cut.read(&path, u64::MAX, &depth);
        println!(
            "{:>12} {write:8.2} {direct:8.2} {cold:8.2} {warm:8.2} {:>4}",
            format!("{rows}x{cols}"),
            depth.most()
        );
    }
    // It may have been removed by hand meanwhile.
    let _ = std::fs::remove_file(&path);
}
