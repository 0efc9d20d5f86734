//! Finds the dataset that is meant.

use super::dtype::dtype;
use super::name::DatasetName;
use crate::files::FileError;
use hdf5_metno::{Dataset, File, Group, LinkType, LocationType};
use std::path::Path;

/// So many datasets are looked for, and so many of them are named.
const MOST_DATASETS: usize = 10_000;
const MOST_NAMES: usize = 8;
/// Groups below groups; hard links may go round in circles.
const DEEPEST: usize = 8;

/// The dataset and its path within the file.
pub(super) fn choose(file: &File, name: &DatasetName) -> Result<(Dataset, String), FileError> {
    if let Some(path) = &name.dataset {
        return match file.dataset(path) {
            Ok(dataset) => Ok((dataset, path.clone())),
            Err(_) => {
                let whole = Path::new(&format!("{}:{path}", name.file.display())).to_path_buf();
                Err(FileError::NoDataset { path: whole, hint: hint(&name.file, &all_below(file)) })
            }
        };
    }
    let all = all_below(file);
    let is_matrix = |path: &String| {
        file.dataset(path).is_ok_and(|found| matches!(found.ndim(), 1 | 2) && dtype(&found).is_ok())
    };
    let matrices: Vec<String> = all.iter().filter(|path| is_matrix(path)).cloned().collect();
    // A single dataset that is no matrix is opened too: whoever looks at it says what is wrong with it.
    let only = match (&matrices[..], &all[..]) {
        ([only], _) | ([], [only]) => Some(only),
        _ => None,
    };
    let opened = only.and_then(|path| Some((file.dataset(path).ok()?, path.clone())));
    opened.ok_or_else(|| {
        let shown = if matrices.is_empty() { &all } else { &matrices };
        FileError::Ambiguous { path: name.file.clone(), hint: hint(&name.file, shown) }
    })
}

/// What to give instead.
fn hint(file: &Path, datasets: &[String]) -> String {
    let shown: Vec<String> =
        datasets.iter().take(MOST_NAMES).map(|path| format!("{}:{path}", file.display())).collect();
    let more = if datasets.len() > MOST_NAMES { ", ..." } else { "" };
    match shown.is_empty() {
        true => "there is no dataset in the file".into(),
        false => format!("give one of its datasets, {}{more}", shown.join(", ")),
    }
}

/// The paths of all datasets, in order of their names.
fn all_below(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    collect(file, "", DEEPEST, &mut found);
    found.sort();
    found
}

fn collect(group: &Group, prefix: &str, levels: usize, found: &mut Vec<String>) {
    let mut names = Vec::new();
    // What cannot be listed is not offered. Soft and external links show what is elsewhere: it is not counted twice.
    let _ = group.iter_visit_default(|name, link| {
        if link.link_type == LinkType::Hard && names.len() < MOST_DATASETS {
            names.push(name.to_string());
        }
        Ok(())
    });
    for name in names {
        let path = format!("{prefix}/{name}");
        match group.loc_type_by_name(&name) {
            Ok(LocationType::Dataset) if found.len() < MOST_DATASETS => found.push(path),
            Ok(LocationType::Group) if levels > 1 => {
                if let Ok(below) = group.group(&name) {
                    collect(&below, &path, levels - 1, found);
                }
            }
            _ => {}
        }
    }
}
