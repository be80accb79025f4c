//! A client for COPY below sqlx.

use std::time::Duration;

use crate::{
    config::Secret,
    error::{Error, ErrorKind, Result},
};

/// Where and how to connect.
#[derive(Clone)]
pub struct WireOptions(());

impl WireOptions {
    /// Reads `postgres://…`.
    pub fn parse(_url: &Secret) -> Result<Self> {
        Err(Error::internal("not built yet"))
    }
    /// The host.
    pub fn host(&self) -> &str {
        ""
    }
    /// The port.
    pub fn port(&self) -> u16 {
        0
    }
    /// The login.
    pub fn user(&self) -> &str {
        ""
    }
    /// The database.
    pub fn database(&self) -> &str {
        ""
    }
    /// The name in the URL.
    pub fn application_name(&self) -> Option<&str> {
        None
    }
    /// Bears this long a silence of the server.
    #[must_use]
    pub fn with_read_timeout(self, _timeout: Duration) -> Self {
        self
    }
}

/// What the server said.
#[derive(Debug, Clone)]
pub struct ServerError {
    /// SQLSTATE.
    pub sqlstate: String,
    /// The message.
    pub message: String,
    /// Its detail.
    pub detail: Option<String>,
    /// Its hint.
    pub hint: Option<String>,
}

/// What went wrong on the wire.
#[derive(Debug)]
pub enum WireError {
    /// The server refused.
    Server(ServerError),
    /// The connection was lost.
    Lost(String),
    /// The server broke the protocol.
    Protocol(String),
    /// The connection could not be set up.
    Setup(String),
}

impl WireError {
    /// The server's SQLSTATE.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server(error) => Some(&error.sqlstate),
            _ => None,
        }
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        Self::new(ErrorKind::Unreachable, format!("{error:?}"))
    }
}

/// A connection.
pub struct WireConnection(());

impl WireConnection {
    /// Connects.
    pub async fn connect(
        _options: &WireOptions,
        _startup: &[(&str, &str)],
    ) -> Result<Self, WireError> {
        Err(WireError::Setup(String::new()))
    }
    /// The backend's process.
    pub fn backend_pid(&self) -> i32 {
        0
    }
    /// What the server reported.
    pub fn parameter(&self, _name: &str) -> Option<&str> {
        None
    }
    /// Runs statements.
    pub async fn simple(&mut self, _sql: &str) -> Result<Vec<Vec<Option<String>>>, WireError> {
        Ok(Vec::new())
    }
    /// Starts a COPY.
    pub async fn copy_out(self, _sql: &str) -> Result<CopyOut, WireError> {
        Ok(CopyOut(()))
    }
    /// Says goodbye.
    pub async fn close(self) {}
}

/// A COPY under way.
pub struct CopyOut(());

impl CopyOut {
    /// The next block.
    pub async fn next_block(&mut self, _recycled: Block) -> Result<Option<Block>, WireError> {
        Ok(None)
    }
    /// The server's count.
    pub fn rows(&self) -> Option<u64> {
        None
    }
    /// The connection, once done.
    pub fn into_connection(self) -> Option<WireConnection> {
        None
    }
}

/// Whole CopyData payloads.
#[derive(Default)]
pub struct Block(());
