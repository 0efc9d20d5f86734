//! What fuzz targets do with bytes, for every decoder of what comes from elsewhere: messages, programs, files. Built
//! for tests and for fuzzing only. `fuzz/` has a target for each, and the test below runs its corpus.

#[path = "../tests/support/asked.rs"]
mod asked;

use crate::files::{NpyHeader, TemporaryFolder, ZarrInput};
use crate::graph::{Program, Stage};
use crate::protocol::{BlockKey, FromClient, FromWorkerProcess, ToClient, ToWorkerProcess, decode, encode};
use crate::store::{Codec, Encoding, SPILL_HEADER, SpillHeader, seal};
use asked::ask;
use serde::{Serialize, de::DeserializeOwned};

/// A message that is understood is understood again when it is passed on.
fn message<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(value) = decode::<T>(bytes) else { return };
    let passed_on = encode(&value).expect("what was decoded");
    let again: T = decode(&passed_on).expect("what was encoded");
    assert_eq!(encode(&again).expect("what was decoded"), passed_on);
}

/// What workers say.
pub fn from_worker(bytes: &[u8]) {
    message::<FromWorkerProcess>(bytes);
}

/// What is said to workers.
pub fn to_worker(bytes: &[u8]) {
    message::<ToWorkerProcess>(bytes);
}

/// What clients say.
pub fn from_client(bytes: &[u8]) {
    message::<FromClient>(bytes);
}

/// What is said to clients.
pub fn to_client(bytes: &[u8]) {
    message::<ToClient>(bytes);
}

/// The name of a block in a request for it.
pub fn block_key(bytes: &[u8]) {
    message::<BlockKey>(bytes);
}

/// A program that is believed answers all that a scheduler asks of it.
pub fn program(bytes: &[u8]) {
    let Ok(stages) = decode::<Vec<Stage>>(bytes) else { return };
    if let Ok(program) = Program::try_new(stages) {
        ask(&program);
    }
}

/// The first bytes of a `.npy` file.
pub fn npy(bytes: &[u8]) {
    if let Ok(header) = NpyHeader::parse(bytes) {
        assert!(header.data <= bytes.len() as u64);
        let _ = header.elements();
    }
}

/// The metadata of a Zarr array.
pub fn zarr(bytes: &[u8]) {
    thread_local! {
        static FOLDER: TemporaryFolder =
            TemporaryFolder::create(&std::env::temp_dir(), "dolmen-fuzz").expect("a folder");
    }
    FOLDER.with(|folder| {
        std::fs::write(folder.path().join("zarr.json"), bytes).expect("a file");
        if let Ok(input) = ZarrInput::open(folder.path()) {
            let _ = (input.shape(), input.element());
        }
    });
}

/// The first page of a file of a spilled block, with the right checksum: without it nothing else is looked at.
pub fn spill_header(bytes: &[u8]) {
    let mut page = vec![0; SPILL_HEADER];
    let length = bytes.len().min(SPILL_HEADER);
    page[..length].copy_from_slice(&bytes[..length]);
    let _ = SpillHeader::read(&page);
    seal(&mut page);
    let Ok(header) = SpillHeader::read(&page) else { return };
    let mut again = vec![0; SPILL_HEADER];
    header.write(&mut again);
    assert_eq!(SpillHeader::read(&again), Ok(header));
}

/// A compressed piece of a block. The first bytes say how long it should be, how it is encoded, and the size of its
/// elements.
pub fn spill_frame(bytes: &[u8]) {
    let [long, short, encoding, size, body @ ..] = bytes else { return };
    let length = usize::from(*long) << 8 | usize::from(*short);
    let encoding = [Encoding::Raw, Encoding::Zstd, Encoding::ShuffledZstd][usize::from(*encoding) % 3];
    let size = [4, 8][usize::from(*size) % 2];
    let (mut work, mut piece) = (vec![0; length], vec![0; length]);
    let mut codec = Codec::new().expect("a codec");
    let _ = codec.decode(encoding, size, body, &mut work, &mut piece);
}

#[cfg(test)]
#[path = "../tests/support/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::corpus;
    use std::path::Path;

    fn run_corpus(target: &str, body: fn(&[u8])) {
        corpus::run_corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target), body);
    }

    #[test]
    fn what_comes_from_elsewhere_does_no_harm() {
        run_corpus("from_worker", super::from_worker);
        run_corpus("to_worker", super::to_worker);
        run_corpus("from_client", super::from_client);
        run_corpus("to_client", super::to_client);
        run_corpus("block_key", super::block_key);
        run_corpus("program", super::program);
        run_corpus("npy", super::npy);
        run_corpus("zarr", super::zarr);
        run_corpus("spill_header", super::spill_header);
        run_corpus("spill_frame", super::spill_frame);
    }
}
