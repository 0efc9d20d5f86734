//! Writes `.npy` files that appear under their names only when whole.

use super::depth::Depth;
use super::device::Device;
use super::error::FileError;
use super::flight::Pieces;
use super::header::Header;
use super::leftovers::{begin, commit, forget, partial_name, register, remove_partial_files};
use crate::array::Element;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file beside its final name; removed when dropped uncommitted.
struct Partial {
    path: PathBuf,
    temporary: PathBuf,
    committed: AtomicBool,
}

impl Partial {
    fn create(path: &Path) -> Result<(Partial, File), FileError> {
        let target = |why: String| FileError::Target { path: path.into(), why };
        if path.file_name().is_none() {
            return Err(target("it names no file".into()));
        }
        if path.is_dir() {
            return Err(target("it is a directory".into()));
        }
        if path.exists() && !path.is_file() {
            return Err(target("it is not an ordinary file".into()));
        }
        let folder = folder_of(path);
        if !folder.is_dir() {
            return Err(target(format!("{} is not a directory", folder.display())));
        }
        remove_partial_files(folder);
        let temporary = partial_name(path);
        let file = begin(|| {
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&temporary)?;
            register(temporary.clone());
            Ok(file)
        });
        let file = file.map_err(|e| target(e.to_string()))?;
        Ok((Partial { path: path.into(), temporary, committed: AtomicBool::new(false) }, file))
    }

    fn commit(&self) -> Result<(), FileError> {
        fs::rename(&self.temporary, &self.path)
            .map_err(|error| FileError::Write { path: self.path.clone(), error })?;
        self.committed.store(true, Ordering::Relaxed);
        forget(&self.temporary);
        Ok(())
    }
}

impl Partial {
    /// Writers may still hold the file open: it goes without them.
    fn discard(&self) {
        if !self.committed.load(Ordering::Relaxed) {
            // It may be gone with its folder; there is nobody to tell.
            let _ = fs::remove_file(&self.temporary);
            forget(&self.temporary);
        }
    }
}

pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Bytes that are free for us on the disk of `folder`, if it tells.
pub(super) fn free_space(folder: &Path) -> Option<u64> {
    let name = CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: zero is a valid value of this plain struct; the call gets a valid name and room for its answer.
    let (status, answer) = unsafe {
        let mut answer: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(name.as_ptr(), &mut answer), answer)
    };
    (status == 0).then(|| answer.f_bavail * answer.f_frsize)
}

/// Makes the file so long, with room on the disk where the file system can promise it.
pub(super) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    let length = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
    // SAFETY: the descriptor is open.
    match unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) } {
        0 => Ok(()),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EOPNOTSUPP) => file.set_len(bytes),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Smaller files are written through the page cache: the next program is likely to find them there.
pub(super) const WORTH_DIRECT: u64 = 64 << 20;

/// A `.npy` file in the making, written by blocks in any order from many threads.
pub struct NpyOutput {
    partial: Partial,
    device: Device,
    data: u64,
    cols: u64,
    element: Element,
}

/// Elements as they lie in a file.
pub trait Plain: super::elements::Convert {
    fn bytes(values: &[Self]) -> &[u8] {
        // SAFETY: floats are plain old data without padding.
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
    }
}

impl Plain for f32 {}
impl Plain for f64 {}

impl NpyOutput {
    /// A `rows × cols` matrix, or with no `cols` a vector of `rows` elements.
    pub fn create(
        path: &Path,
        rows: u64,
        cols: Option<u64>,
        element: Element,
    ) -> Result<NpyOutput, FileError> {
        let shape: Vec<u64> = [Some(rows), cols].into_iter().flatten().collect();
        let header = Header::write(element, &shape);
        let cols = cols.unwrap_or(1);
        let needed = header.len() as u64 + rows * cols * element.bytes();
        let (partial, file) = Partial::create(path)?;
        if let Some(free) = free_space(folder_of(path)).filter(|free| *free < needed) {
            return Err(FileError::NoSpace { path: path.into(), needed, free });
        }
        let failed = |error| FileError::Write { path: path.into(), error };
        allocate(&file, needed).map_err(failed)?;
        file.write_all_at(&header, 0).map_err(failed)?;
        let device = Device::buffered(file);
        let device = if needed < WORTH_DIRECT { device } else { device.past_cache(&partial.temporary) };
        Ok(NpyOutput { partial, device, data: header.len() as u64, cols, element })
    }

    /// Bytes of scratch that [`write_block`](Self::write_block) wants for such a block; with less it has fewer requests in
    /// flight.
    pub fn scratch_len(rows: u64, cols: u64, element: Element) -> u64 {
        Pieces::of_block(rows * cols * element.bytes()).scratch_len()
    }

