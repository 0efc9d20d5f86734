//! Whose an unfinished file or folder is. The living hold a lock on it, and the system takes the lock from the dead.
//!
//! Host names and process numbers tell nothing: containers share the one and have their own of the other. The mark in
//! a name is a random number for each file, and which boot of which kernel made it. Elsewhere a lock that seems free
//! proves nothing, since some network file systems keep locks to one machine.

use super::ending::{ASIDE, begin, register, register_tree};
use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Hexadecimal digits of a mark: of the boot, and of the random number.
const BOOT_DIGITS: usize = 12;
const RANDOM_DIGITS: usize = 16;

/// Tells this boot of this kernel from all others, if the system says.
static BOOT: LazyLock<Option<String>> = LazyLock::new(|| {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(BOOT_DIGITS).collect();
    (digits.len() == BOOT_DIGITS).then_some(digits)
});

/// The end of a new name.
fn mark() -> String {
    let random = RandomState::new().build_hasher().finish();
    format!("{}-{random:0RANDOM_DIGITS$x}", BOOT.as_deref().unwrap_or("unknown"))
}

/// What follows `label` is a mark of this boot; returns what is before the label, and whether its removal had begun.
fn marked<'n>(name: &'n OsStr, label: &str) -> Option<(&'n OsStr, bool)> {
    let bytes = name.as_bytes();
    let at = bytes.windows(label.len()).rposition(|part| part == label.as_bytes())?;
    let (before, mark) = (&bytes[..at], &bytes[at + label.len()..]);
    let (mark, begun) = mark.strip_suffix(ASIDE.as_bytes()).map_or((mark, false), |mark| (mark, true));
    let random = mark.strip_prefix(BOOT.as_deref()?.as_bytes())?.strip_prefix(b"-")?;
    let is_random = random.len() == RANDOM_DIGITS && random.iter().all(u8::is_ascii_hexdigit);
    is_random.then_some((OsStr::from_bytes(before), begun))
}

/// Does the name end in a label and a mark, of whatever boot?
pub(super) fn is_marked(name: &OsStr, label: &str) -> bool {
    let bytes = name.as_bytes();
    let Some(at) = bytes.windows(label.len()).rposition(|part| part == label.as_bytes()) else {
        return false;
    };
    let mut parts = bytes[at + label.len()..].splitn(2, |byte| *byte == b'-');
    let (Some(boot), Some(random)) = (parts.next(), parts.next()) else { return false };
    let is_boot = boot == b"unknown" || boot.len() == BOOT_DIGITS && boot.iter().all(u8::is_ascii_hexdigit);
    is_boot && random.len() == RANDOM_DIGITS && random.iter().all(u8::is_ascii_hexdigit)
}

/// A new hidden name beside `path`.
pub(super) fn name_beside(path: &Path, label: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(label);
    name.push(mark());
    path.with_file_name(name)
}

/// A new name in `parent`.
pub(super) fn name_in(parent: &Path, label: &str) -> PathBuf {
    parent.join(format!("{label}{}", mark()))
}

/// Makes a file under one of the names that `name` gives, registers it and locks it for as long as it is open.
pub(super) fn claim_file(name: impl Fn() -> PathBuf, mode: u32) -> io::Result<(PathBuf, File)> {
    begin(|| {
        loop {
            let path = name();
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&path)?;
            if hold(&file, &path) {
                register(path.clone());
                return Ok((path, file));
            }
        }
    })
}

/// Makes a folder under one of the names that `name` gives, registers it and locks it for as long as it is open.
pub(super) fn claim_folder(name: impl Fn() -> PathBuf, mode: u32) -> io::Result<(PathBuf, File)> {
    begin(|| {
        loop {
            let path = name();
            DirBuilder::new().mode(mode).create(&path)?;
            match File::open(&path) {
                // Taken for a leftover in the moment before it is locked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Ok(folder) if !hold(&folder, &path) => continue,
                Ok(folder) => {
                    register_tree(path.clone());
                    return Ok((path, folder));
                }
                Err(error) => {
                    let _ = fs::remove_dir(&path);
                    return Err(error);
                }
            }
        }
    })
}

