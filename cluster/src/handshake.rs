//! How two processes meet: TLS, hello, answer, all of it before a deadline and in few bytes.

use crate::framed::{Ending, FrameReader, FrameWriter};
use crate::hello::{Answer, Hello, Introduction, PROTOCOL, Purpose, encode, shown};
use crate::life::Life;
use crate::limits::{LONGEST_HELLO, Limits};
use crate::role::Role;
use crate::stream::{Socket, Stream};
use crate::tls::{Tls, role_in, server_name};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No such address.
    #[error("{0} is no address: give host and port, like 10.0.0.1:7077")]
    Address(String),
    /// Plain text would leave this machine.
    #[error("{0} is not on this machine: without TLS only loopback is allowed, make keys with dolmen keygen")]
    PlainOffLoopback(SocketAddr),
    /// Nobody is there.
    #[error("cannot connect to {address}: {error}; is its process running, and the address right?")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// The system's words.
        error: io::Error,
    },
    /// Somebody is there and says nothing.
    #[error("{0} does not answer: is it a dolmen process, and not stopped?")]
    Late(SocketAddr),
    /// Keys that do not fit.
    #[error("{address}: {reason}")]
    Untrusted {
        /// Where.
        address: SocketAddr,
        /// What is wrong.
        reason: String,
    },
    /// The other side gives its reason.
    #[error("{address} refused this process: {reason}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// In its words.
        reason: String,
    },
    /// The other side ended the handshake, or speaks something else.
    #[error("{address} ended the handshake: {why}; is it a dolmen process, and do both sides use keys?")]
    Broken {
        /// Where.
        address: SocketAddr,
        /// What came.
        why: Ending,
    },
}

/// Two processes have met.
pub(crate) struct Met {
    pub stream: Stream,
    pub address: SocketAddr,
    pub local: SocketAddr,
    pub from: Introduction,
    pub purpose: Purpose,
    pub lost_after: Duration,
}

/// Whom this process wants to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub address: SocketAddr,
    pub role: Role,
    pub life: Option<Life>,
    pub purpose: Purpose,
}

/// What this process needs to meet others.
pub(crate) struct Door {
    pub me: Introduction,
    pub tls: Option<Tls>,
    pub mixed_machines: bool,
    pub limits: Limits,
}

impl Door {
    /// Meets whoever connected. `admit` has the last word, and what it gives is kept as long as the connection.
    ///
    /// # Errors
    /// The reason for which nobody was let in. The peer was told if it could be understood.
    pub async fn greet<T>(
        &self,
        tcp: TcpStream,
        admit: impl FnOnce(&Hello) -> Result<T, String>,
    ) -> Result<(Met, T), String> {
        let late = || format!("no handshake within {:?}", self.limits.handshake);
        timeout(self.limits.handshake, self.greeted(tcp, admit)).await.map_err(|_| late())?
    }

    async fn greeted<T>(
        &self,
        tcp: TcpStream,
        admit: impl FnOnce(&Hello) -> Result<T, String>,
    ) -> Result<(Met, T), String> {
        let told = |error: io::Error| Ending::from(error).to_string();
        let (address, local) = ends(&tcp).map_err(told)?;
        let mut proven = None;
        let mut stream = match &self.tls {
            None => Stream::Plain(Socket::new(tcp)),
            Some(tls) => {
                let stream = tls.acceptor.accept(Socket::new(tcp)).await.map_err(told)?;
                let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                proven = Some(
                    certificate
                        .and_then(role_in)
                        .ok_or("its certificate says no role: make keys with dolmen keygen")?,
                );
                Stream::Tls(Box::new(TlsStream::Server(stream)))
            }
        };
        let patience = self.no_hurry();
        let hello = receive(&mut stream, patience).await.map_err(|why| why.to_string())?;
        let admitted = Hello::decode(&hello).and_then(|hello| {
            self.me.admit(&hello, proven, self.mixed_machines)?;
            let kept = admit(&hello)?;
            Ok((hello, kept))
        });
        let lost_after = self.limits.lost_after;
        let lost_after_ms = u64::try_from(lost_after.as_millis()).unwrap_or(u64::MAX);
        let answer = match &admitted {
            Ok(_) => Answer::Welcome { lost_after_ms, from: self.me.clone() },
            Err(reason) => Answer::Refused(shown(reason)),
        };
        let sent = send(&mut stream, &answer, patience).await;
        let (Hello { from, purpose, .. }, kept) = admitted?;
        sent?;
        Ok((Met { stream, address, local, from, purpose, lost_after }, kept))
    }

