//! Chunks that are not plain elements, decoded by the crate `zarrs` on the thread that asks.

use super::codecs::bounded;
use super::metadata::Metadata;
use super::part::Part;
use super::seen::ChunkFile;
use super::store::Shards;
use super::window::windows;
use crate::data::Real;
use crate::files::{FileError, Moved};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Display;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use zarrs::array::{
    Array, ArrayBytes, ArrayShardedExt, ArraySubset, ArrayToBytesCodecTraits, CodecError, CodecOptions,
};
use zarrs::metadata::ArrayMetadata;

/// The library holds so many decoded chunks at once while it decodes one: a codec's input and its output, where
/// the output may have grown into twice the room it needs.
const DECODED_COPIES: u64 = 3;
/// An encoded chunk takes at most an eighth more than its elements, and so many bytes.
const ENCODED_MORE: u64 = 1 << 16;
/// Bytes of the index of a shard for each chunk in it, and those of its checksum.
const INDEX_ENTRY: u64 = 16;
const INDEX_CHECKSUM: u64 = 4;

/// An opened array with its codecs.
pub(super) struct Decoder {
    root: PathBuf,
    array: Array<Shards>,
    options: CodecOptions,
    about: Metadata,
    /// What is decoded at once: a chunk, or where a file is a shard, a chunk in it.
    unit: (u64, u64),
    sharded: bool,
}

impl Decoder {
    /// `node` is the array's metadata.
    pub fn open(root: &Path, about: &Metadata, node: Value) -> Result<Decoder, FileError> {
        let wrong = |why: String| FileError::NotZarr { path: root.into(), why: why.replace('\n', " ") };
        let metadata: ArrayMetadata = serde_json::from_value(node).map_err(|e| wrong(e.to_string()))?;
        let store = Arc::new(Shards { root: root.into(), most: OnceLock::new() });
        let array = Array::new_with_metadata(store.clone(), "/", metadata).map_err(|e| {
            let text = e.to_string();
            let hint = text.contains("blosc") && cfg!(not(feature = "blosc"));
            wrong(if hint { format!("{text}: build with --features blosc") } else { text })
        })?;
        let array = bounded(&array).map_err(|e| wrong(e.to_string()))?;
        let pair = |shape: &[NonZeroU64]| match shape {
            [rows] => (rows.get(), 1),
            [rows, cols] => (rows.get(), cols.get()),
            _ => about.chunk,
        };
        // Behind other codecs a shard is one chunk like any other.
        let inner = array.effective_subchunk_shape().filter(|_| array.is_exclusively_sharded());
        let unit = inner.as_deref().map_or(about.chunk, pair);
        // This thread only: the run has one for each core already.
        let options = CodecOptions::default().with_concurrent_target(1);
        let (root, about, sharded) = (root.into(), about.clone(), inner.is_some());
        let decoder = Decoder { root, array, options, about, unit, sharded };
        store.most.get_or_init(|| decoder.encoded_limit().max(decoder.index_bytes()));
        Ok(decoder)
    }

    pub fn unit(&self) -> (u64, u64) {
        self.unit
    }

    /// The element that missing chunks are made of.
    pub fn fill(&self) -> &[u8] {
        self.array.fill_value().as_ne_bytes()
    }

    /// The file of a chunk; it need not be there.
    pub fn file_of(&self, chunk: (u64, u64)) -> PathBuf {
        self.root.join(self.array.chunk_key(&self.coordinates(chunk)).as_str())
    }

    fn coordinates(&self, (row, col): (u64, u64)) -> Vec<u64> {
        if self.about.vector { vec![row] } else { vec![row, col] }
    }

    fn unit_bytes(&self) -> u64 {
        self.unit.0 * self.unit.1 * self.about.dtype.bytes()
    }

    fn encoded_limit(&self) -> u64 {
        self.unit_bytes() + self.unit_bytes() / 8 + ENCODED_MORE
    }

    /// What reading takes beside the block. Only the encoded chunk lies in the scratch buffer; the rest of it stands
    /// for what the library allocates, which the pool cannot see but must count.
    pub fn scratch_len(&self) -> u64 {
        self.encoded_limit() + DECODED_COPIES * self.unit_bytes() + 2 * self.index_bytes()
    }

