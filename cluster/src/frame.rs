//! The header of a frame on the wire. A frame is this header, a message of at most 64 MiB and a payload of any length.
//!
//! All numbers are little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | [`MAGIC`] |
//! | 4..6 | [`VERSION`] |
//! | 6..8 | [`Flags`] |
//! | 8..12 | length of the message |
//! | 12..16 | zero, for later |
//! | 16..24 | length of the payload |
//! | 24..32 | XXH3-64 [`checksum`] of the payload as it travels |
//!
//! The payload starts at a multiple of 8 bytes only if the message's length is one; who receives into an aligned buffer
//! reads header and message first. Nothing is allocated here: a hostile header costs the 32 bytes that it is.
//!
//! XXH3 and not a CRC: blocks are gigabytes, 64 bits leave no doubt at that size, and it runs at memory speed without
//! special instructions. It finds accidents, not forgers; those are TLS's matter.

/// First bytes of each frame: `DLMN`.
pub const MAGIC: [u8; 4] = *b"DLMN";
/// Version of the header's layout. Peers of different versions do not talk.
pub const VERSION: u16 = 1;
/// Longest message: it is held whole and decoded, so its length is not for a stranger to choose.
pub const MAX_MESSAGE: u32 = 64 << 20;

/// What is special about a frame's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// The payload is as it lies in memory.
    pub const NONE: Flags = Flags(0);
    /// The payload is compressed with zstd.
    pub const ZSTD: Flags = Flags(1);
    /// The bytes of the payload's elements were transposed before compression.
    pub const SHUFFLED: Flags = Flags(2);
    const KNOWN: u16 = 3;

    /// These flags and those of `other`.
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a receiver must know before it takes the rest of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// How the payload travels.
    pub flags: Flags,
    /// Bytes of the message, at most [`MAX_MESSAGE`].
    pub message_len: u32,
    /// Bytes of the payload that follow the message. Not bounded here: whoever reserves the buffer does it.
    pub payload_len: u64,
    /// [`checksum`] of those bytes; that of nothing if there are none.
    pub payload_checksum: u64,
}

/// Why bytes are not a frame of ours. None can be repaired: the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The peer speaks something else.
    #[error("not a dolmen frame: it starts with {0:02x?}; is the port right?")]
    Magic([u8; 4]),
    /// The peer is of another version.
    #[error("frame version {0}, this program speaks {VERSION}: run the same release on both ends")]
    Version(u16),
    /// A flag that this version does not know.
    #[error("unknown frame flags {0:#06x}: run the same release on both ends")]
    UnknownFlags(u16),
    /// The reserved bytes are not zero.
    #[error("reserved bytes of the frame are {0:#010x}, not zero: run the same release on both ends")]
    Reserved(u32),
    /// A message longer than [`MAX_MESSAGE`].
    #[error("a message of {0} bytes, more than the {MAX_MESSAGE} allowed: send it as payload or in parts")]
    MessageTooLong(u32),
    /// FrameHeader, message and payload together do not fit into 64 bits.
    #[error("a payload of {0} bytes cannot exist")]
    PayloadTooLong(u64),
    /// The payload is not what was sent.
    #[error("payload checksum {found:#018x}, sent was {sent:#018x}: it was damaged on its way")]
    Checksum {
        /// As the header says.
        sent: u64,
        /// Of the bytes that arrived.
        found: u64,
    },
}

impl FrameHeader {
    /// The header of a frame with this message length and payload. O(payload) for the checksum.
    ///
    /// # Errors
    /// If the message is longer than [`MAX_MESSAGE`].
    pub fn new(flags: Flags, message_len: usize, payload: &[u8]) -> Result<FrameHeader, FrameError> {
        let message_len = u32::try_from(message_len).unwrap_or(u32::MAX);
        let payload_len = payload.len() as u64;
        let payload_checksum = checksum(payload);
        FrameHeader { flags, message_len, payload_len, payload_checksum }.checked()
    }

    /// Bytes of every header.
    pub const fn required_bytes() -> usize {
        32
    }

