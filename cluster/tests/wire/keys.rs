//! Who is believed: keys that are missing, foreign, stolen, expired or of another role.

use crate::support::{Keyring, Node, Raw, hello, logged, me, plain, record_log};
use cluster::ConnectError;
use cluster::endpoint::{Config, Endpoint, EndpointError};
use cluster::hello::Introduction;
use cluster::role::Role;
use cluster::tls::Trust;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ResolvesClientCert};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Believes everybody, and shows what it was given.
#[derive(Debug)]
struct Careless(Option<Arc<CertifiedKey>>);

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer,
        _: &[CertificateDer],
        _: &ServerName,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Careless {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

type TlsRaw = Raw<StreamOwned<ClientConnection, TcpStream>>;

/// A peer with any certificate and any key, which need not belong together.
fn careless(address: SocketAddr, shown: Option<(&str, &str)>) -> (TlsRaw, SocketAddr) {
    let key = shown.map(|(certificate, key)| {
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let key = ring::default_provider().key_provider.load_private_key(key).unwrap();
        Arc::new(CertifiedKey::new(chain, key))
    });
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Careless(None)))
        .with_client_cert_resolver(Arc::new(Careless(key)));
    let name = ServerName::try_from("anybody").unwrap();
    let tcp = Raw::from_its_own_address(address).0;
    let local = tcp.local_addr().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    (Raw(StreamOwned::new(connection, tcp)), local)
}

fn long_ago() -> std::ops::Range<SystemTime> {
    let day = Duration::from_secs(24 * 60 * 60);
    SystemTime::now() - 20 * day..SystemTime::now() - 10 * day
}

/// The line that the scheduler writes about a worker who shows this.
#[track_caller]
fn refusal(ring: &Keyring, shown: Option<(&str, &str)>, from: &Introduction) -> String {
    record_log();
    let (scheduler, address) = Node::listening(ring.config(Role::Scheduler, "s"));
    let (mut raw, local) = careless(address, shown);
    raw.frame(hello(from, "control").as_bytes());
    raw.until_closed();
    let line = logged(local);
    assert!(scheduler.events.try_recv().is_err(), "it was let in: {line}");
    // Those who are good still come.
    Node::new(ring.config(Role::Worker, "good")).endpoint.connect(&address.to_string()).unwrap();
    line
}

#[test]
fn who_shows_no_key_a_foreign_one_a_stolen_certificate_or_an_expired_one_is_refused() {
    let ring = Keyring::new();
    let worker = me(Role::Worker, "n3");
    let line = refusal(&ring, None, &worker);
    assert!(line.contains("it shows no key"), "{line}");

    let foreign = Keyring::new().issued(Role::Worker);
    let line = refusal(&ring, Some((&foreign, &foreign)), &worker);
    assert!(line.contains("not to be trusted (UnknownIssuer)"), "{line}");

    let (own, other) = (ring.issued(Role::Worker), ring.issued(Role::Worker));
    let line = refusal(&ring, Some((&own, &other)), &worker);
    assert!(line.contains("not to be trusted (BadSignature)"), "{line}");

    let expired = ring.0.issue(Role::Worker, long_ago()).unwrap();
    let line = refusal(&ring, Some((&expired, &expired)), &worker);
    assert!(line.contains("expired"), "{line}");

    let authority = ring.0.certificate();
    let line = refusal(&ring, Some((&authority, &own)), &worker);
    assert!(line.contains("not to be trusted"), "{line}");
}

#[test]
fn a_key_is_good_for_its_own_role_only() {
    let ring = Keyring::new();
    let client = ring.issued(Role::Client);
    let line = refusal(&ring, Some((&client, &client)), &me(Role::Worker, "n3"));
    assert!(line.contains("it calls itself a worker with the key of a client"), "{line}");
    let scheduler = ring.issued(Role::Scheduler);
    let line = refusal(&ring, Some((&scheduler, &scheduler)), &me(Role::Worker, "n3"));
    assert!(line.contains("not to be trusted"), "{line}");
    let worker = ring.issued(Role::Worker);
    let line = refusal(&ring, Some((&worker, &worker)), &me(Role::Scheduler, "n3"));
    assert!(line.contains("with the key of a worker"), "{line}");
}

