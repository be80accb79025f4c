//! Which server this is, standby or primary, and how far a standby is behind.

use std::time::Duration;

use super::{
    rows::query_one,
    wire::{WireConnection, WireError},
};
use crate::extract::Refusal;

/// What the user decided about the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) allow_primary: bool,
    pub(super) max_lag: Option<Duration>,
}

/// How far a standby has come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replay {
    pub(super) is_standby: bool,
    /// Whether a process receives WAL from upstream just now.
    is_streaming: bool,
    /// Whether all that was received is replayed.
    is_caught_up: bool,
    /// Seconds since the last replayed commit was made.
    commit_age_seconds: Option<f64>,
}

impl Replay {
    /// Asks the server.
    pub(super) async fn ask(connection: &mut WireConnection) -> Result<Self, WireError> {
        let row = query_one(
            connection,
            "SELECT pg_catalog.pg_is_in_recovery(),
                 EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver WHERE pid IS NOT NULL),
                 pg_catalog.pg_last_wal_receive_lsn() <= pg_catalog.pg_last_wal_replay_lsn(),
                 extract(epoch FROM pg_catalog.clock_timestamp()
                     - pg_catalog.pg_last_xact_replay_timestamp())",
        )
        .await?;
        Ok(Self {
            is_standby: row.is(0),
            is_streaming: row.is(1),
            is_caught_up: row.is(2),
            commit_age_seconds: row.number(3),
        })
    }

    /// Seconds behind, where that can be known.
    ///
    /// The age of the last commit alone would grow on an idle primary, so it counts only where
    /// something is left to replay, or nobody says that there is nothing.
    pub(super) fn lag_seconds(&self) -> Option<f64> {
        if !self.is_standby {
            None
        } else if self.is_streaming && self.is_caught_up {
            Some(0.0)
        } else {
            self.commit_age_seconds
        }
    }

    /// What the reader of a lag should know.
    pub(super) fn fact(&self) -> Option<String> {
        (self.is_standby && !self.is_streaming).then(|| {
            "the standby receives nothing just now; its lag is counted from the last replayed commit"
                .to_owned()
        })
    }

    /// Why this server must not be read.
    pub(super) fn refusal(&self, terms: Terms) -> Option<Refusal> {
        if !self.is_standby {
            return (!terms.allow_primary).then(|| {
                Refusal::new(
                    "the server is a primary, not a replica",
                    "connect to a replica, or set `allow_primary: true` and a `window` for this \
                     connection",
                )
            });
        }
        self.behind(terms.max_lag)
    }

    /// What is to be said of a standby that is further behind than `max_lag`, or nobody knows how
    /// far.
    pub(super) fn behind(&self, max_lag: Option<Duration>) -> Option<Refusal> {
        let limit = max_lag.filter(|_| self.is_standby)?;
        let Some(lag) = self.lag_seconds() else {
            return Some(
                Refusal::new(
                    "how far the standby is behind is unknown",
                    "wait until it has replayed a transaction, or remove `max_lag`",
                )
                .passing(),
            );
        };
        (lag > limit.as_secs_f64()).then(|| {
            Refusal::new(
                format!("the standby is {lag:.0} seconds behind; the limit is {}", limit.as_secs()),
                "run again later, or raise `max_lag`",
            )
            .passing()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDBY: Replay = Replay {
        is_standby: true,
        is_streaming: true,
        is_caught_up: true,
        commit_age_seconds: Some(5_000.0),
    };

    fn terms(max_lag: Option<u64>) -> Terms {
        Terms { allow_primary: false, max_lag: max_lag.map(Duration::from_secs) }
    }

    #[test]
    fn an_idle_standby_is_not_behind() {
        assert_eq!(STANDBY.lag_seconds(), Some(0.0));
        assert_eq!(STANDBY.refusal(terms(Some(60))), None);
    }

    #[test]
    fn a_standby_that_is_behind_or_cut_off_is_refused() {
        let behind = Replay { is_caught_up: false, ..STANDBY };
        let reason = behind.refusal(terms(Some(60))).unwrap().reason;
        assert_eq!(reason, "the standby is 5000 seconds behind; the limit is 60");
        let cut_off = Replay { is_streaming: false, ..STANDBY };
        assert!(cut_off.refusal(terms(Some(60))).is_some() && cut_off.fact().is_some());
        let unknown = Replay { commit_age_seconds: None, ..behind };
        assert!(unknown.refusal(terms(Some(60))).unwrap().reason.contains("unknown"));
        assert_eq!(unknown.refusal(terms(None)), None);
    }

    #[test]
    fn a_primary_is_read_only_where_the_user_said_so() {
        let primary = Replay { is_standby: false, ..STANDBY };
        assert!(primary.refusal(terms(None)).is_some());
        let allowed = Terms { allow_primary: true, max_lag: Some(Duration::ZERO) };
        assert_eq!(primary.refusal(allowed), None);
        assert_eq!(primary.lag_seconds(), None);
    }
}
