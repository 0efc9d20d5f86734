//! Log lines, on standard error.

use std::io::IsTerminal;

/// From now on what is decided and what goes wrong is logged.
pub fn log() {
    let stderr = std::io::stderr();
    // A second one would change nothing.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(stderr.is_terminal())
        .with_target(false)
        // If a line cannot be written there is nobody to tell, and no reason to fall over that.
        .log_internal_errors(false)
        .try_init();
}
