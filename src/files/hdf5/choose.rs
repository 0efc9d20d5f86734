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
    let all = all_below(file);
    let open = |path: &String| match file.dataset(path) {
        Ok(dataset) => Ok((dataset, path.clone())),
        Err(error) => {
            let whole = format!("{}:{path}", name.file.display()).into();
            let there = all.iter().any(|one| one.trim_start_matches('/') == path.trim_matches('/'));
            Err(match there {
                true => FileError::NotHdf5 { path: whole, why: error.to_string().replace('\n', " ") },
                false => FileError::NoDataset { path: whole, hint: hint(&name.file, &all) },
            })
        }
    };
    if let Some(path) = &name.dataset {
        return open(path);
    }
    let is_matrix = |path: &String| {
        file.dataset(path).is_ok_and(|found| matches!(found.ndim(), 1 | 2) && dtype(&found).is_ok())
    };
    let matrices: Vec<String> = all.iter().filter(|path| is_matrix(path)).cloned().collect();
    // A single dataset that is no matrix is opened too: whoever looks at it says what is wrong with it.
    match (&matrices[..], &all[..]) {
        ([only], _) | ([], [only]) => open(only),
        _ => {
            let shown = if matrices.is_empty() { &all } else { &matrices };
            Err(FileError::Ambiguous { path: name.file.clone(), hint: hint(&name.file, shown) })
        }
    }
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
