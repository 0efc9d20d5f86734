//! File names and patterns on the command line.

use super::error::FileError;
use super::hdf5::DatasetName;
use std::cmp::Ordering;
use std::path::PathBuf;

/// The files that `pattern` names: itself if such a file exists, it is no pattern or it names a dataset in a file;
/// else all matches, with numbers in their names in the order of their values (day2 before day10).
pub fn expand(pattern: &str) -> Result<Vec<PathBuf>, FileError> {
    let path = PathBuf::from(pattern);
    let is_dataset = DatasetName::of(&path).is_some_and(|name| name.dataset.is_some());
    if path.exists() || is_dataset || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![path]);
    }
    let wrong = |e: glob::PatternError| FileError::Pattern { pattern: pattern.into(), why: e.to_string() };
    let mut found: Vec<PathBuf> = glob::glob(pattern).map_err(wrong)?.filter_map(Result::ok).collect();
    if found.is_empty() {
        return Err(FileError::NoMatch { pattern: pattern.into() });
    }
    found.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
    Ok(found)
}

/// Compares texts with runs of digits as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    pieces(a).cmp(&pieces(b)).then_with(|| a.cmp(b))
}

/// Text and the number behind it, as digits without leading zeros: first their count, then themselves.
fn pieces(text: &str) -> Vec<(&str, usize, &str)> {
    let mut list = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let number = tail[..end].trim_start_matches('0');
        list.push((word, number.len(), number));
        rest = &tail[end..];
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_the_name_of_a_dataset_are_no_pattern() {
        assert_eq!(expand("a.h5:/x[1]").unwrap(), [PathBuf::from("a.h5:/x[1]")]);
        assert!(expand("nowhere*.h5").is_err());
    }

    #[test]
    fn numbers_are_in_order() {
        let mut names = vec!["day10.npy", "day2.npy", "day1.npy", "day02b.npy", "a.npy"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["a.npy", "day1.npy", "day2.npy", "day02b.npy", "day10.npy"]);
    }
}
