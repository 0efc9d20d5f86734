//! How datasets are named: `a.h5:/group/x`, or the file alone if there is one matrix in it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
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
        let name = path.as_os_str().as_bytes();
        let parts = ENDINGS.iter().filter_map(|ending| {
            let colon = [ending.as_bytes(), b":"].concat();
            let at = name.windows(colon.len()).position(|part| part == colon)? + ending.len();
            Some((&name[..at], &name[at + 1..]))
        });
        let file = |name: &[u8]| PathBuf::from(OsStr::from_bytes(name));
        if let Some((name, dataset)) = parts.min_by_key(|(name, _)| name.len()).filter(|_| !path.exists()) {
            let dataset = String::from_utf8_lossy(dataset).into_owned();
            let dataset = Some(dataset).filter(|name| !name.trim_matches('/').is_empty());
            return Some(DatasetName { file: file(name), dataset });
        }
        let is_file = ENDINGS.iter().any(|ending| name.ends_with(ending.as_bytes()));
        is_file.then(|| DatasetName { file: file(name), dataset: None })
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
