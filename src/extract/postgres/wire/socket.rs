//! The way to a server: a TCP or Unix socket, encrypted where that is asked for.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

use super::{
    detached::Detached,
    error::WireError,
    options::{Host, TlsMode, WireOptions},
    protection::Protection,
    tls::{self, Trust},
};

/// A stream of bytes in both directions.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + Sync {
    /// Takes it out of its runtime, where a thread can read it by itself.
    fn detach(self: Box<Self>) -> io::Result<Channel>;
}

/// A socket, in its runtime or out of it.
pub(super) enum Channel {
    Attached(Box<dyn Socket>),
    Detached(Box<Detached>),
}

impl Socket for TcpStream {
    fn detach(self: Box<Self>) -> io::Result<Channel> {
        Ok(Channel::Detached(Box::new(Detached::new(self.into_std()?)?)))
    }
}

impl Socket for UnixStream {
    fn detach(self: Box<Self>) -> io::Result<Channel> {
        Ok(Channel::Detached(Box::new(Detached::new(self.into_std()?)?)))
    }
}

/// What decrypts it belongs to the runtime.
impl Socket for TlsStream<TcpStream> {
    fn detach(self: Box<Self>) -> io::Result<Channel> {
        Ok(Channel::Attached(self))
    }
}

#[cfg(test)]
impl Socket for tokio::io::DuplexStream {
    fn detach(self: Box<Self>) -> io::Result<Channel> {
        Ok(Channel::Attached(self))
    }
}

/// A socket to a server that has not been spoken to yet.
pub(super) struct Way {
    /// The socket.
    pub(super) socket: Box<dyn Socket>,
    /// Whether it is encrypted, and then what SCRAM can bind a login to.
    pub(super) encryption: Encryption,
    /// The same and more, for whoever asks.
    pub(super) protection: Protection,
}

impl Way {
    fn clear(socket: Box<dyn Socket>, options: &WireOptions) -> Self {
        let protection = Protection { host: options.host.clone(), mode: options.tls, tls: None };
        Self { socket, encryption: Encryption::None, protection }
    }

    fn encrypted(stream: TlsStream<TcpStream>, options: &WireOptions) -> Self {
        let encryption = Encryption::Tls(tls::end_point(&stream));
        let tls = Some((tls::version(&stream), Trust::of(options)));
        let protection = Protection { host: options.host.clone(), mode: options.tls, tls };
        Self { socket: Box::new(stream), encryption, protection }
    }
}

/// Whether a socket is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Encryption {
    /// It is not.
    None,
    /// It is; the `tls-server-end-point`, where there is one.
    Tls(Option<Vec<u8>>),
}

/// Opens the way that `options` describe.
pub(super) async fn open(options: &WireOptions) -> Result<Way, WireError> {
    match &options.host {
        Host::Unix(folder) => {
            let path = format!("{}/.s.PGSQL.{}", folder.trim_end_matches('/'), options.port);
            let socket = UnixStream::connect(&path)
                .await
                .map_err(|error| WireError::Lost(format!("no server at `{path}`: {error}")))?;
            Ok(Way::clear(Box::new(socket), options))
        }
        Host::Tcp(host) => {
            let port = options.port;
            let socket = TcpStream::connect((host.as_str(), port)).await.map_err(|error| {
                WireError::Lost(format!("no server at `{host}` port {port}: {error}"))
            })?;
            tune(&socket);
            negotiate(socket, host, options).await
        }
    }
}

/// Sets what makes a broken connection known within two minutes. A network that can't do it is
/// still a network.
fn tune(socket: &TcpStream) {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_mins(1))
        .with_interval(Duration::from_secs(10));
    let _ = socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive);
    let _ = socket.set_nodelay(true);
}

async fn negotiate(
    mut socket: TcpStream,
    host: &str,
    options: &WireOptions,
) -> Result<Way, WireError> {
    if options.tls == TlsMode::Disable {
        return Ok(Way::clear(Box::new(socket), options));
    }
    // SSLRequest: its length, and a number that no protocol version has.
    let request = [8_u32.to_be_bytes(), 80_877_103_u32.to_be_bytes()].concat();
    socket.write_all(&request).await.map_err(|error| WireError::lost(&error))?;
    // One byte and no more: what follows it must not be read before the handshake.
    match socket.read_u8().await.map_err(|error| WireError::lost(&error))? {
        b'S' => Ok(Way::encrypted(tls::encrypt(socket, host, options).await?, options)),
        b'N' if options.tls == TlsMode::Prefer => Ok(Way::clear(Box::new(socket), options)),
        b'N' => Err(WireError::setup(
            format!(
                "`{host}` offers no TLS, and `sslmode={}` asks for it",
                <&str>::from(options.tls)
            ),
            "set `ssl = on` on the server, or `sslmode=disable` in the url of a trusted network",
        )),
        _ => Err(WireError::protocol("an unknown answer to the request for TLS")),
    }
}