    /// The header at the start of `bytes`, or `None` if more bytes are needed to tell. O(1).
    ///
    /// # Errors
    /// As soon as the bytes at hand cannot start a frame, even if they are fewer than a header's.
    pub fn try_read(bytes: &[u8]) -> Result<Option<FrameHeader>, FrameError> {
        let seen = bytes.len().min(MAGIC.len());
        if bytes[..seen] != MAGIC[..seen] {
            let mut found = [0; 4];
            found[..seen].copy_from_slice(&bytes[..seen]);
            return Err(FrameError::Magic(found));
        }
        let Some(bytes) = bytes.first_chunk::<{ FrameHeader::required_bytes() }>() else { return Ok(None) };
        match u16::from_le_bytes(field(bytes, 4)) {
            VERSION => {}
            other => return Err(FrameError::Version(other)),
        }
        let flags = u16::from_le_bytes(field(bytes, 6));
        if flags & !Flags::KNOWN != 0 {
            return Err(FrameError::UnknownFlags(flags));
        }
        match u32::from_le_bytes(field(bytes, 12)) {
            0 => {}
            other => return Err(FrameError::Reserved(other)),
        }
        let header = FrameHeader {
            flags: Flags(flags),
            message_len: u32::from_le_bytes(field(bytes, 8)),
            payload_len: u64::from_le_bytes(field(bytes, 16)),
            payload_checksum: u64::from_le_bytes(field(bytes, 24)),
        };
        header.checked().map(Some)
    }

    /// Writes the header to the first [`FrameHeader::required_bytes`] of `out`. O(1).
    ///
    /// # Panics
    /// If `out` is shorter than that.
    pub fn write_to(&self, out: &mut [u8]) {
        let out =
            out.first_chunk_mut::<{ FrameHeader::required_bytes() }>().expect("room for a whole header");
        out[0..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[6..8].copy_from_slice(&self.flags.0.to_le_bytes());
        out[8..12].copy_from_slice(&self.message_len.to_le_bytes());
        out[12..16].copy_from_slice(&0u32.to_le_bytes());
        out[16..24].copy_from_slice(&self.payload_len.to_le_bytes());
        out[24..32].copy_from_slice(&self.payload_checksum.to_le_bytes());
    }

    /// Bytes of the whole frame. Fits: a header that could overflow is refused when it is made or read.
    pub fn frame_len(&self) -> u64 {
        FrameHeader::required_bytes() as u64 + u64::from(self.message_len) + self.payload_len
    }

    /// Whether `payload`, as it arrived, is what was sent. O(payload).
    ///
    /// # Errors
    /// If it is not.
    pub fn verify(&self, payload: &[u8]) -> Result<(), FrameError> {
        match checksum(payload) {
            found if found == self.payload_checksum => Ok(()),
            found => Err(FrameError::Checksum { sent: self.payload_checksum, found }),
        }
    }

    fn checked(self) -> Result<FrameHeader, FrameError> {
        if self.message_len > MAX_MESSAGE {
            return Err(FrameError::MessageTooLong(self.message_len));
        }
        if self.payload_len > u64::MAX - u64::from(MAX_MESSAGE) - FrameHeader::required_bytes() as u64 {
            return Err(FrameError::PayloadTooLong(self.payload_len));
        }
        Ok(self)
    }
}

/// XXH3 of 64 bits with seed 0: the one checksum for payloads on the wire.
pub fn checksum(payload: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(payload)
}

fn field<const N: usize>(bytes: &[u8; FrameHeader::required_bytes()], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("fields lie inside the header")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, for_seeds};

    fn bytes_of(header: &FrameHeader) -> [u8; 32] {
        let mut out = [0xEE; 32];
        header.write_to(&mut out);
        out
    }

