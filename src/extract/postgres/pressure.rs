//! Whether the server bears being read just now: how far it is behind, and how busy others keep it.

use std::time::Duration;

use super::{
    replay::Replay,
    rows::query_one,
    sql::{literal, quote},
    wire::{WireConnection, WireError},
};
use crate::{
    config::Limits,
    error::{Error, ErrorKind},
    extract::Refusal,
};

/// What must not be exceeded while we read.
#[derive(Debug, Clone)]
pub(super) struct Ceilings {
    pub(super) max_lag: Option<Duration>,
    pub(super) active_sessions: Option<u32>,
    /// How long to wait when one of them is exceeded.
    pub(super) max_wait: Duration,
    /// Our own sessions' name, which don't count.
    pub(super) label: String,
}

impl Ceilings {
    /// Those in `limits`.
    pub(super) fn new(limits: &Limits, label: &str) -> Self {
        Self {
            max_lag: limits.max_lag,
            active_sessions: limits.active_sessions,
            max_wait: limits.max_wait,
            label: label.to_owned(),
        }
    }

    /// Asks for what exceeds a ceiling just now; where there is none, nothing is asked.
    pub(super) async fn exceeded(
        &self,
        connection: &mut WireConnection,
    ) -> Result<Option<Refusal>, WireError> {
        if self.max_lag.is_some() {
            let replay = Replay::ask(connection).await?;
            if let Some(behind) = replay.behind(self.max_lag) {
                return Ok(Some(behind));
            }
        }
        self.busy(connection).await
    }

    /// What is to be said when others keep the server too busy, or nobody can tell whether they do.
    pub(super) async fn busy(
        &self,
        connection: &mut WireConnection,
    ) -> Result<Option<Refusal>, WireError> {
        let Some(limit) = self.active_sessions else { return Ok(None) };
        let sql = format!(
            "SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'), current_user,
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity
                     WHERE backend_type = 'client backend' AND state <> 'idle'
                         AND state NOT LIKE 'idle in transaction%'
                         AND application_name <> {} AND pid <> pg_catalog.pg_backend_pid())",
            literal(&self.label)
        );
        let row = query_one(connection, &sql).await?;
        if !row.is(0) {
            return Ok(Some(Refusal::new(
                "the login can't see how many sessions are active",
                format!(
                    "GRANT pg_read_all_stats TO {}, or remove `max_active_sessions`",
                    quote(row.text(1))
                ),
            )));
        }
        let active = row.number(2).unwrap_or(u32::MAX);
        Ok((active > limit).then(|| {
            Refusal::new(
                format!("{active} sessions of others are active; the limit is {limit}"),
                "run when they are fewer, or raise `max_active_sessions`",
            )
            .passing()
        }))
    }
}

/// The error of a read that waited in vain for `refusal` to pass.
pub(super) fn in_vain(refusal: Refusal, waited: Duration) -> Error {
    let seconds = waited.as_secs();
    Error::new(ErrorKind::Refused, format!("reading paused for {seconds} s in vain"))
        .because(refusal.reason)
        .hint(refusal.remedy)
        .hint(
            "a snapshot that is held may be what holds replay up: a shorter \
             `max_standby_streaming_delay` lets replay go on and costs us the snapshot",
        )
}
