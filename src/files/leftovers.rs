//! What of this process must not outlive it: half-written files, folders made for them, folders of temporary files. They go
//! when they are dropped, when a signal ends the process, or, if it was killed, when the next one comes by.

use super::error::FileError;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use sysinfo::System;

/// Files, folders made and folders of temporary files: what a signal handler has to remove, last ones first.
static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());

struct Live {
    path: PathBuf,
    /// Goes with all that is in it.
    tree: bool,
}

/// How far the process is: what is begun after it was told to end would stay, and what is committed then may not be whole.
struct Ending {
    told: bool,
    /// Results have got their names.
    committed: bool,
}

/// Taken before [`LIVE`] by those that need both.
static ENDING: Mutex<Ending> = Mutex::new(Ending { told: false, committed: false });

fn ending() -> MutexGuard<'static, Ending> {
    ENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes and registers what is to be written, unless the process has been told to end; it is told when this is done.
pub(super) fn begin<T>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let ending = ending();
    if ending.told { Err(io::ErrorKind::Interrupted.into()) } else { make() }
}

/// Gives what was written at `path` its name, unless the process has been told to end; it is told when this is done.
pub(super) fn commit(path: &Path, rename: impl FnOnce() -> Result<(), FileError>) -> Result<(), FileError> {
    let mut ending = ending();
    if ending.told {
        return Err(FileError::Write { path: path.into(), error: io::ErrorKind::Interrupted.into() });
    }
    rename()?;
    ending.committed = true;
    Ok(())
}

/// True after [`discard_all`], for whose end this waits.
pub fn is_told_to_end() -> bool {
    ending().told
}

fn live() -> MutexGuard<'static, Vec<Live>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers a file, or a folder that goes only if it is empty.
pub(super) fn register(path: PathBuf) {
    live().push(Live { path, tree: false });
}

/// Registers a folder that goes with all that is in it.
pub(super) fn register_tree(path: PathBuf) {
    live().push(Live { path, tree: true });
}

pub(super) fn forget(path: &Path) {
    live().retain(|live| live.path != path);
}

/// Removes every file that this process has begun and not committed, the folders that it made for them, and its folders of
/// temporary files: for when it is told to end. Nothing is begun or committed after it. Returns whether results had been
/// committed before.
pub fn discard_all() -> bool {
    let mut ending = ending();
    ending.told = true;
    for Live { path, tree } in live().iter().rev() {
        if *tree {
            remove_tree(path);
        } else {
            // It may have been committed this very moment, or be a folder that someone else uses meanwhile.
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
    }
    ending.committed
}

/// Other threads may still be making files in it, by its name, which is therefore taken from it first. Those that are about
/// to be made in that moment take a few tries.
fn remove_tree(path: &Path) {
    const TRIES: usize = 50;
    let tree = without_its_name(path);
    for _ in 0..TRIES {
        match fs::remove_dir_all(&tree) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            // Gone, or not to be removed: there is nobody to tell.
            _ => return,
        }
    }
}

/// Takes its name from a tree that is to be removed; returns the one it has then.
fn without_its_name(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    // Else the name of what cannot be removed would grow with each try.
    if aside.as_encoded_bytes().ends_with(ASIDE.as_bytes()) {
        return path.into();
    }
    aside.push(ASIDE);
    match fs::rename(path, &aside) {
        Ok(()) => aside.into(),
        // Another thread is removing it, which may not live to see the end of it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => aside.into(),
        Err(_) => path.into(),
    }
}

/// Names this machine in the names of files: a process number says nothing elsewhere.
fn host() -> String {
    System::host_name().unwrap_or_default().replace(['/', '.'], "-")
}

/// True if no process of this machine has that number.
fn is_gone(pid: libc::pid_t) -> bool {
    // SAFETY: signal 0 is sent to nobody; it only asks whether there is such a process.
    pid > 0
        && unsafe { libc::kill(pid, 0) } != 0
        && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

/// Calls `remove` for what runs of this machine left in `folder`: entries whose name `mark` reduces to `HOST-PID…`, with the
/// process number and what follows it.
fn visit(folder: &Path, mark: impl Fn(&str) -> Option<&str>, mut remove: impl FnMut(&Path, &str)) {
    let here = format!("{}-", host());
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        if let Some(whose) = name.to_str().and_then(&mark).and_then(|whose| whose.strip_prefix(&here)) {
            remove(&entry.path(), whose);
        }
    }
}

