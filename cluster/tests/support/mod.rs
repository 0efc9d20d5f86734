//! What the tests of the wire share: endpoints, and peers that are made by hand from sockets and frames.
#![allow(dead_code, reason = "each test program uses its own part")]

use cluster::authority::Authority;
use cluster::blocks::{Blocks, NoBlocks};
use cluster::endpoint::{Config, Endpoint};
use cluster::frame::{Flags, FrameHeader};
use cluster::hello::Introduction;
use cluster::keys::Keys;
use cluster::life::Life;
use cluster::limits::Limits;
use cluster::peer::{Connection, Event, PeerId};
use cluster::role::Role;
use cluster::tls::Trust;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, Once};
use std::time::Duration;

/// Nothing in a test takes so long unless it hangs.
pub const HANGS: Duration = Duration::from_secs(60);

pub fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

pub fn me(role: Role, name: &str) -> Introduction {
    let text = |text: &str| text.to_string();
    Introduction {
        role,
        name: text(name),
        life: Life::random(),
        release: text("0.1.0"),
        operations: text("0123"),
        kernels: text("faer avx2"),
    }
}

pub fn plain(role: Role, name: &str) -> Config {
    let limits = Limits::default();
    Config { me: me(role, name), trust: Trust::InsecurePlain, mixed_machines: false, limits }
}

/// The keys of one cluster.
pub struct Keyring(pub Authority);

impl Keyring {
    pub fn new() -> Keyring {
        Keyring(Authority::new().unwrap())
    }

    pub fn keys(&self, role: Role) -> Keys {
        self.keys_with(role, &self.issued(role))
    }

    /// A new key of this role with its certificate.
    pub fn issued(&self, role: Role) -> String {
        self.0.issue(role, Authority::usual_validity()).unwrap()
    }

    pub fn keys_with(&self, role: Role, pem: &str) -> Keys {
        Keys::from_pem(role, &self.0.certificate(), pem).unwrap()
    }

    pub fn config(&self, role: Role, name: &str) -> Config {
        Config { trust: Trust::Keys(self.keys(role)), ..plain(role, name) }
    }
}

/// An endpoint with its events in a line.
pub struct Node {
    pub endpoint: Endpoint,
    pub events: Receiver<Event>,
    pub config: Config,
}

impl Node {
    pub fn new(config: Config) -> Node {
        Node::with(config, Arc::new(NoBlocks))
    }

    pub fn with(config: Config, blocks: Arc<dyn Blocks>) -> Node {
        let (tell, events) = channel();
        let on_event = move |event| drop(tell.send(event));
        let endpoint = Endpoint::start(config.clone(), blocks, on_event).unwrap();
        Node { endpoint, events, config }
    }

    pub fn listening(config: Config) -> (Node, SocketAddr) {
        let node = Node::new(config);
        let address = node.endpoint.listen(anywhere()).unwrap();
        (node, address)
    }

    #[track_caller]
    pub fn event(&self) -> Event {
        self.events.recv_timeout(HANGS).expect("an event")
    }

    #[track_caller]
    pub fn connected(&self) -> Connection {
        match self.event() {
            Event::Connected(connection) => connection,
            other => panic!("not connected but {}", named(&other)),
        }
    }

    #[track_caller]
    pub fn message(&self) -> (PeerId, Vec<u8>) {
        match self.event() {
            Event::Message { peer, message } => (peer, message.to_vec()),
            other => panic!("no message but {}", named(&other)),
        }
    }

    #[track_caller]
    pub fn lost(&self) -> (PeerId, String) {
        match self.event() {
            Event::Lost { peer, why } => (peer, why.to_string()),
            other => panic!("not lost but {}", named(&other)),
        }
    }
}

pub fn named(event: &Event) -> String {
    match event {
        Event::Connected(connection) => format!("connected {}", connection.peer().from.name),
        Event::Message { peer, message } => format!("{} bytes of {peer:?}", message.len()),
        Event::Room { peer } => format!("room for {peer:?}"),
        Event::Lost { peer, why } => format!("lost {peer:?}: {why}"),
    }
}

/// A peer made by hand.
pub struct Raw<S>(pub S);

impl Raw<TcpStream> {
    pub fn connect(address: SocketAddr) -> Raw<TcpStream> {
        Raw::over(TcpStream::connect(address).unwrap())
    }

    /// Connects from an address of this machine that no other connection of this program has: ports are used again,
    /// and a line in the log is about one connection.
    pub fn from_its_own_address(address: SocketAddr) -> Raw<TcpStream> {
        static CONNECTIONS: AtomicU16 = AtomicU16::new(0);
        let [high, low] = CONNECTIONS.fetch_add(1, Relaxed).to_be_bytes();
        let own = SocketAddr::from(([127, 1, high, low], 0));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&own.into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Raw::over(socket.into())
    }

