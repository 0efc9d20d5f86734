//! A file as a device sees it: aligned requests past the page cache where that pays, ordinary ones where it does not.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Alignment of direct requests in memory, in the file and in length: a page, which is a multiple of any disk's block.
pub const PAGE: usize = 4096;
/// Writes of fewer bytes than this go through the page cache, which gathers them: the device takes so many requests a
/// second, and neighbours share pages.
const WORTH_A_DIRECT_WRITE: usize = 16 << 10;

/// Smaller files are written through the page cache: the next program is likely to find them there.
pub const WORTH_DIRECT: u64 = 64 << 20;

/// True if files of so many bytes should be read past the page cache, which has `room` for us. What fits is found there
/// by later passes; what does not only drives out itself, and others' pages too.
pub fn exceeds_cache(bytes: u64, room: u64) -> bool {
    bytes > room
}

/// A file with two descriptors: an ordinary one, and one past the page cache where the file system has that.
pub struct Device {
    file: File,
    direct: Option<File>,
    /// Cleared when the file system turns out to refuse direct requests.
    willing: AtomicBool,
}

impl Device {
    /// Opens a file for reading.
    pub fn open(path: &Path) -> io::Result<Device> {
        Ok(Device::buffered(File::open(path)?))
    }

    /// A file that is open already, used through the page cache.
    pub fn buffered(file: File) -> Device {
        Device { file, direct: None, willing: AtomicBool::new(false) }
    }

    /// Reads and writes this file past the page cache from now on, if the file system at `path`, its name, lets us.
    pub fn past_cache(self, path: &Path) -> Device {
        // SAFETY: asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        // Where the system's pages are larger, direct and buffered writes of neighbours could meet in one.
        if page != PAGE as libc::c_long {
            return self;
        }
        let writable = is_writable(&self.file);
        let direct =
            OpenOptions::new().read(true).write(writable).custom_flags(libc::O_DIRECT).open(path).ok();
        // A name may have been given to another file meanwhile.
        let direct = direct.filter(|direct| is_same(&self.file, direct));
        Device { willing: AtomicBool::new(direct.is_some()), direct, file: self.file }
    }

    /// The ordinary descriptor.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// True if requests go past the page cache.
    pub fn is_direct(&self) -> bool {
        self.willing.load(Ordering::Relaxed)
    }

    fn direct(&self) -> Option<&File> {
        self.direct.as_ref().filter(|_| self.is_direct())
    }

    /// True if the page cache has all of these bytes. Not known before Linux 6.5, nor for files of others: then false.
    pub fn is_cached(&self, offset: u64, len: u64) -> bool {
        len == 0 || cached_pages(&self.file, offset, len) == Some(pages(offset, len))
    }

