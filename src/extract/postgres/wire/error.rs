//! What goes wrong between us and a PostgreSQL server, and what that means for a run.

use std::{fmt, io, time::Duration};

use tokio_rustls::rustls::{AlertDescription, Error as TlsError};

use crate::error::{Error, ErrorKind};

/// An error of the wire. Never holds a credential; a server's own words are shown only where they
/// can't hold a row's value.
#[derive(Debug)]
pub enum WireError {
    /// The server refused a statement or the login, or stopped in the middle.
    Server(ServerError),
    /// The server was not reached, or the connection was lost.
    Lost(String),
    /// The server was reached, and no safe or possible connection was made: what is wrong, and what
    /// mends it.
    Setup {
        /// What is wrong.
        reason: String,
        /// What mends it.
        remedy: String,
    },
    /// The server (or what answers in its place) sent what the protocol does not allow.
    Protocol(String),
}

/// What a server says when it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The five characters of SQLSTATE, which tell what it is in every language.
    pub sqlstate: String,
    /// The message, in the server's language. It can hold a row's value.
    pub message: String,
    /// More of it. It can hold a row's value.
    pub detail: Option<String>,
    /// What the server would do about it.
    pub hint: Option<String>,
}

impl WireError {
    /// Nothing came for so long.
    pub(super) fn silent(longest: Duration) -> Self {
        Self::Lost(format!("the server was silent for {} seconds", longest.as_secs()))
    }

    /// The server's SQLSTATE, where the server spoke.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server(error) => Some(&error.sqlstate),
            _ => None,
        }
    }

    pub(super) fn setup(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Setup { reason: reason.into(), remedy: remedy.into() }
    }

    pub(super) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }

    pub(super) fn lost(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        if let Some(refused) = tls.and_then(Self::client_refused) {
            return refused;
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::closed(),
            _ => Self::Lost(format!("the connection was lost: {error}")),
        }
    }

    /// What it means when the server does not take our certificate, which it can say late.
    pub(super) fn client_refused(error: &TlsError) -> Option<Self> {
        let TlsError::AlertReceived(alert) = error else { return None };
        let reason = match alert {
            AlertDescription::CertificateRequired => {
                "the server asks for a client certificate".to_owned()
            }
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => {
                format!("the server does not take our client certificate ({alert:?})")
            }
            _ => return None,
        };
        let remedy = "name a certificate that the server's `ssl_ca_file` signed with `sslcert=…` and \
                      `sslkey=…` in the url";
        Some(Self::setup(reason, remedy))
    }

    pub(super) fn closed() -> Self {
        Self::Lost("the server closed the connection".to_owned())
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Lost(what) => f.write_str(what),
            Self::Setup { reason, .. } => f.write_str(reason),
            Self::Protocol(what) => write!(f, "the server broke its protocol: {what}"),
        }
    }
}

impl std::error::Error for WireError {}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = &self.sqlstate;
        if self.may_quote_values() {
            return write!(
                f,
                "a value could not be read: the server stopped with SQLSTATE {state}"
            );
        }
        write!(f, "{} (SQLSTATE {state})", self.message.trim_end_matches('.'))
    }
}

impl ServerError {
    /// Reads the body of an `ErrorResponse`: per field a letter and a text that ends with NUL.
    pub(super) fn parse(mut body: &[u8]) -> Self {
        let mut error = Self {
            sqlstate: "XX000".to_owned(),
            message: "an error without a message".to_owned(),
            detail: None,
            hint: None,
        };
        while let Some((field, rest)) = body.split_first() {
            let Some(end) = rest.iter().position(|byte| *byte == 0) else { break };
            let text = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
            match field {
                b'C' => error.sqlstate = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                _ => {}
            }
            body = rest.get(end + 1..).unwrap_or_default();
        }
        error
    }

    /// Errors of data (22), constraints (23) and of the users' own functions (P0) quote values.
    fn may_quote_values(&self) -> bool {
        ["22", "23", "P0"].iter().any(|class| self.sqlstate.starts_with(class))
    }

