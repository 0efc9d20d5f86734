//! Whether results may go where they are to go: files are known by device and inode, whatever their names.

use super::earlier::followed;
use super::error::FileError;
use super::format::Format;
use super::partial::check_target;
use super::zarr::{PartialDir, is_array_of_any_version};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// A file or directory, or one that could be made.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ResolvedPath {
    device: u64,
    inode: u64,
    /// Names below that, of what is not there yet.
    below: Vec<OsString>,
}

impl ResolvedPath {
    /// What is there, links followed.
    fn of_existing(path: &Path) -> io::Result<ResolvedPath> {
        let about = fs::metadata(path)?;
        Ok(ResolvedPath { device: about.dev(), inode: about.ino(), below: Vec::new() })
    }
}

/// Where an output goes.
struct Target {
    place: ResolvedPath,
    /// The places that it is in, nearest first.
    around: Vec<ResolvedPath>,
    /// The innermost folder around it that is there.
    folder: PathBuf,
}

impl Target {
    fn of(path: &Path) -> Result<Target, FileError> {
        let leads_to = followed(path)?;
        if fs::metadata(&leads_to).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
            return Err(FileError::NoFile { path: path.into() });
        }
        let failed = |error: io::Error| FileError::Target { path: path.into(), why: error.to_string() };
        Target::of_followed(&leads_to).map_err(failed)
    }

    /// Of a path that is no link.
    fn of_followed(path: &Path) -> io::Result<Target> {
        let path = std::path::absolute(path)?;
        let mut there = PathBuf::from("/");
        let mut below: Vec<OsString> = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) if below.is_empty() => match there.join(name).canonicalize() {
                    Ok(next) => there = next,
                    Err(_) => below.push(name.into()),
                },
                Component::Normal(name) => below.push(name.into()),
                Component::ParentDir if below.pop().is_none() => drop(there.pop()),
                _ => {}
            }
        }
        let mut places: Vec<ResolvedPath> =
            there.ancestors().map(ResolvedPath::of_existing).collect::<Result<_, _>>()?;
        for end in 1..=below.len() {
            places.insert(0, ResolvedPath { below: below[..end].to_vec(), ..places[end - 1].clone() });
        }
        let place = places.remove(0);
        let folder = if below.is_empty() { there.parent().unwrap_or(&there).into() } else { there };
        Ok(Target { place, around: places, folder })
    }

    /// Is it that, or in it?
    fn touches(&self, place: &ResolvedPath) -> bool {
        self.place == *place || self.around.contains(place)
    }
}

/// Refuses a result that could not be written, before anything is waited for.
pub fn check_result(path: &Path) -> Result<(), FileError> {
    match Format::of(path)? {
        Format::Npy => check_target(path),
        Format::Zarr => PartialDir::create(path).map(drop),
    }
}

/// Refuses outputs that lead to a device, a pipe or what a process has open, and those that are an input or in one.
/// Nothing of them need be there.
pub fn check_spared(inputs: &[PathBuf], outputs: &[PathBuf]) -> Result<(), FileError> {
    targets_beside(inputs, outputs).map(drop)
}

/// The same, and refuses outputs in a Zarr array, and those that are the same as another output or in it.
pub fn check_outputs(inputs: &[PathBuf], outputs: &[PathBuf]) -> Result<(), FileError> {
    let targets = targets_beside(inputs, outputs)?;
    for (at, (path, target)) in targets.iter().enumerate() {
        let refused = |why: String| FileError::Target { path: path.to_path_buf(), why };
        if let Some(array) = target.folder.ancestors().find(|folder| is_array_of_any_version(folder)) {
            return Err(refused(format!("it is in the Zarr array {}: choose another name", array.display())));
        }
        let meets =
            |(_, other): &&(&PathBuf, Target)| target.touches(&other.place) || other.touches(&target.place);
        if let Some((other, _)) = targets[..at].iter().find(meets) {
            let why = format!(
                "{} is written there, and results and the report need names of their own",
                other.display()
            );
            return Err(refused(why));
        }
    }
    Ok(())
}

