//! Whether the owner of a file lives. The living hold a lock on it, and the system takes the lock from the dead.
//!
//! Host names and process numbers tell nothing: containers share the one and have their own of the other. A lock that
//! seems free proves nothing either where other machines have the file: some network file systems keep locks to one.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::LazyLock;

/// Tells this boot of this kernel from all others, if the system says.
static BOOT: LazyLock<Option<String>> = LazyLock::new(|| {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_string())
});

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Lives,
    Ended,
    /// What cannot be judged stays as it is.
    Unknown,
}

/// Locks a file that nobody else knows yet, for as long as it is open. Returns the boot in which it is held; none if
/// nobody may judge by the lock.
pub(crate) fn hold(file: &File) -> Option<String> {
    file.try_lock().ok().and_then(|()| BOOT.clone())
}

/// The owner of a file that was held in this boot.
pub(crate) fn owner(file: &File, held_in: Option<&str>) -> Owner {
    let Some(held_in) = held_in else { return Owner::Unknown };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Owner::Lives,
        Err(TryLockError::Error(_)) => Owner::Unknown,
        Ok(()) => {
            // Else it goes when the file is closed.
            let _ = file.unlock();
            let would_be_seen = BOOT.as_deref() == Some(held_in) || is_local(file);
            if would_be_seen { Owner::Ended } else { Owner::Unknown }
        }
    }
}

/// Whether this file is the one at `path`.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// Whether no other machine has the file. Magic numbers are those of `statfs(2)`, and of ZFS.
fn is_local(file: &File) -> bool {
    const EXT4: u32 = 0xef53;
    const XFS: u32 = 0x5846_5342;
    const BTRFS: u32 = 0x9123_683e;
    const F2FS: u32 = 0xf2f5_2010;
    const ZFS: u32 = 0x2fc1_2fc1;
    const TMPFS: u32 = 0x0102_1994;
    const OVERLAY: u32 = 0x794c_7630;
    let local = [EXT4, XFS, BTRFS, F2FS, ZFS, TMPFS, OVERLAY];
    rustix::fs::fstatfs(file).is_ok_and(|about| local.contains(&(about.f_type as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a local file system.
    fn held() -> (tempfile::NamedTempFile, Option<String>) {
        let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        let boot = hold(file.as_file());
        (file, boot)
    }

    #[test]
    fn who_holds_a_file_lives_and_who_held_it_has_ended() {
        let (file, boot) = held();
        let other = File::open(file.path()).unwrap();
        let judged = |held_in| owner(&other, held_in);
        assert_eq!(judged(boot.as_deref()), Owner::Lives);
        assert_eq!(judged(Some("another boot")), Owner::Lives);
        file.as_file().unlock().unwrap();
        assert_eq!(judged(boot.as_deref()), Owner::Ended);
        assert_eq!(judged(Some("another boot")), Owner::Ended, "no other machine has the file");
        assert_eq!(judged(None), Owner::Unknown);
        file.as_file().try_lock().expect("to judge holds nothing");
    }

    #[test]
    fn of_a_file_that_other_machines_may_have_a_free_lock_tells_something_in_one_boot_only() {
        // The system's own file systems are on no list.
        let file = File::open("/proc/self/status").unwrap();
        assert!(!is_local(&file));
        assert_eq!(owner(&file, BOOT.as_deref()), Owner::Ended);
        assert_eq!(owner(&file, Some("another boot")), Owner::Unknown);
    }

    #[test]
    fn another_file_in_its_place_is_not_the_same() {
        let (file, _) = held();
        assert!(is_at(file.as_file(), file.path()));
        let (other, _) = held();
        fs::rename(other.path(), file.path()).unwrap();
        assert!(!is_at(file.as_file(), file.path()));
        assert!(!is_at(file.as_file(), other.path()));
    }
}
