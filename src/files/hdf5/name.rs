//! How datasets are named: `a.h5:/group/x`, or the file alone if there is one matrix in it.

use std::path::{Path, PathBuf};

const ENDINGS: [&str; 2] = [".h5", ".hdf5"];

/// A file and, if it was said, the path of a dataset in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatasetName {
    pub file: PathBuf,
    pub dataset: Option<String>,
}

impl DatasetName {
    /// What `path` means if it names an HDF5 file or a dataset in one, which its ending alone decides. A file that is
    /// there under all of the name is no dataset.
    pub fn of(path: &Path) -> Option<DatasetName> {
        let text = path.to_str()?;
        let parts = ENDINGS.iter().filter_map(|ending| {
            let at = text.find(&format!("{ending}:"))? + ending.len();
            Some((&text[..at], &text[at + 1..]))
        });
        if let Some((file, dataset)) = parts.min_by_key(|(file, _)| file.len()).filter(|_| !path.exists()) {
            let dataset = Some(dataset.to_string()).filter(|name| !name.trim_matches('/').is_empty());
            return Some(DatasetName { file: file.into(), dataset });
        }
        let is_file = ENDINGS.iter().any(|ending| text.ends_with(ending));
        is_file.then(|| DatasetName { file: path.into(), dataset: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_decides() {
        let of = |text: &str| DatasetName::of(Path::new(text)).map(|name| (name.file, name.dataset));
        let found = |file: &str, dataset: Option<&str>| Some((file.into(), dataset.map(String::from)));
        assert_eq!(of("a.h5"), found("a.h5", None));
        assert_eq!(of("d/a.hdf5"), found("d/a.hdf5", None));
        assert_eq!(of("a.h5:/g/x"), found("a.h5", Some("/g/x")));
        assert_eq!(of("a.hdf5:x.h5"), found("a.hdf5", Some("x.h5")));
        assert_eq!(of("a.hdf5:/b.h5:/x"), found("a.hdf5", Some("/b.h5:/x")));
        assert_eq!(of("a.h5:/"), found("a.h5", None));
        for other in ["a.npy", "a.zarr", "a.h5.npy", "h5", "a.h5x:/x", "a.h5/x"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