    /// Fills `out` with the bytes at `offset`. `scratch` is for direct requests that are not aligned; with less than
    /// two pages of it, or where the page cache has the bytes, the ordinary descriptor is used.
    pub fn read_at(&self, offset: u64, out: &mut [u8], scratch: &mut [u8]) -> io::Result<()> {
        if self.direct().is_none() {
            return self.file.read_exact_at(out, offset);
        }
        let room = aligned(scratch);
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let rest = &mut out[done..];
            let len = if is_aligned(at, rest) { rest.len() } else { longest(at, rest.len(), room.len()) };
            if len == 0 || self.is_cached(at, len as u64) {
                let len = if len == 0 { rest.len() } else { len };
                self.file.read_exact_at(&mut rest[..len], at)?;
                done += len;
            } else if is_aligned(at, rest) && len >= PAGE {
                let whole = len - len % PAGE;
                self.read_direct(at, &mut rest[..whole], whole)?;
                done += whole;
            } else {
                rest[..len].copy_from_slice(self.through(at, len, room)?);
                done += len;
            }
        }
        Ok(())
    }

    /// The `len` bytes at `offset`, read into `scratch`, which has [`scratch_for`] bytes for them.
    pub fn borrow_at<'s>(&self, offset: u64, len: usize, scratch: &'s mut [u8]) -> io::Result<&'s [u8]> {
        let ahead = scratch.as_ptr().align_offset(PAGE).min(scratch.len());
        let fits = superset(offset, len) <= scratch.len() - ahead;
        if fits && self.direct().is_some() && !self.is_cached(offset, len as u64) {
            return self.through(offset, len, &mut scratch[ahead..]);
        }
        self.file.read_exact_at(&mut scratch[..len], offset)?;
        Ok(&scratch[..len])
    }

    /// Reads the pages around the bytes into aligned `room`.
    fn through<'s>(&self, offset: u64, len: usize, room: &'s mut [u8]) -> io::Result<&'s [u8]> {
        let lead = (offset % PAGE as u64) as usize;
        let whole = superset(offset, len);
        self.read_direct(offset - lead as u64, &mut room[..whole], lead + len)?;
        Ok(&room[lead..lead + len])
    }

    /// Reads the first `wanted` bytes of `room`, all of it where the file does not end before. All is aligned but
    /// `wanted`.
    fn read_direct(&self, offset: u64, room: &mut [u8], wanted: usize) -> io::Result<()> {
        let mut got = 0;
        while got < wanted {
            let Some(direct) = self.direct() else {
                return self.file.read_exact_at(&mut room[got..wanted], offset + got as u64);
            };
            match direct.read_at(&mut room[got..], offset + got as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_refusal(&error) => self.willing.store(false, Ordering::Relaxed),
                Err(error) => return Err(error),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => got += count,
            }
            // Only the end of the file cuts a direct read off within a page.
            if got < wanted && !got.is_multiple_of(PAGE) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Writes `bytes` at `offset`: whole pages past the page cache, what is left at both ends through it.
    ///
    /// Callers that write each byte once may do so from many threads, whatever pages their spans share: a page that
    /// lies within one span is only ever written by it, and one that spans share is only ever written through the
    /// cache.
    pub fn write_at(&self, offset: u64, bytes: &[u8], scratch: &mut [u8]) -> io::Result<()> {
        let head = (offset.next_multiple_of(PAGE as u64) - offset) as usize;
        let whole = bytes.len().saturating_sub(head) / PAGE * PAGE;
        if self.direct().is_none() || whole < WORTH_A_DIRECT_WRITE {
            return self.file.write_all_at(bytes, offset);
        }
        let (head, rest) = bytes.split_at(head);
        let (whole, tail) = rest.split_at(whole);
        let begin = offset + head.len() as u64;
        self.file.write_all_at(head, offset)?;
        self.write_from(begin, whole, scratch)?;
        self.file.write_all_at(tail, begin + whole.len() as u64)
    }

    /// Writes `bytes`, whole pages in memory too, at a page of the file.
    pub fn write_pages(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        debug_assert!(is_whole_pages(bytes) && offset.is_multiple_of(PAGE as u64));
        self.write_from(offset, bytes, &mut [])
    }

    /// Fills `out`, whole pages in memory too, from a page of the file on.
    pub fn read_pages(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        debug_assert!(is_whole_pages(out) && offset.is_multiple_of(PAGE as u64));
        let wanted = out.len();
        self.read_direct(offset, out, wanted)
    }

    /// Writes whole pages at a page of the file: from where they are if that is aligned too, else from `scratch`.
    fn write_from(&self, offset: u64, bytes: &[u8], scratch: &mut [u8]) -> io::Result<()> {
        let room = aligned(scratch);
        let step = room.len() / PAGE * PAGE;
        let mut done = 0;
        while done < bytes.len() {
            let (at, rest) = (offset + done as u64, &bytes[done..]);
            let in_place = rest.as_ptr().cast::<u8>().align_offset(PAGE) == 0;
            let Some(direct) = self.direct().filter(|_| in_place || step > 0) else {
                return self.file.write_all_at(rest, at);
            };
            let piece = if in_place {
                rest
            } else {
                let len = rest.len().min(step);
                room[..len].copy_from_slice(&rest[..len]);
                &room[..len]
            };
            match direct.write_at(piece, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_refusal(&error) => self.willing.store(false, Ordering::Relaxed),
                Err(error) => return Err(error),
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                // A write that was cut off within a page does that page again.
                Ok(count) if count < PAGE => {
                    self.file.write_all_at(&piece[..PAGE], at).map(|()| done += PAGE)?
                }
                Ok(count) => done += count / PAGE * PAGE,
            }
        }
        Ok(())
    }
}

/// Bytes of scratch with which any `len` bytes can be read directly: the pages around them, and one to align them.
pub fn scratch_for(len: u64) -> u64 {
    len.next_multiple_of(PAGE as u64) + 2 * PAGE as u64
}

/// The part of `bytes` that begins at a page of memory.
pub(super) fn aligned(bytes: &mut [u8]) -> &mut [u8] {
    let ahead = bytes.as_ptr().align_offset(PAGE).min(bytes.len());
    &mut bytes[ahead..]
}

/// True if a buffer begins at a page of memory and ends at one.
pub fn is_whole_pages(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(PAGE) && bytes.len().is_multiple_of(PAGE)
}

fn is_aligned(offset: u64, bytes: &[u8]) -> bool {
    offset.is_multiple_of(PAGE as u64) && bytes.as_ptr().align_offset(PAGE) == 0 && bytes.len() >= PAGE
}

/// Bytes of the pages that these bytes touch.
fn superset(offset: u64, len: usize) -> usize {
    pages(offset, len as u64) as usize * PAGE
}

fn pages(offset: u64, len: u64) -> u64 {
    (offset + len).div_ceil(PAGE as u64) - offset / PAGE as u64
}

/// The most of `len` bytes at `offset` whose pages fit `room` bytes.
fn longest(offset: u64, len: usize, room: usize) -> usize {
    let lead = (offset % PAGE as u64) as usize;
    (room / PAGE * PAGE).saturating_sub(lead).min(len)
}

/// How file systems say that they have no direct I/O.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
}

fn is_writable(file: &File) -> bool {
    // SAFETY: the descriptor is open; this reads its flags.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_ACCMODE != libc::O_RDONLY
}

fn is_same(one: &File, other: &File) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// `cachestat(2)`, which the `libc` crate does not name on all systems; its number is the same on all of them.
const CACHESTAT: libc::c_long = 451;

#[repr(C)]
struct CacheRange {
    offset: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Pages of a range that the page cache has. `preadv2` with `RWF_NOWAIT` would be the older way to ask, but since
/// Linux 5.12 it begins to read ahead what is not there, and that is read a second time by the direct request.
fn cached_pages(file: &File, offset: u64, len: u64) -> Option<u64> {
    let (range, mut stat) = (CacheRange { offset, len }, CacheStat::default());
    let flags: libc::c_uint = 0;
    // SAFETY: the descriptor is open; both structs are laid out as the kernel wants them and live until it returns.
    let status =
        unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut stat, flags) };
    (status == 0).then_some(stat.cached)
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
