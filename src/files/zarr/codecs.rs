//! The compressing codecs and the store of the crate `zarrs`, kept from making or reading more than a chunk can be.

use flate2::read::MultiGzDecoder;
use std::borrow::Cow;
use std::io::Read;
use std::sync::{Arc, Once, OnceLock};
use zarrs::array::codec::api::{
    CodecRuntimePluginV3, PartialDecoderCapability, PartialEncoderCapability, register_codec_v3,
};
use zarrs::array::codec::{GzipCodec, ZstdCodec};
use zarrs::array::{
    ArrayBytesRaw, BytesRepresentation, BytesToBytesCodecTraits, Codec, CodecError, CodecMetadataOptions,
    CodecOptions, CodecTraits, CodecTraitsV3, RecommendedConcurrency,
};
use zarrs::filesystem::FilesystemStore;
use zarrs::metadata::Configuration;
use zarrs::plugin::{ExtensionAliasesV3, ExtensionName, ZarrVersion};
use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator};
use zarrs::storage::{MaybeBytesIterator, ReadableStorageTraits, StorageError, StoreKey};

/// Codecs that say in what they make of a chunk how long that is, and are believed by the library.
#[derive(Clone, Copy, Debug)]
enum Method {
    Zstd,
    Gzip,
    #[cfg(feature = "blosc")]
    Blosc,
}

/// Puts ours in the place of the library's; for all of the process, and once.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        replace::<ZstdCodec>(Method::Zstd);
        replace::<GzipCodec>(Method::Gzip);
        #[cfg(feature = "blosc")]
        replace::<zarrs::array::codec::BloscCodec>(Method::Blosc);
    });
}

fn replace<C: CodecTraitsV3 + ExtensionAliasesV3 + 'static>(method: Method) {
    // Taking the handle out of scope does not take the codec out of the registry.
    let _ = register_codec_v3(CodecRuntimePluginV3::new(C::matches_name, move |metadata| {
        Ok(match C::create(metadata)? {
            Codec::BytesToBytes(inner) => Codec::BytesToBytes(Arc::new(Bounded { method, inner })),
            other => other,
        })
    }));
}

/// A codec of the library that decodes to no more bytes than it should.
#[derive(Debug)]
struct Bounded {
    method: Method,
    inner: Arc<dyn BytesToBytesCodecTraits>,
}

fn too_long(most: u64) -> CodecError {
    CodecError::Other(format!("it decodes to more than the {most} bytes that it should"))
}

/// All that `decoder` yields, in one allocation.
fn read(decoder: impl Read, most: u64) -> Result<Vec<u8>, CodecError> {
    let mut decoded = Vec::with_capacity(most as usize + 1);
    decoder.take(most + 1).read_to_end(&mut decoded)?;
    if decoded.len() as u64 > most { Err(too_long(most)) } else { Ok(decoded) }
}

/// All frames into one allocation.
fn decompress(encoded: &[u8], most: u64) -> Result<Vec<u8>, CodecError> {
    let announced = zstd::zstd_safe::get_frame_content_size(encoded);
    if announced.is_ok_and(|bytes| bytes.is_some_and(|bytes| bytes > most)) {
        return Err(too_long(most));
    }
    zstd::bulk::decompress(encoded, most as usize).map_err(|error| {
        // The library has no other word for it.
        if error.to_string().contains("buffer is too small") { too_long(most) } else { error.into() }
    })
}

impl Bounded {
    fn decode_within<'a>(
        &self,
        encoded: ArrayBytesRaw<'a>,
        representation: &BytesRepresentation,
    ) -> Result<ArrayBytesRaw<'a>, CodecError> {
        let Some(most) = representation.size() else {
            return Err(CodecError::Other("nothing bounds what it decodes to".into()));
        };
        match self.method {
            Method::Zstd => decompress(&encoded, most).map(Cow::Owned),
            Method::Gzip => read(MultiGzDecoder::new(&encoded[..]), most).map(Cow::Owned),
            #[cfg(feature = "blosc")]
            Method::Blosc => {
                // Bytes 4 to 8 of its header are the length of what it decodes to.
                let announced = encoded.get(4..8).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                if announced.is_some_and(|bytes| u64::from(bytes) > most) {
                    return Err(too_long(most));
                }
                self.inner.decode(encoded, representation, &CodecOptions::default().with_concurrent_target(1))
            }
        }
    }
}

impl ExtensionName for Bounded {
    fn name(&self, version: ZarrVersion) -> Option<Cow<'static, str>> {
        self.inner.name(version)
    }
}

impl CodecTraits for Bounded {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn configuration(&self, version: ZarrVersion, options: &CodecMetadataOptions) -> Option<Configuration> {
        self.inner.configuration(version, options)
    }

    fn partial_decoder_capability(&self) -> PartialDecoderCapability {
        PartialDecoderCapability { partial_read: false, partial_decode: false }
    }

    fn partial_encoder_capability(&self) -> PartialEncoderCapability {
        self.inner.partial_encoder_capability()
    }
}

impl BytesToBytesCodecTraits for Bounded {
    fn into_dyn(self: Arc<Self>) -> Arc<dyn BytesToBytesCodecTraits> {
        self
    }

    fn recommended_concurrency(
        &self,
        representation: &BytesRepresentation,
    ) -> Result<RecommendedConcurrency, CodecError> {
        self.inner.recommended_concurrency(representation)
    }

    fn encoded_representation(&self, representation: &BytesRepresentation) -> BytesRepresentation {
        self.inner.encoded_representation(representation)
    }

    fn encode<'a>(
        &self,
        decoded: ArrayBytesRaw<'a>,
        options: &CodecOptions,
    ) -> Result<ArrayBytesRaw<'a>, CodecError> {
        self.inner.encode(decoded, options)
    }

    fn decode<'a>(
        &self,
        encoded: ArrayBytesRaw<'a>,
        representation: &BytesRepresentation,
        _: &CodecOptions,
    ) -> Result<ArrayBytesRaw<'a>, CodecError> {
        self.decode_within(encoded, representation)
    }
}

/// A directory of which no more than so many bytes are read at once: the index of a shard may ask for anything.
pub(super) struct Guarded {
    pub store: FilesystemStore,
    /// Known when the array has been opened.
    pub most: OnceLock<u64>,
}

impl ReadableStorageTraits for Guarded {
    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        ranges: ByteRangeIterator<'a>,
    ) -> Result<MaybeBytesIterator<'a>, StorageError> {
        let Some(most) = self.most.get() else { return self.store.get_partial_many(key, ranges) };
        let ranges: Vec<ByteRange> = ranges.collect();
        let whole = self.store.size_key(key)?.unwrap_or(0);
        let asked = ranges.iter().map(|range| match range {
            ByteRange::FromStart(_, Some(length)) | ByteRange::Suffix(length) => *length,
            ByteRange::FromStart(start, None) => whole.saturating_sub(*start),
        });
        if let Some(asked) = asked.max().filter(|asked| asked > most) {
            return Err(StorageError::Other(format!("{asked} bytes are too many for a chunk in a shard")));
        }
        self.store.get_partial_many(key, Box::new(ranges.into_iter()))
    }

    fn size_key(&self, key: &StoreKey) -> Result<Option<u64>, StorageError> {
        self.store.size_key(key)
    }

    fn supports_get_partial(&self) -> bool {
        self.store.supports_get_partial()
    }
}
