//! The files that a pattern means, as a shell finds them, but all of them: where something cannot be looked into,
//! nobody knows what is missing, and that is an error.

use super::error::FileError;
use glob::{MatchOptions, Pattern};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// As shells and Python have it: a name that begins with a dot is meant only by a pattern that does.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
/// Where the characters begin that stand for bytes which are not UTF-8. They are for private use.
const STRAY: u32 = 0x10_ff00;

/// One component of a pattern.
enum Step {
    /// A name, or the way up.
    Name(OsString),
    /// Each name like this.
    Each(Pattern),
    /// This folder and all below it, but for hidden ones.
    Below,
}

/// True if `name` has a character with a meaning in patterns.
pub(super) fn is_pattern(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// All that `pattern` means, in no order.
pub(super) fn matches(pattern: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut steps = Vec::new();
    for component in pattern.components() {
        steps.push(
            Step::of(component.as_os_str())
                .map_err(|why| FileError::Pattern { pattern: pattern.into(), why: why.to_string() })?,
        );
    }
    let mut places = vec![PathBuf::new()];
    for (at, step) in steps.iter().enumerate() {
        let is_last = at + 1 == steps.len();
        let mut next = Vec::new();
        for place in &places {
            step.from(place, is_last, &mut next)?;
        }
        places = next;
    }
    Ok(places)
}

impl Step {
    fn of(name: &OsStr) -> Result<Step, glob::PatternError> {
        Ok(match is_pattern(name) {
            false => Step::Name(name.into()),
            true if name == "**" => Step::Below,
            true => Step::Each(Pattern::new(&with_negations(&text(name)))?),
        })
    }

    /// Adds where this step leads from `place`: to anything if it is the last one, else to folders.
    fn from(&self, place: &Path, is_last: bool, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
        match self {
            Step::Name(name) => {
                let path = place.join(name);
                if is_there(&path)? && (is_last || is_folder(&path)?) {
                    found.push(path);
                }
            }
            Step::Each(pattern) => {
                for name in names(place)?.iter().filter(|name| pattern.matches_with(&text(name), OPTIONS)) {
                    let path = place.join(name);
                    if is_last || is_folder(&path)? {
                        found.push(path);
                    }
                }
            }
            Step::Below => below(place, &mut Vec::new(), found)?,
        }
        Ok(())
    }
}

/// `[^a]` as `[!a]`: to shells they are the same.
fn with_negations(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find('[') {
        let (before, class) = rest.split_at(at + 1);
        out.push_str(before);
        let inside = class.strip_prefix(['!', '^']);
        if inside.is_some() {
            out.push('!');
        }
        let inside = inside.unwrap_or(class);
        // A bracket that comes first does not end it.
        let first = inside.chars().next().map_or(0, char::len_utf8);
        let end = inside[first..].find(']').map_or(inside.len(), |end| first + end + 1);
        out.push_str(&inside[..end]);
        rest = &inside[end..];
    }
    out + rest
}

/// The text that patterns are compared with: characters where a name is UTF-8, and a character for each other byte.
fn text(name: &OsStr) -> String {
    let stray = |byte: &u8| char::from_u32(STRAY + u32::from(*byte)).expect("a character for private use");
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(stray));
    }
    text
}

fn unknown(path: &Path) -> impl Fn(io::Error) -> FileError {
    move |error| FileError::Hidden { path: path.into(), error }
}

fn names(folder: &Path) -> Result<Vec<OsString>, FileError> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(here).map_err(unknown(here))?;
    entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(unknown(here))).collect()
}

/// A link counts, whether or not there is something behind it.
fn is_there(path: &Path) -> Result<bool, FileError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(unknown(path)(error)),
    }
}

/// Of something that is there: a link to nothing may have been a link to a folder of files.
fn is_folder(path: &Path) -> Result<bool, FileError> {
    fs::metadata(path).map(|about| about.is_dir()).map_err(unknown(path))
}

/// Adds a folder and all below it. Links are followed; one that leads back to a folder `above` adds nothing.
fn below(folder: &Path, above: &mut Vec<(u64, u64)>, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let about = fs::metadata(here).map_err(unknown(here))?;
    let identity = (about.dev(), about.ino());
    if above.contains(&identity) {
        return Ok(());
    }
    above.push(identity);
    found.push(folder.into());
    for name in names(folder)?.iter().filter(|name| !name.as_bytes().starts_with(b".")) {
        let path = folder.join(name);
        let is_link = fs::symlink_metadata(&path).map_err(unknown(&path))?.is_symlink();
        // A link to nothing is no folder: what the pattern names in it is not missing.
        if fs::metadata(&path).map_or(!is_link, |about| about.is_dir()) {
            below(&path, above, found)?;
        }
    }
    above.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_shells_negate_are_negated() {
        let cases = [
            ("[^a]x", "[!a]x"),
            ("[!a]", "[!a]"),
            ("a[b^]^[^]]", "a[b^]^[!]]"),
            ("[[^]", "[[^]"),
            ("[^", "[!"),
            ("x^*", "x^*"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(with_negations(pattern), expected);
        }
    }
}
