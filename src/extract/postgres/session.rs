//! Connections as we want them: settings that hold from the first message on.
//!
//! `default_transaction_read_only` is a start-up option because a server that is promoted while we
//! are connected would otherwise let the next transaction write. `row_security=off` makes a table
//! whose policies would hide rows from us an error instead of a smaller table.

use std::time::Duration;

use super::wire::{CancelKey, WireConnection, WireError, WireOptions};
use crate::config::Limits;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Our own statements over the catalog: names resolve to the catalog only.
    Catalog,
    /// Statements that may hold a user's SQL: names resolve to `public` as well.
    Reader,
}

/// How long our own statements over the catalog may be without an answer before their connection
/// counts as lost.
const CATALOG_SILENCE: Duration = Duration::from_secs(30);

/// The longest `application_name`; the server cuts off the rest.
const LABEL_BYTES: usize = 63;

/// How to connect, for the length of a run.
#[derive(Clone)]
pub(super) struct Sessions {
    options: WireOptions,
    label: String,
    statement_timeout: Option<Duration>,
    lock_timeout: Duration,
}

impl Sessions {
    /// Connections that show up as `label` and bear no statement or lock for longer than `limits`
    /// say.
    pub(super) fn new(options: WireOptions, label: &str, limits: &Limits) -> Self {
        let statement_timeout = limits.statement_timeout;
        Self {
            options,
            label: short_label(label).to_owned(),
            statement_timeout,
            lock_timeout: limits.lock_timeout,
        }
    }

    /// What connections are called on the server.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// A connection that will hold a view: for as long as it is being set up, a silent server counts
    /// as lost. [`Sessions::set_up`] ends that.
    pub(super) async fn connect_coordinator(&self) -> Result<WireConnection, WireError> {
        let mut connection = self.connect(Purpose::Reader).await?;
        connection.bear_silence(Some(CATALOG_SILENCE));
        Ok(connection)
    }

    /// From now on `connection` may work for as long as any that reads.
    pub(super) fn set_up(&self, connection: &mut WireConnection) {
        connection.bear_silence(self.read_timeout());
    }

    /// The server keeps its own time; ours only notices a server that went silent.
    fn read_timeout(&self) -> Option<Duration> {
        self.statement_timeout.map(|limit| limit.saturating_add(Duration::from_secs(30)))
    }

    /// A new connection.
    pub(super) async fn connect(&self, purpose: Purpose) -> Result<WireConnection, WireError> {
        let millis = |limit: Duration| limit.as_millis().to_string();
        let timeout = self.statement_timeout.map_or("0".to_owned(), millis);
        let lock_timeout = millis(self.lock_timeout);
        let settings = self.settings(purpose, &timeout, &lock_timeout);
        let mut connection = WireConnection::connect(&self.options, &settings).await?;
        // Such a server knows nothing of its bytes, and would end a read at the first that are not
        // UTF-8. The decoder looks at them anyway, and knows what the column's rule is.
        if purpose == Purpose::Reader
            && connection.parameter("server_encoding") == Some("SQL_ASCII")
        {
            connection.simple("SET client_encoding TO 'SQL_ASCII'").await?;
        }
        connection.bear_silence(match purpose {
            Purpose::Catalog => Some(CATALOG_SILENCE),
            Purpose::Reader => self.read_timeout(),
        });
        Ok(connection)
    }

    /// Asks the server to stop what the session of `key` runs. It may have stopped by itself, and
    /// the server may be gone: then there is nothing left to stop.
    pub(super) async fn cancel(&self, key: CancelKey) {
        if let Err(error) = key.cancel(&self.options).await {
            tracing::debug!(%error, "a statement was not cancelled");
        }
    }

    fn settings<'a>(
        &'a self,
        purpose: Purpose,
        timeout: &'a str,
        lock_timeout: &'a str,
    ) -> [(&'a str, &'a str); 16] {
        [
            ("default_transaction_read_only", "on"),
            ("default_transaction_deferrable", "off"),
            ("row_security", "off"),
            ("statement_timeout", timeout),
            // A writer must never queue behind us for long.
            ("lock_timeout", lock_timeout),
            // The coordinator idles in its transaction for as long as the workers read.
            ("idle_in_transaction_session_timeout", "0"),
            ("application_name", &self.label),
            (
                "search_path",
                match purpose {
                    Purpose::Catalog => "pg_catalog",
                    Purpose::Reader => "public",
                },
            ),
            ("standard_conforming_strings", "on"),
            ("client_encoding", "UTF8"),
            ("TimeZone", "UTC"),
            ("DateStyle", "ISO, YMD"),
            ("IntervalStyle", "postgres"),
            ("bytea_output", "hex"),
            ("jit", "off"),
            ("max_parallel_workers_per_gather", "0"),
        ]
    }
}

fn short_label(label: &str) -> &str {
    label.get(..label.floor_char_boundary(LABEL_BYTES)).unwrap_or(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_fit_the_server() {
        assert_eq!(short_label("longshore/nightly/1"), "longshore/nightly/1");
        let long = "é".repeat(40);
        assert_eq!(short_label(&long).len(), 62);
    }
}