    /// What the error means for a run.
    fn kind(&self) -> ErrorKind {
        match self.sqlstate.as_str() {
            // The statement's own fault comes back when it is tried again.
            "08P01" => ErrorKind::Refused,
            // A conflict with replay, a deadlock, a lock not had; the server stops, starts, is full.
            "40001" | "40P01" | "55P03" | "57P01" | "57P02" | "57P03" | "57P05" | "25P03"
            | "53300" => ErrorKind::Unreachable,
            state if state.starts_with("08") || state.starts_with("53") => ErrorKind::Unreachable,
            state if state.starts_with("58") => ErrorKind::Unreachable,
            _ if self.may_quote_values() => ErrorKind::Data,
            _ => ErrorKind::Refused,
        }
    }

    /// A statement timeout and a cancellation by a person share one SQLSTATE.
    fn is_by_hand(&self) -> bool {
        self.message.contains("user request")
    }

    fn remedy(&self) -> Option<&'static str> {
        Some(match self.sqlstate.as_str() {
            "28P01" | "28000" => "check the login and its password in the connection's url",
            "42501" => "grant the login SELECT on the table, and USAGE on its schema",
            "40001" => {
                "on the standby, raise `max_standby_streaming_delay` (replay may then fall behind by \
                 as much), or set `hot_standby_feedback = on` (the primary then keeps dead rows for \
                 as long as we read); or read when the primary is not maintained"
            }
            "53300" => "lower `connections`, or raise the server's `max_connections`",
            "55P03" => "run again when nobody changes the table's definition",
            "57014" if self.is_by_hand() => "ask the server's administrator why, then run again",
            "57014" => "raise the connection's `statement_timeout`",
            "08P01" => "connect to the server itself rather than through a pooler",
            _ => return None,
        })
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        let what = error.to_string();
        match error {
            WireError::Server(server) => {
                let kind = server.kind();
                let mut told = Self::new(kind, what);
                if !server.may_quote_values() {
                    if let Some(detail) = &server.detail {
                        told = told.because(detail.trim_end_matches('.'));
                    }
                    if let Some(hint) = &server.hint {
                        told = told.because(format!("the server hints: {hint}"));
                    }
                }
                match server.remedy() {
                    Some(remedy) => told.hint(remedy),
                    None => told,
                }
            }
            WireError::Lost(_) => Self::new(ErrorKind::Unreachable, what),
            WireError::Setup { remedy, .. } => Self::new(ErrorKind::Refused, what).hint(remedy),
            WireError::Protocol(_) => Self::new(ErrorKind::Refused, what)
                .hint("check that the url leads to a PostgreSQL server"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(state: &str, message: &str) -> Error {
        let body = format!("SERROR\0C{state}\0M{message}\0DKey (id)=(7) exists.\0\0");
        WireError::Server(ServerError::parse(body.as_bytes())).into()
    }

    #[test]
    fn states_decide_what_an_error_means() {
        for (state, kind) in [
            ("40001", ErrorKind::Unreachable),
            ("57P01", ErrorKind::Unreachable),
            ("08006", ErrorKind::Unreachable),
            ("53200", ErrorKind::Unreachable),
            ("42501", ErrorKind::Refused),
            ("28P01", ErrorKind::Refused),
            ("42P01", ErrorKind::Refused),
            ("57014", ErrorKind::Refused),
            ("22P02", ErrorKind::Data),
        ] {
            assert_eq!(server(state, "m").kind(), kind, "{state}");
        }
        let cancelled = server("57014", "canceling statement due to user request");
        assert_eq!(cancelled.kind(), ErrorKind::Refused, "whoever cancels us is heeded");
    }

    #[test]
    fn values_are_not_told() {
        let error = server("22P02", "invalid input syntax for type integer: \"secret\"");
        insta::assert_snapshot!(error, @"a value could not be read: the server stopped with SQLSTATE 22P02");
        insta::assert_snapshot!(server("42P01", "relation \"a\" does not exist"), @r#"relation "a" does not exist (SQLSTATE 42P01): Key (id)=(7) exists"#);
    }

    #[test]
    fn broken_bodies_give_what_they_hold() {
        let parsed = ServerError::parse(b"C57P01\0Mgoing do");
        assert_eq!(parsed.sqlstate, "57P01");
        assert_eq!(ServerError::parse(b"").sqlstate, "XX000");
    }
}
