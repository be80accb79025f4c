//! A session with a server, between COPYs.

use std::{collections::HashMap, time::Duration};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::time::timeout;

use super::{
    cancel::CancelKey,
    copy_out::CopyOut,
    error::{ServerError, WireError},
    frame::{Frames, text},
    login,
    options::WireOptions,
    protection::Protection,
    socket,
};

/// A session with a PostgreSQL server. Dropping it closes the connection at once, without a word.
pub struct WireConnection {
    pub(super) frames: Frames,
    cancel_key: CancelKey,
    facts: Box<Facts>,
    /// A statement was sent and its end was not read: nothing else may be sent.
    pub(super) busy: bool,
}

/// What is known of a session beside its statements.
#[derive(Default)]
struct Facts {
    parameters: HashMap<String, String>,
    protection: Option<Protection>,
}

impl WireConnection {
    /// Connects and logs in. `startup` are parameters of the session, such as
    /// `("default_transaction_read_only", "on")`; they hold from its first moment on.
    ///
    /// Dropping the future closes the connection.
    pub async fn connect(
        options: &WireOptions,
        startup: &[(&str, &str)],
    ) -> Result<Self, WireError> {
        let limit = options.connect_timeout;
        let connected = timeout(limit, Box::pin(Self::connect_in_time(options, startup))).await;
        connected.unwrap_or_else(|_| {
            Err(WireError::Lost(format!(
                "`{}` port {} did not answer within {} seconds",
                options.host(),
                options.port(),
                limit.as_secs()
            )))
        })
    }

    async fn connect_in_time(
        options: &WireOptions,
        startup: &[(&str, &str)],
    ) -> Result<Self, WireError> {
        let way = socket::open(options).await?;
        let mut frames = Frames::new(way.socket, None);
        let greeting = login::log_in(&mut frames, &way.encryption, options, startup).await?;
        let login::Greeting { cancel_key, parameters } = greeting;
        let facts = Box::new(Facts { parameters, protection: Some(way.protection) });
        Ok(Self { frames, cancel_key, facts, busy: false })
    }

    /// A session over `frames` whose login is done.
    #[cfg(test)]
    pub(super) fn of(frames: Frames) -> Self {
        Self { frames, cancel_key: CancelKey::NONE, facts: Box::default(), busy: true }
    }

    /// From now on the connection counts as lost when the server stays silent for `longest` while we
    /// wait for it. No limit otherwise: a query may take long before its first row.
    pub fn bear_silence(&mut self, longest: Option<Duration>) {
        self.frames.set_read_timeout(longest);
    }

    /// What stops this session's statement from outside of it.
    pub fn cancel_key(&self) -> CancelKey {
        self.cancel_key
    }

    /// How the connection is protected from others.
    pub fn protection(&self) -> Option<&Protection> {
        self.facts.protection.as_ref()
    }

    /// What the server reported of itself when the session began: `server_version`,
    /// `in_hot_standby`, `TimeZone` and such.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.facts.parameters.get(name).map(String::as_str)
    }

    /// Runs `sql`, any number of statements, and gives the rows of all of them as text.
    ///
    /// After an error of the server the session can be used, in whatever state the statements
    /// left its transaction. After any other error, or when the future was dropped, it can't:
    /// every later call fails.
    pub async fn simple(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, WireError> {
        self.ask(sql).await?;
        let mut rows = Vec::new();
        let mut refused = None;
        loop {
            let frame = match self.frames.next_or_error().await {
                Ok(frame) => frame,
                // A server that ends the session says why before it closes the connection.
                Err(error) => return Err(refused.map_or(error, WireError::Server)),
            };
            match frame.tag {
                b'D' => rows.push(row(&frame.body)?),
                b'E' => refused = Some(ServerError::parse(&frame.body)),
                b'Z' => break,
                b'S' => self.parameter_changed(&frame.body)?,
                b'T' | b'C' | b'I' => {}
                _ => return Err(WireError::protocol("an unknown answer to a statement")),
            }
        }
        self.busy = false;
        match refused {
            Some(error) => Err(WireError::Server(error)),
            None => Ok(rows),
        }
    }

    fn parameter_changed(&mut self, body: &[u8]) -> Result<(), WireError> {
        let (name, rest) = text(body)?;
        let (value, _) = text(rest)?;
        self.facts.parameters.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Starts `sql`, a `COPY … TO STDOUT (FORMAT binary)`. It takes the session: after an error, and
    /// when the stream is dropped before its end, the connection is closed and nothing that is
    /// still on it can be taken for an answer to something else.
    pub async fn copy_out(mut self, sql: &str) -> Result<CopyOut, WireError> {
        self.ask(sql).await?;
        let frame = self.frames.next().await?;
        // The body begins with the overall format: 1 is binary.
        match (frame.tag, frame.body.first()) {
            (b'H', Some(1)) => Ok(CopyOut::new(self)),
            (b'H', _) => Err(WireError::protocol("a copy in text format")),
            _ => Err(WireError::protocol("no copy where one was asked for")),
        }
    }

    async fn ask(&mut self, sql: &str) -> Result<(), WireError> {
        if std::mem::replace(&mut self.busy, true) {
            return Err(WireError::Lost("the session is in the middle of a statement".to_owned()));
        }
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message)
            .map_err(|_| WireError::protocol("a statement that holds a NUL"))?;
        self.frames.send(&message).await
    }

    /// Ends the session politely, as far as the server still listens.
    pub async fn close(mut self) {
        let mut message = BytesMut::new();
        frontend::terminate(&mut message);
        let _ = self.frames.send(&message).await;
    }
}

/// A `DataRow`: `i16` number of columns; per column `i32` length (−1 is NULL) and the text.
fn row(body: &[u8]) -> Result<Vec<Option<String>>, WireError> {
    let broken = || WireError::protocol("a row that ends early");
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(broken)?;
    let mut columns = Vec::new();
    for _ in 0..i16::from_be_bytes(*count) {
        let (len, tail) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
        rest = tail;
        let Ok(len) = usize::try_from(i32::from_be_bytes(*len)) else {
            columns.push(None);
            continue;
        };
        let (text, tail) = rest.split_at_checked(len).ok_or_else(broken)?;
        rest = tail;
        let text =
            str::from_utf8(text).map_err(|_| WireError::protocol("a text that is not UTF-8"))?;
        columns.push(Some(text.to_owned()));
    }
    Ok(columns)
}
