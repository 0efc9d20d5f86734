//! Where spill files go if nobody says: a local disk rather than the network, and memory last of all.

use crate::files::disk::file_system;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a folder lies on, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Medium {
    Disk,
    /// Shared, and as a rule slower.
    Network,
    /// Files there take the memory that spilling is to free.
    Memory,
}

/// The folder on the best medium; among equals the first one.
pub fn best_folder(candidates: &[(PathBuf, Medium)]) -> Option<&Path> {
    candidates.iter().min_by_key(|(_, medium)| *medium).map(|(path, _)| path.as_path())
}

/// Where to spill without `--spill-dir`: the first of $SLURM_TMPDIR, $TMPDIR, /tmp and the current folder that lies
/// on a local disk and can be written to; without one, on the network, then in memory.
pub fn default_spill_folder() -> PathBuf {
    let named = ["SLURM_TMPDIR", "TMPDIR"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let places = ["/tmp", "."].map(PathBuf::from);
    let candidates: Vec<(PathBuf, Medium)> = named
        .chain(places)
        .filter(|path| is_writable_folder(path))
        .filter_map(|path| medium(&path).map(|medium| (path, medium)))
        .collect();
    best_folder(&candidates).map_or_else(std::env::temp_dir, Path::to_path_buf)
}

fn name(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}

fn is_writable_folder(path: &Path) -> bool {
    let allowed = |name: CString| {
        // SAFETY: a valid name; the call only asks.
        unsafe { libc::access(name.as_ptr(), libc::W_OK | libc::X_OK) == 0 }
    };
    fs::metadata(path).is_ok_and(|about| about.is_dir()) && name(path).is_some_and(allowed)
}

/// What `folder` lies on, if it can be asked.
fn medium(folder: &Path) -> Option<Medium> {
    file_system(folder).map(medium_of)
}

/// Magic numbers of file systems, from `statfs(2)`. What `libc` has no name for is from their own headers.
fn medium_of(magic: u32) -> Medium {
    const TMPFS: u32 = libc::TMPFS_MAGIC as u32;
    const NFS: u32 = libc::NFS_SUPER_MAGIC as u32;
    const AFS: u32 = libc::AFS_SUPER_MAGIC as u32;
    const RAMFS: u32 = 0x8584_58f6;
    const CIFS: u32 = 0xff53_4d42;
    const SMB2: u32 = 0xfe53_4d42;
    const LUSTRE: u32 = 0x0bd0_0bd0;
    const GPFS: u32 = 0x4750_4653;
    const BEEGFS: u32 = 0x1983_0326;
    const CEPH: u32 = 0x00c3_6400;
    match magic {
        TMPFS | RAMFS => Medium::Memory,
        NFS | CIFS | SMB2 | LUSTRE | GPFS | BEEGFS | CEPH | AFS => Medium::Network,
        _ => Medium::Disk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_come_first_and_memory_last() {
        let best = |media: &[Medium]| {
            let folders: Vec<(PathBuf, Medium)> =
                media.iter().enumerate().map(|(i, medium)| (i.to_string().into(), *medium)).collect();
            best_folder(&folders).map(Path::to_path_buf)
        };
        use Medium::{Disk, Memory, Network};
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[Disk, Disk]), Some("0".into()));
        assert_eq!(best(&[Memory, Network, Disk, Disk]), Some("2".into()));
        assert_eq!(best(&[Memory, Network]), Some("1".into()));
        assert_eq!(best(&[Memory, Memory]), Some("0".into()));
    }

    #[test]
    fn the_default_can_be_written_to() {
        assert!(is_writable_folder(&default_spill_folder()));
        assert!(!is_writable_folder(Path::new("/proc/version")));
        let shared = Path::new("/dev/shm");
        if shared.is_dir() {
            assert_eq!(medium(shared), Some(Medium::Memory));
        }
    }
}
