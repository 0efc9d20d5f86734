//! File names and patterns on the command line.

use super::error::FileError;
use super::hdf5::DatasetName;
use super::pattern::{is_pattern, matches};
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The files that `name` means: itself if such a file exists, it is no pattern or it names a dataset in a file; else
/// all matches, with numbers in their names in the order of their values (day2 before day10). Names that begin with a
/// dot are matched only by patterns that do. A folder that cannot be looked into is an error.
pub fn expand(name: &OsStr) -> Result<Vec<PathBuf>, FileError> {
    let path = Path::new(name);
    let is_dataset = DatasetName::of(path).is_some_and(|name| name.dataset.is_some());
    if path.exists() || is_dataset || !is_pattern(name) {
        return Ok(vec![path.into()]);
    }
    let mut found = matches(path)?;
    if found.is_empty() {
        return Err(FileError::NoMatch { pattern: path.into() });
    }
    found.sort_by(|a, b| natural(a.as_os_str().as_bytes(), b.as_os_str().as_bytes()));
    Ok(found)
}

/// Compares names with runs of digits as numbers.
fn natural(a: &[u8], b: &[u8]) -> Ordering {
    pieces(a).cmp(&pieces(b)).then_with(|| a.cmp(b))
}

/// A word and the number behind it, as digits without leading zeros: first their count, then themselves.
fn pieces(name: &[u8]) -> Vec<(&[u8], usize, &[u8])> {
    let mut list = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let (word, tail) = rest.split_at(length_of(rest, |byte| !byte.is_ascii_digit()));
        let (digits, tail) = tail.split_at(length_of(tail, |byte| byte.is_ascii_digit()));
        let number = &digits[length_of(digits, |byte| byte == b'0')..];
        list.push((word, number.len(), number));
        rest = tail;
    }
    list
}

/// How many bytes at the beginning are such.
fn length_of(bytes: &[u8], is_such: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !is_such(*byte)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_the_name_of_a_dataset_are_no_pattern() {
        assert_eq!(expand(OsStr::new("a.h5:/x[1]")).unwrap(), [PathBuf::from("a.h5:/x[1]")]);
        assert!(expand(OsStr::new("nowhere*.h5")).is_err());
    }

    #[test]
    fn numbers_are_in_order() {
        let mut names = vec!["day10.npy", "day2.npy", "day1.npy", "day02b.npy", "a.npy"];
        names.sort_by(|a, b| natural(a.as_bytes(), b.as_bytes()));
        assert_eq!(names, ["a.npy", "day1.npy", "day2.npy", "day02b.npy", "day10.npy"]);
    }

    /// What is found below a folder with these files, without the folder's name.
    fn found(files: &[&[u8]], pattern: &[u8]) -> Vec<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(OsStr::from_bytes(file));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = expand(folder.path().join(OsStr::from_bytes(pattern)).as_os_str()).unwrap_or_default();
        let inside =
            |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().as_os_str().as_bytes().to_vec();
        found.iter().map(inside).collect()
    }

    #[test]
    fn patterns_mean_what_they_mean_to_a_shell() {
        let files: &[&[u8]] = &[
            b"day1.npy",
            b".day2.npy",
            b"day\xff.npy",
            "dayé.npy".as_bytes(),
            b"sub/day4.npy",
            b".git/day5.npy",
        ];
        let expected: &[(&[u8], &[&[u8]])] = &[
            (b"*.npy", &[b"day1.npy", "dayé.npy".as_bytes(), b"day\xff.npy"]),
            (b"day?.npy", &[b"day1.npy", "dayé.npy".as_bytes(), b"day\xff.npy"]),
            (b"day[!0-9].npy", &["dayé.npy".as_bytes(), b"day\xff.npy"]),
            (b"d*\xff.npy", &[b"day\xff.npy"]),
            (b".*.npy", &[b".day2.npy"]),
            (b"*/day?.npy", &[b"sub/day4.npy"]),
            (b"s*/../day1.npy", &[b"sub/../day1.npy"]),
            (b"**/day[1-9].npy", &[b"day1.npy", b"sub/day4.npy"]),
            (b"*/nothing.npy", &[]),
            (b"day1.npy/*", &[]),
        ];
        for (pattern, names) in expected {
            assert_eq!(found(files, pattern), *names, "{}", pattern.escape_ascii());
        }
    }

    #[test]
    fn what_cannot_be_looked_into_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/day1.npy"), "").unwrap();
        for target in ["b", "nowhere"] {
            std::os::unix::fs::symlink(target, folder.path().join("b")).unwrap();
            let error = expand(folder.path().join("*/day*.npy").as_os_str()).unwrap_err().to_string();
            assert!(error.contains("cannot look into") && error.contains("/b:"), "{error}");
            std::fs::remove_file(folder.path().join("b")).unwrap();
        }
    }
}