/// The name under which `path` is written: beside it, hidden, with whose it is.
pub(super) fn partial_name(path: &Path) -> PathBuf {
    name_beside(path, "partial")
}

/// The name of what was at `path` while the new one takes its place. No cleaning removes what has it.
pub(super) fn replaced_name(path: &Path) -> PathBuf {
    name_beside(path, "replaced")
}

fn name_beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{what}-{}-{}", host(), std::process::id()))
}

/// Ends the name of what is being removed.
const ASIDE: &str = ".old";

/// Removes a half-written file, or a directory with all that is in it. It may be gone already; there is nobody to tell.
pub(super) fn remove_partial(path: &Path) {
    if fs::remove_file(path).is_err() {
        remove_tree(path);
    }
}

/// Removes half-written files and directories that runs which were killed on this machine left in `folder`.
pub(super) fn remove_partial_files(folder: &Path) {
    visit(
        folder,
        |name| Some(name.strip_prefix('.')?.rsplit_once(".partial-")?.1),
        |path, pid| {
            if pid.trim_end_matches(ASIDE).parse().is_ok_and(is_gone) {
                // Someone else may have been faster.
                remove_partial(path);
            }
        },
    );
}

/// In a folder of temporary files: locked as long as its process lives.
const LOCK: &str = "lock";

