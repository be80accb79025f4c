//! Messages of PostgreSQL's protocol 3.0 outside of COPY: a letter, `i32` length (its own four
//! bytes included), and the body.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    detached::Detached,
    error::{ServerError, WireError},
    socket::{Channel, Socket},
};

/// The longest message outside of COPY that is borne.
const LONGEST: usize = 64 << 20;

/// One message.
pub(super) struct Frame {
    /// Its letter.
    pub(super) tag: u8,
    /// What it holds.
    pub(super) body: Bytes,
}

/// A socket with what was read of it and not yet understood.
pub(super) struct Frames {
    channel: Option<Channel>,
    pub(super) inbox: BytesMut,
    read_timeout: Option<Duration>,
}

impl Frames {
    pub(super) fn new(socket: Box<dyn Socket>, read_timeout: Option<Duration>) -> Self {
        Self {
            channel: Some(Channel::Attached(socket)),
            inbox: BytesMut::with_capacity(8 << 10),
            read_timeout,
        }
    }

    /// Sends `message` whole.
    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), WireError> {
        let socket = self.socket()?;
        let sent = async {
            socket.write_all(message).await?;
            socket.flush().await
        };
        sent.await.map_err(|error| WireError::lost(&error))
    }

    /// The next message that is about what was asked; errors of the server are errors.
    ///
    /// Cancel-safe: what was read stays in the inbox.
    pub(super) async fn next(&mut self) -> Result<Frame, WireError> {
        let frame = self.next_or_error().await?;
        if frame.tag == b'E' {
            return Err(WireError::Server(ServerError::parse(&frame.body)));
        }
        Ok(frame)
    }

    /// The next message that is about what was asked, the server's errors included.
    pub(super) async fn next_or_error(&mut self) -> Result<Frame, WireError> {
        loop {
            if let Some(frame) = self.parse()? {
                // Notices and notifications may come at any time and mean nothing to us.
                if !matches!(frame.tag, b'N' | b'A') {
                    return Ok(frame);
                }
                continue;
            }
            self.inbox.reserve(4 << 10);
            let limit = self.read_timeout;
            let Some(Channel::Attached(socket)) = &mut self.channel else {
                return Err(WireError::closed());
            };
            let read = socket.read_buf(&mut self.inbox);
            if silence_bound(limit, read).await? == 0 {
                return Err(WireError::closed());
            }
        }
    }

    fn parse(&mut self) -> Result<Option<Frame>, WireError> {
        let Some([tag, len @ ..]) = self.inbox.first_chunk::<5>() else { return Ok(None) };
        let (tag, len) = (*tag, u32::from_be_bytes(*len) as usize);
        if !(4..=LONGEST).contains(&len) {
            return Err(WireError::protocol(format!("a message of impossible length ({len})")));
        }
        if self.inbox.len() <= len {
            return Ok(None);
        }
        let body = self.inbox.split_to(1 + len).freeze().slice(5..);
        Ok(Some(Frame { tag, body }))
    }

    /// The socket, while its runtime has it.
    pub(super) fn socket(&mut self) -> Result<&mut dyn Socket, WireError> {
        match &mut self.channel {
            Some(Channel::Attached(socket)) => Ok(&mut **socket),
            _ => Err(WireError::closed()),
        }
    }

    /// The socket, while it is out of its runtime.
    pub(super) fn detached(&mut self) -> Option<&mut Detached> {
        match &mut self.channel {
            Some(Channel::Detached(socket)) => Some(socket),
            _ => None,
        }
    }

    /// Takes the socket out of its runtime, if it can be.
    pub(super) fn detach(&mut self) -> Result<(), WireError> {
        if let Some(Channel::Attached(socket)) = self.channel.take() {
            self.channel = Some(socket.detach().map_err(|error| WireError::lost(&error))?);
        }
        Ok(())
    }

    /// Hands the socket to the runtime that this is called in, if it was out of one.
    pub(super) fn attach(&mut self) -> Result<(), WireError> {
        self.channel = match self.channel.take() {
            Some(Channel::Detached(detached)) => {
                let socket = detached.socket.attach();
                Some(Channel::Attached(socket.map_err(|error| WireError::lost(&error))?))
            }
            other => other,
        };
        Ok(())
    }

    /// From now on bears silences of `longest`.
    pub(super) fn set_read_timeout(&mut self, longest: Option<Duration>) {
        self.read_timeout = longest;
    }

    /// How long a silence is borne.
    pub(super) fn read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }
}

/// Waits for `read`, but not through a silence longer than `longest`.
pub(super) async fn silence_bound(
    longest: Option<Duration>,
    read: impl Future<Output = std::io::Result<usize>>,
) -> Result<usize, WireError> {
    let read = match longest {
        None => read.await,
        Some(longest) => timeout(longest, read).await.map_err(|_| WireError::silent(longest))?,
    };
    read.map_err(|error| WireError::lost(&error))
}

/// A text that ends with NUL at the front of `body`, and what follows it.
pub(super) fn text(body: &[u8]) -> Result<(&str, &[u8]), WireError> {
    let broken = || WireError::protocol("a text without an end");
    let end = body.iter().position(|byte| *byte == 0).ok_or_else(broken)?;
    let (text, rest) = body.split_at_checked(end).ok_or_else(broken)?;
    let text = str::from_utf8(text).map_err(|_| WireError::protocol("a text that is not UTF-8"))?;
    Ok((text, rest.get(1..).unwrap_or_default()))
}