/// Where outputs go that spare the inputs.
fn targets_beside<'a>(
    inputs: &[PathBuf],
    outputs: &'a [PathBuf],
) -> Result<Vec<(&'a PathBuf, Target)>, FileError> {
    // What is gone meanwhile is not overwritten.
    let inputs: Vec<(&PathBuf, ResolvedPath)> =
        inputs.iter().filter_map(|path| Some((path, ResolvedPath::of_existing(path).ok()?))).collect();
    let beside = |path: &'a PathBuf| {
        let target = Target::of(path)?;
        let refused = |how: &str, input: &Path| {
            let why = format!("it is {how}{}, which this run reads: choose another name", input.display());
            Err(FileError::Target { path: path.clone(), why })
        };
        if let Some((input, _)) = inputs.iter().find(|(_, place)| target.place == *place) {
            return refused("", input);
        }
        if let Some((input, _)) = inputs.iter().find(|(_, place)| target.around.contains(place)) {
            return refused("in ", input);
        }
        Ok((path, target))
    };
    outputs.iter().map(beside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Each output alone, with these inputs.
    fn refused(inputs: &[&PathBuf], output: &Path) -> bool {
        let inputs: Vec<PathBuf> = inputs.iter().map(|path| path.to_path_buf()).collect();
        check_outputs(&inputs, &[output.into()]).is_err()
    }

    #[test]
    fn an_input_is_known_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let input = path("a.npy");
        fs::write(&input, "").unwrap();
        fs::create_dir(path("in")).unwrap();
        symlink("a.npy", path("link")).unwrap();
        symlink("..", path("in/up")).unwrap();
        fs::hard_link(&input, path("hard")).unwrap();
        for name in ["a.npy", "link", "in/../a.npy", "in/up/a.npy", "new/../a.npy", "./in/up/link", "hard"] {
            assert!(refused(&[&input], &path(name)), "{name}");
            assert!(refused(&[&path("link")], &path(name)), "{name} of the link");
        }
        for name in ["b.npy", "in/a.npy", "new/a.npy"] {
            assert!(!refused(&[&input], &path(name)), "{name}");
        }
    }

    #[test]
    fn nothing_goes_into_an_array() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (input, other) = (path("a.zarr"), path("other"));
        for array in [&input, &other] {
            fs::create_dir_all(array.join("c")).unwrap();
            fs::write(array.join("zarr.json"), r#"{"zarr_format": 3, "node_type": "array"}"#).unwrap();
        }
        symlink("a.zarr/c", path("link")).unwrap();
        for name in
            ["a.zarr", "a.zarr/b.npy", "a.zarr/zarr.json", "a.zarr/new/b.npy", "link/b.npy", "other/c/b.npy"]
        {
            assert!(refused(&[&input], &path(name)), "{name}");
        }
        assert!(!refused(&[&input], &other), "an array that is not read is replaced");
        fs::create_dir(path("version_2")).unwrap();
        fs::write(path("version_2/.zarray"), "{}").unwrap();
        assert!(refused(&[], &path("version_2/b.npy")));
    }

    #[test]
    fn outputs_differ_whether_they_are_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("there"), "").unwrap();
        symlink("there", path("link")).unwrap();
        symlink("new", path("dangling")).unwrap();
        let same = [
            ("there", "link"),
            ("new", "dangling"),
            ("new", "x/../new"),
            ("new/deep", "new/x/../deep"),
            ("new.zarr", "new.zarr/report.json"),
            ("new.zarr/report.json", "new.zarr"),
        ];
        for (a, b) in same {
            assert!(check_outputs(&[], &[path(a), path(b)]).is_err(), "{a} and {b}");
        }
        for (a, b) in [("there", "new"), ("new/a", "new/b"), ("new", "newer/a")] {
            check_outputs(&[], &[path(a), path(b)]).unwrap();
        }
    }
}
