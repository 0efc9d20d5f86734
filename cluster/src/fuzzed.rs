//! What fuzz targets do with bytes, for every decoder here of what comes from elsewhere. Built for tests and for
//! fuzzing only: `fuzz/` has a target for each, and the test below runs its corpus.

use crate::blocks::{Reply, Request};
use crate::framed::FrameReader;
use crate::hello::{Answer, Hello};
use crate::life::Life;
use crate::pull::take_all;
use crate::scheduler_file::SchedulerAddress;
use crate::slurm::listing;
use std::time::Duration;

/// The longest message that is read from a stranger and from a peer.
const MESSAGES: [u32; 2] = [4096, 64 << 20];

/// Frame after frame, as they come over a connection.
pub fn frames(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    for most in MESSAGES {
        runtime.block_on(async {
            let mut reader = FrameReader::new(bytes, Duration::from_secs(60));
            while let Ok(header) = reader.header().await {
                let Ok(message) = reader.message(&header, most).await else { return };
                assert_eq!(message.len(), header.message_len as usize);
                let mut payload = vec![0; header.payload_len.min(4096) as usize];
                if reader.fill(&mut payload).await.is_err() {
                    return;
                }
                // A payload that was damaged is found out.
                let _ = header.verify(&payload);
            }
        });
    }
}

/// The first message of whoever connects.
pub fn hello(bytes: &[u8]) {
    let Ok(hello) = Hello::decode(bytes) else { return };
    let again = serde_json::to_vec(&hello).expect("JSON");
    assert_eq!(Hello::decode(&again), Ok(hello));
}

/// The first message of whoever listens.
pub fn answer(bytes: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<Answer>(bytes) else { return };
    let again = serde_json::to_vec(&answer).expect("JSON");
    assert_eq!(serde_json::from_slice::<Answer>(&again).expect("an answer"), answer);
}

/// What is said on a connection for blocks, by either side.
pub fn blocks(bytes: &[u8]) {
    if let Some(request) = Request::decode(bytes) {
        assert_eq!(request.encode(), bytes);
    }
    if let Some(reply) = Reply::decode(bytes) {
        assert_eq!(Reply::decode(&reply.encode()), Some(reply));
    }
}

/// What comes for a block that was asked for, compressed or not. The first bytes say how long the block is.
pub fn parts(bytes: &[u8]) {
    let [high, middle, low, bytes @ ..] = bytes else { return };
    let len = usize::from(*high & 0xF) << 16 | usize::from(*middle) << 8 | usize::from(*low);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(take_all(len, bytes));
}

/// The file in which a scheduler says where it is, and the number of a life in it.
pub fn scheduler_file(bytes: &[u8]) {
    if let Ok(found) = serde_json::from_slice::<SchedulerAddress>(bytes) {
        let again = serde_json::to_vec(&found).expect("JSON");
        assert_eq!(serde_json::from_slice::<SchedulerAddress>(&again).expect("an address"), found);
    }
    let _ = serde_json::from_slice::<Life>(bytes);
}

/// What `squeue` and `sbatch` print.
pub fn slurm_listing(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = listing::rows(&text);
    let _ = listing::submitted(&text);
    if let Some(seconds) = listing::seconds(&text) {
        assert!(seconds >= 0.0);
    }
}

#[cfg(test)]
#[path = "../../tests/support/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::corpus;
    use std::path::Path;

    fn run_corpus(target: &str, body: fn(&[u8])) {
        corpus::run_corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target), body);
    }

    #[test]
    fn what_comes_from_elsewhere_does_no_harm() {
        run_corpus("frames", super::frames);
        run_corpus("hello", super::hello);
        run_corpus("answer", super::answer);
        run_corpus("blocks", super::blocks);
        run_corpus("parts", super::parts);
        run_corpus("scheduler_file", super::scheduler_file);
        run_corpus("slurm_listing", super::slurm_listing);
    }
}
