//! `zarr.json`: what kind of node a directory is, and how the array in it is laid out.

use crate::array::Element;
use crate::files::FileError;
use crate::files::dtype::DType;
use crate::files::unchanged::{self, Identity};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

pub(super) const NAME: &str = "zarr.json";
/// Files that make a directory a node of version 2.
const OLD_NAMES: [&str; 3] = [OLD_ARRAY, ".zgroup", ".zmetadata"];
/// The one that makes it an array.
const OLD_ARRAY: &str = ".zarray";
/// What the metadata of an array may say. Anything else has to be understood, unless it says that it need not be.
const MEMBERS: [&str; 9] = [
    "zarr_format",
    "node_type",
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "fill_value",
    "codecs",
    "storage_transformers",
];
/// What is only told to people. It may be anything.
const UNREAD: [&str; 2] = ["attributes", "dimension_names"];
/// A group names so many of its arrays, found so many levels below it.
const MOST_NAMES: usize = 8;
const DEEPEST: usize = 4;

/// What reading by blocks needs to know of an array.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Metadata {
    pub dtype: DType,
    /// Rows and columns; a vector is one column.
    pub shape: (u64, u64),
    pub vector: bool,
    /// Rows and columns of a chunk. Those at the edges are as large as all others.
    pub chunk: (u64, u64),
    /// Chunks are their elements as this machine has them in memory, row by row.
    pub plain: bool,
}

impl Metadata {
    /// `node` is what [`array`] gives.
    pub fn of(path: &Path, node: &Value) -> Result<Metadata, FileError> {
        let Some(dtype) = node["data_type"].as_str().and_then(dtype) else {
            let dtype =
                node["data_type"].as_str().map_or_else(|| node["data_type"].to_string(), str::to_string);
            return Err(FileError::DType { path: path.into(), dtype });
        };
        let lengths =
            |value: &Value| -> Option<Vec<u64>> { value.as_array()?.iter().map(Value::as_u64).collect() };
        let shape = lengths(&node["shape"]).ok_or_else(|| wrong(path, "its shape is missing"))?;
        let grid = &node["chunk_grid"];
        if grid["name"] != "regular" {
            return Err(wrong(
                path,
                "its chunks are not a regular grid: write it anew with chunks of one shape",
            ));
        }
        let chunk = lengths(&grid["configuration"]["chunk_shape"]).filter(|chunk| !chunk.contains(&0));
        let (shape, chunk, vector) = match (&shape[..], chunk.as_deref()) {
            ([rows], Some([r])) => ((*rows, 1), (*r, 1), true),
            ([rows, cols], Some([r, c])) => ((*rows, *cols), (*r, *c), false),
            ([_] | [_, _], _) => return Err(wrong(path, "its chunk_shape does not go with its shape")),
            _ => return Err(FileError::Dimensions { path: path.into(), dimensions: shape.len() }),
        };
        let bytes = |(rows, cols): (u64, u64)| rows.checked_mul(cols)?.checked_mul(dtype.bytes());
        if bytes(shape).is_none() || bytes(chunk).is_none_or(|bytes| bytes > 1 << 48) {
            return Err(wrong(path, "a shape like this is impossible"));
        }
        Ok(Metadata { dtype, shape, vector, chunk, plain: plain(node, dtype) })
    }

    /// Bytes of a chunk that is not compressed.
    pub fn chunk_bytes(&self) -> u64 {
        self.chunk.0 * self.chunk.1 * self.dtype.bytes()
    }

    /// The type that the matrix is computed in.
    pub fn element(&self) -> Element {
        self.dtype.element()
    }

    pub fn is_narrow(&self) -> bool {
        self.dtype.is_narrow()
    }
}

/// The metadata of an array of ours: uncompressed chunks in C order, little endian.
pub(super) fn write(element: Element, shape: &[u64], chunk: &[u64]) -> String {
    let node = json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": match element {
            Element::F32 => "float32",
            Element::F64 => "float64",
        },
        "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": chunk } },
        "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
        "fill_value": 0.0,
        "codecs": [{ "name": "bytes", "configuration": { "endian": "little" } }],
        "attributes": {},
    });
    format!("{node:#}\n")
}

/// The metadata of the Zarr group of version 3 in this directory, if there is one.
pub(super) fn group(path: &Path) -> Option<Value> {
    node(path).ok().filter(|node| node["node_type"] == "group")
}

/// Is there a Zarr array of version 3 in this directory?
pub(in crate::files) fn is_array(path: &Path) -> bool {
    node(path).is_ok_and(|node| node["node_type"] == "array")
}

/// Is there a Zarr array of any version in this directory?
pub(in crate::files) fn is_array_of_any_version(path: &Path) -> bool {
    is_array(path) || path.join(OLD_ARRAY).exists()
}

fn wrong(path: &Path, why: impl Into<String>) -> FileError {
    FileError::NotZarr { path: path.into(), why: why.into() }
}

/// The metadata of the array in a directory, without what is only told to people.
pub(super) fn array(path: &Path) -> Result<Value, FileError> {
    let mut node = node(path)?;
    match node["node_type"].as_str() {
        Some("array") => {}
        Some("group") => return Err(FileError::Group { path: path.into(), hint: hint(path) }),
        _ => return Err(wrong(path, "its node_type is neither array nor group")),
    }
    if let Some(members) = node.as_object_mut() {
        let must_be_known = |(name, value): &(&String, &Value)| {
            !MEMBERS.contains(&name.as_str()) && value["must_understand"] != false
        };
        if let Some((name, _)) = members.iter().find(must_be_known) {
            return Err(wrong(
                path,
                format!(
                    "its member {name:?} is not known, and may change what it means: write it anew without that"
                ),
            ));
        }
        members.retain(|name, _| MEMBERS.contains(&name.as_str()));
    }
    Ok(node)
}

