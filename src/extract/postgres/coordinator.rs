//! The coordinator: the connection whose transaction holds a view open, and the locks that keep its
//! tables from being rewritten meanwhile.
//!
//! When it is gone, so are its locks, and connections that joined the view could find a table empty
//! that was truncated since. So nothing that is read counts unless the coordinator outlived it.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{
    pressure::Ceilings,
    rows::query_one,
    wire::{WireConnection, WireError},
};
use crate::{
    error::{Error, ErrorKind, Result},
    extract::Refusal,
};

/// A server that is alive answers such a small question sooner.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Holds a view open.
pub(super) struct Coordinator {
    connection: WireConnection,
    was_standby: bool,
    ceilings: Ceilings,
    proved: Instant,
    /// What exceeded a ceiling when that was proved.
    exceeded: Option<Refusal>,
}

impl Coordinator {
    /// `connection` holds a view in its transaction since just now, of a server that was a standby
    /// or not.
    pub(super) fn new(connection: WireConnection, was_standby: bool, ceilings: Ceilings) -> Self {
        Self { connection, was_standby, ceilings, proved: Instant::now(), exceeded: None }
    }

    /// What exceeded a ceiling when it was last proved that the view stands.
    pub(super) fn exceeded(&self) -> Option<&Refusal> {
        self.exceeded.as_ref()
    }

    /// Whether the server's `process` is at work on something other than sending it.
    pub(super) async fn works(&mut self, process: u32) -> Result<bool> {
        let sql = format!(
            "SELECT coalesce(pg_catalog.bool_or(a.state = 'active'
                 AND a.wait_event IS DISTINCT FROM 'ClientWrite'), false)
             FROM pg_catalog.pg_stat_activity a WHERE a.pid = {process}"
        );
        Ok(in_time(query_one(&mut self.connection, &sql)).await?.is(0))
    }

    /// How long ago it was proved that the view stands.
    pub(super) fn age(&self) -> Duration {
        self.proved.elapsed()
    }

    /// Proves that the view still stands, and that the server is what it was.
    ///
    /// # Errors
    /// `SnapshotLost` when the view is gone; `Refused` when the standby was promoted.
    pub(super) async fn prove(&mut self) -> Result<()> {
        let recovery = "SELECT pg_catalog.pg_is_in_recovery()";
        let row = in_time(query_one(&mut self.connection, recovery)).await?;
        if self.was_standby && !row.is(0) {
            return Err(Error::new(
                ErrorKind::Refused,
                "the standby was promoted while it was read",
            )
            .hint("connect to a replica of the new primary, then run again"));
        }
        self.exceeded = in_time(self.ceilings.exceeded(&mut self.connection)).await?;
        self.proved = Instant::now();
        Ok(())
    }

    /// Proves for the last time that the view stood, and ends it.
    pub(super) async fn end(mut self) -> Result<()> {
        self.prove().await?;
        self.connection.simple("ROLLBACK").await.map_err(lost)?;
        self.connection.close().await;
        Ok(())
    }
}

/// What the server answers while it is alive.
async fn in_time<T>(asked: impl Future<Output = Result<T, WireError>>) -> Result<T> {
    timeout(ANSWER_LIMIT, asked)
        .await
        .unwrap_or_else(|_| Err(WireError::Lost("the server does not answer".to_owned())))
        .map_err(lost)
}

fn lost(error: WireError) -> Error {
    Error::from(error).of_kind(ErrorKind::SnapshotLost).context("the view of the tables was lost")
}
