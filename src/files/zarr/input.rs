//! Reads a Zarr array by blocks: any rows, any columns, any order, from many threads at once.

use super::decode::Decoder;
use super::metadata::{self, Metadata, NAME};
use super::part::Part;
use super::seen::{ChunkFile, Seen};
use super::window::windows;
use crate::array::Element;
use crate::data::{Chunks, InputFormat, InputSpec, ReadBlocks, Real, Region};
use crate::files::unchanged::Identity;
use crate::files::{FileError, Moved};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a scratch buffer: rows of a chunk are read together up to here.
const SCRATCH: u64 = 1 << 20;
/// Parts of rows that are longer than this are read one by one, straight into the block.
const WORTH_A_READ: u64 = 1 << 12;

/// A Zarr array as a matrix. A vector is one column.
pub struct ZarrInput {
    path: PathBuf,
    about: Metadata,
    decoder: Decoder,
    /// Of the metadata.
    identity: Option<Identity>,
    seen: Seen,
}

impl ZarrInput {
    /// Reads and checks the metadata; no chunk is opened.
    pub fn open(path: &Path) -> Result<ZarrInput, FileError> {
        let identity = metadata::identity(path)?;
        let node = metadata::array(path)?;
        let about = Metadata::of(path, &node)?;
        let decoder = Decoder::open(path, &about, node)?;
        Ok(ZarrInput { path: path.into(), about, decoder, identity, seen: Seen::default() })
    }

    /// (rows, columns)
    pub fn shape(&self) -> (u64, u64) {
        self.about.shape
    }

    /// The type that the matrix is computed in.
    pub fn element(&self) -> Element {
        self.about.element()
    }

    /// True if f32 would round none of it.
    pub fn is_narrow(&self) -> bool {
        self.about.is_narrow()
    }
}

impl ReadBlocks for ZarrInput {
    type Error = FileError;

    /// Where chunks are decoded this counts what the library allocates by itself, so that the limit on memory covers
    /// it.
    fn scratch_len(&self, rows: u64, cols: u64) -> u64 {
        if !self.about.plain {
            return self.decoder.scratch_len();
        }
        let size = self.about.dtype.bytes();
        let (height, width) = (rows.min(self.about.chunk.0), cols.min(self.about.chunk.1));
        (width * size).max(SCRATCH.min(height * self.about.chunk.1 * size))
    }

    /// Each chunk is opened once.
    fn read_block<T: Real>(&self, region: &Region, out: &mut [T], scratch: &mut [u8]) -> Moved {
        region.check(self.shape(), out.len());
        let stride = region.width() as usize;
        let mut bytes = 0;
        for window in windows(region, self.about.chunk) {
            let tile = window.tile;
            let out = &mut out[window.first..];
            let mut part = Part { window, out, stride, dtype: self.about.dtype };
            let Some(chunk) = self.seen.open(tile, self.decoder.file_of(tile))? else {
                part.fill(self.decoder.fill());
                continue;
            };
            bytes += if self.about.plain {
                self.read_plain(&chunk, &mut part, scratch)?
            } else {
                self.decoder.read(&chunk, &mut part, scratch)?
            };
        }
        Ok(bytes)
    }

    /// A chunk, or what can be read of it by itself. Any rows of chunks that are nothing but their elements can be.
    fn chunks(&self) -> Option<Chunks> {
        if self.about.plain {
            return Some(Chunks { shape: self.about.chunk, rows_together: 1 });
        }
        let shape = self.decoder.unit();
        Some(Chunks { shape, rows_together: shape.0 })
    }

    fn place_of(&self, row: u64, col: u64) -> String {
        format!("{}: row {row}, column {col}", self.path.display())
    }

    fn check_same(&self) -> Result<(), FileError> {
        if metadata::identity(&self.path)? != self.identity {
            return Err(FileError::Changed { path: self.path.clone() });
        }
        self.seen.check(|chunk| self.decoder.file_of(chunk))
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    /// Chunks are not in it: each process looks at those that it reads.
    fn as_spec(&self) -> Option<InputSpec> {
        let path = std::path::absolute(&self.path).ok()?;
        let files = vec![self.identity?.spec(&path.join(NAME))?];
        let format = InputFormat::Zarr { path };
        Some(InputSpec { format, files, shape: self.shape(), element: self.element() })
    }
}

impl ZarrInput {
    fn read_plain<T: Real>(&self, chunk: &ChunkFile, part: &mut Part<T>, scratch: &mut [u8]) -> Moved {
        let expected = self.about.chunk_bytes();
        if chunk.bytes != expected {
            return Err(FileError::chunk(
                &chunk.path,
                format!("it has {} bytes, not {expected}", chunk.bytes),
            ));
        }
        self.read_rows(&chunk.file, part, scratch).map_err(|error| chunk.failed(error))
    }

    fn read_rows<T: Real>(&self, file: &File, part: &mut Part<T>, scratch: &mut [u8]) -> io::Result<u64> {
        let size = self.about.dtype.bytes();
        let height = part.height();
        let shown = part.window.part.clone();
        let (stride, segment) = (self.about.chunk.1 * size, part.width() * size);
        let place = |row: u64| (shown.rows.start + row) * stride + shown.cols.start * size;
        if part.is_native() {
            if segment == stride && part.width() as usize == part.stride {
                let all = &mut part.out[..(height * shown.width()) as usize];
                file.read_exact_at(T::bytes_mut(all), place(0))?;
                return Ok(height * segment);
            }
            if segment >= WORTH_A_READ || segment == stride {
                for row in 0..height {
                    file.read_exact_at(T::bytes_mut(part.row(row)), place(row))?;
                }
                return Ok(height * segment);
            }
        }
        // Short parts of rows, and other types: several rows together, with what lies between.
        let together = ((scratch.len() as u64).saturating_sub(segment) / stride + 1).min(height);
        let (mut row, mut total) = (0, 0);
        while row < height {
            let count = together.min(height - row);
            let bytes = &mut scratch[..((count - 1) * stride + segment) as usize];
            file.read_exact_at(bytes, place(row))?;
            for at in 0..count {
                let from = (at * stride) as usize;
                part.put(row + at, &bytes[from..from + segment as usize]);
            }
            total += bytes.len() as u64;
            row += count;
        }
        Ok(total)
    }
}