    /// Bytes of the index of a shard, if chunks are shards.
    fn index_bytes(&self) -> u64 {
        let in_all = self.about.chunk_bytes() / self.unit_bytes().max(1);
        if self.sharded { INDEX_ENTRY * in_all + INDEX_CHECKSUM } else { 0 }
    }

    /// Reads a part from its chunk's file. Returns the bytes read.
    pub fn read<T: Real>(&self, chunk: &ChunkFile, part: &mut Part<T>, scratch: &mut [u8]) -> Moved {
        if self.sharded {
            return self.read_shard(chunk, part);
        }
        let wrong = |why: &dyn Display| FileError::chunk(&chunk.path, why);
        if chunk.bytes > self.encoded_limit() {
            let why = format!("{} bytes are too many for a chunk of {}", chunk.bytes, self.unit_bytes());
            return Err(wrong(&why));
        }
        let encoded = &mut scratch[..chunk.bytes as usize];
        chunk.file.read_exact_at(encoded, 0).map_err(|error| chunk.failed(error))?;
        let decoded = self.decode(encoded).map_err(|e| wrong(&e))?;
        self.place(decoded, part).map_err(|e| wrong(&e))?;
        Ok(chunk.bytes)
    }

    fn decode<'a>(&self, encoded: &'a [u8]) -> Result<ArrayBytes<'a>, CodecError> {
        let length = |length| NonZeroU64::new(length).expect("chunks are not empty: checked when opened");
        let shape: Vec<NonZeroU64> = self.coordinates(self.about.chunk).into_iter().map(length).collect();
        let (kind, fill) = (self.array.data_type(), self.array.fill_value());
        self.array.codecs().decode(Cow::Borrowed(encoded), &shape, kind, fill, &self.options)
    }

    /// Decodes the chunks in a shard that belong to a part, one after the other.
    fn read_shard<T: Real>(&self, chunk: &ChunkFile, part: &mut Part<T>) -> Moved {
        let path = &chunk.path;
        let window = part.window.clone();
        let coordinates = self.coordinates(window.tile);
        let shard = self
            .array
            .partial_decoder_opt(&coordinates, &self.options)
            .map_err(|e| FileError::chunk(path, e))?;
        let Part { stride, dtype, .. } = *part;
        let in_all = (self.about.chunk_bytes() / self.unit_bytes()).max(1);
        let mut bytes = 0;
        for inner in windows(&window.part, self.unit) {
            let first = (inner.tile.0 * self.unit.0, inner.tile.1 * self.unit.1);
            let ranges = [first.0..first.0 + self.unit.0, first.1..first.1 + self.unit.1];
            let ranges = if self.about.vector { &ranges[..1] } else { &ranges[..] };
            let subset = ArraySubset::new_with_ranges(ranges);
            let decoded =
                shard.partial_decode(&subset, &self.options).map_err(|e| FileError::chunk(path, e))?;
            // The index of its first element counts rows as wide as the window; the block's are wider.
            let row = first.0 + inner.part.rows.start - window.part.rows.start;
            let col = first.1 + inner.part.cols.start - window.part.cols.start;
            let at = row as usize * stride + col as usize;
            let mut piece = Part { window: inner, out: &mut part.out[at..], stride, dtype };
            self.place(decoded, &mut piece).map_err(|e| FileError::chunk(path, e))?;
            bytes += chunk.bytes / in_all;
        }
        Ok(bytes)
    }

    fn place<T: Real>(&self, decoded: ArrayBytes, part: &mut Part<T>) -> Result<(), String> {
        let bytes = decoded.into_fixed().map_err(|e| e.to_string())?;
        if bytes.len() as u64 != self.unit_bytes() {
            return Err(format!("it decodes to {} bytes, not {}", bytes.len(), self.unit_bytes()));
        }
        let size = self.about.dtype.bytes();
        let shown = part.window.part.clone();
        for row in 0..part.height() {
            let start = ((shown.rows.start + row) * self.unit.1 + shown.cols.start) * size;
            part.put(row, &bytes[start as usize..(start + part.width() * size) as usize]);
        }
        Ok(())
    }
}