/// Takes the lock unless somebody has it.
fn lock(file: &File) -> bool {
    // SAFETY: the descriptor is open.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

/// Removes folders of temporary files that runs which were killed on this machine left in `parent`. A process number alone
/// says little: in another container of the same host name it is unknown here, though its process lives and holds the lock.
/// The lock alone says nothing in the moment between its making and its locking. In containers that start anew, our own
/// number is that of the process that was killed.
fn remove_temporary_folders(parent: &Path, prefix: &str) {
    visit(
        parent,
        |name| name.strip_prefix(prefix)?.strip_prefix('-'),
        |path, whose| {
            let pid = whose
                .split_once('-')
                .and_then(|(pid, number)| Some((pid, number.trim_end_matches(ASIDE).parse::<u32>().ok()?)))
                .and_then(|(pid, _)| pid.parse().ok());
            let Some(pid) = pid else { return };
            if !is_gone(pid) && pid as u32 != std::process::id() {
                return;
            }
            match File::open(path.join(LOCK)) {
                Ok(file) if lock(&file) => remove_tree(path),
                // Alive, or not ours to say.
                Ok(_) => {}
                // It was killed before it had one, or while it removed the folder.
                Err(error) if error.kind() == io::ErrorKind::NotFound => remove_tree(path),
                // Not ours to open, or no descriptor is left: it may be in use.
                Err(_) => {}
            }
        },
    );
}

/// A folder of temporary files, readable for its user only. It goes with all that is in it when it is dropped.
pub struct TemporaryFolder {
    path: PathBuf,
    /// Locked, and with it the folder is known to be in use.
    _lock: File,
}

impl TemporaryFolder {
    /// Makes `PREFIX-HOST-PID-N` in `parent`, which must exist, and removes what processes that are gone left there.
    pub fn create(parent: &Path, prefix: &str) -> io::Result<TemporaryFolder> {
        begin(|| TemporaryFolder::make(parent, prefix))
    }

    fn make(parent: &Path, prefix: &str) -> io::Result<TemporaryFolder> {
        // Held all the time: a signal handler finds the folder, and no other thread takes it for a leftover of ours.
        let mut live = live();
        remove_temporary_folders(parent, prefix);
        let host = host();
        for number in 0_u32.. {
            let path = parent.join(format!("{prefix}-{host}-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            live.push(Live { path: path.clone(), tree: true });
            let file = match File::create_new(path.join(LOCK)) {
                Ok(file) => file,
                Err(error) => {
                    remove_tree(&path);
                    live.pop();
                    return Err(error);
                }
            };
            // A file system without locks leaves it to the process number.
            lock(&file);
            return Ok(TemporaryFolder { path, _lock: file });
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        remove_tree(&self.path);
        forget(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of a process that was there.
    fn dead_pid() -> u32 {
        let mut child = std::process::Command::new("true").spawn().expect("a process");
        child.wait().expect("it ends");
        child.id()
    }

    fn left(parent: &Path, pid: u32) -> (PathBuf, File) {
        let path = parent.join(format!("dolmen-spill-{}-{pid}-0", host()));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("data"), "x").unwrap();
        let file = File::create(path.join(LOCK)).unwrap();
        (path, file)
    }

    #[test]
    fn a_folder_goes_with_what_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let folder = TemporaryFolder::create(parent.path(), "dolmen-spill").unwrap();
        let second = TemporaryFolder::create(parent.path(), "dolmen-spill").unwrap();
        assert_ne!(folder.path(), second.path());
        assert!(folder.path().is_dir(), "the second one left the first one alone");
        fs::write(folder.path().join("data"), "x").unwrap();
        drop((folder, second));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
        let parent = tempfile::tempdir().unwrap();
        let (dead, _) = left(parent.path(), dead_pid());
        // Our parent lives, whoever it is.
        let (living, _) = left(parent.path(), std::os::unix::process::parent_id());
        let (contained, file) = left(parent.path(), dead_pid());
        assert!(lock(&file));
        let elsewhere = parent.path().join(format!("dolmen-spill-not-{}-{}-0", host(), dead_pid()));
        fs::create_dir(&elsewhere).unwrap();
        let _folder = TemporaryFolder::create(parent.path(), "dolmen-spill").unwrap();
        let there = [&dead, &living, &contained, &elsewhere].map(|path| path.exists());
        assert_eq!(there, [false, true, true, true]);
    }

    #[test]
    fn what_was_killed_while_it_removed_its_folder_goes_too() {
        let parent = tempfile::tempdir().unwrap();
        let (dead, _) = left(parent.path(), dead_pid());
        fs::remove_file(dead.join(LOCK)).unwrap();
        let _folder = TemporaryFolder::create(parent.path(), "dolmen-spill").unwrap();
        assert!(!dead.exists());
    }

    #[test]
    fn a_tree_goes_though_others_keep_making_files_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let tree = parent.path().join("tree");
        fs::create_dir(&tree).unwrap();
        std::thread::scope(|scope| {
            for name in 0..4 {
                let tree = &tree;
                // As long as there is such a folder.
                scope
                    .spawn(move || (0..).find(|at| File::create(tree.join(format!("{name}-{at}"))).is_err()));
            }
            while fs::read_dir(&tree).unwrap().count() < 1000 {
                std::thread::yield_now();
            }
            remove_tree(&tree);
        });
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_whose_removal_was_cut_short_goes_too() {
        let parent = tempfile::tempdir().unwrap();
        let cut = parent.path().join(format!("spill-{}-{}-0{ASIDE}", host(), dead_pid()));
        fs::create_dir(&cut).unwrap();
        remove_temporary_folders(parent.path(), "spill");
        assert!(!cut.exists());
    }

    #[test]
    fn a_removal_is_finished_by_whoever_comes_second() {
        let parent = tempfile::tempdir().unwrap();
        let tree = parent.path().join("tree");
        fs::create_dir_all(tree.join("in it")).unwrap();
        without_its_name(&tree);
        assert!(!tree.exists(), "the first one has begun");
        remove_tree(&tree);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_what_was_half_written_is_removed_not_what_it_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let of_the_dead = |path: PathBuf| {
            let name =
                path.to_str().unwrap().replace(&std::process::id().to_string(), &dead_pid().to_string());
            fs::create_dir(&name).unwrap();
            PathBuf::from(name)
        };
        let path = folder.path().join("a.zarr");
        let (partial, replaced) = (of_the_dead(partial_name(&path)), of_the_dead(replaced_name(&path)));
        remove_partial_files(folder.path());
        assert_eq!([partial.exists(), replaced.exists()], [false, true]);
    }

    #[test]
    fn a_number_that_came_back_to_us_does_not_save_a_leftover() {
        let parent = tempfile::tempdir().unwrap();
        let (dead, _) = left(parent.path(), std::process::id());
        let folder = TemporaryFolder::create(parent.path(), "dolmen-spill").unwrap();
        assert_eq!(folder.path(), dead);
        assert!(!dead.join("data").exists());
    }
}
