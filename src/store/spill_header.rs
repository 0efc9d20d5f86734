//! The first page of a spill file: what the block is, how it is stored, and checksums that betray every change. Bytes
//! in, struct out.

use super::spill_key::SpillKey;
use crate::array::Element;
use crate::ids::{BlockId, RunId, StageId};
use cluster::codec::Encoding;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a header: a page, so that what follows is aligned for direct I/O.
pub(crate) const HEADER: usize = 4096;
const MAGIC: [u8; 8] = *b"DOLSPILL";
const VERSION: u32 = 1;
/// Where the header's own checksum stands, over all before it.
const CHECKSUM_AT: usize = HEADER - 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SpillHeader {
    pub key: SpillKey,
    pub element: Element,
    pub rows: u64,
    pub cols: u64,
    pub encoding: Encoding,
    /// Bytes behind the header, without what fills the last page.
    pub stored_bytes: u64,
    /// xxh3 over the block's bytes as they are in memory.
    pub checksum: u64,
}

impl SpillHeader {
    pub fn raw_bytes(&self) -> Option<u64> {
        self.rows.checked_mul(self.cols)?.checked_mul(self.element.bytes())
    }

    /// Fills a page.
    pub fn write(&self, page: &mut [u8]) {
        page.fill(0);
        let raw_bytes = self.raw_bytes().expect("the size of a block in memory");
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            page[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&MAGIC);
        put(&VERSION.to_le_bytes());
        put(&[element_code(self.element), encoding_code(self.encoding), 0, 0]);
        put(&self.key.run.0.to_le_bytes());
        put(&self.key.block.stage.0.to_le_bytes());
        put(&self.key.block.index.to_le_bytes());
        for number in [self.rows, self.cols, raw_bytes, self.stored_bytes, self.checksum] {
            put(&number.to_le_bytes());
        }
        seal(page);
    }

    /// Reads a page. Errors say what is wrong with it.
    pub fn read(page: &[u8]) -> Result<SpillHeader, &'static str> {
        let u32_at = |at: usize| u32::from_le_bytes(page[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().expect("eight bytes"));
        if page.len() != HEADER || page[..8] != MAGIC {
            return Err("it is no spill file");
        } else if u64_at(CHECKSUM_AT) != xxh3_64(&page[..CHECKSUM_AT]) {
            return Err("its header was changed");
        } else if u32_at(8) != VERSION {
            return Err("another version of dolmen wrote it");
        }
        let header = SpillHeader {
            key: SpillKey { run: RunId(u64_at(16)), block: BlockId::new(StageId(u32_at(24)), u32_at(28)) },
            element: element(page[12]).ok_or("its element type is unknown")?,
            encoding: encoding(page[13]).ok_or("its encoding is unknown")?,
            rows: u64_at(32),
            cols: u64_at(40),
            stored_bytes: u64_at(56),
            checksum: u64_at(64),
        };
        if header.raw_bytes() == Some(u64_at(48)) {
            Ok(header)
        } else {
            Err("its sizes contradict each other")
        }
    }
}

/// Puts the checksum behind a header.
pub(crate) fn seal(page: &mut [u8]) {
    let checksum = xxh3_64(&page[..CHECKSUM_AT]);
    page[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
}

fn element_code(element: Element) -> u8 {
    element.bytes() as u8
}

fn element(code: u8) -> Option<Element> {
    [Element::F32, Element::F64].into_iter().find(|element| element_code(*element) == code)
}

fn encoding_code(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::Raw => 0,
        Encoding::Zstd => 1,
        Encoding::ShuffledZstd => 2,
    }
}

fn encoding(code: u8) -> Option<Encoding> {
    [Encoding::Raw, Encoding::Zstd, Encoding::ShuffledZstd]
        .into_iter()
        .find(|encoding| encoding_code(*encoding) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_every_flipped_bit_is_noticed() {
        let header = SpillHeader {
            key: SpillKey { run: RunId(3), block: BlockId::new(StageId(4), 5) },
            element: Element::F32,
            rows: 100,
            cols: 7,
            encoding: Encoding::ShuffledZstd,
            stored_bytes: 1234,
            checksum: 0xfeed_face_dead_beef,
        };
        let mut page = vec![1; HEADER];
        header.write(&mut page);
        assert_eq!(SpillHeader::read(&page), Ok(header));
        for bit in 0..HEADER * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            assert!(SpillHeader::read(&page).is_err(), "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
