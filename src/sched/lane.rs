//! The classes of tasks.

/// Compute tasks hold a core, I/O tasks only memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    Compute,
    Io,
    /// I/O that only the client can do.
    Pinned,
}
