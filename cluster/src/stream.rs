//! A connection's bytes, with TLS or without.

use crate::limits::UNAUTHENTICATED_BYTES;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A TCP connection that can move from one runtime to another, and that gives a stranger only so many bytes.
pub(crate) struct Socket {
    /// Always there but while it moves.
    tcp: Option<TcpStream>,
    /// Bytes that may still be read; no bound once the peer is known.
    left: Option<u64>,
}

impl Socket {
    pub fn new(tcp: TcpStream) -> Socket {
        Socket { tcp: Some(tcp), left: Some(UNAUTHENTICATED_BYTES) }
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.tcp.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn move_here(&mut self) -> io::Result<()> {
        self.left = None;
        if let Some(tcp) = self.tcp.take() {
            self.tcp = Some(TcpStream::from_std(tcp.into_std()?)?);
        }
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context, buf: &mut ReadBuf) -> Poll<io::Result<()>> {
        if self.left == Some(0) {
            let message =
                format!("more than {UNAUTHENTICATED_BYTES} bytes before it is known who sends them");
            return Poll::Ready(Err(io::Error::other(message)));
        }
        let before = buf.filled().len();
        let polled = self.tcp()?.poll_read(cx, buf);
        let read = (buf.filled().len() - before) as u64;
        self.left = self.left.map(|left| left.saturating_sub(read));
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.tcp()?.poll_write(cx, bytes)
    }

    /// TLS gives its records so, several at once.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context,
        slices: &[IoSlice],
    ) -> Poll<io::Result<usize>> {
        self.tcp()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        self.tcp()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        self.tcp()?.poll_shutdown(cx)
    }
}

/// A connection with TLS or without.
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// From now on the connection belongs to the runtime that calls this, and its peer is known.
    pub fn move_here(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.move_here(),
            Stream::Tls(stream) => match &mut **stream {
                TlsStream::Client(stream) => stream.get_mut().0.move_here(),
                TlsStream::Server(stream) => stream.get_mut().0.move_here(),
            },
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context, buf: &mut ReadBuf) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;
    use crate::keys::Keys;
    use crate::role::Role;
    use crate::tls::{Tls, server_name};
    use std::future::poll_fn;
    use std::io::Write;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Bytes that can be read of those that come, and the error at the end.
    async fn read_all(socket: &mut Socket) -> (u64, Option<String>) {
        let mut bytes = [0; 1000];
        let mut total = 0;
        loop {
            match socket.read(&mut bytes).await {
                Ok(0) => return (total, None),
                Ok(read) => total += read as u64,
                Err(error) => return (total, Some(error.to_string())),
            }
        }
    }

    #[tokio::test]
    async fn a_stranger_is_read_up_to_a_bound_and_a_friend_to_the_end() {
        for known in [false, true] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut peer = listener.accept().unwrap().0;
            let writer = std::thread::spawn(move || drop(peer.write_all(&vec![1; 1 << 20])));
            let mut socket = Socket::new(tcp);
            if known {
                socket.move_here().unwrap();
                assert_eq!(read_all(&mut socket).await, (1 << 20, None));
            } else {
                let (read, error) = read_all(&mut socket).await;
                assert!((UNAUTHENTICATED_BYTES..UNAUTHENTICATED_BYTES + 1000).contains(&read), "{read}");
                assert!(error.unwrap().contains("before it is known"));
            }
            drop(socket);
            writer.join().unwrap();
        }
    }

    #[tokio::test]
    async fn what_lay_in_a_buffer_before_was_not_read_now() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        listener.accept().unwrap().0.write_all(&[1; 10]).unwrap();
        let mut socket = Socket::new(tcp);
        let mut bytes = [0; 2000];
        let mut buffer = ReadBuf::new(&mut bytes);
        buffer.advance(1000);
        while buffer.filled().len() < 1010 {
            poll_fn(|cx| Pin::new(&mut socket).poll_read(cx, &mut buffer)).await.unwrap();
        }
        assert_eq!(socket.left, Some(UNAUTHENTICATED_BYTES - 10));
    }

    /// Both ends of a connection with TLS.
    async fn tls_pair() -> [Stream; 2] {
        let authority = Authority::new().unwrap();
        let pem = authority.issue(Role::Worker, Authority::usual_validity()).unwrap();
        let tls = Tls::new(&Keys::from_pem(Role::Worker, &authority.certificate(), &pem).unwrap()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let there = listener.accept().await.unwrap().0;
        let (here, there) = tokio::join!(
            tls.connector.connect(server_name(Role::Worker), Socket::new(here)),
            tls.acceptor.accept(Socket::new(there)),
        );
        let (here, there) = (TlsStream::Client(here.unwrap()), TlsStream::Server(there.unwrap()));
        [here, there].map(|stream| {
            let mut stream = Stream::Tls(Box::new(stream));
            stream.move_here().unwrap();
            stream
        })
    }

    #[tokio::test]
    async fn a_flush_sends_what_tls_has_taken_and_the_network_has_not() {
        let [mut writer, mut reader] = tls_pair().await;
        let mut taken = 0;
        let mut write = |cx: &mut Context| Poll::Ready(Pin::new(&mut writer).poll_write(cx, &[7; 16 << 10]));
        while let Poll::Ready(written) = poll_fn(&mut write).await {
            taken += written.unwrap();
        }
        let mut bytes = vec![0; taken];
        let (read, flushed) = tokio::join!(reader.read_exact(&mut bytes), writer.flush());
        assert_eq!((read.unwrap(), flushed.is_ok()), (taken, true));
    }
}
