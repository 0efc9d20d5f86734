//! All that the program says to whoever started it.

use crate::session::Error;
use std::fs::File;
use std::io::{self, ErrorKind, StdoutLock, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;

/// Writes to standard output. That nobody reads it any more, as behind `| head -1` or at a terminal that has been
/// closed, is no error: the work is done.
pub fn say(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe && !is_lost_terminal(&error, &out) => {
            Err(Error::Run(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A terminal that has gone says the same as a broken disk. It does not even say any more that it is a terminal, but it
/// still is a device of characters.
fn is_lost_terminal(error: &io::Error, out: &StdoutLock) -> bool {
    let is_device =
        |file: OwnedFd| File::from(file).metadata().is_ok_and(|about| about.file_type().is_char_device());
    error.raw_os_error() == Some(libc::EIO) && out.as_fd().try_clone_to_owned().is_ok_and(is_device)
}

/// One line on standard error.
pub fn complain(message: &str) {
    // If it cannot be written there is nobody to tell.
    let _ = writeln!(io::stderr(), "dolmen: {}", message.replace('\n', " "));
}
