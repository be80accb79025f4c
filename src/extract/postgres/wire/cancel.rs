//! Asking a server to stop what one of its sessions runs, over a short connection of its own.
//!
//! Closing a session's socket is not enough: the server notices only when it next sends, which can
//! be long after.

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{error::WireError, options::WireOptions, socket};

/// What the server asks for before it stops a session's statement. It proves that whoever asks
/// knew the session, so it is as secret as a password for as long as the session lives.
#[derive(Clone, Copy)]
pub struct CancelKey {
    backend_pid: i32,
    secret: i32,
}

impl CancelKey {
    /// The key of no session.
    pub(super) const NONE: Self = Self { backend_pid: 0, secret: 0 };

    /// Reads the body of a `BackendKeyData`: the server's process, and a number.
    pub(super) fn read(body: &[u8]) -> Self {
        let (pid, rest) = body.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let secret = rest.first_chunk().copied().unwrap_or_default();
        Self { backend_pid: i32::from_be_bytes(*pid), secret: i32::from_be_bytes(secret) }
    }

    /// Asks the server of `options` to stop what the session of this key runs, and waits until it
    /// was told. A session that runs nothing or is gone is no error. This takes no session of the
    /// server, and is encrypted where sessions are.
    pub async fn cancel(self, options: &WireOptions) -> Result<(), WireError> {
        let asked = async {
            let mut socket = socket::open(options).await?.socket;
            let mut message = BytesMut::new();
            frontend::cancel_request(self.backend_pid, self.secret, &mut message);
            let sent = async {
                socket.write_all(&message).await?;
                socket.flush().await?;
                // The server closes the socket once it has passed the wish on.
                socket.read_u8().await
            };
            match sent.await {
                Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                    Err(WireError::lost(&error))
                }
                _ => Ok(()),
            }
        };
        let limit = options.connect_timeout;
        timeout(limit, Box::pin(asked)).await.unwrap_or_else(|_| {
            Err(WireError::Lost(format!("no cancellation within {} seconds", limit.as_secs())))
        })
    }
}
