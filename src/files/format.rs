//! Formats of results.

use super::error::FileError;
use std::path::Path;

/// How a matrix is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// One file, row by row.
    #[default]
    Npy,
    /// A directory with a file for each block.
    Zarr,
}

/// Endings that a folder of results has not, in capitals or not: those of files, and of Zarr unless it is in small
/// letters.
const OF_NO_FOLDER: [&str; 12] =
    ["npy", "npz", "zarr", "h5", "hdf5", "csv", "tsv", "txt", "json", "mat", "gz", "zip"];

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

impl Format {
    /// The format that the ending of a result's name stands for.
    pub fn of(path: &Path) -> Result<Format, FileError> {
        let formats = [Format::Npy, Format::Zarr];
        formats.into_iter().find(|format| has_ending(path, format.extension())).ok_or_else(|| {
            FileError::Target {
                path: path.into(),
                why: "the ending of its name says how: .npy or .zarr, in small letters".into(),
            }
        })
    }

    /// The format of results in a folder, unless the user says it.
    pub fn in_folder(path: &Path) -> Result<Format, FileError> {
        if has_ending(path, Format::Zarr.extension()) {
            return Ok(Format::Zarr);
        }
        // Of `.zarr` too, which is all ending and no name.
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let found = name.rsplit(|byte| *byte == b'.').next().filter(|found| found.len() < name.len());
        let found = found.unwrap_or_default();
        if path == Path::new("-")
            || OF_NO_FOLDER.iter().any(|ending| found.eq_ignore_ascii_case(ending.as_bytes()))
        {
            let why = "several results need a folder: give a name without such an ending, \
                       or with .zarr in small letters";
            return Err(FileError::Target { path: path.into(), why: why.into() });
        }
        Ok(Format::Npy)
    }

    pub fn extension(self) -> &'static str {
        match self {
            Format::Npy => "npy",
            Format::Zarr => "zarr",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_decides() {
        let of = |name: &str| Format::of(Path::new(name)).ok();
        assert_eq!([of("a.npy"), of("a.b/c.npy")], [Some(Format::Npy); 2]);
        assert_eq!([of("a.zarr"), of("a.zarr/")], [Some(Format::Zarr); 2]);
        for other in ["a", "a.NPY", "a.ZARR", "a.Zarr/", "a.h5", "-", "a.npy.gz", ".npy", "a.", "npy", ""] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn folders_have_all_names_but_those_of_files() {
        let of = |name: &str| Format::in_folder(Path::new(name)).ok();
        assert_eq!([of("a"), of("run.2"), of("."), of("a.npy/b")], [Some(Format::Npy); 4]);
        assert_eq!([of("a.zarr"), of("b/a.zarr/")], [Some(Format::Zarr); 2]);
        assert_eq!([of("a.NPY"), of("a.ZARR"), of("b/a.Zarr/")], [None; 3]);
        assert_eq!([of("a.npy"), of("a.H5"), of("a.csv"), of("a.npy.gz"), of("-")], [None; 5]);
        assert_eq!([of(".zarr"), of("b/.npy"), of("zarr")], [None, None, Some(Format::Npy)]);
    }
}
