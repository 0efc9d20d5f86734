//! What is known of a disk: its file system, and the room on it.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes that are free for us on the disk of `folder`, if it tells.
pub fn free_space(folder: &Path) -> Option<u64> {
    let name = CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: zero is a valid value of this plain struct.
    let mut answer: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the call gets a valid name and room for its answer.
    let status = unsafe { libc::statvfs(name.as_ptr(), &mut answer) };
    (status == 0).then(|| answer.f_bavail * answer.f_frsize)
}

/// The magic number of the file system that `path` is on, links followed, if it can be asked.
pub fn file_system(path: &Path) -> Option<u32> {
    let name = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: zero is a valid value of this plain struct.
    let mut answer: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the call gets a valid name and room for its answer.
    let status = unsafe { libc::statfs(name.as_ptr(), &mut answer) };
    (status == 0).then_some(answer.f_type as u32)
}

/// Makes the file so long, with room on the disk where the file system can promise it.
pub fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    let length = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
    // SAFETY: the descriptor is open.
    match unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) } {
        0 => Ok(()),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EOPNOTSUPP) => file.set_len(bytes),
        _ => Err(io::Error::last_os_error()),
    }
}
