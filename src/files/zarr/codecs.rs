//! The compressing codecs of the crate `zarrs`, kept from making more than a chunk can be.

use flate2::bufread::GzDecoder;
use std::any::Any;
use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;
use zarrs::array::codec::api::{PartialDecoderCapability, PartialEncoderCapability};
use zarrs::array::codec::{GzipCodec, ShardingCodec, ShardingCodecConfiguration, ZstdCodec};
use zarrs::array::{
    Array, ArrayBytesRaw, ArrayCreateError, ArrayToBytesCodecTraits, BytesRepresentation,
    BytesToBytesCodecTraits, CodecChain, CodecError, CodecMetadataOptions, CodecOptions, CodecTraits,
    RecommendedConcurrency,
};
use zarrs::metadata::v3::MetadataV3;
use zarrs::metadata::{Configuration, ConfigurationSerialize};
use zarrs::plugin::{ExtensionName, PluginCreateError, ZarrVersion};

/// Codecs that say in what they make of a chunk how long that is, and are believed by the library.
#[derive(Clone, Copy, Debug)]
enum Method {
    Zstd,
    Gzip,
    #[cfg(feature = "blosc")]
    Blosc,
}

/// The array with our codecs in the place of the library's that are listed in [`Method`], in its shards too. The
/// library's registry stays as it is: others in the process may use it.
pub(super) fn bounded<S: ?Sized>(array: &Array<S>) -> Result<Array<S>, ArrayCreateError> {
    let chain = bounded_chain(&array.codecs()).map_err(ArrayCreateError::CodecsCreateError)?;
    let mut builder = array.builder();
    builder.array_to_bytes_codec(chain.array_to_bytes_codec().clone());
    builder.bytes_to_bytes_codecs(chain.bytes_to_bytes_codecs().to_vec());
    builder.build(array.storage(), "/")
}

fn bounded_chain(chain: &CodecChain) -> Result<CodecChain, PluginCreateError> {
    Ok(CodecChain::new(
        chain.array_to_array_codecs().to_vec(),
        bounded_shards(chain.array_to_bytes_codec())?,
        chain.bytes_to_bytes_codecs().iter().map(bounded_codec).collect(),
    ))
}

/// The codec of shards with ours inside; others as they are.
fn bounded_shards(
    codec: &Arc<dyn ArrayToBytesCodecTraits>,
) -> Result<Arc<dyn ArrayToBytesCodecTraits>, PluginCreateError> {
    if !codec.as_any().is::<ShardingCodec>() {
        return Ok(codec.clone());
    }
    let configuration = codec.configuration(ZarrVersion::V3, &CodecMetadataOptions::default());
    let configuration = configuration.map(ShardingCodecConfiguration::try_from_configuration);
    let Some(Ok(ShardingCodecConfiguration::V1(shards))) = configuration else {
        return Err(PluginCreateError::Other("the configuration of the shards is unknown".into()));
    };
    let chain = |codecs: &[MetadataV3]| bounded_chain(&CodecChain::from_metadata(codecs)?).map(Arc::new);
    Ok(Arc::new(ShardingCodec::new(
        shards.chunk_shape,
        chain(&shards.codecs)?,
        chain(&shards.index_codecs)?,
        shards.index_location,
    )))
}

fn bounded_codec(codec: &Arc<dyn BytesToBytesCodecTraits>) -> Arc<dyn BytesToBytesCodecTraits> {
    match Method::of(codec.as_any()) {
        Some(method) => Arc::new(Bounded { method, inner: codec.clone() }),
        None => codec.clone(),
    }
}

impl Method {
    fn of(codec: &dyn Any) -> Option<Method> {
        if codec.is::<ZstdCodec>() {
            return Some(Method::Zstd);
        }
        #[cfg(feature = "blosc")]
        if codec.is::<zarrs::array::codec::BloscCodec>() {
            return Some(Method::Blosc);
        }
        codec.is::<GzipCodec>().then_some(Method::Gzip)
    }
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

/// All members into one allocation. Zeros between and behind them mean nothing, as for `gzip` and Python.
fn gunzip(encoded: &[u8], most: u64) -> Result<Vec<u8>, CodecError> {
    let mut decoded = Vec::with_capacity(most as usize + 1);
    let mut rest = encoded;
    loop {
        let mut member = GzDecoder::new(rest);
        let room = most + 1 - decoded.len() as u64;
        member.by_ref().take(room).read_to_end(&mut decoded)?;
        if decoded.len() as u64 > most {
            return Err(too_long(most));
        }
        rest = member.into_inner();
        rest = &rest[rest.iter().take_while(|byte| **byte == 0).count()..];
        if rest.is_empty() {
            return Ok(decoded);
        }
    }
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
            Method::Gzip => gunzip(&encoded, most).map(Cow::Owned),
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

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::GzEncoder;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoded = Vec::new();
        GzEncoder::new(bytes, Compression::fast()).read_to_end(&mut encoded).unwrap();
        encoded
    }

    #[test]
    fn members_are_read_with_zeros_between_and_behind_them() {
        let padding = [0; 700];
        for parts in [
            vec![gzip(b"ab"), gzip(b"cd")],
            vec![gzip(b"abcd"), padding.to_vec()],
            vec![gzip(b"ab"), padding.to_vec(), gzip(b""), gzip(b"cd"), padding.to_vec()],
        ] {
            assert_eq!(gunzip(&parts.concat(), 4).unwrap(), b"abcd");
            assert!(gunzip(&parts.concat(), 3).is_err());
        }
        assert!(gunzip(&[gzip(b"abcd"), b"something else".to_vec()].concat(), 4).is_err());
        assert!(gunzip(&gzip(b"abcd")[..10], 4).is_err());
    }
}