fn connect(worker: Config, address: SocketAddr) -> ConnectError {
    Node::new(worker).endpoint.connect(&address.to_string()).err().expect("a refusal")
}

#[test]
fn a_scheduler_with_another_key_is_not_believed() {
    let ring = Keyring::new();
    let worker = || ring.config(Role::Worker, "n3");
    let (_foreign, address) = Node::listening(Keyring::new().config(Role::Scheduler, "s"));
    let why = connect(worker(), address);
    assert!(matches!(why, ConnectError::Untrusted { .. }), "{why}");
    assert!(why.to_string().contains("keys of one dolmen keygen"), "{why}");

    // A worker's key does not make a scheduler.
    let (_pretender, address) = Node::listening(ring.config(Role::Worker, "s"));
    let why = connect(worker(), address);
    assert!(why.to_string().contains("the key of another role"), "{why}");

    let expired = ring.keys_with(Role::Scheduler, &ring.0.issue(Role::Scheduler, long_ago()).unwrap());
    let config = Config { trust: Trust::Keys(expired), ..plain(Role::Scheduler, "s") };
    let (_expired, address) = Node::listening(config);
    let why = connect(worker(), address);
    assert!(why.to_string().contains("expired"), "{why}");
}

#[test]
fn a_worker_whose_key_is_refused_is_told_so() {
    let ring = Keyring::new();
    let (_scheduler, address) = Node::listening(ring.config(Role::Scheduler, "s"));
    let expired = ring.keys_with(Role::Worker, &ring.0.issue(Role::Worker, long_ago()).unwrap());
    let why = connect(Config { trust: Trust::Keys(expired), ..plain(Role::Worker, "n3") }, address);
    assert!(why.to_string().contains("this key has expired"), "{why}");
    // Believes this authority, shows a key of another.
    let foreign = ring.keys_with(Role::Worker, &Keyring::new().issued(Role::Worker));
    let why = connect(Config { trust: Trust::Keys(foreign), ..plain(Role::Worker, "n3") }, address);
    assert!(why.to_string().contains("refuses this key"), "{why}");
}

#[test]
fn with_keys_on_one_side_only_nobody_meets() {
    let ring = Keyring::new();
    let (_with, address) = Node::listening(ring.config(Role::Scheduler, "s"));
    let why = connect(plain(Role::Worker, "n3"), address);
    assert!(why.to_string().contains("do both sides use keys?"), "{why}");
    let (_without, address) = Node::listening(plain(Role::Scheduler, "s"));
    let why = connect(ring.config(Role::Worker, "n3"), address);
    assert!(why.to_string().contains("do both sides use keys?"), "{why}");
}

#[test]
fn plain_text_stays_on_this_machine() {
    let node = Node::new(plain(Role::Scheduler, "s"));
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let why = node.endpoint.listen(address.parse().unwrap()).unwrap_err();
        assert!(matches!(why, EndpointError::PlainOffLoopback(_)), "{address}: {why}");
    }
    // Refused before a packet is sent.
    let why = Node::new(plain(Role::Worker, "n3")).endpoint.connect("192.0.2.1:7077").err();
    assert!(matches!(why, Some(ConnectError::PlainOffLoopback(_))), "{why:?}");
}

#[test]
fn an_endpoint_has_a_name_and_the_key_of_its_role() {
    let ring = Keyring::new();
    let start = |config| Endpoint::start(config, Arc::new(cluster::blocks::NoBlocks), |_| {}).err().unwrap();
    let config = Config { trust: Trust::Keys(ring.keys(Role::Client)), ..plain(Role::Worker, "n3") };
    assert!(matches!(start(config), EndpointError::Role { process: Role::Worker, key: Role::Client }));
    for name in ["", "a b", "ä", &"x".repeat(65)] {
        assert!(matches!(start(plain(Role::Worker, name)), EndpointError::Name(_)), "{name}");
    }
    let mut config = plain(Role::Worker, "n3");
    config.me.kernels = "x".repeat(5000);
    assert!(matches!(start(config), EndpointError::Introduction(_)));
}