    fn any_header(random: &mut Random) -> FrameHeader {
        FrameHeader {
            flags: Flags(random.below(4) as u16),
            message_len: random.below(u64::from(MAX_MESSAGE) + 1) as u32,
            payload_len: random.next() >> random.below(64).max(1),
            payload_checksum: random.next(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_every_prefix_asks_for_more() {
        for_seeds(1000, |random| {
            let header = any_header(random);
            let bytes = bytes_of(&header);
            assert_eq!(FrameHeader::try_read(&bytes), Ok(Some(header)));
            let cut = random.below(32) as usize;
            assert_eq!(FrameHeader::try_read(&bytes[..cut]), Ok(None), "cut at {cut}");
            assert_eq!(header.frame_len(), 32 + u64::from(header.message_len) + header.payload_len);
        });
    }

    #[test]
    fn hostile_bytes_are_read_back_the_same_or_refused() {
        for_seeds(20_000, |random| {
            let mut bytes = bytes_of(&any_header(random));
            for _ in 0..=random.below(3) {
                bytes[random.below(32) as usize] ^= 1 << random.below(8);
            }
            if let Ok(Some(header)) = FrameHeader::try_read(&bytes) {
                assert_eq!(bytes_of(&header), bytes);
                assert!(header.message_len <= MAX_MESSAGE && header.frame_len() >= 32);
            }
        });
    }

    #[test]
    fn noise_is_refused_without_a_whole_header() {
        assert_eq!(FrameHeader::try_read(b"GET / HTTP/1.1"), Err(FrameError::Magic(*b"GET ")));
        assert_eq!(FrameHeader::try_read(b"DX"), Err(FrameError::Magic([b'D', b'X', 0, 0])));
        assert_eq!(FrameHeader::try_read(b""), Ok(None));
    }

    #[test]
    fn each_field_has_its_error() {
        let good = FrameHeader::new(Flags::ZSTD.with(Flags::SHUFFLED), 7, b"payload").unwrap();
        let with = |at: usize, value: &[u8]| {
            let mut bytes = bytes_of(&good);
            bytes[at..at + value.len()].copy_from_slice(value);
            FrameHeader::try_read(&bytes).unwrap_err()
        };
        assert_eq!(with(4, &2u16.to_le_bytes()), FrameError::Version(2));
        assert_eq!(with(6, &4u16.to_le_bytes()), FrameError::UnknownFlags(4));
        assert_eq!(with(8, &(MAX_MESSAGE + 1).to_le_bytes()), FrameError::MessageTooLong(MAX_MESSAGE + 1));
        assert_eq!(with(12, &[1]), FrameError::Reserved(1));
        assert_eq!(with(16, &u64::MAX.to_le_bytes()), FrameError::PayloadTooLong(u64::MAX));
        let longest = u64::MAX - u64::from(MAX_MESSAGE) - 32;
        assert_eq!(with(16, &(longest + 1).to_le_bytes()), FrameError::PayloadTooLong(longest + 1));
        let header = FrameHeader { payload_len: longest, ..good };
        assert_eq!(FrameHeader::try_read(&bytes_of(&header)), Ok(Some(header)));
        assert!(FrameHeader::new(Flags::NONE, MAX_MESSAGE as usize, &[]).is_ok());
        assert!(FrameHeader::new(Flags::NONE, MAX_MESSAGE as usize + 1, &[]).is_err());
        assert!(FrameHeader::new(Flags::NONE, usize::MAX, &[]).is_err());
    }

    #[test]
    fn a_flipped_bit_of_the_payload_is_found() {
        for_seeds(200, |random| {
            let mut payload: Vec<u8> = (0..=random.below(4096)).map(|_| random.next() as u8).collect();
            let header = FrameHeader::new(Flags::NONE, 0, &payload).unwrap();
            assert_eq!(header.verify(&payload), Ok(()));
            let at = random.below(payload.len() as u64) as usize;
            payload[at] ^= 1 << random.below(8);
            assert!(matches!(header.verify(&payload), Err(FrameError::Checksum { .. })));
        });
    }

    /// The format is a promise: other versions of this program must read it.
    #[test]
    fn the_bytes_of_a_known_frame_never_change() {
        let header = FrameHeader::new(Flags::ZSTD, 5, b"dolmen").unwrap();
        assert_eq!(checksum(b""), 0x2d06_8005_38d3_94c2, "XXH3's published value for no bytes");
        assert_eq!(&bytes_of(&header)[..24], b"DLMN\x01\0\x01\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0");
    }
}
