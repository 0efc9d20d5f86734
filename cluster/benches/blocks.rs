//! Blocks over loopback with TLS, beside a plain copy of the same bytes through rustls and threads that block: A B A B.
//!
//! `cargo bench -p cluster --bench blocks`. Sender and receiver share the machine in both.

#[path = "../tests/support/mod.rs"]
mod support;

use cluster::Holder;
use cluster::blocks::{Blocks, Finding, Payload};
use cluster::role::Role;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;
use support::{Keyring, Node, anywhere};

/// A block of 1024×1024 doubles, as often as makes a gigabyte.
const BLOCK: usize = 8 << 20;
const BLOCKS: usize = 128;
const ROUNDS: usize = 5;
/// What the plain copy writes and reads at once: the fastest of 16 KiB to 1 MiB here.
const STEP: usize = 64 << 10;
/// Blocks that are asked for ahead.
const AHEAD: usize = 4;

struct InMemory(Vec<Arc<Vec<u8>>>);

struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Blocks for InMemory {
    fn find(&self, key: Vec<u8>) -> Finding {
        let block = key.first().and_then(|number| self.0.get(usize::from(*number)));
        let found = block.ok_or("no such block".to_string());
        let payload = found.map(|block| Payload::Memory(Box::new(Shared(block.clone()))));
        Box::pin(std::future::ready(payload))
    }
}

/// Seconds to pull all blocks into warm buffers.
fn pull(node: &Node, holder: Holder, buffers: &mut Vec<Vec<u8>>) -> f64 {
    let (tell, told) = channel();
    let start = Instant::now();
    let mut under_way = 0;
    for number in 0..BLOCKS {
        while under_way >= AHEAD {
            buffers.push(told.recv().expect("a block"));
            under_way -= 1;
        }
        let tell = tell.clone();
        let buffer = buffers.pop().expect("a buffer");
        node.endpoint.pull(holder, &[number as u8], buffer, move |buffer, result| {
            result.expect("a block");
            let _ = tell.send(buffer);
        });
        under_way += 1;
    }
    for _ in 0..under_way {
        buffers.push(told.recv().expect("a block"));
    }
    start.elapsed().as_secs_f64()
}

/// The two ends of a connection through rustls, whose sender writes a gigabyte for each byte that it gets.
fn plain(authority: &str, own: &str, blocks: Vec<Arc<Vec<u8>>>) -> StreamOwned<ClientConnection, TcpStream> {
    let certificate = || CertificateDer::from_pem_slice(own.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(own.as_bytes()).expect("a key");
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    let provider = Arc::new(provider);
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate()], key))
        .expect("a server");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("an authority")).expect("a root");
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let tcp = listener.accept().expect("a connection").0;
        tcp.set_nodelay(true).expect("a socket");
        let connection = ServerConnection::new(Arc::new(server)).expect("a connection");
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.read_exact(&mut [0]).is_ok() {
            for block in &blocks {
                for step in block.chunks(STEP) {
                    stream.write_all(step).expect("a reader");
                }
            }
            stream.flush().expect("a reader");
        }
    });
    let tcp = TcpStream::connect(address).expect("a connection");
    tcp.set_nodelay(true).expect("a socket");
    let name = ServerName::try_from(Role::Worker.domain()).expect("a name");
    StreamOwned::new(ClientConnection::new(Arc::new(client), name).expect("a connection"), tcp)
}

/// Seconds to copy all blocks into warm buffers.
fn copy(stream: &mut StreamOwned<ClientConnection, TcpStream>, buffers: &mut [Vec<u8>]) -> f64 {
    let start = Instant::now();
    stream.write_all(&[1]).and_then(|()| stream.flush()).expect("a sender");
    for number in 0..BLOCKS {
        for step in buffers[number % AHEAD].chunks_mut(STEP) {
            stream.read_exact(step).expect("a sender");
        }
    }
    start.elapsed().as_secs_f64()
}

fn main() {
    let ring = Keyring::new();
    let block = |seed: usize| Arc::new((0..BLOCK).map(|at| (at * 31 + seed) as u8).collect::<Vec<u8>>());
    let blocks: Vec<_> = (0..BLOCKS).map(block).collect();
    let mut buffers = vec![vec![1u8; BLOCK]; AHEAD];

    let worker = Node::with(ring.config(Role::Worker, "holder"), Arc::new(InMemory(blocks.clone())));
    let address = worker.endpoint.listen(anywhere()).expect("a port");
    let holder = Holder { address, role: Role::Worker, life: worker.config.me.life };
    let node = Node::new(ring.config(Role::Worker, "receiver"));
    let mut stream = plain(&ring.0.certificate(), &ring.issued(Role::Worker), blocks);

    // Once for the handshakes and the pages.
    pull(&node, holder, &mut buffers);
    copy(&mut stream, &mut buffers);
    let gigabytes = (BLOCK * BLOCKS) as f64 / 1e9;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let pulled = gigabytes / pull(&node, holder, &mut buffers);
        let copied = gigabytes / copy(&mut stream, &mut buffers);
        ratios.push(pulled / copied);
        println!(
            "round {round}: pulled {pulled:.2} GB/s, copied {copied:.2} GB/s, ratio {:.2}",
            pulled / copied
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("blocks pulled over plain rustls: {:.2} (median of {ROUNDS}; wanted: 0.7)", ratios[ROUNDS / 2]);
}
