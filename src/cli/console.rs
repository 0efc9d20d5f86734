//! All that the program says to whoever started it.

use crate::session::Error;
use std::io::{ErrorKind, Write};

/// Writes to standard output. That nobody reads it any more, as behind `| head -1`, is no error: the work is done.
pub fn say(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Run(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// One line on standard error.
pub fn complain(message: &str) {
    // If it cannot be written there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "dolmen: {}", message.replace('\n', " "));
}
