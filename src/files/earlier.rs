//! What is already there where a result is to be: links to follow, a mode and an owner to keep.

use super::disk::file_system;
use super::error::FileError;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Links that lead to each other end here, as in Linux.
const MOST_LINKS: usize = 40;

/// The file system of `/proc`, as `statfs(2)` numbers it.
const PROCESSES: u32 = libc::PROC_SUPER_MAGIC as u32;

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Where a result under this name goes: where the link of this name points, if it is one, whether or not something is
/// there. What a process has open (`/dev/stdout`, `/dev/fd/1`) is no such place: the names that the system gives it
/// lead to it, but are not always its names.
pub(super) fn followed(path: &Path) -> Result<PathBuf, FileError> {
    // A slash at the end would ask what the link leads to whether it is a link.
    let without_slash = |path: &Path| path.components().collect::<PathBuf>();
    let mut target = without_slash(path);
    for _ in 0..MOST_LINKS {
        if file_system(folder_of(&target)) == Some(PROCESSES) {
            return Err(FileError::NoFile { path: path.into() });
        }
        // What is no link ends the search, and so does what is not there.
        let Ok(link) = fs::read_link(&target) else { return Ok(target) };
        target = without_slash(&folder_of(&target).join(link));
    }
    let why = io::Error::from_raw_os_error(libc::ELOOP).to_string();
    Err(FileError::Target { path: path.into(), why })
}

/// Mode and owner of what a result replaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Attributes {
    mode: u32,
    user: u32,
    group: u32,
}

impl Attributes {
    pub fn of(earlier: &Metadata) -> Attributes {
        Attributes { mode: earlier.mode() & 0o7777, user: earlier.uid(), group: earlier.gid() }
    }

    /// For a folder of files with these: whoever may read them may look them up.
    pub fn of_folder(self) -> Attributes {
        Attributes { mode: self.mode | (self.mode & 0o444) >> 2, ..self }
    }

    /// The mode to make a new file or folder with: nobody else gets a hold of what may be secret.
    pub fn mode_until_given(earlier: Option<Attributes>, usual: u32) -> u32 {
        if earlier.is_some() { usual & 0o700 } else { usual }
    }

    /// As far as the system lets us. Where the group cannot be kept, ours may do what everybody may.
    pub fn give(self, new: &File) {
        let Ok(about) = new.metadata() else { return };
        let mut mode = self.mode;
        if (about.uid(), about.gid()) != (self.user, self.group)
            && fchown(new, Some(self.user), Some(self.group)).is_err()
        {
            mode &= 0o777;
            if about.gid() != self.group && fchown(new, None, Some(self.group)).is_err() {
                mode = mode & 0o707 | (mode & 0o007) << 3;
            }
        }
        // A file system without modes has nothing to keep.
        let _ = new.set_permissions(Permissions::from_mode(mode));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_to_what_need_not_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        symlink("second", path("first")).unwrap();
        symlink(path("target"), path("second")).unwrap();
        symlink("round", path("round")).unwrap();
        assert_eq!(followed(&path("first")).unwrap(), path("target"));
        assert_eq!(followed(&path("first/")).unwrap(), path("target"));
        assert_eq!(followed(&path("nothing")).unwrap(), path("nothing"));
        assert!(followed(&path("round")).is_err());
    }

    #[test]
    fn what_a_process_has_open_is_not_taken_for_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let open = File::create(path("open")).unwrap();
        symlink(format!("/dev/fd/{}", open.as_raw_fd()), path("first")).unwrap();
        symlink("first", path("second")).unwrap();
        for name in ["first", "second"] {
            assert!(matches!(followed(&path(name)), Err(FileError::NoFile { .. })), "{name}");
        }
        let within = File::open(folder.path()).unwrap();
        let within = PathBuf::from(format!("/proc/self/fd/{}/new", within.as_raw_fd()));
        assert_eq!(followed(&within).unwrap(), within);
    }

    #[test]
    fn modes_and_owners_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (earlier, new) = (folder.path().join("earlier"), folder.path().join("new"));
        let earlier_file = File::create(&earlier).unwrap();
        earlier_file.set_permissions(Permissions::from_mode(0o640)).unwrap();
        // Only root may.
        let given = fchown(&earlier_file, Some(1234), Some(4321)).is_ok();
        let attributes = Attributes::of(&earlier_file.metadata().unwrap());
        let new = File::create(&new).unwrap();
        attributes.give(&new);
        let kept = Attributes::of(&new.metadata().unwrap());
        assert_eq!(kept, attributes);
        assert_eq!((kept.user, kept.group) == (1234, 4321), given);
    }
}
