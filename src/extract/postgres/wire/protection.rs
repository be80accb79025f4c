//! What keeps others from reading or changing what a connection carries, in a sentence.

use std::fmt;

use super::{
    options::{Host, TlsMode},
    tls::Trust,
};

/// How the way to a server is protected, and whether the server proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    pub(super) host: Host,
    pub(super) mode: TlsMode,
    /// The version of TLS, and how much of the server's certificate was verified.
    pub(super) tls: Option<(&'static str, Trust)>,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = <&str>::from(self.mode);
        let (Host::Tcp(host) | Host::Unix(host)) = &self.host;
        match self.tls {
            Some((version, Trust::Host)) => {
                write!(f, "encrypted with {version}, certificate verified for `{host}`")
            }
            Some((version, Trust::Authority)) => write!(
                f,
                "encrypted with {version}, certificate signed by a trusted authority, though not \
                 verified for `{host}` (`sslmode={mode}`)"
            ),
            Some((version, Trust::Anyone)) => write!(
                f,
                "encrypted with {version}, but the server did not prove who it is \
                 (`sslmode={mode}`)"
            ),
            None if self.host.is_local() => {
                write!(f, "not encrypted: `{host}` is on this machine")
            }
            None => write!(
                f,
                "not encrypted, and the server did not prove who it is (`sslmode={mode}`)"
            ),
        }
    }
}