/// Locks what we have just made; false if somebody took it for a leftover in the moment before.
fn hold(file: &File, path: &Path) -> bool {
    match file.try_lock() {
        Ok(()) => is_at(file, path),
        Err(TryLockError::WouldBlock) => false,
        // Without locks it will be nobody's to judge.
        Err(TryLockError::Error(_)) => true,
    }
}

/// Locks for as long as it is open what may be looked at as abandoned meanwhile; no matter if it cannot be.
pub(super) fn guard(path: &Path) -> Option<File> {
    File::open(path).ok().filter(|file| file.try_lock().is_ok())
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// Locks what nobody holds; none if its maker lives, or if that cannot be said.
fn abandoned(path: &Path) -> Option<File> {
    let is_folder = fs::symlink_metadata(path).ok()?.is_dir();
    // Some network file systems lock only what is open for writing.
    let mut options = OpenOptions::new();
    options.read(true).write(!is_folder).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path).ok()?;
    (file.try_lock().is_ok() && is_at(&file, path)).then_some(file)
}

/// An entry of a folder whose maker is gone.
pub(super) struct Abandoned<'e> {
    pub path: &'e Path,
    /// Its name up to the label.
    pub before: &'e OsStr,
    /// It was being removed.
    pub begun: bool,
}

/// Calls `found` for the entries of `folder` that were made under this label and whose makers are gone. Nobody else
/// takes them meanwhile.
pub(super) fn visit_abandoned(folder: &Path, label: &str, found: impl Fn(Abandoned<'_>)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let (name, path) = (entry.file_name(), entry.path());
        if let Some((before, begun)) = marked(&name, label)
            && let Some(_lock) = abandoned(&path)
        {
            found(Abandoned { path: &path, before, begun });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marks_of_this_boot_are_read() {
        let path = name_beside(Path::new("x/a.npy"), ".partial-");
        let name = path.file_name().unwrap();
        assert_eq!(marked(name, ".partial-"), Some((OsStr::new(".a.npy"), false)));
        let text = name.to_str().unwrap();
        assert_eq!(
            marked(OsStr::new(&format!("{text}.old")), ".partial-"),
            Some((OsStr::new(".a.npy"), true))
        );
        let boot = BOOT.as_deref().unwrap();
        let elsewhere: String = boot.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect();
        for other in
            [text.replace(boot, &elsewhere), format!("{text}0"), text.replace(".partial-", ".partial")]
        {
            assert_eq!(marked(OsStr::new(&other), ".partial-"), None, "{other}");
        }
        assert_ne!(name_in(Path::new(""), "x-"), name_in(Path::new(""), "x-"));
    }

    #[test]
    fn names_that_are_not_utf8_keep_their_bytes() {
        let path = Path::new(OsStr::from_bytes(b"\xff.npy"));
        let name = name_beside(path, ".partial-");
        assert_eq!(marked(name.as_os_str(), ".partial-"), Some((OsStr::from_bytes(b".\xff.npy"), false)));
    }

    #[test]
    fn what_is_held_is_not_abandoned() {
        let parent = tempfile::tempdir().unwrap();
        let name = || name_in(parent.path(), "x-");
        let (file, held_file) = claim_file(name, 0o666).unwrap();
        let (folder, held_folder) = claim_folder(name, 0o777).unwrap();
        assert!(abandoned(&file).is_none() && abandoned(&folder).is_none());
        drop((held_file, held_folder));
        assert!(abandoned(&file).is_some() && abandoned(&folder).is_some());
        assert!(abandoned(&parent.path().join("nothing")).is_none());
    }

    #[test]
    fn what_was_taken_away_before_it_was_locked_is_not_held() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        let file = File::create_new(&path).unwrap();
        fs::remove_file(&path).unwrap();
        File::create_new(&path).unwrap();
        assert!(!hold(&file, &path));
    }
}