    pub fn over(stream: TcpStream) -> Raw<TcpStream> {
        stream.set_read_timeout(Some(HANGS)).unwrap();
        Raw(stream)
    }

    /// The next one who connects; a worker of this life has welcomed it.
    pub fn of_worker(listener: &TcpListener, life: Life) -> Raw<TcpStream> {
        let mut raw = Raw::over(listener.accept().unwrap().0);
        raw.read_frame().expect("a hello");
        let welcome = format!(
            r#"{{"welcome":{{"lost_after_ms":2000,"role":"worker","name":"h","life":"{life}",
            "release":"0.1.0","operations":"0123","kernels":"faer avx2"}}}}"#
        );
        raw.frame(welcome.as_bytes());
        raw
    }

    /// Connects and is welcomed.
    pub fn welcomed(address: SocketAddr, from: &Introduction, purpose: &str) -> Raw<TcpStream> {
        let mut raw = Raw::connect(address);
        raw.frame(hello(from, purpose).as_bytes());
        let (_, answer, _) = raw.read_frame().expect("an answer");
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("welcome"), "{answer}");
        raw
    }
}

impl<S: Read + Write> Raw<S> {
    /// Writes to a peer that may have closed already.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).and_then(|()| self.0.flush());
    }

    pub fn frame(&mut self, message: &[u8]) {
        self.frame_with(message, &[]);
    }

    pub fn frame_with(&mut self, message: &[u8], payload: &[u8]) {
        let header = FrameHeader::new(Flags::NONE, message.len(), payload).unwrap();
        self.bytes(&[&head(&header), message, payload].concat());
    }

    /// The next frame, heartbeats included, or nothing if the peer has closed.
    pub fn read_frame(&mut self) -> Option<(FrameHeader, Vec<u8>, Vec<u8>)> {
        let mut bytes = [0; 32];
        self.0.read_exact(&mut bytes).ok()?;
        let header = FrameHeader::try_read(&bytes).unwrap().unwrap();
        let mut message = vec![0; header.message_len as usize];
        self.0.read_exact(&mut message).ok()?;
        let mut payload = vec![0; header.payload_len as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some((header, message, payload))
    }

    /// The next frame that is no heartbeat.
    pub fn read_message(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.read_frame()?.1 {
                message if message.is_empty() => {}
                message => return Some(message),
            }
        }
    }

    /// Waits until the peer has closed, and returns what it still said.
    pub fn until_closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("it is still open"),
            _ => rest,
        }
    }
}

pub fn head(header: &FrameHeader) -> [u8; 32] {
    let mut bytes = [0; 32];
    header.write_to(&mut bytes);
    bytes
}

/// A header that claims these lengths.
pub fn claim(message_len: u32, payload_len: u64) -> [u8; 32] {
    head(&FrameHeader { flags: Flags::NONE, message_len, payload_len, payload_checksum: 0 })
}

/// A hello, written without the code under test.
pub fn hello(from: &Introduction, purpose: &str) -> String {
    let Introduction { role, name, life, release, operations, kernels } = from;
    let name = name.replace('\n', "\\n");
    format!(
        r#"{{"protocol":3,"purpose":"{purpose}","for_life":null,"role":"{role}","name":"{name}","life":"{life}",
        "release":"{release}","operations":"{operations}","kernels":"{kernels}","later":[1,2]}}"#
    )
}

/// Lines that were logged by all tests of this program.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LOGGED: Condvar = Condvar::new();

struct Recorder;

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl tracing::Subscriber for Recorder {
    fn enabled(&self, metadata: &tracing::Metadata) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.lock().unwrap().push(line.0);
        LOGGED.notify_all();
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

pub fn record_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Recorder).unwrap());
}

/// The one line in the log about this peer; waits for it.
#[track_caller]
pub fn logged(peer: SocketAddr) -> String {
    let is_about = |line: &&String| line.contains(&format!("refused {peer}: "));
    let none_yet = |lines: &mut Vec<String>| !lines.iter().any(|line| is_about(&line));
    let lines = LOGGED.wait_timeout_while(LINES.lock().unwrap(), HANGS, none_yet).unwrap().0.clone();
    let about: Vec<&String> = lines.iter().filter(is_about).collect();
    match about[..] {
        [line] => line.clone(),
        _ => panic!("{} lines about {peer}: {about:?}", about.len()),
    }
}