    /// For single bytes: the deadline for all of them comes first.
    fn no_hurry(&self) -> Duration {
        2 * self.limits.handshake
    }

    /// Connects to a process that listens.
    ///
    /// # Errors
    /// If nobody is there, or is not who is wanted, or does not want us.
    pub async fn meet(&self, wanted: &Wanted) -> Result<Met, ConnectError> {
        let address = wanted.address;
        if self.tls.is_none() && !is_loopback(&address) {
            return Err(ConnectError::PlainOffLoopback(address));
        }
        let met = timeout(self.limits.handshake, self.met(wanted)).await;
        met.map_err(|_| ConnectError::Late(address))?
    }

    async fn met(&self, wanted: &Wanted) -> Result<Met, ConnectError> {
        let address = wanted.address;
        let unreachable = |error| ConnectError::Unreachable { address, error };
        let broken = |why| match why {
            Ending::Untrusted(reason) => ConnectError::Untrusted { address, reason },
            why => ConnectError::Broken { address, why },
        };
        let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
        let (_, local) = ends(&tcp).map_err(unreachable)?;
        let mut stream = match &self.tls {
            None => Stream::Plain(Socket::new(tcp)),
            Some(tls) => {
                let name = server_name(wanted.role);
                let stream = tls.connector.connect(name, Socket::new(tcp)).await;
                let stream = stream.map_err(|error| broken(error.into()))?;
                Stream::Tls(Box::new(TlsStream::Client(stream)))
            }
        };
        let Wanted { purpose, life, .. } = *wanted;
        let hello = Hello { protocol: PROTOCOL, purpose, for_life: life, from: self.me.clone() };
        let patience = self.no_hurry();
        // If the other side has closed already, its alert says why: that is read below.
        let sent = send(&mut stream, &hello, patience).await;
        let refused = |reason: &str| ConnectError::Refused { address, reason: shown(reason) };
        let answer = receive(&mut stream, patience).await.map_err(broken)?;
        sent.map_err(|_| broken(Ending::Closed))?;
        match serde_json::from_slice(&answer) {
            Ok(Answer::Welcome { lost_after_ms, from }) if from.role == wanted.role => {
                let lost_after = Duration::from_millis(lost_after_ms.clamp(1, MOST_MS));
                Ok(Met { stream, address, local, from, purpose, lost_after })
            }
            Ok(Answer::Welcome { from, .. }) => {
                let reason = format!("a {} is there, not a {}", from.role, wanted.role);
                Err(ConnectError::Untrusted { address, reason })
            }
            Ok(Answer::Refused(reason)) => Err(refused(&reason)),
            Err(_) => Err(broken(Ending::Protocol("an answer that cannot be read"))),
        }
    }
}

/// A day: nobody waits longer for a silent peer, whatever that says.
const MOST_MS: u64 = 24 * 60 * 60 * 1000;

fn ends(tcp: &TcpStream) -> io::Result<(SocketAddr, SocketAddr)> {
    tcp.set_nodelay(true)?;
    Ok((tcp.peer_addr()?, tcp.local_addr()?))
}

/// Whether an address is on this machine, also if it is IPv4 in the clothes of IPv6.
pub(crate) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

async fn receive(stream: &mut Stream, patience: Duration) -> Result<Vec<u8>, Ending> {
    let mut reader = FrameReader::unbuffered(stream, patience);
    let header = reader.header().await?;
    if header.payload_len != 0 {
        return Err(Ending::Protocol("a payload before the handshake is over"));
    }
    reader.message(&header, LONGEST_HELLO).await
}

async fn send(
    stream: &mut Stream,
    message: &impl serde::Serialize,
    patience: Duration,
) -> Result<(), String> {
    let mut writer = FrameWriter::new(stream, patience);
    writer.add(&encode(message)?).map_err(|error| error.to_string())?;
    writer.send().await.map_err(|why| why.to_string())
}