/// The members of a node, but for what is only told to people.
struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Members, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Map::new();
                while let Some(name) = map.next_key::<String>()? {
                    if UNREAD.contains(&name.as_str()) {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        members.insert(name, map.next_value()?);
                    }
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(All)
    }
}

/// What the file with the metadata is.
pub(super) fn identity(path: &Path) -> Result<Option<Identity>, FileError> {
    let path = path.join(NAME);
    Identity::at(&path).map_err(|error| FileError::Open { path, error })
}

fn node(path: &Path) -> Result<Value, FileError> {
    let mut bytes = Vec::new();
    let read = unchanged::open(&path.join(NAME)).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(|error| match error.kind() {
        ErrorKind::NotFound if OLD_NAMES.iter().any(|name| path.join(name).exists()) => {
            FileError::OldZarr { path: path.into() }
        }
        ErrorKind::NotFound => wrong(path, "this directory has no zarr.json"),
        _ => FileError::Open { path: path.join(NAME), error },
    })?;
    let text = standard(&String::from_utf8_lossy(&bytes));
    let members: Members = serde_json::from_str(&text).map_err(|e| wrong(path, format!("zarr.json: {e}")))?;
    let node = Value::Object(members.0);
    match node["zarr_format"].as_u64() {
        Some(3) => Ok(node),
        Some(2) => Err(FileError::OldZarr { path: path.into() }),
        _ => Err(wrong(path, "its zarr_format is not 3")),
    }
}

/// JSON of what Python writes as such, which may begin with a byte-order mark and has NaN and infinities as bare
/// words. Zarr has them as strings.
fn standard(text: &str) -> String {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = String::with_capacity(rest.len());
    while !rest.is_empty() {
        let is_string = rest.starts_with('"');
        let length = if is_string { string_len(rest) } else { rest.find('"').unwrap_or(rest.len()) };
        let (piece, tail) = rest.split_at(length);
        if is_string {
            out.push_str(piece);
        } else {
            let quoted = piece.replace("NaN", "\"NaN\"").replace("Infinity", "\"Infinity\"");
            out.push_str(&quoted.replace("-\"Infinity\"", "\"-Infinity\""));
        }
        rest = tail;
    }
    out
}

/// Bytes of the string that `text` begins with, quotes included.
fn string_len(text: &str) -> usize {
    let mut is_escaped = false;
    let is_end = |(_, c): &(usize, char)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    };
    text.char_indices().skip(1).find(is_end).map_or(text.len(), |(at, _)| at + 1)
}

fn dtype(name: &str) -> Option<DType> {
    Some(match name {
        "float32" => DType::F32,
        "float64" => DType::F64,
        "bool" => DType::Bool,
        "int8" => DType::Signed(1),
        "int16" => DType::Signed(2),
        "int32" => DType::Signed(4),
        "int64" => DType::Signed(8),
        "uint8" => DType::Unsigned(1),
        "uint16" => DType::Unsigned(2),
        "uint32" => DType::Unsigned(4),
        "uint64" => DType::Unsigned(8),
        _ => return None,
    })
}

fn plain(node: &Value, dtype: DType) -> bool {
    let native = if cfg!(target_endian = "big") { "big" } else { "little" };
    let Some([codec]) = node["codecs"].as_array().map(Vec::as_slice) else { return false };
    let direct = node["storage_transformers"].as_array().is_none_or(Vec::is_empty);
    // A codec without configuration may be its bare name.
    let (name, endian) =
        (codec.as_str().or(codec["name"].as_str()), codec["configuration"]["endian"].as_str());
    direct && name == Some("bytes") && (endian == Some(native) || dtype.bytes() == 1)
}

/// What to give instead of a group.
fn hint(group: &Path) -> String {
    let mut found = Vec::new();
    arrays_below(group, DEEPEST, &mut found);
    found.sort();
    let shown: Vec<String> = found.iter().take(MOST_NAMES).map(|path| path.display().to_string()).collect();
    let more = if found.len() > MOST_NAMES { ", ..." } else { "" };
    match shown.is_empty() {
        true => "there is no array in it".into(),
        false => format!("give one of its arrays, {}{more}", shown.join(", ")),
    }
}

fn arrays_below(folder: &Path, levels: usize, found: &mut Vec<PathBuf>) {
    // What cannot be listed is not offered.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()) {
        if is_array(&path) {
            found.push(path);
        } else if levels > 1 {
            arrays_below(&path, levels - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_python_are_strings_and_strings_stay() {
        let text = "\u{feff}{\"a\": [NaN, -Infinity,Infinity], \"b\": \"NaN \\\" NaN \\\\\", \"c\": NaN}";
        let node: Value = serde_json::from_str(&standard(text)).unwrap();
        let expected = json!({ "a": ["NaN", "-Infinity", "Infinity"], "b": "NaN \" NaN \\", "c": "NaN" });
        assert_eq!(node, expected);
        for cut in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            assert!(serde_json::from_str::<Value>(&standard(&text[..cut])).is_err(), "{cut}");
        }
    }
}