    /// Writes a row-major block with as many requests at once as `depth` allows. Returns the bytes written. Blocks written
    /// at the same time must not overlap.
    pub fn write_block<T: Plain>(
        &self,
        rows: Range<u64>,
        cols: Range<u64>,
        block: &[T],
        scratch: &mut [u8],
        depth: &Depth,
    ) -> Result<u64, FileError> {
        assert_eq!(self.element, T::ELEMENT, "elements are written as what the file holds");
        let size = self.element.bytes();
        let width = cols.end - cols.start;
        assert_eq!(block.len() as u64, (rows.end - rows.start) * width, "the block has the size announced");
        let (bytes, stride) = (T::bytes(block), self.cols * size);
        let offset = self.data + rows.start * stride + cols.start * size;
        let written = if width == self.cols {
            self.device.write_span(offset, bytes, scratch, depth)
        } else {
            self.device.write_lines(offset, stride, bytes, (width * size) as usize, scratch, depth)
        };
        written.map_err(|e| self.failed(e))
    }

    fn failed(&self, error: io::Error) -> FileError {
        FileError::Write { path: self.partial.path.clone(), error }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.discard();
    }
}

/// A result in the making, whatever its format.
pub trait Unfinished: Send + Sync {
    /// All of its data to the disk.
    fn sync(&self) -> Result<(), FileError>;
    /// Gives it its name.
    fn commit(&self) -> Result<(), FileError>;
    /// Removes it unless it has been committed.
    fn discard(&self);
}

impl Unfinished for NpyOutput {
    fn sync(&self) -> Result<(), FileError> {
        self.device.file().sync_data().map_err(|e| self.failed(e))
    }

    fn commit(&self) -> Result<(), FileError> {
        self.partial.commit()
    }

    fn discard(&self) {
        self.partial.discard();
    }
}

/// Files that appear together: all of them, or none, at once when this is dropped.
#[derive(Default)]
pub struct Outputs {
    files: Mutex<Vec<Arc<dyn Unfinished>>>,
}

impl Outputs {
    pub fn new() -> Self {
        Outputs::default()
    }

    /// Takes in one more.
    pub fn add<O: Unfinished + 'static>(&self, output: O) -> Arc<O> {
        let output = Arc::new(output);
        self.files().push(output.clone());
        output
    }

    /// All data to the disk.
    pub fn sync(&self) -> Result<(), FileError> {
        self.files().iter().try_for_each(|output| output.sync())
    }

    /// Gives all of them their names.
    pub fn commit(self) -> Result<(), FileError> {
        commit(Path::new("the results"), || self.files().iter().try_for_each(|output| output.commit()))
    }

    fn files(&self) -> MutexGuard<'_, Vec<Arc<dyn Unfinished>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.files().iter().for_each(|output| output.discard());
    }
}

/// Writes a small file that appears only when whole, and if `sync` is true, only when it is on the disk. That waits for all
/// that the device has taken before.
pub fn write_whole(path: &Path, bytes: &[u8], sync: bool) -> Result<(), FileError> {
    let (partial, mut file) = Partial::create(path)?;
    let failed = |error| FileError::Write { path: path.into(), error };
    file.write_all(bytes).map_err(failed)?;
    if sync {
        file.sync_data().map_err(failed)?;
    }
    commit(path, || partial.commit())
}

/// Refuses a target that could not be written, before time is spent on what goes there.
pub fn check_target(path: &Path) -> Result<(), FileError> {
    Partial::create(path).map(|_| ())
}

/// A folder for results. What was made for it goes again if it is not kept.
pub struct OutDir {
    /// Folders that were made, outermost first.
    made: Vec<PathBuf>,
}

impl OutDir {
    /// Makes the folder and those above it where they are missing.
    pub fn create(path: &Path) -> Result<OutDir, FileError> {
        let mut missing: Vec<PathBuf> = Vec::new();
        let mut at = path;
        while !at.as_os_str().is_empty() && !at.exists() {
            missing.push(at.to_path_buf());
            at = at.parent().unwrap_or(Path::new(""));
        }
        let mut folder = OutDir { made: Vec::new() };
        for path in missing.into_iter().rev() {
            let target = |e: io::Error| FileError::Target { path: path.clone(), why: e.to_string() };
            let make = || fs::create_dir(&path).inspect(|()| register(path.clone()));
            begin(make).map_err(target)?;
            folder.made.push(path);
        }
        if !path.is_dir() {
            let why = "it is not a directory".into();
            return Err(FileError::Target { path: path.into(), why });
        }
        Ok(folder)
    }

    pub fn keep(mut self) {
        self.forget();
        self.made.clear();
    }

    fn forget(&self) {
        self.made.iter().for_each(|path| forget(path));
    }
}

impl Drop for OutDir {
    fn drop(&mut self) {
        self.forget();
        for path in self.made.iter().rev() {
            // Not empty means that someone else uses it.
            let _ = fs::remove_dir(path);
        }
    }
}
